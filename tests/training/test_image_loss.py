"""How images are compared in training."""

from pathlib import Path

import pytest
import torch
from skimage.metrics import structural_similarity

from kdmri.data.batch import Coils
from kdmri.data.cropping import Window
from kdmri.training import ImageLoss, Supervised
from tests.conftest import plan
from tests.training.test_methods import batch, distillation, quiet


def complex_batch(shown: tuple[int, int]) -> tuple[torch.Tensor, object]:
    """Random two-channel images of three items with ranges of their own, and their batch."""
    ones = torch.ones(3, 4, 20, 18, dtype=torch.complex64)
    coils = Coils(
        ones, torch.ones(3, 1, 20, 18), torch.zeros(3, 1), Window.centred((20, 18), shown)
    )
    found = batch(3)._replace(
        target=torch.randn(3, 2, 20, 18), data_range=torch.tensor([3.0, 2.0, 5.0]), coils=coils
    )
    return torch.randn(3, 2, 20, 18), found


def magnitudes(images: torch.Tensor) -> torch.Tensor:
    """Of the middle 12x10 pixels."""
    return torch.hypot(images[:, 0], images[:, 1])[:, 4:16, 4:14]


def test_ssim_is_that_of_magnitudes_as_they_are_shown_with_the_range_of_each_volume() -> None:
    output, of = complex_batch((12, 10))
    pairs = zip(magnitudes(output), magnitudes(of.target), of.data_range, strict=True)
    known = [structural_similarity(t.numpy(), o.numpy(), data_range=float(r)) for o, t, r in pairs]
    found = ImageLoss(l1=0, ssim=1)(output, of.target, of)
    assert found.item() == pytest.approx(1 - sum(known) / 3, abs=1e-6)
    both = ImageLoss(l1=2, ssim=0.5)(output, of.target, of)
    difference = (output - of.target).abs().mean()
    assert both.item() == pytest.approx(2 * difference.item() + 0.5 * found.item(), rel=1e-5)


def test_ssim_loss_is_that_of_fastmri() -> None:
    losses = pytest.importorskip("fastmri.losses")
    output, of = complex_batch((12, 10))
    shown, wanted = (magnitudes(images)[:, None] for images in (output, of.target))
    theirs = losses.SSIMLoss()(shown, wanted, of.data_range)
    assert abs(ImageLoss(l1=0, ssim=1)(output, of.target, of) - theirs) < 1e-5


def test_difference_of_magnitudes_leaves_the_phase_and_what_is_not_shown_alone() -> None:
    output, of = complex_batch((12, 10))
    loss = ImageLoss(magnitude=True)
    known = (magnitudes(output) - magnitudes(of.target)).abs().mean()
    assert loss(output, of.target, of).item() == pytest.approx(known.item(), rel=1e-5)
    turned = torch.stack((-output[:, 1], output[:, 0]), dim=1)  # by a quarter
    turned[..., :4, :] += 1
    assert loss(turned, of.target, of).item() == pytest.approx(known.item(), rel=1e-5)
    assert ImageLoss()(turned, of.target, of) != ImageLoss()(output, of.target, of)


def test_magnitudes_are_compared_with_what_the_table_compares_with() -> None:
    """A volume's own image, such as a root sum of squares, in place of the target's magnitude."""
    output, of = complex_batch((12, 10))
    own = torch.rand(3, 1, 12, 10)
    measured = of._replace(coils=of.coils._replace(image=own))
    shown, loss = magnitudes(output), ImageLoss(magnitude=True)
    found = loss(output, of.target, measured)
    assert found.item() == pytest.approx((shown - own[:, 0]).abs().mean().item(), rel=1e-5)
    similar = ImageLoss(l1=0, ssim=1)
    assert similar(own_output(own), measured.target, measured) < 1e-5
    teacher = torch.randn_like(output)  # is learnt from as it is
    assert torch.equal(loss(output, teacher, measured), loss(output, teacher, of))


def own_output(shown: torch.Tensor) -> torch.Tensor:
    """An output whose magnitude is an image where it is shown."""
    padded = torch.nn.functional.pad(shown, (4, 4, 4, 4))
    return torch.cat((padded, torch.zeros_like(padded)), dim=1)


def test_gradient_is_finite_where_an_image_is_zero() -> None:
    output, of = complex_batch((12, 10))
    output = torch.zeros_like(output).requires_grad_()
    ImageLoss(l1=1, ssim=1, magnitude=True)(output, of.target, of).backward()
    assert output.grad is not None
    assert output.grad.isfinite().all()


def test_every_term_that_compares_images_takes_it() -> None:
    one, loss = batch(), ImageLoss(l1=0, ssim=1)
    method = distillation(0.3, 0.7, 0.0)
    method.image_loss = loss
    quiet(method)
    student = method.network(*one.inputs)
    teacher = method.teacher(*one.inputs)
    known = 0.3 * loss(student, one.target, one) + 0.7 * loss(student, teacher, one)
    assert torch.allclose(method.loss(one), known)
    alone = Supervised(network=method.network, image_loss=loss, optimizer=torch.optim.Adam)
    quiet(alone)
    assert torch.allclose(alone.loss(one), loss(student, one.target, one))


def test_another_loss_is_another_experiment(hydra: None, tmp_path: Path) -> None:
    paths = f"paths.experiments={tmp_path}"
    names = [plan(paths, *words)["student"].directory.name for words in ((), ("image_loss=ssim",))]
    assert names[0] == "attention_imitation_student"
    assert "image_loss.ssim-1.0" in names[1]
