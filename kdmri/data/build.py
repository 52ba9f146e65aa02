"""The data module of a configuration."""

from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from kdmri.data.datamodule import MRIDataModule


def build_datamodule(config: DictConfig) -> MRIDataModule:
    """Build the data module of a configuration; nothing is read yet."""
    dataset = OmegaConf.to_container(config.dataset, resolve=True)
    assert isinstance(dataset, dict)
    return MRIDataModule(
        task=instantiate(config.task.sampling),
        folder=Path(config.paths.datasets) / dataset["name"],
        acceleration=config.acceleration.name,
        batch_size=config.batch_size,
        seed=config.seed,
        channels=dataset["channels"],
        image_size=dataset["image_size"],
        selection=dataset["selection"],
        stored_kspace=dataset["stored_kspace"],
        flips=config.augmentation.flips,
        transform=instantiate(config.augmentation.transform),
        num_workers=config.num_workers,
        cache_gib=config.cache_gib,
        build=instantiate(config.dataset.build),
        sensitivities=instantiate(config.dataset.sensitivities),
    )
