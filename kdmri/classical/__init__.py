"""Reconstructions without a network, that tables of several coils are compared with."""

from kdmri.classical.bart import BartWavelets
from kdmri.classical.chosen import Chosen, choose
from kdmri.classical.method import ClassicalMethod
from kdmri.classical.sense import ConjugateGradientSense

METHODS: dict[str, ClassicalMethod] = {
    "cg_sense": ConjugateGradientSense(),
    "bart_l1": BartWavelets(),
}
"""By the names that `evaluation.baselines` takes."""

__all__ = ["METHODS", "Chosen", "ClassicalMethod", "choose"]
