from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from kdmri import models
from kdmri.errors import CheckpointError, ConfigurationError
from kdmri.models import DCCNN, Cascade, CascadedNetwork, Tap, build_network, load_network
from kdmri.models.stored import rebuild_network
from kdmri.physics import Measurement, fft2, to_complex
from kdmri.physics.stored import build_estimate, build_task

PUBLISHED = {"d5c5": (5, 141_765), "d3c5": (3, 49_285)}


def inputs(channels: int = 1) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    mask = torch.zeros(1, 1, 16, 12)
    mask[:, :, [0, 1, 2, 15]] = 1
    image = torch.rand(2, channels, 16, 12)
    return image, mask * fft2(to_complex(image)), mask


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameter_counts_are_the_published_ones(name: str) -> None:
    depth, parameters = PUBLISHED[name]
    network = DCCNN(cascades=5, depth=depth)
    assert sum(p.numel() for p in network.parameters()) == parameters


@pytest.mark.parametrize(("depth", "middle"), [(2, 0), (3, 1), (4, 1), (5, 2), (7, 3)])
def test_middle_tap_is_the_published_convolution(depth: int, middle: int) -> None:
    network = DCCNN(cascades=3, depth=depth, width=4)
    assert network.middle_taps == tuple(Tap(cascade, middle) for cascade in range(3))


def test_taps_are_activations_behind_the_relu_in_the_order_asked_for() -> None:
    network, given = DCCNN(cascades=2, depth=3, width=4), inputs()
    output, taps = network.features(*given, taps=[Tap(1, 0), Tap(0, 1), Tap(0, 0)])
    torch.testing.assert_close(output, network(*given))
    layers = network.cascades[0].layers
    first = layers[0](given[0]).relu()
    torch.testing.assert_close(taps[2], first)
    torch.testing.assert_close(taps[1], layers[1](first).relu())
    after_first = network.cascades[0](*given)
    torch.testing.assert_close(taps[0], network.cascades[1].layers[0](after_first).relu())


def test_network_is_the_fold_of_its_cascades() -> None:
    network, (image, kspace, mask) = DCCNN(cascades=3, depth=2, width=4), inputs()
    expected = network(image, kspace, mask)
    for cascade in network.cascades:
        image = cascade(image, kspace, mask)
    torch.testing.assert_close(image, expected)


def test_complex_network_agrees_with_the_measurement() -> None:
    image, kspace, mask = inputs(channels=2)
    output = DCCNN(cascades=2, depth=2, width=4, channels=2)(image, kspace, mask)
    assert output.shape == image.shape
    torch.testing.assert_close(mask * fft2(to_complex(output)), kspace, atol=1e-5, rtol=0)


def test_residual_variant_starts_from_its_input() -> None:
    network = DCCNN(cascades=1, depth=2, width=4, residual=True)
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)
    image, kspace, mask = inputs()
    torch.testing.assert_close(network(image, kspace, mask), image, atol=1e-5, rtol=0)


@pytest.mark.parametrize("wrong", [{"depth": 1}, {"cascades": 0}, {"channels": 3}, {"dept": 3}])
def test_impossible_networks_are_refused(wrong: dict[str, int]) -> None:
    settings = {"_target_": "kdmri.models.DCCNN", "cascades": 2, "depth": 3} | wrong
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        build_network(settings)


def test_tensors_where_numbers_belong_are_refused() -> None:
    several = torch.tensor([2, 3])
    with pytest.raises(ConfigurationError, match=r"kdmri\.models\.DCCNN: "):
        build_network({"_target_": "kdmri.models.DCCNN", "cascades": several, "depth": 3})
    with pytest.raises(CheckpointError, match=r"task kdmri\.physics\.CentralKspace: "):
        build_task({"_target_": "kdmri.physics.CentralKspace", "scale": several})
    rule = {"_target_": "kdmri.data.masks.GaussianLines", "acceleration": 4, "seed": 0.5}
    mask = {"rule": rule, "file": None, "values": None}
    with pytest.raises(CheckpointError, match=r"task kdmri\.physics\.CartesianUndersampling: "):
        build_task({"_target_": "kdmri.physics.CartesianUndersampling", "mask": mask})
    with pytest.raises(CheckpointError, match=r"sensitivities kdmri\.physics\.Espirit: "):
        build_estimate({"_target_": "kdmri.physics.Espirit", "kernel": several})


SETTINGS = {"_target_": "kdmri.models.DCCNN", "cascades": 2, "depth": 2, "width": 4}


def save(path: Path, **changes: object) -> Path:
    weights = build_network(SETTINGS).state_dict()
    torch.save({"network": SETTINGS, "weights": weights} | changes, path)
    return path


def test_checkpoint_rebuilds_its_network(tmp_path: Path) -> None:
    path = save(tmp_path / "best_model.pt")
    stored = torch.load(path, weights_only=True)["weights"]
    for name, value in load_network(path, SETTINGS).state_dict().items():
        torch.testing.assert_close(value, stored[name])


def test_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "best_model.pt")
    with pytest.raises(CheckpointError, match=r"best_model.pt.*depth is 2, not 3"):
        load_network(path, SETTINGS | {"depth": 3})


def test_damaged_checkpoints_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"none.pt: there is no such checkpoint"):
        load_network(tmp_path / "none.pt")
    path = save(tmp_path / "cut.pt")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(CheckpointError, match=r"cut.pt: damaged, or no checkpoint of kdmri"):
        load_network(path)
    path.write_text('{"stage": "kd"}')
    with pytest.raises(CheckpointError) as caught:
        load_network(path)
    assert "weights_only" not in str(caught.value)
    torch.save({"state_dict": {}, "epoch": 3}, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=r"training to go on with, it has no network"):
        load_network(tmp_path / "model.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(CheckpointError, match=r"list.pt: is no checkpoint of kdmri"):
        load_network(tmp_path / "list.pt")
    with pytest.raises(CheckpointError, match=r"few.pt: weights do not fit"):
        load_network(save(tmp_path / "few.pt", weights={}))


class Hostile:
    """Runs code when it is unpickled carelessly."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("hostile"),))  # type: ignore[return-value]


@pytest.mark.parametrize("target", ["os.system", "kdmri.models.build_network", "kdmri.models.nn"])
def test_checkpoint_cannot_name_code_to_run(tmp_path: Path, target: str) -> None:
    path = save(tmp_path / "best_model.pt", network={"_target_": target, "command": "true"})
    with pytest.raises(ConfigurationError, match="networks are the classes"):
        load_network(path)


def test_checkpoint_cannot_carry_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = save(tmp_path / "best_model.pt", extra=Hostile())
    with pytest.raises(CheckpointError, match="no checkpoint of kdmri"):
        load_network(path)
    assert not (tmp_path / "hostile").exists()


@pytest.mark.parametrize("channels", [1, 2])
def test_residual_cascades_begin_close_to_their_input(channels: int) -> None:
    torch.manual_seed(0)
    image, _, mask = inputs(channels)
    nothing = torch.zeros(2, 1, 16, 12, dtype=torch.complex64)
    network = DCCNN(cascades=3, depth=5, width=16, channels=channels, residual=True)
    changed = (network(image, nothing, 0 * mask) - image).std() / image.std()
    assert 1e-3 < changed < 0.5
    assert all(not p.any() for name, p in network.named_parameters() if name.endswith("bias"))


class Normed(Cascade):
    """A convolution of batch-normalised images."""

    convolutions = 1

    def __init__(self) -> None:
        super().__init__()
        self.norm = torch.nn.BatchNorm2d(1)

    def steps(self, image: Tensor, measurement: Measurement) -> Iterator[Tensor]:
        yield self.norm(image)
        yield image


def test_a_look_at_activations_teaches_layers_of_batches_nothing() -> None:
    still, learning = Normed(), Normed()
    network = CascadedNetwork([still, learning], channels=1)
    still.norm.eval()
    network.tiny_features()
    assert learning.norm.num_batches_tracked == 0
    assert network.training
    assert learning.norm.training
    assert not still.norm.training


def test_shapes_of_activations_are_seen_on_the_device_of_the_network() -> None:
    """On "meta", as on a GPU, tensors of the CPU are refused."""
    network = DCCNN(cascades=2, depth=3, width=4).to("meta")
    (activation,) = network.tiny_features([Tap(0, 1)])
    assert activation.is_meta
    assert tuple(activation.shape) == (1, 4, 32, 32)


@pytest.mark.parametrize("other", [False, True])
def test_stored_weights_are_in_memory_once_and_in_the_type_of_the_network(
    other: bool, tmp_path: Path
) -> None:
    network = DCCNN(cascades=2, depth=3, width=8)
    weights = network.state_dict()
    name = "cascades.0.layers.1.weight"
    stored = {"network": {"_target_": "kdmri.models.DCCNN", "cascades": 2, "depth": 3, "width": 8}}
    if other:  # of another type, and a part of a larger memory
        weights[name] = torch.cat((weights[name], weights[name])).double()[: len(weights[name])]
    before = torch.get_rng_state()
    rebuilt = rebuild_network(tmp_path / "best_model.pt", stored | {"weights": weights})
    assert torch.equal(torch.get_rng_state(), before)
    own = dict(rebuilt.state_dict())
    for key, value in network.state_dict().items():
        assert torch.equal(own[key], value)
        assert own[key].dtype == torch.float32
        assert own[key].stride() == value.stride()
    assert (own[name].data_ptr() != weights[name].data_ptr()) == other
    assert own[name].untyped_storage().nbytes() == own[name].nbytes


def test_networks_with_tensors_that_are_not_stored_are_rebuilt_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Windowed(DCCNN):
        def __init__(self, depth: int) -> None:
            super().__init__(cascades=1, depth=depth)
            self.windows = [torch.hann_window(8)]

    class Computing(DCCNN):
        def __init__(self, depth: int) -> None:
            super().__init__(cascades=1, depth=depth)
            self.largest = torch.hann_window(8).max().item()

    for kind in (Windowed, Computing):
        monkeypatch.setattr(models, kind.__name__, kind, raising=False)
        monkeypatch.setattr(models, "__all__", [*models.__all__, kind.__name__])
        settings = {"_target_": f"kdmri.models.{kind.__name__}", "depth": 3}
        stored = {"network": settings, "weights": kind(3).state_dict()}
        rebuilt = rebuild_network(tmp_path / "best_model.pt", stored)
        assert isinstance(rebuilt, kind)
        assert not any(value.is_meta for value in rebuilt.state_dict().values())
        if isinstance(rebuilt, Windowed):
            assert torch.equal(rebuilt.windows[0], torch.hann_window(8))
