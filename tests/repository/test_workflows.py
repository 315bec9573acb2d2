"""The workflows on GitHub: they name what there is, and run what `make test` runs."""

import json
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((PROJECT / ".github").glob("workflows/*.yml"))
RULE = re.compile(r"^([\w.-]+):", re.MULTILINE)
COMMAND = re.compile(r"(?<=-m )(?:pytest|ruff|isic_course).*?(?= \|\||;|$)", re.MULTILINE)  # what follows python -m


def read(path: Path) -> dict:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def steps(path: Path) -> list[dict]:
    return [step for job in read(path)["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_what_a_workflow_names_is_there(path):
    rules = RULE.findall((PROJECT / "Makefile").read_text(encoding="utf-8"))
    for step in steps(path):
        command, action = step.get("run", ""), step.get("uses", "")
        assert set(re.findall(r"\bmake ([\w-]+)", command)) <= set(rules)
        for place in re.findall(r"\b(?:tools|tests|notebooks)\b[\w./]*", command):
            assert any(PROJECT.glob(f"{place}*")), place  # it may go on with a pattern
        if action.startswith("./"):
            inputs = read(PROJECT / action / "action.yml")["inputs"]
            assert step["with"].keys() <= inputs.keys()
        else:
            assert not action or re.fullmatch(r"actions/[\w-]+@v\d+", action), f"{action} is somebody else's"


@pytest.mark.skipif(os.name == "nt" or not shutil.which("make"), reason="make is for Linux and macOS")
def test_the_workflow_runs_what_make_test_runs():
    dry = ["make", "--dry-run", "--always-make", "test"]
    printed = subprocess.run(dry, cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    wanted = set(COMMAND.findall(re.sub(r"\s*\\\n\s*", " ", printed)))
    jobs = read(PROJECT / ".github" / "workflows" / "tests.yml")["jobs"]
    commands = [step.get("run", "") for name in ("tests", "notebooks") for step in jobs[name]["steps"]]
    assert set(COMMAND.findall("\n".join(commands))) == wanted


def test_the_workflow_begins_with_the_lowest_python():
    jobs = read(PROJECT / ".github" / "workflows" / "tests.yml")["jobs"]
    lowest = jobs["tests"]["strategy"]["matrix"]["python"][0]
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["requires-python"] == f">={lowest}"
    (step,) = [step for step in jobs["lowest-versions"]["steps"] if "resolution" in step.get("with", {})]
    assert step["with"] == {"python": lowest, "resolution": "lowest-direct"}


def test_the_citation_has_the_courses_title():
    citation = read(PROJECT / "CITATION.cff")
    assert (PROJECT / "README.md").read_text(encoding="utf-8").startswith(f"# {citation['title']}\n")


def test_the_container_is_made_from_files_that_are_there():
    container = PROJECT / ".devcontainer"
    settings = json.loads((container / "devcontainer.json").read_text(encoding="utf-8"))
    assert (container / settings["build"]["dockerfile"]).exists()
    assert not (PROJECT / "Dockerfile").exists(), "Binder would take it instead of environment.yml"
    steps = (container / "Dockerfile").read_text(encoding="utf-8")
    assert "--constraint requirements-tested.txt" in steps
