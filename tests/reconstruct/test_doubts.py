"""`kdmri reconstruct` says where sensitivities do not explain the scan."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.data.readers.coils import sensitivities
from tests.reconstruct.coils import TRAINED, kspace, write_layout
from tests.reconstruct.expected import Run

MAPS = sensitivities(5, (48, 40))


@pytest.mark.parametrize(
    ("noise", "maps", "doubted"),
    [
        (0.5, MAPS, False),
        (0.5, None, False),  # estimated
        (60.0, MAPS, False),  # most of it is noise, which no map explains
        (0.5, MAPS.conj(), True),
        (0.5, MAPS[::-1], True),
    ],
)
def test_sensitivities_of_another_scan_are_doubted(
    checkpoint: Callable[..., Path],
    reconstruct: Run,
    anatomy: np.ndarray,
    tmp_path: Path,
    noise: float,
    maps: np.ndarray | None,
    doubted: bool,
) -> None:
    values = kspace(anatomy, noise=noise)
    stored = None if maps is None else np.broadcast_to(maps, values.shape)
    write_layout(tmp_path / "scan.h5", values, stored)
    result = reconstruct(checkpoint=checkpoint(**TRAINED), input="scan.h5", output="out.h5")
    assert result.code == 0, result.err
    assert ("of the fully sampled centre" in result.out) == doubted, result.out


def test_an_object_larger_than_the_field_of_view_is_told(
    checkpoint: Callable[..., Path], reconstruct: Run, anatomy: np.ndarray, tmp_path: Path
) -> None:
    """Every second row of k-space: the lower half of the image folds onto the upper."""
    write_layout(tmp_path / "scan.h5", kspace(anatomy)[:, :, ::2])
    result = reconstruct(checkpoint=checkpoint(**TRAINED), input="scan.h5", output="out.h5")
    assert result.code == 0, result.err
    assert "may be larger than the field of view" in " ".join(result.out.split())
