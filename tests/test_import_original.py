"""Checkpoints of the original KD-MRI project become stages, safely and with the same output."""

import argparse
import json
import os
import pathlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kdmri.data.batch import Slice
from kdmri.data.masks import GaussianLines
from kdmri.errors import CheckpointError
from kdmri.models import build_network, load_network
from kdmri.models.original import read_original
from kdmri.physics import CartesianUndersampling
from tests.conftest import Result

Run = Callable[..., Result]
SCRIPT = "kdmri/import_original/__main__.py"
CARDIAC = ("dataset=cardiac", "acceleration=4x")


class PlainCascade(nn.Module):
    """A cascade with the original's names of parameters."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        widths = [1, *[32] * (depth - 1), 1]
        for number in range(depth):
            layer = nn.Conv2d(widths[number], widths[number + 1], 3, padding=1)
            self.add_module(f"conv{number + 1}", layer)
        self.depth = depth

    def forward(self, image: Tensor) -> Tensor:
        for number in range(1, self.depth + 1):
            image = getattr(self, f"conv{number}")(image)
            image = F.relu(image) if number < self.depth else image
        return image


class PlainNetwork(nn.Module):
    """Five cascades and data consistency as the paper writes it, in double precision."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        for number in range(1, 6):
            self.add_module(f"cascade{number}", PlainCascade(depth))

    def forward(self, image: Tensor, kspace: Tensor, mask: Tensor) -> Tensor:
        for number in range(1, 6):
            image = getattr(self, f"cascade{number}")(image)
            full = torch.fft.fft2(image.double(), norm="ortho")
            full = mask * kspace.to(torch.complex128) + (1 - mask.double()) * full
            image = torch.fft.ifft2(full, norm="ortho").real.float()
        return image


def save(path: Path, network: nn.Module, prefix: str = "", legacy: bool = False) -> Path:
    """Write a checkpoint as the original's training scripts did."""
    options = argparse.Namespace(
        batch_size=4,
        acceleration_factor="4x",
        exp_dir=pathlib.PosixPath("exp/cardiac"),
        device="cuda",
    )
    optimizer = torch.optim.Adam(network.parameters())
    stored = {
        "epoch": 149,
        "args": options,
        "model": {f"{prefix}{k}": v for k, v in network.state_dict().items()},
        "optimizer": optimizer.state_dict(),
        "best_dev_loss": 0.0125,
        "exp_dir": options.exp_dir,
    }
    torch.save(stored, path, _use_new_zipfile_serialization=not legacy)
    return path


@pytest.mark.parametrize(("depth", "parameters"), [(5, 141_765), (3, 49_285)])
@pytest.mark.parametrize(("prefix", "legacy"), [("", False), ("module.", True)])
def test_output_is_the_published_networks(
    tmp_path: Path, anatomy: np.ndarray, depth: int, parameters: int, prefix: str, legacy: bool
) -> None:
    plain = PlainNetwork(depth)
    original = read_original(save(tmp_path / "best_model.pt", plain, prefix, legacy))
    assert (original.epoch, original.loss) == (150, 0.0125)
    assert original.description["batch_size"] == "4"
    network = build_network(original.network)
    network.load_state_dict(original.weights)
    assert sum(p.numel() for p in network.parameters()) == parameters
    target = torch.from_numpy(anatomy[:, :, 10:14].transpose(2, 0, 1)[:, None]).float()
    numbers = torch.arange(4)
    batch = CartesianUndersampling(GaussianLines(4))(
        Slice(target, None, torch.ones(4), numbers, numbers)
    )
    inputs = (batch.image, batch.kspace, batch.mask)
    for mode in (torch.inference_mode(), torch.enable_grad()):
        with mode:
            torch.testing.assert_close(network(*inputs), plain(*inputs), atol=1e-5, rtol=0)


def test_super_resolution_networks_are_known(tmp_path: Path) -> None:
    plain = nn.Module()
    for number in range(1, 8):
        sizes = (1 if number == 1 else 64, 1 if number == 7 else 64)
        plain.add_module(f"conv{number}", nn.Conv2d(*sizes, 3, padding=1))
    original = read_original(save(tmp_path / "best_model.pt", plain))
    network = build_network(original.network)
    network.load_state_dict(original.weights)
    assert sum(p.numel() for p in network.parameters()) == 185_857
    image = torch.rand(2, 1, 20, 18)
    expected = image
    for number in range(1, 8):
        expected = getattr(plain, f"conv{number}")(expected)
        expected = F.relu(expected) if number < 7 else expected + image
    found = network(image, torch.zeros(2, 1, 20, 18, dtype=torch.complex64), torch.zeros(1))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.usefixtures("own")
def test_imported_teacher_is_a_finished_stage_that_distillation_goes_on_from(
    run: Run, tmp_path: Path
) -> None:
    file = save(tmp_path / "theirs.pt", PlainNetwork(5))
    words = ("dataset=own", "dataset.name=own", "trainer.max_epochs=1", "callbacks.progress=null")
    result = run(SCRIPT, f"checkpoint={file}", "slice_size=[48,40]", *words)
    assert result.code == 0, result.err
    assert "141,765 parameters" in result.out
    folder = tmp_path / "experiments" / "own" / "acc_4x" / "attention_imitation_teacher"
    weights = load_network(folder / "best_model.pt").state_dict()
    torch.testing.assert_close(
        weights["cascades.4.layers.2.weight"],
        torch.load(file, weights_only=False)["model"]["cascade5.conv3.weight"],
    )
    assert (
        json.loads((folder / "stage.json").read_text())["original"]["acceleration_factor"] == "4x"
    )

    trained = run("train.py", *words, "stage.run=[teacher,feature,kd]", "evaluation.bootstrap=50")
    assert trained.code == 0, trained.err
    assert "teacher: done before" in trained.out
    assert "Student + KD" in trained.out

    again = run(SCRIPT, f"checkpoint={file}", "slice_size=[48,40]", *words)
    assert again.code == 2
    assert "holds a stage already" in " ".join(again.err.split())


LINES = (np.abs(np.fft.fftfreq(40) * 40) < 6).astype(np.uint8)


@pytest.mark.parametrize(
    ("mask", "words", "wanted"),
    [
        (LINES, ["slice_size=[48,40]"], [48, 40]),
        (LINES[None], ["slice_size=[48,40]"], [48, 40]),
        (LINES.reshape(1, 1, 40, 1), ["dataset.prepared_size=[48,40]"], [48, 40]),
        (np.tile(LINES, (48, 1)), [], [48, 40]),
        (LINES, [], "slice_size=[H,W] (mask us_masks/own/mask_4x.npy is one of lines"),
        (np.tile(LINES, (48, 1)), ["slice_size=[50,40]"], "or correct slice_size=[50, 40]"),
        (LINES[None, ::-1] * 2, ["slice_size=[48,40]"], "mask_4x.npy: holds other values than 0"),
    ],
)
@pytest.mark.usefixtures("own")
def test_size_of_slices_is_told_by_the_option_and_fits_the_mask(
    run: Run, tmp_path: Path, mask: np.ndarray, words: list[str], wanted: list[int] | str
) -> None:
    path = tmp_path / "us_masks" / "own" / "mask_4x.npy"
    path.parent.mkdir(parents=True)
    np.save(path, mask)
    file = save(tmp_path / "theirs.pt", PlainNetwork(5))
    given = (f"checkpoint={file}", "dataset=own", "dataset.name=own", *words)
    result = run(SCRIPT, *given)
    if isinstance(wanted, str):
        assert result.code == 2
        assert wanted in " ".join(result.err.split())
        return
    assert result.code == 0, result.err
    folder = tmp_path / "experiments" / "own" / "acc_4x" / "attention_imitation_teacher"
    kept = torch.load(folder / "best_model.pt", weights_only=True)
    assert kept["data"]["slice_size"] == wanted
    assert (kept["task"]["sampling"]["mask"]["values"] == torch.from_numpy(LINES)).all()


class Hostile:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("place", ["args", "model", "optimizer"])
@pytest.mark.parametrize("legacy", [False, True])
def test_hostile_checkpoints_run_nothing(tmp_path: Path, place: str, legacy: bool) -> None:
    mark = tmp_path / "was-here"
    stored = {"epoch": 1, "args": argparse.Namespace(), "model": PlainNetwork(3).state_dict()}
    options = argparse.Namespace(exp_dir=Hostile(mark))
    hostile = {
        "args": options,
        "model": {"conv1.weight": Hostile(mark)},
        "optimizer": Hostile(mark),
    }
    torch.save(
        stored | {place: hostile[place]},
        tmp_path / "a.pt",
        _use_new_zipfile_serialization=not legacy,
    )
    with pytest.raises(CheckpointError, match="would run code"):
        read_original(tmp_path / "a.pt")
    assert not mark.exists()


def spoiled(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    stored: dict[str, Any] = {"model": dict(PlainNetwork(3).state_dict())}
    change(stored)
    return stored


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda s: s.pop("model"), 'no weights under "model"'),
        (lambda s: s["model"].update({"fc.weight": torch.zeros(2)}), "fc.weight is no parameter"),
        (lambda s: s["model"]["cascade1.conv2.bias"].fill_(np.nan), "conv2.bias holds NaN"),
        (lambda s: s["model"].pop("cascade4.conv1.bias"), "do not make up"),
        (lambda s: s["model"].pop("cascade1.conv1.weight"), "no first convolution"),
    ],
)
def test_other_files_are_refused_by_what_is_wrong(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], text: str
) -> None:
    torch.save(spoiled(change), tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=text):
        read_original(tmp_path / "a.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "a.pt").read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="damaged"):
        read_original(tmp_path / "cut.pt")


@pytest.mark.usefixtures("own")
def test_network_of_another_configuration_names_the_way_out(run: Run, tmp_path: Path) -> None:
    file = save(tmp_path / "theirs.pt", PlainNetwork(3))
    result = run(SCRIPT, f"checkpoint={file}", "into=teacher", *CARDIAC)
    assert result.code == 2
    assert "architecture@teacher=" in result.err
    result = run(SCRIPT, "checkpoint=nowhere.pt", *CARDIAC)
    assert result.code == 2
    assert "nowhere.pt: there is no such checkpoint" in " ".join(result.err.split())
