"""What is computed once beside a volume of several coils, and kept."""

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from kdmri.data import companions
from kdmri.data.coils import inspect_coils
from kdmri.data.companions import companion
from tests.conftest import ROOT
from tests.data.coil_volumes import Combining, Known, write
from tests.data.readers.coils import phased


def test_companion_is_kept_until_the_file_changes(tmp_path: Path, anatomy: np.ndarray) -> None:
    path = tmp_path / "train" / "a.h5"
    write(path, phased(anatomy, slice(10, 12)))
    first = companion(inspect_coils(path), tmp_path, (8, 8), Known())
    made = first.path.stat().st_mtime_ns
    again = companion(inspect_coils(path), tmp_path, (8, 8), Known())
    assert (again.scale, again.path.stat().st_mtime_ns) == (first.scale, made)
    other = companion(inspect_coils(path), tmp_path, (12, 12), Known())
    assert other.path != first.path
    write(path, phased(anatomy, slice(10, 12)), scale=3)
    renewed = companion(inspect_coils(path), tmp_path, (8, 8), Known())
    assert renewed.scale == pytest.approx(3 * first.scale)


def test_companion_of_an_earlier_version_is_made_anew(
    tmp_path: Path, anatomy: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "train" / "a.h5"
    write(path, phased(anatomy, slice(10, 12)))
    monkeypatch.setattr(companions, "RULES", companions.RULES - 1)
    first = companion(inspect_coils(path), tmp_path, (8, 8), Known())
    with h5py.File(first.path, "a") as file:
        file.attrs["scale"] = 7.0
    assert companion(inspect_coils(path), tmp_path, (8, 8), Known()).scale == 7
    monkeypatch.undo()
    assert companion(inspect_coils(path), tmp_path, (8, 8), Known()).scale == first.scale


def test_two_processes_may_compute_of_one_volume_at_once(
    tmp_path: Path, anatomy: np.ndarray
) -> None:
    """Another process begins and ends while this one has its file half-written."""
    path = tmp_path / "train" / "a.h5"
    write(path, phased(anatomy, slice(10, 12)), known=False)
    code = (
        "from pathlib import Path; from tests.data.coil_volumes import Combining; "
        "from kdmri.data.coils import inspect_coils; from kdmri.data.companions import companion; "
        f"companion(inspect_coils(Path({str(path)!r})), Path({str(tmp_path)!r}), (8, 8), "
        "Combining())"
    )
    seen: list[bytes] = []

    def other() -> None:
        subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
        (kept,) = (tmp_path / companions.FOLDER).rglob("a.h5")
        seen.append(kept.read_bytes())

    volume = inspect_coils(path)
    mine = companion(volume, tmp_path, (8, 8), Combining(other))
    assert len(seen) == 1
    assert mine.path.read_bytes() == seen[0], "either is whole, and both are the same"
    assert [p.name for p in mine.path.parent.iterdir()] == ["a.h5"], "nothing half-written stays"
    again = companion(volume, tmp_path, (8, 8), Known())
    assert (again.scale, again.largest) == (mine.scale, mine.largest)
