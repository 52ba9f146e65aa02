from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

from kdmri.analysis.experiments import Run, find_runs, read_figures
from kdmri.errors import ConfigurationError, DataError, KdmriError
from kdmri.report.rebuild import check_targets, open_reference


def run_of(trained: Path, name: str = "tiny_kd") -> Run:
    runs, _ = find_runs(trained / "experiments")
    return next(run for run in runs if run.directory.name == name)


def test_targets_and_inputs_are_those_that_were_measured(
    trained: Path, anatomy: np.ndarray
) -> None:
    reference = open_reference(run_of(trained), None)
    assert reference.slices == {"a": 5, "b": 4}
    shown = [reference.slice("b", index) for index in range(4)]
    target = np.stack([slice.target for slice in shown])
    np.testing.assert_allclose(target, anatomy[:, :, 27:31].transpose(2, 0, 1), atol=1e-6)
    zero_filled = np.stack([slice.baselines["Zero-filled"] for slice in shown])
    psnr = peak_signal_noise_ratio(target, zero_filled, data_range=target.max())
    figures = read_figures(
        trained / "experiments" / "own" / "acc_4x" / "tiny_comparison" / "metrics.csv"
    )
    assert figures["Zero-filled"]["b"]["psnr"] == pytest.approx(psnr, abs=1e-4)


@pytest.mark.parametrize(
    "node",
    [
        {"_target_": "os.system", "command": "true"},
        {"_target_": "builtins.eval"},
        {"_target_": "kdmri.physics.fft2"},
        {"_target_": "kdmri.physics.fourier.torch.load"},
        {"_target_": "kdmri.data.masks.Path"},
        {"_target_": "hydra.utils.call"},
        {"_target_": "kdmri.data.masks.MaskFile", "path": "${oc.env:HOME}"},
        {"_target_": "kdmri.data.masks.GaussianLines", "_args_": [4]},
        {"_target_": ["os.system"]},
        {"mask": [{"rule": {"_target_": "pathlib.Path"}}]},
    ],
)
def test_nothing_but_own_tasks_and_masks_is_built(node: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        check_targets(node)


def test_own_tasks_and_masks_are_let_through(trained: Path) -> None:
    check_targets(run_of(trained).config["task"]["sampling"])
    check_targets({"_target_": "kdmri.physics.CentralKspace", "scale": 2})


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("dataset", "name"), "../own"),
        (("dataset", "name"), "gone"),
        (("dataset", "image_size"), "large"),
        (("dataset", "channels"), 2),
        (("task", "sampling", "mask"), "none"),
        (("task", "sampling", "mask", "rule", "axis"), "up"),
        (("task",), None),
    ],
)
def test_unfit_configuration_is_one_clear_error(
    trained: Path, path: tuple[str, ...], value: object
) -> None:
    run = run_of(trained)
    node = run.config
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    with pytest.raises(KdmriError) as raised:
        open_reference(run, None)
    assert "\n" not in str(raised.value)


def test_mask_file_that_came_later_is_not_taken(tree: Path) -> None:
    folder = tree / "us_masks" / "own"
    folder.mkdir(parents=True)
    np.save(folder / "mask_4x.npy", np.ones((48, 40), dtype=np.uint8))
    with pytest.raises(DataError, match="mask"):
        open_reference(run_of(tree), None)
