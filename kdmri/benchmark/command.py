"""What `kdmri benchmark` does once its words were read."""

import json
import os
import platform
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from rich.table import Table

from kdmri.benchmark import chains, coils, scaling
from kdmri.benchmark.measuring import Plan, Repetitions, measure
from kdmri.benchmark.setting import Setting
from kdmri.benchmark.works import Peak
from kdmri.console import console
from kdmri.errors import ConfigurationError
from kdmri.files import write_text
from kdmri.models import network_settings

CHAINS = {"start-up": chains.start_up, "demo": chains.demo}
SCALING = "scaling"
WORKS = (
    *("teacher inference", "student inference"),
    *(f"{stage} step" for stage in ("teacher", "student", "feature", "kd")),
    *(f"{stage} step, {how}" for stage in ("feature", "kd") for how in ("flips", "first visit")),
    *("student step, files", "loading", "teacher evaluation", "student evaluation"),
    "student served",
    *(*coils.ROWS, coils.GROUP, SCALING),
    *CHAINS,
)

Arms = dict[str, Repetitions]


def benchmark(config: DictConfig) -> None:
    """Measure every work that was asked for, print the table, write the JSON file."""
    plan = _plan(config)
    if list(config.works) == [SCALING]:
        torch.set_num_threads(plan.threads or torch.get_num_threads())
        console().print(scaling.table())
        return
    threads = plan.threads or torch.get_num_threads()
    machine = f"{_machine(config.device)}, {os.cpu_count()} CPUs, {threads} threads"
    machine += f", load {os.getloadavg()[0]:.1f} at the start"
    results: dict[str, Arms] = {}
    try:
        _measure(config, plan, results, machine)
    finally:  # a work that fails, or Ctrl-C, leaves what was measured before it
        _print(config, plan, results, machine)


def _measure(config: DictConfig, plan: Plan, results: dict[str, Arms], machine: str) -> None:
    earlier = None if config.earlier is None else Path(config.earlier).absolute()
    with console(stderr=True).status("measuring") as status:
        for work in _rows(config.works):
            status.update(work)
            if work in coils.ROWS:
                arms, note = coils.arms(work, config.against)
                if note is not None:
                    console(stderr=True).print(f"left out: {note}", highlight=False)
                results[work] = measure(plan, work, arms)
            elif work in CHAINS:
                results[work] = CHAINS[work](earlier)
            else:
                results[work] = measure(plan, work, _arms(work, config.against, config.device))
            if config.json is not None:
                _write(Path(config.json), machine, config, plan, results)


def _rows(works: list[str]) -> list[str]:
    """Return the works that words stand for."""
    found = [coils.ROWS if work == coils.GROUP else [work] for work in works]
    return [work for group in found for work in group]


def _print(config: DictConfig, plan: Plan, results: dict[str, Arms], machine: str) -> None:
    if not results:
        return
    size = "x".join(map(str, plan.setting.size))
    title = (
        f"{machine}\n{size}, steps of {config.batch_size} slices; suite in {config.precision}, "
        f"reference in 32-true; median (quartiles) of {config.rounds}"
    )
    console().print(_table(title, plan.setting, results))
    console().print(_networks(plan.setting), highlight=False)


def _plan(config: DictConfig) -> Plan:
    """Check the configuration as a whole.

    Raises:
        ConfigurationError: names the key, what was given and what is allowed.
    """
    for work in config.works:
        if work not in WORKS:
            raise ConfigurationError(f"works={work}: must be among {'; '.join(WORKS)}")
        if work == SCALING and len(config.works) > 1:
            raise ConfigurationError(f"works={work}: is a table of its own, works=[{SCALING}]")
    if config.earlier is not None and not (Path(config.earlier) / "kdmri").is_dir():
        raise ConfigurationError(f"earlier={config.earlier}: is no checkout of kdmri")
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ConfigurationError("device=cuda: PyTorch finds no GPU here")
    if config.slices < config.batch_size:
        raise ConfigurationError(f"slices={config.slices}: must be at least batch_size")
    plain: Any = OmegaConf.to_container(config, resolve=True)
    setting = Setting(
        networks={role: network_settings(plain[role]) for role in ("teacher", "student")},
        size=tuple(plain["size"]),
        **{k: plain[k] for k in ("batch_size", "slices", "device", "precision", "seed")},
    )
    if config.against is not None:
        setting.reference("teacher"), setting.reference("student")
    return Plan(setting, config.rounds, config.warm_up, config.threads)


def _arms(work: str, against: str | None, device: str) -> list[str]:
    """Say what is measured side by side.

    The bound of inference is a convolution, that of an evaluation its network, and that of a step
    that reads files the same step without reading; that of a served slice its sensitivities and its
    network. A step on a GPU is measured without its CUDA
    graph as well.
    """
    evaluation, files = work.endswith("evaluation"), work.endswith("files")
    served = work.endswith("served")
    bounded = evaluation or files or served or work.endswith("inference")
    compared = against is not None and not evaluation and not files and not served
    graphs = device == "cuda" and "step" in work and not files
    return [
        "suite",
        *(["uncaptured"] if graphs else []),
        *(["reference"] if compared else []),
        *(["bound"] if bounded else []),
    ]


def _table(title: str, setting: Setting, results: dict[str, Arms]) -> Table:
    table = Table(title=title)
    table.add_column("work")
    for column in ("suite, ms", "reference, ms", "ratio", "of the bound", "peak MiB"):
        table.add_column(column, justify="right", no_wrap=True)
    for work, arms in results.items():
        table.add_row(work, *_row(setting, work, arms))
        if "uncaptured" in arms:
            others = {**arms, "suite": arms["uncaptured"]}
            table.add_row(f"{work}, uncaptured", *_row(setting, work, others))
    return table


def _row(setting: Setting, work: str, arms: Arms) -> list[str]:
    suite, plain = arms["suite"], arms.get("reference")
    peaks = [arms[arm].peak_mib for arm in ("suite", "reference") if arm in arms]
    memory = [f"{peak:,.0f}" if peak else "–" for peak in peaks]
    return [
        _time(work, suite),
        _time(work, plain) if plain else "–",
        f"{_comparable(work, plain) / _comparable(work, suite):.2f}" if plain else "–",
        _of_the_bound(setting, work, arms),
        " / ".join(memory),
    ]


def _comparable(work: str, arm: Repetitions) -> float:
    """Return seconds of a slice; of a whole step, start or chain."""
    return arm.median if "step" in work or work in CHAINS else arm.a_slice


def _time(work: str, arm: Repetitions) -> str:
    """Write milliseconds, such as 29.1 (28.8–30.2)."""
    share = 1e3 * _comparable(work, arm) / arm.median
    digits = 0 if share * arm.median > 100 else 1 if share * arm.median > 1 else 2
    return "{} ({}–{})".format(
        *(f"{share * seconds:,.{digits}f}" for seconds in (arm.median, *arm.quartiles))
    )


def _of_the_bound(setting: Setting, work: str, arms: Arms) -> str:
    """Say how near the suite comes to what bounds it."""
    if "bound" not in arms:
        return "–"
    suite, bound = arms["suite"], arms["bound"]
    if not work.endswith("inference"):
        return f"{bound.a_slice / suite.a_slice:.0%}"
    peak = Peak.flops(setting) / bound.a_slice
    reached = setting.flops(work.split()[0]) / suite.a_slice
    return f"{reached / peak:.0%} of {peak / 1e9:,.0f} GFLOP/s"


def _networks(setting: Setting) -> str:
    return "; ".join(
        f"{role}: {setting.parameters(role):,} parameters, {setting.flops(role) / 1e9:.2f} GFLOP"
        for role in setting.networks
    )


def _machine(device: str) -> str:
    if device == "cuda":
        return torch.cuda.get_device_name()
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _write(
    path: Path, machine: str, config: DictConfig, plan: Plan, results: dict[str, Arms]
) -> None:
    """Write every figure, in seconds and MiB."""
    figures = {
        "machine": machine,
        "torch": torch.__version__,
        "settings": OmegaConf.to_container(config, resolve=True),
        "networks": {
            role: {"parameters": plan.setting.parameters(role), "flops": plan.setting.flops(role)}
            for role in plan.setting.networks
        },
        "peak_flops": {
            work: Peak.flops(plan.setting) / arms["bound"].a_slice
            for work, arms in results.items()
            if work.endswith("inference")
        },
        "works": {
            work: {arm: asdict(m) | {"median": m.median} for arm, m in arms.items()}
            for work, arms in results.items()
        },
    }
    write_text(path, json.dumps(figures, indent=2))
