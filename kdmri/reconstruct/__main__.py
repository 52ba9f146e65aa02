"""Reconstruct scans with a trained network: `kdmri reconstruct --help`."""

from omegaconf import DictConfig

from kdmri.config.entry import entry_point
from kdmri.config.values import COUNT, TEXT, number, one_of, or_null, size
from kdmri.loading import loading
from kdmri.reconstruct.choices import DEVICES, RUNTIMES


@entry_point(
    "reconstruct",
    {
        **dict.fromkeys(("checkpoint", "input", "output", "mask", "page"), or_null(TEXT)),
        "sr_scale": or_null(number(least=1)),
        "image_size": or_null(size(1)),
        "batch_size": COUNT,
        "device": one_of(*DEVICES),
        "runtime": one_of(*RUNTIMES),
    },
)
def main(config: DictConfig) -> None:
    """Reconstruct; the exit code is 2 where a volume cannot be used."""
    # PyTorch takes seconds to load, for which help and a mistyped word need not wait.
    with loading():
        from kdmri.hardware import keep_freed_memory
        from kdmri.reconstruct.command import reconstruct

    keep_freed_memory()
    reconstruct(config)


if __name__ == "__main__":
    main()
