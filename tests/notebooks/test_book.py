"""The course as a book: what tools/book.py writes, and the pages in a real browser."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from browser import PROJECT, book_packages, chromium  # noqa: F401, a fixture
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

sys.path.insert(0, str(PROJECT / "tools"))
import book  # noqa: E402
import lesson_figures  # noqa: E402

CHOSEN = lesson_figures.CHOSEN["01"]
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


# in a browser


@pytest.fixture(scope="module")
def pages(tmp_path_factory, chromium) -> Iterator[list[Path]]:  # noqa: F811
    """The book's pages, made now."""
    build = tmp_path_factory.mktemp("book")
    environment = os.environ | {"PYTHONPATH": str(book_packages())}
    command = [sys.executable, str(PROJECT / "tools" / "book.py"), "--build", str(build)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr  # a link to a page that is not there, a formula that fails
    yield sorted((build / "book").rglob("*.html"))
    shutil.rmtree(build)


LOOK = """() => ({
    width: document.documentElement.scrollWidth,
    title: document.title,
    images: [...document.querySelectorAll("article img")].map(image => ({
        text: image.alt, pixels: image.naturalWidth, right: image.getBoundingClientRect().right, shown: image.checkVisibility()})),
    links: [...document.querySelectorAll("a[href]")].map(link => link.href),
    names: [...document.querySelectorAll("[id]")].map(element => element.id),
    open: [...document.querySelectorAll(".tag_solution details")].filter(details => details.open).length,
    solutions: document.querySelectorAll(".tag_solution details").length,
    formulas: document.querySelectorAll("math").length,
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
    assert views["02_dense_networks"]["formulas"] > 50


def test_nothing_is_fetched_from_elsewhere_and_no_script_fails(seen):
    assert seen["elsewhere"] == set()
    assert seen["errors"] == []
