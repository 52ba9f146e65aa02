"""Fourier transform, undersampling and data consistency: pure functions and modules."""

from kdmri.data.task import Task
from kdmri.physics.consistency import DataConsistency, Measurement
from kdmri.physics.espirit import Espirit
from kdmri.physics.fourier import fft2, ifft2, magnitude, to_channels, to_complex
from kdmri.physics.resolution import CentralKspace
from kdmri.physics.sampling import CartesianUndersampling
from kdmri.physics.truth import seen, truth

__all__ = [
    "CartesianUndersampling",
    "CentralKspace",
    "DataConsistency",
    "Espirit",
    "Measurement",
    "Task",
    "fft2",
    "ifft2",
    "magnitude",
    "seen",
    "to_channels",
    "to_complex",
    "truth",
]
