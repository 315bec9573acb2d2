"""tools/execute_notebooks.py: what it shows, writes and returns."""

import contextlib
import ctypes
import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from isic_course import doctor

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT / "tools"))
import execute_notebooks  # noqa: E402

TITLE = new_markdown_cell("# 01 · A lesson", id="title")
GOOD = [
    TITLE,
    new_code_cell("import sys\nfrom tqdm import auto, tqdm\nprint('before')", id="first"),
    new_code_cell(
        "for step in auto.tqdm(tqdm(range(3), leave=False), leave=False):\n    print('step', step, flush=True)",
        id="second",
        metadata={"tags": ["solution"], "execution": {"iopub.execute_input": "2026-01-01T00:00:00Z"}},
    ),
    new_code_cell("print(sys.executable)", id="third", metadata={"slideshow": {"slide_type": "slide"}}),
]
BAD = [TITLE, new_code_cell("value = 1", id="first"), new_code_cell("# divide\nvalue / 0", id="second")]


@pytest.fixture
def folder(tmp_path) -> Path:
    for name, cells in (("01_bad", BAD), ("02_good", GOOD)):
        nbformat.write(new_notebook(cells=cells), tmp_path / f"{name}.ipynb")
    return tmp_path


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(PROJECT / "tools" / "execute_notebooks.py"), "--notebooks", str(folder)]
    command += ["--build", str(folder / "build"), *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_failing_notebook_is_named_and_the_next_one_runs(folder):
    before = (folder / "01_bad.ipynb").read_bytes()
    result = run(folder, "--in-place")
    assert result.returncode == 1
    assert "failed in code cell 2, which begins: # divide\n    ZeroDivisionError: division" in result.stdout
    assert "Traceback" not in result.stdout
    bad, good = result.stdout.splitlines()[-2:]
    assert bad.split()[0] == "01_bad" and bad.split()[-1] == "FAILED"
    assert good.split()[0] == "02_good" and good.split()[-1] == "ok"

    partial = nbformat.read(folder / "build" / "01_bad.ipynb", as_version=4)
    assert partial.cells[2].outputs[0].ename == "ZeroDivisionError"
    assert (folder / "build" / "01_bad.html").exists()
    assert (folder / "01_bad.ipynb").read_bytes() == before, "a notebook that failed was saved in place"

    executed = nbformat.read(folder / "02_good.ipynb", as_version=4)
    code_cells = [cell for cell in executed.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code_cells] == [1, 2, 3]
    assert [cell.id for cell in executed.cells] == ["title", "first", "second", "third"]
    assert executed.cells[2].metadata == {"tags": ["solution"]}
    assert executed.cells[3].metadata == {"slideshow": {"slide_type": "slide"}}
    assert executed.metadata.language_info == {"name": "python"}
    (stream,) = executed.cells[2].outputs
    assert (stream.name, stream.text) == ("stdout", "step 0\nstep 1\nstep 2\n"), "the progress bar stayed"
    assert executed.cells[3].outputs[0].text.strip() == sys.executable


def test_executing_again_changes_nothing(folder):
    assert run(folder, "--in-place", "02").returncode == 0
    first = (folder / "02_good.ipynb").read_bytes()
    assert run(folder, "--in-place", "02").returncode == 0
    assert (folder / "02_good.ipynb").read_bytes() == first


def test_without_in_place_the_notebook_stays_as_it_was(folder):
    before = (folder / "02_good.ipynb").read_bytes()
    result = run(folder, "02")
    assert result.returncode == 0
    assert "01_bad" not in result.stdout
    assert (folder / "02_good.ipynb").read_bytes() == before
    assert "step 2" in (folder / "build" / "02_good.html").read_text(encoding="utf-8")


def test_with_epochs_a_cell_that_says_so_follows_the_settings_in_the_copy_alone(folder):
    loads = "from isic_utils.settings import load_settings\n\nsettings = load_settings()"
    says = "print(settings.epochs, settings.fine_tuning_epochs, settings.segmentation_epochs)"
    cells = [TITLE, new_code_cell(loads, id="first"), new_code_cell(says, id="second")]
    nbformat.write(new_notebook(cells=cells), folder / "03_trains.ipynb")
    before = (folder / "03_trains.ipynb").read_bytes()
    assert run(folder, "--epochs", "1", "03").returncode == 0
    *_, shortened, said = nbformat.read(folder / "build" / "03_trains.ipynb", as_version=4).cells
    assert "replace(settings, epochs=1," in shortened.source and said.outputs[0].text == "1 1 1\n"
    assert (folder / "03_trains.ipynb").read_bytes() == before
    assert run(folder, "--epochs", "1", "--in-place", "03").returncode == 2


def test_unknown_name_and_empty_folder_are_errors(folder, tmp_path_factory):
    unknown = run(folder, "07")
    assert unknown.returncode == 1
    assert "No notebook begins with 07: there are 01_bad, 02_good." in unknown.stderr
    empty = run(tmp_path_factory.mktemp("empty"))
    assert empty.returncode == 1
    assert "There is no notebook in" in empty.stderr


# a full disk


def test_a_full_disk_stops_it_with_one_sentence_and_leaves_nothing_half_written(folder, monkeypatch):
    real = Path.write_text

    def write_half(self, text, **options):
        real(self, text[: len(text) // 2], **options)
        raise OSError(errno.ENOSPC, "No space left on device")

    (folder / "build").mkdir()
    (folder / "build" / "02_good.ipynb").write_text("of last time")
    before = sorted(folder.rglob("*"))
    monkeypatch.setattr(sys, "argv", ["", "--notebooks", str(folder), "--build", str(folder / "build"), "02"])
    monkeypatch.setattr(Path, "write_text", write_half)
    with pytest.raises(SystemExit) as caught:
        execute_notebooks.main()
    file = folder / "build" / "02_good.ipynb"
    assert caught.value.code.startswith(f"{file} cannot be written (No space left on device): free disk space")
    assert sorted(folder.rglob("*")) == before and file.read_text() == "of last time"


def test_a_disk_that_is_nearly_full_is_told_before_the_first_lesson(folder, monkeypatch, capsys):
    findings = [
        doctor.Finding("runs", "9 GB free"),
        doctor.Finding("runs", "0 GB free", "Only 0.3 GB are free: free some."),
    ]
    monkeypatch.setattr(doctor, "disk", lambda: findings)
    monkeypatch.setattr(execute_notebooks, "execute", lambda notebook, path: None)
    monkeypatch.setattr(sys, "argv", ["", "--notebooks", str(folder), "--build", str(folder / "build")])
    assert execute_notebooks.main() == 0
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first == "Only 0.3 GB are free: free some." and second == "[1/2] 01_bad.ipynb"


@pytest.mark.skipif(sys.platform != "linux", reason="looks for the kernel in /proc, and adopts it by prctl")
@pytest.mark.parametrize("adopted_by", ["init", "another"])
def test_killed_it_takes_its_kernel_along(tmp_path, adopted_by):
    note = tmp_path / "kernel.txt"
    cell = f"import os, pathlib, time\npathlib.Path({str(note)!r}).write_text(f'{{os.getpid()}}\\n')\ntime.sleep(600)"
    nbformat.write(new_notebook(cells=[TITLE, new_code_cell(cell, id="first")]), tmp_path / "01_long.ipynb")
    command = [sys.executable, str(PROJECT / "tools" / "execute_notebooks.py"), "--notebooks", str(tmp_path)]
    adopt = ctypes.CDLL(None).prctl
    adopt(36, int(adopted_by == "another"), 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: as systemd does in a user's session
    process = subprocess.Popen([*command, "--build", str(tmp_path / "build")], stdout=subprocess.DEVNULL)
    try:
        kernel = int(soon(lambda: note.exists() and note.read_text(), 120))
        assert Path(f"/proc/{kernel}").exists()
        process.kill()
        process.wait()
        assert soon(lambda: has_ended(kernel), 20), "the kernel goes on without the one that started it"
    finally:
        process.kill()
        adopt(36, 0, 0, 0, 0)
        if note.exists():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(note.read_text()), signal.SIGKILL)


def soon(happens: Callable[[], object], seconds: float) -> object:
    """Wait until something happens, at most for some seconds. Returns what happened, or None."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := happens():
            return found
        time.sleep(0.1)
    return None


def has_ended(process: int) -> bool:
    """Whether a process is gone, or over and only not yet asked for its exit status (a zombie)."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True
