"""Real anatomy for all tests, and the commands run as a user runs them."""

import functools
import gc
import logging
import os
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import nibabel
import numpy as np
import pytest
import torch
from filelock import FileLock
from hydra import compose, initialize_config_dir

from kdmri.config import checks
from kdmri.data.embedded import find_mni
from kdmri.data.layout import write_volume
from kdmri.experiment.plan import lay_out
from kdmri.experiment.stages import Stage
from kdmri.launch.command import COMMAND
from kdmri.models.stored import build_network

ROOT = Path(__file__).parents[1]
RULE = {
    "_target_": "kdmri.data.masks.GaussianLines",
    "acceleration": 4.0,
    "axis": 0,
    "centre_lines": 10,
    "seed": 42,
}
LINES = {
    "_target_": "kdmri.physics.CartesianUndersampling",
    "mask": {"rule": RULE, "file": None, "values": None},
}
CENTRE = {"_target_": "kdmri.physics.CentralKspace", "scale": 4}


def pytest_configure(config: pytest.Config) -> None:
    """Share the cores out among the workers of `pytest -n`, and what they start."""
    if worker := getattr(config, "workerinput", None):
        threads = max(1, (os.cpu_count() or 1) // worker["workercount"])
        os.environ.setdefault("OMP_NUM_THREADS", str(threads))
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run whole commands first: they take longest, and no worker ends long after the others."""
    items.sort(key=lambda item: item.path.parent != ROOT / "tests")


def pytest_collection_finish() -> None:
    """Spare the garbage collector what stays: commands that train run it, over all imported."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def hydra() -> Iterator[None]:
    checks.register_resolvers()
    with initialize_config_dir(str(ROOT / "configs"), version_base="1.3"):
        yield


_composed = functools.cache(lambda *words: compose("config", list(words)))


@functools.cache
def plan(*overrides: str) -> dict[str, Stage]:
    """Lay out the stages of a command; tests of names and settings ask for the same ones again."""
    chosen = [word for word in overrides if word.split("=")[0] in checks.PATH_CHOICES]
    return lay_out(_composed(*overrides), _composed(*chosen))


@dataclass
class Result:
    """What a command left behind."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def anatomy() -> np.ndarray:
    """Axial slices of the MNI template, (48, 40, 36), float64 in [0, 1]."""
    values = np.asarray(nibabel.load(find_mni()).dataobj, dtype=np.float64)
    slices = values[20:180:4, 20:212:4, 40:76].transpose(1, 0, 2)
    return slices / slices.max()


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def own(tmp_path: Path, anatomy: np.ndarray) -> Path:
    """A small data set in the project's own layout: two volumes for training, one each else."""
    folder = tmp_path / "datasets" / "own"
    write_volume(folder / "train" / "1.h5", anatomy[:, :, :5], {})
    write_volume(folder / "train" / "2.h5", anatomy[:, :, 6:13], {})
    write_volume(folder / "validation" / "1.h5", anatomy[:, :, 14:17], {})
    write_volume(folder / "test" / "a.h5", anatomy[:, :, 20:25], {})
    write_volume(folder / "test" / "b.h5", anatomy[:, :, 27:31], {})
    return folder


def _is_value(word: str) -> bool:
    """Sort options before overrides, which argparse wants in one piece."""
    return not word.startswith("-")


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Result]:
    """Run a script of the project in `tmp_path`, with the overrides given."""

    def call(script: str, *overrides: str) -> Result:
        monkeypatch.chdir(tmp_path)
        os.environ.pop(COMMAND, None)  # each call is a command of its own
        monkeypatch.setattr(sys, "argv", [str(ROOT / script), *sorted(overrides, key=_is_value)])
        capfd.readouterr()
        code, root = 0, logging.getLogger()
        handlers = list(root.handlers)
        try:
            runpy.run_path(str(ROOT / script), run_name="__main__")
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        finally:
            root.handlers[:] = handlers  # a command's own write to what this test captures
        out, err = capfd.readouterr()
        return Result(code, out, err)

    return call


@pytest.fixture
def checkpoint(tmp_path: Path) -> Callable[..., Path]:
    """Write a checkpoint as training does, of small random networks near the identity."""

    def write(name: str = "best_model.pt", sampling: dict | None = LINES, **changes) -> Path:
        channels = changes.pop("channels", 1)
        network = {
            "_target_": "kdmri.models.DCCNN" if sampling != CENTRE else "kdmri.models.VDSR",
            **({"cascades": 2, "residual": True} if sampling != CENTRE else {}),
            **{"depth": 2, "width": 4, "channels": channels},
        }
        weights = build_network(network).state_dict()
        weights = {key: value / 10 for key, value in weights.items()}
        stored = {"network": network, "weights": weights, "epoch": 1, "score": 0.1, "metrics": {}}
        if sampling is not None:
            stored |= {"format": 2, "task": {"name": "t", "sampling": sampling}, "stage": "kd"}
        torch.save({**stored, **changes}, tmp_path / name)
        return tmp_path / name

    return write


@pytest.fixture
def train(run: Callable[..., Result], own: Path) -> Callable[..., Result]:
    """Run `train.py` on the small data set with small networks, one epoch a stage."""

    def call(*overrides: str) -> Result:
        return run("train.py", *TINY, *overrides)

    return call


@pytest.fixture
def evaluate(run: Callable[..., Result], own: Path) -> Callable[..., Result]:
    """Run `evaluate.py` with the settings of `train`."""

    def call(*overrides: str) -> Result:
        return run("evaluate.py", *TINY, *overrides)

    return call


TINY = (
    f"--config-dir={ROOT / 'tests' / 'configs'}",
    "experiment=tiny",
    "dataset=own",
    "dataset.name=own",
)


def write_original(
    path: Path, volume: np.ndarray, mask: np.ndarray, acceleration: str = "4x", scale: float = 1.0
) -> None:
    """Write a file as the original KD-MRI project ships it: float64, complex128, unchunked.

    Layout: README and dataloaders of github.com/Bala93/KD-MRI (`volfs`, `img_volus_4x`,
    `kspace_volus_4x`).
    """
    spread = mask if volume.ndim == 2 else mask[:, :, None]
    kspace = spread * np.fft.fft2(volume, axes=(0, 1), norm="ortho")
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["volfs"] = volume.astype(np.float64)
        file[f"img_volus_{acceleration}"] = np.abs(np.fft.ifft2(kspace, axes=(0, 1), norm="ortho"))
        file[f"kspace_volus_{acceleration}"] = (kspace * scale).astype(np.complex128)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, anatomy: np.ndarray) -> Path:
    """Two seeds of the whole distillation; experiments/ and datasets/ lie in the directory.

    The first worker of `pytest -n` that needs them trains, the others copy.
    """
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "trained_once"
    with FileLock(f"{shared}.lock"):
        if not (shared / "experiments" / "table.md").exists():
            _train_two_seeds(shared, anatomy)
    return shutil.copytree(shared, tmp_path_factory.mktemp("trained"), dirs_exist_ok=True)


def _train_two_seeds(folder: Path, anatomy: np.ndarray) -> None:
    own = folder / "datasets" / "own"
    parts = {"train/1": (0, 5), "validation/1": (6, 9), "test/a": (20, 25), "test/b": (27, 31)}
    for name, (first, last) in parts.items():
        write_volume(own / f"{name}.h5", anatomy[:, :, first:last], {})
    command(
        folder,
        "train.py",
        "-m",
        *TINY,
        "seed=42,1",
        "trainer.max_epochs=2",
        "evaluation.detailed=false",
    )


def command(folder: Path, *words: str) -> str:
    """Run a script of the project, or a module after "-m", in a process of its own."""
    script = words if words[0] == "-m" else (str(ROOT / words[0]), *words[1:])
    done = subprocess.run(
        [sys.executable, *script],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def tree(trained: Path, tmp_path: Path) -> Path:
    """A copy of the tree to spoil."""
    shutil.copytree(trained, tmp_path / "copy")
    return tmp_path / "copy"


def _find(*names: str) -> str | None:
    return next((path for path in map(shutil.which, names) if path), None)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A headless Chromium that logs its console and every request."""
    binary = _find("chromium", "chromium-browser", "google-chrome")
    driver = _find("chromedriver")
    if binary is None or driver is None:
        pytest.skip("no browser: apt-get install chromium chromium-driver")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with webdriver.Chrome(options=options, service=webdriver.ChromeService(driver)) as browser:
        browser.set_script_timeout(20)
        yield browser


@pytest.fixture
def browse(chromium: Any) -> Callable[..., Any]:
    """Open a file at a size of the window."""

    def call(page: Path, width: int = 1400, height: int = 1000) -> Any:
        chromium.get_log("browser"), chromium.get_log("performance")
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        chromium.get(page.as_uri())
        return chromium

    return call


@pytest.fixture
def refused(train: Callable[..., Result], tmp_path: Path) -> Callable[..., str]:
    """Run `train.py` on something wrong and return its one line of error."""

    def call(*overrides: str, code: int = 2) -> str:
        result = train("stage=student", *overrides)
        assert result.code == code
        lines = [line for line in result.err.splitlines() if line]
        assert len(lines) == 1, result.err
        assert not list((tmp_path / "experiments").rglob("*.pt"))
        return lines[0]

    return call
