"""Rows of the benchmark on k-space of several coils."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from kdmri.benchmark import coils
from kdmri.benchmark.coil_reference import ReferenceCoilDCCNN
from kdmri.benchmark.coil_steps import (
    TEACHER,
    FilesStep,
    MemoryStep,
    PlainStep,
    SuiteCoilStep,
)
from kdmri.benchmark.command import _rows
from kdmri.benchmark.peers import BartImage, BartMaps, FastmriVarNet
from kdmri.benchmark.scan import kspace_of
from kdmri.benchmark.setting import Setting
from kdmri.benchmark.varnet_reference import ReferenceVarNet
from kdmri.classical.bart import write_cfl
from kdmri.errors import DataError
from kdmri.models import DCCNN, VarNet
from kdmri.physics import Espirit, ifft2, to_channels
from kdmri.physics.coils import combine

SIZE = (3, 48, 40)


@pytest.fixture
def setting() -> Setting:
    return Setting({}, (48, 40), 2, 3, "cpu", "32-true", 1)


def test_plain_student_computes_what_the_suite_computes() -> None:
    """Images and gradients, under a mask of lines and under one of points."""
    torch.manual_seed(0)
    network, plain = DCCNN(2, 3, width=8, channels=2), ReferenceCoilDCCNN(2, 3, width=8)
    plain.load_state_dict(network.state_dict())
    full = kspace_of(SIZE, 2, undersampled=False)
    maps = Espirit(crop=0.5)(full, (24, 24))
    lines = (torch.rand(1, 1, 1, 40) < 0.4).float().expand(1, 1, 48, 40)
    for mask in (lines, (torch.rand(2, 1, 48, 40) < 0.4).float()):
        kspace = mask * full
        image = to_channels(combine(ifft2(kspace), maps), 2)
        found, wanted = (net(image, kspace, mask, maps) for net in (network, plain))
        assert (found - image).abs().max() > 0.01
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)
        for net, output in ((network, found), (plain, wanted)):
            net.zero_grad()
            output.square().mean().backward()
        for (name, one), other in zip(network.named_parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(one.grad, other.grad, atol=1e-6, rtol=1e-3, msg=name)


def test_plain_varnet_computes_what_the_suite_computes() -> None:
    """Images of columns, of a size that is padded; sizes and weights are the teacher's."""
    torch.manual_seed(4)
    network, plain = VarNet(**TEACHER), ReferenceVarNet(**TEACHER)
    plain.load_state_dict(network.state_dict())
    full = kspace_of((4, 50, 70), 2, undersampled=False)
    maps = Espirit(crop=0.5)(full, (24, 24))
    drawn = torch.rand(2, 1, 1, 70) < 0.3
    drawn[..., :9] = drawn[..., -7:] = True
    for mask in (drawn.float().expand(2, 1, 50, 70), torch.ones(1, 1, 50, 70)):
        inputs = torch.zeros(2, 2, 50, 70), mask * full, mask, maps
        with torch.no_grad():
            found, wanted = network(*inputs), plain(*inputs)
        zero_filled = combine(ifft2(mask * full), maps).abs()
        assert (wanted.norm(dim=1) - zero_filled[:, 0]).abs().max() > 0.01 * wanted.abs().max()
        assert (found - wanted).abs().max() < 1e-4 * wanted.abs().max()
    graph = plain(*inputs).square().mean()
    assert all(g.isfinite().all() for g in torch.autograd.grad(graph, [*plain.parameters()]))


@pytest.mark.parametrize("taught", [False, True])
@pytest.mark.parametrize("kind", [SuiteCoilStep, PlainStep])
def test_steps_learn_from_new_slices(
    setting: Setting, tmp_path: Path, kind: type, taught: bool
) -> None:
    torch.manual_seed(1)
    work = kind(setting, tmp_path, taught=taught, size=SIZE)
    weights = [p for g in work._optimizer.param_groups for p in g["params"]]
    before, seen = [w.detach().clone() for w in weights], set()
    for _ in range(3):
        work.prepare()
        work.run()
        seen.add(float(work.chosen.target.sum()))
    assert all((a != b.detach()).any() for a, b in zip(before, weights, strict=True))
    assert len(seen) > 1


def test_steps_from_files_read_them_and_those_in_memory_do_not(
    setting: Setting, tmp_path: Path
) -> None:
    for kind in (FilesStep, MemoryStep):
        (tmp_path / kind.__name__).mkdir()
        work = kind(setting, tmp_path / kind.__name__, size=SIZE)
        work.prepare()
        for path in work.paths:
            path.unlink()
        if kind is MemoryStep:
            work.run()
            continue
        with pytest.raises(DataError, match="missing"):
            work.run()


@pytest.mark.skipif(shutil.which("bart") is None, reason="the program bart is not installed")
def test_bart_reconstructs_the_slice(tmp_path: Path) -> None:
    torch.manual_seed(2)
    work = BartImage(SIZE, tmp_path)
    assert work.outside
    work.prepare()
    work.run()
    image = np.fromfile(tmp_path / "image.cfl", np.complex64).reshape(48, 40, order="F")
    maps = np.fromfile(tmp_path / "maps.cfl", np.complex64)
    assert maps.size == 3 * 48 * 40
    assert np.abs(image).max() > 0.1
    write_cfl(tmp_path / "kspace", np.zeros((0,)))
    with pytest.raises(Exception, match=r"bart ecalib .*: failed"):
        BartMaps.run(work)


@pytest.mark.parametrize("kind", [coils.SuiteImage, coils.SuiteMaps, coils.SuiteVarNet])
def test_inference_is_of_another_slice_each_time(kind: type) -> None:
    torch.manual_seed(3)
    work, seen = kind(SIZE), set()
    for _ in range(2):
        work.prepare()
        work.run()
        chosen = work.chosen if isinstance(work.chosen, torch.Tensor) else work.chosen[1]
        assert 0.2 < (chosen != 0).float().mean() < 0.8
        seen.add(complex(chosen.sum()))
    assert len(seen) == 2


def test_peers_that_are_not_there_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    row = "sensitivities, 8 coils / bart"
    assert coils.arms(row, "reference") == (["suite"], f"{row}: the program bart is not installed")
    assert coils.arms("coil student step / plain", "reference") == (["suite", "reference"], None)
    assert coils.arms("coil student step / plain", None) == (["suite"], None)
    assert _rows(["loading", coils.GROUP]) == ["loading", *coils.ROWS]


def test_fastmri_takes_the_slice() -> None:
    pytest.importorskip("fastmri.models")
    work = FastmriVarNet(SIZE)
    work.prepare()
    work.run()
