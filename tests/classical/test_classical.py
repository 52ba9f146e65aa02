"""Classical reconstructions: they solve what they say, and are chosen on slices not measured."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from kdmri.classical import METHODS, choose
from kdmri.classical.sense import ConjugateGradientSense
from kdmri.data.batch import Batch, Coils
from kdmri.data.cropping import Window
from kdmri.data.masks import EquispacedLines
from kdmri.physics import CartesianUndersampling, fft2, magnitude, to_complex
from kdmri.physics.coils import combine
from tests.data.readers.coils import phased, sensitivities

needs_bart = pytest.mark.skipif(shutil.which("bart") is None, reason="bart is not installed")


def batch(
    anatomy: np.ndarray,
    acceleration: float = 2,
    noise: float = 0.0,
    size: tuple[int, int] = (48, 40),
) -> Batch:
    image = torch.from_numpy(phased(anatomy, slice(14, 16)))[:, None, : size[0], : size[1]]
    maps = torch.from_numpy(sensitivities(6, image.shape[-2:])).expand(2, -1, -1, -1)
    kspace = fft2(maps * image)
    generator = torch.Generator().manual_seed(0)
    kspace = kspace + noise * torch.randn(kspace.shape, dtype=kspace.dtype, generator=generator)
    rule = EquispacedLines(acceleration, axis=1, centre_fraction=0.2)
    mask = CartesianUndersampling(rule).mask(size)
    coils = Coils(maps, torch.ones(2, 1, *size), torch.zeros(2, 1), Window(0, 0, *size), kspace)
    given = torch.where(mask > 0, kspace, 0)
    target = combine(torch.fft.ifft2(kspace, norm="ortho"), maps)
    parts = torch.cat((target.real, target.imag), dim=1)
    number = torch.arange(2)
    largest = target.abs().amax(dim=(1, 2, 3))
    return Batch(parts, given, mask, parts, largest, number, number, coils=coils)


def error(found: Tensor, wanted: Batch) -> float:
    return float((magnitude(found) - magnitude(wanted.target)).square().mean().sqrt())


def test_sense_solves_its_equations(anatomy: np.ndarray) -> None:
    given, weight = batch(anatomy), 0.05
    assert given.coils is not None
    maps = given.coils.sensitivities
    image = to_complex(ConjugateGradientSense()(given, weight))
    residual = given.mask * fft2(maps * image) - given.kspace
    gradient = combine(torch.fft.ifft2(given.mask * residual, norm="ortho"), maps) + weight * image
    assert float(gradient.abs().max()) < 1e-4


def test_with_enough_lines_and_no_noise_it_is_the_image(anatomy: np.ndarray) -> None:
    given = batch(anatomy)
    assert error(METHODS["cg_sense"](given, 1e-4), given) < 5e-3


def test_weight_grows_with_noise(anatomy: np.ndarray) -> None:
    clean, noisy = (choose(METHODS["cg_sense"], [batch(anatomy, 3, n)]) for n in (0.0, 0.1))
    assert clean.weight < noisy.weight
    given = batch(anatomy, 3, 0.1)
    for weight in METHODS["cg_sense"].weights:
        assert error(noisy(given), given) <= 1.001 * error(noisy.method(given, weight), given)
    assert noisy.label == clean.label == "CG-SENSE", "rows of other weights fall together"
    weakest, strongest = (replace(noisy, weight=w) for w in (1e-4, 0.3))
    assert weakest.description == "CG-SENSE 0.0001 (the smallest tried)"
    assert strongest.description == "CG-SENSE 0.3 (the largest tried)"
    assert replace(noisy, weight=0.03).description == "CG-SENSE 0.03"


@needs_bart
@pytest.mark.parametrize("size", [(48, 40), (48, 39), (47, 39)])
def test_bart_sees_the_same_image(anatomy: np.ndarray, size: tuple[int, int]) -> None:
    """Its image is ours in place, scale and phase, so that all conventions are right."""
    given = batch(anatomy, size=size)
    found = to_complex(METHODS["bart_l1"](given, 2e-3)) - to_complex(given.target)
    zero_filled = to_complex(CartesianUndersampling._measured(given, given.mask).image)
    folded = float((zero_filled - to_complex(given.target)).abs().square().mean())
    assert float(found.abs().square().mean()) < 0.15 * folded
