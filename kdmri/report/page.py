"""One file that shows a collection: template, style, script, values and pictures in one."""

import base64
from dataclasses import asdict
from importlib.resources import files
from typing import Any

from kdmri.errors import DataError, KdmriError
from kdmri.metrics import FORMATS
from kdmri.report.collect import Collection
from kdmri.report.curves import Curve, thin
from kdmri.report.images import Gallery
from kdmri.viewer.html import assemble, colours, cost, to_json, viewer_values

SCRIPTS = ("table.js", "plot.js", "charts.js", "runs.js")
MARGIN = 4096
"""Bytes that are kept free."""
TEXT_SHARE = 0.4
"""Share of the file that curves and figures may take before they are thinned."""
POINTS = (400, 200, 100, 50, 20)
"""Points of a curve, tried in this order."""


def render(collection: Collection, limit: int) -> str:
    """Write the page.

    Args:
        collection: what `collect` gave.
        limit: bytes that the page may have at most; curves, then pictures, are cut down to it.

    Raises:
        KdmriError: not even the table fits.
    """
    values = _values(collection)
    _thin(values, collection, int(limit * TEXT_SHARE))
    free_bytes = limit - len(_assemble(values, []).encode()) - MARGIN
    if free_bytes < 0:
        raise KdmriError(
            f"{len(collection.rows)} rows do not fit into {limit / 2**20:.1f} MiB; report on fewer "
            "experiments=..., or allow more with limit_mib=..."
        )
    strips = _show(values, collection.galleries, free_bytes)
    return _assemble(values, strips)


def _values(collection: Collection) -> dict[str, Any]:
    """Bring everything but pictures to what JSON can hold."""
    return {
        "metrics": [{"key": key, **asdict(written)} for key, written in FORMATS.items()],
        "rows": [row | {"curves": _plain_curves(row, POINTS[0])} for row in collection.rows],
        "experiments": [dict(experiment) for experiment in collection.experiments],
        "settings": _differences(collection.settings),
        "notes": list(collection.notes),
        "colours": colours(),
    }


def _plain_curves(row: dict[str, Any], points: int) -> dict[str, list[Any]]:
    """Return epochs and values of each curve of a row, and of how many points where fewer stay."""
    found: dict[str, Curve] = row.get("curves", {})
    plain: dict[str, list[Any]] = {}
    for name, whole in found.items():
        curve = thin(whole, points)
        plain[name] = [[epoch for epoch, _ in curve], [float(f"{value:.5g}") for _, value in curve]]
        if len(curve) < len(whole):
            plain[name].append(len(whole))
    return plain


def _differences(settings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Write the first configuration whole, of the others what differs from it."""
    first = settings[0] if settings else {}
    return [
        {
            "set": {k: v for k, v in flat.items() if number == 0 or first.get(k, ...) != v},
            "unset": [key for key in first if key not in flat],
        }
        for number, flat in enumerate(settings)
    ]


def _thin(values: dict[str, Any], collection: Collection, most_bytes: int) -> None:
    """Cut down what is least missed until the text is small enough; say what was cut."""

    def fits() -> bool:
        return len(to_json(values)) <= most_bytes

    for points in POINTS[1:]:
        if fits():
            break
        for row, whole in zip(values["rows"], collection.rows, strict=True):
            row["curves"] = _plain_curves(whole, points)
    if fits():
        kept = [c[0] for row in values["rows"] for c in row["curves"].values() if len(c) > 2]
        if kept:
            values["notes"].append(
                f"Training curves are thinned to {max(map(len, kept))} points; a line under each "
                "chart says of how many."
            )
        return
    cuts: tuple[tuple[str, Any, str], ...] = (
        ("curves", {}, "training curves are left out."),
        ("settings", None, "configurations are left out; they lie in each run's directory."),
        ("volumes", {}, "the figures of single volumes are left out."),
    )
    for key, empty, note in cuts:
        if fits():
            return
        values["notes"].append(f"Many runs: {note}")
        for row in values["rows"]:
            row[key] = empty
        if key == "settings":
            values["settings"] = []


def _show(values: dict[str, Any], galleries: list[Gallery | None], free_bytes: int) -> list[str]:
    """Share the bytes out among galleries; returns strips in base64 as the page numbers them."""
    strips: list[str] = []
    order = sorted(
        (number for number, gallery in enumerate(galleries) if gallery is not None),
        key=lambda number: getattr(galleries[number], "pixels", 0),
    )
    for place, number in enumerate(order):
        share = (free_bytes - sum(cost(s) for s in strips)) // (len(order) - place)
        experiment, gallery = values["experiments"][number], galleries[number]
        assert gallery is not None
        try:
            pictures = gallery.fit(int(share * 3 / 4 * 0.97))
        except (DataError, KdmriError) as error:
            experiment["notes"] = [*experiment["notes"], f"No pictures, since {error}."]
            continue
        added = [base64.b64encode(strip.webp).decode() for strip in pictures.strips]
        viewer = viewer_values(pictures, len(strips))
        needed = sum(cost(s) for s in added) + len(to_json(viewer))
        if needed <= share:
            experiment["viewer"] = viewer
            strips += added
            free_bytes -= len(to_json(viewer))
        else:
            experiment["notes"] = [*experiment["notes"], "No pictures, since no room was left."]
    return strips


def _assemble(values: dict[str, Any], strips: list[str]) -> str:
    folder = files(__package__) / "assets"
    return assemble("kdmri report", folder, "page.html", SCRIPTS, values, strips)
