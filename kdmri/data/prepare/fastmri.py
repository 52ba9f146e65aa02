"""fastMRI: k-space of knees and brains, one volume a file."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import ClassVar

import h5py
import numpy as np

from kdmri.data.hdf5 import open_hdf5
from kdmri.data.prepare.kspace import (
    centred_ifft2,
    crop_images,
    root_sum_of_squares,
    several_coils,
    uncentred_kspace,
)
from kdmri.data.prepare.naming import UNREADABLE, blaming, find, split_of
from kdmri.data.prepare.options import check_flags
from kdmri.data.prepare.raw_header import parse_header
from kdmri.data.prepare.source import Reader, SourceSlice, SourceVolume, unreadable

RECONSTRUCTIONS = ("reconstruction_esc", "reconstruction_rss")


@dataclass(frozen=True)
class FastMRI(Reader):
    """Reads fastMRI's h5 files (Zbontar et al. 2018, arXiv:1811.08839; fastmri.med.nyu.edu).

    `kspace` is complex64 (S, H, W), single coil, or (S, coils, H, W), zero frequency in the middle,
    the readout along H. Images are cropped around their centre to the matrix of the header's
    reconSpace, which removes the oversampling of the readout: the complex image of a single coil
    (its magnitude is the file's `reconstruction_esc`), or the root sum of squares of several coils,
    float32 (`reconstruction_rss`).

    Attributes:
        keep_coils: give the coils' k-space too, of the cropped coil images; single-coil files have
            none.
        undersampled: give files with a `mask` as they are, single coil only: zero-filled images,
            cropped along the readout alone, since k-space of other crops is sampled nowhere.
    """

    keep_coils: bool
    undersampled: bool = field(default=False, repr=False)
    raw: ClassVar[bool] = True
    subjects_by: ClassVar[str] = "the attribute patient_id, else the name of the file"

    def __post_init__(self) -> None:
        check_flags(self, "keep_coils")

    def volumes(self, source: Path) -> Iterator[SourceVolume]:
        """Give a volume for each file; see `Reader.volumes`.

        The subject is the owner's pseudonym (attribute `patient_id`), else the file's stem. Folders
        such as `singlecoil_train` and `multicoil_val` give the split; files of the test folders
        hold undersampled k-space, which no target can be made of.
        """
        for path in find(source, (".h5",), "fastMRI files (.h5)"):
            split = split_of(path, source)
            try:
                subject, size, masked = _inspect(path, self.undersampled)
            except UNREADABLE as error:
                yield replace(unreadable(path, error), subject=path.stem, split=split)
                continue
            slices = partial(_undersampled if masked else self._slices, path, size)
            shown = size if masked else None
            yield SourceVolume(path.stem, subject, (path,), slices, split=split, shown=shown)

    def _slices(self, path: Path, size: tuple[int, int]) -> Iterator[SourceSlice]:
        with blaming(path), open_hdf5(path) as file:
            kspace = file["kspace"]
            for index in range(kspace.shape[0]):
                images = crop_images(centred_ifft2(kspace[index]), size)
                if images.ndim == 2:
                    yield SourceSlice(images)
                else:
                    coils = uncentred_kspace(images) if self.keep_coils else None
                    yield SourceSlice(root_sum_of_squares(images), coils)


def _undersampled(path: Path, size: tuple[int, int]) -> Iterator[SourceSlice]:
    """Give zero-filled images (size[0], W) and their mask; the columns of k-space are masked."""
    with blaming(path), open_hdf5(path) as file:
        kspace = file["kspace"]
        columns = np.fft.ifftshift(np.asarray(file["mask"]).reshape(-1) != 0)
        if columns.size != kspace.shape[-1]:
            raise ValueError(f"mask tells of {columns.size} columns, kspace has {kspace.shape[-1]}")
        mask = np.broadcast_to(columns, (size[0], columns.size)).astype(np.uint8)
        for index in range(kspace.shape[0]):
            images = crop_images(centred_ifft2(kspace[index]), mask.shape)
            yield SourceSlice(images, mask=mask)


def _inspect(path: Path, undersampled: bool) -> tuple[str, tuple[int, int], bool]:
    """Check a file without reading its k-space; returns subject, image size (H, W), masked."""
    with open_hdf5(path) as file:
        kspace = file.get("kspace")
        if not isinstance(kspace, h5py.Dataset):
            raise ValueError(f"key kspace is missing (found: {', '.join(file) or 'none'})")
        if kspace.ndim not in (3, 4) or 0 in kspace.shape or kspace.dtype.kind != "c":
            raise ValueError(
                f"kspace is {kspace.dtype} of shape {kspace.shape}; it must be complex, (S, H, W) "
                "or (S, coils, H, W)"
            )
        masked = "mask" in file
        if masked and not undersampled:
            raise ValueError("its k-space is undersampled (key mask): no target can be made of it")
        if masked and kspace.ndim == 4:
            raise ValueError(several_coils(kspace.shape[1]))
        wanted = _recon_size(file)
        patient = file.attrs.get("patient_id") or path.stem
        height, width = (min(pair) for pair in zip(wanted, kspace.shape[-2:], strict=True))
    subject = patient.decode() if isinstance(patient, bytes) else str(patient)
    return subject, (height, width), masked


def _recon_size(file: h5py.File) -> tuple[int, int]:
    """Give (H, W) of the file's reconstruction, which the header tells too."""
    size = None
    if "ismrmrd_header" in file:
        size = parse_header(file["ismrmrd_header"][()]).recon.matrix[:2]
    for key in RECONSTRUCTIONS:
        if key in file:
            return file[key].shape[-2:]
    if size is None:
        raise ValueError(f"neither ismrmrd_header nor {' nor '.join(RECONSTRUCTIONS)} is there")
    return size
