"""Where reconstructions go: h5, NIfTI or PNG, slice by slice, whole files or none."""

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

KINDS = ("h5", "nifti", "png", "fastmri")


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
    ending = "h5" if kind == "fastmri" else kind
    if kind not in (None, *KINDS) or (kind and description and ending != description):
        raise ConfigurationError(
            f"write={kind}: must be one of {', '.join(KINDS)} and agree with output={output}"
        )
    kind = kind or description or ("nifti" if isinstance(reader, Nifti) else "h5")
    if kind == "h5" and ending is None and several_coils and isinstance(reader, FastMRI):
        kind = "fastmri"
    groups: list[list[SourceVolume]] = []
    for volume in volumes:
        together = kind == "nifti" and isinstance(reader, Nifti)
        if together and groups and groups[-1][0].files == volume.files:
            groups[-1].append(volume)
        else:
            groups.append([volume])
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
            name += {"h5": ".h5", "fastmri": ".h5", "nifti": ".nii.gz", "png": ""}[kind]
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


def opened(
    target: Target, reader: Reader, facts: Mapping[str, str]
) -> AbstractContextManager[Begin]:
    """Open a target; it is in its place once the block ends well.

    Args:
        target: to write.
        reader: of its volumes.
        facts: kept as attributes of an h5 file.
    """
    if target.kind == "h5":
        return h5_output(target.path, facts)
    if target.kind == "fastmri":
        return submission(target.path, facts)
    if target.kind == "png":
        return png_output(target.path)
    if isinstance(reader, Nifti):
        return nifti_like_source(target.path, target.volumes, reader)
    return nifti_of_slices(target.path, reader)
