"""tools/slides.py: the slides of the lessons, and the slides in a real browser."""

import re
import shutil
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
from browser import PROJECT, chromium, made_by  # noqa: F401, a fixture
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

sys.path.insert(0, str(PROJECT / "tools"))
import slides  # noqa: E402

LESSONS = ["04", "05", "06", "08"]
TEACHING = (PROJECT / "docs" / "teaching.md").read_text(encoding="utf-8")
PROJECTOR = {"width": 1280, "height": 720}


def lesson(number: str) -> nbformat.NotebookNode:
    (path,) = (PROJECT / "notebooks").glob(f"{number}_*.ipynb")
    return nbformat.read(path, as_version=4)


@pytest.fixture(autouse=True)
def formulas_stay_latex(monkeypatch):
    """So that no extra package is needed."""
    monkeypatch.setattr(slides, "formula", lambda latex, display: f"<math>{latex}</math>")


@pytest.fixture(params=LESSONS)
def number(request) -> str:
    return request.param


@pytest.fixture
def found(number) -> list[slides.Slide]:
    return slides.slides_of(lesson(number), slides.notes_of(TEACHING, number))


class Sources(HTMLParser):
    """Collects what a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.found += [value for name, value in attrs if name in ("src", "href", "srcset", "poster", "data")]


# the lessons


def test_a_lesson_has_15_to_25_slides_and_none_is_empty(found):
    assert 15 <= len(found) <= 25
    for slide in found:
        seen = re.sub(r"<(?!img|iframe)[^>]*>", "", "".join(slide.body))
        assert seen.strip() and slide.title, slide


def test_the_first_slide_is_the_title_and_figures_come_often(found, number):
    assert found[0].title.startswith(f"{number} · ")
    assert sum('figure">' in part for slide in found for part in slide.body) >= 5


def test_a_question_is_shown_before_its_answer(found):
    questions = 0
    for slide in found:
        kinds = [re.match('<div class="([^"]*)"', part) for part in slide.body]
        kinds = [match[1] for match in kinds]
        asked = [i for i, kind in enumerate(kinds) if "question" in kind]
        questions += len(asked)
        if asked:
            assert all("fragment" in kind for kind in kinds[asked[-1] + 1 :]), slide.title
    assert questions >= 5


def test_outputs_say_whether_they_are_synthetic(number):
    for cell in lesson(number).cells:
        shown = cell.metadata.get("slideshow")
        assert shown is None or shown["slide_type"] in slides.KINDS
        if shown and cell.get("outputs"):
            label = shown.get("label", slides.SYNTHETIC)
            assert "real_images" not in cell.source or label == "real images", cell.source
            assert "published." not in cell.source or "published" in label, cell.source
            if "plots.show(" in cell.source:
                assert ("synthetic=False" in cell.source) != (slides.SYNTHETIC in label), cell.source


def test_each_note_finds_its_section_and_the_title_has_what_holds_for_the_lesson(number):
    notes = slides.notes_of(TEACHING, number)
    assert len(notes) >= 6
    found = slides.slides_of(lesson(number), notes)
    assert not notes, "a section that docs/teaching.md names has no slide"
    assert "**Goal.**" in found[0].notes[0]
    assert len([slide for slide in found if slide.notes]) >= 6


# the rules


TEXT = """The [**loss**](a.md) falls. It says nothing. **It falls.**

**On the sample**, it falls to 0.5. And more.

## A *new* section

We begin. We go on [here](b.md).

**Question.** Why? And when?"""


def slide_cells() -> list[nbformat.NotebookNode]:
    typed = {kind: {"slideshow": {"slide_type": kind}} for kind in (*slides.KINDS, "skip")}
    image = '<img src="data:image/png;base64,AA" alt="a" width="10">'
    figure = new_output("display_data", {"text/html": image})
    table = new_output("execute_result", {"text/html": "<style scoped>x</style><table><tr><td>7</td></tr></table>"})
    return [
        new_markdown_cell("# 01 · A\n\nOne. Two.", metadata=typed["slide"]),
        new_code_cell("left = 'out'", outputs=[new_output("stream", text="never shown")]),
        new_code_cell("skipped", outputs=[new_output("stream", text="never shown")], metadata=typed["skip"]),
        new_code_cell("plot", outputs=[new_output("stream", text="a line"), figure], metadata=typed["slide"]),
        new_markdown_cell(TEXT, metadata=typed["slide"]),
        new_code_cell("table", outputs=[new_output("stream", text="a < b"), table], metadata=typed["fragment"]),
        new_code_cell("step = 1", metadata=typed["fragment"]),
        new_markdown_cell("- First. Not this.\n- Second.\n  Nor this.\n\n## Last\n\nAll.", metadata=typed["slide"]),
    ]


def test_cells_become_slides():
    notes = {"": ["whole"], "a *new* section": ["new"], "elsewhere": ["kept"]}
    title, figure, section, last = found = slides.slides_of(new_notebook(cells=slide_cells()), notes)
    assert "never shown" not in str(found) and notes == {"elsewhere": ["kept"]}
    assert (title.title, title.notes) == ("01 · A", ["whole"]) and "One. Two." in title.body[0]
    line, image, answer, result = figure.body
    assert "a line" in line
    assert image == '<div class="figure"><img src="data:image/png;base64,AA" alt="a"></div>'
    assert figure.labels == [slides.SYNTHETIC]
    assert "<strong>loss</strong> falls. … <strong>It falls.</strong>" in answer and "nothing" not in answer
    assert "falls to 0.5." in result and "more" not in result and 'class="fragment text"' in result
    lead, question, table, code, item = section.body
    assert section.title == "A *new* section" and section.notes == ["new"]
    assert "We begin. We go on here." in lead and "Why? And when?" in question
    assert "a &lt; b" in table and "<td>7</td>" in table and "style" not in table and "fragment fit" in table
    assert "step" in code and "fragment fit code" in code
    assert "First." in item and "Second." not in item
    assert (last.title, len(last.body)) == ("Last", 1)


def test_a_list_is_reduced_to_first_sentences():
    page = slides.reduced("- First. Not this.\n- Second (Cui et al. 2019).\n  Nor this.")
    assert re.sub("<.*?>", "", page).split("\n")[1:3] == ["First.", "Second (Cui et al. 2019)."]


def test_formulas_survive_markdown():
    assert "<math>a_1 * b_2 * c</math> and <math>d</math>" in slides.markdown("$a_1 * b_2 * c$ and $d$")


def test_without_reveal_one_sentence_says_what_to_do(monkeypatch):
    monkeypatch.setattr(slides, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="make slides"):
        slides.reveal_files()


# in a browser


@pytest.fixture(scope="module")
def pages(tmp_path_factory, chromium) -> Iterator[list[Path]]:  # noqa: F811
    """The slides, made now."""
    build = tmp_path_factory.mktemp("build")
    yield sorted(made_by("slides", "slides", build).glob("[0-9]*.html"))
    shutil.rmtree(build)


def test_every_lesson_has_a_page_that_loads_only_what_lies_beside_it(pages):
    assert [page.name[:2] for page in pages] == LESSONS
    for page in pages:
        sources = Sources()
        sources.feed(page.read_text(encoding="utf-8"))
        for source in sources.found:
            assert source.startswith("data:image/") or (page.parent / source).is_file(), source
        style = (page.parent / "slides.css").read_text(encoding="utf-8")
        assert "url(" not in style and "@import" not in style


LOOK = """() => {
    const slide = Reveal.getCurrentSlide(), room = slide.getBoundingClientRect();
    const all = [...slide.querySelectorAll("header, header *, .label, .body *")];
    const outside = all.filter(one => {
        const box = one.getBoundingClientRect();
        const past = Math.max(
            box.right - room.right, box.bottom - room.bottom, room.left - box.left, room.top - box.top);
        return box.width && past > 1;
    });
    const body = slide.querySelector(".body"), parts = [...body.children].map(part => part.getBoundingClientRect());
    return {
        title: slide.querySelector("h2").textContent,
        outside: outside.map(one => one.outerHTML.slice(0, 200)),
        over: body.scrollHeight - body.clientHeight,
        overlap: parts.some((part, i) => i && part.top < parts[i - 1].bottom - 1),
        small: [...slide.querySelectorAll(".fit > div")].filter(one => parseFloat(one.style.fontSize) < 15).length,
        cut: [...slide.querySelectorAll(".fit")].filter(
            one => one.scrollWidth > one.clientWidth + 1 || one.scrollHeight > one.clientHeight + 1).length,
        figures: [...slide.querySelectorAll(".figure img")].map(one => {
            const scale = Math.min(one.clientWidth / one.naturalWidth, one.clientHeight / one.naturalHeight);
            return Math.max(scale * one.naturalWidth / 1280, scale * one.naturalHeight / 720);
        }),
        hidden: slide.querySelectorAll(".fragment:not(.visible)").length,
        fragments: slide.querySelectorAll(".fragment").length,
    };
}"""


@pytest.mark.parametrize("number", LESSONS)
def test_slides_fit_the_projector_and_ask_nothing_of_the_network(pages, chromium, number):  # noqa: F811
    tab = chromium.new_page(viewport=PROJECTOR)
    asked, errors = [], []
    tab.on("request", lambda request: request.url.startswith(("file:", "data:", "about:")) or asked.append(request.url))
    tab.on("pageerror", lambda error: errors.append(str(error)))
    (page,) = [page for page in pages if page.name.startswith(number)]
    tab.goto(page.as_uri())
    tab.wait_for_function("() => Reveal.isReady()")
    count = tab.evaluate("Reveal.getTotalSlides()")
    for position in range(count):
        look = tab.evaluate(LOOK)
        assert not look["outside"] and look["over"] <= 1 and not look["overlap"], look
        assert not look["small"] and not look["cut"], look
        assert all(part > 0.6 for part in look["figures"]), look
        assert look["hidden"] == look["fragments"], f"{look['title']}: an answer is shown at once"
        for _ in range(look["fragments"] + (position < count - 1)):
            tab.keyboard.press("ArrowRight")
    assert tab.evaluate("Reveal.isLastSlide()") and tab.evaluate("Reveal.getIndices().h") == count - 1
    assert not asked and not errors
    tab.close()


def test_the_speaker_sees_the_notes(pages, chromium):  # noqa: F811
    tab = chromium.new_page(viewport=PROJECTOR)
    tab.goto(pages[0].as_uri())
    tab.wait_for_function("() => Reveal.isReady()")
    with tab.expect_popup() as opened:
        tab.keyboard.press("s")
    notes = opened.value.locator(".speaker-controls-notes .value")
    notes.get_by_text("Goal.").wait_for()
    tab.close()
