"""Badges and the first cell on Colab: there when a repository is set, gone when it is not, idle elsewhere."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

PROJECT = Path(__file__).resolve().parents[2]
ADDRESS = "https://github.com/someone/skin-course"


@pytest.fixture
def copy(tmp_path) -> Path:
    """The tool in a project of its own, with the README and two lessons."""
    for name in ("tools/open_in_browser.py", "README.md", "pyproject.toml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(PROJECT / name, tmp_path / name)
    (tmp_path / "notebooks").mkdir()
    for path in sorted(PROJECT.glob("notebooks/*.ipynb"))[:2]:
        shutil.copy(path, tmp_path / "notebooks")
    return tmp_path


def set_repository(folder: Path, address: str) -> None:
    file = folder / "pyproject.toml"
    file.write_text(file.read_text() + f'\n[project.urls]\nrepository = "{address}"\n')


def call(folder: Path) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, folder / "tools" / "open_in_browser.py"], capture_output=True, text=True)


def contents(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in [folder / "README.md", *sorted(folder.glob("notebooks/*"))]]


def test_without_a_repository_nothing_changes(copy):
    before = contents(copy)
    assert call(copy).returncode == 0 and contents(copy) == before


def test_with_a_repository_each_lesson_has_its_badges_and_its_cell(copy):
    plain = contents(copy)
    set_repository(copy, ADDRESS + ".git")
    assert call(copy).returncode == 0
    readme = (copy / "README.md").read_text()
    lessons = [line for line in readme.splitlines() if line.startswith("| 0")]
    assert len(lessons) >= 7
    for line in lessons:
        number = line[2:4]
        assert line.count("badge") == 2 and f"github/someone/skin-course/blob/main/notebooks/{number}_" in line
        assert f"/v2/gh/someone/skin-course/main?labpath=notebooks/{number}_" in line
    assert readme.splitlines()[2].startswith(f"[![tests]({ADDRESS}/actions/workflows/tests.yml/badge.svg")
    for path in copy.glob("notebooks/*"):
        first = next(cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code")
        assert f"git clone --quiet --depth 1 {ADDRESS} " in first.source
    badged = contents(copy)
    assert call(copy).returncode == 0 and contents(copy) == badged, "a second run changes nothing"
    shutil.copy(PROJECT / "pyproject.toml", copy)
    assert call(copy).returncode == 0 and contents(copy) == plain, "and without the setting all is as before"


def test_an_address_that_colab_cannot_open_is_refused(copy):
    set_repository(copy, "https://example.org/course")
    before = contents(copy)
    refused = call(copy)
    assert refused.returncode == 1 and "https://github.com/OWNER/NAME" in refused.stderr
    assert contents(copy) == before


def test_the_cell_does_nothing_outside_colab(copy):
    set_repository(copy, ADDRESS)
    call(copy)
    path = sorted(copy.glob("notebooks/*"))[0]
    cell = next(cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code")
    notebook = nbformat.v4.new_notebook(cells=[cell])
    NotebookClient(notebook, resources={"metadata": {"path": str(copy)}}).execute()
    assert notebook.cells[0].outputs == [] and not Path("/content/course").exists()


BUILDS = all(importlib.util.find_spec(name) for name in ("setuptools", "setuptools.command.bdist_wheel"))


@pytest.mark.skipif(not BUILDS, reason="no setuptools that builds wheels by itself (70.1 or newer) is installed")
def test_what_the_cell_installs_has_both_packages_and_runs_from_an_empty_folder(tmp_path):
    """pip's own work, without a network: what the course needs is taken from this environment."""
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(PROJECT / name, tmp_path)
    for package in ("isic_utils", "isic_course"):
        shutil.copytree(PROJECT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    place, empty = tmp_path / "installed", tmp_path / "empty"
    empty.mkdir()
    options = ["--no-deps", "--no-index", "--no-build-isolation", "--no-cache-dir", "--target", str(place)]
    command = [sys.executable, "-m", "pip", "install", "--quiet", *options, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for package in ("isic_utils", "isic_course"):
        there = {path.relative_to(PROJECT) for path in (PROJECT / package).rglob("*.py")}
        assert there <= {path.relative_to(place) for path in place.rglob("*.py")}
    asked = "import isic_course.synthetic, isic_utils.training; print(isic_course.__file__, isic_utils.__file__)"
    environment = os.environ | {"PYTHONPATH": str(place)}
    done = subprocess.run([sys.executable, "-c", asked], cwd=empty, env=environment, capture_output=True, text=True)
    assert done.stdout.split() == [str(place / name / "__init__.py") for name in ("isic_course", "isic_utils")]
