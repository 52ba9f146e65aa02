import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kdmri.errors import KdmriError
from kdmri.reporting.html.collect import Collection, collect
from kdmri.reporting.html.page import render

MIB = 2**20


def values(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="values">(.*?)</script>', page, re.S)
    assert found is not None
    return json.loads(found[1])


def many(collection: Collection, copies: int) -> Collection:
    """The same runs again and again, under other names and with long curves."""
    noise = np.random.default_rng(0)
    grown = Collection(settings=collection.settings, notes=[])
    for copy in range(copies):
        for row in collection.rows:
            curve = [(epoch, float(noise.random())) for epoch in range(1, 151)]
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
    return collect(trained / "experiments")


@pytest.mark.parametrize(("copies", "limit"), [(1, MIB // 4), (12, MIB // 4)])
def test_page_stays_below_its_limit(collection: Collection, copies: int, limit: int) -> None:
    page = render(many(collection, copies), limit)
    assert len(page.encode()) <= limit
    assert len(page.encode()) > 0.5 * limit or "all" in page
    assert len(values(page)["rows"]) == copies * len(collection.rows)


def test_more_rows_than_fit_are_an_error_that_says_so(collection: Collection) -> None:
    with pytest.raises(KdmriError, match="limit_mib"):
        render(many(collection, 150), MIB // 16)


def test_same_tree_gives_the_same_page(trained: Path, collection: Collection) -> None:
    assert render(collect(trained / "experiments"), MIB) == render(collection, MIB)


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
