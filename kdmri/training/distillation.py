"""Knowledge distillation: a student learns from a frozen teacher (KD-MRI)."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from kdmri.data.batch import Batch
from kdmri.distillation import DistillationLoss, Taps
from kdmri.errors import ConfigurationError
from kdmri.models import CascadedNetwork, Tap
from kdmri.physics import Task
from kdmri.training.base import TrainingMethod
from kdmri.training.frozen_teacher import FrozenTeacher
from kdmri.training.schedules import fall


class LossWeights(NamedTuple):
    """Weights of the three terms; a term of weight 0 is neither computed nor logged.

    Attributes:
        reconstruction: of L1(student, target).
        imitation: of L1(student, teacher).
        attention: of the distillation loss between tapped activations.
        fade: share of the epochs, in (0, 1], after which the target alone is learnt from; until
            then the weights of the other two fall along half a cosine. None keeps them. That a
            teacher helps most at first: Cho and Hariharan, "On the Efficacy of Knowledge
            Distillation", 2019; fading: Jafari et al., "Annealing Knowledge Distillation", 2021.
    """

    reconstruction: float
    imitation: float
    attention: float
    fade: float | None = None


class Distillation(TrainingMethod):
    """Both stages of KD-MRI (Murugesan et al. 2020) and their joint form, which differ in weights.

    feature: (0, 0, 1), kd: (alpha, 1 - alpha, 0), joint: all three.
    """

    def __init__(
        self,
        network: CascadedNetwork,
        teacher: CascadedNetwork,
        distillation: DistillationLoss,
        weights: LossWeights,
        taps: Taps | None = None,
        teacher_cache_gib: float = 0.0,
        teacher_task: Task | None = None,
        **training: Any,
    ) -> None:
        """Take the parts.

        Args:
            network: the student.
            teacher: trained; it is frozen and stays out of every checkpoint.
            distillation: compares the tapped activations of student and teacher; layers of its own
                are trained with the student.
            weights: of the terms.
            taps: where the activations are taken; the middle of each cascade by default.
            teacher_cache_gib: memory for what the teacher made of slices, which is then computed
                once, in GiB.
            teacher_task: reveals what the teacher sees of a batch, where that is more than the
                student does.
            **training: optimiser and schedule, see `TrainingMethod`.
        """
        super().__init__(network, **training)
        if not isinstance(distillation, DistillationLoss):
            raise ConfigurationError(
                f"distillation.loss: {type(distillation).__name__} does not derive from "
                "kdmri.distillation.DistillationLoss"
            )
        self.weights = weights
        self.taps, self.teacher_taps = (taps or Taps()).choose(network, teacher)
        if weights.attention:
            distillation.adapt(
                [f.shape[1] for f in network.tiny_features(self.taps)],
                [f.shape[1] for f in teacher.tiny_features(self.teacher_taps)],
            )
            self.distillation = distillation
            self.average("distillation")
        # No submodule: neither saved, nor trained, nor wrapped for DDP.
        self.frozen_teacher = FrozenTeacher(
            teacher,
            self.teacher_taps if weights.attention else (),
            with_output=weights.imitation > 0,
            condense=distillation.condense,
            cache_bytes=int(teacher_cache_gib * 2**30),
            task=teacher_task,
        )
        if weights.reconstruction == weights.imitation == 0:
            freeze_unreached(network, self.taps)

    @property
    def by_slice(self) -> bool:
        """Whether the loss is the mean of what each item gives by itself."""
        return not self.weights.attention or self.distillation.by_sample

    @property
    def teacher(self) -> CascadedNetwork:
        """The frozen teacher."""
        return self.frozen_teacher.network

    def on_fit_start(self) -> None:
        """Bring the teacher to the student's device."""
        self.teacher.to(self.device)

    @property
    def weights_now(self) -> LossWeights:
        """The weights of this epoch, taken at its middle."""
        weights = self.weights
        if weights.fade is None:
            return weights
        epochs = self.trainer.max_epochs
        assert epochs
        left = fall((self.current_epoch + 0.5) / (weights.fade * epochs))
        return weights._replace(
            imitation=left * weights.imitation, attention=left * weights.attention
        )

    def compare(
        self, batch: Batch, network: CascadedNetwork | None = None, split: str = "train"
    ) -> tuple[Tensor | None, dict[str, Tensor]]:
        """Run student and teacher, as far as this epoch's weights ask for it.

        Args:
            batch: a batch.
            network: what is measured in the place of the student, which is then run to its end.
            split: what the batch is part of.

        Returns:
            The student's output (B, C, H, W), None where no weight asks for it, and the terms, each
            a scalar.
        """
        weights = self.weights_now
        taps = self.taps if self._compares_activations(weights) else ()
        inner = self.output_taps if weights.reconstruction else ()
        to_its_end = network is not None or bool(weights.reconstruction or self.weights.imitation)
        wanted = (*taps, *inner)
        if network is None:
            student, found = self.observe(batch, wanted, to_its_end)
        else:
            student, found = network.observe(*batch.inputs, taps=wanted, to_its_end=to_its_end)
        activations, behind = found[: len(taps)], found[len(taps) :]
        terms = {}
        if student is not None and weights.reconstruction:
            terms["reconstruction"] = self.supervised(student, behind, batch)
        if weights.imitation or taps:
            sizes = [(a.shape[-2], a.shape[-1]) for a in activations]
            teacher = self.frozen_teacher(batch, split, sizes)
            if student is not None and teacher.output is not None and weights.imitation:
                terms["imitation"] = self.image_loss(student, teacher.output, batch)
            if taps:
                loss = self.distillation if network is None else self.measured("distillation")
                terms["attention"] = self._attention(loss, activations, teacher.activations)
        return student, terms

    def _compares_activations(self, weights: LossWeights) -> bool:
        """Whether activations are compared in an epoch of these weights.

        A loss with layers of its own is computed even when it has faded: several devices wait for
        the gradients of all that is trained.
        """
        if not self.weights.attention:
            return False
        has_layers = next(self.distillation.parameters(), None) is not None
        return has_layers or weights.attention > 0

    def _attention(
        self, loss: nn.Module, student: Sequence[Tensor], teacher: Sequence[Tensor]
    ) -> Tensor:
        """Compare activations in single precision; halves do not resolve how they differ."""
        with torch.autocast(self.device.type, enabled=False):
            return loss([s.float() for s in student], [t.float() for t in teacher])

    def total(self, terms: dict[str, Tensor]) -> Tensor:
        """Weigh the terms, as this epoch does."""
        weights = self.weights_now
        return torch.stack([getattr(weights, k) * v for k, v in terms.items()]).sum()

    def loss(self, batch: Batch) -> Tensor:
        """Return the weighted sum of the terms."""
        _, terms = self.compare(batch)
        loss = self.total(terms)
        for name, value in terms.items():
            self.log_loss(f"train/{name}", value.detach(), batch)
        self.log_loss("train/loss", loss.detach(), batch, progress=True)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Measure the reconstruction, and the loss as in training."""
        student, terms = self.compare(batch, self.measured_network, "selection")
        assert student is not None
        self.measure(student, batch)
        self.log_loss("val/loss", self.total(terms), batch)


def freeze_unreached(network: CascadedNetwork, taps: Sequence[Tap]) -> None:
    """Freeze the parameters behind the last tap, which a loss on activations never reaches.

    They would keep their random values anyway; left trainable, they stop training on several
    devices, which waits for their gradients.
    """
    parameters = list(network.parameters())
    with torch.enable_grad():
        total = torch.stack([feature.sum() for feature in network.tiny_features(taps)]).sum()
        gradients = torch.autograd.grad(total, parameters, allow_unused=True)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.requires_grad_(gradient is not None)
