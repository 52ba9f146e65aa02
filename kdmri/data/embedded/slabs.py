"""One head, cut into slabs."""

import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kdmri.data.attributes import Attribute, geometry_attributes
from kdmri.data.geometry import Geometry
from kdmri.data.layout import write_volume
from kdmri.errors import ConfigurationError, DataError
from kdmri.files import sha256, write_text

ORIENTATIONS = {"axial": (2, 1, 0), "coronal": (1, 2, 0), "sagittal": (0, 2, 1)}
"""Axes of a right-anterior-superior image: across slices, down a slice (flipped), along it."""

MADE_OF = "made_of.json"
"""File beside the splits: what they were made of."""

SYMMETRIC = 0.01
"""Heads whose slices repeat mirrored to this accuracy show each one twice: one half is used."""


@dataclass(frozen=True)
class HeadInSlabs:
    """Cuts one head into slabs for train, validation and test, apart in space.

    Attributes:
        find: gives the file where `source` is None.
        source: NIfTI file of a 3D head.
        orientation: "axial", "coronal" or "sagittal".
        slabs: (split, share) in order along the slice axis, shares of the head's extent.
        gap: slices left out between slabs, so that no two neighbours are in different splits.
        foreground: slices are used from the first to the last in which this share of the area is
            brighter than a tenth of the brightest voxel.
    """

    find: Callable[[], Path]
    source: str | None
    orientation: str
    slabs: list[tuple[str, float]]
    gap: int
    foreground: float

    def __call__(self, folder: Path) -> None:
        """Write the slabs below `folder`, which appears when it is complete, or compare it.

        Raises:
            ConfigurationError: the orientation or the slabs cannot be used.
            DataError: the source is missing or not a 3D image, or the folder there was made of
                another one or in another way.
        """
        if folder.exists():
            self._compare(folder)
            return
        path = Path(self.source) if self.source else self.find()
        volume, geometry = self._read(path)
        facts: dict[str, Attribute] = {"source": path.name, "orientation": self.orientation}
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            counts: dict[str, int] = {}
            for split, first, last in self._bounds(volume.shape[2]):
                counts[split] = counts.get(split, 0) + 1
                slab = volume[:, :, first:last]
                attributes = facts | geometry_attributes(self._fitted(geometry, slab, first))
                self._write(aside / split / f"{counts[split]}.h5", slab, attributes)
            made_of = self._settings() | {"source": _digest(path), "packaged": not self.source}
            write_text(aside / MADE_OF, json.dumps(made_of, indent=2))
            aside.chmod(0o755)
            try:
                aside.rename(folder)
            except OSError:
                if not folder.is_dir():  # else another process was faster, with the same slabs
                    raise
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def _fitted(self, geometry: Geometry, slab: np.ndarray, first: int) -> Geometry:
        """Tell where a slab lies that begins at a slice."""
        return geometry.shifted(0, 0, first)

    def _write(self, path: Path, slab: np.ndarray, attributes: dict[str, Attribute]) -> None:
        """Write a slab (H, W, S) in [0, 1]."""
        write_volume(path, slab, attributes)

    def _settings(self) -> dict[str, Any]:
        """What the slabs are made of besides the source."""
        return {
            "orientation": self.orientation,
            "slabs": [list(slab) for slab in self.slabs],
            "gap": self.gap,
            "foreground": self.foreground,
        }

    def _compare(self, folder: Path) -> None:
        """Compare a folder with the settings; one of an earlier version does not tell its own."""
        path = folder / MADE_OF
        if not path.is_file():
            return
        try:
            description = self.differences(json.loads(path.read_text()))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}: unreadable ({error!r}); remove {folder}") from error
        refuse(folder, description)

    def differences(self, found: dict[str, Any]) -> list[str]:
        """Say in words how what a folder was made of differs from the settings.

        Args:
            found: what `MADE_OF` holds.

        Raises:
            KeyError: it lacks something.
        """
        wanted = self._settings()
        description = [
            f"dataset.build.{key} was {found[key]}, now {wanted[key]}"
            for key in wanted
            if found[key] != wanted[key]
        ]
        source, packaged = found["source"], found["packaged"]
        if self.source is not None or not packaged:  # else the package need not be there any more
            own = Path(self.source) if self.source else self.find()
            if _digest(own) != source:
                description.append(f"dataset.source was another image than {own}")
        return description

    def _read(self, path: Path) -> tuple[np.ndarray, Geometry]:
        """Read the slices that show the head, (H, W, S) in [0, 1], and where they lie."""
        if self.orientation not in ORIENTATIONS:
            raise ConfigurationError(
                f"dataset.orientation={self.orientation}: choose one of {', '.join(ORIENTATIONS)}"
            )
        import nibabel  # takes a while, and only the first run reads the image

        try:
            stored: Any = nibabel.load(path)
            image = nibabel.as_closest_canonical(stored)
            values = np.asarray(image.dataobj, dtype=np.float32)
        except (OSError, EOFError, nibabel.filebasedimages.ImageFileError) as error:
            raise DataError(f"{path}: not a readable NIfTI file ({error})") from error
        if values.ndim != 3 or not np.isfinite(values).all() or values.max() <= 0:
            raise DataError(f"{path}: not a 3D magnitude image (shape {values.shape})")
        across, down, along = ORIENTATIONS[self.orientation]
        volume = np.flip(np.transpose(values, (down, along, across)), axis=0)
        volume = np.clip(volume / volume.max(), 0, 1)
        used = np.flatnonzero((volume > 0.1).mean(axis=(0, 1)) >= self.foreground)
        if used.size == 0:
            raise DataError(f"{path}: no slice shows the head")
        volume = volume[:, :, used[0] : used[-1] + 1]
        if np.abs(volume - volume[:, :, ::-1]).max() < SYMMETRIC:
            volume = volume[:, :, : volume.shape[2] // 2]
        geometry = Geometry.of_array(image.affine, (down, along, across))
        if not any(stored.header.get(f"{form}form_code", 1) for form in "sq"):
            geometry = Geometry.of_spacing(geometry.spacing)
        return volume, geometry.flipped(volume.shape[0]).shifted(0, 0, int(used[0]))

    def _bounds(self, slices: int) -> list[tuple[str, int, int]]:
        """Return (split, first slice, one past the last) of each slab."""
        total = sum(share for _, share in self.slabs)
        edges = np.round(np.cumsum([0, *(share / total for _, share in self.slabs)]) * slices)
        bounds = [
            (split, int(first) + (self.gap if number else 0), int(last))
            for number, ((split, _), first, last) in enumerate(
                zip(self.slabs, edges[:-1], edges[1:], strict=True)
            )
        ]
        if any(first >= last for _, first, last in bounds):
            raise ConfigurationError(
                f"dataset.build.slabs={self.slabs} with dataset.build.gap={self.gap}: a slab of "
                f"the {slices} slices is empty"
            )
        return bounds


def refuse(folder: Path, description: list[str]) -> None:
    """Raise DataError where a folder differs from its settings."""
    if description:
        raise DataError(
            f"{folder}: was made with other settings: {'; '.join(description)}. Choose another "
            "dataset.name=..., or remove the folder and what was trained on it"
        )


def _digest(path: Path) -> str:
    """SHA-256 of a source file."""
    try:
        return sha256(path)
    except OSError as error:
        raise DataError(f"dataset.source={path}: cannot be read ({error})") from error
