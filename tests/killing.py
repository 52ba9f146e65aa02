"""`train.py` in a process of its own, which a test can kill."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from tests.conftest import ROOT, TINY


def as_user(tmp_path: Path, *overrides: str) -> dict[str, Any]:
    """Say how to run `train.py` in a process of its own."""
    return {
        "args": [sys.executable, str(ROOT / "train.py"), *TINY, *overrides],
        "cwd": tmp_path,
        "env": os.environ | {"PYTHONPATH": str(ROOT)},
    }


def finish(call: dict[str, Any]) -> None:
    done = subprocess.run(**call, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout


def kill_after_first_save(call: dict[str, Any], folder: Path) -> None:
    with subprocess.Popen(**call, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while not (folder / "model.pt").exists() and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert not json.loads((folder / "stage.json").read_text())["finished"]


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "best_model.pt", weights_only=True)["weights"]
