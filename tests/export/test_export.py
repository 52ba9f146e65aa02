"""`python -m kdmri.export` as a user runs it: files that do what the network does."""

import os
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper

from kdmri.data.batch import Slice
from kdmri.data.embedded import find_mni
from kdmri.data.masks import GaussianLines
from kdmri.export.checking import Agreement, Bound
from kdmri.models import load_network
from kdmri.models.stored import build_network
from kdmri.physics import CentralKspace
from tests.conftest import CENTRE, LINES, Result

Run = Callable[..., Result]
D5C5 = {"_target_": "kdmri.models.DCCNN", "cascades": 5, "depth": 5}
D3C5 = D5C5 | {"depth": 3}
TINY = D5C5 | {"cascades": 1, "depth": 3, "width": 4, "residual": True}
VDSR = {"_target_": "kdmri.models.VDSR", "depth": 7}
QUICK = ("check_slices=3", "calibration_slices=4", "repeats=1")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Callable[..., Path]:
    """Write a checkpoint of PyTorch's random weights, trained on slices of a size, as it says."""

    def write(network: dict, sampling: dict = LINES, size: tuple[int, int] = (64, 56)) -> Path:
        stored = {"network": network, "weights": build_network(network).state_dict(), "epoch": 1}
        facts = {"format": 2, "stage": "kd", "task": {"name": "t", "sampling": sampling}}
        facts["data"] = {"name": "mni", "title": "MNI", "licence": None, "slice_size": list(size)}
        facts["metrics"] = {"val/psnr": 31.5}
        torch.save({**stored, **facts, "score": 0.1}, tmp_path / "best_model.pt")
        return tmp_path / "best_model.pt"

    return write


@pytest.fixture
def export(run: Run) -> Run:
    def call(*overrides: object, **keys: object) -> Result:
        words = [f"{key}={value}" for key, value in keys.items()]
        return run("kdmri/export/__main__.py", *QUICK, *map(str, overrides), *words)

    return call


def run_card(card: str) -> np.ndarray:
    """Run the program that an export's README shows."""
    (program,) = re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)
    names: dict[str, Any] = {}
    exec(program, names)
    return np.asarray(names["reconstruction"])


@pytest.mark.parametrize(
    ("network", "sampling"),
    [(D5C5, LINES), (D3C5 | {"channels": 2}, LINES), (VDSR, CENTRE)],
    ids=["d5c5", "d3c5 complex", "vdsr7"],
)
def test_onnx_equals_the_network(
    checkpoint: Callable[..., Path],
    export: Run,
    anatomy: np.ndarray,
    tmp_path: Path,
    network: dict,
    sampling: dict,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On slices of another size and number than the export saw, with NumPy's transforms."""
    path = checkpoint(network, sampling)
    result = export(checkpoint=path, output="out")
    assert result.code == 0, result.err
    channels = network.get("channels", 1)
    mask = GaussianLines(4)((48, 40)).astype(np.float32)
    target = np.moveaxis(anatomy[:, :, 10:15], -1, 0)[:, None]
    if channels == 2:
        target = target * np.exp(2j * target)
    kspace = (mask * np.fft.fft2(target, norm="ortho")).astype(np.complex64)
    seen = np.fft.ifft2(kspace, norm="ortho")
    image = np.abs(seen) if channels == 1 else np.concatenate((seen.real, seen.imag), axis=1)
    inputs = {"image": image.astype(np.float32)}
    if sampling == LINES:
        parts = np.concatenate((kspace.real, kspace.imag), axis=1)
        inputs |= {"kspace": parts, "lines": mask[:, 0]}
        card = (tmp_path / "out" / "README.md").read_text()
        assert "`lines`: float32 (H,), 1 where a row of k-space is measured" in card
        assert "(W,)" not in card
    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx")
    assert [item.name for item in session.get_inputs()] == list(inputs)
    found = session.run(["reconstruction"], inputs)[0]
    tensors = (torch.from_numpy(a) for a in (inputs["image"], kspace, mask[None, None]))
    with torch.no_grad():
        wanted = load_network(path).eval()(*tensors).numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    model = onnx.load(tmp_path / "out" / "model.onnx")
    assert next(o.version for o in model.opset_import if o.domain == "") == 18
    assert str(Path(__file__).parents[1]) not in str(model), "nothing of this machine"
    card = (tmp_path / "out" / "README.md").read_text()
    assert "ONNX, opset 18" in card
    assert all(f"- `{name}`: float32" in card for name in inputs)
    assert "val/psnr 31.5" in card
    monkeypatch.chdir(tmp_path / "out")
    np.save("kspace.npy", 3 * kspace[0, 0])
    again = run_card(card)
    scale = np.abs(seen[0]).max()
    with torch.no_grad():
        tensors = tuple(torch.from_numpy(a[:1] / scale) for a in (inputs["image"], kspace))
        wanted = load_network(path).eval()(*tensors, torch.from_numpy(mask[None, None])).numpy()
    np.testing.assert_allclose(again, 3 * scale * wanted, atol=1e-3)


def test_shown_program_apodises_as_the_task_does(
    checkpoint: Callable[..., Path],
    export: Run,
    anatomy: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Under a mask that is no mask of lines, too: a network with data consistency takes it."""
    window = ["tukey", 0.5]
    path = checkpoint(VDSR | {"consistency": True}, CENTRE | {"window": window})
    result = export(checkpoint=path, output="out")
    assert result.code == 0, result.err
    target = torch.from_numpy(anatomy[:, :, 12]).float()[None, None]
    first = torch.zeros(1, dtype=torch.int64)
    batch = CentralKspace(4, window=window)(Slice(target, None, torch.ones(1), first, first))
    plain = np.fft.ifft2(batch.kspace.numpy(), norm="ortho")
    scale = torch.tensor(batch.image.numpy().max())
    assert np.abs(np.abs(plain) - batch.image.numpy()).max() > 0.01, "the window is seen"
    monkeypatch.chdir(tmp_path / "out")
    np.save("kspace.npy", batch.kspace[0, 0].numpy())
    card = Path("README.md").read_text()
    assert "- `mask`: float32 (1, 1, H, W)" in card
    with torch.no_grad():
        network = load_network(path).eval()
        wanted = scale * network(batch.image / scale, batch.kspace / scale, batch.mask)
    np.testing.assert_allclose(run_card(card), wanted.numpy(), atol=1e-4)


def test_all_precisions_and_verification(
    checkpoint: Callable[..., Path], export: Run, tmp_path: Path
) -> None:
    path = checkpoint(TINY)
    call = {"checkpoint": path}
    for precision, weights in (("int8", TensorProto.INT8), ("float16", TensorProto.FLOAT16)):
        result = export(**call, precision=precision, slices=find_mni())
        assert result.code == 0, result.err
        assert f"ONNX {precision}" in result.out
        assert "ONNX float32" in result.out
        folder = tmp_path / f"best_model_onnx_{precision}"
        assert sorted(file.name for file in folder.iterdir()) == [
            *("README.md", "export.json", "model.onnx")
        ]
        stored = onnx.load(folder / "model.onnx").graph.initializer
        assert any(tensor.data_type == weights and len(tensor.dims) == 4 for tensor in stored)
    file = tmp_path / "best_model_onnx_float16" / "model.onnx"
    before = sorted(tmp_path.rglob("*"))
    assert export(**call, precision="float16", verify=file).code == 0
    strict = export("bounds.float32.difference=1e-9", **call, verify=file)
    assert strict.code == 2
    assert "differs from the network by more than allowed" in strict.err
    assert sorted(tmp_path.rglob("*")) == before, "verification writes nothing"
    refused = export(**call, precision="float16")
    assert "best_model_onnx_float16: exists" in refused.err
    bounded = export("bounds.float16.difference=0", **call, precision="float16", output="strict")
    assert bounded.code == 2
    assert "bounds: difference up to 0" in bounded.err
    assert not list(tmp_path.glob("*strict*"))


def test_torch_export_runs_at_another_size(
    checkpoint: Callable[..., Path], export: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = checkpoint(TINY)
    result = export(checkpoint=path, format="torch_export", output="out")
    assert result.code == 0, result.err
    program = torch.export.load(tmp_path / "out" / "model.pt2").module()
    mask = torch.from_numpy(GaussianLines(4)((30, 44))).float()
    image, kspace = torch.rand(3, 1, 30, 44), mask * torch.randn(3, 1, 30, 44, dtype=torch.cfloat)
    with torch.no_grad():
        found = program(image, torch.cat((kspace.real, kspace.imag), dim=1), mask[:, 0])
        wanted = load_network(path).eval()(image, kspace, mask[None, None])
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
    monkeypatch.chdir(tmp_path / "out")
    np.save("kspace.npy", kspace[0, 0].numpy())
    again = run_card(Path("README.md").read_text())
    seen = torch.fft.ifft2(kspace[:1], norm="ortho").abs()
    scale = seen.max()
    with torch.no_grad():
        wanted = scale * load_network(path).eval()(
            seen / scale, kspace[:1] / scale, mask[None, None]
        )
    np.testing.assert_allclose(again, wanted.numpy(), atol=1e-4)


def foreign(path: Path, *nodes: onnx.NodeProto, **changes: object) -> Path:
    names = {name: ["B", c, "H", "W"] for name, c in (("image", 1), ("kspace", 2))}
    inputs = [helper.make_tensor_value_info(n, 1, shape) for n, shape in names.items()]
    inputs.append(helper.make_tensor_value_info("lines", 1, ["H"]))
    outputs = [helper.make_tensor_value_info("reconstruction", 1, ["B", 1, "H", "W"])]
    graph = helper.make_graph(nodes, "g", inputs, outputs, **changes)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("evil", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
    return path


def test_files_of_others_are_run_safely_or_refused(
    checkpoint: Callable[..., Path], export: Run, tmp_path: Path
) -> None:
    path = checkpoint(TINY)

    def error(file: Path) -> str:
        result = export(checkpoint=path, verify=file)
        assert result.code == 2
        lines = [line for line in result.err.splitlines() if line]
        assert len(lines) == 1, result.err
        return lines[0]

    same = helper.make_node("Identity", ["image"], ["reconstruction"])
    assert "differs from the network" in error(foreign(tmp_path / "identity.onnx", same))
    evil = helper.make_node("Run", ["image"], ["reconstruction"], domain="evil")
    assert "of the domain evil" in error(foreign(tmp_path / "evil.onnx", evil))
    weight = TensorProto(name="w", data_type=1, dims=[1], data_location=TensorProto.EXTERNAL)
    weight.external_data.add(key="location", value="/etc/passwd")
    add = helper.make_node("Add", ["image", "w"], ["reconstruction"])
    outside = foreign(tmp_path / "outside.onnx", add, initializer=[weight])
    assert "keeps weights in other files" in error(outside)
    small = helper.make_node("ReduceMean", ["image"], ["reconstruction"])
    assert "where the network gives (1, 1, 64, 56)" in error(foreign(tmp_path / "s.onnx", small))
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes((tmp_path / "identity.onnx").read_bytes()[:-40])
    assert "not an ONNX file that can be run" in error(damaged)
    assert "there is no such file" in error(tmp_path / "none.onnx")


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.place),)


def test_foreign_pt2_file_is_never_opened(
    checkpoint: Callable[..., Path], export: Run, tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "trap.pt2", "w") as file:
        file.writestr("data/constants/custom_obj_0", pickle.dumps(Trap(tmp_path / "sprung")))
    result = export(checkpoint=checkpoint(TINY), verify="trap.pt2")
    assert result.code == 2
    assert "unpickles" in result.err
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"format": "nifti"}, "format: must be onnx, openvino or torch_export"),
        ({"precision": "int4"}, "precision=int4: format=onnx has float32, float16, int8"),
        ({"format": "torch_export", "precision": "int8"}, "has float32, float16"),
        ({"repeats": "0"}, "repeats=0: must be a whole number"),
        ({"bounds.float32": "1"}, "bounds.float32=1: has two parts"),
        ({"checkpoint": "none.pt"}, "none.pt: there is no such checkpoint"),
        ({"slices": "nowhere"}, "nowhere: there is no such file"),
        ({"output": "."}, "exists"),
    ],
)
def test_wrong_commands(
    checkpoint: Callable[..., Path], export: Run, keys: dict, message: str
) -> None:
    result = export(**({"checkpoint": checkpoint(TINY)} | keys))
    assert result.code == 2
    assert message in result.err


def test_bound_refuses_what_is_not_a_number() -> None:
    broken = Agreement(difference=float("nan"), psnr=float("nan"), reference=30.0, finite=False)
    with pytest.raises(Exception, match="by more than allowed"):
        Bound(None, 1.0).check(broken, "int8")
