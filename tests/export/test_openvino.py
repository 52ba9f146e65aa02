"""`kdmri export format=openvino`, and `kdmri reconstruct` with exported networks."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from kdmri.data.masks import GaussianLines
from kdmri.errors import ConfigurationError, DataError
from kdmri.files import sha256
from kdmri.models import load_network
from kdmri.models.trained import open_checkpoint
from kdmri.reconstruct.runtime import Deployed, Note, deployed
from tests.conftest import ROOT, Result
from tests.export.test_export import D5C5, QUICK, Run, checkpoint, run_card

__all__ = ["checkpoint"]  # a fixture

Checkpoint = Callable[..., Path]
SMALL = D5C5 | {"cascades": 2, "depth": 3, "width": 8}
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::SyntaxWarning"),
]


@pytest.fixture
def export(run: Run) -> Run:
    pytest.importorskip("openvino")
    pytest.importorskip("nncf")

    def call(*words: str, **keys: object) -> Result:
        given = (*words, *(f"{key}={value}" for key, value in keys.items()))
        return run("kdmri/export/__main__.py", "format=openvino", *QUICK, *given)

    return call


def test_what_differs_too_much_is_left_out_and_the_readme_runs_the_rest(
    checkpoint: Checkpoint,
    export: Run,
    anatomy: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = checkpoint(SMALL)
    result = export("bounds.openvino_int8.psnr=-1", checkpoint=path)
    assert result.code == 0, result.err
    assert "left out: openvino int8: differs from the network by more than allowed" in result.out
    assert "taken: float32" in result.out
    assert "OpenVINO int8" in result.out, "its figures are shown"
    folder = tmp_path / "best_model_openvino_fastest"
    names = sorted(p.name for p in folder.iterdir())
    assert names == ["README.md", "export.json", "model.bin", "model.xml"]
    assert str(tmp_path) not in (folder / "model.xml").read_text(), "nothing of this machine"
    mask = GaussianLines(4)((48, 40)).astype(np.float32)
    kspace = (mask * np.fft.fft2(anatomy[:, :, 12], norm="ortho")).astype(np.complex64)
    monkeypatch.chdir(folder)
    np.save("kspace.npy", 3 * kspace)
    seen = np.abs(np.fft.ifft2(kspace, norm="ortho")).astype(np.float32)
    scale = seen.max()
    tensors = (torch.from_numpy(a / scale)[None, None] for a in (seen, kspace))
    with torch.no_grad():
        wanted = load_network(path).eval()(*tensors, torch.from_numpy(mask)[None, None]).numpy()
    found = run_card(Path("README.md").read_text())
    np.testing.assert_allclose(found, 3 * scale * wanted, atol=1e-4 * 3 * scale)


def test_eight_bits_are_those_of_convolutions_alone_and_reconstruct_runs_them(
    checkpoint: Checkpoint, export: Run, run: Run, anatomy: np.ndarray, tmp_path: Path
) -> None:
    path = checkpoint(SMALL)
    result = export(checkpoint=path, precision="int8")
    assert result.code == 0, result.err
    from openvino import Core

    model = Core().read_model(tmp_path / "best_model_openvino_int8" / "model.xml")
    kinds = [op.get_type_name() for op in model.get_ops()]
    assert kinds.count("Convolution") == 6
    rounded = [op for op in model.get_ops() if op.get_type_name() == "FakeQuantize"]
    assert len(rounded) >= 6
    for op in rounded:
        users = {t.get_node().get_type_name() for t in op.output(0).get_target_inputs()}
        assert users == {"Convolution"}
    nibabel.save(nibabel.Nifti1Image(anatomy[:, :, 10:14], np.eye(4)), tmp_path / "scan.nii")
    images = {}
    for runtime in ("torch", "openvino"):
        words = (f"runtime={runtime}", f"checkpoint={path}", f"output={runtime}.nii")
        done = run("kdmri/reconstruct/__main__.py", "input=scan.nii", "batch_size=3", *words)
        assert done.code == 0, done.err
        images[runtime] = nibabel.load(tmp_path / f"{runtime}.nii").get_fdata()
    difference = np.abs(images["torch"] - images["openvino"]).max() / images["torch"].max()
    assert 0 < difference < 0.02


def test_packages_that_are_missing_are_named(
    checkpoint: Checkpoint, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kdmri.export.openvino.PACKAGES", ("no_such_package",))
    result = run("kdmri/export/__main__.py", "format=openvino", f"checkpoint={checkpoint(SMALL)}")
    assert result.code == 2
    assert "pip install 'kdmri[openvino]'" in result.err


def noted(path: Path, folder: str, **changed: object) -> Path:
    """Write a folder as an export leaves it, without a network."""
    (path.parent / folder).mkdir()
    note = Note("model.onnx", "onnx", "float32", sha256(path), ["image", "kspace", "lines"], 0)
    facts = note.__dict__ | changed
    (path.parent / folder / "export.json").write_text(json.dumps(facts))
    return path.parent / folder


def test_exports_that_do_not_belong_to_the_checkpoint_are_refused(checkpoint: Checkpoint) -> None:
    path = checkpoint(SMALL)
    trained = open_checkpoint(path)
    with pytest.raises(ConfigurationError, match="none is there; write it with kdmri export"):
        deployed(trained, "onnx", None, "auto")
    other = noted(path, "other", checkpoint_sha256="0" * 64)
    with pytest.raises(ConfigurationError, match="was made of another checkpoint"):
        deployed(trained, "onnx", str(other), "auto")
    with pytest.raises(ConfigurationError, match="holds onnx, not openvino"):
        deployed(trained, "openvino", str(other), "auto")
    outside = noted(path, "outside", file="../model.onnx")
    with pytest.raises(ConfigurationError, match="is damaged"):
        deployed(trained, "onnx", str(outside), "auto")
    for number in range(2):
        noted(path, f"best_model_onnx_{number}")
    with pytest.raises(ConfigurationError, match=r"best_model_onnx_0, .*best_model_onnx_1"):
        deployed(trained, "onnx", None, "auto")
    with pytest.raises(ConfigurationError, match="give device=cpu"):
        deployed(trained, "onnx", None, "cuda")
    with pytest.raises(ConfigurationError, match="give runtime=onnx or openvino, too"):
        deployed(trained, "torch", str(other), "auto")


def test_masks_that_differ_go_one_by_one_and_other_ones_are_refused(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    """What runs is seen: it gives the number of measured lines."""
    network = open_checkpoint(checkpoint(SMALL)).network
    note = Note("model.onnx", "onnx", "float32", "", ["image", "lines"], 0)

    def run(inputs: dict[str, np.ndarray]) -> np.ndarray:
        return inputs["image"] * 0 + inputs["lines"].sum()

    one = Deployed(network, note, run, tmp_path)
    image, mask = torch.rand(2, 1, 6, 5), torch.zeros(2, 1, 6, 5)
    mask[0, :, :2], mask[1, :, :5] = 1, 1
    found = one(image, mask + 0j, mask)
    assert found[:, 0, 0, 0].tolist() == [2, 5]
    assert one(image, mask + 0j, mask[:1])[:, 0, 0, 0].tolist() == [2, 2]
    with pytest.raises(DataError, match="exported for masks of whole rows"):
        one(image, mask + 0j, torch.eye(6, 5)[None, None])


def test_signal_is_handled_after_networks_that_were_open_together(tmp_path: Path) -> None:
    """With a Core each, the second puts back the freed signal stack of the first, and this ends."""
    pytest.importorskip("openvino")
    program = """
import signal
from pathlib import Path
import numpy as np
import openvino
from openvino import opset13
from kdmri.reconstruct.openvino_files import open_openvino
image = opset13.parameter([1, 1, 8, 8], np.float32)
openvino.save_model(openvino.Model([opset13.relu(image)], [image]), "relu.xml")
first, second = (open_openvino(Path("relu.xml")) for _ in range(2))
del first
del second
handled = []
signal.signal(signal.SIGTERM, lambda *given: handled.append(given))
signal.raise_signal(signal.SIGTERM)
assert handled
"""
    words = [sys.executable, "-W", "ignore", "-c", program]
    there = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run(words, cwd=tmp_path, env=there, check=True)
