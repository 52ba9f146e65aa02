import numpy as np
import pytest

from kdmri.data.simulation import Simulation


def asymmetry(image: np.ndarray) -> float:
    """Share of k-space energy that breaks k(-f) = conj(k(f)); 0 for a real image."""
    kspace = np.fft.fft2(image)
    mirrored = np.conj(np.roll(kspace[::-1, ::-1], 1, axis=(0, 1)))
    return float(np.linalg.norm(kspace - mirrored) / np.linalg.norm(kspace))


def test_phase_breaks_the_symmetry_and_keeps_the_magnitude(anatomy: np.ndarray) -> None:
    image = anatomy[:, :, 20]
    assert asymmetry(image) == pytest.approx(0, abs=1e-10)
    result = Simulation(phase=True)(image, "a", 3)
    np.testing.assert_allclose(np.abs(result), image, atol=1e-6)
    assert asymmetry(result) > 0.3
    steps = np.abs(np.angle(result[1:] * np.conj(result[:-1])))[image[1:] > 0.1]
    assert np.percentile(steps, 99) < 0.6, "the phase is smooth"


@pytest.mark.parametrize("snr", [10, 50])
def test_noise_has_the_level_asked_for(anatomy: np.ndarray, snr: float) -> None:
    image = np.kron(anatomy[:, :, 20], np.ones((4, 4)))
    noise = Simulation(snr=snr)(image, "a", 0) - image
    expected = image[image > 0.1].mean() / snr
    assert noise.real.std() == pytest.approx(expected, rel=0.03)
    assert noise.imag.std() == pytest.approx(expected, rel=0.03)
    assert abs(np.corrcoef(noise.real.ravel(), noise.imag.ravel())[0, 1]) < 0.03


def test_seed_volume_and_slice_decide(anatomy: np.ndarray) -> None:
    image = anatomy[:, :, 20]
    simulation = Simulation(phase=True, snr=20, seed=1)
    first = simulation(image, "a", 0)
    np.testing.assert_array_equal(simulation(image, "a", 0), first)
    for other in (
        simulation(image, "b", 0),
        simulation(image, "a", 1),
        Simulation(phase=True, snr=20, seed=2)(image, "a", 0),
    ):
        assert np.abs(other - first).max() > 0.01
