"""tools/again.py, with a lesson and with notebooks that do not survive it; and what a missing name says."""

import builtins
import dis
import subprocess
import sys
import types
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_notebook

from isic_course.exercises import order
from isic_utils.settings import PROJECT

pytestmark = pytest.mark.slow

TOOL = PROJECT / "tools" / "again.py"


def again(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, str(TOOL), *arguments], capture_output=True, text=True)


def write(path: Path, *sources: str) -> Path:
    tags = {"tags": ["nbval-check-output"]}
    nbformat.write(new_notebook(cells=[new_code_cell(source, metadata=tags) for source in sources]), path)
    return path


@pytest.fixture
def course(tmp_path) -> list[str]:
    """The arguments for a course whose notebooks the test writes into tmp_path."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "image").write_text("a", encoding="utf-8")
    return ["--notebooks", str(tmp_path), "--data", str(tmp_path / "data")]


def test_a_lesson_runs_twice_from_a_folder_with_spaces_and_accents():
    result = again("01")
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.split() == ["01_data_analysis", "ok"]


def test_a_folder_without_data_is_named_in_one_sentence(tmp_path, course):
    result = again(*course[:2], "--data", str(tmp_path / "nowhere"))
    assert result.returncode == 2
    sentence = f"There is no folder {tmp_path / 'nowhere'}: name one that holds data with --data."
    assert result.stderr.endswith(f"again.py: error: {sentence}\n")


def test_what_depends_on_the_place_or_on_the_first_time_is_found(tmp_path, course):
    write(tmp_path / "01_place.ipynb", "open('image')")
    write(tmp_path / "02_first.ipynb", "import os\nprint(os.path.exists('x')); open('x', 'w').close()")
    write(tmp_path / "03_once.ipynb", "import os\nos.mkdir('y')")
    write(tmp_path / "04_good.ipynb", "import os\nprint(open(os.environ['ISIC_DATA'] + '/image').read(), os.getcwd())")
    result = again(*course)
    assert result.returncode == 1
    place, first, once, good = result.stdout.split("\n0")
    assert "the first time" in place and "FileNotFoundError" in place
    assert "another output the second time, of the cell that begins with import os" in first
    assert "the second time" in once and "FileExistsError" in once
    assert good.split() == ["4_good", "ok"]


def test_nothing_is_left_in_the_folder_for_temporary_files(tmp_path, course, monkeypatch):
    write(tmp_path / "01_good.ipynb", "print(1)")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setenv("TEMP", str(tmp_path / "temporary"))
    assert again(*course).returncode == 0
    assert list((tmp_path / "temporary").iterdir()) == []


# a cell that needs an earlier one


def used(code: types.CodeType) -> set[str]:
    """The global names that a cell, or a function in it, reads."""
    inner = [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    names = {step.argval for step in dis.get_instructions(code) if step.opname in ("LOAD_NAME", "LOAD_GLOBAL")}
    return names.union(*map(used, inner))


@pytest.mark.parametrize("path", sorted((PROJECT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_each_name_that_a_lesson_uses_is_made_in_a_cell_above(path):
    """So whichever cell a student runs first, `order.origin` finds the cell that makes the missing name."""
    made = {*dir(builtins), "display"}  # display: IPython's own
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            made |= order.names_made(cell.source)
            unknown = used(compile(cell.source, "cell", "exec")) - made
            assert not unknown, f"made in no cell above: {unknown}\n{cell.source}"


def test_the_cell_that_makes_a_name_is_named(tmp_path):
    notebook = write(
        tmp_path / "01.ipynb", "# photos come later", "!ls", "for photos, x in [(1, 2)]:\n    y = 1", "photos = 2"
    )
    told = order.origin("photos", notebook)
    assert told.startswith("`photos` is made in the cell that begins with `for photos, x in [(1, 2)]:`.")
    assert "Run All Above Selected Cell" in told
    assert order.origin("fotos", notebook) == ""
    assert order.origin("photos", tmp_path / "02.ipynb").startswith("If `photos` is made in a cell above, run that one")


@pytest.mark.parametrize(
    "source",
    ["import a.b as name", "from a import name", "def name(): pass", "class name: pass", "with a as name: pass",
     "name, other = 1, 2", "if a:\n    name: int = 3"],
)  # fmt: skip
def test_every_way_to_make_a_name_is_known(source):
    assert "name" in order.names_made(source)
    assert "name" not in order.names_made("print(name)\ndef other():\n    name = 1")


def test_in_a_notebook_the_error_stays_an_error_and_ends_with_the_cell(tmp_path, monkeypatch):
    first = "from isic_course.exercises import explain_missing_names\nexplain_missing_names()"
    path = write(tmp_path / "01_lesson.ipynb", first, "photos = 1", "photos + 1")
    monkeypatch.setenv("JPY_SESSION_NAME", str(path))
    notebook = nbformat.read(path, as_version=4)
    del notebook.cells[1]  # the student has jumped over it
    with pytest.raises(CellExecutionError) as caught:
        NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert caught.value.ename == "NameError" and "name 'photos' is not defined" in caught.value.evalue
    shown = "\n".join(notebook.cells[1].outputs[0].traceback)
    assert "`photos` is made in the cell that begins with `photos = 1`" in shown
