"""Where reconstructions go: h5, NIfTI, PNG or DICOM, slice by slice, whole files or none."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from kdmri.data.readers.base import Reader, SourceVolume
from kdmri.data.readers.fastmri import FastMRI
from kdmri.data.readers.nifti import ENDINGS, Nifti, stem
from kdmri.errors import ConfigurationError
from kdmri.reconstruct.h5_output import h5_output, submission
from kdmri.reconstruct.nifti_output import nifti_like_source, nifti_of_slices
from kdmri.reconstruct.output import Begin
from kdmri.reconstruct.png_output import png_output

KINDS = ("h5", "nifti", "png", "dicom", "fastmri")


@dataclass(frozen=True)
class Target:
    """A file, or a folder of images, that some volumes of one source file or series go to.

    Attributes:
        path: of the file or folder.
        kind: one of `KINDS`.
        volumes: in their order; more than one are the time points of a NIfTI file, or
            all volumes of a DICOM series.
    """

    path: Path
    kind: str
    volumes: tuple[SourceVolume, ...]


def targets(
    output: Path,
    kind: str | None,
    reader: Reader,
    volumes: list[SourceVolume],
    several_coils: bool = False,
) -> list[Target]:
    """Say where each volume goes.

    Args:
        output: a file (.h5, .nii, .nii.gz or .png) for one volume, else a directory.
        kind: one of `KINDS`; None: by the ending of `output`, else NIfTI for NIfTI and h5 for all
            others.
        reader: of the volumes.
        volumes: to write.
        several_coils: whether the network is one for several coils, of which an h5 file of a
            fastMRI file is as its leaderboards take it, unless `kind` says otherwise.

    Raises:
        ConfigurationError: the ending, the kind and the number of volumes do not go together.
    """
    description = _kind_of(output)
    if output.suffix.lower() == ".dcm":
        raise ConfigurationError(
            f"output={output}: DICOM is written as folders of files, output=FOLDER write=dicom"
        )
    ending = "h5" if kind == "fastmri" else kind
    if kind not in (None, *KINDS) or (kind and description and ending != description):
        raise ConfigurationError(
            f"write={kind}: must be one of {', '.join(KINDS)} and agree with output={output}"
        )
    if kind == "dicom":
        _check_pydicom()
    kind = kind or description or ("nifti" if isinstance(reader, Nifti) else "h5")
    if kind == "h5" and ending is None and several_coils and isinstance(reader, FastMRI):
        kind = "fastmri"
    by_key: dict[object, list[SourceVolume]] = {}
    for volume in volumes:
        by_key.setdefault(_group(volume, kind, reader), []).append(volume)
    groups = list(by_key.values())
    if description:
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
            name = _without_time(name) if len(group) > 1 else name
            name += {"h5": ".h5", "fastmri": ".h5", "nifti": ".nii.gz"}.get(kind, "")
        found.append(Target(output / name, kind, tuple(group)))
    return found


def _group(volume: SourceVolume, kind: str, reader: Reader) -> object:
    """Return what volumes that go into one file, or one series, have in common."""
    if kind == "dicom" and volume.frames:
        from kdmri.reconstruct.dicom_source import series_of

        return series_of(volume)
    alone = kind not in ("nifti", "dicom") or not isinstance(reader, Nifti)
    return volume.name if alone else volume.files


def _without_time(name: str) -> str:
    """Return the name of a series or file by that of its first time point."""
    return name.removesuffix("_frame01").removesuffix("_t01")


def _kind_of(output: Path) -> str | None:
    name = output.name.lower()
    if name.endswith(ENDINGS):
        return "nifti"
    return {".h5": "h5", ".png": "png"}.get(output.suffix.lower())


def _check_pydicom() -> None:
    try:
        import pydicom  # noqa: F401
    except ImportError as error:
        raise ConfigurationError(
            f"write=dicom needs a package ({error}): pip install 'kdmri[prepare]'"
        ) from error


def check_free(found: list[Target], overwrite: bool) -> None:
    """Refuse to write over what is there.

    Raises:
        ConfigurationError: a target exists, or is an input.
    """
    for target in found:
        inputs = {file.resolve() for volume in target.volumes for file in volume.files}
        place = target.path.resolve()
        if place in inputs:
            raise ConfigurationError(f"output={target.path}: is the input itself")
        if any(place in file.parents for file in inputs):
            raise ConfigurationError(
                f"output={target.path}: the input lies in it, which would be replaced"
            )
        if target.path.exists() and not overwrite:
            raise ConfigurationError(
                f"output={target.path}: exists; name another, or replace it with overwrite=true"
            )


def opened(
    target: Target, reader: Reader, facts: Mapping[str, str], anonymous: bool = False
) -> AbstractContextManager[Begin]:
    """Open a target; it is in its place once the block ends well.

    Args:
        target: to write.
        reader: of its volumes.
        facts: kept as attributes of an h5 file, or told by DICOM files.
        anonymous: whether DICOM files leave out who was scanned.
    """
    if target.kind == "h5":
        return h5_output(target.path, facts)
    if target.kind == "fastmri":
        return submission(target.path, facts)
    if target.kind == "png":
        return png_output(target.path)
    if target.kind == "dicom":
        from kdmri.reconstruct.dicom_output import dicom_output

        return dicom_output(target.path, target.volumes, reader, facts, anonymous)
    if isinstance(reader, Nifti):
        return nifti_like_source(target.path, target.volumes, reader)
    return nifti_of_slices(target.path, reader)
