import pytest
import torch

from kdmri.data.batch import Batch, Coils
from kdmri.data.cropping import Window
from kdmri.errors import ConfigurationError
from kdmri.models import DCCNN, VarNet
from kdmri.physics import Measurement, fft2, ifft2, to_channels, to_complex
from kdmri.physics.coils import combine, expand, root_sum_of_squares
from kdmri.training import StudentFriendly
from tests.training.test_methods import batch


def method(
    cascades: int = 3, student_cascades: int = 3, supervision: float = 0.0
) -> StudentFriendly:
    return StudentFriendly(
        network=DCCNN(cascades=cascades, depth=3, width=6),
        student=DCCNN(cascades=student_cascades, depth=2, width=4),
        optimizer=torch.optim.Adam,
        intermediate_supervision=supervision,
    )


def test_branches_go_on_from_the_teachers_cascades() -> None:
    training, given = method(), batch()
    inputs = (given.kspace, given.mask)
    teacher, student = training.network, training.student
    first = teacher.cascades[0](given.image, *inputs)
    second = teacher.cascades[1](first, *inputs)
    (*_, output), branches = training.outputs(given)
    torch.testing.assert_close(output, teacher(given.image, *inputs))
    assert len(branches) == 2
    longer = student.cascades[2](student.cascades[1](first, *inputs), *inputs)
    torch.testing.assert_close(branches[0], longer)
    torch.testing.assert_close(branches[1], student.cascades[2](second, *inputs))


def test_loss_is_the_papers_and_imitation_pulls_no_teacher() -> None:
    training, given = method(), batch()
    training.log = lambda *_, **__: None  # type: ignore[method-assign,assignment]
    loss = training.loss(given)
    (*_, output), branches = training.outputs(given)
    expected = (output - given.target).abs().mean()
    expected += sum((b - given.target).abs().mean() for b in branches) / 2
    held = output.detach()
    expected += sum((b - held).abs().mean() for b in branches) / 2
    torch.testing.assert_close(loss, expected)
    gradients = torch.autograd.grad(expected, list(training.network.parameters()))
    training.zero_grad()
    training.loss(given).backward()
    for parameter, gradient in zip(training.network.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_inner_cascades_of_the_teacher_learn_the_target_too() -> None:
    given = batch()
    plain = method()
    supervised = method(supervision=0.5)
    supervised.load_state_dict(plain.state_dict())
    for training in (plain, supervised):
        training.log = lambda *_, **__: None  # type: ignore[method-assign,assignment]
    (first, second, _), _ = plain.outputs(given)
    within = ((first - given.target).abs().mean() + (second - given.target).abs().mean()) / 2
    torch.testing.assert_close(supervised.loss(given), plain.loss(given) + 0.5 * within)


def test_first_student_cascade_is_left_alone_and_all_else_learns() -> None:
    training = method()
    training.log = lambda *_, **__: None  # type: ignore[method-assign,assignment]
    training.loss(batch()).backward()
    for name, parameter in training.student.named_parameters():
        assert (parameter.grad is None) == name.startswith("cascades.0."), name
    assert all(p.grad is not None for p in training.network.parameters())
    assert not any(p.requires_grad for p in training.student.cascades[0].parameters())


def test_teacher_of_more_cascades_branches_behind_every_mth() -> None:
    training, given = method(cascades=6), batch()
    inputs = (given.kspace, given.mask)
    states = [given.image]
    for cascade in training.network.cascades:
        states.append(cascade(states[-1], *inputs))
    (*_, output), (first, second) = training.outputs(given)
    torch.testing.assert_close(output, states[6])
    student = training.student.cascades
    torch.testing.assert_close(first, student[2](student[1](states[2], *inputs), *inputs))
    torch.testing.assert_close(second, student[2](states[4], *inputs))


@pytest.mark.parametrize(("teacher", "student"), [(3, 2), (2, 3), (1, 1)])
def test_cascades_must_be_a_multiple(teacher: int, student: int) -> None:
    with pytest.raises(ConfigurationError, match=f"teacher has {teacher}, the student {student}"):
        method(teacher, student)


def coil_batch() -> Batch:
    given = batch()
    maps = torch.polar(torch.rand(2, 3, 16, 12), torch.rand(2, 3, 16, 12))
    maps = maps / root_sum_of_squares(maps)
    target = torch.cat((given.target, 0.5 * given.target), dim=1)
    kspace = given.mask * fft2(expand(to_complex(target), maps))
    image = to_channels(combine(ifft2(kspace), maps), 2)
    coils = Coils(maps, given.mask, torch.zeros(2, 1), Window(0, 0, 16, 12))
    return given._replace(target=target, kspace=kspace, image=image, coils=coils)


def varnet(cascades: int) -> VarNet:
    return VarNet(cascades, width=2, levels=1, sensitivity_width=2, sensitivity_levels=1)


def test_branches_of_varnets_go_on_from_kspace_with_sensitivities_of_their_own() -> None:
    training = StudentFriendly(varnet(4), varnet(2), optimizer=torch.optim.Adam)
    training.log = lambda *_, **__: None  # type: ignore[method-assign,assignment]
    given = coil_batch()
    teacher, student = training.network, training.student
    measurement = Measurement(*given.inputs[1:])
    state, known = teacher.begin(given.image, measurement)
    for cascade in teacher.cascades[:2]:
        state = cascade.advance(state, known)
    _, own = student.begin(given.image, measurement)
    expected = student.finish(student.cascades[1].advance(state, own), measurement)
    (*behind, output), (branch,) = training.outputs(given)
    torch.testing.assert_close(branch, expected)
    torch.testing.assert_close(output, teacher(*given.inputs))
    torch.testing.assert_close(behind[1], teacher.finish(state, measurement))
    training.loss(given).backward()
    for name, parameter in training.student.named_parameters():
        assert (parameter.grad is None) == name.startswith("cascades.0."), name
    assert all(p.grad is not None for p in teacher.parameters())


def test_networks_that_hand_on_different_things_are_refused() -> None:
    for pair in ((varnet(2), DCCNN(2, 2, 4, channels=2)), (DCCNN(2, 2, 4, channels=2), varnet(2))):
        with pytest.raises(ConfigurationError, match="k-space of all coils"):
            StudentFriendly(*pair, optimizer=torch.optim.Adam)
