"""Write a trained network as a file that other programs run: `kdmri export --help`."""

from omegaconf import DictConfig

from kdmri.config.entry import entry_point
from kdmri.config.values import COUNT, TEXT, Kinds, number, or_null
from kdmri.loading import loading

CHECKS: Kinds = {
    **dict.fromkeys(("checkpoint", "output", "verify", "slices", "mask"), or_null(TEXT)),
    **dict.fromkeys(("check_slices", "calibration_slices", "repeats"), COUNT),
    "sr_scale": or_null(number(least=1)),
    "bounds.*.difference": or_null(number(least=0)),
    "bounds.*.psnr": number(),
}
"""Which values are allowed, by key."""


@entry_point("export", CHECKS)
def main(config: DictConfig) -> None:
    """Export and check, or verify a file that is there."""
    # PyTorch takes seconds to load, for which help and a mistyped word need not wait.
    with loading():
        from kdmri.export.command import export

    export(config)


if __name__ == "__main__":
    main()
