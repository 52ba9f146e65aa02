import csv
import io
import json
import os
import re
from functools import partial
from pathlib import Path

import pytest

from kdmri.analysis.collection import Summary, summarise, tabulate, to_csv
from kdmri.analysis.experiments import find_records
from kdmri.analysis.records import RECORD
from kdmri.data.masks import GaussianLines
from kdmri.errors import CheckpointError
from kdmri.metrics import SliceTable
from kdmri.physics import CartesianUndersampling
from tests.analysis.measured import measurements


def read_summaries(root: Path, since: float = 0.0) -> list[Summary]:
    return summarise(find_records(root, since))


def leave(folder: Path, label: str, psnr: float, seed: int = 42, task: str = "4x") -> Path:
    measured = measurements(
        dataset="Heart",
        task=task,
        stage=label.lower(),
        label=label,
        seed=seed,
        figures={"psnr": psnr, "ssim": 0.9, "nmse": 0.01},
        baselines={"Zero-filled": {"psnr": 20.0, "ssim": 0.5, "nmse": 0.1}},
    )
    measured.write(folder, SliceTable({}))
    return folder / RECORD


def test_seeds_are_averaged_and_baselines_come_once(tmp_path: Path) -> None:
    leave(tmp_path / "heart/acc_4x/run_kd", "Student + KD", 30.0)
    leave(tmp_path / "heart/acc_4x/run_kd_seed-1", "Student + KD", 32.0, seed=1)
    leave(tmp_path / "heart/acc_8x/run_kd", "Student + KD", 27.0, task="8x")
    rows = tabulate(read_summaries(tmp_path)).rows
    assert [row[1:3] for row in rows] == [
        ["4x", "Zero-filled"],
        ["4x", "Student + KD"],
        ["8x", "Zero-filled"],
        ["8x", "Student + KD"],
    ]
    assert rows[1][3:6] == ["49,285", "31.00 ± 1.41", "0.9000 ± 0.0000"]
    assert [row[-1] for row in rows] == ["–", "2", "–", "1"]


def test_variants_stand_apart_by_name(tmp_path: Path) -> None:
    leave(tmp_path / "heart/acc_4x/run_kd", "Student + KD", 30.0)
    leave(tmp_path / "heart/acc_4x/run_kd_loss.imitation-0.3", "Student + KD", 31.0)
    methods = [row[2] for row in tabulate(read_summaries(tmp_path)).rows]
    assert methods == ["Zero-filled", "Student + KD", "Student + KD (loss.imitation-0.3)"]


def test_data_sets_of_one_title_stand_apart_by_directory(tmp_path: Path) -> None:
    leave(tmp_path / "heart/acc_4x/run_kd", "Student + KD", 30.0)
    leave(tmp_path / "heart_noisy/acc_4x/run_kd", "Student + KD", 20.0, seed=1)
    rows = tabulate(read_summaries(tmp_path)).rows
    found = [(row[0], row[4], row[-1]) for row in rows if row[2] == "Student + KD"]
    assert found == [("Heart (heart)", "30.00", "1"), ("Heart (heart_noisy)", "20.00", "1")]
    leave(tmp_path / "again/heart/acc_4x/run_kd_seed-2", "Student + KD", 31.0, seed=2)
    titles = {one.dataset for one in read_summaries(tmp_path / "again")}
    assert titles == {"Heart"}, "where there is one, its title is enough"


def test_csv_keeps_every_seed(tmp_path: Path) -> None:
    leave(tmp_path / "heart/acc_4x/run_kd", "Student + KD", 30.0)
    leave(tmp_path / "heart/acc_4x/run_kd_seed-1", "Student + KD", 32.0, seed=1)
    rows = list(csv.DictReader(io.StringIO(to_csv(read_summaries(tmp_path)))))
    kept = {row["seed"]: float(row["psnr"]) for row in rows if row["method"] == "Student + KD"}
    assert kept == {"42": 30.0, "1": 32.0}


def test_older_files_can_be_left_out_and_damaged_ones_are_named(tmp_path: Path) -> None:
    old = leave(tmp_path / "heart/acc_4x/run_kd", "Student + KD", 30.0)
    os.utime(old, (1000, 1000))
    new = leave(tmp_path / "heart/acc_4x/run_teacher", "Teacher", 31.0)
    assert {s.method for s in read_summaries(tmp_path, since=2000)} == {"Teacher", "Zero-filled"}
    new.write_text('{"dataset": 1')
    with pytest.raises(CheckpointError, match=r"run_teacher/metrics.json: not what evaluation"):
        read_summaries(tmp_path)


def test_baselines_of_other_masks_stand_apart(tmp_path: Path) -> None:
    leave(tmp_path / "heart/acc_4x/run_kd", "Student + KD", 30.0)
    other = leave(tmp_path / "heart/acc_4x/run_kd_dataset.mask.seed-3", "Student + KD", 31.0)
    other.write_text(other.read_text().replace("20.0", "17.0"))
    rounded = leave(tmp_path / "heart/acc_4x/run_teacher", "Teacher", 31.0)
    rounded.write_text(rounded.read_text().replace("20.0", "20.00000001"))
    rows = tabulate(read_summaries(tmp_path)).rows
    assert [(row[2], row[4]) for row in rows if "Zero-filled" in row[2]] == [
        ("Zero-filled", "20.00"),
        ("Zero-filled (run_kd_dataset.mask.seed-3)", "17.00"),
    ]


def test_one_data_set_in_two_places_is_not_averaged(tmp_path: Path) -> None:
    for tree, psnr in (("a", 30.0), ("b", 32.0)):
        leave(tmp_path / tree / "heart/acc_4x/run_kd", "Student + KD", psnr)
    rows = [row for row in tabulate(read_summaries(tmp_path)).rows if row[2] == "Student + KD"]
    assert [(row[0], row[4], row[-1]) for row in rows] == [
        ("Heart (a/heart)", "30.00", "1"),
        ("Heart (b/heart)", "32.00", "1"),
    ]


def test_inputs_of_one_task_stand_apart_by_how_they_were_made(tmp_path: Path) -> None:
    for number, description in enumerate(("Mask: radial", "Mask: lines", "")):
        path = leave(tmp_path / f"heart/acc_4x/run_{number}", "Teacher", 30.0)
        record = json.loads(path.read_text())
        path.write_text(json.dumps(record | {"input": description}))
        tasks = {record.measured.task for record in find_records(tmp_path)}
        assert len(tasks) == (1, 2, 3)[number]
    assert tasks == {"4x (Mask: radial)", "4x (Mask: lines)", "4x (input not recorded)"}


def test_words_of_earlier_versions_are_the_same_input(tmp_path: Path) -> None:
    size = (64, 48)
    now = CartesianUndersampling(GaussianLines(4)).describe(size)
    before = re.sub(r"effective acceleration (\S+)x", r"\1x in truth", now)
    assert before != now
    for number, described in enumerate((before, now)):
        path = leave(tmp_path / f"heart/acc_4x/run_{number}", "Teacher", 30.0)
        path.write_text(json.dumps(json.loads(path.read_text()) | {"input": described}))
    found = [record.measured for record in find_records(tmp_path)]
    assert {measured.task for measured in found} == {"4x"}
    assert {measured.input for measured in found} == {now}


def test_weights_of_baselines_stand_in_a_column_of_their_own(tmp_path: Path) -> None:
    """Seeds and sweeps share their baselines' rows, those of earlier versions too."""
    figures = {"psnr": 25.0, "ssim": 0.7, "nmse": 0.02}
    kd = partial(measurements, stage="kd", label="Student + KD", figures=figures)
    for seed, label, weights in (
        (1, "CG-SENSE", {"CG-SENSE": 0.03}),
        (2, "CG-SENSE", {"CG-SENSE": 0.03}),
        (3, "CG-SENSE (0.03)", {}),
    ):
        one = kd(seed=seed, baselines={label: figures}, weights=weights)
        one.write(tmp_path / f"a/acc_4x/run_kd_seed-{seed}", SliceTable({}))
    found = read_summaries(tmp_path)
    (row, _) = tabulate(found).rows
    assert (row[2], row[4], row[-1]) == ("CG-SENSE", "0.03", "–")
    assert tabulate(found).header[4] == "weight"
    (line, *_) = csv.DictReader(io.StringIO(to_csv(found)))
    assert (line["method"], line["weight"]) == ("CG-SENSE", "0.03")
    other = kd(seed=1, baselines={"CG-SENSE": {**figures, "psnr": 2.0}}, weights={"CG-SENSE": 0.1})
    other.write(tmp_path / "a/acc_4x/run_kd_dataset.mask.centre_fraction-0.3", SliceTable({}))
    rows = [row for row in tabulate(read_summaries(tmp_path)).rows if "CG-SENSE" in row[2]]
    assert sorted(row[4] for row in rows) == ["0.03", "0.1"], "of another mask"
