"""Which devices a trainer's settings mean, and what they are called."""

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf

from kdmri.console import console
from kdmri.errors import ConfigurationError
from kdmri.hardware import describe, emulates_bfloat16
from kdmri.launch.tasks import find_tasks, own_gpu


def world_size(trainer: DictConfig) -> int:
    """Count the devices, and so the processes, that the trainer asks for on all machines.

    Raises:
        ConfigurationError: there are none.
    """
    devices = trainer.devices
    if OmegaConf.is_list(devices):
        count = len(devices)
    elif devices in ("auto", -1, "-1"):
        count = torch.cuda.device_count() if on_gpu(trainer) else 1
    else:
        count = int(devices)
    if count < 1 or trainer.num_nodes < 1:
        raise ConfigurationError(
            f"trainer.devices={devices}, trainer.num_nodes={trainer.num_nodes}: must be at least 1"
        )
    return count * int(trainer.num_nodes)


def on_gpu(trainer: DictConfig) -> bool:
    """Whether there is a GPU and the trainer's settings allow it."""
    return trainer.accelerator != "cpu" and torch.cuda.is_available()


def first_device(trainer: DictConfig) -> torch.device:
    """Choose the first of the devices that the trainer asks for; of a GPU this task's own."""
    if not on_gpu(trainer):
        return torch.device("cpu")
    asked = trainer.devices
    index = asked[0] if OmegaConf.is_list(asked) else own_gpu(find_tasks())
    return torch.device("cuda", index)


def check_tasks(trainer: DictConfig, world: int, tasks: int) -> None:
    """See that tasks can share out the processes; raises ConfigurationError where they cannot."""
    if tasks < trainer.num_nodes:
        raise ConfigurationError(
            f"trainer.num_nodes={trainer.num_nodes}: this command runs as {tasks} task(s); start "
            "one on each node with srun or torchrun (docs/pages/running.md)"
        )
    if tasks < world and world % tasks:
        raise ConfigurationError(
            f"trainer.devices={trainer.devices}, trainer.num_nodes={trainer.num_nodes}: {world} "
            f"processes cannot be shared out evenly among the {tasks} tasks of this command"
        )


def described(trainer: pl.Trainer) -> str:
    """Say what a stage was trained on."""
    device = describe(trainer.strategy.root_device)
    return device if trainer.world_size == 1 else f"{trainer.world_size} x {device}"


def check_accelerator(trainer: DictConfig) -> None:
    """See that there is a GPU where one is asked for; raises ConfigurationError."""
    asked = str(trainer.accelerator)
    there = {"gpu": (torch.cuda, torch.backends.mps), "cuda": (torch.cuda,)}.get(asked)
    if there is None or any(kind.is_available() for kind in there):
        return
    build = "this build has none for CUDA; pytorch.org/get-started/locally has them"
    if torch.version.cuda or torch.version.hip:
        build = "see whether nvidia-smi (rocm-smi) lists one, and what CUDA_VISIBLE_DEVICES hides"
    raise ConfigurationError(
        f"trainer.accelerator={asked}: PyTorch {torch.__version__} finds no GPU here ({build}); "
        "trainer=cpu trains without one"
    )


def advise(trainer: DictConfig) -> None:
    """Say it where training would be faster with other settings of the trainer."""
    if not on_gpu(trainer) and torch.cuda.is_available():
        console().print("a GPU is here and is not used; trainer=gpu trains on it", highlight=False)
    if "bf16" in str(trainer.precision) and emulates_bfloat16(first_device(trainer)):
        console().print(
            f"trainer.precision={trainer.precision}: this CPU has no instructions for bfloat16 and "
            "takes many times as long as with 32-true",
            highlight=False,
        )
