import numpy as np
import pytest
import torch

from kdmri.physics.coils import (
    combine,
    compress,
    covariance,
    expand,
    mix,
    root_sum_of_squares,
    whiten,
    whitening_matrix,
)


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.complex64, generator=generator)


def correlated_noise(coils: int, samples: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise of gains 1e-6 to 1 and the factor that correlates it."""
    factor = drawn(coils, coils, seed=1) * torch.logspace(-6, 0, coils)[:, None]
    return factor @ drawn(coils, samples, seed=2), factor


def test_combining_is_the_adjoint_of_expanding() -> None:
    sensitivities = drawn(2, 5, 8, 7)
    image, images = drawn(2, 1, 8, 7, seed=1), drawn(2, 5, 8, 7, seed=2)
    left = torch.vdot(expand(image, sensitivities).flatten(), images.flatten())
    right = torch.vdot(image.flatten(), combine(images, sensitivities).flatten())
    assert complex(left) == pytest.approx(complex(right), rel=1e-5)


def test_unit_sensitivities_give_the_image_back() -> None:
    sensitivities = drawn(2, 5, 8, 7)
    sensitivities = sensitivities / root_sum_of_squares(sensitivities)
    image = drawn(2, 1, 8, 7, seed=1)
    torch.testing.assert_close(combine(expand(image, sensitivities), sensitivities), image)
    torch.testing.assert_close(root_sum_of_squares(expand(image, sensitivities)), image.abs())


def test_magnitude_does_not_depend_on_the_phase_of_sensitivities() -> None:
    sensitivities, images = drawn(1, 4, 6, 6), drawn(1, 4, 6, 6, seed=1)
    phase = torch.exp(1j * torch.linspace(0, 9, 36).view(1, 1, 6, 6))
    torch.testing.assert_close(
        combine(images, sensitivities * phase).abs(), combine(images, sensitivities).abs()
    )


def test_root_sum_of_squares_is_that_of_torch_also_where_there_is_nothing() -> None:
    images = drawn(2, 5, 8, 7)
    images[:, :, 2:4] = 0
    images.requires_grad_()
    found = root_sum_of_squares(images)
    torch.testing.assert_close(found, torch.linalg.vector_norm(images, dim=1, keepdim=True))
    found.sum().backward()
    assert images.grad is not None
    assert torch.isfinite(torch.view_as_real(images.grad)).all()
    assert not images.grad[:, :, 2:4].any()
    assert images.grad.any()


def test_noise_of_a_known_covariance_comes_out_white() -> None:
    noise, factor = correlated_noise(8, 200_000)
    white = whiten((factor @ drawn(8, 200_000, seed=3))[None], whitening_matrix(noise))
    found = covariance(white)
    np.testing.assert_allclose(found.diagonal().real, 1, atol=0.02)
    power = found.diagonal().real.sqrt()
    correlation = (found / torch.outer(power, power) - torch.eye(8)).abs()
    assert correlation.max() < 0.02


def test_whitening_is_that_of_numpy() -> None:
    noise, _ = correlated_noise(5, 1000)
    expected = np.linalg.inv(np.linalg.cholesky(np.cov(noise.numpy(), bias=True)))
    centred = noise - noise.mean(dim=1, keepdim=True)  # numpy subtracts the mean
    found = whitening_matrix(centred).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5 * np.abs(expected).max())


def test_whitening_leaves_the_noise_as_it_was_given() -> None:
    noise, _ = correlated_noise(4, 400)
    before = noise.clone()
    whitening_matrix(noise)
    assert torch.equal(noise, before)


def test_noise_that_says_nothing_is_refused() -> None:
    noise = drawn(4, 200)
    with pytest.raises(ValueError, match="30 samples of 4 coils; at least 40"):
        whitening_matrix(noise[:, :30])
    dead = noise.clone()
    dead[[1, 3]] = 0
    with pytest.raises(ValueError, match="zero in coil 1, 3 of 4"):
        whitening_matrix(dead)
    twice = torch.cat((noise, 2j * noise[:1]))
    with pytest.raises(ValueError, match="combination of others"):
        whitening_matrix(twice)
    noise[2, 5] = torch.nan
    with pytest.raises(ValueError, match="NaN"):
        whitening_matrix(noise)
    with pytest.raises(ValueError, match="noise scan has 4 coils, but k-space has 6"):
        whiten(drawn(1, 6, 4, 4), whitening_matrix(drawn(4, 200)))


def test_compression_loses_nothing_of_coils_that_depend_on_fewer() -> None:
    sources = drawn(3, 2, 9, 8, seed=1)
    kspace = mix(sources, drawn(6, 2))
    virtual, matrix, kept = compress(kspace, 2)
    assert virtual.shape == (3, 2, 9, 8)
    assert kept == pytest.approx(1, abs=1e-6)
    # With the conjugate subspace (matrix.mT for its adjoint) this would not come back.
    torch.testing.assert_close(mix(virtual, matrix.mH), kspace, atol=1e-4, rtol=0)
    torch.testing.assert_close(
        root_sum_of_squares(virtual), root_sum_of_squares(kspace), atol=1e-4, rtol=0
    )


def test_compression_keeps_the_energy_it_tells_and_the_strongest_coil_first() -> None:
    kspace = drawn(2, 6, 9, 8) * torch.tensor([1, 5, 2, 9, 3, 4.0]).view(1, 6, 1, 1)
    virtual, matrix, kept = compress(kspace, 3)
    energy = virtual.abs().square().sum(dim=(0, 2, 3))
    assert kept == pytest.approx(float(energy.sum() / kspace.abs().square().sum()), rel=1e-5)
    assert energy.tolist() == sorted(energy.tolist(), reverse=True)
    singular = np.linalg.svd(kspace.transpose(0, 1).flatten(1).numpy(), compute_uv=False)
    np.testing.assert_allclose(energy, singular[:3] ** 2, rtol=1e-4)
    torch.testing.assert_close(matrix @ matrix.mH, torch.eye(3, dtype=torch.complex64))


def test_compressed_sensitivities_belong_to_compressed_kspace() -> None:
    sensitivities = mix(drawn(1, 3, 8, 8), drawn(6, 3, seed=1))
    images = expand(drawn(1, 1, 8, 8, seed=2), sensitivities)
    virtual, matrix, _ = compress(torch.fft.fft2(images), 3)
    torch.testing.assert_close(
        combine(torch.fft.ifft2(virtual), mix(sensitivities, matrix)),
        combine(images, sensitivities),
        atol=1e-3,
        rtol=1e-4,
    )


def test_compression_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="4 coils cannot be compressed to 5; give 1 to 4"):
        compress(drawn(1, 4, 6, 6), 5)
    with pytest.raises(ValueError, match="k-space is zero"):
        compress(torch.zeros(1, 4, 6, 6, dtype=torch.complex64), 2)
    with pytest.raises(ValueError, match="mixes 4 coils, but there are 5"):
        mix(drawn(1, 5, 6, 6), drawn(2, 4))
