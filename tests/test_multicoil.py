"""Several coils by the commands that train on one: from files of k-space to tables."""

import csv
import importlib
import importlib.util
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from kdmri.data.coils import KSPACE, SENSITIVITIES
from kdmri.data.companions import FOLDER
from kdmri.data.layout import TARGET, write_slices
from kdmri.data.readers.fastmri import FastMRI
from kdmri.data.simulation import Simulation
from kdmri.prepare.writing import Form, write_prepared
from kdmri.report.collect import collect
from tests.conftest import ROOT, Result
from tests.data.readers.coils import centred_fft2, phased, sensitivities
from tests.data.readers.test_fastmri import HEADER, oversampled
from tests.killing import finish, kill_after_first_save, weights_of

Run = Callable[..., Result]
TINY = (f"--config-dir={ROOT / 'tests' / 'configs'}", "experiment=tiny")
OWN = (*TINY, "dataset=multicoil", "dataset.name=coils", "dataset.mask.centre_fraction=0.25")
FILE = "file1000007.h5"
HEAD = (*TINY, "dataset=mni_multicoil", "dataset.build.size=[40,36]", "dataset.build.coils=4")


@pytest.fixture
def coils(tmp_path: Path, anatomy: np.ndarray) -> Path:
    """Volumes of two sizes and of three and five coils, one with sensitivities; a fastMRI file."""
    folder = tmp_path / "datasets" / "coils"
    rows = slice(0, 44)
    for name, first, last, cut, count, known in (
        ("train/a", 4, 8, rows, 3, True),
        ("train/b", 9, 12, slice(None), 5, False),
        ("validation/c", 13, 15, slice(None), 5, False),
        ("test/d", 20, 23, slice(None), 5, False),
        ("test/e", 25, 27, rows, 3, False),
    ):
        images = phased(anatomy, slice(first, last))[:, cut]
        maps = sensitivities(count, images.shape[1:])
        noise = np.random.default_rng(first).normal(size=(2, len(images), *maps.shape))
        kspace = np.fft.fft2(images[:, None] * maps, norm="ortho")
        kspace = (kspace + 0.005 * (noise[0] + 1j * noise[1])).astype(np.complex64)
        slices = (
            {
                TARGET: np.abs(image[2:-2]).astype(np.float32),  # what is shown
                KSPACE: k,
                **({SENSITIVITIES: maps} if known else {}),
            }
            for image, k in zip(images, kspace, strict=True)
        )
        write_slices(folder / f"{name}.h5", slices, {})
    write_fastmri(tmp_path / FILE, anatomy)
    (volume,) = FastMRI(keep_coils=True).volumes(tmp_path / FILE)
    write_prepared(volume, "test", tmp_path, folder, Form(None, Simulation(False, None, 0)))
    return folder


def write_fastmri(path: Path, anatomy: np.ndarray) -> None:
    """Write noisy k-space of 4 coils, 96x40, shown in 48x31: odd, and not as high as wide."""
    images = 3e-5 * oversampled(anatomy)[:, None] * sensitivities(4, (96, 40))
    drawn = np.random.default_rng(1).normal(size=(2, *images.shape))
    images = images + 2e-7 * (drawn[0] + 1j * drawn[1])
    with h5py.File(path, "w") as file:
        file["kspace"] = centred_fft2(images)
        file["ismrmrd_header"] = HEADER.format(x=48, y=31).encode()
        shown = np.linalg.norm(images, axis=1)[:, 24:72, 4:35]  # from (n - m) // 2 on
        file["reconstruction_rss"] = shown.astype(np.float32)


def test_whole_distillation_of_volumes_that_differ(run: Run, tmp_path: Path, coils: Path) -> None:
    result = run("train.py", *OWN, "augmentation=flips_and_masks")
    assert result.code == 0, result.err
    text = " ".join(result.out.split())
    for words in (
        "Zero-filled RSS",
        "CG-SENSE",
        "Student + KD",
        "drawn by the name of each",
        "their combined image (2 volume(s)), the files' reconstruction_rss (1 volume(s))",
    ):
        assert words in text
    (folder,) = (tmp_path / "experiments" / "coils" / "acc_4x").glob("tiny_comparison*")
    (kept,) = (coils / FOLDER).iterdir()
    assert {p.relative_to(kept).as_posix() for p in kept.rglob("*.h5")} == {
        *(f"train/{name}.h5" for name in "ab"), "validation/c.h5",
        *(f"test/{name}" for name in ("d.h5", "e.h5", FILE)),
    }  # fmt: skip
    with (folder / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["stage"] in ("teacher", "kd")]
    assert len(rows) == 6
    for row in rows:
        stage = folder.parent / folder.name.replace("comparison", row["stage"])
        with h5py.File(stage / "results" / f"{row['volume']}.h5") as file:
            images = np.abs(file["reconstruction"][...])
        if row["volume"] == Path(FILE).stem:
            check_leaderboard(row, images, tmp_path / FILE, kept / "test" / FILE)
            continue
        target = shown_target(kept / "test" / f"{row['volume']}.h5", images.shape[1:])
        largest = target.max()
        psnr = peak_signal_noise_ratio(target, images, data_range=largest)
        pairs = zip(target, images, strict=True)
        ssim = np.mean([structural_similarity(a, b, data_range=largest) for a, b in pairs])
        assert float(row["psnr"]) == pytest.approx(psnr, abs=1e-3)
        assert float(row["ssim"]) == pytest.approx(ssim, abs=1e-4)
    check_report(run, tmp_path, folder)
    again = run("train.py", *OWN, "augmentation=flips_and_masks")
    assert again.out.count("done before") == 5
    check_other_commands(run, tmp_path, rows)


def check_report(run: Run, tmp_path: Path, folder: Path) -> None:
    """The report shows target, coils and baselines, with the figures that were measured."""
    result = run("kdmri/report/__main__.py", "output=report.html")
    assert result.code == 0, result.err
    page = (tmp_path / "report.html").read_text()
    found = re.search(r'type="application/json" id="values">(.*?)</script>', page, re.S)
    assert found is not None
    (experiment,) = json.loads(found[1])["experiments"]
    notes, viewer = " ".join(experiment["notes"]), experiment["viewer"]
    for words in (
        "their combined image (2 volume(s)), the files' reconstruction_rss (1 volume(s))",
        "2 of other sizes",
        "Weights of regularisation, chosen on selection slices: CG-SENSE 0.",
    ):
        assert words in notes
    assert "error maps are left out" not in notes
    labels = viewer["panes"]
    assert labels[:3] == ["Target", "Zero-filled RSS", "CG-SENSE"]
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    for label in labels[1:4]:
        (row,) = (r for r in rows if r["stage"].lower() == label.lower() and r["volume"] == "d")
        psnr = [strip[3][labels.index(label)] for strip in viewer["strips"] if strip[0] == "d"]
        squared = np.mean([10 ** (-value / 10) for value in psnr])
        assert -10 * np.log10(squared) == pytest.approx(float(row["psnr"]), abs=1e-3)


def check_leaderboard(row: dict[str, str], images: np.ndarray, file: Path, kept: Path) -> None:
    """Compare figures with those of `fastmri.evaluate`: its formulas, and where it is, itself."""
    with h5py.File(file) as source, h5py.File(kept) as beside:
        target = source["reconstruction_rss"][:, 8:39]  # 31 of 48 rows, as many as columns
        images = images * beside.attrs["scale"]
    assert images.shape == target.shape
    largest = target.max()
    pairs = list(zip(target, images, strict=True))
    ssim = np.mean([structural_similarity(a, b, data_range=largest) for a, b in pairs])
    psnr = peak_signal_noise_ratio(target, images, data_range=largest)
    nmse = (np.linalg.norm(target - images) / np.linalg.norm(target)) ** 2
    for key, figure in (("psnr", psnr), ("ssim", ssim), ("nmse", nmse)):
        assert float(row[key]) == pytest.approx(float(figure), abs=1e-6), key
    if importlib.util.find_spec("fastmri") is None:
        return
    theirs = importlib.import_module("fastmri.evaluate")
    center_crop = importlib.import_module("fastmri.data.transforms").center_crop
    with h5py.File(file) as source:
        cropped = center_crop(source["reconstruction_rss"][...], (31, 31))
    np.testing.assert_array_equal(cropped, target)
    for key in ("psnr", "ssim", "nmse"):
        figure = np.ravel(getattr(theirs, key)(cropped, images))[0]
        assert float(row[key]) == pytest.approx(float(figure), abs=1e-6), key


def check_other_commands(run: Run, tmp_path: Path, rows: list[dict[str, str]]) -> None:
    """See that the tree is read: `compare`, `collect`, `report` with pictures, `reconstruct`."""
    kd = {row["volume"]: row for row in rows if row["stage"] == "kd"}
    mean = np.mean([float(row["psnr"]) for row in kd.values()])
    compared = run("kdmri/compare.py", "resamples=20")
    assert compared.code == 0, compared.err
    (line,) = (
        w for w in (tmp_path / "experiments/methods.md").read_text().splitlines() if "+ KD" in w
    )
    assert f"| {mean:.2f}" in line
    assert run("kdmri/collect.py").code == 0
    table = (tmp_path / "experiments/table.md").read_text()
    assert sum("CG-SENSE |" in row for row in table.splitlines()) == 1, "its weight is no method"

    found = collect(tmp_path / "experiments", None, block=5, resamples=20)
    (gallery,), (experiment,) = found.galleries, found.experiments
    assert gallery is not None
    assert gallery.reference is not None, experiment["notes"]
    assert gallery.volumes == {"d": 3}
    assert any("2 of other sizes are left out" in note for note in experiment["notes"])
    with h5py.File(tmp_path / FILE) as file:
        stored = file["reconstruction_rss"][1, 8:39]
    shown = gallery.reference.slice(Path(FILE).stem, 1).target
    np.testing.assert_allclose(shown / shown.max(), stored / stored.max(), atol=1e-6)

    path = next((tmp_path / "experiments").rglob("tiny_kd_*/best_model.pt"))
    told = run(
        "kdmri/reconstruct/__main__.py", f"checkpoint={path}", f"input={FILE}", "output=o.h5"
    )
    assert told.code == 0, told.err
    text = " ".join(told.out.split())
    assert "compared with the root sum of squares of all coils" in text
    figure = float(kd[Path(FILE).stem]["psnr"])
    assert f"{figure:.2f}" in text, "the figure of the table"


def shown_target(path: Path, size: tuple[int, int]) -> np.ndarray:
    """Read the combined image that evaluation measures by, (S, h, w), at the network's scale."""
    with h5py.File(path) as file:
        image = np.abs(file["target"][...]) / file.attrs["scale"]
    rows, columns = ((n - m) // 2 for n, m in zip(image.shape[1:], size, strict=True))
    return image[:, rows : rows + size[0], columns : columns + size[1]]


def test_sensitivities_of_others_are_told_before_anything_is_trained(
    run: Run, tmp_path: Path, coils: Path
) -> None:
    """Shifted ones are a line for each stage and one for evaluation; conjugated ones end it.

    The file of fastMRI is as wide as its field of view, which is told too.
    """
    stored = []
    for name in ("train/a.h5", "test/d.h5"):
        with h5py.File(coils / name, "r+") as file:
            count, *size, slices = file[KSPACE].shape
            maps = np.repeat(sensitivities(count, tuple(size))[..., None], slices, axis=-1)
            file.pop(SENSITIVITIES, None)
            file[SENSITIVITIES] = np.roll(maps, 12, axis=1)
        stored.append((coils / name, maps))
    result = run("train.py", *OWN, "stage=teacher")
    assert result.code == 0, result.err
    told = "sensitivities of 1 of 3 volumes explain less than 97% of the centre"
    lines = [line for line in result.out.splitlines() if line.startswith("note: ")]
    assert len(lines) == 2, "one of training, one of evaluation"
    assert f"datasets/coils: {told}" in lines[0]
    assert "(worst train/a.h5, " in lines[0]
    assert "(worst test/d.h5, " in lines[1]
    path, maps = stored[0]
    with h5py.File(path, "r+") as file:
        file[SENSITIVITIES][...] = maps.conj()
    result = run("train.py", *OWN, "stage=teacher", "overwrite=true")
    assert result.code == 2
    assert "train/a.h5: its sensitivities explain only" in result.err
    assert "(conjugated they would explain it); correct them, or delete them" in result.err
    assert "Traceback" not in result.err


def test_embedded_head_with_a_privileged_teacher_and_other_stages(run: Run, tmp_path: Path) -> None:
    slabs = "dataset.build.slabs=[[train,1],[test,1],[validation,1]]"
    small = (*HEAD, "dataset.mask.centre_fraction=0.3", slabs)
    few = ("+trainer.limit_train_batches=3", "evaluation.detailed=false", "evaluation.baselines=[]")
    for words in (
        ("stage=privileged",),
        ("stage=all_joint", "loss=joint", "stage.run=[teacher,joint]"),
        ("stage=sft",),
    ):
        result = run("train.py", *small, *few, *words)
        assert result.code == 0, result.err
        assert "4 simulated coils" in result.out


@pytest.mark.usefixtures("coils")
def test_killed_training_goes_on_bit_for_bit(run: Run, tmp_path: Path) -> None:
    words = [*OWN, "stage=student", "trainer.max_epochs=8", "augmentation.masks=100"]
    below = tmp_path / "experiments" / "coils" / "acc_4x"
    folders = {
        name: below / f"{name}_student_augmentation.masks-100_dataset.mask.centre_fraction-0.25"
        for name in ("cut", "whole")
    }
    args = [sys.executable, str(ROOT / "train.py"), *words, "name=cut"]
    call = {"args": args, "cwd": tmp_path, "env": os.environ | {"PYTHONPATH": str(ROOT)}}
    kill_after_first_save(call, folders["cut"])
    for name in folders:
        assert run("train.py", *words, f"name={name}").code == 0
    resumed, straight = (weights_of(folder) for folder in folders.values())
    for key, value in resumed.items():
        assert torch.equal(value, straight[key]), key


@pytest.mark.usefixtures("coils")
def test_two_processes_learn_what_one_learns(run: Run, tmp_path: Path) -> None:
    words = ("stage=student", "batch_size=3", "+optimizer.eps=0.01", "evaluation.baselines=[]")
    below = tmp_path / "experiments" / "coils" / "acc_4x"
    assert run("train.py", *OWN, *words, "name=one").code == 0
    two_devices = ("trainer=ddp", "trainer.accelerator=cpu", "name=two")
    args = [sys.executable, str(ROOT / "train.py"), *OWN, *words, *two_devices]
    finish({"args": args, "cwd": tmp_path, "env": os.environ | {"PYTHONPATH": str(ROOT)}})
    one, two = (weights_of(next(below.glob(f"{name}_student*"))) for name in ("one", "two"))
    for key, value in two.items():
        torch.testing.assert_close(value, one[key], rtol=1e-4, atol=1e-6)
