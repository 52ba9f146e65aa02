"""MRBrainS: brains of the 2013 and 2018 challenges, several contrasts a subject."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from kdmri.data.readers.base import Reader, SourceVolume
from kdmri.data.readers.naming import natural
from kdmri.data.readers.nifti import ENDINGS, find_nifti, nifti_volumes, stem
from kdmri.errors import DataError

SPLITS = {"testdata": "validation", "trainingdata": "train"}
"""Folders of the 2013 release."""


@dataclass(frozen=True)
class MRBrainS(Reader):
    """Reads MRBrainS13 and MRBrainS18 (Mendrik et al. 2015; mrbrains13.isi.uu.nl, mrbrains18).

    2013: `TrainingData/1/T1.nii`, also T1_1mm, T1_IR, T2_FLAIR; 2018:
    `training/1/pre/reg_T1.nii.gz` and `orig/`. 48 slices of 240x240 along the third axis; a volume
    a subject.

    Attributes:
        contrast: such as "T1", "T1_IR" or "FLAIR"; the first file of `{contrast}`, `reg_{contrast}`
            and `T2_{contrast}` that a subject has is read, from `pre` before `orig`.
        nan: as for `Nifti`.
    """

    contrast: str
    nan: str = field(default="refuse", repr=False)

    def volumes(self, source: Path) -> Iterator[SourceVolume]:
        """Yield a volume for each subject; see `Reader.volumes`."""
        by_subject: dict[Path, list[Path]] = {}
        for path in find_nifti(source, "MRBrainS files (TrainingData/1/T1.nii, ...)"):
            folder = path.parent.parent if path.parent.name in ("pre", "orig") else path.parent
            by_subject.setdefault(folder, []).append(path)
        found, times = False, Counter(folder.name for folder in by_subject)
        for folder in sorted(by_subject, key=natural):
            chosen = sorted(filter(self._is_wanted, by_subject[folder]), key=self._rank)
            if chosen:
                found = True
                # TrainingData/1 and TestData/1 are two people.
                alone = times[folder.name] == 1
                subject = folder.name if alone else f"{folder.parent.name}_{folder.name}"
                split = SPLITS.get(folder.parent.name.lower())
                yield from nifti_volumes(chosen[0], f"{subject}_{self.contrast}", subject, split)
        if not found:
            raise DataError(
                f"{source}: no subject has {self.contrast}{' or '.join(ENDINGS)}; "
                "set format.contrast to one that is there"
            )

    @property
    def _names(self) -> list[str]:
        return [self.contrast, f"reg_{self.contrast}", f"T2_{self.contrast}"]

    def _is_wanted(self, path: Path) -> bool:
        return stem(path) in self._names

    def _rank(self, path: Path) -> tuple[int, int]:
        return self._names.index(stem(path)), path.parent.name == "orig"
