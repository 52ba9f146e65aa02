from pathlib import Path

from kdmri.training.callbacks import StageCheckpoint


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
