"""tools/sheets.py: the sheets to print. Their numbers, their axes, their formulas, and the paper that they take."""

import re
import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
from browser import PROJECT, chromium, made_by  # noqa: F401, a fixture

from isic_course import dial
from isic_course.thesis import published

sys.path.insert(0, str(PROJECT / "tools"))
import formulas  # noqa: E402
import sheets  # noqa: E402

PAPER = {"tables": 2, "dial": 1, "formulas": 2}  # pages
FORMULAS = [formula for page in formulas.PAGES for group in page.values() for formula in group]


@cache
def text_of(lesson: str) -> str:
    """The prose of a lesson in lower case."""
    (path,) = PROJECT.glob(f"notebooks/{lesson}_*.ipynb")
    cells = nbformat.read(path, as_version=4).cells
    return "\n".join(cell.source for cell in cells if cell.cell_type == "markdown").lower()


class Rows(HTMLParser):
    """The cells of each row of the tables in a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[list[str]] = []
        self.within = False

    def handle_starttag(self, tag: str, attrs: list) -> None:
        if tag == "tr":
            self.found.append([])
        if tag in ("td", "th"):
            self.found[-1].append("")
        self.within = tag in ("td", "th")

    def handle_endtag(self, tag: str) -> None:
        self.within = False

    def handle_data(self, text: str) -> None:
        if self.within:
            self.found[-1][-1] += text


def test_the_tables_have_every_published_number_with_its_digits():
    for page, empty in zip(sheets.tables(), (0, 3), strict=True):
        rows = Rows()
        rows.feed(page)
        for table in (published.STANDARD, published.INTERVALS):
            head, *body = rows.found[: len(table) + 1]
            del rows.found[: len(table) + 1]
            assert len(head) == 1 + table.shape[1] + empty
            for cells, (model, numbers) in zip(body, table.iterrows(), strict=True):
                assert cells[0] == model and [float(cell) for cell in cells[1:4]] == numbers.to_list()
                assert cells[4:] == [""] * empty
        assert not rows.found
    for number in ("0.1", "0.630", "0.6252"):  # as the thesis prints them
        assert f"<td>{number}</td>" in page


def test_the_axes_are_those_of_the_dial_and_empty():
    upper, lower = sheets.empty_axes().axes
    for axis in (upper, lower):
        assert axis.get_xscale() == "log" and axis.get_ylim() == (0, 1)
        assert list(axis.get_xticks()) == list(dial.RATIOS)
        left, right = axis.get_xlim()
        assert left < 1 and dial.LARGEST_RATIO < right < 2 * dial.LARGEST_RATIO
        assert not axis.lines and not axis.collections and not axis.patches
    page = sheets.dial_page()
    assert page == sheets.dial_page(), "the file should be the same each time"
    assert all(f">{ratio:g}:1<" in page for ratio in dial.RATIOS)


@pytest.mark.parametrize("formula", FORMULAS, ids=lambda formula: formula.name)
def test_a_formula_names_a_lesson_that_names_its_source(formula):
    for word in re.findall(r"§[\d.]+|[^\W\d_]{4,}", formula.source):  # of "Cui et al. 2019": Cui
        assert word.lower() in text_of(formula.lesson), f"lesson {formula.lesson} does not name {word}"


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    return made_by("sheets", "book", tmp_path_factory.mktemp("sheets"))


@pytest.mark.slow
def test_a_sheet_is_one_file_that_loads_nothing(made):
    assert {file.stem for file in made.iterdir()} == set(PAPER)
    for file in made.iterdir():
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"<script|<link|@import|\bsrc=|url\((?!#)", text)
        assert text.count('<section class="page">') == PAPER[file.stem]
    assert (made / "formulas.html").read_text(encoding="utf-8").count("<math") >= len(FORMULAS)


# in a browser


@pytest.mark.parametrize("name", PAPER)
def test_a_sheet_takes_its_pages_and_is_black_on_white(chromium, made, name):  # noqa: F811
    tab = chromium.new_page()
    asked = []
    tab.on("request", lambda request: request.url.startswith("http") and asked.append(request.url))
    tab.goto((made / f"{name}.html").as_uri())
    assert len(re.findall(rb"/Type\s*/Page\b", tab.pdf(prefer_css_page_size=True))) == PAPER[name]
    tab.emulate_media(media="print")
    tab.set_viewport_size({"width": 703, "height": 1000})  # A4 without its margins, at 96 pixels an inch
    cut = "all => all.filter(one => one.scrollWidth > one.clientWidth + 1).map(one => one.textContent)"
    assert tab.evaluate("document.documentElement.scrollWidth") <= 703
    assert tab.eval_on_selector_all("article div, article", cut) == []
    assert tab.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(255, 255, 255)"
    assert not asked
    tab.close()


@pytest.mark.parametrize("name", PAPER)
def test_a_sheet_fits_a_phone(chromium, made, name):  # noqa: F811
    tab = chromium.new_page(viewport={"width": 390, "height": 844})
    tab.goto((made / f"{name}.html").as_uri())
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    tab.close()
