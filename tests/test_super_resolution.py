"""Super-resolution by the commands that train reconstruction."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from kdmri.data.masks import GaussianLines
from tests.conftest import ROOT, Result, write_original

Run = Callable[..., Result]
STAGES = ("teacher", "student", "student_long", "feature", "kd")
TINY_VDSR = (f"--config-dir={ROOT / 'tests' / 'configs'}", "experiment=tiny_vdsr")
SMALL_HEAD = ("dataset=mni", "dataset.image_size=[40,36]")


def test_whole_distillation_of_a_head(run: Run, tmp_path: Path) -> None:
    call = ("train.py", *TINY_VDSR, *SMALL_HEAD, "task=super_resolution", "scale=2x")
    result = run(*call)
    assert result.code == 0, result.err
    folder = tmp_path / "experiments" / "mni" / "sr_2x"
    assert {p.name for p in folder.iterdir()} == {f"tiny_{s}" for s in (*STAGES, "comparison")}
    for words in ("Zero-filled", "Bicubic", "Student + KD", "super-resolution 2x", "20x18"):
        assert words in " ".join(result.out.split())

    with (folder / "tiny_comparison" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["stage"] for row in rows} == {"Zero-filled", "Bicubic", *STAGES} - {"feature"}
    for row in rows:
        if row["stage"] not in STAGES:
            continue
        with h5py.File(folder / f"tiny_{row['stage']}" / "results" / f"{row['volume']}.h5") as file:
            images = file["reconstruction"][...]
        target = targets(tmp_path, row["volume"])
        largest = target.max()
        psnr = peak_signal_noise_ratio(target, images, data_range=largest)
        ssim = np.mean(
            [
                structural_similarity(one, other, data_range=largest)
                for one, other in zip(target, images, strict=True)
            ]
        )
        assert float(row["psnr"]) == pytest.approx(psnr, abs=1e-4)
        assert float(row["ssim"]) == pytest.approx(ssim, abs=1e-4)

    again = run(*call, "acceleration=8x")  # nothing of it reaches super-resolution
    assert again.code == 0, again.err
    assert again.out.count("done before") == len(STAGES)


def targets(folder: Path, name: str) -> np.ndarray:
    """Read a test volume as it is measured, (S, 40, 36), around its centre."""
    with h5py.File(folder / "datasets" / "mni" / "test" / f"{name}.h5") as file:
        volume = file["volfs"][...].astype(np.float32)
    rows, columns = (
        slice(have // 2 - wanted // 2, have // 2 - wanted // 2 + wanted)
        for have, wanted in zip(volume.shape[:2], (40, 36), strict=True)
    )
    return np.moveaxis(volume[rows, columns], -1, 0)


def test_files_of_the_original_project_serve_as_targets(
    run: Run, tmp_path: Path, anatomy: np.ndarray
) -> None:
    files = tmp_path / "datasets" / "calgary"
    for number, name in enumerate(("train/acc_4x/1", "train/acc_4x/2", "validation/acc_4x/1")):
        volume = anatomy[:, :, 5 * number : 5 * number + 5]
        write_original(files / f"{name}.h5", volume, GaussianLines(4)((48, 40)))
    result = run(
        "train.py",
        *TINY_VDSR,
        "dataset=calgary",
        "task=super_resolution",
        "stage=student",
        "task.patch_size=[24,16]",
        "task.patches=2",
        "task.window=[tukey,0.5]",
    )
    assert result.code == 0, result.err
    (folder,) = (tmp_path / "experiments" / "calgary" / "sr").iterdir()
    assert folder.name == "tiny_student_patch_size-24-16_patches-2_window-tukey-0.5"
    assert json.loads((folder / "stage.json").read_text())["finished"]


def test_variant_with_data_consistency_and_a_sweep_over_tasks(
    run: Run, own: Path, tmp_path: Path
) -> None:
    sweep = ("--multirun", "task=super_resolution,super_resolution_dc", "student.depth=2,3")
    data = ("dataset=own", "dataset.name=own", "stage=student")
    result = run("train.py", *TINY_VDSR, *data, *sweep)
    assert result.code == 0, result.err
    folder = tmp_path / "experiments" / "own"
    found = {str(p.parent.relative_to(folder)) for p in folder.rglob("best_model.pt")}
    assert found == {
        f"{task}/tiny_student{depth}"
        for task in ("sr", "sr_dc")
        for depth in ("", f"_student-vdsr3{task.removeprefix('sr')}")
    }
    assert "closed by data consistency" in " ".join(result.out.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("task=super_resolution_dc", "task.patch_size=[8,8]"), "vdsr4_dc (teacher) needs whole"),
        (("task=super_resolution", "task.window=round"), "task.window=round"),
        (("task=super_resolution", "task.centre=[99,9]"), "task.centre=[99, 9]"),
        (("task=super_resolution", "scale.factor=0.5"), "scale.factor=0.5"),
        (("task=super_resolution", "task.patch_size=[8,99]"), "task.patch_size=[8, 99]"),
    ],
)
def test_wrong_options_end_in_one_line(
    run: Run, own: Path, words: tuple[str, ...], message: str
) -> None:
    result = run("train.py", *TINY_VDSR, "dataset=own", "dataset.name=own", *words)
    assert result.code != 0
    assert message in " ".join(result.err.split())
    assert "Traceback" not in result.err
