"""Data consistency without complex numbers, against the network's own."""

import numpy as np
import pytest
import torch

from kdmri.data.masks import GaussianLines
from kdmri.errors import ConfigurationError
from kdmri.export.consistency import Exportable, Pair, projection, transform
from kdmri.models import DCCNN, UNet


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
