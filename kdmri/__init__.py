"""Knowledge distillation for accelerated MRI reconstruction and super-resolution.

What a program needs that uses trained networks is named here; everything else is found in the
packages below. `import kdmri` itself loads nothing: each name is imported when it is first used.

>>> import numpy as np
>>> import torch
>>> import kdmri
>>> mask = torch.from_numpy(kdmri.GaussianLines(acceleration=4)((64, 48)))
>>> kspace = mask * kdmri.fft2(torch.ones(1, 1, 64, 48))
>>> kdmri.ifft2(kspace).shape
torch.Size([1, 1, 64, 48])
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kdmri.data.masks import (
        EquispacedLines,
        GaussianLines,
        MaskFile,
        OffsetLines,
        PoissonDisc,
        RegularLines,
        UniformLines,
    )
    from kdmri.models import build_network, load_network
    from kdmri.models.trained import Trained, open_checkpoint
    from kdmri.physics import fft2, ifft2, magnitude, to_channels, to_complex
    from kdmri.reconstruct.arrays import reconstruct_kspace

__all__ = [
    "EquispacedLines",
    "GaussianLines",
    "MaskFile",
    "OffsetLines",
    "PoissonDisc",
    "RegularLines",
    "Trained",
    "UniformLines",
    "build_network",
    "fft2",
    "ifft2",
    "load_network",
    "magnitude",
    "open_checkpoint",
    "reconstruct_kspace",
    "to_channels",
    "to_complex",
]

_PLACES = {
    "kdmri.data.masks": (
        "EquispacedLines",
        "GaussianLines",
        "MaskFile",
        "OffsetLines",
        "PoissonDisc",
        "RegularLines",
        "UniformLines",
    ),
    "kdmri.models.trained": ("Trained", "open_checkpoint"),
    "kdmri.models": ("build_network", "load_network"),
    "kdmri.physics": ("fft2", "ifft2", "magnitude", "to_channels", "to_complex"),
    "kdmri.reconstruct.arrays": ("reconstruct_kspace",),
}
"""The same names again by the module that holds them, for `__getattr__`."""


def __getattr__(name: str) -> object:
    """Import a public name when it is first used (PEP 562)."""
    for module, names in _PLACES.items():
        if name in names:
            globals()[name] = found = getattr(import_module(module), name)
            return found
    raise AttributeError(f"module 'kdmri' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
