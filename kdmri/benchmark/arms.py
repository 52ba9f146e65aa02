"""Which class does a work in which arm."""

from pathlib import Path

from kdmri.benchmark.setting import Setting
from kdmri.benchmark.steps import FileStep, ReferenceStep, SuiteStep
from kdmri.benchmark.volumes import Evaluation, ReferenceLoading, SuiteLoading
from kdmri.benchmark.works import Inference, Peak, Work


def build(setting: Setting, arm: str, work: str, folder: Path) -> Work:
    """Build a work of an arm.

    Args:
        setting: what it is done on.
        arm: "suite", "reference", "bound" for what the suite cannot be faster than, or
            "uncaptured" for a step on a GPU that starts each kernel by itself.
        work: such as "teacher inference" or "kd step, flips".
        folder: for files that it needs.
    """
    kind, _, rest = work.partition(", ")
    role, _, what = kind.partition(" ")
    match arm, what:
        case "bound", "inference":
            return Peak(setting)
        case "bound", "evaluation":
            return Inference(setting, role, plain=False)
        case "bound", "step":
            return SuiteStep(setting, role, "")
        case "suite", "step":
            files = rest == "files"
            return FileStep(setting, role, folder) if files else SuiteStep(setting, role, rest)
        case "uncaptured", "step":
            return SuiteStep(setting, role, rest, captured=False)
        case _, "served":
            from kdmri.benchmark import serving  # ISMRMRD would count in all memory

            return (serving.Served if arm == "suite" else serving.Alone)(setting, role, folder)
        case "suite", "evaluation":
            return Evaluation(setting, role, folder)
        case "reference", "step":
            return ReferenceStep(setting, role)
        case _, "inference":
            return Inference(setting, role, plain=arm == "reference")
    return (SuiteLoading if arm == "suite" else ReferenceLoading)(setting, folder)
