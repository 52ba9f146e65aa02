"""Measurements of a stage as evaluation would leave them."""

from typing import Any

from kdmri.analysis.records import Measurements

PLAIN: dict[str, Any] = {
    "dataset": "Set",
    "task": "4x",
    "seed": 42,
    "parameters": 49285,
    "flops": 2_500_000_000,
    "milliseconds": None,
    "minutes": 1.0,
    "teacher_minutes": 0.0,
    "device": "CPU",
    "one_subject": False,
    "subjects": [],
    "evaluated": "test slices",
    "baselines": {},
}


def measurements(**given: Any) -> Measurements:
    """Return measurements of which only what matters is given."""
    return Measurements(**PLAIN | given)
