"""Loading large libraries without a search for garbage."""

import subprocess
import sys

import pytest

COUNT = """
import gc
import sys
from kdmri.loading import loading

with loading():
    assert not gc.isenabled()
    import kdmri.export.command, kdmri.reconstruct.command
from kdmri.models.trained import open_checkpoint
open_checkpoint("shipped")
frozen = gc.get_freeze_count()
with loading():  # loaded already: nothing is done
    assert gc.isenabled()
heavy = "pytorch_lightning torchmetrics matplotlib scipy.ndimage onnx torch._dynamo".split()
print(gc.isenabled(), frozen, gc.get_freeze_count() == frozen, *set(heavy) & set(sys.modules))
"""

FAILING = """
import gc
from kdmri.loading import loading

try:
    with loading():
        import there_is_no_such_module
except ImportError:
    print(gc.isenabled())
"""

SIGNAL = """
import sys
from kdmri.loading import loading

with loading():
    import pytorch_lightning
    early = "scipy.signal._signaltools" in sys.modules
    if ASKED:
        from scipy.signal import convolve
        import scipy.signal.windows
absent = "scipy.signal" not in sys.modules
import scipy
import scipy.signal
same = scipy.signal is sys.modules["scipy.signal"]
print(early, absent, *scipy.signal.convolve([1, 1], [1, 1]), same)
"""

WRONG = """
import sys
from kdmri.train import main

sys.argv = ["kdmri", "trainer=gpu", "batch_size=0"]
try:
    main()
except SystemExit as end:
    print(end.code, *{"pytorch_lightning", "torch"} & set(sys.modules))
"""


def test_collector_is_off_once_and_sees_nothing_of_what_was_loaded() -> None:
    enabled, frozen, unchanged, *heavy = _printed(COUNT).split()
    assert (enabled, unchanged) == ("True", "True")
    assert int(frozen) > 100_000
    assert heavy == []  # nothing that `reconstruct` and `export` do not need at once


def test_collector_is_on_again_after_an_import_that_fails() -> None:
    assert _printed(FAILING) == "True"


@pytest.mark.parametrize("asked", [False, True])
def test_scipy_signal_is_loaded_when_something_of_it_is_asked_for(asked: bool) -> None:
    printed = _printed(SIGNAL.replace("ASKED", str(asked)))
    assert printed == f"False {not asked} 1 2 1 True"


def test_wrong_value_is_told_before_lightning_is_loaded() -> None:
    assert _printed(WRONG) == "2"


def _printed(program: str) -> str:
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
