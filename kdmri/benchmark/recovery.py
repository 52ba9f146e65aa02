"""Kill a training at random moments: `kdmri recovery --help`.

A chain of stages is trained twice by `train.py` with the same settings: once without interruption,
once killed (SIGKILL to all its processes) again and again and resumed by the same command. Both
have to end with the same weights, bit for bit, and the same figures.
"""

from omegaconf import DictConfig

from kdmri.config.entry import entry_point
from kdmri.config.values import COUNT, whole


@entry_point("recovery", {"kills": COUNT, "seed": whole(0)})
def main(config: DictConfig) -> None:
    """Print a row for each kill and whether both ends are the same; exit code 1 where not."""
    # PyTorch takes seconds to load, for which help and a mistyped word need not wait.
    from kdmri.benchmark.kills import recover

    recover(config)


if __name__ == "__main__":
    main()
