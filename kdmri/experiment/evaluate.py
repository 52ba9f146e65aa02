"""Measures trained networks on slices that neither trained them nor chose their weights."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from omegaconf import DictConfig
from torch import Tensor

from kdmri.analysis.comparison import Comparison, MeasuredMethod, find_slices, report_line
from kdmri.analysis.records import Measurements, Record
from kdmri.classical import METHODS, Chosen, choose
from kdmri.config.identity import comparison_name
from kdmri.console import console, print_notes
from kdmri.data import layout
from kdmri.data.batch import Batch, collate
from kdmri.data.build import build_datamodule
from kdmri.data.datamodule import MRIDataModule
from kdmri.data.reconstructions import write_reconstruction
from kdmri.errors import CheckpointError, ConfigurationError
from kdmri.experiment.plan import Plan
from kdmri.experiment.stages import Stage
from kdmri.files import write_text
from kdmri.hardware import all_digits, describe
from kdmri.metrics import MAIN_METRICS, SliceTable
from kdmri.metrics.volumes import VolumeMetrics
from kdmri.models import CascadedNetwork, load_network, network_settings
from kdmri.models.cost import flops, latencies
from kdmri.physics import seen, to_complex, truth
from kdmri.training.devices import first_device

CHOSEN_ON = 6
"""Selection slices, evenly spaced, on which classical methods choose their regularisation."""


def check_slices(config: DictConfig) -> None:
    """See whether the slices to show are there, before anything is trained.

    Raises:
        ConfigurationError: one is not.
    """
    if config.evaluation.slices != "telling":
        volumes = build_datamodule(config).dataset("evaluation").volumes
        find_slices(config.evaluation.slices, volumes)


def measure_stages(plan: Plan) -> Comparison | None:
    """Measure the stages asked for that are finished, and write all that a user looks at.

    Each stage's directory gets `results/*.h5`, `report.txt`, `metrics.json` and `slices.csv`; with
    more than one stage, a directory beside them gets `metrics.csv`, the table as Markdown and
    LaTeX, and `comparison.png`.

    Args:
        plan: what to measure.

    Returns:
        What was measured; None where the only stages asked for have no image to measure.

    Raises:
        CheckpointError: none of the stages asked for is finished.
        KdmriError: a checkpoint or the evaluation data cannot be used.
    """
    config, asked = plan.config, plan.asked
    finished = [stage for stage in asked if stage.finished]
    if not finished:
        raise CheckpointError(
            f"{asked[0].directory}: nothing is trained there yet; run train.py with the "
            f"same settings{_beside(asked[0])}"
        )
    stages = [
        stage
        for stage in finished
        if (stage.definition.reported or len(asked) == 1)
        and not stage.definition.under  # measured where it is at home
    ]
    if not stages:
        return None
    for stage in stages:
        stage.check_data()

    slices = _Slices(
        build_datamodule(config),
        first_device(config.trainer),
        config.evaluation.batch_size,
        config.evaluation.detailed,
    )
    print_notes(slices.data.doubts("evaluation"))
    classical = _classical(slices, config)
    measured = _measure_baselines(slices, classical)
    networks = {}
    for stage in stages:
        network = load_network(stage.checkpoint, network_settings(config[stage.network]))
        networks[stage.name] = network.to(slices.device).eval()
        measured.append(_measure_stage(slices, stage, network))
    weights = {one.label: one.weight for one in classical}
    _record(plan, slices, stages, networks, measured, weights)
    comparison = Comparison(config, slices.data, measured, classical)
    console().print(comparison.table.to_rich())
    if len(stages) > 1:
        last = stages[-1]
        folder = last.directory
        name = comparison_name(folder.name, last.config.name, last.name)
        comparison.save(folder.with_name(name))
        console().print(f"table and picture: {folder.with_name(name)}", highlight=False)
    return comparison


def _beside(stage: Stage) -> str:
    """Name what was trained under the same name with other settings."""
    prefix, folder = f"{stage.config.name}_", stage.directory.parent
    found = [
        p.parent.name
        for p in sorted(folder.glob("*/stage.json"))
        if p.parent.name.startswith(prefix)
    ]
    return f"; or give those that these were trained with: {', '.join(found)}" if found else ""


class _Slices(NamedTuple):
    """The slices that are measured, and how.

    Attributes:
        data: where they come from.
        device: what measures them.
        batch_size: slices at a time.
        detailed: measure HFN and VIF as well.
    """

    data: MRIDataModule
    device: torch.device
    batch_size: int
    detailed: bool

    def batches(self) -> Iterator[Batch]:
        """Read them all, in the order of volumes and slices, undersampled, on the device."""
        for slices in self.data.test_dataloader(self.batch_size):
            yield self.data.task(slices.to(self.device))

    def metrics(self) -> VolumeMetrics:
        """Begin to collect figures."""
        return VolumeMetrics(self.detailed).to(self.device)


def _record(
    plan: Plan,
    slices: _Slices,
    stages: list[Stage],
    networks: dict[str, CascadedNetwork],
    measured: list[MeasuredMethod],
    weights: dict[str, float],
) -> None:
    """Leave in each stage's directory what tables of many experiments need of it."""
    config, data = plan.config, slices.data
    evaluation = data.dataset("evaluation")
    means = {
        method.label: {metric: method.table.mean(metric) for metric in MAIN_METRICS}
        for method in measured
    }
    times: dict[str, float] = {}
    if config.evaluation.latency:
        batch = next(slices.batches())
        inputs = batch.select([0]).inputs
        runs = {name: partial(network, *inputs) for name, network in networks.items()}
        times = latencies(runs, config.evaluation.latency, slices.device)
    for stage, method in zip(stages, measured[-len(stages) :], strict=True):
        Measurements(
            dataset=config.dataset.title,
            task=config.task.title,
            stage=stage.name,
            label=method.label,
            seed=config.seed,
            parameters=method.parameters,
            flops=flops(networks[stage.name], evaluation.slice_size),
            milliseconds=times.get(stage.name),
            minutes=stage.minutes,
            teacher_minutes=stage.teacher_minutes,
            device=describe(slices.device),
            trained_on=stage.device,
            one_subject=config.dataset.one_subject,
            subjects=layout.subjects(evaluation.volumes),
            evaluated=data.splits.note,
            figures=means[method.label],
            input=data.describe_sampling("evaluation"),
            baselines={m.label: means[m.label] for m in measured if m.results is None},
            weights=weights,
            beside=_measured_beside(stage)
            | {
                name: other.directory.name
                for name, other in plan.stages.items()
                if other.directory.parent == stage.directory.parent
            },
        ).write(stage.directory, method.table)


def _measured_beside(stage: Stage) -> dict[str, str]:
    """Name what it was measured beside before: one stage alone knows of no control."""
    try:
        return Record.read(stage.directory).measured.beside
    except CheckpointError:
        return {}


@torch.inference_mode()
def _classical(slices: _Slices, config: DictConfig) -> list[Chosen]:
    """Choose how classical methods regularise, on selection slices; say which cannot be used.

    Raises:
        ConfigurationError: the data set is of one coil.
    """
    names = list(config.evaluation.baselines)
    if names and config.dataset.sensitivities is None:
        raise ConfigurationError(
            f"evaluation.baselines={names}: these are of several coils, and dataset="
            f"{config.dataset.name} is of one; give evaluation.baselines=[]"
        )
    usable = []
    for method in (METHODS[name] for name in names):
        if method.missing is None:
            usable.append(method)
        else:
            console().print(f"{method.label}: left out, {method.missing}", highlight=False)
    if not usable:
        return []
    selection = slices.data.dataset("selection")
    count = min(CHOSEN_ON, len(selection))
    places = [(2 * number + 1) * len(selection) // (2 * count) for number in range(count)]
    batches = [slices.data.task(collate([selection[place]]).to(slices.device)) for place in places]
    return [choose(method, batches) for method in usable]


@torch.inference_mode()
def _measure_baselines(slices: _Slices, classical: Sequence[Chosen]) -> list[MeasuredMethod]:
    """Measure what needs no network, such as the zero-filled image."""
    metrics: dict[str, VolumeMetrics] = {}
    for batch in slices.batches():
        images = slices.data.task.baselines(batch) | {c.label: c(batch) for c in classical}
        for label, image in images.items():
            if label not in metrics:
                metrics[label] = slices.metrics()
            _update(metrics[label], image, batch)
    return [MeasuredMethod(label, "baseline", 0, m.table(), None) for label, m in metrics.items()]


@torch.inference_mode()
def _measure_stage(slices: _Slices, stage: Stage, network: CascadedNetwork) -> MeasuredMethod:
    """Reconstruct every evaluation slice once; write the volumes and the line of figures."""
    names = [volume.name for volume in slices.data.dataset("evaluation").volumes]
    results = stage.directory / "results"
    table = reconstruct_and_measure(network, slices.batches(), names, results, slices.metrics())
    write_text(stage.directory / "report.txt", report_line(table) + "\n")
    parameters = sum(p.numel() for p in network.parameters())
    return MeasuredMethod(stage.definition.label, stage.name, parameters, table, results)


@all_digits()
@torch.inference_mode()
def reconstruct_and_measure(
    network: CascadedNetwork,
    batches: Iterable[Batch],
    names: Sequence[str],
    results: Path,
    metrics: VolumeMetrics,
) -> SliceTable:
    """Reconstruct slices volume by volume, write each volume, and measure.

    Args:
        network: on the device of the batches.
        batches: all slices of all volumes in their order.
        names: of the volumes.
        results: directory that gets `{name}.h5`.
        metrics: collects the figures, on that device.

    Returns:
        One row a slice.
    """
    network.eval()
    slices: list[np.ndarray] = []
    open_volume = 0
    for batch in batches:
        output = torch.cat([network(*part.inputs) for part in batch.parts()])
        _update(metrics, output, batch)
        for volume, image in zip(
            batch.volume.tolist(), _stored_form(batch.shown(output)), strict=True
        ):
            if volume != open_volume:
                write_reconstruction(results / f"{names[open_volume]}.h5", np.stack(slices))
                slices, open_volume = [], volume
            slices.append(image)
    write_reconstruction(results / f"{names[open_volume]}.h5", np.stack(slices))
    return metrics.table()


def _update(metrics: VolumeMetrics, image: Tensor, batch: Batch) -> None:
    found, wanted = seen(image, batch), truth(batch)
    metrics.update(found, wanted, batch.data_range, batch.volume, batch.slice)


def _stored_form(output: Tensor) -> np.ndarray:
    """Bring (B, C, H, W) to (B, H, W), complex for two channels."""
    image = output if output.shape[1] == 1 else to_complex(output)
    return image[:, 0].cpu().numpy()
