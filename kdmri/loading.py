"""Loads large libraries in less time."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading() -> Iterator[None]:
    """Import PyTorch and what builds on it without searching for garbage meanwhile.

    Half a million objects come into being, nearly all of them to stay; Python's collector would
    walk them again and again, a sixth of the time. Afterwards they stay out of its sight, so that
    no later search walks them. Where PyTorch is loaded already there is nothing to win, and nothing
    is done.
    """
    if "torch" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
