"""The suite computes what a plain implementation of the published method computes."""

import numpy as np
import pytest
import torch

from kdmri.benchmark.reference import Losses, ReferenceDCCNN, attention_loss, loss
from kdmri.data.batch import Batch
from kdmri.data.masks import GaussianLines, UniformLines
from kdmri.distillation import AttentionTransfer
from kdmri.models import DCCNN
from kdmri.physics import fft2, to_complex
from kdmri.training import Distillation
from kdmri.training.distillation import LossWeights

MASKS = {
    "rows": GaussianLines(4, axis=0, centre_lines=4)((48, 40)),
    "columns": UniformLines(4, axis=1, centre_fraction=0.2)((48, 40)),
    "points": np.random.default_rng(1).random((48, 40)) < 0.3,
}


def real_batch(anatomy: np.ndarray, mask: np.ndarray, items: int = 3) -> Batch:
    target = torch.from_numpy(anatomy[:, :, 5 : 5 + items]).permute(2, 0, 1)[:, None].float()
    lines = torch.from_numpy(mask.astype(np.float32))[None, None]
    kspace = lines * fft2(to_complex(target))
    image = torch.fft.ifft2(kspace, norm="ortho").abs()
    index = torch.arange(items)
    return Batch(image, kspace, lines, target, torch.ones(items), index, index)


def pair(depth: int, cascades: int = 5) -> tuple[DCCNN, ReferenceDCCNN]:
    network, plain = DCCNN(cascades, depth), ReferenceDCCNN(cascades, depth)
    plain.load_state_dict(network.state_dict())
    return network, plain


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("depth", [3, 5])
@pytest.mark.parametrize("items", [1, 3])
def test_outputs_are_the_references(anatomy: np.ndarray, mask: str, depth: int, items: int) -> None:
    network, plain = pair(depth)
    batch = real_batch(anatomy, MASKS[mask], items)
    inputs = (batch.image, batch.kspace, batch.mask)
    expected, activations = plain(*inputs)
    output, taps = network.features(*inputs)
    torch.testing.assert_close(output, expected, atol=1e-5, rtol=0)
    for found, its in zip(taps, activations, strict=True):
        torch.testing.assert_close(found, its, atol=1e-5, rtol=0)
    with torch.inference_mode():
        torch.testing.assert_close(network(*inputs), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize(
    "weights", [(1.0, 0.0, 0.0), (0.5, 0.5, 0.0), (0.0, 0.0, 1.0), (0.5, 0.3, 0.2)]
)
def test_losses_and_gradients_are_the_references(
    anatomy: np.ndarray, mask: str, weights: tuple[float, float, float]
) -> None:
    (student, plain_student), (teacher, plain_teacher) = pair(3), pair(5)
    batch = real_batch(anatomy, MASKS[mask])._replace(variant=torch.zeros(3, dtype=torch.long))
    inputs = (batch.image, batch.kspace, batch.mask)
    expected = loss(plain_student, plain_teacher, Losses(*weights), inputs, batch.target)
    expected.backward()
    method = Distillation(
        network=student,
        teacher=teacher,
        distillation=AttentionTransfer(),
        weights=LossWeights(*weights),
        teacher_cache_gib=1.0,
        optimizer=torch.optim.Adam,
    )
    method.log = lambda *_, **__: None  # type: ignore[method-assign,assignment]
    for _ in range(2):  # the teacher is computed at the first step and remembered at the second
        method.zero_grad()
        found = method.loss(batch)
        found.backward()
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
        for (name, one), its in zip(
            student.named_parameters(), plain_student.parameters(), strict=True
        ):
            if not one.requires_grad:
                assert weights[:2] == (0, 0), name
                assert its.grad is not None
                assert not its.grad.any()
                continue
            assert one.grad is not None
            assert its.grad is not None
            # Where output and target agree, rounding chooses the sign that L1 passes back.
            unlike = torch.linalg.vector_norm(one.grad - its.grad)
            assert unlike < 0.02 * torch.linalg.vector_norm(its.grad) + 1e-6, name


def test_attention_losses_agree() -> None:
    student, teacher = ([torch.randn(2, 4, 8, 7) for _ in range(3)] for _ in range(2))
    torch.testing.assert_close(
        AttentionTransfer()(student, teacher), attention_loss(student, teacher)
    )
