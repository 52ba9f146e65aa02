"""Paths that Hydra's grammar does not take as they are: one line, whose form a shell takes."""

import importlib.metadata
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import ConfigCompositionException

from kdmri.config import words
from kdmri.config.words import check_words
from kdmri.errors import ConfigurationError
from tests.conftest import ROOT, Result

Run = Callable[..., Result]

PATHS = (
    "/data/a=b.nii",
    "/data/a=b (1).nii",
    "/data/[T1] head.nii",
    "/data/a#1.nii",
    "/data/a,b.nii",
    "/data/{a}.nii",
    "/data/Müller/患者.nii",
    "/data/it's.nii",
    '/data/"a".nii',
    "/data/a;b&c!~^<>`.nii",
    "/data/a'\"=\\.nii",
    "/data/back\\",
    "(1)",
    "sort(3,1)",
    "a:b=c",
)


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    paths = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PATH": paths},
        text=True,
        capture_output=True,
    )


@pytest.mark.parametrize("path", PATHS)
def test_form_that_the_line_names_is_the_path_once_a_shell_has_read_it(
    path: str, tmp_path: Path
) -> None:
    if path == "/data/back\\":  # is taken as it is
        check_words([f"input={path}"])
        return
    with pytest.raises(ConfigurationError) as caught:
        check_words(["overwrite=true", f"input={path}"])
    line = str(caught.value)
    assert line.startswith(f"input={path}: ")
    assert "\n" not in line
    form = line.partition(", type ")[2]
    word = shell(f"printf %s {form}", tmp_path).stdout
    check_words([word])
    assert OverridesParser.create().parse_override(word).value() == path


@pytest.mark.parametrize(
    "word",
    ["input=/data/my scan.nii", "+a.b=[1,2]", "~student.name", "ratios={train: 1}", "a@b=c", "k="],
)
def test_words_that_hydra_takes_pass(word: str) -> None:
    check_words([word])
    check_words(["-m", "seed=1,2", word, "input=a,b"])
    check_words(["--config-dir", "/data/a=b", "-cn", "config", word])


def test_rest_of_a_path_that_a_shell_cut_is_told() -> None:
    with pytest.raises(ConfigurationError, match=r"scan\.nii: is no key=value; a path with spaces"):
        check_words(["input=/data/my", "scan.nii"])


def test_line_leads_a_user_of_a_shell_to_the_files(source: Path, tmp_path: Path) -> None:
    """The first command fails with a line; the word that it names is typed instead, and works."""
    shutil.move(source, tmp_path / "a=b (1), #2 [ü]")
    command = "python -m kdmri.prepare format=numpy name=study processes=1 "
    first = shell(command + shlex.quote("source=a=b (1), #2 [ü]"), tmp_path)
    assert first.returncode == 2
    assert len(first.stderr.splitlines()) == 1, first.stderr
    form = first.stderr.strip().partition(", type ")[2]
    assert form == "source='\"a=b (1), #2 [ü]\"'"
    second = shell(command + form, tmp_path)
    assert second.returncode == 0, second.stderr
    assert "1 volumes written" in second.stdout


@pytest.fixture
def source(tmp_path: Path, anatomy: np.ndarray) -> Path:
    folder = tmp_path / "study" / "train"
    folder.mkdir(parents=True)
    np.save(folder / "one.npy", anatomy.transpose(2, 0, 1)[:4].astype(np.float32))
    return folder.parent


@pytest.mark.parametrize("package", ["wandb", "mlflow"])
def test_logger_that_is_not_installed_is_told_before_training(
    train: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    find = importlib.util.find_spec
    hidden = lambda name, *rest: None if name == package else find(name, *rest)  # noqa: E731
    monkeypatch.setattr(importlib.util, "find_spec", hidden)
    result = train(f"logger={package}")
    assert result.code == 2
    assert (
        f"logger={package}: needs {package}, which is not installed; run: "
        f"pip install 'kdmri[{package}]'"
    ) in result.err
    assert len(result.err.splitlines()) == 1, result.err
    assert not (tmp_path / "experiments").exists()


@pytest.mark.parametrize(
    ("optuna", "sqlalchemy", "fits"),
    [("2.10.1", "2.1.9", False), ("2.10.1", "1.4.54", True), ("3.6.0", "2.1.9", True)],
)
def test_optuna_of_a_sweep_needs_a_sqlalchemy_that_it_knows(
    monkeypatch: pytest.MonkeyPatch, optuna: str, sqlalchemy: str, fits: bool
) -> None:
    versions = {"optuna": optuna, "sqlalchemy": sqlalchemy}
    monkeypatch.setattr(importlib.metadata, "version", versions.__getitem__)
    monkeypatch.setattr(words, "PLUGINS", {})
    given = ["-m", "search=loss_and_depth", "hydra.sweeper.storage=sqlite:///trials.db"]
    if fits:
        check_words(given)
        return
    with pytest.raises(ConfigurationError, match=r"Optuna 2\.10\.1 cannot use SQLAlchemy 2\.1\.9"):
        check_words(given)


@pytest.mark.parametrize("missing", ["optuna", "sqlalchemy"])
@pytest.mark.parametrize("key", ["hydra.sweeper.storage", "+hydra.sweeper.storage"])
def test_a_storage_needs_optuna(monkeypatch: pytest.MonkeyPatch, missing: str, key: str) -> None:
    def version(name: str) -> str:
        if name == missing:
            raise importlib.metadata.PackageNotFoundError(name)
        return "2.10.1" if name == "optuna" else "1.4.54"

    monkeypatch.setattr(importlib.metadata, "version", version)
    word = f"{key}=sqlite:///trials.db"
    with pytest.raises(ConfigurationError) as raised:
        check_words(["-m", "seed=1,2", word])
    assert str(raised.value).startswith(
        f"{word}: needs {missing}, which is not installed; run: pip"
    )
    assert "'kdmri[optuna]'" in str(raised.value)


@pytest.mark.parametrize(
    ("config", "key", "said"),
    [
        (
            "prepare",
            "output",
            "output: there is no such setting here; these have it: kdmri export, kdmri "
            "reconstruct, kdmri report",
        ),
        ("prepare", "sourec", "sourec: there is no such setting; did you mean source?"),
        ("reconstruct", "outptu", "outptu: there is no such setting; did you mean output?"),
        ("reconstruct", "trainer.max_time", "trainer.max_time: there is no such setting; --cfg"),
        ("export", "experiment", "experiment: there is no such setting here; these have it: kd"),
        ("benchmark", "student.levels", "these have: architecture@student=unet, architecture@st"),
        ("import_original", "sede", "sede: there is no such setting; did you mean seed?"),
    ],
)
def test_a_setting_is_sought_among_those_of_its_command(config: str, key: str, said: str) -> None:
    error = ConfigCompositionException(f"Could not override '{key}'.\nMore of it.")
    assert said in words.description(error, config)
