"""`kdmri reconstruct` of a scanner's undersampled scan with calibration lines."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from kdmri.data.masks import EquispacedLines
from kdmri.data.readers.ismrmrd import Ismrmrd
from tests.data.readers.coils import centred_fft2
from tests.data.readers.ismrmrd_files import ROWS, Scan, header
from tests.data.readers.ismrmrd_scans import BOTH, CALIBRATION, coil_images
from tests.reconstruct.coils import TRAINED, by_hand, scale_of
from tests.reconstruct.expected import Run
from tests.reconstruct.test_several_coils import maps_of


def test_sensitivities_and_scale_come_from_calibration_lines(
    checkpoint: Callable[..., Path], reconstruct: Run, anatomy: np.ndarray, tmp_path: Path
) -> None:
    """Every third row is an image line; 14 in the middle calibrate, some of them both."""
    kspace = 40 * centred_fft2(coil_images(anatomy))
    middle = range(ROWS // 2 - 7, ROWS // 2 + 7)
    with Scan(tmp_path / "scan.h5", header(len(kspace))) as scan:
        for row in range(ROWS):
            flags = () if row not in middle else BOTH if row % 3 == 0 else CALIBRATION
            if row % 3 == 0 or row in middle:
                scan.line(kspace[:, row], flags, row=row)
    path = checkpoint(**TRAINED)
    result = reconstruct(checkpoint=path, input="scan.h5", output="out.h5")
    assert result.code == 0, result.err
    assert "mask detected: 640 of 1,920 samples (3.00x); coils: 4" in result.out
    assert "estimated from 14x24 samples" in result.out

    (volume,) = Ismrmrd(undersampled=True).volumes(tmp_path / "scan.h5")
    (item,) = volume.slices()
    reference = np.where(item.calibration != 0, item.calibration, item.kspace_coils)[None]
    scale, maps = scale_of(reference, (14, 24)), maps_of(reference, (14, 24))
    expected = by_hand(path, item.kspace_coils[None], item.mask, maps, scale) * scale
    with h5py.File(tmp_path / "out.h5") as file:
        found = file["reconstruction"][...] * file.attrs["scale"]
    assert found.shape == (1, ROWS, 40)
    np.testing.assert_allclose(found, expected, atol=1e-4 * scale)
    nifti = reconstruct(checkpoint=path, input="scan.h5", output="out.nii.gz")
    assert nifti.code == 0, nifti.err


def test_trial_along_the_readout_is_refused_with_the_way_out(
    checkpoint: Callable[..., Path], reconstruct: Run, anatomy: np.ndarray, tmp_path: Path
) -> None:
    """The network was trained with masks of columns; here they are the readout."""
    with Scan(tmp_path / "scan.h5", header(4)) as scan:
        scan.image(40 * centred_fft2(coil_images(anatomy)))
    path = checkpoint(**TRAINED)
    result = reconstruct(checkpoint=path, input="scan.h5", output="out.h5")
    assert result.code == 2
    text = " ".join(result.err.split())
    assert "scan.h5: was read out along its columns (axis 1)" in text
    assert "give mask=FILE.npy, a mask (H, W) of whole rows" in text
    assert not (tmp_path / "out.h5").exists()
    np.save(tmp_path / "rows.npy", EquispacedLines(3, axis=0, centre_fraction=0.25)((ROWS, 40)))
    given = reconstruct(checkpoint=path, input="scan.h5", output="out.h5", mask="rows.npy")
    assert given.code == 0, given.err
