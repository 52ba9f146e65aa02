"""What stages are called in tables of many: short, and distinct."""

import re
from collections.abc import Collection, Sequence
from itertools import takewhile
from pathlib import Path


def without_seed(directory: Path) -> str:
    """Name a stage's directory without its seed."""
    return re.sub(r"_seed-\d+", "", directory.name)


def distinct_label(label: str, name: str, alike: Collection[str]) -> str:
    """Add to a label the words of a directory's name that not all of its kind have.

    Args:
        label: such as "Student + KD".
        name: of the directory, words joined by "_", such as "flips_fsp_kd".
        alike: names of all directories of this label, this one among them.

    Returns:
        Such as "Student + KD (fsp)" beside "flips_kd"; the label alone for what has no such words.
    """
    words = [other.split("_") for other in alike]
    first = _shared(words)
    last = _shared([each[first:][::-1] for each in words])
    own = name.split("_")
    rest = "_".join(own[first : len(own) - last])
    return f"{label} ({rest})" if rest else label


def _shared(words: Sequence[Sequence[str]]) -> int:
    """Count the words with which all begin."""
    return sum(1 for _ in takewhile(lambda found: len(set(found)) == 1, zip(*words, strict=False)))
