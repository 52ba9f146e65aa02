"""The report as a user makes it and looks at it, in headless Chromium."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.common.actions.wheel_input import ScrollOrigin
from selenium.webdriver.support.ui import WebDriverWait

from tests.conftest import Result, command

Browse = Callable[..., Any]
PIXELS = "return [...document.querySelectorAll('#panes canvas')].map((c) => c.toDataURL())"
SHOWN = "return document.getElementById('panes').dataset.slice"


@pytest.fixture(scope="module")
def page(trained: Path) -> Path:
    out = command(trained, "-m", "kdmri.report", "experiments=experiments")
    assert "2 experiments, 10 stages" in out
    return trained / "experiments" / "report.html"


def wait(browser: Any, script: str, wanted: object) -> None:
    WebDriverWait(browser, 10, poll_frequency=0.05).until(
        lambda b: b.execute_script(script) == wanted
    )


def column(browser: Any, number: int) -> list[str]:
    script = (
        "return [...document.querySelectorAll('#comparison tbody tr')]"
        ".map((r) => r.cells[arguments[0]].textContent)"
    )
    return browser.execute_script(script, number)


def set_range(browser: Any, name: str, value: float) -> None:
    script = (
        "const e = document.getElementById(arguments[0]); e.value = arguments[1];"
        "e.dispatchEvent(new Event('input', {bubbles: true}))"
    )
    browser.execute_script(script, name, value)


def settled(browser: Any) -> None:
    """Wait until what was asked for is painted."""
    browser.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")


def assert_quiet(browser: Any) -> None:
    """Nothing was complained about, and nothing but the file itself was asked for."""
    assert browser.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [m["params"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    urls = [request["request"]["url"] for request in sent]
    assert [url for url in urls if not url.startswith(("file:", "data:"))] == []
    assert len([url for url in urls if url.startswith("file:")]) == 1


def test_slider_and_keys_move_the_picture(page: Path, browse: Browse) -> None:
    browser = browse(page)
    wait(browser, SHOWN, "2")
    assert "volume a, slice 3 of 5" in browser.find_element("id", "place").text
    first = browser.execute_script(PIXELS)
    assert len(first) == 12, "six panes, five error maps, and the scale of their colours"

    slider = browser.find_element("id", "slice")
    slider.send_keys(Keys.ARROW_RIGHT)
    wait(browser, SHOWN, "3")
    second = browser.execute_script(PIXELS)
    changed = [a != b for a, b in zip(first, second, strict=True)]
    assert changed == [n != 1 for n in range(12)], "every picture but the scale"

    panes = browser.find_element("id", "panes")
    panes.send_keys(Keys.ARROW_LEFT)
    wait(browser, SHOWN, "2")
    assert browser.execute_script(PIXELS) == first
    panes.send_keys(Keys.END)
    wait(browser, SHOWN, "8")
    assert "volume b, slice 4 of 4" in browser.find_element("id", "place").text
    assert browser.find_element("id", "volume").get_attribute("value") == "b"
    assert_quiet(browser)


def test_window_and_level_change_images_but_not_error_maps(page: Path, browse: Browse) -> None:
    browser = browse(page)
    wait(browser, SHOWN, "2")
    before = browser.execute_script(PIXELS)
    image = browser.find_element("css selector", ".frame.image")
    ActionChains(browser).drag_and_drop_by_offset(image, -40, 10).perform()
    settled(browser)
    dragged = browser.execute_script(PIXELS)
    assert dragged[0] != before[0]
    assert [dragged[n] == before[n] for n in (1, 3, 5)] == [True] * 3
    assert float(browser.find_element("id", "window").get_attribute("value")) < 1
    error = browser.find_element("css selector", ".frame.error")
    ActionChains(browser).drag_and_drop_by_offset(error, 40, 0).perform()
    settled(browser)
    scaled = browser.execute_script(PIXELS)
    assert scaled[0] == dragged[0]
    assert scaled[3] != dragged[3]
    set_range(browser, "window", 0.02)
    set_range(browser, "level", 0.3)
    settled(browser)
    white = (
        "const c = document.querySelector('#panes canvas').cloneNode();"
        "const g = c.getContext('2d', {willReadFrequently: true});"
        "g.drawImage(document.querySelector('#panes canvas'), 0, 0);"
        "const p = g.getImageData(0, 0, c.width, c.height).data; let n = 0;"
        "for (let i = 0; i < p.length; i += 4) n += p[i] === 255; return n / (p.length / 4)"
    )
    bright = browser.execute_script(white)
    set_range(browser, "level", 0.9)
    settled(browser)
    assert 0 <= browser.execute_script(white) < bright
    browser.find_element("id", "reset").click()
    settled(browser)
    assert browser.execute_script(PIXELS) == before
    assert_quiet(browser)


def test_zoom_is_the_same_in_all_panes_and_keeps_the_point(page: Path, browse: Browse) -> None:
    browser = browse(page)
    wait(browser, SHOWN, "2")
    transforms = (
        "return [...document.querySelectorAll('#panes .frame canvas')]"
        ".map((c) => getComputedStyle(c).transform)"
    )
    assert set(browser.execute_script(transforms)) == {"matrix(1, 0, 0, 1, 0, 0)"}
    image = browser.find_element("css selector", ".frame.image")
    ActionChains(browser).click(image).perform()
    ActionChains(browser).scroll_from_origin(ScrollOrigin.from_element(image), 0, -400).perform()
    settled(browser)
    found = browser.execute_script(transforms)
    assert len(found) == 11
    assert len(set(found)) == 1
    scale, x, width = float(found[0][7:].split(",")[0]), found[0][:-1].split(","), image.size
    assert scale == pytest.approx(1.0015**400, rel=1e-3)
    assert float(x[4]) == pytest.approx((1 - scale) * width["width"] / 2, abs=2), "about its middle"
    browser.find_element("id", "panes").send_keys("0")
    settled(browser)
    assert set(browser.execute_script(transforms)) == {"matrix(1, 0, 0, 1, 0, 0)"}
    assert_quiet(browser)


def test_table_sorts_filters_and_averages(page: Path, browse: Browse) -> None:
    browser = browse(page)
    rows = json.loads(browser.find_element("id", "values").get_attribute("textContent"))["rows"]
    heads = browser.find_elements("css selector", "#comparison thead button")
    number = next(n for n, head in enumerate(heads) if "PSNR" in head.text)
    heads[number].click()
    shown = [float(text.split()[0]) for text in column(browser, number) if text != "\u2013"]
    stored = [round(row["measures"]["psnr"][0], 2) for row in rows if "psnr" in row["measures"]]
    assert shown == sorted(stored, reverse=True)
    assert column(browser, number)[-2:] == ["\u2013"] * 2, "feature stages are not measured"
    heads[number].click()
    again = [float(text.split()[0]) for text in column(browser, number) if text != "\u2013"]
    assert again == sorted(stored)
    assert heads[number].find_element("xpath", "..").get_attribute("aria-sort") == "ascending"

    browser.find_element("id", "filter").send_keys("kd")
    assert column(browser, 0) == ["Student + KD"] * 2
    browser.find_element("id", "average").click()
    assert column(browser, 0) == ["Student + KD"]
    mean = sum(row["measures"]["psnr"][0] for row in rows if row["stage"] == "kd") / 2
    assert column(browser, number)[0].startswith(f"{mean:.2f} \u00b1")
    assert_quiet(browser)


def test_charts_and_configurations_follow_the_experiment(page: Path, browse: Browse) -> None:
    browser = browse(page)
    count = "return document.querySelectorAll(arguments[0]).length"
    assert browser.execute_script(count, "#curves polyline") == 4, "all but the feature stage"
    assert browser.execute_script(count, "#scatter .point") == 6, "three students, two volumes"
    label = browser.find_element("css selector", "#curves svg").get_attribute("aria-label")
    assert "Student + KD ends at" in label
    browser.find_element("css selector", "#curves-legend button").click()
    assert browser.execute_script(count, "#curves polyline") == 3

    browser.execute_script("document.getElementById('configuration').open = true")
    browser.find_element("id", "settings-differ").click()
    setting = "return document.querySelector('#settings').textContent"
    assert browser.execute_script(setting) == "seed42"
    links = browser.find_elements("css selector", "#comparison a")
    next(link for link in links if "seed-1" in link.text).click()
    assert browser.execute_script(setting) == "seed1"
    assert "train.py" in browser.find_element("css selector", "#commands pre").text
    assert_quiet(browser)


def test_a_curve_of_fewer_points_than_epochs_says_so(
    tree: Path, browse: Browse, run: Callable[..., Result]
) -> None:
    """As `logger=csv` leaves a long training."""
    summary = tree / "experiments" / "own" / "acc_4x" / "tiny_kd" / "summary"
    shutil.rmtree(summary)
    summary.mkdir()
    lines = [f"{epoch},{epoch},{20 + epoch / 100}" for epoch in range(1000)]
    (summary / "metrics.csv").write_text("\n".join(["epoch,step,val/psnr", *lines, ""]))
    result = run("kdmri/report/__main__.py", f"experiments={tree}/experiments", "output=r.html")
    assert result.code == 0, result.err
    browser = browse(Path("r.html").absolute())
    note = browser.find_element("id", "curves-note")
    assert note.text == "Student + KD: curve shows 400 of 1000 points."
    assert "thinned to 400 points" in browser.find_element("id", "all-notes").text
    buttons = browser.find_elements("css selector", "#curves-legend button")
    next(button for button in buttons if "Student + KD" in button.text).click()
    assert note.text == "", "it is switched off"
    assert_quiet(browser)


@pytest.mark.parametrize("width", [360, 768, 1400])
def test_nothing_is_wider_than_the_window_and_everything_has_a_name(
    page: Path, browse: Browse, width: int
) -> None:
    browser = browse(page, width)
    wait(browser, SHOWN, "2")
    wide = browser.execute_script("return document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0
    nameless = browser.execute_script(
        "return [...document.querySelectorAll('button, select, input, canvas[role], svg[role]')]"
        ".filter((e) => !(e.getAttribute('aria-label') || e.textContent.trim() && e.tagName"
        " === 'BUTTON' || (e.labels && e.labels.length))).map((e) => e.outerHTML)"
    )
    assert nameless == []
    height = "return document.documentElement.scrollHeight"
    before = browser.execute_script(height)
    set_range(browser, "slice", 6)
    wait(browser, SHOWN, "6")
    assert browser.execute_script(height) == before, "a step of the slider moves nothing else"


def test_without_the_data_set_reconstructions_are_shown_alone(
    tree: Path, browse: Browse, run: Callable[..., Result]
) -> None:
    shutil.rmtree(tree / "datasets")
    result = run(
        "kdmri/report/__main__.py", f"experiments={tree}/experiments", f"output={tree}/r.html"
    )
    assert result.code == 0, result.err
    browser = browse(tree / "r.html")
    wait(browser, SHOWN, "2")
    names = [e.text for e in browser.find_elements("css selector", ".pane .name")]
    assert names == ["Teacher", "Student", "Student, long", "Student + KD"]
    assert "the data set is not there" in browser.find_element("id", "experiment-notes").text
    assert_quiet(browser)


def test_names_of_others_are_shown_as_text(
    tree: Path, browse: Browse, run: Callable[..., Result]
) -> None:
    evil = "<img src=x onerror=alert(1)>"
    config = tree / "experiments" / "own" / "acc_4x" / "tiny_kd" / "config.yaml"
    config.write_text(config.read_text().replace("Student + KD", evil))
    (tree / "experiments" / "own" / "acc_4x" / "tiny_student" / "stage.json").write_text("{")
    result = run("kdmri/report/__main__.py", f"experiments={tree}/experiments", "output=r.html")
    assert result.code == 0, result.err
    assert "tiny_student: left out" in result.out
    browser = browse(Path("r.html").absolute())
    assert evil in column(browser, 0)
    assert browser.find_elements("css selector", "img") == []
    assert "tiny_student" in browser.find_element("id", "all-notes").text
    assert_quiet(browser)


@pytest.mark.parametrize(
    ("override", "words"),
    [("experiments=nowhere", "nowhere"), ("limit_mib=0", "limit_mib=0"), ("limit_mib=big", "big")],
)
def test_bad_input_is_one_line(run: Callable[..., Result], override: str, words: str) -> None:
    result = run("kdmri/report/__main__.py", override)
    assert result.code == 2
    assert words in result.err
    assert len(result.err.strip().splitlines()) == 1
