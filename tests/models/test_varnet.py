"""E2E-VarNet: as large as fastMRI's, with the same images, and like any other network here."""

import copy

import pytest
import torch
from hydra import compose, initialize_config_dir
from torch import Tensor

from kdmri.errors import ConfigurationError
from kdmri.models import Tap, VarNet, build_network
from kdmri.models.normalised import NormalisedUNet
from kdmri.models.varnet import calibration, with_phase
from kdmri.physics import Measurement, fft2, ifft2, magnitude, to_channels
from kdmri.physics.coils import combine, expand, root_sum_of_squares
from kdmri.physics.sense import START_PENALTY, conjugate_gradient_sense
from tests.conftest import ROOT
from tests.models.fastmri_names import fastmri_weights

SMALL = {"cascades": 2, "width": 4, "levels": 2, "sensitivity_width": 3, "sensitivity_levels": 2}


def lines(width: int, measured: str | None = None) -> Tensor:
    """Make a mask of columns, of a string of 0 and 1 with the zero frequency in the middle."""
    if measured is None:
        drawn = torch.rand(width) < 0.3
        drawn[width // 2 - 3 : width // 2 + 3] = True
    else:
        drawn = torch.tensor([c == "1" for c in measured])
    return torch.fft.ifftshift(drawn.float())


def inputs(
    size: tuple[int, int], coils: int, items: int = 1
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Make image, k-space, mask and sensitivities of a smooth object with noise."""
    rows, columns = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in size), indexing="ij")
    inside = (rows.square() + 1.3 * columns.square() < 0.8).float()
    objects = torch.stack([inside * (1 + 0.3 * torch.cos(9 * rows * k)) for k in range(items)])
    around = torch.arange(coils) * 2 * torch.pi / coils
    weights = torch.stack(
        [torch.exp(-(rows - a.sin()).square() - (columns - a.cos()).square()) for a in around]
    )
    maps = torch.polar(weights, around[:, None, None] + rows * columns)[None]
    maps = (maps / root_sum_of_squares(maps)).expand(items, -1, -1, -1)
    mask = lines(size[1]).expand(1, 1, *size)
    images = expand(torch.polar(objects, 0.5 * rows + columns.square())[:, None], maps)
    kspace = torch.where(mask > 0, fft2(images + 0.01 * torch.randn_like(images)), 0)
    return to_channels(combine(ifft2(kspace), maps), 2), kspace, mask, maps


@pytest.mark.parametrize(
    ("choice", "parameters"),
    [("varnet", 29_936_966), ("varnet_small", 631_905), ("varnet_tiny", 89_681)],
)
def test_parameters_are_told(choice: str, parameters: int) -> None:
    with initialize_config_dir(str(ROOT / "configs"), version_base="1.3"):
        words = [f"architecture@student={choice}", "dataset=mni_multicoil"]
        settings = compose("config", words, return_hydra_config=True).student
    network = build_network({k: v for k, v in settings.items() if k != "name"})
    assert sum(p.numel() for p in network.parameters()) == parameters
    comment = (ROOT / "configs" / "architecture" / f"{choice}.yaml").read_text()
    assert f"{parameters:,} parameters" in comment


@pytest.mark.parametrize("coils", [1, 8, 15])
@pytest.mark.parametrize("levels", [2, 4])
def test_images_are_those_of_fastmri(coils: int, levels: int) -> None:
    models = pytest.importorskip("fastmri.models")
    network = VarNet(2, 4, levels, 3, levels)
    with torch.no_grad():
        for cascade in network.cascades:
            cascade.dc_weight.uniform_(0.5, 1.5)
    theirs = models.VarNet(2, 3, levels, 4, levels)
    theirs.load_state_dict(fastmri_weights(network, levels))
    exact = copy.deepcopy(theirs).double()
    for size in ((37, 45), (48, 33), (64, 64)):
        image, kspace, mask, maps = inputs(size, coils)
        images = torch.fft.ifftshift(ifft2(kspace), dim=(-2, -1))
        centred = torch.view_as_real(torch.fft.fftshift(fft2(images), dim=(-2, -1)).contiguous())
        measured = torch.fft.fftshift(mask, dim=(-2, -1))[:, :, :1, :, None] > 0
        with torch.no_grad():
            wanted = exact(centred.double(), measured)
            rounding = (theirs(centred, measured) - wanted).abs().max()
            found = [network(image, kspace, mask, given) for given in (None, maps)]
        largest = wanted.max()
        assert (wanted - root_sum_of_squares(ifft2(kspace))[:, 0]).abs().max() > 0.1 * largest
        # Of one coil the sensitivity is x / |x|, ill-conditioned where x is small, theirs as well.
        for output in found:
            error = (magnitude(output)[:, 0] - wanted).abs().max()
            assert error <= max(1e-5 * largest, 4 * rounding)


CENTRES = [
    ("0100111101", "0000110000"),  # one left of N // 2 = 5, three from there on
    ("0101111001", "0001111000"),
    ("010111100", "000011000"),
    ("0110011101", "0000010000"),
]
TO_THE_EDGE = [
    ("1111111111", "1111111111"),
    ("0011111111", "0011111100"),
    ("111111110", "011111111"),
]


@pytest.mark.parametrize(("measured", "wanted"), CENTRES + TO_THE_EDGE)
def test_centre_is_the_run_of_measured_lines(measured: str, wanted: str) -> None:
    mask = lines(len(measured), measured).expand(1, 1, 6, -1)
    found = calibration(mask)
    for row in torch.fft.fftshift(found, dim=(-2, -1))[0, 0]:
        assert "".join(str(int(v)) for v in row) == wanted
    assert torch.equal(calibration(mask.transpose(-2, -1)), found.transpose(-2, -1))


@pytest.mark.parametrize(("measured", "wanted"), CENTRES)
def test_centre_is_fastmris(measured: str, wanted: str) -> None:
    models = pytest.importorskip("fastmri.models.varnet")
    mask = torch.fft.fftshift(lines(len(measured), measured))[None, None, None, :, None]
    pad, count = models.SensitivityModel(2, 1).get_pad_and_num_low_freqs(mask)
    assert (wanted.index("1"), wanted.count("1")) == (pad.item(), count.item())


def test_centre_of_a_disc_is_where_it_is_full() -> None:
    place = torch.fft.fftfreq(24) * 24
    disc = (place[:, None].square() + place.square() <= 36).float()[None, None]
    found = calibration(disc)
    assert (found.sum(dim=-1) > 0).sum() == (found.sum(dim=-2) > 0).sum() == 12


@pytest.mark.parametrize("kind", ["real", "constant", "zero", "empty coil"])
def test_constant_parts_give_no_nan(kind: str) -> None:
    network = VarNet(**SMALL)
    _, kspace, mask, _ = inputs((20, 18), 3)
    if kind == "real":
        kspace, mask = fft2(ifft2(kspace).abs() + 0j), torch.ones(1, 1, 20, 18)
    elif kind == "constant":
        kspace, mask = fft2(torch.ones(1, 3, 20, 18) + 0j), torch.ones(1, 1, 20, 18)
    elif kind == "zero":
        kspace = torch.zeros_like(kspace)
    else:
        kspace[:, 1] = 0
    output = network(torch.zeros(1, 2, 20, 18), kspace, mask)
    output.square().sum().backward()
    assert output.isfinite().all()
    assert (output == 0).all() == (kind == "zero")
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_constant_part_comes_back_as_it_was() -> None:
    image = torch.complex(torch.rand(2, 1, 9, 14), torch.full((2, 1, 9, 14), 0.25))
    found = NormalisedUNet(2, 1)(image)
    assert (found.imag == 0.25).all()
    assert (found.real - image.real).abs().max() > 0.01


def test_image_has_the_phase_of_the_given_sensitivities() -> None:
    network, (image, kspace, mask, maps) = VarNet(**SMALL), inputs((24, 20), 4)
    turn = torch.polar(torch.ones(24, 20), torch.linspace(0, 3, 20).expand(24, -1))
    with torch.no_grad():
        plain = network(image, kspace, mask, maps)
        turned = network(image, kspace, mask, maps * turn)
        alone = network(image, kspace, mask)
    assert plain[:, 1].abs().max() > 0.1
    assert (alone[:, 1] == 0).all()
    torch.testing.assert_close(magnitude(turned), magnitude(plain))
    torch.testing.assert_close(alone[:, :1], magnitude(plain))
    expected = torch.complex(plain[:, 0], plain[:, 1]) * turn.conj()
    torch.testing.assert_close(torch.complex(turned[:, 0], turned[:, 1]), expected)


def test_cascade_is_the_published_step() -> None:
    """By hand, with the U-Net as it is; the measured samples of the next k-space tell w.

    Rows of k-space are whole: a cascade takes and gives their images.
    """

    def along(kspace: torch.Tensor) -> torch.Tensor:
        return torch.fft.ifft(kspace, dim=-2, norm="ortho")

    network, (_, kspace, mask, _) = VarNet(**SMALL), inputs((24, 20), 4)
    cascade = network.cascades[0]
    with torch.no_grad():
        cascade.dc_weight.fill_(0.3)
        maps = network.sensitivity(kspace, mask)
        state = fft2(ifft2(kspace) * 1.5)
        found = cascade(along(state), along(kspace), mask, maps)
        removed = cascade.unet((maps.conj() * ifft2(state)).sum(1, keepdim=True))
        expected = state - 0.3 * mask * (state - kspace) - fft2(maps * removed)
        norm = maps.abs().square().sum(1)
    torch.testing.assert_close(found, along(expected))
    torch.testing.assert_close(norm, torch.ones_like(norm))


def test_network_goes_on_from_cg_sense_and_the_given_sensitivities() -> None:
    image, kspace, mask, maps = inputs((40, 36), 6, items=2)
    solved = to_channels(conjugate_gradient_sense(kspace, mask, maps, 16, START_PENALTY), 2)
    begun, published = VarNet(**SMALL, start=16), VarNet(**SMALL)
    with torch.no_grad():
        state, measurement = begun.begin(image, Measurement(kspace, mask, maps))
        images = torch.fft.ifftn(state, dim=measurement.axes, norm="ortho")
        image_of_state = to_channels(combine(images, maps), 2)
        torch.testing.assert_close(image_of_state, solved, rtol=0, atol=0.05)  # samples have noise
        found, far = begun(image, kspace, mask, maps), published(image, kspace, mask, maps)
    assert (found - solved).abs().mean() < 0.3 * (far - solved).abs().mean()
    learnt = measurement.sensitivities
    assert learnt is not None
    assert 0 < (learnt - maps).abs().mean() < 0.2
    published.load_state_dict(begun.state_dict())
    with torch.no_grad():  # without any it has nothing else to go on from
        torch.testing.assert_close(begun(image, kspace, mask), published(image, kspace, mask))


def test_mask_without_whole_lines_is_transformed_along_both_axes() -> None:
    """One sample more or less cannot change much; the ways to it differ."""
    network, (image, kspace, mask, maps) = VarNet(**SMALL), inputs((24, 20), 4)
    other = mask.clone()
    other[..., 11, :] = 0  # of the highest frequency along the rows
    with torch.no_grad():
        lines = network(image, kspace, mask, maps)
        points = network(image, kspace * other, other, maps)
        image_of_row = ifft2(kspace - kspace * other)
    change = (lines - points).abs().max()
    assert 0 < change < 10 * image_of_row.abs().max()


@pytest.mark.parametrize("size", [(24, 20), (45, 52)])
def test_network_computes_the_same_where_no_gradient_is_wanted(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """There it has ways of its own, and coils go through the network for them in parts."""
    monkeypatch.setattr("kdmri.models.varnet.CACHE", 8 * size[0] * size[1] * 4 * 2)
    network, given = VarNet(**SMALL), inputs(size, 5)
    expected = network(*given)
    with torch.inference_mode():
        found = network(*given)
    torch.testing.assert_close(found, expected.detach(), rtol=1e-5, atol=2e-5)


def test_phase_is_not_learnt_where_it_is_noise() -> None:
    size = torch.tensor([1.0, 1.0, 0.0, 1.0]).view(1, 1, 2, 2)
    image = torch.tensor([0.5j, 0.01, 0, 0]).view(1, 1, 2, 2).requires_grad_()
    found = with_phase(size, image)
    torch.testing.assert_close(found.flatten(), torch.tensor([1j, 1, 0, 1]))
    (gradient,) = torch.autograd.grad(found.real.sum() + 2 * found.imag.sum(), image)
    assert gradient.isfinite().all()
    torch.testing.assert_close(gradient.flatten(), torch.tensor([2 + 0j, 0, 0, 0]))


def test_parameters_do_not_depend_on_coils_and_their_order_does_not_matter() -> None:
    network, (image, kspace, mask, maps) = VarNet(**SMALL), inputs((24, 20), 5, items=2)
    with torch.no_grad():
        plain = network(image, kspace, mask, maps)
        order = torch.tensor([3, 0, 4, 1, 2])
        torch.testing.assert_close(network(image, kspace[:, order], mask, maps[:, order]), plain)
        for coils in (1, 3):
            given = inputs((24, 20), coils)
            assert network(*given).shape == (1, 2, 24, 20)
        more = torch.cat((kspace, torch.zeros_like(kspace)), dim=1)  # coils that see nothing
        again = network(image, more, mask, torch.cat((maps, 0 * maps), dim=1))
        torch.testing.assert_close(again, plain, atol=1e-5, rtol=1e-4)


def test_image_scales_with_the_scan() -> None:
    network, (image, kspace, mask, maps) = VarNet(**SMALL), inputs((24, 20), 3)
    with torch.no_grad():
        plain, scaled = (
            network(image, kspace, mask, maps),
            network(image, 1e-5 * kspace, mask, maps),
        )
    torch.testing.assert_close(1e5 * scaled, plain, atol=1e-4, rtol=1e-3)


def test_half_precision_changes_no_more_than_it_rounds() -> None:
    network, given = VarNet(**SMALL), inputs((24, 20), 3)
    plain = network(*given)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = network(*given)
        (activation,) = network.activations(*given, taps=[Tap(0, 1)])
    assert half.dtype == torch.float32
    assert activation.dtype == torch.bfloat16
    assert 0 < (half - plain).abs().max() < 0.1 * plain.abs().max()


def test_what_was_not_measured_is_not_read() -> None:
    network, (image, kspace, mask, maps) = VarNet(**SMALL), inputs((24, 20), 3)
    with torch.no_grad():
        plain = network(image, kspace, mask, maps)
        filled = network(image, torch.where(mask > 0, kspace, torch.nan), mask, maps)
    torch.testing.assert_close(filled, plain)


@pytest.mark.parametrize("size", [(24, 20), (37, 45)])
def test_blocks_and_outputs_are_tapped(size: tuple[int, int]) -> None:
    network, given = VarNet(**SMALL), inputs(size, 3)
    taps = (*network.taps([[0, "down1"], [1, "bottleneck"], [1, "up2"]]), *network.output_taps)
    output, (first, low, last, behind) = network.features(*given, taps=taps)
    assert first.shape[1:] == last.shape[1:] == (4, *size)
    assert low.shape[1] == 16
    assert all(0 <= 4 * n - whole < 8 for n, whole in zip(low.shape[-2:], size, strict=True))
    torch.testing.assert_close(output, network(*given))
    shorter = VarNet(**SMALL | {"cascades": 1})
    shorter.load_state_dict(
        {k: v for k, v in network.state_dict().items() if not k.startswith("cascades.1")}
    )
    torch.testing.assert_close(behind, shorter(*given))
    found = network.activations(*given, taps=taps[:1])
    torch.testing.assert_close(found[0], first)
    assert network.middle_taps == (Tap(0, 2), Tap(1, 2))
    with pytest.raises(ConfigurationError, match="named down1, down2, bottleneck, up1, up2"):
        network.taps([[0, "down3"]])


def test_deepest_networks_are_tried_on_images_that_are_large_enough() -> None:
    network = VarNet(1, 2, 4, 2, 4)
    assert network.smallest_size == 17
    given = inputs((17, 17), 2)
    network(*given)
    with pytest.raises(ValueError, match="spatial element"):
        network(*inputs((16, 16), 2))
    small = VarNet(**SMALL)
    small(*inputs((small.smallest_size * 4, 8), 2))


def test_images_of_another_size_than_kspace_are_refused() -> None:
    image, *rest = inputs((24, 20), 2)
    with pytest.raises(RuntimeError, match=r"the image has size \(24, 18\), its k-space \(24, 20"):
        VarNet(**SMALL)(image[..., :18], *rest)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"cascades": 0}, "needs cascades >= 1"),
        ({"channels": 1}, "complex images, dataset.channels=2"),
        ({"start": -1}, "start >= 0"),
        ({"levels": 5}, "1 to 4 levels"),
        ({"sensitivity_width": 0}, "width 0 and"),
    ],
)
def test_impossible_networks_are_refused(wrong: dict[str, int], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        build_network({"_target_": "kdmri.models.VarNet", **SMALL, **wrong})
