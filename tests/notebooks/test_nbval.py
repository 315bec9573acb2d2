"""Neither a slow machine nor a progress bar fails a notebook, and a full disk is called that: see conftest.py in the
project's folder."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).resolve().parents[2]

# The kernel's output thread sleeps for longer than nbval's 5 seconds, and the end of the cell does not wait
# for it: what a loaded machine does by chance.
LATE_OUTPUT = """
import sys, time
sys.stdout.flush_timeout = sys.stderr.flush_timeout = 0.1
get_ipython().kernel.iopub_thread.schedule(lambda: time.sleep(7))
"late"
"""


PROGRESS = """
from tqdm import tqdm
list(tqdm(range(3), leave=False))
"""


def checked_notebook(path: Path, source: str, result: str) -> Path:
    """Write a notebook of one cell tagged nbval-check-output, committed with ``result``."""
    output = nbformat.v4.new_output("execute_result", {"text/plain": result}, execution_count=1)
    cell = nbformat.v4.new_code_cell(source, execution_count=1, outputs=[output])
    cell.metadata.tags = ["nbval-check-output"]
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    return path


def validate(*paths: Path, plugin: str) -> str:
    """The report of nbval on ``paths``, with our conftest.py (``plugin="conftest"``) or without it."""
    options = ["--nbval-lax", "--nbval-current-env", "-p", "no:cacheprovider", "-p", plugin]
    command = [sys.executable, "-m", "pytest", "--rootdir", str(paths[0].parent), *options, *map(str, paths)]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True).stdout


def test_outputs_that_come_late_are_waited_for(tmp_path):
    report = validate(checked_notebook(tmp_path / "late.ipynb", LATE_OUTPUT, "'late'"), plugin="conftest")
    assert "1 passed" in report, report


def test_nbval_alone_gives_up(tmp_path):
    """If this fails, nbval waits by itself: remove the hook in conftest.py and the test above."""
    report = validate(checked_notebook(tmp_path / "late.ipynb", LATE_OUTPUT, "'late'"), plugin="no:conftest")
    assert "exceeded waiting for output" in report and "1 failed" in report, report


def test_progress_bars_are_not_compared_but_results_are(tmp_path):
    same = checked_notebook(tmp_path / "same.ipynb", PROGRESS, "[0, 1, 2]")
    other = checked_notebook(tmp_path / "other.ipynb", PROGRESS, "[0, 1, 3]")
    report = validate(same, other, plugin="conftest")
    assert "1 failed, 1 passed" in report, report
    assert "Cell outputs differ" in report.split("other.ipynb::Cell 0")[1], report


FAILS = "def test_first():\n    pass\n\ndef test_second():\n    assert 0\n\ndef test_third():\n    assert 0\n"


@pytest.mark.parametrize("free", [40_000_000, 60_000_000])
def test_after_a_failure_on_a_full_disk_no_test_follows(tmp_path, free):
    usage = f"import shutil\nshutil.disk_usage = lambda place: shutil._ntuple_diskusage(1, 1, {free})\n"
    (tmp_path / "with_little_room.py").write_text(usage)
    (tmp_path / "test_it.py").write_text(FAILS)
    plugins = ["-p", "no:cacheprovider", "-p", "with_little_room", "-p", "conftest"]
    command = [sys.executable, "-m", "pytest", "--rootdir", str(tmp_path), *plugins, str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(PROJECT)])}
    report = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True).stdout
    if free < 50_000_000:
        assert "only 40 MB are free on the disk of" in report and "1 failed, 1 passed" in report, report
    else:
        assert "are free" not in report and "2 failed, 1 passed" in report, report
