"""Data sets made on first use from images that packages ship: one head, cut into slabs.

All slabs come from one subject, so figures on them say how methods compare, not how well they carry
over to other people.
"""

import hashlib
import importlib.util
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from kdmri.data.attributes import Attribute, geometry_attributes
from kdmri.data.coils import KSPACE, MEASURED_AGAINST
from kdmri.data.cropping import fit_centre
from kdmri.data.geometry import Geometry
from kdmri.data.layout import TARGET, write_slices, write_volume
from kdmri.data.simulated_coils import draw_sensitivities
from kdmri.data.simulation import FOREGROUND, Simulation
from kdmri.errors import ConfigurationError, DataError
from kdmri.files import write_text

ORIENTATIONS = {"axial": (2, 1, 0), "coronal": (1, 2, 0), "sagittal": (0, 2, 1)}
"""Axes of a right-anterior-superior image: across slices, down a slice (flipped), along it."""

MADE_OF = "made_of.json"
"""File beside the splits: what they were made of."""

SYMMETRIC = 0.01
"""Heads whose slices repeat mirrored to this accuracy show each one twice: one half is used."""


def find_mni() -> Path:
    """Find the MNI152 T1 template inside the installed `nilearn`, without importing it.

    Raises:
        DataError: `nilearn` is not installed or does not carry the file.
    """
    spec = importlib.util.find_spec("nilearn")
    if spec is None or spec.origin is None:
        raise DataError(
            "dataset mni: the template lies in the package nilearn, which is not installed; "
            "run: pip install 'kdmri[demo]' (or pip install nilearn)"
        )
    name = "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"
    path = Path(spec.origin).parent / "datasets" / "data" / name
    if not path.is_file():
        raise DataError(
            f"dataset mni: {path} is missing; name a NIfTI file with dataset.source=FILE"
        )
    return path


def find_colin27() -> Path:
    """Find Colin27 where Debian's package `mricron-data` puts it.

    Raises:
        DataError: the package is not installed.
    """
    path = Path("/usr/share/mricron/templates/ch2.nii.gz")
    if not path.is_file():
        raise DataError(
            f"dataset colin27: {path} is missing; run: apt-get install mricron-data, or name the "
            "file with dataset.source=/path/to/ch2.nii.gz"
        )
    return path


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


@dataclass(frozen=True)
class HeadWithCoils(HeadInSlabs):
    """Gives the head a phase and coils around it, and writes what each coil would measure.

    What a real scan has besides, such as motion, folding and coils with a cable that is loose, is
    not in it.

    Attributes:
        coils: loops around the head.
        snr: mean magnitude of a slice's foreground over the standard deviation of the real part of
            the noise of a combined image; or its range, of which each slice draws the logarithm.
        size: (H, W) that slices are cropped or padded to; None keeps them.
        seed: of coils, phase and noise, together with slab and slice.
        measured_against: what slices are measured against, see `kdmri.data.coils`; "" the combined
            image.
    """

    coils: int
    snr: float | tuple[float, float]
    size: tuple[int, int] | None
    seed: int
    measured_against: str = ""

    def _fitted(self, geometry: Geometry, slab: np.ndarray, first: int) -> Geometry:
        return geometry.shifted(0, 0, first).fitted(slab.shape[:2], self._size_of(slab))

    def _write(self, path: Path, slab: np.ndarray, attributes: dict[str, Attribute]) -> None:
        fitted = fit_centre(slab, self._size_of(slab))
        phased = Simulation(phase=True, snr=None, seed=self.seed)
        name = f"{path.parent.name}_{path.stem}"
        images = enumerate(np.moveaxis(fitted, -1, 0))
        seen = (self._seen(phased, image, name, number) for number, image in images)
        if self.measured_against:
            attributes = attributes | {MEASURED_AGAINST: self.measured_against}
        write_slices(path, seen, attributes)

    def _seen(
        self, phased: Simulation, image: np.ndarray, name: str, index: int
    ) -> dict[str, np.ndarray]:
        """Return what the coils measure of a slice (H, W), and the image they give together."""
        number = crc32(f"{name}/{index}".encode())
        seed = self.seed * 1_000_003 + number
        maps = draw_sensitivities((image.shape[0], image.shape[1]), self.coils, [seed])[0]
        foreground = image[image > FOREGROUND]
        draws = np.random.default_rng((self.seed, number))
        noise = draws.standard_normal((2, *maps.shape))
        low, high = self._snr_range
        snr = low if low == high else float(np.exp(draws.uniform(np.log(low), np.log(high))))
        deviation = float(foreground.mean() if foreground.size else FOREGROUND) / snr
        clean = np.fft.fft2(maps.numpy() * phased(image, name, index), norm="ortho")
        kspace = (clean + deviation * (noise[0] + 1j * noise[1])).astype(np.complex64)
        images = np.fft.ifft2(kspace, norm="ortho")
        combined = np.sqrt((np.abs(images) ** 2).sum(axis=0)).astype(np.float32)
        return {TARGET: combined, KSPACE: kspace}

    @property
    def _snr_range(self) -> tuple[float, float]:
        """Smallest and largest SNR.

        Raises:
            ConfigurationError: they are no such numbers.
        """
        pair = (self.snr, self.snr) if isinstance(self.snr, int | float) else tuple(self.snr)
        if len(pair) != 2 or not 0 < pair[0] <= pair[1]:
            raise ConfigurationError(
                f"dataset.build.snr={self.snr}: must be above 0, a number or two in order"
            )
        return pair[0], pair[1]

    def _size_of(self, slab: np.ndarray) -> tuple[int, int]:
        size = self.size or slab.shape
        return size[0], size[1]

    def _settings(self) -> dict[str, Any]:
        own: dict[str, Any] = {
            "coils": self.coils,
            "snr": self.snr if isinstance(self.snr, int | float) else list(self.snr),
            "size": self.size and list(self.size),
            "seed": self.seed,
        }
        if self.measured_against:
            own["measured_against"] = self.measured_against
        return super()._settings() | own


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
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise DataError(f"dataset.source={path}: cannot be read ({error})") from error
