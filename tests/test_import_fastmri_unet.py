"""State dicts of fastMRI's U-Net become stages, with the same images."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from kdmri.errors import CheckpointError
from kdmri.models import UNet, build_network, load_network
from kdmri.models.fastmri_weights import FIRST_OF_UNET, read_fastmri
from tests.conftest import TINY, Result
from tests.models.fastmri_names import fastmri_name

SIZES = {"width": 4, "levels": 2}

SCRIPT = "kdmri/import_original/__main__.py"


def theirs(network: UNet, prefix: str = "") -> dict[str, Tensor]:
    """Return its weights as fastMRI would have stored them."""
    return {
        prefix + fastmri_name(name.replace("cascades.0.", "unet."), 2).removeprefix("unet."): value
        for name, value in network.state_dict().items()
    }


def network(channels: int = 1) -> UNet:
    return UNet(**SIZES, channels=channels, normalised=True)


@pytest.mark.parametrize(("prefix", "channels"), [("", 1), ("unet.", 2)])
def test_sizes_are_told_and_weights_are_all_there(
    tmp_path: Path, prefix: str, channels: int
) -> None:
    own = network(channels)
    stored = theirs(own, prefix)
    torch.save(
        {"state_dict": stored | {"NMSE.total": torch.zeros(1)}} if prefix else stored,
        tmp_path / "a.pt",
    )
    found = read_fastmri(tmp_path / "a.pt")
    assert found.network == {
        "_target_": "kdmri.models.UNet",
        **SIZES,
        **{"channels": channels, "consistency": False, "normalised": True},
    }
    assert found.weights.keys() == own.state_dict().keys()
    assert all(torch.equal(found.weights[k], v) for k, v in own.state_dict().items())


@pytest.mark.parametrize("size", [(64, 48), (61, 47)])
def test_network_of_the_package_gives_the_same_images(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    models = pytest.importorskip("fastmri.models")
    transforms = pytest.importorskip("fastmri.data.transforms")
    unet = models.Unet(1, 1, chans=5, num_pool_layers=3, drop_prob=0.1).eval()
    torch.save(unet.state_dict(), tmp_path / "a.pt")
    original = read_fastmri(tmp_path / "a.pt")
    ours = build_network(original.network)
    ours.load_state_dict(original.weights)
    image = 7 + 3 * torch.rand(2, 1, *size).pow(20)
    with torch.no_grad():
        found = ours(image, image, image)
        for item, known in zip(image, found, strict=True):
            seen, mean, std = transforms.normalize_instance(item, eps=1e-11)
            wanted = unet(seen.clamp(-6, 6)[None])[0] * std + mean
            assert (known - wanted).abs().max() <= 1e-5 * wanted.abs().max()


def test_a_constant_image_stays_finite() -> None:
    image = torch.full((1, 1, 16, 16), 3.0)
    assert network()(image, image, image).isfinite().all()


def test_it_becomes_a_finished_stage_of_a_teacher(
    run: Callable[..., Result], own: Path, tmp_path: Path
) -> None:
    own = network()
    torch.save(theirs(own), tmp_path / "theirs.pt")
    teacher = ("architecture@teacher=unet_fastmri", "teacher.width=4", "teacher.levels=2")
    words = (*teacher, "~teacher.depth", "~teacher.cascades")
    given = ("format=fastmri", "checkpoint=theirs.pt", "slice_size=[40,36]")
    result = run(SCRIPT, *given, *TINY, *words)
    assert result.code == 0, result.err
    (path,) = (tmp_path / "experiments").rglob("best_model.pt")
    weights = load_network(path).state_dict()
    assert all(torch.equal(weights[name], value) for name, value in own.state_dict().items())


def test_other_files_are_refused_by_what_is_wrong(tmp_path: Path) -> None:
    stored = theirs(network())
    stored[FIRST_OF_UNET] = torch.zeros(3)
    torch.save(stored, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="no first convolution of a U-Net"):
        read_fastmri(tmp_path / "a.pt")
    stored = theirs(network())
    stored["conv.layers.0.weight"] = torch.zeros(2, 2, 3, 3)
    torch.save(stored, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="is no Unet of one size throughout, 1 parameters"):
        read_fastmri(tmp_path / "a.pt")
