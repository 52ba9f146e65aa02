import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kdmri.analysis.experiments import find_records
from kdmri.analysis.paired import compare_methods
from kdmri.errors import KdmriError
from kdmri.metrics import SliceTable
from kdmri.report.collect import Collection, collect
from kdmri.report.page import render

MIB = 2**20
RESAMPLES = 2000
"""As `configs/evaluation/default.yaml` has it, so that intervals are those of the tables."""


def values(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="values">(.*?)</script>', page, re.S)
    assert found is not None
    return json.loads(found[1])


def many(collection: Collection, copies: int, epochs: int = 150) -> Collection:
    """The same runs again and again, under other names and with long curves."""
    noise = np.random.default_rng(0)
    grown = Collection(settings=collection.settings, notes=[])
    for copy in range(copies):
        for row in collection.rows:
            curve = [(epoch, float(noise.random())) for epoch in range(1, epochs + 1)]
            added = row | {"run": f"{row['run']} {copy}"}
            if row["stage"]:
                added["curves"] = dict.fromkeys(("val/psnr", "val/l1", "train/l1"), curve)
            grown.rows.append(added)
        for experiment, gallery in zip(collection.experiments, collection.galleries, strict=True):
            first = copy * len(collection.rows)
            rows = [first + row for row in experiment["rows"]]
            grown.experiments.append(experiment | {"rows": rows})
            grown.galleries.append(gallery)
    return grown


@pytest.fixture(scope="module")
def collection(trained: Path) -> Collection:
    return read(trained / "experiments")


def read(experiments: Path, block: int = 5) -> Collection:
    return collect(experiments, None, block, RESAMPLES)


@pytest.mark.parametrize(("copies", "limit"), [(1, MIB // 4), (12, MIB // 4)])
def test_page_stays_below_its_limit(collection: Collection, copies: int, limit: int) -> None:
    page = render(many(collection, copies), limit)
    assert len(page.encode()) <= limit
    assert len(page.encode()) > 0.5 * limit or "all" in page
    assert len(values(page)["rows"]) == copies * len(collection.rows)


@pytest.mark.parametrize(
    ("epochs", "copies", "limit", "shown"),
    [
        (150, 12, 2 * MIB, 150),
        (1000, 4, 3 * MIB // 2, 400),
        (1000, 4, MIB, 200),
        (1000, 4, MIB // 2, 100),
        (1000, 10, MIB, 50),
        (1000, 4, MIB // 4, 20),
    ],
)
def test_a_thinned_curve_says_how_many_points_it_has(
    collection: Collection, epochs: int, copies: int, limit: int, shown: int
) -> None:
    found = values(render(many(collection, copies, epochs), limit))
    curves = [curve for row in found["rows"] for curve in row["curves"].values()]
    assert curves
    for curve in curves:
        assert len(curve[0]) == len(curve[1]) == shown
        assert curve[2:] == ([] if shown == epochs else [epochs])
        assert curve[0][-1] == epochs, "the end stays"
    said = [note for note in found["notes"] if f"thinned to {shown} points" in note]
    assert len(said) == (shown < epochs)


def test_more_rows_than_fit_are_an_error_that_says_so(collection: Collection) -> None:
    with pytest.raises(KdmriError, match="limit_mib"):
        render(many(collection, 150), MIB // 16)


def test_same_tree_gives_the_same_page(trained: Path, collection: Collection) -> None:
    assert render(read(trained / "experiments"), MIB) == render(collection, MIB)


def test_rows_say_what_the_files_say(collection: Collection) -> None:
    stages = [row for row in collection.rows if row["stage"]]
    assert len(stages) == 10
    assert {row["seed"] for row in stages} == {1, 42}
    by_stage = {row["stage"]: row for row in stages if row["seed"] == 42}
    teacher, student, kd = (by_stage[name] for name in ("teacher", "student", "kd"))
    assert teacher["parameters"] > student["parameters"] == kd["parameters"]
    assert set(kd["volumes"]) == {"a", "b"}
    psnr = {row["stage"]: row["measures"].get("psnr", [np.nan])[0] for row in by_stage.values()}
    assert psnr["kd"] == pytest.approx(np.mean([v["psnr"] for v in kd["volumes"].values()]))
    if psnr["teacher"] > psnr["student"]:
        share = (psnr["kd"] - psnr["student"]) / (psnr["teacher"] - psnr["student"])
        assert kd["gap"] == pytest.approx(share, rel=1e-4)
    assert [epoch for epoch, _ in kd["curves"]["val/psnr"]] == [1, 2]
    assert "train.py" in kd["command"]


def test_gap_has_the_interval_of_the_table(trained: Path, tmp_path: Path) -> None:
    """Of stages whose gap is sure, since random networks may have none: the slices are made so."""
    experiments = tmp_path / "experiments"
    shutil.copytree(trained / "experiments", experiments)
    folder = experiments / "own" / "acc_4x"
    gains = {"teacher": 0.0, "student": 3.0, "student_long": 2.0, "kd": 1.0}
    for number, (stage, gain) in enumerate(gains.items()):
        better(folder / f"tiny_{stage}", folder / "tiny_comparison", gain, number)
    rows = {row["stage"]: row for row in read(experiments, block=1).rows if row["seed"] == 42}
    records = [r for r in find_records(experiments) if r.measured.seed == 42]
    (table,) = compare_methods(records, "student", 1, RESAMPLES).tables
    cells = {cells[0]: cells[table.header.index("gap recovered")] for cells in table.rows}
    for stage in ("student_long", "kd"):
        low, high = rows[stage]["gap_interval"]
        description = f"{100 * rows[stage]['gap']:.0f} % ({100 * low:.0f} to {100 * high:.0f})"
        assert description == cells[rows[stage]["label"]]
        assert low < rows[stage]["gap"] < high
    for stage in ("student", "teacher"):
        assert rows[stage]["gap_interval"] is None, "an end of the gap is no estimate"
        assert f"{100 * rows[stage]['gap']:.0f} %" == cells[rows[stage]["label"]]


def better(stage: Path, comparison: Path, worse: float, seed: int) -> None:
    """Return a stage the figures of one that misses 40 dB by so much, with a little noise."""
    table = SliceTable.from_csv((stage / "slices.csv").read_text())
    columns = dict(table.columns)
    noise = 0.1 * np.random.default_rng(seed).standard_normal(len(columns["slice"]))
    columns["squared_error"] = (
        columns["pixels"] * columns["data_range"] ** 2 * 10 ** (-(40 - worse + noise) / 10)
    )
    changed = SliceTable(columns)
    record = json.loads((stage / "metrics.json").read_text())
    record["figures"]["psnr"] = changed.mean("psnr")
    (stage / "metrics.json").write_text(json.dumps(record))
    (stage / "slices.csv").write_text(changed.to_csv())
    lines = list(csv.DictReader((comparison / "metrics.csv").read_text().splitlines()))
    own = [line for line in lines if line["stage"] == record["stage"]]
    for volume, line in enumerate(own):
        line["psnr"] = f"{changed.measure('psnr', volume):.8g}"
    with (comparison / "metrics.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, lines[0].keys())
        writer.writeheader()
        writer.writerows(lines)


def test_gap_of_other_slices_has_no_interval(tree: Path) -> None:
    folder = tree / "experiments" / "own" / "acc_4x"
    for number, stage in enumerate(("teacher", "student", "kd")):
        better(folder / f"tiny_{stage}", folder / "tiny_comparison", float(number), number)
    (folder / "tiny_kd" / "slices.csv").write_text("of an earlier version")
    rows = {row["stage"]: row for row in read(tree / "experiments").rows if row["seed"] == 42}
    assert rows["kd"]["gap_interval"] == []
    assert rows["kd"]["gap"] == pytest.approx(-1, abs=0.3)


def test_configurations_come_back_whole(collection: Collection) -> None:
    stored = values(render(collection, MIB))["settings"]
    assert len(stored) == 2
    for number, whole in enumerate(collection.settings):
        first = {} if number == 0 else dict(stored[0]["set"])
        found = {**first, **stored[number]["set"]}
        assert {k: v for k, v in found.items() if k not in stored[number]["unset"]} == whole
    assert whole["seed"] in (1, 42)


def test_names_cannot_leave_the_element_they_stand_in(collection: Collection) -> None:
    evil = "</script><script>alert(1)</script><!-- & \u2028"
    row = collection.rows[0] | {"label": evil, "dataset": evil}
    spoilt = Collection(
        rows=[row, *collection.rows[1:]],
        experiments=[collection.experiments[0] | {"title": evil}, collection.experiments[1]],
        settings=[{evil: evil, "nan": "nan"}],
        galleries=[None, None],
        notes=[evil],
    )
    page = render(spoilt, MIB)
    assert "alert(1)</script" not in page
    assert "<!-- &" not in page
    assert values(page)["rows"][0]["label"] == evil
    assert values(page)["notes"] == [evil]


def test_page_may_load_nothing(collection: Collection) -> None:
    page = render(collection, MIB)
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
    assert policy is not None
    assert "default-src 'none'" in policy[1].replace("&#x27;", "'")
    assert "unsafe" not in policy[1]
    outside = [a for a in re.findall(r"https?://[^\s\"'<]+", page) if "w3.org/2000/svg" not in a]
    assert outside == []
