"""The figures in a notebook, and the one that stands for its lesson: in docs/gallery.md and in the book."""

import html
import re
from dataclasses import dataclass
from pathlib import Path

from nbformat import NotebookNode

EMBEDDED = re.compile(r'<img src="data:image/(png|jpeg);base64,([A-Za-z0-9+/=]+)" alt="([^"]*)"')

# Which figure stands for a lesson: the beginning of its alternative text.
CHOSEN = {
    "01": "A grid with a row of dermoscopic images",
    "02": "Five maps of area against darkness",
    "03": "For each of four blocks the lesion",
    "04": "Accuracy against BMA for each network",
    "05": "Left: accuracy and BMA against the ratio",
    "06": "Five rows of five blocks",
    "07": "Eight test images with the true border",
    "08": "Accuracy and BMA on the validation set",
    "09": "An image with its contour, a heat map",
    "10": "Differences of each group",
    "11": "BMA with intervals for each training clinic",
    "12": "The thesis's five BMAs as dots",
    "13": "A tree of sentences",
}


@dataclass(frozen=True)
class Figure:
    """A figure of a lesson. source: its pixels, as the source of an <img>; text: its alternative text."""

    source: str
    text: str


def figures(notebook: NotebookNode) -> list[Figure]:
    """Every figure that a notebook shows, outside its solutions."""
    found = []
    for cell in notebook.cells:
        if "solution" not in cell.metadata.get("tags", []):
            for output in cell.get("outputs", []):
                for kind, pixels, text in EMBEDDED.findall(output.get("data", {}).get("text/html", "")):
                    found.append(Figure(f"data:image/{kind};base64,{pixels}", html.unescape(text)))
    return found


def of(path: Path, notebook: NotebookNode, beginning: str | None = None) -> Figure:
    """The figure whose alternative text begins like this, by default the one in `CHOSEN`.

    path: of the notebook, whose number is that of `CHOSEN`. Raises ValueError if the figure is not there.
    """
    beginning = beginning or CHOSEN.get(path.stem[:2], "(CHOSEN names none)")
    for figure in figures(notebook):
        if figure.text.startswith(beginning):
            return figure
    raise ValueError(
        f"{path} has no figure whose alternative text begins with {beginning!r}: change CHOSEN, or run it."
    )
