"""How cost grows: exponents, and the table of the command."""

from collections.abc import Callable

import pytest

from kdmri.benchmark import scaling
from kdmri.benchmark.many_volumes import OPENED, cost
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
    kinds = ("train", "evaluate", "reconstruct")
    expected = [*((kind, of) for kind in kinds for of in ("coils", "matrix"))]
    expected += [(f"{kind} start", "volumes") for kind in kinds for _ in ("ms", "MiB")]
    told = [tuple(cell.strip() for cell in row.split("│")[1:3]) for row in rows]
    assert told == expected
    assert sum("(pixels)" in row for row in rows) == 3
    together = run("kdmri/benchmark/__main__.py", "works=[scaling,loading]")
    assert together.code == 2
    assert "is a table of its own" in together.err


@pytest.mark.parametrize("what", OPENED)
def test_opening_takes_time_and_memory_of_every_volume(what: str) -> None:
    (fast, small), (slow, large) = (cost(what, count, repeats=1) for count in (4, 40))
    assert slow > fast
    assert small < large < 20 * small
