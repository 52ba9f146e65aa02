"""Reconstructions as an h5 file."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from kdmri.data.attributes import Attribute, geometry_attributes
from kdmri.data.hdf5 import hdf5_written_aside
from kdmri.reconstruct.output import Begin, Result, Write, magnitudes


@contextmanager
def h5_output(path: Path, facts: Mapping[str, str]) -> Iterator[Begin]:
    """Write `reconstruction` (S, H, W) at the network's scale; attribute `scale` leads back.

    Attributes `spacing_mm` and `affine` are those of the layout (`kdmri.data.layout`).

    Args:
        path: of the file.
        facts: kept as attributes.
    """
    with hdf5_written_aside(path) as file:

        def begin(result: Result) -> Write:
            attributes: dict[str, Attribute] = {**facts, "scale": result.scale}
            file.attrs.update(attributes | geometry_attributes(result.volume.geometry))

            def write(number: int, image: np.ndarray) -> None:
                if "reconstruction" not in file:
                    file.create_dataset(
                        "reconstruction",
                        shape=(result.count, *result.size),
                        dtype=image.dtype,
                        chunks=(1, *result.size),
                        compression="lzf",
                    )
                file["reconstruction"][number] = image

            return write

        yield begin


@contextmanager
def submission(path: Path, facts: Mapping[str, str]) -> Iterator[Begin]:
    """Write `reconstruction` (S, H, W), magnitudes float32 in the units of the source.

    It is what fastMRI's leaderboards and its tools take, such as `fastmri.evaluate`.

    Args:
        path: of the file.
        facts: kept as attributes.
    """
    with hdf5_written_aside(path) as file:

        def begin(result: Result) -> Write:
            file.attrs.update({**facts, **geometry_attributes(result.volume.geometry)})
            shape = (result.count, *result.size)
            stored = file.create_dataset("reconstruction", shape, "f4", chunks=(1, *result.size))

            def write(number: int, image: np.ndarray) -> None:
                stored[number] = magnitudes(image) * np.float32(result.scale)

            return write

        yield begin
