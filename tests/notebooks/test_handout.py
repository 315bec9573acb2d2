"""tools/handout.py: what a class gets, and what its teacher keeps."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT / "tools"))
import handout  # noqa: E402

LESSONS = sorted((PROJECT / "notebooks").glob("*.ipynb"))


def make(build: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(PROJECT / "tools" / "handout.py"), "--build", str(build), *arguments]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture(scope="module")
def build(tmp_path_factory) -> Path:
    build = tmp_path_factory.mktemp("build")
    old = build / "handout" / "00_a_lesson_that_is_gone.ipynb"
    old.parent.mkdir()
    old.write_text("{}", encoding="utf-8")
    result = make(build)
    assert result.returncode == 0, result.stderr
    return build


def cells(path: Path) -> list[nbformat.NotebookNode]:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook.cells


def is_solution(cell: nbformat.NotebookNode) -> bool:
    return "solution" in cell.metadata.get("tags", [])


def test_every_lesson_is_in_both_folders_and_no_other(build):
    names = [path.name for path in LESSONS]
    assert [path.name for path in sorted((build / "handout").glob("*.ipynb"))] == names
    assert [path.name for path in sorted((build / "solutions").glob("*.ipynb"))] == names


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_handout_has_everything_but_solutions_and_results(build, lesson):
    committed, handed_out = cells(lesson), cells(build / "handout" / lesson.name)
    assert [cell.id for cell in handed_out] == [cell.id for cell in committed if not is_solution(cell)]
    code = [cell for cell in handed_out if cell.cell_type == "code"]
    outputs = {cell.id: cell.outputs for cell in committed if cell.cell_type == "code"}
    for cell in code:
        assert cell.execution_count is None
        assert all(output in outputs[cell.id] and handout.is_figure(output) for output in cell.outputs)
        assert bool(cell.outputs) == (handout.DATA_FIGURE in cell.metadata.get("tags", [])), cell.source
    solutions = [cell.source for cell in committed if is_solution(cell)]
    text = (build / "handout" / lesson.name).read_text(encoding="utf-8")
    assert solutions and "solution" not in re.findall(r'"tags": \[\s*"(\w+)"', text)
    stubs = [cell for cell in code if re.search(r"^\w+ = \.\.\.$", cell.source, flags=re.MULTILINE)]
    assert len(stubs) >= 3, "the exercises themselves are gone"


def test_of_a_tagged_cell_the_figures_stay_and_of_others_nothing():
    figure = new_output("display_data", {"text/html": '<img src="data:image/png;base64,AAAA" alt="a mask">'})
    result = new_output("stream", text="BMA 0.5")
    table = new_output("execute_result", {"text/html": "<table></table>"}, execution_count=1)
    outputs = [result, figure, table]
    tags = ([handout.DATA_FIGURE], ["nbval-check-output"], ["solution", handout.DATA_FIGURE])
    cells = [new_code_cell("show()", outputs=outputs, metadata={"tags": tag}, execution_count=1) for tag in tags]
    notebook = new_notebook(cells=cells)
    handout.take_out(notebook)
    assert [(cell.outputs, cell.execution_count) for cell in notebook.cells] == [([figure], None), ([], None)]


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_solutions_are_the_lesson_as_it_is_committed(build, lesson):
    committed, kept = cells(lesson), cells(build / "solutions" / lesson.name)
    assert [cell.id for cell in kept] == [cell.id for cell in committed]
    assert [cell.get("outputs") for cell in kept] == [cell.get("outputs") for cell in committed]
    assert any(is_solution(cell) for cell in kept)


@pytest.mark.parametrize("folder", ["handout", "solutions"])
def test_what_a_lesson_links_to_goes_with_it(build, folder):
    links = [
        (path.parent, link.split("#")[0])
        for path in (build / folder).glob("*.ipynb")
        for cell in cells(path)
        if cell.cell_type == "markdown"
        for link in re.findall(r"\]\((?!https?:|#)([^)]+)\)", cell.source)
    ]
    for document in (build / folder / "docs").glob("*.md"):
        lessons = re.findall(r"\]\(([^)#]+\.ipynb)", document.read_text(encoding="utf-8"))
        links += [(document.parent, link) for link in lessons]
    assert links
    assert all((parent / link).exists() for parent, link in links), links


def test_no_notebooks_is_one_sentence(tmp_path):
    result = make(tmp_path / "build", "--notebooks", str(tmp_path))
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert "There is no notebook in" in result.stderr
    assert not (tmp_path / "build").exists()
