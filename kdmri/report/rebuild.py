"""Targets and inputs of an experiment, made again from its configuration and the data set.

The configuration may come from others, so it is checked before anything is built: it may name
nothing but tasks and masks of this program, and refer to nothing.
"""

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import OmegaConf

from kdmri.analysis.experiments import Run
from kdmri.analysis.plain import mapping, select
from kdmri.classical import METHODS, Chosen
from kdmri.config import identity
from kdmri.data import masks
from kdmri.data.batch import collate
from kdmri.data.companions import Estimate
from kdmri.data.datamodule import MRIDataModule
from kdmri.errors import ConfigurationError, DataError
from kdmri.physics import Task, seen, truth
from kdmri.physics.stored import build_estimate

IN_PICTURES = ("cg_sense",)
"""Classical methods that are fast enough to be shown; others stand in the table alone."""

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

    def __init__(self, data: MRIDataModule, classical: Sequence[Chosen] = ()) -> None:
        """Take a data module; its evaluation files are opened.

        Args:
            data: to show.
            classical: reconstructions without a network that are shown too.

        Raises:
            KdmriError: they cannot be used.
        """
        self._data, self._classical = data, classical
        self._dataset = data.dataset("evaluation")
        self.note = data.splits.note
        self.sampling = data.describe_sampling("evaluation")
        self._first: dict[str, int] = {}
        self.slices: dict[str, int] = {}
        self.sizes: dict[str, tuple[int, int]] = {}
        pairs = zip(self._dataset.volumes, self._dataset.shown_sizes, strict=True)
        for volume, size in pairs:
            self._first[volume.name] = sum(self.slices.values())
            self.slices[volume.name], self.sizes[volume.name] = volume.shape[2], size

    def slice(self, volume: str, index: int) -> Shown:
        """Make one slice."""
        batch = self._data.task(collate([self._dataset[self._first[volume] + index]]))
        images = self._data.task.baselines(batch) | {c.label: c(batch) for c in self._classical}
        return Shown(
            truth(batch)[0, 0].numpy(),
            {label: seen(image, batch)[0, 0].numpy() for label, image in images.items()},
            float(batch.data_range[0]),
        )


def open_reference(
    run: Run, datasets: Path | None, weights: Mapping[str, float] | None = None
) -> Reference:
    """Find the data that a stage was evaluated on.

    Args:
        run: the stage.
        datasets: directory of the data sets; None: the one that the configuration names, beside the
            tree of experiments or below the working directory.
        weights: of the regularisation of classical methods that were measured, by label.

    Raises:
        KdmriError: the data set is gone, or the configuration is not fit to be used.
    """
    if not run.config:
        raise DataError(f"{run.directory}: config.yaml is missing")
    task, dataset = mapping(run.config.get("task")), mapping(run.config.get("dataset"))
    sampling = mapping(task.get("sampling"))
    check_targets(sampling)
    coils = dataset.get("sensitivities")
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
                sensitivities=_estimate(dataset),
            ),
            _classical(weights or {}) if coils is not None else (),
        )
    except (InstantiationException, TypeError, ValueError, KeyError, AttributeError) as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise ConfigurationError(f"its configuration cannot be used ({reason})") from error


def _estimate(dataset: dict[str, Any]) -> Estimate | None:
    """Build what estimates sensitivities, from plain values; None for data of one coil."""
    settings = dataset.get("sensitivities")
    return None if settings is None else build_estimate(mapping(settings))


def _classical(weights: Mapping[str, float]) -> list[Chosen]:
    """Find the classical methods that were measured and are fast enough."""
    found = (METHODS[name] for name in IN_PICTURES)
    return [Chosen(method, weights[method.label]) for method in found if method.label in weights]


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
