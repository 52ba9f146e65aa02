"""How cost grows: exponents, and the table of the command."""

from collections.abc import Callable

import pytest

from kdmri.benchmark import scaling
from tests.conftest import Result


def test_exponent_of_powers() -> None:
    sizes = (1, 4, 8, 16, 32)
    assert scaling.exponent(sizes, [3e-3 * n**1.5 for n in sizes]) == pytest.approx(1.5)
    assert scaling.exponent(sizes, [0.2] * 5) == pytest.approx(0, abs=1e-9)


def test_table(run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, sizes in (("COILS", (1, 2)), ("MATRICES", (32, 48)), ("VOLUMES", (2, 4))):
        monkeypatch.setattr(scaling, name, sizes)
    monkeypatch.setattr(scaling, "FIXED_MATRIX", 32)
    monkeypatch.setattr(scaling, "REPEATS", 1)
    result = run("kdmri/benchmark/__main__.py", "works=[scaling]", "threads=1")
    assert result.code == 0, result.err
    rows = [line for line in result.out.splitlines() if "│" in line]
    assert len(rows) == 5
    assert sum("of pixels" in row for row in rows) == 2
    together = run("kdmri/benchmark/__main__.py", "works=[scaling,loading]")
    assert together.code == 2
    assert "is a table of its own" in together.err
