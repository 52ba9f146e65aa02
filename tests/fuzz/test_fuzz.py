"""300 damaged files of all formats; and that what the fuzzer looks for is found."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from kdmri.data.readers.numpy_files import NumpyFiles
from tests.fuzz import pool, samples
from tests.fuzz.__main__ import Words, main, parse, verdicts
from tests.fuzz.judging import Ended, Verdict, judge_prepared, judge_reconstructed
from tests.fuzz.samples import FORMATS
from tests.fuzz.trial import Trials, damaged

CASES = 300
SEED = 20


def test_damaged_files_end_in_one_line_or_in_whole_files() -> None:
    found = list(verdicts(Words(count=CASES, seed=SEED)))
    assert sorted(verdict.case for verdict in found) == list(range(CASES))
    assert {verdict.format for verdict in found} == set(FORMATS)
    description = [f"case={v.case} {f.kind}: {f.text}" for v in found for f in v.findings]
    assert not description, "\n".join(description)
    taken = sum(verdict.accepted for verdict in found)
    assert CASES - taken > 0.1 * CASES, "hardly any file was damaged enough"
    assert taken > 0.1 * CASES, "hardly any file was read"


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz") / "templates"
    samples.write_all(folder)
    return folder


def begin_broken(seed: int, templates: Path, scratch: Path) -> Callable[[int], Verdict]:
    """Run cases with a reader that lets an error of its own through."""

    def broken(self: NumpyFiles, values: np.ndarray) -> np.ndarray:
        raise ZeroDivisionError("of this reader")

    NumpyFiles._image = broken  # type: ignore[method-assign]
    return Trials(seed, templates, scratch)


def begin_odd(seed: int, templates: Path, scratch: Path) -> Callable[[int], Verdict]:
    """Run cases that end in other ways than a library's error."""
    trials = Trials(seed, templates, scratch)

    def run(case: int) -> Verdict:
        if case == 1:
            time.sleep(60)
        if case == 2:
            os.kill(os.getpid(), signal.SIGSEGV)
        if case == 3:
            NumpyFiles._image = hungry  # type: ignore[method-assign]
            return trials(10)
        return trials(case)

    return run


def hungry(self: NumpyFiles, values: np.ndarray) -> np.ndarray:
    return np.ones(2**30)


def judged(templates: Path, tmp_path: Path, begin: pool.Begin, cases: list[int]) -> dict:
    folders = templates, tmp_path
    ran = pool.run(cases, 1, 0, folders, begin, seconds=4)
    return {verdict.case: verdict for verdict in ran}


def test_broken_reader_is_caught(templates: Path, tmp_path: Path) -> None:
    (case,) = (n for n, name in enumerate(FORMATS) if name == "numpy")
    (verdict,) = judged(templates, tmp_path, begin_broken, [case]).values()
    assert [finding.kind for finding in verdict.findings] == ["traceback", "traceback"]
    assert "ZeroDivisionError at data/readers/numpy_files.py" in verdict.findings[0].text
    assert (tmp_path / f"case-{case}" / "input").is_dir(), "the damaged file is kept"


def test_time_memory_and_crashes_are_found_and_outlived(templates: Path, tmp_path: Path) -> None:
    found = judged(templates, tmp_path, begin_odd, [1, 2, 3, 4])
    kinds = {case: {f.kind for f in verdict.findings} for case, verdict in found.items()}
    assert kinds == {1: {"timeout"}, 2: {"crash"}, 10: {"memory"}, 4: set()}
    assert found[2].findings[0].text == "the process died of SIGSEGV"


@pytest.mark.parametrize(
    ("left", "kind"),
    [
        ("sets/fuzz/train/.a.h5.77", "half-written"),
        ("sets/fuzz/train/a.h5", "half-written"),
        ("sets/fuzz/manifest.json", "output"),
    ],
)
def test_what_prepare_leaves_is_judged(tmp_path: Path, left: str, kind: str) -> None:
    path = tmp_path / left
    path.parent.mkdir(parents=True)
    path.write_text('{"volumes": {"a": NaN}}')
    verdict = Verdict(0, "numpy")
    judge_prepared(verdict, Ended(2, "", "error: a line\n"), tmp_path)
    assert kind in {finding.kind for finding in verdict.findings}


@pytest.mark.parametrize(
    ("code", "out", "err"),
    [
        (0, "", ""),
        (1, "", "error: a line\n"),
        (2, "", "error: a line\nand one more\n"),
        (2, "", ""),
    ],
)
def test_exit_code_and_line_are_judged(tmp_path: Path, code: int, out: str, err: str) -> None:
    verdict = Verdict(0, "numpy")
    judge_prepared(verdict, Ended(code, out, err), tmp_path)
    assert [finding.kind for finding in verdict.findings] == ["exit"]
    fine = Verdict(0, "numpy")
    judge_prepared(fine, Ended(2, "left out: a.npy", ""), tmp_path)
    assert not fine.findings


def test_reconstructions_are_opened(tmp_path: Path) -> None:
    output = tmp_path / "case" / "out"
    output.mkdir(parents=True)
    with h5py.File(output / "a.h5", "w") as file:
        file["reconstruction"] = np.array([[[0, np.nan]]])
    (output / "b.nii").write_bytes(b"no image")
    verdict = Verdict(0, "numpy")
    judge_reconstructed(verdict, Ended(0, "", ""), output)
    assert [finding.kind for finding in verdict.findings] == ["output", "output"]


def test_case_is_the_same_in_every_run(tmp_path: Path) -> None:
    runs = []
    for run in ("one", "two"):
        samples.write_all(tmp_path / run)
        for case, (name, one) in enumerate(FORMATS.items()):
            damaged(tmp_path / run / name, one.victim, np.random.default_rng((7, case)))
        files = (path for path in (tmp_path / run).rglob("*") if path.is_file())
        runs.append({path.relative_to(tmp_path / run): path.read_bytes() for path in files})
    assert runs[0] == runs[1]


def test_words() -> None:
    found = parse(["count=7", "seed=3", "formats=[dicom,nifti1]", "keep=there"])
    assert list(found.cases())[:3] == [0, 4, len(FORMATS)]
    assert len(list(found.cases())) == 7
    assert list(parse(["case=12"]).cases()) == [12]
    for wrong in ("cuont=3", "count", "count=x", "processes=0", "formats=[nifty]"):
        assert main([wrong]) == 2
