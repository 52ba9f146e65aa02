"""Trains one stage, in this process or in one process a device."""

import gc
import json
import logging
import sys
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.plugins.environments import LightningEnvironment, TorchElasticEnvironment
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from kdmri.console import console, print_notes
from kdmri.data.build import build_datamodule
from kdmri.data.datamodule import MRIDataModule
from kdmri.errors import (
    CheckpointError,
    ConfigurationError,
    DivergedError,
    KdmriError,
    StoppedError,
)
from kdmri.files import write_text
from kdmri.hardware import keep_freed_memory
from kdmri.launch.command import may_be_queued_again
from kdmri.launch.tasks import die_with_parent, find_tasks, own_gpu, start_together
from kdmri.models import CascadedNetwork, build_network, network_settings
from kdmri.training.base import TrainingMethod
from kdmri.training.callbacks import (
    LAST,
    StageCheckpoint,
    StageProgressBar,
    announce,
    is_time_over,
)
from kdmri.training.captured import chosen
from kdmri.training.devices import check_tasks, described, on_gpu, world_size
from kdmri.training.distillation import LossWeights
from kdmri.training.facts import checkpoint_facts
from kdmri.training.networks import begin, check_size


@dataclass(frozen=True)
class Job:
    """All that training one stage needs, as plain values that another process can read.

    Attributes:
        config: the whole configuration, resolved.
        stage: its name in `config.stage.plan`.
        directory: where the stage leaves what it makes.
        needs: checkpoints of other stages, by role ("teacher", "start").
        record: what `stage.json` says of the stage.
        decided: what its method is built with that other stages or settings decide:
            `scheduler_every`, by its length, and `teacher_task`, where its teacher sees more.
    """

    config: DictConfig
    stage: str
    directory: Path
    needs: dict[str, Path]
    record: dict[str, Any]
    decided: dict[str, Any]


def launch(job: Job) -> None:
    """Train here, or start one process a device where the trainer asks for several.

    With more than one task the processes are shared out among them, see `kdmri.launch.tasks`. A job
    that its launcher may queue again starts a process in any case, which it can end at once.

    Raises:
        ConfigurationError: the tasks cannot share the processes.
        KdmriError: the processes failed.
    """
    tasks, trainer = find_tasks(), job.config.trainer
    world = world_size(trainer)
    alone = world == tasks.count == 1 and trainer.strategy == "auto"
    if alone and not may_be_queued_again():
        try:
            train(job)
        finally:
            gc.collect()  # trainer, method and data know each other, and hold slices and a teacher
        return
    check_tasks(trainer, world, tasks.count)
    build_datamodule(job.config).prepare_data()  # once, before the processes need it
    team = min(tasks.count, world)
    config = _plain(job.config)
    if team > 1:
        config["trainer"] |= {"devices": world // team, "num_nodes": team}
    plain = asdict(job) | {
        "config": config,
        "directory": str(job.directory),
        "needs": {k: str(v) for k, v in job.needs.items()},
    }
    if start_together(json.dumps(plain), world, tasks):
        raise KdmriError(
            f"stage {job.stage}: the {world} processes that train it failed (see above)"
        )


def train(job: Job) -> None:
    """Train a stage from where it stands to its end.

    Raises:
        KdmriError: data, checkpoint or directory cannot be used.
    """
    quiet_lightning()
    config, definition = job.config, job.config.stage.plan[job.stage]
    pl.seed_everything(config.seed, workers=True, verbose=False)
    data = build_datamodule(config)
    network, teacher = begin(config, job.stage, job.needs)
    method = build_method(config, job.stage, network, teacher, job.decided)

    data.setup("fit")
    for each in (network, *([teacher] if teacher else [])):
        check_size(each, data.dataset("train").slice_size)
    checkpoint = StageCheckpoint(
        job.directory,
        definition.monitor,
        network_settings(config[definition.network]),
        checkpoint_facts(config, job.stage, data.dataset("train").slice_size),
        _companions(config, job.stage),
        config.checkpoint_minutes,
    )
    try:
        trainer = _build_trainer(job, checkpoint)
    except (MisconfigurationException, TypeError, ValueError) as error:
        raise ConfigurationError(f"trainer: {error}") from error
    method.capture = chosen(config.capture, trainer, method)
    parameters = sum(p.numel() for p in network.folded().parameters())
    record = job.record | {"parameters": parameters}
    if trainer.is_global_zero:
        print_notes(data.doubts("train", "selection"))
        write_text(job.directory / "stage.json", json.dumps(record, indent=2))
        write_text(job.directory / "config.yaml", OmegaConf.to_yaml(config))
    last = job.directory / LAST
    if last.is_file() and trainer.is_global_zero:
        console().print(f"{job.stage}: goes on from {last}", highlight=False)
    try:
        trainer.fit(method, data, ckpt_path=last if last.is_file() else None, weights_only=True)
    except SystemExit:  # Lightning's way to end after Ctrl-C
        raise StoppedError(f"stage {job.stage}: interrupted; the same command goes on") from None
    except DivergedError as error:
        raise KdmriError(_diverged(job, data, error, last)) from error
    except (RuntimeError, KeyError) as error:
        if checkpoint.began or not last.is_file():
            raise
        raise CheckpointError(
            f"{last}: cannot be resumed ({error}); train again with overwrite=true"
        ) from error

    epochs = trainer.current_epoch - checkpoint.is_cut_off
    if is_time_over(trainer) and epochs < definition.max_epochs:
        raise KdmriError(
            f"stage {job.stage}: trainer.max_time is over after {epochs} of "
            f"{definition.max_epochs} epochs; the same command with more time, or without, goes on"
        )
    if "metrics" not in checkpoint.best:
        raise KdmriError(
            f"stage {job.stage}: {definition.monitor} was NaN or infinite after every epoch, so no "
            "weights are best; give optimizer.lr smaller and overwrite=true"
            if checkpoint.measured
            else f"stage {job.stage}: ended before its first epoch did, so no weights were "
            "measured; give more trainer.max_steps or trainer.limit_train_batches, and "
            "overwrite=true"
        )
    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger):
            logger.experiment.finish()  # or the next stage would go on with the same run
    if trainer.is_global_zero:
        done = record | {
            "finished": True,
            "best": checkpoint.best,
            "seconds": checkpoint.seconds,
            "device": described(trainer),
        }
        write_text(job.directory / "stage.json", json.dumps(done, indent=2))
        title = f"{job.stage} ({config[definition.network].name}, {parameters:,} parameters)"
        announce(title, checkpoint.best, checkpoint.seconds)


def _diverged(job: Job, data: MRIDataModule, error: DivergedError, last: Path) -> str:
    """Say where training diverged and what can be done."""
    volumes = data.dataset("train").volumes
    slices = ", ".join(f"{volumes[v].path.name} slice {s}" for v, s in error.slices)
    kept = f"the last good state is {last}" if last.is_file() else "nothing was saved before"
    return (
        f"stage {job.stage}, step {error.step}: the loss is NaN or infinite; its batch was "
        f"{slices}; {kept}. Try optimizer.lr smaller, trainer.gradient_clip_val=1, or skip such "
        "steps with skip_nonfinite=10"
    )


def quiet_lightning() -> None:
    """Keep Lightning's hints out of the way of what a user looks for."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    # Few workers are right here: slices come from memory, and undersampling is done on the device.
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*The number of training batches.*")
    # The data module keeps the position in the epoch.
    warnings.filterwarnings("ignore", message=".*your dataloader is not resumable.*")
    # A limit of time may be given in one turn and not in the next.
    warnings.filterwarnings("ignore", message=".*add the following callbacks: .'Timer'.*")
    # The measures are of all processes' slices already.
    warnings.filterwarnings("ignore", message=".*sync_dist=True.*")
    # It is said in this program's own words.
    warnings.filterwarnings("ignore", message=".*GPU available but not used.*")
    # One device without srun is what an interactive session on a cluster wants.
    warnings.filterwarnings("ignore", message=".*`srun` command is available.*")
    # Lightning's own use of a class that PyTorch renames.
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")


def build_method(
    config: DictConfig,
    stage: str,
    network: CascadedNetwork,
    teacher: CascadedNetwork | None,
    decided: Mapping[str, Any],
) -> TrainingMethod:
    """Build how a stage trains its network.

    Args:
        config: the configuration.
        stage: its name.
        network: which it trains.
        teacher: which it learns from; None without one.
        decided: see `Job`.
    """
    definition = config.stage.plan[stage]
    parts: dict[str, Any] = {
        "network": network,
        "optimizer": instantiate(config.optimizer),
        "scheduler": instantiate(config.scheduler),
        **decided,
        "weight_averaging": config.weight_averaging,
        "intermediate_supervision": config.intermediate_supervision,
        "image_loss": instantiate(config.image_loss),
        "skip_nonfinite": config.skip_nonfinite,
    }
    if teacher is not None:
        parts["teacher"] = teacher
    if "weights" in definition.method:
        parts["weights"] = LossWeights(**definition.method.weights)
    for name, settings in _companions(config, stage).items():
        parts[name] = build_network(settings)
    return instantiate(definition.method, **parts)


def _companions(config: DictConfig, stage: str) -> dict[str, dict[str, Any]]:
    """Settings of the networks that are trained beside the stage's own."""
    names = config.stage.plan[stage].get("companions", ())
    return {name: network_settings(config[name]) for name in names}


def _build_trainer(job: Job, checkpoint: StageCheckpoint) -> pl.Trainer:
    config, definition = job.config, job.config.stage.plan[job.stage]
    callbacks = [instantiate(c) for c in config.callbacks.values() if c is not None]
    for number, callback in enumerate(callbacks):
        if isinstance(callback, StageProgressBar):
            callback.stage = job.stage
        elif not isinstance(callback, pl.Callback):  # early stopping waits for the stage's figure
            callbacks[number] = callback(monitor=definition.monitor)
    settings = _plain(config.trainer) | {
        "max_epochs": definition.max_epochs,
        "use_distributed_sampler": False,
    }
    if not TorchElasticEnvironment.detect():
        # Else Lightning would take a task of SLURM for a rank, and requeue it itself.
        settings.setdefault("plugins", [LightningEnvironment()])
        if on_gpu(config.trainer) and settings["devices"] in (1, "1"):
            settings["devices"] = [own_gpu(find_tasks())]
    return pl.Trainer(
        **settings,
        default_root_dir=job.directory,
        logger=instantiate(config.logger)(save_dir=job.directory),
        callbacks=[*callbacks, checkpoint],
        enable_progress_bar=any(isinstance(c, StageProgressBar) for c in callbacks),
    )


def _plain(node: DictConfig) -> dict[str, Any]:
    """Turn a node of the configuration into a plain dictionary."""
    return cast(dict[str, Any], OmegaConf.to_container(node, resolve=True))


if __name__ == "__main__":
    die_with_parent()
    keep_freed_memory()
    stored = json.loads(Path(sys.argv[1]).read_text())
    train(
        Job(
            config=OmegaConf.create(stored["config"]),
            stage=stored["stage"],
            directory=Path(stored["directory"]),
            needs={role: Path(path) for role, path in stored["needs"].items()},
            record=stored["record"],  # its command may hold ${...}, to be kept as it is
            decided=stored["decided"],
        )
    )
    if torch.distributed.is_initialized():  # else its threads may abort the process at its end
        torch.distributed.destroy_process_group()
