"""Measure how fast the suite is here: `python -m kdmri.benchmark --help`."""

import json
import platform
from dataclasses import asdict
from pathlib import Path
from typing import Any

import hydra
import torch
from omegaconf import DictConfig, OmegaConf
from rich.table import Table

from kdmri.benchmark.measuring import START_UP, Measured, Plan, measure, peak_flops
from kdmri.benchmark.works import Setting, flops, parameters
from kdmri.console import console, one_line_errors
from kdmri.errors import ConfigurationError
from kdmri.files import write_text
from kdmri.models import network_settings

WORKS = (
    *("teacher inference", "student inference"),
    *(f"{stage} step" for stage in ("teacher", "student", "feature", "kd")),
    *("feature step, first visit", "kd step, first visit", "loading", "evaluation", START_UP),
)
ALONE = ("evaluation", START_UP)
"""Works that the reference has no counterpart of."""


@hydra.main(version_base="1.3", config_path="../../configs", config_name="benchmark")
@one_line_errors
def main(config: DictConfig) -> None:
    """Measure every work that was asked for, print the table, write the JSON file."""
    plan = _plan(config)
    terminal = console()
    terminal.print(f"{_machine(config.device)}, torch {torch.__version__}", highlight=False)
    results = {}
    for work in config.works:
        arms = [
            "suite",
            *(["reference"] if config.against and work not in ALONE else []),
            *(["bound"] if work == "evaluation" or work.endswith("inference") else []),
        ]
        results[work] = measure(plan, work, arms)
        terminal.print(f"{work}: done", style="dim")
    terminal.print(_table(plan, results))
    for role in ("teacher", "student"):
        terminal.print(
            f"{role}: {parameters(plan.setting, role):,} parameters, "
            f"{flops(plan.setting, role) / 1e9:.2f} GFLOP a slice",
            highlight=False,
        )
    if config.json is not None:
        _write(Path(config.json), config, plan, results)


def _plan(config: DictConfig) -> Plan:
    """Check the configuration.

    Raises:
        ConfigurationError: names the key, what was given and what is allowed.
    """
    allowed = {
        "against": ("reference", None),
        "clock": ("wall", "cpu"),
        "device": ("cpu", "cuda"),
        "precision": ("32-true", "bf16-mixed"),
    }
    for key, values in allowed.items():
        if config[key] not in values:
            raise ConfigurationError(f"{key}={config[key]}: must be one of {values}")
    for work in config.works:
        if work not in WORKS:
            raise ConfigurationError(f"works={work}: must be among {', '.join(WORKS)}")
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ConfigurationError("device=cuda: PyTorch finds no GPU here")
    if config.slices < config.batch_size:
        raise ConfigurationError(f"slices={config.slices}: must be at least batch_size")
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    height, width = plain["size"]
    setting = Setting(
        teacher=network_settings(plain["teacher"]),
        student=network_settings(plain["student"]),
        size=(height, width),
        **{k: plain[k] for k in ("batch_size", "slices", "device", "precision", "seed")},
    )
    return Plan(setting, config.rounds, config.warm_up, config.threads, config.clock)


def _table(plan: Plan, results: dict[str, dict[str, Measured]]) -> Table:
    steps, size = plan.setting.batch_size, "x".join(map(str, plan.setting.size))
    table = Table(title=f"{size}, steps of {steps} slices; median (quartiles), {plan.clock} clock")
    for column in ("work", "suite", "reference", "ratio", "of the bound", "peak memory"):
        table.add_column(column, justify="left" if column == "work" else "right")
    for work, arms in results.items():
        suite, reference = arms["suite"], arms.get("reference")
        table.add_row(
            work,
            _time(suite),
            _time(reference) if reference else "–",
            f"{reference.median / suite.median:.2f}" if reference else "–",
            _bound(plan, work, arms),
            " / ".join(f"{arms[a].peak_mib:,.0f}" for a in ("suite", "reference") if a in arms)
            + " MiB"
            if suite.peak_mib
            else "–",
        )
    return table


def _time(measured: Measured) -> str:
    """Write milliseconds, such as 29.1 (28.8 to 30.2) ms."""
    low, high = measured.quartiles
    digits = 2 if measured.median < 1e-3 else 1 if measured.median < 1 else 0
    shown = (f"{1e3 * value:,.{digits}f}" for value in (measured.median, low, high))
    return "{} ({} to {}) ms".format(*shown)


def _bound(plan: Plan, work: str, arms: dict[str, Measured]) -> str:
    """Write the share of the convolution peak, or evaluation's time over its network's."""
    if "bound" not in arms:
        return "–"
    if work == "evaluation":
        network = arms["bound"].median / plan.setting.slices
        return f"{arms['suite'].median / network:.2f} of network"
    peak = peak_flops(plan, arms["bound"])
    reached = flops(plan.setting, work.split()[0]) / arms["suite"].median
    return f"{reached / peak:.0%} of {peak / 1e9:.0f} GFLOP/s"


def _machine(device: str) -> str:
    if device == "cuda":
        return torch.cuda.get_device_name()
    model = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.is_file():
        lines = information.read_text().splitlines()
        names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
        model = f"{len(names)} x {names[0]}" if names else model
    return model


def _write(
    path: Path, config: DictConfig, plan: Plan, results: dict[str, dict[str, Measured]]
) -> None:
    """Write every figure, in seconds and MiB."""
    figures: dict[str, Any] = {
        "machine": _machine(config.device),
        "torch": torch.__version__,
        "settings": OmegaConf.to_container(config, resolve=True),
        "flops": {role: flops(plan.setting, role) for role in ("teacher", "student")},
        "parameters": {role: parameters(plan.setting, role) for role in ("teacher", "student")},
        "works": {
            work: {arm: asdict(m) | {"median": m.median} for arm, m in arms.items()}
            for work, arms in results.items()
        },
    }
    write_text(path, json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
