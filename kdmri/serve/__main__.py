"""Serve trained networks to scanners: `kdmri serve --help`."""

import logging
import os
import signal
import threading
from types import FrameType

from omegaconf import DictConfig

from kdmri.config.entry import entry_point
from kdmri.config.values import COUNT, TEXT, Kind, is_whole, number, one_of, or_null
from kdmri.loading import loading
from kdmri.reconstruct.choices import DEVICES

LOG = logging.getLogger("kdmri.serve")

PORT = Kind(lambda v: is_whole(v) and 0 <= v < 2**16, "a port, 0 to 65535 (0: a free one)")
SIGNALS = (signal.SIGTERM, signal.SIGINT)


@entry_point(
    "serve",
    {
        **dict.fromkeys(("checkpoint", "mask"), or_null(TEXT)),
        "host": TEXT,
        "port": PORT,
        "scale_of": one_of("slice", "volume"),
        "values": one_of("float32", "int16"),
        "sr_scale": or_null(number(least=1)),
        "limit_gib": number("a number of GiB", above=0),
        "timeout": number("a number of seconds", above=0),
        **dict.fromkeys(("clients", "batch_size"), COUNT),
        "device": one_of(*DEVICES),
    },
)
def main(config: DictConfig) -> None:
    """Serve until a signal asks to stop; then finish what has begun."""
    # PyTorch takes seconds to load, for which help and a mistyped word need not wait.
    with loading():
        from kdmri.hardware import keep_freed_memory
        from kdmri.reconstruct.command import choose_device
        from kdmri.serve.choices import open_choices
        from kdmri.serve.server import Server
        from kdmri.serve.session import Settings

    keep_freed_memory()
    device = choose_device(config.device)
    choices = open_choices(config.checkpoint, device, config.mask, config.sr_scale)
    settings = Settings(
        by_volume=config.scale_of == "volume",
        integers=config["values"] == "int16",
        most_bytes=int(config.limit_gib * 2**30),
        timeout=config.timeout,
        batch_size=config.batch_size,
        device=device,
    )
    stop = signalled()
    with Server(choices, settings, config.host, config.port, config.clients) as server:
        for reason in choices.left_out:
            LOG.info("left out: %s", reason)
        LOG.info("networks: %s", ", ".join(choices.by_name))
        LOG.info("listening on %s:%d", *server.address)
        stop.wait()
        LOG.info("stopping: no new clients; scans that have begun are finished")
    LOG.info("stopped")


def signalled() -> threading.Event:
    """Return an event that a first signal sets; a second one ends the process at once."""
    stop = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    for each in SIGNALS:
        signal.signal(each, handle)
    return stop


if __name__ == "__main__":
    main()
