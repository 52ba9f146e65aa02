"""Reconstructs volumes: two passes over each, one batch of slices in memory."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from kdmri.data.readers.base import Reader, SourceVolume
from kdmri.data.readers.slices import checked
from kdmri.errors import DataError
from kdmri.hardware import all_digits
from kdmri.metrics import VolumeMetrics
from kdmri.models.trained import Trained
from kdmri.physics import magnitude, to_complex
from kdmri.reconstruct.coil_feeding import CoilFeed, feed_coils
from kdmri.reconstruct.feeding import Feed, feed
from kdmri.reconstruct.output import Begin, Result
from kdmri.reconstruct.survey import survey
from kdmri.reconstruct.writing import Target, opened

Progress = Callable[[str, int, int], None]
"""Called with the name of a volume, how many of its slices are done, and how many there are."""


@dataclass
class Done:
    """What became of the volumes.

    Attributes:
        names: of the volumes that were written, by index.
        slices: how many slices were written.
        metrics: of the reconstructions and of the network's input, where there are targets.
        notes: how inputs came about, with the number of volumes that each holds for.
        errors: volumes that were left out, and why.
    """

    names: dict[int, str]
    slices: int
    metrics: dict[str, VolumeMetrics]
    notes: dict[str, int]
    errors: list[str]


def reconstruct_volumes(
    trained: Trained,
    reader: Reader,
    found: list[Target],
    batch_size: int,
    padded: tuple[int, int] | None,
    device: torch.device,
    progress: Progress,
) -> Done:
    """Reconstruct all volumes of all targets; a target with a volume that fails is left out.

    Args:
        trained: the network and its task.
        reader: of the volumes.
        found: where they go.
        batch_size: slices that pass the network together.
        padded: (H, W) that slices are padded to; the padding is undone.
        device: where to compute.
        progress: called with each batch.
    """
    trained.network.to(device)
    done = Done({}, 0, {}, {}, [])
    index = 0
    for target in found:
        part = Done({}, 0, done.metrics, {}, [])
        facts = {"checkpoint": Path(trained.path).name, "network": trained.label()}
        try:
            with opened(target, reader, facts) as begin:
                for volume in target.volumes:
                    index += 1
                    one = fed(volume, trained, padded, index, batch_size, device)
                    reconstruct_volume(one, begin, batch_size, device, progress, part)
                    for description in one.notes(reader.raw):
                        part.notes[description] = part.notes.get(description, 0) + 1
        except DataError as error:
            done.errors.append(str(error))
            continue
        done.names |= part.names
        done.slices += part.slices
        for note, count in part.notes.items():
            done.notes[note] = done.notes.get(note, 0) + count
    return done


@all_digits()
@torch.inference_mode()
def fed(
    volume: SourceVolume,
    trained: Trained,
    padded: tuple[int, int] | None,
    index: int,
    batch_size: int,
    device: torch.device,
) -> Feed | CoilFeed:
    """Look at a volume, of several coils where the network and the volume are.

    Args:
        volume: to read.
        trained: the network and its task.
        padded: (H, W) that slices are padded to; the padding is undone.
        index: of the volume, for metrics.
        batch_size: slices whose sensitivities are estimated together.
        device: where to compute.

    Raises:
        DataError: the network cannot take it; says why.
    """
    first = next(checked(volume), None) if trained.estimate is not None else None
    if trained.estimate is not None and first is not None and first.kspace_coils is not None:
        return feed_coils(volume, trained, trained.estimate, padded, index, batch_size, device)
    return feed(volume, survey(volume), trained, padded, index)


@all_digits()
@torch.inference_mode()
def reconstruct_volume(
    one: Feed | CoilFeed,
    begin: Begin,
    batch_size: int,
    device: torch.device,
    progress: Progress,
    done: Done,
) -> None:
    """Reconstruct one volume.

    Args:
        one: what `fed` gave.
        begin: takes its images.
        batch_size: slices that pass the network together.
        device: where to compute.
        progress: called with each batch.
        done: gets its name, its slices and, where there are targets, its metrics.

    Raises:
        DataError: it cannot be read, or the network makes NaN or infinite values of it.
    """
    write = begin(Result(one.volume, one.scale, one.count, one.size))
    count, name = one.count, one.volume.name
    progress(name, 0, count)
    written = 0
    for batch in one.batches(batch_size, device):
        output = one.trained.network(*batch.inputs)
        if not output.isfinite().all():
            raise DataError(
                f"{one.volume.files[0]}: the network ({one.trained.path}) makes NaN or infinite "
                "values of it"
            )
        if one.has_target:
            images = {"Input": batch.image, "Reconstruction": output}
            for label, image in images.items():
                metrics = done.metrics.setdefault(label, VolumeMetrics().to(device))
                metrics.update(
                    magnitude(one.shown(image)),
                    magnitude(one.shown(batch.target)),
                    batch.data_range,
                    batch.volume,
                    batch.slice,
                )
        shown = one.shown(output)
        values = shown if shown.shape[1] == 1 else to_complex(shown)
        for image in values[:, 0].cpu().numpy():
            write(written, image)
            written += 1
        progress(name, written, count)
    done.names[one.index] = name
    done.slices += written
