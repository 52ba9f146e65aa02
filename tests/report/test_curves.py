from itertools import pairwise
from pathlib import Path

import pytest
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger

from kdmri.errors import DataError
from kdmri.report.curves import read, thin


def log(kind: type, folder: Path, values: dict[int, float]) -> None:
    logger = kind(save_dir=folder, name="summary", version="")
    for epoch, value in values.items():
        logger.log_metrics({"val/psnr": value, "epoch": epoch}, step=27 * epoch + 26)
    logger.save()
    logger.finalize("success")


@pytest.mark.parametrize("kind", [CSVLogger, TensorBoardLogger])
def test_every_logger_of_files_gives_one_value_an_epoch(kind: type, tmp_path: Path) -> None:
    log(kind, tmp_path, {0: 30.0, 1: 31.5, 2: 31.25})
    assert read(tmp_path) == {"val/psnr": [(1, 30.0), (2, 31.5), (3, 31.25)]}


def test_epoch_trained_again_after_a_cut_counts_once(tmp_path: Path) -> None:
    log(TensorBoardLogger, tmp_path, {0: 30.0, 1: 31.5})
    log(TensorBoardLogger, tmp_path, {1: 32.0, 2: 33.0})
    assert read(tmp_path) == {"val/psnr": [(1, 30.0), (2, 32.0), (3, 33.0)]}


def test_without_a_summary_there_is_no_curve(tmp_path: Path) -> None:
    assert read(tmp_path) == {}


def test_damaged_table_is_named(tmp_path: Path) -> None:
    (tmp_path / "summary").mkdir()
    (tmp_path / "summary" / "metrics.csv").write_text("epoch,step,val/psnr\nx,1,30\n")
    with pytest.raises(DataError, match="summary"):
        read(tmp_path)


def test_events_without_a_whole_record_give_no_curve(tmp_path: Path) -> None:
    log(TensorBoardLogger, tmp_path, {0: 30.0})
    events = next((tmp_path / "summary").glob("events.*"))
    events.write_bytes(events.read_bytes()[:40])
    assert read(tmp_path) == {}


def test_thinned_curve_keeps_its_end() -> None:
    curve = [(epoch, float(epoch)) for epoch in range(1, 151)]
    thinned = thin(curve, 20)
    assert len(thinned) == 20
    assert thinned[-1] == (150, 150.0)
    assert {b[0] - a[0] for a, b in pairwise(thinned)} <= {7, 8}
