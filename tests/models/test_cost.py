"""Networks are timed in turns."""

import pytest

from kdmri.models import cost


def test_what_is_timed_takes_turns_and_its_median_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, order = [0.0], []
    monkeypatch.setattr("kdmri.models.cost.time.perf_counter", lambda: clock[0])

    def taking(name: str, seconds: list[float]):
        def run() -> None:
            order.append(name)
            clock[0] += seconds[order.count(name) - 1]

        return run

    slow, quick = ([9.0] * cost.WARM_UP + later for later in ([3.0, 1.0, 2.0, 4.0], [0.5] * 4))
    found = cost.latencies({"slow": taking("slow", slow), "quick": taking("quick", quick)}, 4)
    assert found == {"slow": 2500.0, "quick": 500.0}, "milliseconds, without the warm-up"
    assert order == ["slow", "quick"] * (cost.WARM_UP + 4)
