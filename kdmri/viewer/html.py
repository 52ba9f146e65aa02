"""One file that holds a page: template, style, script, values and pictures in one."""

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

import matplotlib
import numpy as np

from kdmri.viewer.strips import ViewerContent

ASSETS = files(__package__) / "assets"
SCRIPTS = ("dom.js", "theme.js", "pixels.js", "viewer.js")
"""Of every page; they come before its own."""


def assemble(
    title: str,
    folder: Traversable,
    body: str,
    scripts: Sequence[str],
    values: Mapping[str, Any],
    strips: Sequence[str],
) -> str:
    """Fill the frame of a page; nothing but this program's own style and script can act in it.

    Args:
        title: that the browser shows.
        folder: of the body and its scripts.
        body: name of the file.
        scripts: names of files besides `SCRIPTS`; one has `main()`.
        values: what the scripts show, with what `colours` gives.
        strips: pictures in base64, as the page numbers them.
    """
    style = (ASSETS / "style.css").read_text(encoding="utf-8")
    parts = [(ASSETS / name).read_text(encoding="utf-8") for name in SCRIPTS]
    parts += [(folder / name).read_text(encoding="utf-8") for name in scripts]
    script = '"use strict";\n(() => {\n' + "".join(parts) + "main();\n})();\n"
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; "
        f"script-src '{_digest(script)}'; style-src '{_digest(style)}'"
    )
    pieces = {
        "title": html.escape(title),
        "policy": html.escape(policy),
        "style": style,
        "script": script,
        "viewer": (ASSETS / "viewer.html").read_text(encoding="utf-8"),
        "values": to_json(values),
        "strips": "\n".join(_strip_element(n, strip) for n, strip in enumerate(strips)),
    }
    frame = (ASSETS / "frame.html").read_text(encoding="utf-8")
    text = frame.replace("{{body}}", (folder / body).read_text(encoding="utf-8"))
    return re.sub(r"\{\{(\w+)\}\}", lambda found: pieces[found[1]], text)


def colours() -> str:
    """Return the 256 colours of error maps, three bytes each, in base64."""
    table = np.asarray(matplotlib.colormaps["inferno"](np.arange(256), bytes=True))[:, :3]
    return base64.b64encode(table.tobytes()).decode()


def viewer_values(pictures: ViewerContent, first: int) -> dict[str, Any]:
    """Return what the script has to know of a viewer.

    Args:
        pictures: that it shows.
        first: number of its first strip in the page.
    """

    def rounded(numbers: list[float | None]) -> list[float | None]:
        return [None if n is None else round(n, 4) for n in numbers]

    return {
        "panes": pictures.panes,
        "target": pictures.has_target,
        "size": pictures.size,
        "reduction": pictures.reduction,
        "limit": round(pictures.limit, 4),
        "slices": pictures.slices,
        "aspect": round(pictures.aspect, 4),
        "first": first,
        "strips": [
            [s.volume, s.index, s.total, rounded(s.psnr), rounded(s.ssim)] for s in pictures.strips
        ],
    }


def cost(strip: str) -> int:
    """Return the bytes that a picture takes in a page."""
    return len(strip) + len(_strip_element(0, "")) + 8


def to_json(values: Any) -> str:
    """Write JSON that cannot end the element it stands in."""
    plain = json.dumps(values, separators=(",", ":"), default=str, allow_nan=False)
    for sign in "<>&":
        plain = plain.replace(sign, f"\\u{ord(sign):04x}")
    return plain


def _strip_element(number: int, strip: str) -> str:
    return f'<script type="text/plain" id="strip-{number}">{strip}</script>'


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
