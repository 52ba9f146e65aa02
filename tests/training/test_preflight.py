"""Networks and losses that do not keep their promises are told before any data is read."""

from collections.abc import Sequence
from types import SimpleNamespace

import pytest
import torch
from hydra import compose
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from kdmri.distillation import DistillationLoss
from kdmri.errors import ConfigurationError
from kdmri.models import DCCNN, VDSR, UNet
from kdmri.training.preflight import check_distillation, check_network, check_patches, preflight

CONFIG = OmegaConf.create(
    {
        "dataset": {"image_size": None},
        "student": {"name": "mine"},
        "distillation": {"name": "mine"},
        "trainer": {"devices": 1, "num_nodes": 1, "accelerator": "cpu"},
    }
)


class Cropping(DCCNN):
    def forward(self, image: Tensor, kspace: Tensor, mask: Tensor) -> Tensor:
        return super().forward(image, kspace, mask)[..., 1:]


class Failing(DCCNN):
    def forward(self, image: Tensor, kspace: Tensor, mask: Tensor) -> Tensor:
        return image @ image[..., 1:, :]


def config() -> DictConfig:
    return CONFIG.copy()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Cropping, r"mine \(student\): gives \(1, 1, 128, 127\) for an image of"),
        (Failing, r"mine \(student\): fails on an image of \(128, 128\)"),
    ],
)
def test_network_has_to_give_images(kind: type[DCCNN], message: str) -> None:
    check_network(config(), "student", DCCNN(1, 2))
    with pytest.raises(ConfigurationError, match=message):
        check_network(config(), "student", kind(1, 2))


def test_cascade_has_to_yield_what_it_promises() -> None:
    network = DCCNN(2, 3)
    network.cascades[1].convolutions = 5
    with pytest.raises(ConfigurationError, match="cascade 1 yields 4 steps; convolutions=5"):
        check_network(config(), "student", network)


def test_patches_are_tried_in_their_own_size() -> None:
    words = config()
    words.task = {"patch_size": [32, 24]}
    for network in (VDSR(3, 2), UNet(width=1, levels=3)):
        check_patches(words, "student", network)
    with pytest.raises(ConfigurationError, match=r"patch_size=\[32, 24\]: data consistency in"):
        check_patches(words, "student", DCCNN(1, 2))
    with pytest.raises(ConfigurationError, match=r"mine \(student\) fails on such patches"):
        check_patches(words, "student", UNet(width=1, levels=6))


class Loss:
    smallest_batch = 1

    def __init__(self, value: object) -> None:
        self.value = value

    def __call__(self, student: list[Tensor], teacher: list[Tensor]) -> object:
        return self.value


@pytest.mark.parametrize(
    "value", [1.0, torch.ones(3, requires_grad=True), torch.tensor(1.0), (1, 2)]
)
def test_loss_has_to_give_one_number_with_a_gradient(value: object) -> None:
    network = DCCNN(1, 2)
    taps = network.middle_taps
    method = SimpleNamespace(
        network=network, teacher=network, taps=taps, teacher_taps=taps, distillation=Loss(value)
    )
    with pytest.raises(ConfigurationError, match="distillation=mine: the loss gives"):
        check_distillation(config(), method, 4)  # type: ignore[arg-type]


class OfBatch(DistillationLoss):
    smallest_batch = 2

    def __init__(self) -> None:
        super().__init__()
        self.norm = torch.nn.BatchNorm1d(1)

    def forward(self, student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
        return self.norm(student[0].mean(dim=(1, 2, 3))[:, None]).sum()


def test_loss_is_tried_on_as_many_slices_as_it_needs() -> None:
    network = DCCNN(1, 2)
    taps = network.middle_taps
    method = SimpleNamespace(
        network=network, teacher=network, taps=taps, teacher_taps=taps, distillation=OfBatch()
    )
    check_distillation(config(), method, 4)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="batch_size=1: distillation=mine compares"):
        check_distillation(config(), method, 1)  # type: ignore[arg-type]


@pytest.mark.usefixtures("hydra")
@pytest.mark.parametrize(
    ("precision", "architecture", "told"),
    [
        ("bf16-mixed", "varnet_tiny", True),
        ("32-true", "varnet_tiny", False),
        ("bf16-mixed", "d3c5", False),
    ],
)
def test_what_half_precision_loses_of_a_varnet_is_told_once(
    capsys: pytest.CaptureFixture[str], precision: str, architecture: str, told: bool
) -> None:
    words = (
        "dataset=mni_multicoil",
        "stage.run=[student,student_long]",
        f"architecture@student={architecture}",
        f"trainer.precision={precision}",
    )
    preflight(compose("config", list(words)))
    out = " ".join(capsys.readouterr().out.split())
    assert out.count("loses some 2 % of its image in half precision") == told
