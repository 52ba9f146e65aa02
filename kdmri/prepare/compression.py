"""Fewer, virtual coils: those combinations of a volume's coils that hold most of its energy."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import h5py
import numpy as np

from kdmri.data.coils import from_middle, unit_norm
from kdmri.data.hdf5 import open_hdf5
from kdmri.data.readers.base import SourceSlice, SourceVolume
from kdmri.data.readers.naming import blaming
from kdmri.data.readers.slices import dead_coils
from kdmri.errors import DataError


@dataclass(frozen=True)
class Compression:
    """How coils are combined.

    Attributes:
        matrix: complex64 (virtual coils, coils), with orthonormal rows; times k-space it gives that
            of virtual coils, the one of most energy first.
        energy: share of the energy of k-space that they keep.
    """

    matrix: np.ndarray
    energy: float

    def __call__(self, coils: np.ndarray) -> np.ndarray:
        """Combine coils (coils, H, W), complex, to (virtual coils, H, W), complex64."""
        return np.tensordot(self.matrix, coils, 1).astype(np.complex64, copy=False)

    def of_sensitivities(self, sensitivities: np.ndarray) -> np.ndarray:
        """Combine sensitivities alike; they have unit norm over the virtual coils again."""
        return unit_norm(self(sensitivities))


class CoilEnergy:
    """The energy of a volume's coils and what they share, found slice by slice.

    Attributes:
        alive: which coils are not zero everywhere, bool (coils,); None before the first slice.
    """

    def __init__(self) -> None:
        self.alive: np.ndarray | None = None
        self._shared: np.ndarray | None = None

    def add(self, kspace: np.ndarray) -> None:
        """Look at the k-space of a slice, complex (coils, H, W)."""
        lines = kspace.reshape(len(kspace), -1)
        found = np.asarray(lines.any(axis=1))
        shared = (lines @ lines.conj().T).astype(np.complex128)
        self.alive = found if self.alive is None else np.logical_or(self.alive, found)
        self._shared = shared if self._shared is None else self._shared + shared

    def compression(self, count: int) -> Compression | None:
        """Find the virtual coils by the singular value decomposition of all k-space together.

        Its left singular vectors are the eigenvectors of what coils share.

        Args:
            count: of virtual coils.

        Returns:
            None where there are no more coils than that.
        """
        if self._shared is None or len(self._shared) <= count:
            return None
        energies, vectors = np.linalg.eigh(self._shared)
        chosen = vectors[:, ::-1][:, :count]
        kept = float(energies[::-1][:count].sum() / max(energies.sum(), np.finfo(float).tiny))
        return Compression(chosen.conj().T.astype(np.complex64), min(1.0, kept))

    def note(self) -> str:
        """Name dead coils, a sentence, or say nothing."""
        return "" if self.alive is None else dead_coils(self.alive)


def copied(volume: SourceVolume) -> SourceVolume:
    """Let a volume that is read in place give its k-space, so that it can be compressed."""
    place = volume.in_place
    if place is None:
        return volume

    def slices() -> Iterator[SourceSlice]:
        with blaming(place), open_hdf5(place) as file:
            for number, item in enumerate(volume.slices()):
                yield _with_kspace(item, file, number)

    return replace(volume, slices=slices, in_place=None)


def _with_kspace(item: SourceSlice, file: h5py.File, number: int) -> SourceSlice:
    return item._replace(kspace_coils=from_middle(file["kspace"][number].astype(np.complex64)))


def check_coils(volume: SourceVolume, has_coils: bool, count: int) -> None:
    """See that there are coils to compress.

    Raises:
        DataError: there are none.
    """
    if not has_coils:
        raise DataError(
            f"{volume.files[0]}: coils={count} compresses k-space of several coils, of which it "
            "gives none; add format.keep_coils=true where its format has it, or leave coils out"
        )
