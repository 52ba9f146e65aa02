"""fastMRI: k-space of knees and brains, one volume a file."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import ClassVar, NamedTuple

import h5py
import numpy as np

from kdmri.data.coils import from_middle
from kdmri.data.geometry import Geometry
from kdmri.data.hdf5 import open_hdf5, read_text
from kdmri.data.readers.base import Reader, SourceSlice, SourceVolume, unreadable
from kdmri.data.readers.kspace import centred_ifft2, root_sum_of_squares
from kdmri.data.readers.naming import UNREADABLE, blaming, find, split_of
from kdmri.data.readers.options import check_flags
from kdmri.data.readers.raw_header import IncompleteHeaderError, parse_header, voxel_size
from kdmri.data.readers.slices import dead_coils
from kdmri.data.sampling_pattern import (
    Measured,
    check_target,
    corner_mask,
    judge,
    measured,
    whole_lines,
)

RSS = "reconstruction_rss"
RECONSTRUCTIONS = ("reconstruction_esc", RSS)

UNLIKE = 0.05
"""Share by which a reconstruction of the file may differ from that of its k-space."""


@dataclass(frozen=True)
class FastMRI(Reader):
    """Reads fastMRI's h5 files (Zbontar et al. 2018, arXiv:1811.08839; fastmri.med.nyu.edu).

    `kspace` is complex64 (S, H, W), single coil, or (S, coils, H, W), zero frequency in the middle,
    the readout along H. Images are cropped around their centre to the matrix of the header's
    reconSpace, which removes the oversampling of the readout, as fastMRI itself does (from
    (n - m) // 2 on); k-space of fewer columns than that (FLAIR files have 203) gives images of as
    many rows. They are the complex image of a single coil (its magnitude is the file's
    `reconstruction_esc`), or of several coils the file's `reconstruction_rss`, float32, or their
    root sum of squares where the file has none. What was measured, the samples tell, since files
    with all samples may carry a `mask` for later use; it counts where it tells the same of a
    central part alone.

    M4Raw (Lyu et al. 2023, doi:10.1038/s41597-023-02181-4) has this layout, and a header that is
    none of ISMRMRD: images of several coils are as large as k-space then, unless the file has a
    reconstruction, and a note says so.

    Attributes:
        keep_coils: let the k-space of several coils be read in place, where the file lies.
        undersampled: give files as they were measured. One coil: images cropped along the readout
            alone, where whole columns of k-space are sampled. Several: k-space as it is stored,
            with its mask, and images as large, whatever was measured.
    """

    keep_coils: bool
    undersampled: bool = field(default=False, repr=False)
    raw: ClassVar[bool] = True
    subjects_by: ClassVar[str] = "the attribute patient_id, else the name of the file"

    def __post_init__(self) -> None:
        check_flags(self, "keep_coils")

    def volumes(self, source: Path) -> Iterator[SourceVolume]:
        """Yield a volume for each file; see `Reader.volumes`.

        The subject is the owner's pseudonym (attribute `patient_id`), else the file's stem. Folders
        such as `singlecoil_train` and `multicoil_val` give the split; files of the test folders
        hold undersampled k-space, which no target can be made of.
        """
        for path in find(source, (".h5",), "fastMRI files (.h5)"):
            split = split_of(path, source)
            try:
                inside = _inspect(path)
                geometry = _geometry(path)
            except UNREADABLE as error:
                yield replace(unreadable(path, error), subject=path.stem, split=split)
                continue
            in_place = path if self.keep_coils and inside.coils > 1 else None
            whole = not self.undersampled and in_place is None
            yield SourceVolume(
                path.stem,
                inside.subject,
                (path,),
                partial(self._reading(inside.coils), path, inside.size),
                geometry=geometry,
                split=split,
                shown=inside.size if self.undersampled else None,
                fastmri_crop=True,
                notes=(*inside.notes, *(_more_than_measured(inside) if whole else ())),
                in_place=in_place,
                readout=0,
            )

    def ismrmrd_header(self, volume: SourceVolume) -> bytes | str:
        """Return the XML header of a volume's file, which M4Raw has in another form."""
        with blaming(volume.files[0]), open_hdf5(volume.files[0]) as file:
            return read_text(file, "ismrmrd_header") if "ismrmrd_header" in file else ""

    def _reading(self, coils: int) -> Callable[[Path, tuple[int, int]], Iterator[SourceSlice]]:
        if not self.undersampled:
            return _slices
        return _as_measured if coils == 1 else _coils_as_measured


def _slices(path: Path, size: tuple[int, int]) -> Iterator[SourceSlice]:
    """Yield images of what is fully sampled."""
    with blaming(path), open_hdf5(path) as file:
        kspace = file["kspace"]
        alive = np.zeros(kspace.shape[1:-2], bool)
        for index in range(kspace.shape[0]):
            values = kspace[index]
            if len(values) == 1 and values.ndim == 3:
                values = _one_coil(values)
            found = measured(values)
            alive |= values.any(axis=(-2, -1))
            note = check_target(found, index, declared=_agrees(file, found))
            if index == kspace.shape[0] - 1 and alive.any():
                note = "; ".join(filter(None, (note, dead_coils(np.atleast_1d(alive)))))
            images = _crop(centred_ifft2(values), size)
            if images.ndim == 2:
                yield SourceSlice(images, note=note)
                continue
            yield _combined(root_sum_of_squares(images), _stored(file, index, size), note)


def _stored(file: h5py.File, index: int, size: tuple[int, int]) -> np.ndarray | None:
    """Read the file's own reconstruction of a slice, float32; None where there is none so large."""
    stored = file.get(RSS)
    count = file["kspace"].shape[0]
    if not isinstance(stored, h5py.Dataset) or stored.ndim != 3 or len(stored) != count:
        return None
    if stored.dtype.kind != "f" or any(n < m for n, m in zip(stored.shape[1:], size, strict=True)):
        return None
    return _crop(stored[index], size).astype(np.float32)


def _combined(image: np.ndarray, stored: np.ndarray | None, note: str) -> SourceSlice:
    """Make a slice of the file's own reconstruction, where that is one of its k-space.

    Args:
        image: root sum of squares of the coils, float32 (H, W).
        stored: of the file, float32 (H, W).
        note: on its k-space.
    """
    if stored is None:
        return SourceSlice(image, note=note)
    if np.linalg.norm(stored - image) > UNLIKE * np.linalg.norm(image):  # False for NaN: refused
        said = (
            f"its {RSS} is not the root sum of squares of its k-space, which is used in its place"
        )
        return SourceSlice(image, note="; ".join(filter(None, (note, said))))
    return SourceSlice(stored, note=note, is_reconstruction=True)


def _coils_as_measured(path: Path, size: tuple[int, int]) -> Iterator[SourceSlice]:
    """Yield k-space of several coils and images as large; `size` is what the volume shows."""
    with blaming(path), open_hdf5(path) as file:
        kspace = file["kspace"]
        for index in range(kspace.shape[0]):
            values = kspace[index]
            found = measured(values)
            declared = _agrees(file, found)
            yield SourceSlice(
                root_sum_of_squares(centred_ifft2(values)),
                kspace_coils=from_middle(values),
                mask=corner_mask(found),
                declared=declared,
                note=judge(found, index, undersampled=True, declared=declared),
            )


def _as_measured(path: Path, size: tuple[int, int]) -> Iterator[SourceSlice]:
    """Yield images of one coil with what was measured of each.

    Where whole columns of k-space are sampled, images are cropped along the readout, to
    (size[0], W); else not at all.
    """
    with blaming(path), open_hdf5(path) as file:
        kspace = file["kspace"]
        by_columns: bool | None = None
        for index in _from_middle(kspace.shape[0]):
            samples = measured(_one_coil(kspace[index])).samples
            if samples.any():
                by_columns = whole_lines(samples) is not None
                break
        for index in range(kspace.shape[0]):
            values = _one_coil(kspace[index])
            images, found = centred_ifft2(values), measured(values)
            declared = _agrees(file, found)
            if not by_columns:
                yield SourceSlice(images, mask=corner_mask(found), declared=declared)
                continue
            columns = whole_lines(found.samples)
            if columns is None:
                raise ValueError(f"slice {index} of its k-space is not sampled along whole columns")
            images = _crop(images, (size[0], values.shape[1]))
            mask = np.broadcast_to(np.fft.ifftshift(columns), images.shape)
            yield SourceSlice(images, mask=mask.astype(np.uint8), declared=declared)


def _agrees(file: h5py.File, found: Measured) -> bool:
    """Tell whether a file has a `mask` of columns outside of which nothing was measured."""
    stored = file.get("mask")
    if not isinstance(stored, h5py.Dataset) or stored.size != found.samples.shape[1]:
        return False
    columns = np.ravel(stored[()]).astype(bool)
    if columns.all():
        return False
    return not found.samples[:, ~columns].any()


def _from_middle(count: int) -> list[int]:
    """Order slices from the middle on, since those at the edges may be empty."""
    return sorted(range(count), key=lambda index: abs(index - count // 2))


def _one_coil(kspace: np.ndarray) -> np.ndarray:
    """Take the only coil out of k-space (H, W) or (1, H, W)."""
    return kspace.reshape(kspace.shape[-2:])


def _crop(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Crop images (..., H, W) to a size that is not larger, as `fastmri.data.transforms` does."""
    row, column = ((n - m) // 2 for n, m in zip(images.shape[-2:], size, strict=True))
    return images[..., row : row + size[0], column : column + size[1]]


class _Inside(NamedTuple):
    """What a file tells without its k-space.

    Attributes:
        subject: pseudonym.
        size: (H, W) of the images that are shown.
        coils: number of them.
        notes: what is odd.
    """

    subject: str
    size: tuple[int, int]
    coils: int
    notes: tuple[str, ...]


def _more_than_measured(inside: _Inside) -> Iterator[str]:
    """Say where images have more rows than `fastmri.evaluate` measures of them."""
    height, width = inside.size
    if height > width:
        way_out = "; format.keep_coils=true measures as it does" if inside.coils > 1 else ""
        yield (
            f"figures are of the whole images, {height}x{width}, those of fastmri.evaluate of "
            f"their middle {width}x{width}{way_out}"
        )


def _inspect(path: Path) -> _Inside:
    """Check a file without reading its k-space."""
    with open_hdf5(path) as file:
        kspace = file.get("kspace")
        if not isinstance(kspace, h5py.Dataset):
            raise ValueError(f"key kspace is missing (found: {', '.join(file) or 'none'})")
        if kspace.ndim not in (3, 4) or 0 in kspace.shape or kspace.dtype.kind != "c":
            raise ValueError(
                f"kspace is {kspace.dtype} of shape {kspace.shape}; it must be complex, (S, H, W) "
                "or (S, coils, H, W)"
            )
        coils = kspace.shape[1] if kspace.ndim == 4 else 1
        wanted, notes = _recon_size(file, kspace.shape[-2:] if coils > 1 else None)
        patient = file.attrs.get("patient_id") or path.stem
        height, width = (min(pair) for pair in zip(wanted, kspace.shape[-2:], strict=True))
        if width < wanted[1]:  # as fastMRI's own networks crop FLAIR scans of 203 columns
            height = min(height, width)
    subject = patient.decode() if isinstance(patient, bytes) else str(patient)
    note = f"{path}: {notes}" if notes else ""
    return _Inside(subject, (height, width), coils, (note,) if note else ())


def _geometry(path: Path) -> Geometry | None:
    """Tell the distances in mm: the header has no position and no gap between slices."""
    with open_hdf5(path) as file:
        if "ismrmrd_header" not in file:
            return None
        try:
            header = parse_header(read_text(file, "ismrmrd_header"))
        except IncompleteHeaderError:
            return None
        # The readout, x, lies along the rows' numbers.
        samples = dict(enumerate(file["kspace"].shape[-2:]))
    x, y, z = (voxel_size(header, axis, samples.get(axis)) for axis in range(3))
    spacing = x, y, z
    is_told = all(np.isfinite(mm) and mm > 0 for mm in spacing)
    return Geometry.of_spacing(spacing) if is_told else None


def _recon_size(file: h5py.File, stored: tuple[int, int] | None) -> tuple[tuple[int, int], str]:
    """Find (H, W) of the file's reconstruction, which the header tells where there is none.

    Args:
        file: open.
        stored: (H, W) of k-space of several coils, which counts where the header is none of ISMRMRD
            (M4Raw has such); None where that is a fault.

    Returns:
        The size, and what is odd about it, or an empty text.
    """
    description = [file[key].shape[-2:] for key in RECONSTRUCTIONS if key in file]
    if "ismrmrd_header" in file:
        try:
            description.append(parse_header(read_text(file, "ismrmrd_header")).recon.matrix[:2])
        except IncompleteHeaderError as error:
            if not description and stored is None:
                raise
            if not description and stored is not None:
                return stored, (
                    f"{error}, as M4Raw's: its images are taken to be as large as its k-space, "
                    f"{stored[0]}x{stored[1]}"
                )
    if not description:
        raise ValueError(f"neither ismrmrd_header nor {' nor '.join(RECONSTRUCTIONS)} is there")
    return description[0], ""
