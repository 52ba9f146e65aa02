import io
from pathlib import Path
from typing import Any, cast

import pytest
from rich.console import Console
from rich.progress import Progress, TextColumn

from kdmri.training import callbacks
from kdmri.training.callbacks import StageCheckpoint, StageProgressBar

FIGURES: dict[str, Any] = {"val/psnr": 32.197, "train/loss": 0.016}


def test_time_of_earlier_turns_counts() -> None:
    def begin() -> StageCheckpoint:
        return StageCheckpoint(Path("x"), "val/l1", {}, {}, {})

    first = begin()
    assert 0 <= first.seconds < 10
    second = begin()
    second.load_state_dict(first.state_dict() | {"seconds": 100.0})
    assert 100 <= second.seconds < 110
    of_an_earlier_version = first.state_dict()
    del of_an_earlier_version["seconds"]
    second.load_state_dict(of_an_earlier_version)
    assert second.seconds < 10


@pytest.mark.parametrize(("width", "speed"), [(80, False), (100, False), (120, False), (130, True)])
def test_a_progress_bar_is_one_line(
    width: int, speed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Console(width=width, file=io.StringIO(), force_terminal=True, no_color=True)
    monkeypatch.setattr(callbacks, "get_console", lambda: terminal)
    monkeypatch.setattr(
        "pytorch_lightning.callbacks.RichProgressBar.get_metrics", lambda *_: dict(FIGURES)
    )
    none = cast(Any, None)
    bar = StageProgressBar()
    shown = " ".join(f"{name}: {value:.3f}" for name, value in bar.get_metrics(none, none).items())
    progress = Progress(*bar.configure_columns(none), TextColumn(shown))
    bar.stage = "privileged_feature"
    progress.add_task(bar.description(122, 300), total=2700, completed=1234)
    with terminal.capture() as captured:
        terminal.print(progress.get_renderable())
    (line,) = captured.get().strip().splitlines()
    for part in ("123/300", "1234/2700", "val/psnr: 32.197"):
        assert part in line
    assert ("it/s" in line) == speed
