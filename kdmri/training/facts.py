"""What a checkpoint tells beside its weights, so that a lone file can be used on a scan."""

from typing import Any

from omegaconf import DictConfig, OmegaConf

from kdmri.models.stored import FORMAT, SCALING, SCALING_OF_COILS
from kdmri.physics.stored import task_settings


def checkpoint_facts(config: DictConfig, stage: str, size: tuple[int, int]) -> dict[str, Any]:
    """Return plain values without paths: task, data and conventions of a stage.

    Args:
        config: the resolved configuration.
        stage: name of the stage.
        size: (H, W) of the training slices.
    """
    sampling: Any = OmegaConf.to_container(config.task.sampling, resolve=True)
    dataset = config.dataset
    estimate = dataset.sensitivities
    several = estimate is not None
    return {
        "format": FORMAT,
        "stage": stage,
        "task": {"name": config.task.name, "sampling": task_settings(sampling, size)},
        "data": {
            "name": dataset.name,
            "title": dataset.title,
            "licence": dataset.licence,
            "one_subject": dataset.one_subject,
            "channels": dataset.channels,
            "slice_size": list(size),
        },
        "coils": several,
        "sensitivities": OmegaConf.to_container(estimate, resolve=True) if several else None,
        "scaling": SCALING_OF_COILS if several else SCALING,
    }
