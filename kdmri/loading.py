"""Loads large libraries in less time."""

import gc
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

SIGNAL = "scipy.signal"


@contextmanager
def loading() -> Iterator[None]:
    """Import PyTorch and what builds on it without what takes time and serves nothing.

    Half a million objects come into being, nearly all of them to stay; Python's collector would
    walk them again and again, a sixth of the time. Afterwards they stay out of its sight, so that
    no later search walks them. Where PyTorch is loaded already there is nothing to win, and the
    collector stays on.

    torchmetrics (1.9), which Lightning imports, loads `scipy.signal`, a seventh of the time, to see
    whether it has the name `hamming`, for a package that measures speech. Meanwhile `_Signal`
    answers that.
    """
    with _signal_later():
        if "torch" in sys.modules or not gc.isenabled():
            yield
            return
        gc.disable()
        try:
            yield
        finally:
            gc.freeze()
            gc.enable()


class _Signal(ModuleType):
    """Stands for `scipy.signal`, which is loaded when another name of it is asked for."""

    hamming = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__path__":  # `inspect` asks every module where it is
            raise AttributeError(name)
        if sys.modules.get(SIGNAL) is self:
            del sys.modules[SIGNAL]
        return getattr(importlib.import_module(SIGNAL), name)


@contextmanager
def _signal_later() -> Iterator[None]:
    if SIGNAL in sys.modules:
        yield
        return
    standing = _Signal(SIGNAL)
    standing.__spec__ = ModuleSpec(SIGNAL, None)
    sys.modules[SIGNAL] = standing
    try:
        yield
    finally:
        if sys.modules.get(SIGNAL) is standing:
            del sys.modules[SIGNAL]
