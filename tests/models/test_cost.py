"""Operations are counted whichever way they are done, and networks are timed in turns."""

import pytest

from kdmri.models import DCCNN, cost
from kdmri.models.cascaded import CascadedNetwork


@pytest.mark.parametrize("channels", [1, 2])
def test_products_of_all_convolutions_are_counted(channels: int) -> None:
    network: CascadedNetwork = DCCNN(2, 3, channels=channels)
    kernels = sum(p.numel() for p in network.parameters() if p.ndim == 4)
    assert cost.flops(network, (48, 40)) == 2 * kernels * 48 * 40


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
