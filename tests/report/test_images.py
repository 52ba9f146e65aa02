import io
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from kdmri.analysis.experiments import Run, find_runs, read_figures
from kdmri.data.reconstructions import write_reconstruction
from kdmri.errors import DataError
from kdmri.report.images import Gallery
from kdmri.report.rebuild import open_reference
from kdmri.report.tree import experiments_of


def runs_of(folder: Path) -> list[Run]:
    runs, _ = find_runs(folder / "experiments")
    return next(e.runs for e in experiments_of(runs, {}) if e.comparison == "tiny_comparison")


def gallery(folder: Path) -> Gallery:
    runs = runs_of(folder)
    return Gallery(runs, open_reference(runs[-1], None))


def test_every_slice_is_kept_where_there_is_room(trained: Path, anatomy: np.ndarray) -> None:
    pictures = gallery(trained).fit(10**7)
    labels = ["Target", "Zero-filled", "Teacher", "Student", "Student, long", "Student + KD"]
    assert pictures.panes == labels
    assert [(s.volume, s.index) for s in pictures.strips] == [
        *(("a", i) for i in range(5)),
        *(("b", i) for i in range(4)),
    ]
    strip, target = pictures.strips[6], anatomy[:, :, 28]
    path = trained / "experiments" / "own" / "acc_4x" / "tiny_kd" / "results" / "b.h5"
    with h5py.File(path) as file:
        image = file["reconstruction"][1].astype(float)
    largest = anatomy[:, :, 27:31].max()
    psnr = peak_signal_noise_ratio(target, image, data_range=largest)
    assert strip.psnr[5] == pytest.approx(psnr, abs=1e-4)
    ssim = structural_similarity(target, image, data_range=largest)
    assert strip.ssim[5] == pytest.approx(ssim, abs=1e-5)


@pytest.mark.parametrize("room", [3_000, 9_000, 20_000])
def test_pictures_stay_below_their_share(trained: Path, room: int) -> None:
    pictures = gallery(trained).fit(room)
    assert 0 < sum(len(strip.webp) for strip in pictures.strips) <= room
    shape = Image.open(io.BytesIO(pictures.strips[0].webp)).size
    assert shape == (6 * pictures.size[1], pictures.size[0])


def test_without_room_there_is_an_error(trained: Path) -> None:
    with pytest.raises(DataError, match="room"):
        gallery(trained).fit(100)


def test_results_that_do_not_belong_to_the_data_are_noticed(tree: Path) -> None:
    folder = tree / "experiments" / "own" / "acc_4x"
    figures = read_figures(folder / "tiny_comparison" / "metrics.csv")
    gallery(tree).check(figures)
    with h5py.File(tree / "datasets" / "own" / "test" / "a.h5", "a") as file:
        file["volfs"][...] = file["volfs"][...][::-1]
    with pytest.raises(DataError, match="not the one that was measured"):
        gallery(tree).check(figures)


def test_results_of_another_shape_or_with_nan_do_not_stop_it(tree: Path) -> None:
    results = tree / "experiments" / "own" / "acc_4x" / "tiny_kd" / "results"
    write_reconstruction(results / "a.h5", np.zeros((5, 8, 8), dtype=np.float32))
    with h5py.File(results / "b.h5", "a") as file:
        file["reconstruction"][0] = np.nan
    pictures = gallery(tree).fit(10**7)
    assert {strip.volume for strip in pictures.strips} == {"b"}
