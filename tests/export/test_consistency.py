"""Data consistency without complex numbers, against the network's own."""

import numpy as np
import pytest
import torch

from kdmri.data.masks import GaussianLines
from kdmri.errors import ConfigurationError
from kdmri.export.consistency import Exportable, Pair, projection, transform
from kdmri.models import DCCNN, UNet
from kdmri.physics import DataConsistency
from kdmri.physics.sense import noise_variance
from tests.data.readers.coils import phased, sensitivities


@pytest.mark.parametrize("size", [(48, 40), (37, 41)])
def test_matrix_transform_is_the_orthonormal_transform(size: tuple[int, int]) -> None:
    image = torch.randn(2, 1, *size, dtype=torch.complex64)
    found = transform(Pair(image.real, image.imag), inverse=False)
    np.testing.assert_allclose(
        torch.complex(*found), np.fft.fft2(image.numpy(), norm="ortho"), atol=1e-5
    )
    back = transform(found, inverse=True)
    np.testing.assert_allclose(torch.complex(*back), image, atol=1e-5)


def test_projection_is_idempotent_and_keeps_measured_lines() -> None:
    lines = torch.from_numpy(GaussianLines(4)((41, 1))[:, 0]).float()
    matrix = torch.complex(*projection(lines))
    torch.testing.assert_close(matrix @ matrix, matrix, atol=1e-5, rtol=0)
    torch.testing.assert_close(matrix, matrix.conj().T, atol=1e-6, rtol=0)
    assert torch.trace(matrix).real.item() == pytest.approx(lines.sum().item(), abs=1e-4)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("axis", [0, 1, None])
def test_exportable_equals_the_network(
    anatomy: np.ndarray, channels: int, axis: int | None
) -> None:
    """Published student; a mask of rows, of columns, and one of scattered samples."""
    network = DCCNN(5, 3, channels=channels).eval()
    rows = GaussianLines(4, axis=axis or 0)((48, 40))
    mask = torch.from_numpy(rows if axis is not None else rows * GaussianLines(2, 1)((48, 40)))
    mask = mask[None, None].float()
    image = torch.from_numpy(anatomy[:, :, [5, 20]]).permute(2, 0, 1)[:, None].float()
    kspace = mask * torch.fft.fft2(image * torch.exp(1j * image), norm="ortho")
    image = torch.cat([image] * channels, dim=1)
    lines = mask if axis is None else mask[0, 0, :, 0] if axis == 0 else mask[0, 0, 0]
    exportable = Exportable(network, axis)
    with torch.no_grad():
        found = exportable(image, torch.cat((kspace.real, kspace.imag), dim=1), lines)
        wanted = network(image, kspace, mask)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


def test_network_of_other_layers_cannot_be_halved() -> None:
    with pytest.raises(ConfigurationError, match="UNet is not made of 3x3 convolutions alone"):
        Exportable(UNet(width=4, levels=2), axis=0, half=True)


@pytest.mark.parametrize("axis", [0, 1, None])
@pytest.mark.parametrize("coils", [1, 5])
def test_exportable_of_several_coils_equals_the_network(
    anatomy: np.ndarray, axis: int | None, coils: int
) -> None:
    """Sensitivities that are zero in a corner, where there is no signal."""
    network = DCCNN(3, 3, channels=2).eval()
    rows = GaussianLines(4, axis=axis or 0)((48, 40))
    mask = torch.from_numpy(rows if axis is not None else rows * GaussianLines(2, 1)((48, 40)))
    mask = mask[None, None].float()
    maps = torch.from_numpy(sensitivities(coils, (48, 40)))[None].repeat(2, 1, 1, 1)
    maps[..., :9, :8] = 0
    image = torch.from_numpy(phased(anatomy, slice(5, 7)))[:, None]
    kspace = mask * torch.fft.fft2(maps * image, norm="ortho")
    combined = (maps.conj() * torch.fft.ifft2(kspace, norm="ortho")).sum(1, keepdim=True)
    parts = torch.cat((combined.real, combined.imag), dim=1)
    lines = mask if axis is None else mask[0, 0, :, 0] if axis == 0 else mask[0, 0, 0]
    exportable = Exportable(network, axis, several_coils=True)
    pairs = [torch.stack((values.real, values.imag), dim=1) for values in (kspace, maps)]
    with torch.no_grad():
        found = exportable(parts, pairs[0], lines, pairs[1])
        wanted = network(parts, kspace, mask, maps)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
    assert exportable.inputs[-1] == "sensitivities"


def test_learnt_steps_of_data_consistency_are_refused() -> None:
    network = DCCNN(2, 3, channels=2)
    network.cascades[1].consistency = DataConsistency(soft=True)
    with pytest.raises(ConfigurationError, match="soft data consistency"):
        Exportable(network, axis=0, several_coils=True)


@pytest.mark.parametrize("axis", [0, 1, None])
def test_cg_sense_before_and_behind_cascades_is_exported(
    anatomy: np.ndarray, axis: int | None
) -> None:
    settings = {"start": 6, "closing": 5, "noise_floor": True}
    network = DCCNN(2, 2, 4, channels=2, residual=True, **settings).eval()
    rows = GaussianLines(3, axis=axis or 0)((48, 40))
    mask = torch.from_numpy(rows if axis is not None else rows * GaussianLines(2, 1)((48, 40)))
    mask = mask[None, None].float()
    maps = torch.from_numpy(sensitivities(4, (48, 40)))[None].expand(2, -1, -1, -1)
    image = torch.from_numpy(phased(anatomy, slice(9, 11)))[:, None]
    noise = 0.02 * torch.randn(2, 4, 48, 40, dtype=torch.complex64)
    kspace = mask * (torch.fft.fft2(maps * image, norm="ortho") + noise)
    combined = (maps.conj() * torch.fft.ifft2(kspace, norm="ortho")).sum(dim=1)
    parts, samples, known = (torch.stack((x.real, x.imag), 1) for x in (combined, kspace, maps))
    lines = mask if axis is None else mask[0, 0, :, 0] if axis == 0 else mask[0, 0, 0]
    with torch.no_grad():
        exportable = Exportable(network, axis, several_coils=True)
        level = noise_variance(kspace, mask).flatten()
        found = exportable(parts, samples, lines, known, level)
        wanted = network(parts, kspace, mask, maps)
        for setting in ("closing", "noise_floor"):
            setattr(network, setting, 0)
            without = network(parts, kspace, mask, maps)
            setattr(network, setting, settings[setting])
            assert (wanted - without).abs().max() > 1e-3
    assert exportable.inputs[-2:] == ["sensitivities", "noise"]
    assert (found - wanted).abs().max() < 1e-4 * wanted.abs().max()
