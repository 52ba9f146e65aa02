"""Small valid files of every format, written the same in every run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import nibabel
import numpy as np
import torch

from kdmri.data.layout import write_volume
from kdmri.data.masks import GaussianLines
from kdmri.models.stored import build_network
from tests.conftest import CENTRE, LINES, write_original
from tests.data.readers import dicom_files, ismrmrd_files
from tests.data.readers.coils import centred_fft2, sensitivities
from tests.data.readers.test_calgary import save_channels, save_single
from tests.data.readers.test_cfl import write as write_cfl
from tests.data.readers.test_cmrxrecon import matlab_order
from tests.data.readers.test_cmrxrecon import write as write_cmrxrecon
from tests.data.readers.test_fastmri import HEADER
from tests.data.readers.test_hammernik import WRITERS, write_slice

SIZE = (24, 20)
SLICES = 3
NETWORKS = ("magnitude.pt", "complex.pt", "centre.pt")
MATLAB_TEXT = b"MATLAB 5.0 MAT-file".ljust(116)


@dataclass(frozen=True)
class Format:
    """One kind of input.

    Attributes:
        write: writes a source below an empty folder.
        reader: choice of `format`.
        options: keys of `format.` with the values that cases choose from.
        victim: role of the mutated file where it is no part of the source: "checkpoint", "mask".
    """

    write: Callable[[Path], None]
    reader: str
    options: dict[str, Sequence[Any]] = field(default_factory=dict)
    victim: str | None = None


def magnitudes() -> np.ndarray:
    """Ellipses within ellipses, (H, W, S), float64 in [0, 1]."""
    rows, columns = np.meshgrid(*(np.linspace(-1, 1, n) for n in SIZE), indexing="ij")
    slices = []
    for n in range(SLICES):
        radius = np.hypot(rows, columns * (1.1 + 0.1 * n))
        inner = np.hypot(rows - 0.3, columns + 0.1 * n)
        slices.append(0.5 * (radius < 0.8) + 0.3 * np.exp(-4 * inner**2) * (radius < 0.8))
    volume = np.stack(slices, axis=-1)
    return volume / volume.max()


def images() -> np.ndarray:
    """The same with a smooth phase, (S, H, W), complex64."""
    rows, columns = np.meshgrid(*(np.linspace(-1, 1, n) for n in SIZE), indexing="ij")
    phase = np.exp(1j * (1.5 * rows - columns + rows * columns))
    return (np.moveaxis(magnitudes(), -1, 0) * phase).astype(np.complex64)


def _nifti(version: type, ending: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        affine = np.diag([1.2, 1.1, 4.0, 1.0])
        stored = np.round(magnitudes() * 1000).astype(np.int16)
        image = version(stored, affine)
        image.header.set_xyzt_units("mm", "sec")
        nibabel.save(image, folder / f"a{ending}")
        frames = np.stack([magnitudes(), magnitudes() / 2], axis=-1).astype(np.float32)
        nibabel.save(version(frames, affine), folder / f"b{ending}")

    return write


def _dicom(folder: Path) -> None:
    stored = np.round(magnitudes() * 4000).astype(np.uint16)
    for n in range(SLICES):
        description = {"InstanceNumber": n + 1, "SOPInstanceUID": f"1.2.3.5.{n + 1}"}
        dicom_files.save(
            dicom_files.image(stored[:, :, n], n, **description), folder / f"IM{n}", compress=n == 1
        )


def _enhanced(folder: Path) -> None:
    stored = np.round(magnitudes() * 4000).astype(np.uint16)
    made = dicom_files.enhanced(stored, [(0, n) for n in range(SLICES)])
    made.SOPInstanceUID = "1.2.3.6.1"
    dicom_files.save(made, folder / "enhanced.dcm")


def _ismrmrd(folder: Path) -> None:
    height, width = SIZE
    xml = ismrmrd_files.header(
        coils=2,
        encoded=(width, height, 1),
        recon=(width, height, 1),
        fields=((200, 240, 5), (200, 240, 5)),
        centres=(height // 2, 0),
    )
    for name, coils in (("one", 1), ("two", 2)):
        with ismrmrd_files.Scan(folder / f"{name}.h5", xml) as scan:
            for n, image in enumerate(images()[:2]):
                scan.image(centred_fft2(image * sensitivities(coils, SIZE)), slice=n)


def _fastmri(folder: Path) -> None:
    xml = HEADER.format(x=16, y=16)
    for name, coils in (("singlecoil_train/file1", 0), ("multicoil_train/file2", 2)):
        path = folder / f"{name}.h5"
        path.parent.mkdir(parents=True)
        shown = images() if not coils else images()[:, None] * sensitivities(coils, SIZE)
        with h5py.File(path, "w") as file:
            file["kspace"] = centred_fft2(shown)
            file["ismrmrd_header"] = xml.encode()
            file.attrs.update({"acquisition": "CORPD_FBK", "max": 1.0, "patient_id": "abc"})


def _cfl(folder: Path) -> None:
    coils = images()[:, None] * sensitivities(2, SIZE)
    write_cfl(folder / "a", centred_fft2(coils), {13: SLICES, 3: 2, 0: SIZE[0], 1: SIZE[1]})
    write_cfl(folder / "b", centred_fft2(images()[0]), {0: SIZE[0], 1: SIZE[1]})


def _cmrxrecon(folder: Path) -> None:
    coils = (images()[:, None] * sensitivities(2, SIZE))[None]
    write_cmrxrecon(folder / "P1" / "a.mat", "kspace_full", matlab_order(centred_fft2(coils)))


def _calgary_single(folder: Path) -> None:
    for name in ("Train/e1.npy", "Val/e2.npy"):
        save_single(folder / name, images())


def _calgary_channels(folder: Path) -> None:
    (folder / "Train").mkdir()
    kspace = np.fft.fft2(images()[:, None] * sensitivities(2, SIZE))
    save_channels(folder / "Train" / "e1.h5", np.fft.fftshift(kspace, axes=(-2, -1)))


def _numpy(folder: Path) -> None:
    np.save(folder / "a.npy", np.moveaxis(magnitudes(), -1, 0).astype(np.float32))
    np.save(folder / "b.npy", images())


def _numpy_kspace(folder: Path) -> None:
    np.save(folder / "a.npy", centred_fft2(images()))
    np.save(folder / "b.npy", centred_fft2(images()[1]))


def _numpy_coils(folder: Path) -> None:
    coils = images()[:, None] * sensitivities(2, SIZE)
    np.save(folder / "a.npy", centred_fft2(coils))


def _matlab(version: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        for number in (1, 2):
            write_slice(folder / "1", number, images()[number], WRITERS[version])
        for path in (folder / "1").iterdir():  # without the time of writing
            text = path.read_bytes()
            if text.startswith(b"MATLAB 5"):
                path.write_bytes(MATLAB_TEXT + text[116:])

    return write


def _acdc(folder: Path) -> None:
    for place, number in (("training", 1), ("testing", 101)):
        patient = folder / place / f"patient{number:03d}"
        patient.mkdir(parents=True)
        for name, values in (("frame01", magnitudes()), ("frame04", magnitudes() / 2)):
            image = nibabel.Nifti1Image((values * 200).astype(np.int16), np.diag([1.4, 1.4, 10, 1]))
            nibabel.save(image, patient / f"{patient.name}_{name}.nii.gz")
        (patient / "Info.cfg").write_text("ED: 1\nES: 4\nGroup: DCM\nNbFrame: 2\n")


def _mrbrains(folder: Path) -> None:
    for place in ("TrainingData/1", "TestData/2"):
        (folder / place).mkdir(parents=True)
        for name in ("T1", "T2_FLAIR"):
            image = nibabel.Nifti1Image(magnitudes().astype(np.float32), np.diag([1, 1, 3, 1]))
            nibabel.save(image, folder / place / f"{name}.nii")


def _layout(folder: Path) -> None:
    write_volume(folder / "train" / "1.h5", magnitudes(), {"spacing_mm": "1 1 2"})
    write_volume(folder / "validation" / "1.h5", np.moveaxis(images(), 0, -1), {"subject": "p"})


def _layout_stored(folder: Path) -> None:
    mask = GaussianLines(4)(SIZE)
    write_original(folder / "train" / "acc_4x" / "1.h5", magnitudes(), mask)
    write_original(folder / "train" / "acc_4x" / "2.h5", magnitudes()[:, :, 1], mask)


def _with_mask(folder: Path) -> None:
    _numpy(folder)
    np.save(folder.parent / "mask.npy", GaussianLines(4)(SIZE))


def _with_checkpoint(folder: Path) -> None:
    _numpy(folder)
    write_network(folder.parent / "checkpoint.pt", 1, LINES)


def write_network(path: Path, channels: int, sampling: dict[str, Any]) -> None:
    """Write a checkpoint as training does, of a small network near the identity."""
    network = {"_target_": "kdmri.models.DCCNN", "cascades": 2, "residual": True}
    if sampling is CENTRE:
        network = {"_target_": "kdmri.models.VDSR"}
    network |= {"depth": 2, "width": 4, "channels": channels}
    random = torch.Generator().manual_seed(0)
    weights = {
        key: torch.rand(value.shape, generator=random) / 20
        for key, value in build_network(network).state_dict().items()
    }
    task = {"name": "t", "sampling": sampling}
    description = {
        "format": 2,
        "epoch": 1,
        "score": 0.1,
        "metrics": {},
        "task": task,
        "stage": "kd",
    }
    torch.save({"network": network, "weights": weights, **description}, path)


def write_all(folder: Path) -> None:
    """Write a folder for each format with its source in `input`, and the networks beside them."""
    for name, one in FORMATS.items():
        (folder / name / "input").mkdir(parents=True)
        one.write(folder / name / "input")
    for name, channels, sampling in zip(NETWORKS, (1, 2, 1), (LINES, LINES, CENTRE), strict=True):
        write_network(folder / name, channels, sampling)


TURNS = {"orientation": (None, None, "axial", "coronal", "sagittal"), "axis": (2, 2, 0, 1)}
COILS = {"keep_coils": (False, True)}
FORMATS: dict[str, Format] = {
    "nifti1": Format(_nifti(nibabel.Nifti1Image, ".nii"), "nifti", TURNS),
    "nifti1_gz": Format(_nifti(nibabel.Nifti1Image, ".nii.gz"), "nifti", TURNS),
    "nifti2": Format(_nifti(nibabel.Nifti2Image, ".nii"), "nifti", TURNS),
    "nifti2_gz": Format(_nifti(nibabel.Nifti2Image, ".nii.gz"), "nifti", TURNS),
    "dicom": Format(_dicom, "dicom"),
    "dicom_enhanced": Format(_enhanced, "dicom"),
    "ismrmrd": Format(_ismrmrd, "ismrmrd", COILS),
    "fastmri": Format(_fastmri, "fastmri", COILS),
    "calgary_npy": Format(_calgary_single, "calgary"),
    "calgary_h5": Format(_calgary_channels, "calgary", COILS),
    "numpy": Format(_numpy, "numpy", {"axis": (0, 0, 1, 2)}),
    "numpy_kspace": Format(
        _numpy_kspace, "numpy", {"kspace": (True,), "centred": (True, "kspace", False)}
    ),
    "numpy_coils": Format(_numpy_coils, "numpy", {"kspace": (True,), **COILS}),
    "cfl": Format(_cfl, "cfl", COILS),
    "cmrxrecon": Format(_cmrxrecon, "cmrxrecon", COILS),
    "matlab5": Format(_matlab("version 5"), "knee", COILS),
    "matlab73": Format(_matlab("version 7.3"), "knee", COILS),
    "acdc": Format(_acdc, "cardiac"),
    "mrbrains": Format(_mrbrains, "brain"),
    "layout": Format(_layout, "layout"),
    "layout_stored": Format(_layout_stored, "layout"),
    "mask": Format(_with_mask, "numpy", victim="mask.npy"),
    "checkpoint": Format(_with_checkpoint, "numpy", victim="checkpoint.pt"),
}
"""All formats by name; case N is of format N modulo their number."""
