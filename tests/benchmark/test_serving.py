"""The served slice of the benchmark is one that its network alone would make."""

from pathlib import Path

import numpy as np
import torch

from kdmri.benchmark.arms import build
from kdmri.benchmark.command import _arms
from kdmri.benchmark.serving import Alone, Served
from kdmri.benchmark.setting import Setting
from tests.benchmark.test_benchmark import network

SIZE = (48, 44)


def test_served_slice_is_that_of_its_network_alone(tmp_path: Path) -> None:
    setting = Setting({"student": network(3)}, SIZE, 2, 4, "cpu", "32-true", 1)
    arms = _arms("student served", "reference", "cpu")
    assert arms == ["suite", "bound"]
    works = []
    for arm in arms:
        torch.manual_seed(1)  # of the weights
        works.append(build(setting, arm, "student served", tmp_path))
    served, alone = works
    assert isinstance(served, Served)
    assert isinstance(alone, Alone)
    alone.run()
    for _ in range(2):
        served.prepare()
        served.run()
        assert served.image.shape == SIZE
        expected = alone.image.abs().numpy()
        np.testing.assert_allclose(served.image, expected, atol=1e-5 * expected.max())
    served.close(), alone.close()
