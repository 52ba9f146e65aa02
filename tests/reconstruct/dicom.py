"""DICOM series that `reconstruct` wrote, read by pydicom and judged by other programs."""

import shutil
import subprocess
from pathlib import Path

import nibabel
import numpy as np
import pydicom

from tests.data.readers.dicom_files import COLUMN, ROW, image, save

ORIENTATIONS = {
    "axial": ([1, 0, 0], [0, 1, 0]),
    "coronal": ([1, 0, 0], [0, 0, -1]),
    "sagittal": ([0, 1, 0], [0, 0, -1]),
    "oblique": (ROW, COLUMN),
}


def write_series(
    folder: Path, stored: np.ndarray, orientation: str, number: int = 1, **values: object
) -> None:
    """Write slices (H, W, S) of an even, straight stack."""
    row, column = (np.array(part, float) for part in ORIENTATIONS[orientation])
    first, step = np.array([9.0, -20, 5]), 2.5 * np.cross(row, column)
    for n in range(stored.shape[2]):
        tags = {
            "ImagePositionPatient": [float(round(v, 6)) for v in first + n * step],
            "ImageOrientationPatient": [float(v) for v in (*row, *column)],
            "SeriesInstanceUID": f"1.2.3.4.{number}",
            "SeriesNumber": number,
            "SOPInstanceUID": f"1.2.3.4.{number}.{n + 1}",
            "InstanceNumber": n + 1,
        }
        save(image(stored[:, :, n], **{**tags, **values}), folder / f"{number}_{n}.dcm")


def read_series(folder: Path) -> list[pydicom.Dataset]:
    """Read the files of a folder by their names."""
    return [pydicom.dcmread(path) for path in sorted(folder.glob("*.dcm"))]


def pixels(made: pydicom.Dataset) -> np.ndarray:
    stored = made.pixel_array.astype(np.float64)
    return stored * float(made.RescaleSlope) + float(made.RescaleIntercept)


def check(folder: Path) -> None:
    """Let dciodvfy (Debian's dicom3tools) judge all files, where it is there."""
    program = shutil.which("dciodvfy")
    for path in folder.rglob("*.dcm") if program else ():
        done = subprocess.run([program, path], capture_output=True, text=True, check=False)
        said = (done.stdout + done.stderr).splitlines()
        assert [line for line in said if line.startswith("Error")] == [], path


def by_dcm2niix(folder: Path, output: Path) -> dict[int, nibabel.Nifti1Image]:
    """Convert all series below a folder; by series number."""
    output.mkdir()
    words = ["-z", "n", "-b", "n", "-f", "%s", "-o", str(output), str(folder)]
    done = subprocess.run(["dcm2niix", *words], capture_output=True, text=True, check=False)
    found = {int(path.stem): nibabel.load(path) for path in output.glob("*.nii")}
    assert found, done.stdout + done.stderr
    return found
