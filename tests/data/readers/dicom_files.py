"""DICOM files of the anatomy as a scanner writes them, and those that pydicom ships."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    RLELossless,
    generate_uid,
)

from kdmri.data.readers.base import SourceVolume
from kdmri.data.readers.dicom import Dicom
from kdmri.errors import DataError

SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"
SLOPE, INTERCEPT = 0.5, 3.0
ROW, COLUMN, NORMAL = np.array([[0.8, 0.6, 0], [0, 0, -1], [-0.6, 0.8, 0]])
STEP = 2.5
"""Between slices, in mm, along their normal."""
SHIFT = 2.0
"""Between slices, in mm, along their rows, as in slanted stacks."""
APART = float(np.hypot(STEP, SHIFT))


def expected(stored: np.ndarray) -> np.ndarray:
    return (stored * SLOPE + INTERCEPT).astype(np.float32)


def dataset(**values: Any) -> Dataset:
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def position(place: float) -> list[float]:
    return [round(float(v), 6) for v in [9, -20, 5] + place * (STEP * NORMAL + SHIFT * ROW)]


def image(stored: np.ndarray, place: float = 0, **values: Any) -> Dataset:
    """Make an MR image of one frame (H, W), or of several (frames, H, W)."""
    made = dataset(
        SOPClassUID=MRImageStorage,
        SOPInstanceUID=generate_uid(),
        StudyInstanceUID="1.2.3",
        SeriesInstanceUID="1.2.3.4",
        SeriesNumber=1,
        SeriesDescription="T1w axial",
        PatientID="p1",
        PatientName="Doe^Jane",
        Modality="MR",
        ImageType=["ORIGINAL", "PRIMARY", "M", "ND"],
        ImageOrientationPatient=[*ROW, *COLUMN],
        ImagePositionPatient=position(place),
        PixelSpacing=[1.5, 1.25],
        SliceThickness=2,
        RescaleSlope=SLOPE,
        RescaleIntercept=INTERCEPT,
        Rows=stored.shape[-2],
        Columns=stored.shape[-1],
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
        BitsAllocated=16,
        BitsStored=12,
        HighBit=11,
        PixelRepresentation=0,
        PixelData=stored.tobytes(),
    )
    if stored.ndim == 3:
        made.NumberOfFrames = len(stored)
    made.update(dataset(**values))
    return made


def save(made: Dataset, path: Path, compress: bool = False) -> Path:
    made.file_meta = FileMetaDataset()
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    if compress:
        made.compress(RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    made.save_as(path, enforce_file_format=True)
    return path


def save_series(
    folder: Path, stored: np.ndarray, compress: bool = False, **values: Any
) -> list[Path]:
    """Write a file for each slice of (H, W, S); neither names nor InstanceNumbers are in order."""
    count = stored.shape[2]
    rng = np.random.default_rng(count)
    names, numbers = rng.permutation(count), rng.permutation(count)
    return [
        save(
            image(stored[:, :, n], n, InstanceNumber=int(numbers[n]) + 1, **values),
            folder / f"IM{names[n]}",
            compress,
        )
        for n in range(count)
    ]


def volumes(source: Path, description: str | None = None) -> list[SourceVolume]:
    return list(Dicom(description).volumes(source))


def read(volume: SourceVolume) -> np.ndarray:
    """Return a volume (H, W, S)."""
    slices = list(volume.slices())
    assert all(item.kspace_coils is None and item.sensitivities is None for item in slices)
    assert {item.image.dtype for item in slices} == {np.dtype(np.float32)}
    return np.stack([item.image for item in slices], axis=-1)


def whole(found: list[SourceVolume]) -> list[np.ndarray | str]:
    """Return the values of volumes, or why they are none."""
    values: list[np.ndarray | str] = []
    for volume in found:
        try:
            values.append(read(volume))
        except DataError as error:
            values.append(str(error))
    return values


def read_one(source: Path) -> np.ndarray:
    (volume,) = volumes(source)
    return read(volume)


def enhanced(stored: np.ndarray, keys: Sequence[tuple[int, int]]) -> Dataset:
    """Make an enhanced MR object (PS3.3 A.36.2) of frames (H, W, frames) at (time, place)."""
    frames = np.ascontiguousarray(np.moveaxis(stored, -1, 0))
    made = image(frames, SOPClassUID=EnhancedMRImageStorage)
    for keyword in (
        *("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing", "SliceThickness"),
        *("RescaleSlope", "RescaleIntercept"),
    ):
        delattr(made, keyword)
    orientation = dataset(ImageOrientationPatient=[*ROW, *COLUMN])
    measures = dataset(PixelSpacing=[1.5, 1.25], SliceThickness=2)
    made.SharedFunctionalGroupsSequence = [
        dataset(PlaneOrientationSequence=[orientation], PixelMeasuresSequence=[measures])
    ]
    made.PerFrameFunctionalGroupsSequence = [
        dataset(
            FrameContentSequence=[dataset(TemporalPositionIndex=time + 1)],
            PlanePositionSequence=[dataset(ImagePositionPatient=position(place))],
            PixelValueTransformationSequence=[
                dataset(RescaleSlope=n + 1, RescaleIntercept=n, RescaleType="US")
            ],
            MRImageFrameTypeSequence=[dataset(ComplexImageComponent="MAGNITUDE")],
        )
        for n, (time, place) in enumerate(keys)
    ]
    return made
