"""The package as `pip install` of a wheel leaves it, and its one command."""

import os
import shutil
import subprocess
import sys
import sysconfig
import time
import venv
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from kdmri.__main__ import COMMANDS
from tests.conftest import ROOT
from tests.models.test_shipped import write_cfl

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh virtual environment with the wheel of this checkout; gives its folder of commands.

    What the package needs is taken from the environment of the tests, without this checkout, which
    is installed there as editable.
    """
    folder = tmp_path_factory.mktemp("installed")
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        **{"cwd": ROOT, "check": True, "capture_output": True, "text": True},
    ).stdout.split("\n")
    clone = folder / "clone"
    for name in filter(None, tracked):
        if (ROOT / name).is_file():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, clone / name)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    quiet = {"check": True, "capture_output": True, "cwd": folder}
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(clone)]
    subprocess.run([*pip, *build], **quiet)
    shutil.rmtree(clone)
    venv.create(folder / "venv", with_pip=False)
    (wheel,) = folder.glob("*.whl")
    python = folder / "venv" / "bin" / "python"
    subprocess.run([*pip, "--python", str(python), "install", "--no-deps", str(wheel)], **quiet)
    packages = next((folder / "venv" / "lib").glob("python*")) / "site-packages"
    (packages / "needs.pth").write_text(sysconfig.get_path("purelib"))
    return python.parent


@pytest.fixture
def kdmri(installed: Path, tmp_path: Path) -> Command:
    """Run the installed command in an empty directory."""

    def call(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
        kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        return subprocess.run(
            [str(installed / "kdmri"), *map(str, words)],
            **{"cwd": tmp_path, "capture_output": True, "text": True, "check": False},
            env=kept | environment,
        )

    return call


def test_the_commands_are_listed_at_once(kdmri: Command) -> None:
    kdmri()
    began = time.monotonic()
    listed = kdmri("--help")
    assert time.monotonic() - began < 1
    assert listed.returncode == 0
    assert all(f"  {name} " in listed.stdout for name in COMMANDS)
    assert kdmri().stdout == listed.stdout


def test_a_word_that_is_no_command_is_one_line(kdmri: Command) -> None:
    mistyped, forgotten = kdmri("reconstuct"), kdmri("dataset=mni")
    assert mistyped.returncode == forgotten.returncode == 2
    assert "did you mean reconstruct?" in mistyped.stderr
    assert "kdmri train dataset=mni" in forgotten.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_finds_its_configuration(kdmri: Command, name: str) -> None:
    shown = kdmri(name, "--help")
    assert shown.returncode == 0, shown.stderr
    assert f"kdmri {name}" in shown.stdout


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("kdmri rec", "reconstruct"),
        ("kdmri train acceleration=", "acceleration=8x"),
        ("kdmri prepare format=", "format=nifti"),
    ],
)
def test_words_are_completed(kdmri: Command, line: str, expected: str) -> None:
    completed = kdmri("-sc", "query=bash", COMP_LINE=line)
    assert expected in completed.stdout.split(), completed.stderr


def test_completion_is_of_the_command(kdmri: Command) -> None:
    assert kdmri("-sc", "install=bash").stdout.rstrip().endswith("hydra_bash_completion kdmri")


def test_a_student_of_a_colleague_reconstructs(
    kdmri: Command, checkpoint: Callable[..., Path], tmp_path: Path, anatomy: np.ndarray
) -> None:
    nibabel.save(nibabel.Nifti1Image(anatomy, np.diag([2, 2, 3, 1])), tmp_path / "scan.nii.gz")
    words = [f"checkpoint={checkpoint()}", "input=scan.nii.gz", "output=out/image.nii.gz"]
    done = kdmri("reconstruct", *words)
    assert done.returncode == 0, done.stderr
    image = nibabel.load(tmp_path / "out" / "image.nii.gz")
    assert image.shape == anatomy.shape
    assert np.corrcoef(image.get_fdata().ravel(), anatomy.ravel())[0, 1] > 0.9
    assert {p.name for p in tmp_path.iterdir()} == {"best_model.pt", "scan.nii.gz", "out"}


def test_the_network_that_ships_is_in_the_wheel(kdmri: Command, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    kspace = rng.normal(size=(4, 48, 40)) + 1j * rng.normal(size=(4, 48, 40))
    kspace[:, 22:26, 18:22] *= 100
    write_cfl(tmp_path / "scan.cfl", np.fft.ifftshift(kspace, (1, 2)))
    done = kdmri("reconstruct", "checkpoint=shipped", "input=scan.cfl", "output=image.png")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "image.png").is_file()


def test_training_leaves_its_data_below_the_current_directory(
    kdmri: Command, tmp_path: Path
) -> None:
    """With a choice of the user's own, from a directory of configurations of the user's own."""
    (tmp_path / "mine" / "architecture").mkdir(parents=True)
    own = tmp_path / "mine" / "architecture" / "tiny.yaml"
    own.write_text("defaults: [d5c5, _self_]\ndepth: 2\ncascades: 1\n")
    size = ["experiment=demo", "dataset.image_size=[32,24]", "trainer.max_epochs=1"]
    words = ["--config-dir", "mine", *size, "architecture@teacher=tiny", "stage=teacher"]
    done = kdmri("train", *words)
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("experiments/mni/acc_4x/demo_teacher*/best_model.pt"))) == 1
    assert {p.name for p in tmp_path.iterdir()} == {"mine", "datasets", "experiments"}
