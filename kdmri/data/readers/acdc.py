"""ACDC: cine MRI of 150 hearts."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from kdmri.data.readers.base import Reader, SourceVolume
from kdmri.data.readers.naming import natural
from kdmri.data.readers.nifti import nifti_volumes, stem
from kdmri.errors import ConfigurationError, DataError

SPLITS = {"training": "train", "testing": "validation"}
"""The owner's folders; 100 and 50 patients, the split of the published figures."""

_PATIENT = re.compile(r"patient\d+")


@dataclass(frozen=True)
class ACDC(Reader):
    """Reads the ACDC release (Bernard et al. 2018; humanheart-project.creatis.insa-lyon.fr).

    `patientNNN` folders, below `training` and `testing` where they are, each with `Info.cfg`,
    `patientNNN_4d.nii.gz` and `patientNNN_frameNN.nii.gz` at end-diastole and end-systole;
    short-axis slices along the third axis. Labels (`_gt`) are never read.

    Attributes:
        frames: "ed_es": the two frames that Info.cfg names; "all": every frame of the `_4d` file.
        nan: as for `Nifti`.
    """

    frames: str
    nan: str = field(default="refuse", repr=False)

    def __post_init__(self) -> None:
        if self.frames not in ("ed_es", "all"):
            raise ConfigurationError(f"format.frames={self.frames}: must be ed_es or all")

    def volumes(self, source: Path) -> Iterator[SourceVolume]:
        """Yield a volume for each frame; see `Reader.volumes`."""
        below = (source.resolve(), *source.rglob("patient*"))
        folders = sorted(
            (p for p in below if p.is_dir() and _PATIENT.fullmatch(p.name)), key=natural
        )
        if not folders:
            raise DataError(f"{source}: found no ACDC folders (training/patient001, ...)")
        for folder in folders:
            patient = folder.name
            split = SPLITS.get(folder.resolve().parent.name)
            for path in self._files(folder):
                name = path.name.split(".")[0].removesuffix("_4d")
                yield from nifti_volumes(path, name, patient, split)

    def _files(self, folder: Path) -> list[Path]:
        """List the files of a patient; one that Info.cfg names need not be there."""
        if self.frames == "all":
            return [_file(folder, "4d")]
        info = folder / "Info.cfg"
        if info.is_file():
            found = re.findall(r"^E[DS]:\s*(\d+)\s*$", info.read_text(errors="replace"), re.M)
            if len(found) == 2:
                return [_file(folder, f"frame{int(n):02d}") for n in found]
        frames = folder.glob(f"{folder.name}_frame[0-9]*.nii*")
        named = sorted(path for path in frames if not stem(path).endswith("_gt"))
        return named or [_file(folder, "frame01")]


def _file(folder: Path, what: str) -> Path:
    """Name a patient's file, compressed as in the release unless it was unpacked."""
    unpacked = folder / f"{folder.name}_{what}.nii"
    return unpacked if unpacked.is_file() else unpacked.with_name(f"{unpacked.name}.gz")
