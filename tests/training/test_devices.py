import pytest
import torch
from omegaconf import OmegaConf

from kdmri.errors import ConfigurationError
from kdmri.hardware import emulates_bfloat16
from kdmri.training.devices import advise, check_accelerator, first_device, world_size


@pytest.mark.parametrize(
    ("devices", "nodes", "processes"), [(1, 1, 1), (4, 2, 8), ([0, 2], 3, 6), ("auto", 2, 2)]
)
def test_processes_of_a_trainer(devices: object, nodes: int, processes: int) -> None:
    settings = {"devices": devices, "num_nodes": nodes, "accelerator": "cpu"}
    assert world_size(OmegaConf.create(settings)) == processes


def test_no_processes_are_an_error() -> None:
    settings = {"devices": 0, "num_nodes": 1, "accelerator": "cpu"}
    with pytest.raises(ConfigurationError, match=r"trainer.devices=0.*must be at least 1"):
        world_size(OmegaConf.create(settings))


@pytest.mark.parametrize(
    ("description", "slow"),
    [
        ({"architecture": "x86_64", "avx512_bf16": False, "amx_bf16": False}, True),
        ({"architecture": "x86_64", "avx512_bf16": True, "amx_bf16": False}, False),
        ({"architecture": "x86_64", "avx512_bf16": False, "amx_bf16": True}, False),
        ({"architecture": "aarch64"}, False),
    ],
)
def test_half_precision_without_instructions_for_it_is_told(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    description: dict,
    slow: bool,
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: description, raising=False)
    assert emulates_bfloat16(torch.device("cpu")) == slow
    assert not emulates_bfloat16(torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    settings = {"accelerator": "cpu", "devices": 1, "precision": "32-true"}
    advise(OmegaConf.create(settings))
    assert capsys.readouterr().out == ""
    advise(OmegaConf.create(settings | {"precision": "bf16-mixed"}))
    assert ("many times as long" in " ".join(capsys.readouterr().out.split())) == slow


@pytest.mark.parametrize(
    ("accelerator", "cuda", "mps", "refused"),
    [
        ("gpu", False, False, True),
        ("cuda", False, True, True),
        ("gpu", True, False, False),
        ("gpu", False, True, False),
        ("auto", False, False, False),
        ("cpu", False, False, False),
    ],
)
def test_a_gpu_that_is_not_there_is_told_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch, accelerator: str, cuda: bool, mps: bool, refused: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    settings = OmegaConf.create({"accelerator": accelerator})
    if not refused:
        check_accelerator(settings)
        return
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.version, "hip", None)
    with pytest.raises(ConfigurationError, match=r"none for CUDA.*; trainer=cpu trains without"):
        check_accelerator(settings)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    with pytest.raises(ConfigurationError, match="CUDA_VISIBLE_DEVICES"):
        check_accelerator(settings)


@pytest.mark.parametrize(
    ("accelerator", "there", "description"),
    [("cpu", True, True), ("cpu", False, False), ("gpu", 1, False)],
)
def test_a_gpu_that_is_not_used_is_told(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    accelerator: str,
    there: bool,
    description: bool,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    settings = {"accelerator": accelerator, "devices": [0], "precision": "32-true"}
    advise(OmegaConf.create(settings))
    assert ("trainer=gpu trains on it" in capsys.readouterr().out) == description


@pytest.mark.parametrize(
    ("accelerator", "devices", "chosen"),
    [("gpu", [1], "cuda:1"), ("gpu", 2, "cuda:0"), ("auto", "auto", "cuda:0"), ("cpu", 1, "cpu")],
)
def test_networks_are_measured_on_the_device_that_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, accelerator: str, devices: object, chosen: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    settings = OmegaConf.create({"devices": devices, "num_nodes": 1, "accelerator": accelerator})
    assert first_device(settings) == torch.device(chosen)
