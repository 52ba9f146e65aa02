"""Bring MR data to the h5 layout: `kdmri prepare --help`."""

import sys
from collections.abc import Mapping
from pathlib import Path

from omegaconf import DictConfig

from kdmri.config.entry import entry_point
from kdmri.config.values import COUNT, TEXT, Kind, Kinds, is_number, number, or_null, size, whole
from kdmri.loading import loading


def _are_ratios(value: object) -> bool:
    from kdmri.prepare.subjects import SPLITS

    if value is None:
        return True
    return (
        isinstance(value, Mapping)
        and set(map(str, value)) <= set(SPLITS)
        and all(is_number(share) and share >= 0 for share in value.values())
        and any(value.values())
    )


CHECKS: Kinds = {
    **dict.fromkeys(("source", "name", "check", "mask"), or_null(TEXT)),
    **{f"paths.{key}": TEXT for key in ("datasets", "masks")},
    "image_size": or_null(size(1)),
    "ratios": Kind(
        _are_ratios, "null or such as 'ratios={train: 0.8, validation: 0.1, test: 0.1}'"
    ),
    "subjects": Kind(
        lambda v: v is None or (isinstance(v, str) and v != ""),
        "null, folder, name, study or a regular expression, such as 'subjects=\"(p[0-9]+)\"'",
    ),
    "seed": whole(0),
    "processes": COUNT,
    "coils": or_null(COUNT),
    "simulation.snr": or_null(number(above=0)),
}
"""Which values are allowed, by key."""


@entry_point("prepare", CHECKS)
def main(config: DictConfig) -> None:
    """Prepare a data set, or check one; the exit code is 2 where a file cannot be used."""
    # PyTorch takes seconds to load, for which help and a mistyped word need not wait.
    with loading():
        from kdmri.prepare.command import report_check, run
    failed = run(config) if config.check is None else report_check(Path(config.check))
    if failed:
        sys.exit(2)


if __name__ == "__main__":
    main()
