"""Distillation losses: functions of the student's and the teacher's tapped activations.

A loss of one's own is a module in this folder that derives from `DistillationLoss`, is called as
`loss(student, teacher)` with two lists of (B, C, H, W) tensors, and has a YAML file in
`configs/distillation`.
"""

from kdmri.distillation.attention import AttentionTransfer
from kdmri.distillation.base import DistillationLoss, Taps
from kdmri.distillation.correlation import CorrelationCongruence
from kdmri.distillation.fitnets import FitNets
from kdmri.distillation.fsp import FSP
from kdmri.distillation.relational import Relational
from kdmri.distillation.similarity import SimilarityPreserving
from kdmri.distillation.variational import VariationalInformation

__all__ = [
    "FSP",
    "AttentionTransfer",
    "CorrelationCongruence",
    "DistillationLoss",
    "FitNets",
    "Relational",
    "SimilarityPreserving",
    "Taps",
    "VariationalInformation",
]
