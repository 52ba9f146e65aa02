"""Reconstructs volumes: two passes over each, one batch of slices in memory."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from kdmri.data.batch import Batch
from kdmri.data.readers.base import Reader, SourceVolume
from kdmri.errors import DataError
from kdmri.files import sha256
from kdmri.hardware import all_digits
from kdmri.models.trained import Trained
from kdmri.physics import magnitude, to_complex
from kdmri.reconstruct.coil_feeding import CoilFeed, feed_coils
from kdmri.reconstruct.feeding import Feed, feed
from kdmri.reconstruct.output import Result, Write
from kdmri.reconstruct.scan_page import TARGET, Recorded, Recorder, ScanPage
from kdmri.reconstruct.survey import survey
from kdmri.reconstruct.writing import Target, opened

if TYPE_CHECKING:
    from kdmri.metrics.volumes import VolumeMetrics

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
    metrics: "dict[str, VolumeMetrics]"
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
    anonymous: bool = False,
    page: ScanPage | None = None,
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
        anonymous: whether DICOM files leave out who was scanned.
        page: is given the slices of all volumes that are written.
    """
    trained.network.to(device)
    done = Done({}, 0, {}, {}, [])
    digest = sha256(trained.path)
    facts = {
        "checkpoint": trained.path.name,
        "checkpoint_sha256": digest,
        "network": trained.label(),
    }
    index = 0
    for target in found:
        part, shown = Done({}, 0, done.metrics, {}, []), list[Recorded]()
        try:
            with opened(target, reader, facts, anonymous) as begin:
                for volume in target.volumes:
                    index += 1
                    one = fed(volume, trained, padded, index, batch_size, device)
                    said = one.notes(reader.raw)
                    write = begin(Result(volume, one.scale, one.count, one.size, said[0]))
                    recorder = (
                        None if page is None else Recorder(volume.name, one.count, volume.spacing)
                    )
                    reconstruct_volume(one, write, batch_size, device, progress, part, recorder)
                    if recorder is not None:
                        shown.append(recorder.recorded())
                    for description in [*said, *one.doubts()]:
                        part.notes[description] = part.notes.get(description, 0) + 1
        except DataError as error:
            done.errors.append(str(error))
            continue
        if page is not None:
            page.volumes += shown
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
    if trained.estimate is not None:
        found = feed_coils(volume, trained, trained.estimate, padded, index, batch_size, device)
        if found is not None:
            return found
    return feed(volume, survey(volume), trained, padded, index)


@all_digits()
@torch.inference_mode()
def reconstruct_volume(
    one: Feed | CoilFeed,
    write: Write,
    batch_size: int,
    device: torch.device,
    progress: Progress,
    done: Done,
    recorder: Recorder | None = None,
) -> None:
    """Reconstruct one volume.

    Args:
        one: what `fed` gave.
        write: takes its images.
        batch_size: slices that pass the network together.
        device: where to compute.
        progress: called with each batch.
        done: gets its name, its slices and, where there are targets, its metrics.
        recorder: keeps pictures for a page.

    Raises:
        DataError: it cannot be read, or the network makes NaN or infinite values of it.
    """
    count, name = one.count, one.volume.name
    progress(name, 0, count)
    written = 0
    for batch in one.batches(batch_size, device):
        output = torch.cat([one.trained.network(*part.inputs) for part in batch.parts()])
        if not output.isfinite().all():
            raise DataError(
                f"{one.volume.files[0]}: the network ({one.trained.path}) makes NaN or infinite "
                "values of it"
            )
        if one.has_target:
            images = {"Input": batch.image, "Reconstruction": output}
            for label, image in images.items():
                from kdmri.metrics.volumes import VolumeMetrics  # loads torchmetrics

                metrics = done.metrics.setdefault(label, VolumeMetrics().to(device))
                found, wanted = one.compared(image, batch)
                metrics.update(found, wanted, batch.data_range, batch.volume, batch.slice)
        if recorder is not None:
            recorder.add(_panes(one, batch, output))
        shown = one.shown(output)
        values = shown if shown.shape[1] == 1 else to_complex(shown)
        for image in values[:, 0].cpu().numpy():
            write(written, image)
            written += 1
        progress(name, written, count)
    done.names[one.index] = name
    done.slices += written


def _panes(one: Feed | CoilFeed, batch: Batch, output: Tensor) -> dict[str, np.ndarray]:
    """Return magnitudes (B, H, W) of what a page shows, by label."""
    images = {"Input": batch.image, "Reconstruction": output}
    if one.has_target:
        _, wanted = one.compared(output, batch)
        panes = {TARGET: wanted} | {name: one.compared(x, batch)[0] for name, x in images.items()}
    else:
        panes = {label: magnitude(one.shown(image)) for label, image in images.items()}
    return {label: pane[:, 0].cpu().numpy() for label, pane in panes.items()}
