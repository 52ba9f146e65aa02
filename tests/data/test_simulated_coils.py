import math

import numpy as np
import pytest
import torch

from kdmri.data import simulated_coils
from kdmri.data.interpolation import cubic_matrix
from kdmri.data.simulated_coils import Loops, draw_phase, draw_sensitivities


def test_sensitivities_have_unit_norm_and_come_back_for_a_seed() -> None:
    found = draw_sensitivities((48, 40), 8, [3, 4])
    assert found.shape == (2, 8, 48, 40)
    assert found.dtype == torch.complex64
    torch.testing.assert_close(found.abs().square().sum(dim=1), torch.ones(2, 48, 40))
    torch.testing.assert_close(draw_sensitivities((48, 40), 8, [4])[0], found[1])
    overlap = (found[0].conj() * found[1]).sum(dim=0).abs()
    assert overlap.mean() < 0.9


def loop_alone(monkeypatch: pytest.MonkeyPatch) -> tuple[torch.Tensor, np.ndarray]:
    """A loop of radius 0.2 whose middle is 0.7 right of the image's; its field and the points."""
    monkeypatch.setattr(simulated_coils, "WIRE", 0.0)
    values = (0.0, 1.4, 0.2, 0.0, 0.0, 1.0, 0.0)
    loops = Loops(*(torch.tensor([[value]]) for value in values))
    size = (33, 33)
    return simulated_coils._field(*loops.wires(size), size, size)[0, 0], np.arange(-16, 17) / 33


def test_field_on_the_axis_of_a_loop_is_that_of_the_textbook(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Jackson, Classical Electrodynamics, 5.37: 2 pi a^2 / (a^2 + d^2)^(3/2), along the axis.
    field, points = loop_alone(monkeypatch)
    distance = 0.7 - points
    expected = 2 * math.pi * 0.2**2 / (0.2**2 + distance**2) ** 1.5
    np.testing.assert_allclose(field[16].abs(), expected, rtol=1e-4)
    assert np.ptp(np.angle(field[16].numpy())) < 1e-5  # one direction: along the axis, x
    np.testing.assert_allclose(field[16].imag, 0, atol=1e-4 * expected.max())


def test_field_far_from_a_loop_is_that_of_a_dipole(monkeypatch: pytest.MonkeyPatch) -> None:
    values = (0.0, 40.0, 0.2, 0.0, 0.0, 1.0, 0.0)
    loops = Loops(*(torch.tensor([[value]]) for value in values))
    size = (3, 3)
    x, y = 20.0, 8.0  # a loop 20 right, seen from points around 8 above
    middle, length = loops.wires(size)
    field = simulated_coils._field(middle - torch.tensor([0, y, 0]), length, size, size)[0, 0, 1, 1]
    moment, distance = math.pi * 0.2**2, math.hypot(x, y)
    bx = moment * (3 * x * x / distance**5 - 1 / distance**3)
    by = moment * 3 * -x * y / distance**5
    sign = np.sign(float(field.real)) * np.sign(bx)
    assert complex(field) * sign == pytest.approx(complex(bx, -by), rel=1e-2)


def test_interpolation_is_as_good_as_the_field_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = draw_sensitivities((192, 160), 8, range(4))
    monkeypatch.setattr(simulated_coils, "COARSE", 192)
    exact = draw_sensitivities((192, 160), 8, range(4))
    inside = (quick - exact)[..., 19:-19, 16:-16].abs()  # the wire may touch corners of the image
    assert inside.max() < 0.01
    assert inside.mean() < 1e-3


def test_coils_see_the_object_differently_all_around() -> None:
    found = draw_sensitivities((64, 64), 8, range(20))
    strongest = found.abs().amax(dim=(2, 3))
    assert strongest.min() > 0.3  # no coil sees nothing
    gram = found.flatten(2) @ found.flatten(2).mH
    assert torch.linalg.cond(gram).max() < 1e3  # nor do others make it superfluous


def test_phase_is_smooth_and_varies_by_about_two_pi() -> None:
    phase = draw_phase((64, 48), range(200))
    assert phase.shape == (200, 1, 64, 48)
    assert phase.dtype == torch.float32
    variation = phase.amax(dim=(1, 2, 3)) - phase.amin(dim=(1, 2, 3))
    assert 1.5 * math.pi < variation.mean() < 2.5 * math.pi
    assert phase.diff(dim=2).abs().max() < 0.7
    assert torch.equal(draw_phase((64, 48), [7]), phase[7:8])
    # the constant is anything, else networks would learn it
    assert phase[:, 0, 32, 24].sub(phase.mean()).std() > 1


def test_phase_and_coils_of_a_seed_are_not_made_of_the_same_numbers() -> None:
    few = draw_sensitivities((16, 16), 3, [1]), draw_sensitivities((16, 16), 4, [1])
    assert not torch.allclose(few[0][0, 0], few[1][0, 0])


@pytest.mark.parametrize("periodic", [False, True])
def test_interpolation_error_falls_with_the_fourth_power_of_the_spacing(periodic: bool) -> None:
    errors = []
    for points in (32, 64):
        grid = torch.arange(points) / points * 2 * math.pi
        positions = torch.linspace(0, points if periodic else points - 1, 500)
        found = cubic_matrix(positions, points, periodic) @ torch.sin(grid)
        errors.append(float((found - torch.sin(positions / points * 2 * math.pi)).abs().max()))
    assert errors[1] < errors[0] / 12


def test_no_coils_are_refused() -> None:
    with pytest.raises(ValueError, match="0 coils"):
        draw_sensitivities((16, 16), 0, [1])
