"""What a lesson says of its committed results is what its outputs show: each number "On the sample" stands in one."""

import re
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

PATHS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))
BEGINNING = "**On the sample**"
# names that contain a number, and the level of an interval
NAMES = re.compile(
    r"\[\d\d\]|lessons? \d\d( (to|and) \d\d)?|(Table|Figure|§|finding) ?\d+(\.\d+)*|ISIC 20\d\d|95 ?%"
    r"|\]\([^)]*\)|https?\S+|\b[A-Za-z]+[A-Za-z-]*\d+\w*|1/8",
    re.IGNORECASE,
)
NUMBER = re.compile(r"(?<![\w.])(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:e[+-]?\d+)?(?: ?%)?")


def numbers(text: str) -> list[tuple[float, int, bool]]:
    """The numbers in a text, without their signs: value, decimals, and whether it is a percentage."""
    found = []
    for match in NUMBER.finditer(text):
        bare = match[0].replace(",", "").rstrip("% ")
        mantissa, _, exponent = bare.partition("e")
        decimals = len(mantissa.partition(".")[2]) - int(exponent or 0)
        found.append((float(bare), decimals, match[0].endswith("%")))
    return found


def paragraphs(notebook: NotebookNode) -> list[str]:
    """The paragraphs about the sample, without the names that contain numbers."""
    texts = [part for cell in notebook.cells if cell.cell_type == "markdown" for part in cell.source.split("\n\n")]
    texts = [NAMES.sub(" ", text) for text in texts if text.lstrip("- ").startswith(BEGINNING)]
    return [re.sub(r"(?<=\d) (?=\d{3}\b)", ",", text) for text in texts]  # 25 331


def outputs(notebook: NotebookNode) -> list[float]:
    """All numbers in the printed and tabulated outputs."""
    text = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            text += [output.get("text", ""), output.get("data", {}).get("text/plain", "")]
            text.append(re.sub(r"<[^>]*>", " ", output.get("data", {}).get("text/html", "")))
    return [value for value, _, _ in numbers("\n".join(text))]


def shown(number: tuple[float, int, bool], values: list[float]) -> bool:
    """Whether a number is one of the values, rounded as the number is."""
    value, decimals, percent = number
    candidates = [*values, *(100 * other for other in values)] if percent else values
    return any(abs(other - value) <= 0.5 * 10**-decimals + 1e-9 for other in candidates)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_each_number_stands_in_an_output(path):
    notebook = nbformat.read(path, as_version=4)
    values = outputs(notebook)
    missing = [
        f"{number[0]:.{max(0, number[1])}f}{' %' * number[2]} in: {text[:90]}"
        for text in paragraphs(notebook)
        for number in numbers(text)
        if not shown(number, values)
    ]
    assert not missing, "\n".join(missing)


def test_a_wrong_number_is_found():
    assert shown((0.286, 3, False), [0.2861]) and not shown((0.287, 3, False), [0.2861])
    assert shown((55, 0, True), [0.549]) and not shown((55, 0, False), [0.549])
    assert [value for value, _, _ in numbers("1,286 lesions, −0.5, [1, 224] and 5.5e-09, 55 %")] == [
        *(1286, 0.5, 1, 224, 5.5e-09, 55)
    ]
