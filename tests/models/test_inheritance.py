"""Cascades that a student takes over from its teacher."""

import pytest
import torch

from kdmri.errors import ConfigurationError
from kdmri.models import DCCNN, CascadedNetwork, UNet, inherit


def same(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    theirs = second.state_dict()
    return all(torch.equal(value, theirs[name]) for name, value in first.state_dict().items())


@pytest.mark.parametrize(
    ("wanted", "there", "chosen"),
    [(2, 2, [0, 1]), (2, 4, [1, 3]), (5, 10, [1, 3, 5, 7, 9]), (2, 5, [1, 4]), (3, 4, [0, 1, 3])],
)
def test_cascades_are_evenly_spread_and_the_last_is_among_them(
    wanted: int, there: int, chosen: list[int]
) -> None:
    student, teacher = (DCCNN(n, depth=2, width=3, residual=True) for n in (wanted, there))
    inherit(student, teacher)
    for mine, number in zip(student.cascades, chosen, strict=True):
        assert same(mine, teacher.cascades[number])


def test_what_was_inherited_is_a_copy() -> None:
    student, teacher = DCCNN(1, depth=2, width=3), DCCNN(2, depth=2, width=3)
    inherit(student, teacher)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.add_(1)
    assert not same(student.cascades[0], teacher.cascades[1])


@pytest.mark.parametrize(
    "teacher",
    [DCCNN(2, 3, width=3), DCCNN(2, 2, width=4), DCCNN(1, 2, width=3), UNet(channels=1)],
    ids=["deeper", "wider", "fewer cascades", "another kind"],
)
def test_other_cascades_cannot_be_inherited(teacher: CascadedNetwork) -> None:
    student = DCCNN(2, depth=2, width=3)
    before = {name: value.clone() for name, value in student.state_dict().items()}
    with pytest.raises(ConfigurationError, match="as many or more of the same depth and width"):
        inherit(student, teacher)
    assert all(torch.equal(v, before[name]) for name, v in student.state_dict().items())


def test_a_student_of_all_cascades_is_its_teacher() -> None:
    student, teacher = (DCCNN(2, depth=2, width=3, expansion=2) for _ in range(2))
    inherit(student, teacher)
    image, mask = torch.rand(1, 1, 8, 8), torch.ones(1, 1, 8, 8)
    kspace = torch.zeros(1, 1, 8, 8, dtype=torch.complex64)
    assert torch.equal(student(image, kspace, mask), teacher(image, kspace, mask))
