"""BART: k-space of one coil or several in .cfl files with a .hdr beside each."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import ClassVar

import numpy as np

from kdmri.data.coils import unit_norm
from kdmri.data.mask_convention import is_centred
from kdmri.data.readers.base import Reader, SourceSlice, SourceVolume, unreadable
from kdmri.data.readers.coil_slices import Wanted, coil_slice
from kdmri.data.readers.kspace import centred_ifft
from kdmri.data.readers.naming import UNREADABLE, blaming, find, name_of, split_of
from kdmri.data.readers.options import check_flags
from kdmri.errors import ConfigurationError, DataError

READOUT, PHASE1, PHASE2, COIL, MAPS, SLICE = 0, 1, 2, 3, 4, 13
OTHERS = {
    5: "echo",
    6: "coefficient",
    7: "coefficient2_",
    8: "iteration",
    9: "shift",
    10: "time",
    11: "time2_",
    12: "level",
    14: "average",
    15: "batch",
}
"""Dimensions whose values are volumes of their own, by BART's numbers, and their names here."""


@dataclass(frozen=True)
class Cfl(Reader):
    """Reads files of BART (Uecker et al., mrirecon.github.io/bart; `src/misc/mri.h`).

    complex64, column-major; dimensions are readout, first and second phase encoding, coil, maps,
    ..., slice (13), the zero frequency in the middle (N // 2) along the first three. A slice's rows
    are the readout, its columns the phase encoding. With a second phase encoding, k-space is
    transformed along the readout, whose positions are the slices: rows and columns are the two
    phase encodings then, on which masks lie. Values of other dimensions (echo, time, ...) are
    volumes of their own. What was not measured is exactly zero.

    Attributes:
        sensitivities: name of the file with the coils' maps (`bart ecalib -m1`), without its
            ending, beside each k-space; * stands for that of k-space. None: there are none.
        keep_coils: give the k-space of several coils too, and their sensitivities.
        undersampled: give them of undersampled k-space, too, with its mask.
    """

    sensitivities: str | None = None
    keep_coils: bool = False
    undersampled: bool = field(default=False, repr=False)
    raw: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_flags(self, "keep_coils")
        told = self.sensitivities
        if told is not None and (not isinstance(told, str) or not told or "/" in told):
            raise ConfigurationError(
                f"format.sensitivities={told}: must be the name of a file beside k-space, such as "
                "sens or *_sens"
            )

    def volumes(self, source: Path) -> Iterator[SourceVolume]:
        """Yield a volume for each file and value of its other dimensions; see `Reader.volumes`.

        Names of files and folders tell the subject (`kdmri.data.readers.who`). Files with
        sensitivities are no volumes.
        """
        paths = [p for p in find(source, (".cfl",), "BART files (.cfl)") if not self._is_maps(p)]
        if not paths:
            raise DataError(f"{source}: found no BART files (.cfl) but those of sensitivities")
        for path in paths:
            name, split = name_of(path, source), split_of(path, source)
            try:
                shape = _shape(path)
            except UNREADABLE as error:
                yield replace(unreadable(path, error), name=name, split=split)
                continue
            several = [number for number in OTHERS if shape[number] > 1]
            for values in product(*(range(shape[number]) for number in several)):
                chosen = dict(zip(several, values, strict=True))
                maps = self._maps(path)
                pairs = [path] if maps is None else [path, maps]
                yield SourceVolume(
                    name="_".join([name, *(f"{OTHERS[n]}{v}" for n, v in chosen.items())]),
                    subject="",
                    files=tuple(f for p in pairs for f in (p, p.with_suffix(".hdr"))),
                    slices=partial(self._slices, path, chosen, maps),
                    split=split,
                    readout=READOUT if shape[PHASE2] == 1 else None,
                )

    def _maps(self, path: Path) -> Path | None:
        if self.sensitivities is None:
            return None
        return path.with_name(f"{self.sensitivities.replace('*', path.stem)}.cfl")

    def _is_maps(self, path: Path) -> bool:
        if self.sensitivities is None:
            return False
        pattern = ".+".join(re.escape(part) for part in self.sensitivities.split("*"))
        return re.fullmatch(pattern, path.stem) is not None

    def _slices(
        self, path: Path, chosen: Mapping[int, int], maps: Path | None
    ) -> Iterator[SourceSlice]:
        sensitivities = None if maps is None else _planes(maps, {}, kspace=False)
        wanted = Wanted(self.keep_coils, self.undersampled)
        with blaming(path):
            for number, kspace in enumerate(_planes(path, chosen, kspace=True)):
                if is_centred(np.linalg.norm(kspace, axis=0)) is False:
                    raise ValueError(
                        "its k-space is strongest around index 0, but BART has the zero frequency "
                        "in the middle; shift it with bart fftshift"
                    )
                beside = None
                if sensitivities is not None and maps is not None:
                    beside = _of_shape(next(sensitivities, None), kspace.shape, maps)
                yield coil_slice(kspace, number, wanted, beside)


def _planes(path: Path, chosen: Mapping[int, int], kspace: bool) -> Iterator[np.ndarray]:
    """Yield slices (coils, H, W) of k-space or maps, complex64."""
    with blaming(path):
        stored = _map(path)
        if stored.shape[MAPS] > 1:
            raise ValueError(
                f"holds {stored.shape[MAPS]} sets of sensitivities (dimension {MAPS}); one is "
                "read: bart ecalib -m1"
            )
        places = [chosen.get(n, 0) if n > COIL and n != SLICE else slice(None) for n in range(16)]
        values = stored[tuple(places)]  # readout, phase encodings, coil, slice
        for number in range(values.shape[-1]):
            volume = np.moveaxis(values[..., number], COIL, 0)
            if volume.shape[1 + PHASE2] == 1:
                yield np.ascontiguousarray(volume[..., 0])
                continue
            volume = centred_ifft(volume, (1 + READOUT,)) if kspace else np.asarray(volume)
            for position in range(volume.shape[1]):
                yield np.ascontiguousarray(volume[:, position])


def _of_shape(maps: np.ndarray | None, shape: tuple[int, ...], path: Path) -> np.ndarray:
    """Return maps with unit norm over the coils where they are not zero.

    Raises:
        DataError: they are of another shape than k-space.
    """
    if maps is None or maps.shape != shape:
        found = "fewer slices" if maps is None else f"(coils, H, W) {maps.shape}"
        raise DataError(f"{path}: sensitivities have {found}, k-space {shape}; they must be equal")
    return unit_norm(maps)


def _map(path: Path) -> np.ndarray:
    """Map a file into memory, complex64 of 16 dimensions.

    Raises:
        ValueError: its header cannot be read, or is not of this file.
    """
    shape = _shape(path)
    return np.memmap(path, np.complex64, "r", shape=shape, order="F")


def _shape(path: Path) -> tuple[int, ...]:
    """Read the 16 dimensions of a file from its header."""
    header = path.with_suffix(".hdr")
    if not header.is_file():
        raise ValueError(f"{header.name} is missing beside it")
    lines = header.read_text(errors="replace").splitlines()
    numbers = [n + 1 for n, line in enumerate(lines) if line.startswith("# Dimensions")]
    words = lines[numbers[0]].split() if numbers and numbers[0] < len(lines) else []
    if not words or not all(re.fullmatch(r"\d{1,18}", word) for word in words) or len(words) > 16:
        raise ValueError(f"{header.name} has no dimensions: numbers behind `# Dimensions`")
    shape = tuple(int(word) for word in words)
    shape += (1,) * (16 - len(shape))
    if 0 in shape:
        raise ValueError(f"{header.name} has dimensions {' '.join(words)}; none may be 0")
    count = 1
    for size in shape:
        count *= size
    size = path.stat().st_size
    if size != 8 * count:
        raise ValueError(
            f"{header.name} tells of {8 * count:,} bytes, the file has {size:,}; is it cut off?"
        )
    return shape
