"""Where reconstructions go: h5, NIfTI or PNG, slice by slice, whole files or none."""

import gzip
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import nibabel
import numpy as np
from matplotlib.image import imsave

from kdmri.data.prepare.naming import blaming
from kdmri.data.prepare.nifti import DAMAGED, ENDINGS, Nifti, as_slices, open_image, stem
from kdmri.data.prepare.source import Reader, SourceVolume
from kdmri.errors import ConfigurationError, DataError
from kdmri.files import written_aside

KINDS = ("h5", "nifti", "png")
OFFSET = 352
"""Where the values of a NIfTI file without extensions begin."""

Write = Callable[[int, np.ndarray], None]
"""Takes the number of a slice and its values (H, W), float32 or complex64, at the network's scale.
"""


@dataclass(frozen=True)
class Target:
    """A file, or a folder of pictures, that some volumes of one source file go to.

    Attributes:
        path: of the file or folder.
        kind: one of `KINDS`.
        volumes: in their order; more than one are the time points of a NIfTI file.
    """

    path: Path
    kind: str
    volumes: tuple[SourceVolume, ...]


def targets(
    output: Path, kind: str | None, reader: Reader, volumes: list[SourceVolume]
) -> list[Target]:
    """Say where each volume goes.

    Args:
        output: a file (.h5, .nii, .nii.gz or .png) for one volume, else a directory.
        kind: one of `KINDS`; None: by the ending of `output`, else NIfTI for NIfTI and h5 for all
            others.
        reader: of the volumes.
        volumes: to write.

    Raises:
        ConfigurationError: the ending, the kind and the number of volumes do not go together.
    """
    told = _kind_of(output)
    if kind not in (None, *KINDS) or (kind and told and kind != told):
        raise ConfigurationError(
            f"write={kind}: must be one of {', '.join(KINDS)} and agree with output={output}"
        )
    kind = kind or told or ("nifti" if isinstance(reader, Nifti) else "h5")
    groups: list[list[SourceVolume]] = []
    for volume in volumes:
        together = kind == "nifti" and isinstance(reader, Nifti)
        if together and groups and groups[-1][0].files == volume.files:
            groups[-1].append(volume)
        else:
            groups.append([volume])
    if told:
        if len(groups) > 1:
            raise ConfigurationError(
                f"output={output}: names one file, but there are {len(groups)} volumes; name a "
                "directory"
            )
        return [Target(output, kind, tuple(groups[0]))]
    found = []
    for group in groups:
        name = group[0].name
        if kind == "nifti" and isinstance(reader, Nifti):
            path = group[0].files[0]
            name = name.removesuffix("_frame01") + path.name.removeprefix(stem(path))
        else:
            name += {"h5": ".h5", "nifti": ".nii.gz", "png": ""}[kind]
        found.append(Target(output / name, kind, tuple(group)))
    return found


def _kind_of(output: Path) -> str | None:
    name = output.name.lower()
    if name.endswith(ENDINGS):
        return "nifti"
    return {".h5": "h5", ".png": "png"}.get(output.suffix.lower())


def check_free(found: list[Target], overwrite: bool) -> None:
    """Refuse to write over what is there.

    Raises:
        ConfigurationError: a target exists, or is an input.
    """
    for target in found:
        inputs = {file.resolve() for volume in target.volumes for file in volume.files}
        if target.path.resolve() in inputs:
            raise ConfigurationError(f"output={target.path}: is the input itself")
        if target.path.exists() and not overwrite:
            raise ConfigurationError(
                f"output={target.path}: exists; name another, or replace it with overwrite=true"
            )


@contextmanager
def opened(
    target: Target, reader: Reader, facts: dict[str, str | float]
) -> Iterator[Callable[[SourceVolume, float, int, tuple[int, int]], Write]]:
    """Open a target; it is in its place once the block ends well.

    Args:
        target: to write.
        reader: of its volumes.
        facts: kept as attributes of an h5 file.

    Yields:
        Called with a volume, its scale, its number of slices and their size (H, W), gives what
        writes its slices.
    """
    with ExitStack() as stack:
        if target.kind == "h5":
            yield lambda *volume: _h5(stack, target.path, facts, *volume[1:])
        elif target.kind == "png":
            yield lambda *volume: _png(stack, target.path, *volume[1:])
        elif isinstance(reader, Nifti):
            yield _like_source(stack, target, reader)
        else:
            yield lambda *volume: _plain_nifti(stack, target.path, *volume)


def _h5(
    stack: ExitStack,
    path: Path,
    facts: dict[str, str | float],
    scale: float,
    count: int,
    size: tuple[int, int],
) -> Write:
    """Write `reconstruction` (S, H, W) at the network's scale; attribute `scale` leads back."""
    aside = stack.enter_context(written_aside(path))
    file = stack.enter_context(h5py.File(aside, "w"))
    file.attrs.update({**facts, "scale": scale})

    def write(number: int, image: np.ndarray) -> None:
        if "reconstruction" not in file:
            file.create_dataset(
                "reconstruction",
                shape=(count, *size),
                dtype=image.dtype,
                chunks=(1, *size),
                compression="lzf",
            )
        file["reconstruction"][number] = image

    return write


def _png(stack: ExitStack, path: Path, scale: float, count: int, size: tuple[int, int]) -> Write:
    """Write magnitudes as 8-bit grey, black at 0 and white at the volume's largest input value."""
    single = path.suffix.lower() == ".png"
    if single and count > 1:
        raise ConfigurationError(
            f"output={path}: a PNG holds one slice, the volume has {count}; name a directory"
        )
    leftover = path.with_name(f".{path.name}.{os.getpid()}")
    stack.callback(shutil.rmtree, leftover, ignore_errors=True)
    aside = stack.enter_context(written_aside(path))

    def make_room(kind_of_end: object, *_: object) -> None:
        if kind_of_end is None and path.is_dir():
            shutil.rmtree(path)  # a folder cannot be renamed over another one

    if not single:
        stack.push(make_room)

    def write(number: int, image: np.ndarray) -> None:
        if not single:
            aside.mkdir(exist_ok=True)
        place = aside if single else aside / f"{number + 1:03d}.png"
        imsave(place, _shown(image), cmap="gray", vmin=0, vmax=1, format="png")

    return write


def _shown(image: np.ndarray) -> np.ndarray:
    """Give what is looked at: magnitudes of complex images, real ones as they are."""
    return np.abs(image) if np.iscomplexobj(image) else image


def _like_source(
    stack: ExitStack, target: Target, reader: Nifti
) -> Callable[[SourceVolume, float, int, tuple[int, int]], Write]:
    """Write to the grid of the source file, its affine and header included, in its units."""
    path = target.volumes[0].files[0]
    with blaming(path, *DAMAGED):
        source = open_image(path)
        turn = None if reader.orientation is None else nibabel.io_orientation(source.affine)
        like = nibabel.Nifti1Header.from_header(source.header, check=False)
        like.set_data_shape(source.shape)
    values = _mapped(stack, target.path, like, source.shape)

    def open_volume(volume: SourceVolume, scale: float, count: int, size: tuple[int, int]) -> Write:
        frame = next(n for n, other in enumerate(target.volumes) if other is volume)
        one = values[..., frame] if values.ndim == 4 else values
        view = as_slices(one, reader.orientation, reader.axis, turn)
        if view.shape != (count, *size):
            raise DataError(f"{target.path}: slices of {size} do not fit a grid of {view.shape}")

        def write(number: int, image: np.ndarray) -> None:
            view[number] = _shown(image) * np.float32(scale)

        return write

    return open_volume


def _plain_nifti(
    stack: ExitStack,
    path: Path,
    volume: SourceVolume,
    scale: float,
    count: int,
    size: tuple[int, int],
) -> Write:
    """Write an array (H, W, S); the affine tells the distances, the orientation is not known."""
    header = nibabel.Nifti1Header()
    header.set_sform(np.diag([*(volume.spacing or (1.0, 1.0, 1.0)), 1.0]), code=0)
    header.set_qform(np.diag([*(volume.spacing or (1.0, 1.0, 1.0)), 1.0]), code=0)
    header.set_xyzt_units("mm")
    values = _mapped(stack, path, header, (*size, count))

    def write(number: int, image: np.ndarray) -> None:
        values[..., number] = _shown(image) * np.float32(scale)

    return write


def _mapped(
    stack: ExitStack, path: Path, like: nibabel.Nifti1Header, shape: tuple[int, ...]
) -> np.memmap:
    """Map the float32 values of a NIfTI file that is written aside; compressed when it is done."""
    aside = stack.enter_context(written_aside(path))
    plain = aside.with_name(aside.name + ".plain")
    stack.callback(plain.unlink, missing_ok=True)
    header = nibabel.Nifti1Header.from_header(like)
    header.set_data_shape(shape)
    header.set_data_dtype(np.float32)
    header.set_slope_inter(1, 0)
    header["vox_offset"], header["magic"] = OFFSET, b"n+1"
    header["cal_max"] = header["cal_min"] = 0
    with plain.open("wb") as file:
        header.write_to(file)
        file.truncate(OFFSET + 4 * int(np.prod(shape)))
    kind = np.dtype(np.float32).newbyteorder(header.endianness)
    values = np.memmap(plain, kind, "r+", offset=OFFSET, shape=shape, order="F")

    def finish(kind_of_end: object, *_: object) -> None:
        if kind_of_end is not None:
            return
        values.flush()
        if path.suffix == ".gz":
            with plain.open("rb") as source, gzip.open(aside, "wb", compresslevel=4) as packed:
                shutil.copyfileobj(source, packed, 2**20)
        else:
            plain.replace(aside)

    stack.push(finish)
    return values
