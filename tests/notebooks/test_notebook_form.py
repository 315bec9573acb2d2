"""The form that every notebook keeps: executed in order, clean outputs, short cells, the sections; and that the README
and the page for teachers call it by its name."""

import re
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
PATHS = sorted(FOLDER.glob("*.ipynb"))
README = (FOLDER.parent / "README.md").read_text(encoding="utf-8")
TEACHING = (FOLDER.parent / "docs" / "teaching.md").read_text(encoding="utf-8")
BEFORE_THE_BODY = ["what you will be able to do", "needs"]
AFTER_THE_BODY = ["what we saw", "exercises", "further reading"]
LONGEST_CELL = 15
KINDS = {"read off", "compute", "think", "program", "with the data", "try"}
LEVELS = {"easy", "medium", "hard", "open"}
LONGEST_SOLUTION = 25
SHORTEST_ALTERNATIVE_TEXT = 20
WIDGET = "application/vnd.jupyter.widget-view+json"
QUESTION_IN_ITALICS = re.compile(r"(?<![\w*])\*(?![\s*])[^*]*\?\*(?!\*)")
EMBEDDED_PIXELS = re.compile(r"data:image/[a-z+]+;base64,[A-Za-z0-9+/=]+")
ABSOLUTE_PATH = re.compile(r"(?:(?<![\w.:/+~-])|file://)/(?:home|Users|root|tmp|private|work)/|\b[A-Z]:\\\w\w")


def test_there_are_notebooks():
    assert PATHS, f"there is no notebook in {FOLDER}"


def test_notebooks_are_numbered():
    assert all(re.fullmatch(r"\d\d_[a-z0-9_]+\.ipynb", path.name) for path in PATHS)


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def path(request) -> Path:
    return request.param


@pytest.fixture
def notebook(path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def is_solution(cell: NotebookNode) -> bool:
    return "solution" in cell.metadata.get("tags", [])


def lines_of_code(source: str) -> int:
    """Lines of ``source`` that are neither blank nor only a comment."""
    return sum(1 for line in source.splitlines() if line.strip() and not line.strip().startswith("#"))


def texts(output: NotebookNode) -> list[str]:
    """Everything in ``output`` that a reader sees as text, embedded pixels left out."""
    written = [output.get("text", "")]
    written += [value for kind, value in output.get("data", {}).items() if kind.startswith("text/")]
    return [EMBEDDED_PIXELS.sub("", text) for text in written]


def headings(notebook: NotebookNode) -> list[tuple[int, str]]:
    """Level and lower-case title of each heading, in order."""
    found = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            without_code = re.sub(r"^```.*?^```", "", cell.source, flags=re.MULTILINE | re.DOTALL)
            lines = re.findall(r"^(#{1,6})\s+(.+?)\s*$", without_code, flags=re.MULTILINE)
            found += [(len(marks), title.lower()) for marks, title in lines]
    return found


class AlternativeTexts(HTMLParser):
    """Collects the ``alt`` of every ``<img>``; "" where it is missing."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.found.append(dict(attrs).get("alt") or "")


def alternative_texts(cell: NotebookNode) -> list[str]:
    """The alternative text of each image that ``cell`` shows, in its prose or in its outputs."""
    collector = AlternativeTexts()
    if cell.cell_type == "markdown":
        collector.feed(cell.source)
        return collector.found + re.findall(r"!\[([^\]]*)\]\(", cell.source)
    for output in cell.outputs:
        collector.feed(output.get("data", {}).get("text/html", ""))
    return collector.found


# as committed


def test_is_committed_executed_in_order(notebook):
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1)), "run `make execute` and commit the result"


def test_is_committed_without_traces_of_a_machine(notebook):
    assert notebook.metadata.language_info == {"name": "python"}, "run `make execute` and commit the result"
    assert notebook.metadata.kernelspec.name == "python3"
    assert all(set(cell.metadata) <= {"tags", "jupyter", "slideshow"} for cell in notebook.cells)


def test_outputs_have_no_error_and_no_warning(notebook):
    for cell in code_cells(notebook):
        for output in cell.outputs:
            assert output.output_type != "error", cell.source
            assert output.get("name") != "stderr", f"{cell.source}\n\n{output.text}"
            assert not any(re.search(r"\w+Warning\b", text) for text in texts(output)), cell.source


def test_has_no_absolute_path(notebook):
    for cell in notebook.cells:
        written = [text for output in cell.get("outputs", []) for text in texts(output)]
        for text in [EMBEDDED_PIXELS.sub("", cell.source), *written]:
            found = ABSOLUTE_PATH.search(text)
            assert found is None, f"{text[max(0, found.start() - 40) : found.end() + 40]!r}"


def test_some_outputs_are_compared_exactly(notebook):
    marked = [cell for cell in code_cells(notebook) if "nbval-check-output" in cell.metadata.get("tags", [])]
    assert marked
    assert all(cell.outputs for cell in marked), "a cell tagged nbval-check-output has nothing to compare"


# figures


def test_images_have_alternative_text(notebook):
    for cell in notebook.cells:
        for alternative_text in alternative_texts(cell):
            long_enough = len(alternative_text) >= SHORTEST_ALTERNATIVE_TEXT
            assert long_enough, f"alternative text {alternative_text!r} of an image in\n{cell.source}"
        for output in cell.get("outputs", []):
            bare = [kind for kind in output.get("data", {}) if kind.startswith("image/")]
            assert not bare, f"show this figure with isic_utils.plots.show:\n{cell.source}"


def test_widgets_have_a_still_image_beside_them(notebook):
    for cell in code_cells(notebook):
        if any(WIDGET in output.get("data", {}) for output in cell.outputs):
            assert alternative_texts(cell), f"no still image beside the widget of\n{cell.source}"


# the shape of a lesson


def test_begins_with_its_number_and_title(notebook, path):
    first = notebook.cells[0]
    assert first.cell_type == "markdown"
    assert re.match(rf"# {path.name[:2]} · \S", first.source)


def test_headings_descend_one_level_at_a_time(notebook):
    levels = [level for level, _ in headings(notebook)]
    assert levels.count(1) == 1
    assert all(below <= above + 1 for above, below in zip(levels, levels[1:], strict=False))


def test_has_the_course_sections_in_order(notebook):
    titles = [title for _, title in headings(notebook)]
    assert titles[1:3] == BEFORE_THE_BODY
    after_the_body = [title for title in titles if title in AFTER_THE_BODY]
    assert after_the_body == AFTER_THE_BODY
    assert titles[3] != AFTER_THE_BODY[0], "there is no section between the needs and what we saw"


def test_questions_are_marked_alike(notebook):
    written = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    body = [source for source in written if not source.startswith("## Further reading")]  # a paper's title may ask
    assert any("**Question.** " in source for source in body)
    for source in body:
        found = QUESTION_IN_ITALICS.search(source)
        assert found is None, f"begin it with **Question.** instead of italics: {found.group()}"


def test_cells_are_short(notebook):
    for cell in code_cells(notebook):
        longest = LONGEST_SOLUTION if is_solution(cell) else LONGEST_CELL
        assert lines_of_code(cell.source) <= longest, cell.source


def test_exercises_are_stubs_with_a_check(notebook, path):
    numbers = []
    for cell in code_cells(notebook):
        if re.search(r"^\w+ = \.\.\.$", cell.source, flags=re.MULTILINE) and not is_solution(cell):
            numbers += re.findall(r"\bcheck\(\"([\d.]+)\"", cell.source)
    expected = [f"{path.name[:2]}.{number}" for number in range(1, len(numbers) + 1)]
    assert len(numbers) >= 3 and numbers == expected


def test_exercises_say_what_they_ask_and_how_hard_they_are(notebook, path):
    texts = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    found = re.findall(r"^\*\*(\d\d\.\d+)\*\* \(([a-z ]+), ([a-z]+)\) \S", texts, flags=re.MULTILINE)
    numbers, kinds, levels = zip(*found, strict=True)
    assert list(numbers) == [f"{path.name[:2]}.{number}" for number in range(1, len(numbers) + 1)]
    asked = {number for cell in code_cells(notebook) for number in re.findall(r"\bcheck\(\"([\d.]+)\"", cell.source)}
    assert asked <= set(numbers)
    assert set(kinds) <= KINDS and set(levels) <= LEVELS
    assert levels[0] == "easy" and len(set(levels)) >= 3, "an easy one first, and not all as hard"


def test_solutions_are_collapsed(notebook):
    solutions = [cell for cell in notebook.cells if is_solution(cell)]
    assert solutions
    assert all(cell.metadata.get("jupyter", {}).get("source_hidden") for cell in solutions)


# the same lesson in the README and in docs/teaching.md

LINK = re.compile(r"\[([^\]]*)\]\(([^)]*)\)")


def title(notebook: NotebookNode) -> str:
    return notebook.cells[0].source.splitlines()[0].split(" · ", 1)[1]


def lessons_named(text: str) -> set[str]:
    """The numbers of lessons in a text: {"04", "05", "06"} for "04 to 06"."""
    numbers = set(re.findall(r"\b\d\d\b", text))
    for first, last in re.findall(r"\b(\d\d) to (\d\d)\b", text):
        numbers |= {f"{number:02}" for number in range(int(first), int(last) + 1)}
    return numbers


def needed(notebook: NotebookNode) -> set[str]:
    """The lessons to which the section Needs links."""
    (section,) = [cell.source.split("## Needs\n")[1] for cell in notebook.cells if "## Needs\n" in cell.source]
    section = section.split("\n#")[0]
    links = re.findall(r"\[(\d\d)\]\(([^)]*)\)", section)
    for number, target in links:
        assert target.startswith(number) and (FOLDER / target).exists(), f"[{number}]({target}) is another lesson"
    ranges = re.findall(r"\[(\d\d)\]\([^)]*\) to \[(\d\d)\]", section)
    return lessons_named(" ".join([number for number, _ in links] + [f"{first} to {last}" for first, last in ranges]))


def rows_of_the_readme() -> list[list[str]]:
    """The cells of each row of the README's table of lessons."""
    rows = re.findall(r"^\| (\d\d \|.*) \|$", README, flags=re.MULTILINE)
    return [row.split(" | ") for row in rows]


def sections_of_teaching() -> dict[str, str]:
    """The heading of each lesson in docs/teaching.md -> the text below it."""
    by_lesson = TEACHING.split("\n## Plans")[0]
    return dict(re.findall(r"^### (.+)\n((?:(?!###).*\n?)*)", by_lesson, flags=re.MULTILINE))


def test_readme_and_teaching_list_every_lesson_in_order():
    numbers = [path.name[:2] for path in PATHS]
    assert [row[0] for row in rows_of_the_readme()] == numbers
    assert [heading[:2] for heading in sections_of_teaching()] == numbers


def test_readme_and_teaching_say_its_title_and_needs_as_the_lesson_does(notebook, path):
    number = path.name[:2]
    (row,) = [row for row in rows_of_the_readme() if row[0] == number]
    assert LINK.sub(r"\1", row[1]) == title(notebook), "README.md has another title"
    assert LINK.search(row[1])[2] == f"notebooks/{path.name}", "README.md links to another notebook"
    assert lessons_named(row[-1]) == needed(notebook), "README.md has other needs"
    ((heading, text),) = [part for part in sections_of_teaching().items() if part[0].startswith(number)]
    assert heading == f"{number} · {title(notebook)}", "docs/teaching.md has another title"
    (needs,) = re.findall(r"\*\*Needs\.\*\* (.*)", text)
    assert lessons_named(needs) == needed(notebook), "docs/teaching.md has other needs"


def test_every_section_that_teaching_names_is_in_a_lesson():
    named = re.findall(r"(?<!\*)\*([A-Z][^*]+)\*(?!\*)", TEACHING)
    there = {title for path in PATHS for _, title in headings(nbformat.read(path, as_version=4))}
    assert len(named) >= 5
    assert [name for name in named if name.lower() not in there] == []
