"""State dicts of fastMRI's VarNet become stages, safely and with the same images."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from kdmri.errors import CheckpointError
from kdmri.models import VarNet, build_network, load_network
from kdmri.models.fastmri_weights import FIRST, read_fastmri
from kdmri.physics import fft2, ifft2, magnitude
from tests.conftest import Result
from tests.models.fastmri_names import fastmri_weights
from tests.models.test_varnet import inputs
from tests.test_varnet import SMALL

Run = Callable[..., Result]
SCRIPT = "kdmri/import_original/__main__.py"
SIZES = {"cascades": 2, "width": 4, "levels": 3, "sensitivity_width": 3, "sensitivity_levels": 3}
WORDS = (
    *SMALL,
    "architecture@teacher=varnet",
    "~teacher.depth",
    *(f"teacher.{key}={value}" for key, value in SIZES.items()),
)


def save(path: Path, network: VarNet, prefix: str = "", lightning: bool = False) -> Path:
    """Write it as fastMRI publishes weights, or as Lightning does, with its losses' buffers."""
    weights: dict[str, Any] = fastmri_weights(network, 3, prefix)
    if lightning:
        weights = {"epoch": 3, "state_dict": {**weights, "loss.w": torch.ones(1, 1, 7, 7)}}
    torch.save(weights, path)
    return path


@pytest.mark.parametrize(("prefix", "lightning"), [("", False), ("varnet.", True)])
def test_sizes_are_told_and_weights_are_all_there(
    tmp_path: Path, prefix: str, lightning: bool
) -> None:
    network = VarNet(**SIZES)
    original = read_fastmri(save(tmp_path / "a.pt", network, prefix, lightning))
    assert original.network == {"_target_": "kdmri.models.VarNet", **SIZES, "channels": 2}
    assert original.weights.keys() == network.state_dict().keys()
    for name, value in network.state_dict().items():
        assert torch.equal(original.weights[name], value), name


@pytest.mark.parametrize("levels", [1, 4])
def test_network_of_the_package_gives_the_same_images(tmp_path: Path, levels: int) -> None:
    models = pytest.importorskip("fastmri.models")
    theirs = models.VarNet(3, 2, 2, 5, levels)
    torch.save(theirs.state_dict(), tmp_path / "a.pt")
    original = read_fastmri(tmp_path / "a.pt")
    assert original.network["sensitivity_levels"] == 2
    network = build_network(original.network)
    network.load_state_dict(original.weights)
    image, kspace, mask, maps = inputs((37, 45), 8)
    images = torch.fft.ifftshift(ifft2(kspace), dim=(-2, -1))
    centred = torch.view_as_real(torch.fft.fftshift(fft2(images), dim=(-2, -1)).contiguous())
    measured = torch.fft.fftshift(mask, dim=(-2, -1))[:, :, :1, :, None] > 0
    with torch.no_grad():
        wanted = theirs(centred, measured)
        found = magnitude(network(image, kspace, mask, maps))[:, 0]
    assert (found - wanted).abs().max() <= 1e-5 * wanted.max()


def test_imported_teacher_is_a_finished_stage_that_distillation_goes_on_from(
    run: Run, tmp_path: Path
) -> None:
    network = VarNet(**SIZES)
    file = save(tmp_path / "theirs.pt", network)
    words = ("format=fastmri", f"checkpoint={file}", "slice_size=[40,36]")
    result = run(SCRIPT, *words, *WORDS)
    assert result.code == 0, result.err
    (path,) = (tmp_path / "experiments").rglob("best_model.pt")
    weights = load_network(path).state_dict()
    for name, value in network.state_dict().items():
        assert torch.equal(weights[name], value), name
    trained = run("train.py", *WORDS, "stage.run=[teacher,feature,kd]")
    assert trained.code == 0, trained.err
    assert "teacher: done before" in trained.out
    assert "Student + KD" in trained.out
    wrong = run(SCRIPT, *words, *WORDS, "teacher.width=5", "into=teacher")
    assert wrong.code == 2
    assert "architecture@teacher=" in wrong.err
    other = run(SCRIPT, *words[1:], "format=nifti", *WORDS)
    assert other.code == 2
    assert "format=nifti: networks are read of original, fastmri" in " ".join(other.err.split())


class Hostile:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def test_hostile_checkpoints_run_nothing(tmp_path: Path) -> None:
    mark = tmp_path / "was-here"
    torch.save({**fastmri_weights(VarNet(**SIZES), 3), "x": Hostile(mark)}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="would run code"):
        read_fastmri(tmp_path / "a.pt")
    assert not mark.exists()


LAYER = "cascades.1.model.unet.conv.layers.0.weight"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda s: s.clear(), "is no state dict of fastmri.models.VarNet"),
        (lambda s: s.update({"fc.weight": torch.zeros(2)}), "fc.weight is no parameter"),
        (lambda s: s.update({LAYER: "text"}), "conv.layers.0.weight is no parameter"),
        (lambda s: s[LAYER].fill_(torch.nan), "conv.layers.0.weight holds NaN"),
        (lambda s: s.pop(LAYER), "missing or of another shape, such as cascades.1.unet.bottleneck"),
        (lambda s: s.update({LAYER: torch.zeros(2, 2, 3, 3)}), "1 parameters are missing or of"),
        (lambda s: s.update({FIRST: torch.zeros(())}), "no first cascade"),
        (lambda s: [s.pop(k) for k in list(s) if k.startswith("cascades.0")], "no first cascade"),
    ],
)
def test_other_files_are_refused_by_what_is_wrong(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], text: str
) -> None:
    stored: dict[str, Any] = fastmri_weights(VarNet(**SIZES), 3)
    change(stored)
    torch.save(stored, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=text):
        read_fastmri(tmp_path / "a.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "a.pt").read_bytes()[:300])
    with pytest.raises(CheckpointError, match="damaged"):
        read_fastmri(tmp_path / "cut.pt")
    with pytest.raises(CheckpointError, match="there is no such checkpoint"):
        read_fastmri(tmp_path / "nowhere.pt")
