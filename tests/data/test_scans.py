"""Masks of scans of several coils: how they are told, and which are refused."""

import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from kdmri.data.attributes import READOUT
from kdmri.data.batch import Coils, Slice
from kdmri.data.coils import inspect_coils
from kdmri.data.cropping import Window
from kdmri.data.datamodule import MRIDataModule
from kdmri.data.masks import EquispacedLines, GaussianLines, PoissonDisc, UniformLines
from kdmri.data.readers.cfl import Cfl
from kdmri.data.readers.fastmri import FastMRI
from kdmri.data.readers.ismrmrd import Ismrmrd
from kdmri.data.simulation import Simulation
from kdmri.errors import DataError
from kdmri.physics import CartesianUndersampling, Espirit
from kdmri.prepare.writing import Form, write_prepared
from tests.data.coil_volumes import write
from tests.data.readers import test_cfl, test_fastmri
from tests.data.readers.coils import centred_fft2, phased
from tests.data.readers.ismrmrd_files import Scan, header
from tests.data.readers.ismrmrd_scans import coil_images


def data_of(folder: Path, task: CartesianUndersampling) -> MRIDataModule:
    espirit = Espirit(calibration=24, kernel=4, threshold=0.02, crop=0.5)
    return MRIDataModule(
        task, folder, None, batch_size=2, seed=0, channels=2, sensitivities=espirit
    )


def test_acceleration_is_that_of_all_measured_volumes(tmp_path: Path, anatomy: np.ndarray) -> None:
    """Each volume has a mask by its name, and one of them was padded by 4 columns."""
    padded = (np.fft.fftfreq(40) * 40 > 15).nonzero()[0]
    for split, names in (("train", "a"), ("validation", "b"), ("test", "cdef")):
        for name in names:
            path = tmp_path / split / f"{name}.h5"
            write(path, phased(anatomy, slice(10, 12)))
            if name == "d":
                with h5py.File(path, "a") as file:
                    file["kspace_coils"][:, :, padded] = 0
    rule = UniformLines(2.0, centre_fraction=0.3)
    data = data_of(tmp_path, CartesianUndersampling(rule, by_volume=True))
    told = []
    for name in "cdef":
        columns = rule.of_volume(tuple(f"{name}.h5".encode()))((48, 40))[0] > 0
        acquired = np.ones(40, bool)
        if name == "d":
            acquired[padded] = False
        told.append(acquired.sum() / (columns & acquired).sum())
    assert max(told) - min(told) > 0.1
    text = data.describe_sampling("evaluation")
    assert f"effective acceleration {min(told):.2f}x to {max(told):.2f}x; 4 coils" in text
    assert data.doubts("evaluation") == []
    far = data_of(tmp_path, CartesianUndersampling(UniformLines(50.0, centre_fraction=0.3)))
    assert "acceleration 50x is 3x in effect" in far.doubts("evaluation")[0], "36 of 12 at worst"
    one = data_of(tmp_path, CartesianUndersampling(rule)).describe_sampling("selection")
    assert re.search(r"effective acceleration [\d.]+x;", one), "one volume, one number"


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (EquispacedLines(4.0, axis=1, centre_fraction=0.3), "dataset.mask.axis=0"),
        (PoissonDisc(4.0, centre_radius=6), "mask_rule@dataset.mask=equispaced_lines dataset.mask"),
    ],
)
def test_mask_along_the_readout_is_refused_with_the_option(
    tmp_path: Path, anatomy: np.ndarray, rule: EquispacedLines | PoissonDisc, words: str
) -> None:
    """ISMRMRD's columns are the readout: the file says so, and training refuses to undersample."""
    kspace = 40 * centred_fft2(coil_images(anatomy))
    for split in ("train", "validation", "test"):
        with Scan(tmp_path / f"{split}.h5", header(len(kspace))) as scan:
            scan.image(kspace)
        (volume,) = Ismrmrd(keep_coils=True).volumes(tmp_path / f"{split}.h5")
        form = Form(None, Simulation(phase=False, snr=None, seed=0))
        volume = replace(volume, subject=split)
        entry = write_prepared(volume, split, tmp_path, tmp_path / "out", form)
        assert inspect_coils(tmp_path / "out" / entry.file).readout == 1
    with pytest.raises(DataError, match=r"train\.h5: was read out along its columns") as refused:
        data_of(tmp_path / "out", CartesianUndersampling(rule)).dataset("train")
    assert words in str(refused.value)
    lines = CartesianUndersampling(GaussianLines(2.0, axis=0))
    assert len(data_of(tmp_path / "out", lines).dataset("train")) == 1
    with h5py.File(tmp_path / "out" / entry.file, "a") as file:
        del file.attrs[READOUT]
    assert data_of(tmp_path / "out", CartesianUndersampling(rule)).dataset("evaluation")


def test_scans_with_two_phase_encodings_may_be_undersampled_along_both(
    tmp_path: Path, anatomy: np.ndarray
) -> None:
    kspace = centred_fft2(phased(anatomy, slice(10, 14)))
    test_cfl.write(tmp_path / "flat", kspace[0], {0: 48, 1: 40})
    test_cfl.write(tmp_path / "solid", kspace, {2: 4, 0: 48, 1: 40})
    flat, solid = Cfl().volumes(tmp_path)
    assert (flat.readout, solid.readout) == (0, None)


def test_poisson_disc_counts_what_was_acquired() -> None:
    """Calgary-Campinas: 5x within the 85 % of the second phase encoding that were acquired."""
    rule = PoissonDisc(acceleration=5)
    size, last = (218, 170), int(np.ceil(0.85 * 170))
    centred = np.zeros(size, np.float32)
    centred[:, :last] = 1
    acquired = np.fft.ifftshift(centred)
    mask = rule.within(acquired)
    assert int(mask.sum()) == round(218 * last / 5)
    assert not mask[acquired == 0].any()
    np.testing.assert_array_equal(rule.within(np.ones(size)), rule(size))

    maps = torch.ones(1, 2, *size, dtype=torch.complex64)
    there = torch.from_numpy(acquired)[None, None]
    coils = Coils(maps, there, torch.zeros(1, 1), Window(0, 0, *size))
    none = torch.zeros(1, dtype=torch.int64)
    given = Slice(torch.zeros(1, 2, *size), maps * there, torch.ones(1), none, none, coils=coils)
    batch = CartesianUndersampling(rule)(given)
    np.testing.assert_array_equal(batch.mask[0, 0].numpy(), mask)
    lines = EquispacedLines(4.0)
    drawn = CartesianUndersampling(lines)(given).mask[0, 0].numpy()
    np.testing.assert_array_equal(drawn, lines(size) * acquired)


@pytest.mark.parametrize(("key", "value"), [(READOUT, 2), (READOUT, "rows"), ("scale", "much")])
def test_attributes_that_are_none_are_named(
    tmp_path: Path, anatomy: np.ndarray, key: str, value: object
) -> None:
    write(tmp_path / "a.h5", phased(anatomy, slice(10, 11)))
    with h5py.File(tmp_path / "a.h5", "a") as file:
        if key == "scale":
            file["kspace"] = np.moveaxis(file["kspace_coils"][...], -1, 0)
            file.attrs["kspace_file"] = str(tmp_path / "a.h5")
        file.attrs[key] = value
    with pytest.raises(DataError, match=rf"a\.h5: attribute {key}={value} must be"):
        inspect_coils(tmp_path / "a.h5")


def test_mask_along_the_readout_is_refused_for_one_coil_with_phase(
    tmp_path: Path, anatomy: np.ndarray
) -> None:
    """FastMRI's rows are the readout; magnitudes are undersampled along any axis, as published."""
    for number, split in enumerate(("train", "validation", "test")):
        path = test_fastmri.write(
            tmp_path / f"{split}.h5", test_fastmri.oversampled(anatomy), patient=f"{number}"
        )
        (volume,) = FastMRI(keep_coils=False).volumes(path)
        form = Form(None, Simulation(phase=False, snr=None, seed=0))
        write_prepared(volume, split, tmp_path, tmp_path / "out", form)
    rows, columns = (CartesianUndersampling(GaussianLines(2.0, axis=axis)) for axis in (0, 1))
    complex_images = partial(MRIDataModule, folder=tmp_path / "out", acceleration=None)
    complex_images = partial(complex_images, batch_size=2, seed=0, channels=2)
    with pytest.raises(DataError, match=r"train\.h5: was read out along its rows .*mask\.axis=1"):
        complex_images(rows).dataset("train")
    assert len(complex_images(columns).dataset("train")) == 3
    assert len(complex_images(rows, channels=1).dataset("train")) == 3
