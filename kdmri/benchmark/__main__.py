"""Measure how fast the suite is here: `kdmri benchmark --help`."""

from omegaconf import DictConfig

from kdmri.config.entry import entry_point
from kdmri.config.values import COUNT, TEXT, Kinds, one_of, or_null, size, whole
from kdmri.loading import loading

CHECKS: Kinds = {
    "against": or_null(one_of("reference")),
    "device": one_of("cpu", "cuda"),
    "precision": one_of("32-true", "bf16-mixed"),
    "json": or_null(TEXT),
    "earlier": or_null(TEXT),
    "size": size(1),
    **dict.fromkeys(("batch_size", "slices", "rounds"), COUNT),
    **{key: whole(0) for key in ("warm_up", "seed")},
    "threads": or_null(COUNT),
}
"""Which values are allowed, by key."""


@entry_point("benchmark", CHECKS)
def main(config: DictConfig) -> None:
    """Measure every work that was asked for, print the table, write the JSON file."""
    # PyTorch takes seconds to load, for which help and a mistyped word need not wait.
    with loading():
        from kdmri.benchmark.command import benchmark

    benchmark(config)


if __name__ == "__main__":
    main()
