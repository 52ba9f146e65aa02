"""From complete lines to image messages: what `kdmri reconstruct` does with a file of them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import ismrmrd
import numpy as np
import torch

from kdmri.data.readers.base import SourceVolume
from kdmri.data.readers.coil_slices import Wanted
from kdmri.data.readers.naming import blaming
from kdmri.data.readers.raw_planes import across_readout
from kdmri.data.readers.raw_scan import READOUT
from kdmri.reconstruct.output import magnitudes
from kdmri.reconstruct.pipeline import Done, fed, reconstruct_volume
from kdmri.serve.answers import Answers
from kdmri.serve.gathering import Unit

SCAN = Path("scan")
"""Stands for the file that errors name."""


@dataclass(frozen=True)
class Sinks:
    """Where results go.

    Attributes:
        image: takes each image, in its order.
        note: takes what is to be known of the scan, and whether it is a warning.
    """

    image: Callable[[ismrmrd.Image], None]
    note: Callable[[str, bool], None]


def reconstruct(
    unit: Unit, answers: Answers, batch_size: int, device: torch.device, sinks: Sinks
) -> None:
    """Reconstruct a slice, slab or volume.

    Args:
        unit: its lines.
        answers: makes the messages, by the scan's network.
        batch_size: slices that pass the network together.
        device: where the network is.
        sinks: where images and notes go.

    Raises:
        DataError: it cannot be reconstructed; says why.
    """
    scan = unit.scan
    with blaming(SCAN), np.errstate(over="ignore", invalid="ignore"):
        places = scan.places(unit.chosen)
        noise = scan.noise() if int(scan.heads["active_channels"].max()) > 1 else None
        volume = volume_of(unit)
    # Values that overflow are refused where slices are checked; warnings would fill the log.
    with blaming(SCAN), np.errstate(over="ignore", invalid="ignore"):
        one = fed(volume, answers.choice.trained, None, 1, batch_size, device)
        notes = one.notes(raw=True)
        for note in [*notes, *volume.notes, *([] if noise is None else [noise.note])]:
            sinks.note(note, one.has_target)

        def write(number: int, image: np.ndarray) -> None:
            values = magnitudes(image) * np.float32(one.scale)
            sinks.image(answers.message(values, places[number], one.scale, notes[0]))

        done = Done({}, 0, {}, {}, [])
        reconstruct_volume(one, write, batch_size, device, lambda *_: None, done)
        for doubt in [*scan.doubts(unit.chosen), *one.doubts()]:
            sinks.note(doubt, True)


def volume_of(unit: Unit) -> SourceVolume:
    """Describe a slice, slab or volume as readers do.

    Raises:
        ValueError: it cannot be read; says why.
    """
    scan, chosen = unit.scan, unit.chosen
    wanted = Wanted(coils=False, undersampled=True)  # as `kdmri reconstruct` asks readers
    single = list(scan.slices(chosen, wanted)) if len(scan.places(chosen)) == 1 else None
    volume = SourceVolume(
        name=SCAN.name,
        subject="",
        files=(SCAN,),
        # A volume is read several times; the images of a slab may not fit into memory twice.
        slices=lambda: scan.slices(chosen, wanted) if single is None else iter(single),
        shown=scan.shown,
        readout=READOUT,
    )
    return across_readout(volume, scan.encoding) if scan.is_across(chosen) else volume
