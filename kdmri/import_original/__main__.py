"""Take over a checkpoint of another project: `kdmri import --help`."""

from omegaconf import DictConfig

from kdmri.config.checks import CHECKS as TRAINING
from kdmri.config.entry import entry_point
from kdmri.config.values import TEXT, Kinds, or_null, size
from kdmri.loading import loading

CHECKS: Kinds = {
    **TRAINING,
    "checkpoint": or_null(TEXT),
    "into": or_null(TEXT),
    "slice_size": or_null(size(1)),
}


@entry_point("import_original", CHECKS)
def main(config: DictConfig) -> None:
    """Write the weights as a finished stage, which train.py goes on from."""
    # PyTorch takes seconds to load, for which help and a mistyped word need not wait.
    with loading():
        from kdmri.import_original.command import take_over

    take_over(config)


if __name__ == "__main__":
    main()
