"""`python -m kdmri.prepare` says who goes where before it writes, and keeps it."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from kdmri.data.readers.naming import pseudonym
from tests.prepare.conftest import NUMPY, SUBJECTS, Run, state


def manifest_of(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text())


def test_subjects_are_told_before_anything_is_written_and_kept(
    prepare: Run, folder: Path, source: Path
) -> None:
    np.save(source / "ann" / "ann_mask.npy", np.ones((2, 8, 8), np.uint8))
    result = prepare()
    assert result.code == 0, result.err
    kept = manifest_of(folder)["subjects"]
    assert kept.pop("rule") == "the outermost folders that name someone"
    assert sorted(name for names in kept.values() for name in names) == list(SUBJECTS)
    lines = result.out.splitlines()
    assert lines[0] == "left out by their names: label maps or masks: 1 (ann/ann_mask.npy)"
    assert lines[1].startswith("subjects found by the outermost folders that name someone (")
    description = [f"{s}: {len(names)} subject(s): {', '.join(names)}" for s, names in kept.items()]
    assert lines[2:5] == description
    for entry in manifest_of(folder)["volumes"].values():
        named = next(name for name in SUBJECTS if pseudonym(name) == entry["subject"])
        assert named in kept[entry["split"]]
    assert prepare().out.count("10 there before") == 1


def test_long_lists_are_counted(prepare: Run, source: Path, tmp_path: Path) -> None:
    for number in range(12):
        np.save(source / f"q{number:02}.npy", np.ones((1, 8, 8), np.float32))
    result = prepare(*NUMPY, "ratios={train: 1}")
    (line,) = (line for line in result.out.splitlines() if line.startswith("train: "))
    assert line == "train: 17 subject(s): ann, bob, cid, dan, eve, q00, q01, q02 and 9 more"
    assert "validation: no subjects\n" in result.out


def test_too_few_subjects_are_refused_with_what_told_them(prepare: Run) -> None:
    result = prepare(*NUMPY, "subjects='one|two'")
    assert result.code == 2
    assert "2 subject(s) cannot fill 3 splits" in result.err
    assert "subjects found by subjects=one|two" in result.err


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("subjects=3", "subjects=3: must be null, folder, name, study or a regular expression"),
        ("subjects=''", "subjects=: must be null, folder"),
        ("subjects='(ann'", "subjects=(ann: is neither null, folder, name or study nor a regular"),
        ("subjects=ann", "subjects=ann: does not match its path below the source"),
        ("subjects=study", "subjects=study: only DICOM files tell of studies"),
    ],
)
def test_subjects_that_cannot_be_told(prepare: Run, folder: Path, given: str, message: str) -> None:
    result = prepare(*NUMPY, given)
    assert result.code == 2
    assert message in result.err
    assert not folder.exists()


def test_the_option_is_one_of_the_settings(prepare: Run, folder: Path) -> None:
    assert prepare().code == 0
    result = prepare(*NUMPY, "subjects=folder")
    assert result.code == 2
    assert "other settings: subjects was None, now folder" in result.err


def as_earlier_version(folder: Path, **subjects: str) -> None:
    """Take out of a manifest what earlier versions did not have; volumes are of these subjects."""
    stored = manifest_of(folder)
    del stored["subjects"], stored["settings"]["subjects"]
    for entry in stored["volumes"].values():
        entry.pop("rules")
    for name, subject in subjects.items():
        stored["volumes"][name]["subject"] = pseudonym(subject)
    (folder / "manifest.json").write_text(json.dumps(stored))


def test_a_manifest_of_an_earlier_version_goes_on(prepare: Run, folder: Path, source: Path) -> None:
    assert prepare().code == 0
    whole = manifest_of(folder)
    as_earlier_version(folder, ann_ann_one="ann_one", ann_ann_two="ann_two")
    result = prepare()
    assert result.code == 0, result.err
    assert "10 volume(s) were judged by the rules of an earlier version, and are made" in result.out
    assert "10 volumes written" in result.out
    assert manifest_of(folder) == whole
    result = prepare()
    assert "0 volumes written" in result.out
    assert "earlier version" not in result.out
    (written,) = folder.rglob("ann_ann_one.h5")
    with h5py.File(written) as file:
        assert file.attrs["subject"] == pseudonym("ann")


def test_a_person_whom_an_earlier_version_took_for_two_is_told(prepare: Run, folder: Path) -> None:
    assert prepare().code == 0
    as_earlier_version(folder, ann_ann_one="ann_one", ann_ann_two="ann_two")
    stored = manifest_of(folder)
    entry = stored["volumes"]["ann_ann_one"]
    entry["split"] = next(s for s in ("test", "train") if s != entry["split"])
    (folder / "manifest.json").write_text(json.dumps(stored))
    before = state(folder)
    result = prepare()
    assert result.code == 2
    assert "was prepared when subjects were told otherwise: ann has volumes in `" in result.err
    assert state(folder) == before


def test_a_volume_that_earlier_rules_took_and_these_refuse_is_told(
    prepare: Run, folder: Path, source: Path
) -> None:
    """Its file was made of the same bytes, so its fingerprint alone shows nothing."""
    assert prepare().code == 0
    as_earlier_version(folder)
    path = source / "bob" / "bob_one.npy"
    values = np.load(path)
    np.save(path, values - values.mean())
    stored = manifest_of(folder)
    now = {"bytes": path.stat().st_size, "modified_ns": path.stat().st_mtime_ns}
    stored["volumes"]["bob_bob_one"]["sources"][0].update(now)
    (folder / "manifest.json").write_text(json.dumps(stored))
    result = prepare()
    assert result.code == 2
    assert "9 volumes written" in result.out
    assert "bob_one.npy: has values from -" in result.out
    assert "bob_bob_one.h5 of an earlier run stays, delete it if it is wrong" in result.out


def test_volumes_whose_names_are_gone_are_told(prepare: Run, folder: Path, source: Path) -> None:
    assert prepare().code == 0
    (source / "ann" / "ann_two.npy").unlink()
    file = manifest_of(folder)["volumes"]["ann_ann_two"]["file"]
    result = prepare()
    assert f"1 volume(s) are none of the source now, and stay: {file}; delete" in result.out
    (folder / file).unlink()
    assert "none of the source now" not in prepare().out


def test_a_scan_that_is_there_under_another_name_stays_in_its_split(
    prepare: Run, folder: Path
) -> None:
    assert prepare().code == 0
    stored = manifest_of(folder)
    entry = stored["volumes"]["as_it_was_called"] = stored["volumes"].pop("ann_ann_one")
    entry["split"] = next(s for s in ("test", "train") if s != entry["split"])
    (folder / "manifest.json").write_text(json.dumps(stored))
    result = prepare()
    assert result.code == 2
    assert "was prepared when subjects were told otherwise: ann has volumes in `" in result.err


def test_a_label_map_of_an_earlier_version_is_told(
    prepare: Run, folder: Path, source: Path
) -> None:
    assert prepare().code == 0
    stored = manifest_of(folder)
    stored["volumes"]["ann_ann_one"]["sources"][0]["file"] = "ann/ann_mask.npy"
    (folder / "manifest.json").write_text(json.dumps(stored))
    (source / "ann" / "ann_one.npy").rename(source / "ann" / "ann_mask.npy")
    result = prepare()
    assert result.code == 2
    assert "ann/ann_mask.npy is among its volumes, no image by its name" in result.err
