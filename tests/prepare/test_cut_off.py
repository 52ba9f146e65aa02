"""`python -m kdmri.prepare` that is killed, or runs out of space."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import pytest

from kdmri.data.readers.base import Reader, SourceSlice, SourceVolume
from kdmri.data.readers.numpy_files import NumpyFiles
from kdmri.data.simulation import Simulation
from kdmri.errors import KdmriError
from kdmri.prepare.pipeline import Outcome, Preparation, plan, write
from kdmri.prepare.writing import Form
from tests.conftest import ROOT
from tests.prepare.conftest import Run, state


def test_file_that_was_written_but_not_noted_stays_in_no_other_split(
    prepare: Run, folder: Path
) -> None:
    """A run that is cut off between both; the next one may assign the subject otherwise."""
    assert prepare().code == 0
    before = {path.split("/")[1]: path for path in state(folder)}
    manifest = json.loads((folder / "manifest.json").read_text())
    entry = manifest["volumes"].pop("ann_ann_one")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    elsewhere = next(p for p in ("train", "test") if p != entry["split"])
    (folder / entry["file"]).rename(folder / elsewhere / "ann_ann_one.h5")
    (folder / "train" / "of_another_source.h5").write_bytes(b"precious")
    assert prepare().code == 0
    found = {path.split("/")[1]: path for path in state(folder)}
    assert (folder / "train" / "of_another_source.h5").read_bytes() == b"precious"
    assert found.pop("of_another_source.h5")
    assert found == before
    assert len(state(folder)) == 11


@dataclass(frozen=True)
class Deadly(Reader):
    """Reads NumPy files, and is killed by one of them, as by a system that is out of memory."""

    deadly: str

    def volumes(self, source: Path) -> Iterator[SourceVolume]:
        for volume in NumpyFiles(axis=0, kspace=False, centred=False).volumes(source):
            is_deadly = volume.files[0].stem == self.deadly
            yield replace(volume, slices=_kill) if is_deadly else volume


def _kill() -> Iterator[SourceSlice]:
    time.sleep(0.5)  # others are done
    os.kill(os.getpid(), signal.SIGKILL)
    yield from ()


@pytest.mark.processes
def test_a_worker_that_dies_is_one_error_and_loses_nothing(source: Path, folder: Path) -> None:
    def outcomes(deadly: str, processes: int) -> Iterator[Outcome]:
        form = Form(None, Simulation())
        options = (Deadly(deadly), source, folder, form, None, 0, processes)
        return write(plan(Preparation(*options, strict=False)))

    done: list[str] = []
    with pytest.raises(KdmriError) as raised:
        done.extend(outcome.name for outcome in outcomes("eve_two", 2))  # as far as it comes
    assert done
    assert type(raised.value) is KdmriError, "nothing is wrong with any file"
    assert f"{len(done)} of 10 volumes are there; the same command goes on" in str(raised.value)
    settings = (folder / "manifest.json").read_text().replace("eve_two", "none")
    (folder / "manifest.json").write_text(settings)
    again = list(outcomes("none", 0))
    assert {outcome.name for outcome in again if outcome.known} == set(done)
    assert len(state(folder)) == len(again) == 10


def as_user(tmp_path: Path, source: Path, **extra: object) -> list[str]:
    words = [f"{key}={value}" for key, value in extra.items()]
    given = ["format=numpy", "format.axis=0", "name=study", f"source={source}", *words]
    return [sys.executable, "-m", "kdmri.prepare", *given]


def test_killed_run_leaves_no_half_file_and_goes_on(
    tmp_path: Path, source: Path, folder: Path
) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = as_user(tmp_path, source)
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, start_new_session=True, stdout=subprocess.DEVNULL
    ) as process:
        while not (folder / "manifest.json").exists() and process.poll() is None:
            time.sleep(0.002)
        os.killpg(process.pid, signal.SIGKILL)
    for path in folder.rglob("*.h5"):
        with h5py.File(path) as file:
            assert file["volfs"].shape[2] in (4, 8)
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(state(folder)) == 10
    assert not list(folder.rglob(".*")), "nothing half-written stays"


def test_full_disk_is_one_clear_error(tmp_path: Path, source: Path, folder: Path) -> None:
    """A limit on the size of a file stands in for a disk without space."""
    limited = f"ulimit -f 8; exec {' '.join(as_user(tmp_path, source, processes=1))}"
    done = subprocess.run(
        ["bash", "-c", limited],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, done.stderr  # h5py adds complaints of its own
    assert "cannot be written (File too large)" in errors[0]
    assert not state(folder)
