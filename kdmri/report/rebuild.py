"""Targets and inputs of an experiment, made again from its configuration and the data set.

The configuration may come from others, so it is checked before anything is built: it may name
nothing but tasks and masks of this program, and refer to nothing.
"""

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import OmegaConf

from kdmri.analysis.experiments import Run
from kdmri.analysis.plain import mapping, select
from kdmri.config import identity
from kdmri.data import masks
from kdmri.data.batch import collate
from kdmri.data.datamodule import MRIDataModule
from kdmri.errors import ConfigurationError, DataError
from kdmri.physics import Task, seen, truth

MODULES = ("kdmri.physics", "kdmri.data.masks")


@dataclass(frozen=True)
class Shown:
    """A slice of the evaluation data.

    Attributes:
        target: magnitude, float32 (H, W).
        baselines: magnitudes of what needs no network, float32 (H, W), by label.
        data_range: largest value of the target's volume.
    """

    target: np.ndarray
    baselines: dict[str, np.ndarray]
    data_range: float


class Reference:
    """The evaluation data of an experiment, slice by slice."""

    def __init__(self, data: MRIDataModule) -> None:
        """Take a data module; its evaluation files are opened.

        Raises:
            KdmriError: they cannot be used.
        """
        self._data = data
        self._dataset = data.dataset("evaluation")
        self.note = data.splits.note
        self.sampling = data.describe_sampling("evaluation")
        self._first: dict[str, int] = {}
        self.slices: dict[str, int] = {}
        for volume in self._dataset.volumes:
            self._first[volume.name] = sum(self.slices.values())
            self.slices[volume.name] = volume.shape[2]

    @property
    def size(self) -> tuple[int, int]:
        """Size (H, W) of every slice as it is shown."""
        return self._dataset.shown_size

    def slice(self, volume: str, index: int) -> Shown:
        """Make one slice."""
        batch = self._data.task(collate([self._dataset[self._first[volume] + index]]))
        images = self._data.task.baselines(batch)
        return Shown(
            truth(batch)[0, 0].numpy(),
            {label: seen(image, batch)[0, 0].numpy() for label, image in images.items()},
            float(batch.data_range[0]),
        )


def open_reference(run: Run, datasets: Path | None) -> Reference:
    """Find the data that a stage was evaluated on.

    Args:
        run: the stage.
        datasets: directory of the data sets; None: the one that the configuration names, beside the
            tree of experiments or below the working directory.

    Raises:
        KdmriError: the data set is gone, or the configuration is not fit to be used.
    """
    if not run.config:
        raise DataError(f"{run.directory}: config.yaml is missing")
    task, dataset = mapping(run.config.get("task")), mapping(run.config.get("dataset"))
    sampling = mapping(task.get("sampling"))
    check_targets(sampling)
    name, written = str(dataset.get("name")), _path(run.config, "datasets")
    if Path(name).name != name or name == "..":
        raise ConfigurationError(f"dataset.name={name}: not the name of a directory")
    roots = list(_roots(run))
    candidates = [datasets] if datasets else [root / written for root in roots]
    folder = next((c / name for c in candidates if (c / name).is_dir()), None)
    if folder is None:
        raise DataError(f"the data set is not there any more ({candidates[0] / name})")
    if isinstance(sampling.get("mask"), dict) and "folder" in sampling["mask"]:
        relative = Path(str(sampling["mask"]["folder"]))
        there = [root / relative for root in roots if (root / relative).is_dir()]
        sampling["mask"] = {**sampling["mask"], "folder": str((there or [relative])[0])}
    try:
        built = OmegaConf.create({"task": {"sampling": sampling}})
        digest = select(run.training, "circumstances", "mask_file_digest")
        if identity.mask_file_digest(built) != digest:
            raise DataError("the mask file is not the one that it was trained with")
        return Reference(
            MRIDataModule(
                task=instantiate(sampling),
                folder=folder,
                acceleration=select(run.config, "acceleration", "name"),
                batch_size=1,
                seed=0,
                channels=dataset.get("channels", 1),
                image_size=dataset.get("image_size"),
                selection=dataset.get("selection"),
                stored_kspace=dataset.get("stored_kspace", True),
                cache_gib=1.0,
            )
        )
    except (InstantiationException, TypeError, ValueError, KeyError, AttributeError) as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise ConfigurationError(f"its configuration cannot be used ({reason})") from error


def check_targets(node: Any) -> None:
    """Make sure that a node names nothing but this program's tasks and masks.

    Raises:
        ConfigurationError: it names something else, or holds an interpolation.
    """
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "_target_" and not _is_ours(value):
                raise ConfigurationError(f"_target_: {value} is no task or mask of kdmri")
            if key.startswith("_") and key not in ("_target_", "_partial_", "_convert_"):
                raise ConfigurationError(f"{key}: not allowed in the configuration of a tree")
            check_targets(value)
    elif isinstance(node, list):
        for value in node:
            check_targets(value)
    elif isinstance(node, str) and "${" in node:
        raise ConfigurationError(f"{node}: a configuration of a tree may not refer to anything")


def _is_ours(target: Any) -> bool:
    module, _, name = str(target).rpartition(".")
    if module not in MODULES:
        return False
    found: type | Callable[..., Any] | None = vars(importlib.import_module(module)).get(name)
    if isinstance(found, type):
        return issubclass(found, Task) or found in get_args(masks.MaskRule)
    return found in (masks.choose, masks.denser)


def _roots(run: Run) -> Iterator[Path]:
    """Directories that relative paths of a configuration may start from: where it was trained."""
    written = _path(run.config, "experiments")
    above = list(run.directory.absolute().parents)[2 + len(written.parts) :]
    if above and not written.is_absolute():
        yield above[0]
    yield Path.cwd()


def _path(config: dict[str, Any], key: str) -> Path:
    return Path(str(select(config, "paths", key) or key))
