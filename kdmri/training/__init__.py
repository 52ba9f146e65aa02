"""How networks learn: one LightningModule a training method, and what surrounds a stage's run."""

from kdmri.training.distillation import Distillation
from kdmri.training.image_loss import ImageLoss
from kdmri.training.muon import Muon
from kdmri.training.student_friendly import StudentFriendly
from kdmri.training.supervised import Supervised

__all__ = ["Distillation", "ImageLoss", "Muon", "StudentFriendly", "Supervised"]
