"""The field's own words: the old ones stay out of names, and the unmistakable ones out of prose (CONTRIBUTING.md)."""

import ast
import re
import subprocess
from pathlib import Path

import nbformat

from isic_utils.__main__ import build_parser
from isic_utils.settings import PROJECT

NOT_IN_NAMES = {
    "picture", "pictures", "slope", "slopes", "remedy", "remedies", "lazy", "skewed", "stage", "partition",
    "partitions", "lit", "mirrored", "turned", "looks", "strange", "slim", "refusal", "refusals", "shouts",
}  # fmt: skip
NOT_IN_PROSE = re.compile(r"\b(pictures?|slopes?|remed(?:y|ies)|lazy model)\b", re.IGNORECASE)
# names of a helper of the tests, of timm's own stages, and of a library's argument
ALLOWED = {("archives.py", "refusal"), ("__init__.py", "stage"), ("test_models.py", "stage")}
ABOUT_WORDS = {"CHANGELOG.md", "CONTRIBUTING.md", "test_words.py", "fuzz_readers.py"}  # they name the old words
FILES = subprocess.run(["git", "ls-files"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout.split("\n")


def sources() -> dict[str, str]:
    """The Python code of the project: file or notebook cell -> source."""
    found = {}
    for name in filter(None, FILES):
        path = PROJECT / name
        if path.suffix == ".py":
            found[name] = path.read_text(encoding="utf-8")
        elif path.suffix == ".ipynb":
            cells = enumerate(nbformat.read(path, as_version=4).cells)
            found |= {f"{name} [{i}]": cell.source for i, cell in cells if cell.cell_type == "code"}
    return found


def defined(source: str) -> set[str]:
    """The names that a source defines: functions, classes, arguments, variables, attributes, columns of a table."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            names.add(node.id if isinstance(node, ast.Name) else node.attr)
        elif isinstance(node, ast.keyword) and node.arg and isinstance(node.value, ast.Constant):
            names.add(node.arg)
    return names


def test_old_words_are_in_no_name():
    found = {}
    for place, source in sources().items():
        file = Path(place.split()[0]).name
        words = {word for name in defined(source) for word in name.lower().split("_")} & NOT_IN_NAMES
        found[place] = {word for word in words if (file, word) not in ALLOWED and file not in ABOUT_WORDS}
    assert not {place: words for place, words in found.items() if words}


def test_old_words_are_in_no_option_and_no_file_name():
    parser = build_parser()
    commands = next(action.choices for action in parser._actions if action.choices)
    options = {option for one in commands.values() for action in one._actions for option in action.option_strings}
    names = [*options, *(Path(name).stem for name in FILES)]
    assert not [name for name in names if NOT_IN_NAMES & set(re.split(r"[-_]", name.lower()))]
    assert {"--group-by", "--folds", "--method"} <= options


def prose(path: Path) -> str:
    """A document, or the sources and printed outputs of a notebook."""
    if path.suffix != ".ipynb":
        return path.read_text(encoding="utf-8")
    cells = nbformat.read(path, as_version=4).cells
    printed = [str(output.get("text", "")) for cell in cells for output in cell.get("outputs", [])]
    return "\n".join([*(cell.source for cell in cells), *printed])


def test_unmistakable_old_words_are_in_no_prose():
    pages = [PROJECT / name for name in FILES if name.endswith((".md", ".ipynb", ".svg"))]
    found = {page.name: NOT_IN_PROSE.findall(prose(page)) for page in pages if page.name not in ABOUT_WORDS}
    assert not {name: words for name, words in found.items() if words}


def test_the_old_word_is_found():
    assert "slope_of_loss" in defined("def f(a):\n    slope_of_loss = 1") and NOT_IN_PROSE.search("The Slopes.")
