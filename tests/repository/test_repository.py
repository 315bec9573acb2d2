"""What is kept in the repository, and the forms in which others report and contribute."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).resolve().parents[2]
PACKAGE = PROJECT / "isic_utils"
FORMS = sorted((PROJECT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
LARGEST = {".ipynb": 4_000_000, ".png": 500_000, ".svg": 200_000}  # bytes; outputs of a lesson are pictures
LARGEST_OF_OTHERS = 100_000
NEVER = {".jpg", ".jpeg", ".pt", ".pth", ".npy", ".bin", ".zip", ".gz", ".h5", ".onnx", ".safetensors"}

# What GitHub accepts: docs.github.com, "Syntax for issue forms" and "Syntax for GitHub's form schema"
FORM_KEYS = {"name", "description", "body", "title", "labels", "assignees", "projects", "type"}
ATTRIBUTES = {
    "markdown": {"value"},
    "textarea": {"label", "description", "placeholder", "value", "render"},
    "input": {"label", "description", "placeholder", "value"},
    "dropdown": {"label", "description", "multiple", "options", "default"},
    "checkboxes": {"label", "description", "options"},
}


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_nothing_large_no_data_and_no_weights():
    command = ["git", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("this copy of the course is not a git repository")
    paths = [PROJECT / name for name in listed.stdout.split("\0") if name and (PROJECT / name).exists()]
    assert len(paths) > 50
    for path in paths:
        assert path.suffix not in NEVER, f"{path.name} is data or weights: git rm --cached {path}"
        largest = LARGEST.get(path.suffix, LARGEST_OF_OTHERS)
        assert path.stat().st_size <= largest, f"{path.name} has more than {largest:,} bytes"


def read(path: Path) -> dict:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_blank_issues_are_allowed_and_nothing_else_is_configured():
    assert read(PROJECT / ".github" / "ISSUE_TEMPLATE" / "config.yml") == {"blank_issues_enabled": True}


@pytest.mark.parametrize("path", [path for path in FORMS if path.name != "config.yml"], ids=lambda path: path.stem)
def test_issue_forms_are_as_github_wants_them(path):
    form = read(path)
    assert {"name", "description", "body"} <= set(form) <= FORM_KEYS
    assert len(form["name"]) > 3 and len(form["description"]) > 3
    questions = [element for element in form["body"] if element["type"] != "markdown"]
    assert questions, "a form needs at least one question"
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+", question["id"]) for question in questions)
    for key in ("id", "label"):
        given = [question.get(key) or question["attributes"][key] for question in questions]
        assert len(set(given)) == len(given), f"two questions have the same {key}"
    for element in form["body"]:
        assert set(element) <= {"type", "id", "attributes", "validations"}
        attributes = element["attributes"]
        assert set(attributes) <= ATTRIBUTES[element["type"]]
        assert attributes["value" if element["type"] == "markdown" else "label"]
        assert element.get("validations", {}).keys() <= {"required"}
        assert isinstance(element.get("validations", {}).get("required", False), bool)
        if element["type"] == "dropdown":
            options = attributes["options"]
            assert len(set(options)) == len(options) > 1 and all(isinstance(option, str) for option in options)


def test_who_reports_a_failure_is_asked_for_the_environment_report():
    form = read(PROJECT / ".github" / "ISSUE_TEMPLATE" / "does_not_work.yml")
    (report,) = [element for element in form["body"] if element.get("id") == "report"]
    assert report["validations"] == {"required": True}
    assert "python -m isic_course doctor" in report["attributes"]["description"]
    assert "render" not in report["attributes"], "it is Markdown, and is to be shown as that"


def test_pre_commit_needs_nothing_from_elsewhere():
    (repository,) = read(PROJECT / ".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    hooks = {hook["id"]: hook for hook in repository["hooks"]}
    assert set(hooks) == {"ruff-check", "ruff-format", "notebooks", "repository"}
    for hook in hooks.values():
        assert hook["language"] == "system" and hook["entry"].startswith("python -m ")
        for word in hook["entry"].split():
            assert not word.startswith("tests/") or (PROJECT / word).exists(), word
