"""`page=scan.html`, as a user opens it in headless Chromium."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from selenium.webdriver import Keys
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from kdmri.data.layout import write_volume
from kdmri.errors import ConfigurationError
from kdmri.reconstruct import scan_page
from kdmri.reconstruct.command import check_page
from kdmri.reconstruct.writing import Target
from tests.reconstruct.expected import MASK, Run, reconstruction
from tests.report.test_report import SHOWN, assert_quiet, settled, wait

Browse = Callable[..., Any]
LABELS = "return [...document.querySelectorAll('#panes .name')].map((n) => n.textContent)"
CANVAS = """
const c = document.querySelectorAll('#panes .frame.image canvas')[arguments[0]];
const all = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
return [...all].filter((_, i) => i % 4 === 0)
"""


def values(page: Path) -> dict[str, Any]:
    found = re.search(r'type="application/json" id="values">(.*?)</script>', page.read_text(), re.S)
    assert found is not None
    return json.loads(found[1])


def canvas(browser: Any, pane: int) -> np.ndarray:
    return np.array(browser.execute_script(CANVAS, pane), float).reshape(48, 40) / 255


def test_a_page_shows_reference_input_and_output(
    checkpoint: Callable[..., Path],
    reconstruct: Run,
    browse: Browse,
    own: Path,
    anatomy: np.ndarray,
    tmp_path: Path,
) -> None:
    spaced = {"spacing_mm": "2 1 3"}
    write_volume(own / "test" / "c.h5", anatomy[:40, :, 8:10], spaced)
    call = {"checkpoint": checkpoint(), "input": own / "test", "output": "out"}
    result = reconstruct(**call, page="scan.html")
    assert result.code == 0, result.err
    assert result.out.rstrip().endswith("page: scan.html")
    browser = browse(tmp_path / "scan.html")
    wait(browser, SHOWN, "2")
    assert browser.execute_script(LABELS) == ["Target", "Input", "Reconstruction"]
    browser.execute_script("document.getElementById('panes').focus()")
    browser.switch_to.active_element.send_keys(Keys.HOME)
    wait(browser, SHOWN, "0")
    settled(browser)
    target, found = anatomy[:, :, 20:25], reconstruction(tmp_path / "out" / "a.h5")
    np.testing.assert_allclose(canvas(browser, 0), target[..., 0] / target.max(), atol=0.003)
    np.testing.assert_allclose(
        canvas(browser, 2), np.clip(found[0] / target.max(), 0, 1), atol=0.02
    )
    text = browser.find_element("css selector", "#panes").text
    psnr = peak_signal_noise_ratio(target[..., 0], found[0], data_range=target.max())
    ssim = structural_similarity(target[..., 0], found[0], data_range=target.max())
    assert f"{psnr:.2f} dB  {ssim:.4f}" in text
    assert "mean of 3: reconstruction" in browser.find_element("id", "figures").text
    assert "a trial" in browser.find_element("id", "scan-notes").text
    browser.execute_script(
        "const c = document.getElementById('choice'); c.value = 1;"
        "c.dispatchEvent(new Event('change'))"
    )
    wait(browser, "return document.getElementById('volume').value", "c")
    frame = browser.find_element("css selector", "#panes .frame.image").rect
    assert frame["height"] / frame["width"] == pytest.approx(2, abs=0.02), "pixels of 2 x 1 mm"
    assert_quiet(browser)


def test_a_page_of_undersampled_data_has_no_reference(
    checkpoint: Callable[..., Path],
    reconstruct: Run,
    browse: Browse,
    anatomy: np.ndarray,
    tmp_path: Path,
) -> None:
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        kspace = np.fft.fft2(900 * anatomy[:, :, 8:11], axes=(0, 1), norm="ortho")
        file["kspace_volus_4x"] = (MASK[..., None] * kspace).astype(np.complex64)
    call = {"checkpoint": checkpoint(), "input": "scan.h5", "page": "scan.html"}
    result = reconstruct(**call, output="out.h5")
    assert result.code == 0, result.err
    browser = browse(tmp_path / "scan.html")
    wait(browser, SHOWN, "1")
    settled(browser)
    assert browser.execute_script(LABELS) == ["Input", "Reconstruction"]
    assert not browser.find_element("id", "figures-section").is_displayed()
    found = reconstruction(tmp_path / "out.h5")
    shown = canvas(browser, 1)
    assert np.corrcoef(shown.ravel(), np.clip(found[1], 0, None).ravel())[0, 1] > 0.9999
    assert_quiet(browser)

    again = reconstruct(**call, output="other.h5")
    assert again.code == 2
    assert "page=scan.html: exists" in again.err
    assert not (tmp_path / "other.h5").exists()


def test_a_page_is_none_of_the_files_that_are_written(tmp_path: Path) -> None:
    found = [Target(tmp_path / "out" / "a", "png", ())]
    check_page(tmp_path / "out" / "scan.html", found, overwrite=False)
    for path, said in (("scan.png", "must end in"), ("out/a/scan.html", "lies where a volume")):
        with pytest.raises(ConfigurationError, match=said):
            check_page(tmp_path / path, found, overwrite=True)


def test_slices_that_do_not_fit_are_left_out_evenly(
    checkpoint: Callable[..., Path],
    reconstruct: Run,
    own: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scan_page, "MOST_BYTES", 20_000)
    call = {"checkpoint": checkpoint(), "input": own / "test", "page": "scan.html"}
    assert reconstruct(**call, output="out").code == 0
    (entry,) = values(tmp_path / "scan.html")["viewers"]
    kept = [(volume, index) for volume, index, *_ in entry["viewer"]["strips"]]
    assert 1 < len(kept) < 9 == entry["viewer"]["slices"]
    assert kept == sorted(kept)
    assert (tmp_path / "scan.html").stat().st_size < 80_000
