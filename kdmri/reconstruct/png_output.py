"""Reconstructions as pictures."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from kdmri.errors import ConfigurationError
from kdmri.files import folder_written_aside, written_aside
from kdmri.reconstruct.output import Begin, Result, Write, magnitudes


@contextmanager
def png_output(path: Path) -> Iterator[Begin]:
    """Write magnitudes as 8-bit grey, black at 0 and white at the volume's largest input value.

    Args:
        path: of a file (.png) for one slice, else of the folder of a volume.
    """
    from matplotlib.image import imsave  # takes a while, and only pictures need it

    single = path.suffix.lower() == ".png"

    def begin(result: Result) -> Write:
        if single and result.count > 1:
            raise ConfigurationError(
                f"output={path}: a PNG holds one slice, the volume has {result.count}; name a "
                "directory"
            )

        def write(number: int, image: np.ndarray) -> None:
            place = aside if single else aside / f"{number + 1:03d}.png"
            imsave(place, magnitudes(image), cmap="gray", vmin=0, vmax=1, format="png")

        return write

    with written_aside(path) if single else folder_written_aside(path) as aside:
        yield begin
