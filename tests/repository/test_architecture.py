"""The house: which package may import which, how large a package and a module may be, and what an import may do."""

import ast
import graphlib
import io
import json
import os
import re
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
PACKAGES = {"isic_utils": 2_800, "isic_course": 4_200}  # lines of code that each may have
MODULE = 250  # lines of code that a module may have
OWN = {"isic_course.doctor": 120, "isic_utils.datasets.download": 250}  # those with a budget of their own

# From below to above: a module imports only from its own floor and from the floors below it.
FLOORS = [
    "errors",
    "files",
    "processes",
    "settings",
    "archive",
    "datasets",
    "models",
    "metrics",
    "training",
    "inference",
    "plots",
    "__main__",
]

PUBLIC = {"_asdict", "_fields", "_replace"}  # of named tuples: documented, and named so for another reason


def modules(package: str) -> dict[str, Path]:
    """The modules of a package by their full name; a package within it has the name of its folder."""
    files = {}
    for path in sorted((PROJECT / package).rglob("*.py")):
        parts = path.relative_to(PROJECT).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return files


MODULES = modules("isic_utils") | modules("isic_course")


def tree(name: str) -> ast.Module:
    return ast.parse(MODULES[name].read_text(encoding="utf-8"))


def imports(name: str) -> set[str]:
    """The modules that a module imports, at its top or inside a function, by their full names."""
    found = set()
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            source = node.module or ""
            if node.level:
                package = name.split(".") if MODULES[name].name == "__init__.py" else name.split(".")[:-1]
                source = ".".join([*package[: len(package) - node.level + 1], *filter(None, [node.module])])
            full = {f"{source}.{alias.name}" for alias in node.names}
            found |= {one if one in MODULES else source for one in full}
    return found


def floor(name: str) -> int:
    """The floor of a module of isic_utils; the package itself, which imports nothing, is below all."""
    parts = name.split(".")
    return FLOORS.index(parts[1]) if len(parts) > 1 else -1


def code_lines(source: str) -> int:
    """How many lines hold code: not the blank ones, the comments and the docstrings."""
    lines = set()
    without_code = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in (*without_code, tokenize.ENDMARKER):
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if documented and ast.get_docstring(node, clean=False) is not None:
            lines.difference_update(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return len(lines)


# the direction of imports


def test_isic_utils_does_not_know_isic_course():
    for name in modules("isic_utils"):
        assert not {one for one in imports(name) if one.split(".")[0] == "isic_course"}, name


def test_every_module_of_isic_utils_has_a_floor():
    assert {name.split(".")[1] for name in modules("isic_utils") if "." in name} == set(FLOORS)


@pytest.mark.parametrize("name", modules("isic_utils"))
def test_no_module_imports_from_a_floor_above(name):
    own = {one for one in imports(name) if one.split(".")[0] == "isic_utils"}
    above = {one for one in own if floor(one) > floor(name)}
    assert not above, f"{name} imports {above}"


def test_no_modules_import_each_other_in_a_circle():
    names = modules("isic_utils")
    graph = {name: imports(name) & set(names) - {name, "isic_utils"} for name in names}
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_page_and_docstring_tell_the_floors_in_order():
    page = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8")
    (row,) = re.findall("^> (.*)$", page, flags=re.MULTILINE)
    assert re.findall(r"`(\w+)`", row) == FLOORS
    assert re.findall(r"``(\w+)``: ", ast.get_docstring(tree("isic_utils"))) == FLOORS[:-1]


def test_the_names_that_others_rely_on_are_there():
    from isic_utils import metrics
    from isic_utils.datasets import ImageStore, IsicDataset, loader, read_isic2018, read_isic2019, splits
    from isic_utils.models import MODELS, create_model
    from isic_utils.training import Run, TrainConfig, fit

    of_data = [read_isic2019, read_isic2018, ImageStore, IsicDataset, loader]
    of_splits = [splits.standard, splits.segmentation, splits.cross_validation, splits.balanced]
    others = [create_model, TrainConfig, fit, Run, metrics.jaccard, metrics.thresholded_jaccard]
    assert all(map(callable, [*of_data, *of_splits, *others])) and "residual" in MODELS


# the budgets


def test_lines_are_counted_as_promised():
    source = '"""A docstring.\n\nOf three lines."""\n\nimport os  # code\n\n# a comment\nx = """a\nb"""\n\n\n'
    source += 'def f():\n    """A docstring."""\n    return (\n        os\n    )\n'
    assert code_lines(source) == 7  # import, two of x, def, three of return


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_is_not_larger_than_its_budget(package):
    total = sum(code_lines(path.read_text(encoding="utf-8")) for path in modules(package).values())
    assert total <= PACKAGES[package], f"{package} has {total:,} lines of code"


def test_a_module_can_be_read_in_one_sitting():
    counts = {name: code_lines(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}
    assert not {name: count for name, count in counts.items() if count > OWN.get(name, MODULE)}
    assert OWN.keys() <= counts.keys()


# what an import does, and what is asked of a library

IMPORTS = """
import importlib, json, sys, warnings
import matplotlib
from IPython.core.interactiveshell import InteractiveShell
libraries, own = json.loads(sys.argv[1])
for name in libraries:
    importlib.import_module(name)
InteractiveShell.clear_instance()
shell = InteractiveShell.instance()  # a notebook's, in which a module could set a hook
filters, settings, hook = list(warnings.filters), dict(matplotlib.rcParams), sys.excepthook
for name in own:
    importlib.import_module(name)
changed = {key for key, value in dict(matplotlib.rcParams).items() if settings.get(key) != value}
assert not changed, f"rcParams: {changed}"
assert list(warnings.filters) == filters, f"warnings: {[one for one in warnings.filters if one not in filters]}"
assert sys.excepthook is hook and shell.custom_exceptions == ()
from isic_course.exercises import explain_missing_names
explain_missing_names()
assert shell.custom_exceptions == (NameError,)  # so the line above would notice it
"""


@pytest.mark.slow
def test_importing_a_module_changes_no_warning_filter_figure_style_or_hook(tmp_path):
    libraries = set().union(*map(imports, MODULES)) - set(MODULES) - {"__future__"}
    own = [name for name in MODULES if not name.endswith("synthetic.__main__")]  # draws the sample
    command = [sys.executable, "-c", IMPORTS, json.dumps([sorted(libraries), own])]
    environment = os.environ | {"IPYTHONDIR": str(tmp_path)}
    result = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in PUBLIC


@pytest.mark.parametrize("name", MODULES)
def test_nothing_private_of_another_module_is_used(name):
    used = []
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Attribute) and private(node.attr):
            if not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")):
                used.append(ast.unparse(node))
        elif isinstance(node, ast.Import | ast.ImportFrom):
            places = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            used += [place for place in places if any(map(private, place.split(".")))]
    assert not used


# the page that describes all this


def test_the_architecture_page_lists_the_modules_that_there_are():
    page = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8")
    block = page.split("```")[1].split("\n\n")[0]  # isic_utils alone
    listed, folder = set(), ""
    for line in block.splitlines():
        if found := re.match(r" {2}(\w+)/$", line):
            folder = found[1]
        elif found := re.match(r"( {2,4})(\w+\.py) ", line):
            listed.add(f"{folder}/{found[2]}" if len(found[1]) == 4 else found[2])
    there = {path.relative_to(PROJECT / "isic_utils").as_posix() for path in modules("isic_utils").values()}
    assert {name for name in listed if not name.endswith("__init__.py")} == {
        name for name in there if not name.endswith("__init__.py")
    }
    course = page.split("\nisic_course/\n")[1].split("\n\n")[0]
    names = {path.name for path in (PROJECT / "isic_course").glob("*.py")} - {"__init__.py"}
    assert set(re.findall(r"\b\w+\.py\b", course)) == names
