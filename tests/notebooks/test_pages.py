"""The pages with sliders, docs/dial.html and docs/threshold.html: their data, and the pages in a real browser."""

import json
import re
import sys

import pandas as pd
import pytest
from browser import PROJECT, chromium  # noqa: F401, a fixture

from isic_course import dial, figures

sys.path.insert(0, str(PROJECT / "tools"))
import dial_page  # noqa: E402

NAMES = ["dial", "threshold"]
SIZES = {"projector": (1280, 720), "phone": (360, 780)}


def page(name: str) -> str:
    return (PROJECT / "docs" / f"{name}.html").read_text(encoding="utf-8")


def data(name: str) -> dict:
    return json.loads(re.search(r'id="data">(.*?)</script>', page(name), re.DOTALL)[1])


@pytest.mark.parametrize("name", NAMES)
def test_a_page_fetches_nothing_and_is_small(name):
    text = page(name)
    assert not re.search(r"https?:|//[a-z]+\.|@import|\bfetch\(|XMLHttpRequest|<link|<script[^>]*src=", text)
    assert set(re.findall(r'(?:src|href)="([^";,$]*)', text)) <= {"data:image/png", "data:image/jpeg"}
    assert len(text.encode()) < 1_000_000


@pytest.mark.parametrize("name", NAMES)
def test_a_page_has_the_present_script_style_and_sentences(name):
    text = page(name)
    for file in ("page.css", "page.js"):
        assert (dial_page.TEMPLATES / file).read_text(encoding="utf-8").strip() in text, "run tools/dial_page.py"
    for part in re.split(r"/\* \w+ \*/|<!-- still -->", (dial_page.TEMPLATES / f"{name}.html").read_text("utf-8")):
        assert part in text, "run tools/dial_page.py"


def test_the_dial_shows_the_committed_numbers_at_each_setting():
    counts, shown = pd.read_csv(dial_page.RESULTS / "dial.csv"), data("dial")
    assert shown == json.loads(json.dumps({"colours": shown["colours"], "images": shown["images"]})) | json.loads(
        json.dumps(dial_page.dial_data(counts))
    )
    assert len(shown["runs"]) == len(shown["ratios"]) * len(shown["overlaps"]) * counts["seed"].nunique()
    assert all(sum(row) == 100 for run in shown["runs"] for row in run["counts"])
    assert all(len(images) == 8 for images in shown["images"].values())


def test_the_threshold_page_shows_the_committed_numbers():
    points, shown = pd.read_csv(dial_page.RESULTS / "threshold.csv"), data("threshold")
    assert shown["points"] == json.loads(json.dumps(dial_page.threshold_data(points)))["points"]
    assert points["sensitivity"].is_monotonic_decreasing and points["false_positive_rate"].is_monotonic_decreasing
    assert shown["chosen"] in points["threshold"].to_list()


def test_the_scores_are_those_of_the_lesson():
    found = dial_page.scores(pd.read_csv(dial_page.RESULTS / "dial.csv"))
    assert found.loc[1, "accuracy"].to_numpy() == pytest.approx(found.loc[1, "BMA"].to_numpy())
    assert list(found.columns) == ["accuracy", "BMA", *dial.ORDER]


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_shows_the_page_and_without_scripts_its_still(name, monkeypatch):
    shown = []
    monkeypatch.setattr(figures, "display", lambda bundle, raw: shown.append(bundle))
    figures.show_page(name)
    text = shown[0]["text/html"]
    without_frame = re.sub(r"<iframe.*?</iframe>", "", text, flags=re.DOTALL)  # as where it is not trusted
    assert text.count("<iframe") == 1 and len(text) < 150_000
    assert re.search(r'<img src="data:image/png;base64,[^"]+" alt="[^"]{20,}"', without_frame)
    assert "&lt;script" not in without_frame and len(shown[0]["text/plain"]) >= 20


# in a browser


@pytest.fixture
def tab(chromium):  # noqa: F811
    tab = chromium.new_page()
    tab.asked, tab.errors = [], []
    tab.on("request", lambda request: request.url.startswith(("http", "ws")) and tab.asked.append(request.url))
    tab.on("pageerror", lambda error: tab.errors.append(str(error)))
    yield tab
    assert not tab.asked and not tab.errors
    tab.close()


def seen(tab) -> list[str]:
    """What the page shows: its sentence, its figures' descriptions, its tables."""
    described = tab.locator("svg[role=img]").evaluate_all("all => all.map(one => one.getAttribute('aria-label'))")
    return [tab.locator("#summary").text_content(), *described, tab.locator("table").text_content()]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("slider", [0, 1])
def test_a_key_on_a_slider_changes_what_is_shown(tab, name, slider):
    tab.goto((PROJECT / "docs" / f"{name}.html").as_uri())
    before = seen(tab)
    moved = tab.locator("input[type=range]").nth(slider)
    said = moved.get_attribute("aria-valuetext")
    moved.focus()
    for _ in range(2 if name == "dial" else 4):
        tab.keyboard.press("ArrowRight")
    after = seen(tab)
    assert moved.get_attribute("aria-valuetext") != said
    same = [old for old, new in zip(before, after, strict=True) if old == new]
    assert len(same) == ((name, slider) == ("threshold", 1))  # sensitivity does not depend on the prevalence
    tab.wait_for_function("() => document.getElementById('spoken').textContent.length > 0")
    assert f"#{'ratio' if name == 'dial' else 'threshold'}=" in tab.url


def test_an_address_names_a_setting(tab):
    tab.goto((PROJECT / "docs" / "dial.html").as_uri() + "#ratio=54&overlap=0.5")
    assert seen(tab)[0].startswith("At 54 : 1 and overlap 0.5")
    assert tab.locator("#images img").count() == 8


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_a_page_fits_the_screen(tab, name, scheme, size):
    width, height = SIZES[size]
    tab.emulate_media(color_scheme=scheme)
    tab.set_viewport_size({"width": width, "height": height})
    tab.goto((PROJECT / "docs" / f"{name}.html").as_uri())
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    paper = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")


@pytest.mark.parametrize("name", NAMES)
def test_without_scripts_a_still_is_shown(chromium, name):  # noqa: F811
    context = chromium.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto((PROJECT / "docs" / f"{name}.html").as_uri())
    assert tab.locator("noscript img").is_visible() and not tab.locator("#live").is_visible()
    context.close()


@pytest.mark.parametrize("name", NAMES)
def test_the_sliders_work_in_a_notebook(tab, name, monkeypatch):
    shown = []
    monkeypatch.setattr(figures, "display", lambda bundle, raw: shown.append(bundle))
    figures.show_page(name)
    tab.set_content(shown[0]["text/html"])
    inside = tab.frame_locator("iframe")
    before = inside.locator("#summary").text_content()
    inside.locator("input[type=range]").last.press("ArrowRight")
    assert inside.locator("#summary").text_content() != before
