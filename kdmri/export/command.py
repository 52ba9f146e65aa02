"""What `kdmri export` does once its words were read."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf

from kdmri.analysis.tables import Table
from kdmri.console import console, print_notes
from kdmri.data.batch import Batch
from kdmri.data.readers.detect import find_volumes
from kdmri.errors import ConfigurationError, DataError, KdmriError
from kdmri.export.card import card
from kdmri.export.checking import Agreement, Bound, Runner, compare_outputs
from kdmri.export.consistency import Exportable
from kdmri.export.files import (
    need_packages,
    read_torch,
    write_onnx,
    write_quantised,
    write_torch,
)
from kdmri.export.openvino import WRITERS, need_openvino
from kdmri.export.runners import (
    arrays,
    network_runner,
    onnx_runner,
    openvino_runner,
    torch_runner,
)
from kdmri.export.slices import as_inputs, head_slices, read_slices
from kdmri.files import sha256, write_text
from kdmri.models.cost import latencies
from kdmri.models.shipped import is_shipped
from kdmri.models.trained import Trained, open_checkpoint
from kdmri.reconstruct.command import find_reader
from kdmri.reconstruct.runtime import Note, line_axis


def export(config: DictConfig) -> None:
    """Export and check, or verify a file that is there, as a configuration says."""
    _check(config)
    if config.format.name != "torch_export" or config.verify is not None:
        need_packages()
    if config.format.name == "openvino" and config.verify is None:
        need_openvino()
    trained = open_checkpoint(config.checkpoint, config.mask, config.sr_scale)
    batches = _slices(config, trained)
    axis = line_axis(batches[0].mask) if trained.is_consistent else None
    if config.verify is not None:
        verify(config, trained, axis, batches)
        return
    folder = Path(config.output or _beside(trained, config))
    if folder.exists() and not config.overwrite:
        raise ConfigurationError(
            f"output={folder}: exists; name another, or replace it with overwrite=true"
        )
    with _made_aside(folder) as aside:
        _export(config, trained, axis, batches, aside)
    console().print(f"written: {folder}", highlight=False, soft_wrap=True)


def _check(config: DictConfig) -> None:
    """Check choices before anything is read; raises ConfigurationError."""
    if "precisions" not in config.format:
        raise ConfigurationError("format: must be onnx, openvino or torch_export to be written")
    if config.precision is None:
        config.precision = config.format.precisions[0]
    if config.precision not in config.format.precisions:
        raise ConfigurationError(
            f"precision={config.precision}: format={config.format.name} has "
            f"{', '.join(config.format.precisions)}"
        )
    for precision, bound in config.bounds.items():
        if not OmegaConf.is_dict(bound):
            raise ConfigurationError(
                f"bounds.{precision}={bound}: has two parts, such as "
                f"bounds.{precision}.difference=1e-3 and bounds.{precision}.psnr=0.1"
            )
    if config.verify is not None and str(config.verify).endswith(".pt2"):
        raise ConfigurationError(
            f"verify={config.verify}: opening a .pt2 file unpickles parts of it (torch.export.load "
            "calls pickle.loads and torch.load without weights_only), so a file of somebody else "
            "could run any code; ask for ONNX"
        )


def _slices(config: DictConfig, trained: Trained) -> list[Batch]:
    """Return the slices of check and calibration, the former first."""
    count = config.check_slices
    quantised = config.precision in ("int8", "fastest")
    if quantised and config.verify is None:
        count += config.calibration_slices
    if config.slices is None:
        found = head_slices(trained, count)
    else:
        source = Path(config.slices)
        volumes = find_volumes(find_reader(None, source), source)
        print_notes(note for volume in volumes for note in volume.notes)
        found = read_slices(volumes, trained, count)
    if len(found) < count and quantised:
        raise DataError(f"slices: {len(found)} there, int8 needs {count} to check and calibrate")
    spread = np.random.default_rng(0).permutation(len(found))  # both kinds from everywhere
    return [found[number] for number in spread]


def _beside(trained: Trained, config: DictConfig) -> Path:
    name = f"{trained.path.stem}_{config.format.name}_{config.precision}"
    return Path(name) if is_shipped(trained.path) else trained.path.with_name(name)


@contextmanager
def _made_aside(folder: Path) -> Iterator[Path]:
    """Yield a folder that takes the place of `folder` when the block ends well."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            yield aside
            aside.chmod(0o755)
            if folder.is_dir():
                shutil.rmtree(folder)
            aside.replace(folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        raise KdmriError(f"{folder}: cannot be written ({error})") from error


def _export(
    config: DictConfig,
    trained: Trained,
    axis: int | None,
    batches: list[Batch],
    folder: Path,
) -> None:
    """Write network and README, refuse what differs too much, and print how it does."""
    precision, kind = config.precision, config.format.name
    plain, several = folder / "float32.onnx", trained.estimate is not None
    network = Exportable(trained.network, axis, precision == "float16", several)
    example = {
        key: value if key in ("lines", "mask") else torch.cat((value, value))
        for key, value in as_inputs(network, batches[0]).items()
    }
    checked, rest = batches[: config.check_slices], batches[config.check_slices :]
    calibration = [arrays(as_inputs(network, batch)) for batch in rest]
    runners: dict[str, Runner] = {"PyTorch float32": network_runner(trained)}
    sizes = {"PyTorch float32": trained.path.stat().st_size}
    written = {precision: folder / f"model.{config.format.ending}"}
    if kind == "torch_export":
        write_torch(written[precision], network, example)
        runners[f"torch.export {precision}"] = torch_runner(read_torch(written[precision]), network)
    else:
        whole = Exportable(trained.network, axis, several_coils=several)
        write_onnx(plain, whole, example)
        runners["ONNX float32"] = onnx_runner(plain, whole)
        sizes["ONNX float32"] = plain.stat().st_size
    if kind == "openvino":
        choices = list(WRITERS) if precision == "fastest" else [precision]
        written = {choice: folder / f"{choice}.xml" for choice in choices}
        for choice, path in written.items():
            WRITERS[choice](path, plain, calibration)
            runners[f"OpenVINO {choice}"] = openvino_runner(path, network)
    elif kind == "onnx":
        path = written[precision]
        if precision == "int8":
            write_quantised(path, plain, calibration)
        elif precision == "float16":
            write_onnx(path, network, example)
        else:
            plain.rename(path)
        runners[f"ONNX {precision}"] = onnx_runner(path, network)
    names = dict(zip(written, list(runners)[-len(written) :], strict=True))
    sizes |= {names[choice]: _size(path) for choice, path in written.items()}
    compared = {
        key: compare_outputs(run, runners["PyTorch float32"], checked, network.network.noise_floor)
        for key, run in runners.items()
    }
    plain.unlink(missing_ok=True)
    allowed = _allowed(config, {choice: compared[name] for choice, name in names.items()})
    taken = latencies(
        {key: partial(run, checked[0]) for key, run in runners.items()}, config.repeats
    )
    table = _table(compared, sizes, taken, checked)
    console().print(table.to_rich())
    chosen = min(allowed, key=lambda choice: taken[names[choice]])
    path, last = _kept(folder, written, chosen), compared[names[chosen]]
    if len(written) > 1:
        times = taken["PyTorch float32"] / taken[names[chosen]]
        console().print(f"taken: {chosen}, {times:.1f} times as fast as PyTorch", highlight=False)
    console().print(f"{names[chosen]}: {last.describe()}", highlight=False)
    text = card(trained, network, path.name, chosen, checked[0], last, len(checked), table)
    write_text(folder / "README.md", text)
    Note(path.name, kind, chosen, sha256(trained.path), network.inputs, axis).write(folder)


def _size(path: Path) -> int:
    """Return the bytes of a file, with its weights where OpenVINO has them beside it."""
    return sum(part.stat().st_size for part in {path, path.with_suffix(".bin")} if part.is_file())


def _allowed(config: DictConfig, compared: dict[str, Agreement]) -> list[str]:
    """Return the choices within their bounds; raises KdmriError where there is none."""
    refused: KdmriError | None = None
    allowed = []
    for precision, one in compared.items():
        own = f"{config.format.name}_{precision}"
        bound = Bound(**config.bounds[own if own in config.bounds else precision])
        try:
            bound.check(one, f"{config.format.name} {precision}")
            allowed.append(precision)
        except KdmriError as error:
            refused = error
            if len(compared) > 1:
                console().print(f"left out: {error}", highlight=False, soft_wrap=True)
    if refused is not None and not allowed:
        raise refused
    return allowed


def _kept(folder: Path, written: dict[str, Path], chosen: str) -> Path:
    """Keep the files of one choice, under the name that all exports have."""
    for choice, path in written.items():
        for part in {path, path.with_suffix(".bin")}:
            if choice != chosen:
                part.unlink(missing_ok=True)
            elif part.is_file():
                part.rename(folder / f"model{part.suffix}")
    return folder / f"model{written[chosen].suffix}"


def verify(config: DictConfig, trained: Trained, axis: int | None, batches: list[Batch]) -> None:
    """Run a file of somebody else beside the network; raises KdmriError where they differ."""
    path = Path(config.verify)
    several = trained.estimate is not None
    run = onnx_runner(path, Exportable(trained.network, axis, several_coils=several))
    floor = trained.network.noise_floor
    compared = compare_outputs(run, network_runner(trained), batches, floor)
    console().print(f"{path}: {compared.describe()}", highlight=False, soft_wrap=True)
    Bound(**config.bounds[config.precision]).check(compared, str(path))


def _table(
    compared: dict[str, Agreement],
    sizes: dict[str, int],
    taken: dict[str, float],
    batches: list[Batch],
) -> Table:
    height, width = batches[0].target.shape[-2:]
    rows = [
        [
            name,
            f"{sizes[name] / 1000:.0f}",
            f"{taken[name]:.1f}",
            f"{one.psnr:.2f}",
            f"{one.change:+.3f}",
            f"{one.difference:.1e}",
        ]
        for name, one in compared.items()
    ]
    return Table(
        title=f"{len(batches)} slices of {height}x{width}",
        header=["", "kB", "ms a slice", "PSNR dB", "change", "largest difference"],
        rows=rows,
        notes=[
            f"Median of runs in turns, one slice at a time, {torch.get_num_threads()} CPU threads"
        ],
    )
