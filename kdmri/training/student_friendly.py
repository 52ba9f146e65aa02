"""A teacher that learns together with its student's cascades (SFT-KD-Recon)."""

from typing import Any

import torch
from torch import Tensor

from kdmri.data.batch import Batch
from kdmri.errors import ConfigurationError
from kdmri.models import CascadedNetwork
from kdmri.physics import Measurement
from kdmri.training.base import TrainingMethod


class StudentFriendly(TrainingMethod):
    """Student-friendly teacher training (Matcha et al. 2023, section 2).

    Behind the k-th cascade of the teacher, k = 1 .. C - 1, the student's cascades k + 1 .. C go on
    to an output of their own; they are shared between these branches. Where the teacher has m
    times as many cascades as the student (published: as many), each m of them count as one. Loss =
    L1(teacher, target) + mean over branches of L1(branch, target) + mean over branches of
    L1(branch, teacher), no gradient to the teacher's output in the last term. Intermediate
    supervision, where wanted, joins the teacher's first term.
    """

    def __init__(self, network: CascadedNetwork, student: CascadedNetwork, **training: Any) -> None:
        """Take the parts.

        Args:
            network: the teacher.
            student: as many cascades, or an m-th of them; the first one, which no branch uses,
                keeps its random weights, the others are what a student starts from afterwards.
            **training: optimiser and schedule, see `TrainingMethod`.

        Raises:
            ConfigurationError: the student has one cascade, or the teacher no multiple of its, or
                cascades of one cannot go on from those of the other.
        """
        super().__init__(network, **training)
        counts = len(network.cascades), len(student.cascades)
        self.step, rest = divmod(counts[0], counts[1])
        if rest or counts[1] < 2:
            raise ConfigurationError(
                "student-friendly training needs a student of at least 2 cascades and a teacher of "
                f"a multiple of them; the teacher has {counts[0]}, the student {counts[1]}"
            )
        if network.state != student.state:
            raise ConfigurationError(
                "student-friendly training: the student's cascades go on from the teacher's, but "
                f"those of {type(network).__name__} (teacher) hand on {network.state}, those of "
                f"{type(student).__name__} (student) take {student.state}; give both the same kind "
                "of architecture, or another stage"
            )
        self.student = student
        student.cascades[0].requires_grad_(False)

    @property
    def companions(self) -> dict[str, CascadedNetwork]:
        """The student, to be kept beside the teacher."""
        return {"student": self.student}

    def outputs(self, batch: Batch) -> tuple[list[Tensor], list[Tensor]]:
        """Run the teacher and the branches.

        Returns:
            What each of the teacher's cascades gives, and the outputs of the branches, one less
            than the student has cascades, each (B, C, H, W).
        """
        values = list(self.run(self._outputs, "outputs", batch))
        cascades = len(self.network.cascades)
        return values[:cascades], values[cascades:]

    def _outputs(
        self, image: Tensor, kspace: Tensor, mask: Tensor, sensitivities: Tensor | None = None
    ) -> list[Tensor]:
        states, measurement = [], Measurement(kspace, mask, sensitivities)
        state, known = self.network.begin(image, measurement)
        for cascade in self.network.cascades:
            state = cascade.advance(state, known)
            states.append(state)
        behind = [self.network.finish(state, measurement) for state in states]
        branches, (_, known) = [], self.student.begin(image, measurement)
        for number, state in enumerate(states[self.step - 1 : -1 : self.step], start=1):
            for cascade in self.student.cascades[number:]:
                state = cascade.advance(state, known)
            branches.append(self.student.finish(state, measurement))
        return [*behind, *branches]

    def loss(self, batch: Batch) -> Tensor:
        """Return the sum of the three terms."""
        (*within, teacher), branches = self.outputs(batch)
        within = within if self.output_taps else []
        terms = {
            "reconstruction": self.supervised(teacher, within, batch),
            "branches": self._mean(branches, batch.target, batch),
            "imitation": self._mean(branches, teacher.detach(), batch),
        }
        for name, value in terms.items():
            self.log_loss(f"train/{name}", value.detach(), batch)
        loss = torch.stack(list(terms.values())).sum()
        self.log_loss("train/loss", loss.detach(), batch, progress=True)
        return loss

    def _mean(self, images: list[Tensor], target: Tensor, batch: Batch) -> Tensor:
        return torch.stack([self.image_loss(image, target, batch) for image in images]).mean()
