"""The course as a book: what tools/book.py writes, and the pages in a real browser."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pandas as pd
import pytest
from browser import PROJECT, chromium, made_by  # noqa: F401, a fixture
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

sys.path.insert(0, str(PROJECT / "tools"))
import book  # noqa: E402
import lesson_figures  # noqa: E402
import measured_page  # noqa: E402

CHOSEN = lesson_figures.CHOSEN["01"]
RESULTS = PROJECT / measured_page.RESULTS
MAIN_COLUMNS = ("BMA", "test BMA", "Jaccard", "coefficient", "gain", "bits", "value")
MEASURED = [file.name for file in measured_page.files(PROJECT)]
PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 900}


def shown(pixels: str, text: str) -> nbformat.NotebookNode:
    page = f'<img src="data:image/png;base64,{pixels}" alt="{text}" width="10">'
    return new_output("display_data", {"text/html": page, "text/plain": text})


@pytest.fixture
def project(tmp_path) -> Path:
    """A course of one lesson."""
    for name in ("notebooks", "docs"):
        (tmp_path / name).mkdir()
    cells = [
        new_markdown_cell("# 01 · A & B\n\nA [word](../docs/words.md#mask), [start](../README.md)."),
        new_code_cell("table", outputs=[shown("AAAAAAAA", "another"), shown("AAAA", f"{CHOSEN} &amp; more")]),
        new_code_cell("answer = 1", outputs=[shown("A" * 40, "the answer")], metadata={"tags": ["solution"]}),
        new_code_cell("draw()", metadata={"jupyter": {"source_hidden": True}}),
    ]
    nbformat.write(new_notebook(cells=cells), tmp_path / "notebooks" / "01_ab.ipynb")
    (tmp_path / "docs" / "words.md").write_text('# Words\n\n<a id="mask"></a>**Mask**, see [there](../README.md).')
    (tmp_path / "README.md").write_text(
        "# Course\n\nHello.\n\n## Start\n\nThe [code](isic_utils), the [course](isic_course/).", encoding="utf-8"
    )
    return tmp_path


def test_the_source_has_every_lesson_with_its_solutions_and_drawing_cells_closed(project, tmp_path):
    source = tmp_path / "source"
    book.write_source(project, source)
    before = nbformat.read(project / "notebooks" / "01_ab.ipynb", as_version=4)
    cells = nbformat.read(source / "notebooks" / "01_ab.ipynb", as_version=4).cells
    assert [cell.get("outputs") for cell in cells] == [cell.get("outputs") for cell in before.cells]
    assert "[start](../index.md)" in cells[0].source
    assert cells[1].source == "table" and "hide-cell" not in cells[1].metadata.get("tags", [])
    assert cells[2].metadata.tags == ["solution", "hide-cell"]
    assert cells[3].metadata.tags == ["hide-input"]
    assert (source / "docs" / "words.md").read_text() == "# Words\n\n[]{#mask}**Mask**, see [there](../index.md)."


def test_a_page_says_where_a_running_notebook_has_a_button_and_has_no_widget(project, tmp_path):
    path = project / "notebooks" / "01_ab.ipynb"
    notebook = nbformat.read(path, as_version=4)
    button = new_output("display_data", {book.WIDGET: {"model_id": "a"}, "text/plain": "FileUpload()"})
    notebook.cells[1].outputs[:0] = [button, button]
    notebook.metadata["widgets"] = {"state": {"a": {}}}
    nbformat.write(notebook, path)
    book.write_source(project, tmp_path / "source")
    page = nbformat.read(tmp_path / "source" / "notebooks" / "01_ab.ipynb", as_version=4)
    said, *others = page.cells[1].outputs
    assert said.text == book.NO_WIDGET + "\n"
    assert others == notebook.cells[1].outputs[2:] and "widgets" not in page.metadata


def test_the_first_page_has_the_figure_that_stands_for_each_lesson(project, tmp_path):
    book.write_source(project, tmp_path / "source")
    page = (tmp_path / "source" / "index.md").read_text(encoding="utf-8")
    assert f'<img src="data:image/png;base64,AAAA" alt="{CHOSEN} &amp; more">' in page
    assert "another" not in page and "the answer" not in page
    assert '<a href="notebooks/01_ab.html">01 · A &amp; B</a>' in page
    assert page.index("Hello.") < page.index("## From the lessons") < page.index("## Start")
    assert "(isic_utils/__init__.py)" in page and "(isic_course/__init__.py)" in page
    assert "\nnotebooks/01_ab\n" in page and "\ndocs/words\n" in page


# the page of all tables measured on real images


@pytest.fixture(scope="module")
def lessons() -> dict:
    """The lessons by number, as `measured_page.page` takes them."""
    paths = sorted((PROJECT / "notebooks").glob("*.ipynb"))
    return {path.name[:2]: (path, nbformat.read(path, as_version=4)) for path in paths}


def test_each_measured_table_is_on_the_page_with_what_its_lesson_says(lessons):
    page = measured_page.page(PROJECT, lessons)
    assert len(MEASURED) >= 15
    for name in MEASURED:
        assert f"[{name}](../{measured_page.RESULTS}/{name})" in page
        about = measured_page.TABLES[Path(name).stem]
        said = measured_page.paragraphs(lessons[measured_page.lesson_of(Path(name))][1])
        quoted = [sentence for words in about.says for sentence in measured_page.sentences_with(words, said)]
        assert quoted, f"tools/measured_texts.py: no sentence of the lesson has the words of {name}"
        assert all(sentence in page for sentence in quoted)
    assert "nan" not in page.split() and "None" not in page


@pytest.mark.parametrize("name", MEASURED)
def test_the_page_shows_the_numbers_of_the_file(name, tmp_path):
    folder = tmp_path / measured_page.RESULTS
    folder.mkdir(parents=True)
    table = pd.read_csv(RESULTS / name, keep_default_na=False, na_values="", dtype={"lesson": str})
    score = next(name for name in MAIN_COLUMNS if name in table)
    expected = []
    for row, value in table[score].items():
        if value >= 1 and float(value).is_integer():
            table.loc[row, score] = 20_000 + row
            expected.append(f"20\N{NO-BREAK SPACE}{row:03}")
        elif value != 0:
            table.loc[row, score] = (row + 100) / 1000
            expected.append(f"0.{row + 100}")
    table.to_csv(folder / name, index=False)
    page = measured_page.page(tmp_path, {})
    assert expected and not [number for number in expected if number not in page]


def test_a_table_that_nobody_has_described_is_shown(tmp_path):
    folder = tmp_path / measured_page.RESULTS
    folder.mkdir(parents=True)
    (folder / "measured_99.csv").write_text("method,my_score,my_score_low,my_score_high\na,0.5,0.4,0.61\nb,12,,\n")
    page = measured_page.page(tmp_path, {})
    assert "| method | my score |" in page
    assert "| a | 0.500 (0.400 to 0.610) |" in page.replace(measured_page.SPACE, " ") and "| b | 12 |" in page
    assert measured_page.page(tmp_path / "empty", {}) == ""


def test_the_paragraphs_of_a_lesson_lead_to_its_tables(project, tmp_path):
    path = project / "notebooks" / "01_ab.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(new_markdown_cell("**On the sample**, 1.\n\n**On real images** (two), it is 2. And *3*."))
    nbformat.write(notebook, path)
    folder = project / measured_page.RESULTS
    folder.mkdir(parents=True)
    (folder / "measured_01.csv").write_text("data,images,quantity,of,value\nISIC 2019,20,median age,MEL,60\n")
    book.write_source(project, tmp_path / "source")
    lesson = nbformat.read(tmp_path / "source" / "notebooks" / "01_ab.ipynb", as_version=4)
    assert "\n[**On real images**](../docs/on_real_images.md#lesson-01) (two)" in lesson.cells[-1].source
    page = (tmp_path / "source" / measured_page.PAGE).read_text(encoding="utf-8")
    assert "[]{#lesson-01}\n\n## 01 · A & B" in page and "**On real images** (two), it is 2. And *3*." in page
    index = (tmp_path / "source" / "index.md").read_text(encoding="utf-8")
    assert "](docs/on_real_images.md)" in index and "\ndocs/on_real_images\n" in index


# in a browser


@pytest.fixture(scope="module")
def pages(tmp_path_factory, chromium) -> Iterator[list[Path]]:  # noqa: F811
    """The book's pages, made now."""
    build = tmp_path_factory.mktemp("book")
    folder = made_by("book", "book", build)  # fails at a link to a page that is not there, or a formula
    yield sorted(folder.rglob("*.html"))
    shutil.rmtree(build)


LOOK = r"""() => ({
    width: document.documentElement.scrollWidth,
    title: document.title,
    images: [...document.querySelectorAll("article img")].map(image => ({
        text: image.alt, pixels: image.naturalWidth, right: image.getBoundingClientRect().right, shown: image.checkVisibility()})),
    links: [...document.querySelectorAll("a[href]")].map(link => link.href),
    names: [...document.querySelectorAll("[id]")].map(element => element.id),
    open: [...document.querySelectorAll(".tag_solution details")].filter(details => details.open).length,
    solutions: document.querySelectorAll(".tag_solution details").length,
    formulas: document.querySelectorAll("math").length,
    time: /[Aa]bout \d+ seconds on\s+two processor cores/.test(document.body.innerText),
    downloads: [...document.querySelectorAll("a[download]")].map(link => link.href),
})"""  # noqa: E501


@pytest.fixture(scope="module")
def seen(pages, chromium) -> dict:  # noqa: F811
    """What each page shows on a phone and on a desktop, and what was asked of the network."""
    found = {"elsewhere": set(), "errors": []}
    for name, size in (("phone", PHONE), ("desktop", DESKTOP)):
        tab = chromium.new_page(viewport=size)
        tab.on("request", lambda asked: asked.url.startswith("http") and found["elsewhere"].add(asked.url))
        tab.on("pageerror", lambda error: found["errors"].append(str(error)))
        for page in pages:
            tab.goto(page.as_uri())
            found[name, page] = tab.evaluate(LOOK)
        tab.close()
    return found


@pytest.mark.parametrize("size", ["phone", "desktop"])
def test_no_page_is_wider_than_the_screen(seen, pages, size):
    screen = {"phone": PHONE, "desktop": DESKTOP}[size]["width"]
    wide = {page.name: seen[size, page]["width"] for page in pages if seen[size, page]["width"] > screen}
    assert not wide


def test_images_are_shown_and_described(seen, pages):
    count = 0
    for page in pages:
        for image in seen["phone", page]["images"]:
            count += 1
            assert image["pixels"] > 0, (page.name, image)
            assert len(image["text"]) >= 20, (page.name, image)
            assert not image["shown"] or image["right"] <= PHONE["width"], (page.name, image)
    assert count > 100


def test_every_link_leads_somewhere(seen, pages):
    names = {page: set(seen["desktop", page]["names"]) for page in pages}
    count = 0
    for page in pages:
        for link in seen["desktop", page]["links"]:
            parts = urlsplit(link)
            if parts.scheme != "file":
                assert parts.scheme in ("https", "mailto"), (page.name, link)
                continue
            target = Path(unquote(parts.path))
            assert target.is_file(), (page.name, link)
            assert not parts.fragment or target not in names or unquote(parts.fragment) in names[target], (page, link)
            count += 1
    assert count > 200


def test_lessons_have_titles_formulas_and_closed_solutions(seen, pages):
    lessons = sorted((PROJECT / "notebooks").glob("*.ipynb"))
    views = {page.stem: seen["desktop", page] for page in pages}
    for lesson in lessons:
        look = views[lesson.stem]
        assert look["title"].startswith(f"{lesson.name[:2]} · "), look["title"]
        assert look["solutions"] >= 3 and look["open"] == 0, lesson.name
        assert look["time"], lesson.name
    assert views["02_dense_networks"]["formulas"] > 50


def test_nothing_is_fetched_from_elsewhere_and_no_script_fails(seen):
    assert seen["elsewhere"] == set()
    assert seen["errors"] == []


def test_pages_with_sliders_open_and_are_no_downloads(seen, pages):
    downloads = [link for page in pages for link in seen["desktop", page]["downloads"]]
    linked = [link for page in pages for link in seen["desktop", page]["links"]]
    assert downloads and not any(link.endswith(".html") for link in downloads)
    for name in book.PAGES:
        assert any(link.endswith(name) for link in linked)


def test_the_search_finds_and_needs_no_server(pages, chromium):  # noqa: F811
    (search,) = [page for page in pages if page.name == "search.html"]
    tab = chromium.new_page()
    tab.goto(search.as_uri() + "?q=melanoma")
    tab.wait_for_selector("#search-results li a")
    found = tab.eval_on_selector_all("#search-results li a", "links => links.map(link => link.href)")
    assert any("01_data_analysis" in link for link in found) and all(link.startswith("file:") for link in found)
    tab.close()


def test_a_page_is_dark_where_the_reader_wants_it(pages, chromium):  # noqa: F811
    for name in ("on_real_images.html", "05_balanced_classification.html"):
        (page,) = [page for page in pages if page.name == name]
        grounds = {}
        for scheme in ("light", "dark"):
            tab = chromium.new_page(color_scheme=scheme)
            tab.goto(page.as_uri())
            colour = tab.evaluate("getComputedStyle(document.body).backgroundColor")
            grounds[scheme] = sum(map(int, colour.removeprefix("rgb(").rstrip(")").split(",")[:3])) / 3
            tab.close()
        assert grounds["light"] > 200 and grounds["dark"] < 60, grounds


def test_the_dial_works_inside_its_lesson(pages, chromium):  # noqa: F811
    (page,) = [page for page in pages if page.name == "05_balanced_classification.html"]
    tab = chromium.new_page()
    tab.goto(page.as_uri())
    inside = tab.frame_locator("iframe[title^='dial']")
    before = inside.locator("#summary").text_content()
    inside.locator("input[type=range]").first.press("ArrowRight")
    assert inside.locator("#summary").text_content() != before
    tab.close()
