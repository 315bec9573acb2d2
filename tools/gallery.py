"""The gallery: a figure of each lesson, taken from the notebook as it is committed and made small.

    python tools/gallery.py

Writes docs/gallery, the table in docs/gallery.md and the figure at the top of README.md. Run it after `make execute`;
a test compares.
"""

import base64
import io
import sys
from pathlib import Path

import lesson_figures
import nbformat
from PIL import Image

PROJECT = Path(__file__).resolve().parent.parent
WIDTH, HEIGHT = 480, 320  # pixels that an image of the gallery may have at most
COLUMNS = 3
START, END = "<!-- gallery: written by tools/gallery.py -->", "<!-- end of gallery -->"

LARGE = "Recall of each class for six networks"  # of lesson 04: docs/recall.png


def main() -> int:
    folder, page = PROJECT / "docs" / "gallery", PROJECT / "docs" / "gallery.md"
    folder.mkdir(exist_ok=True)
    cells = []
    for path in sorted((PROJECT / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        image, text = figure(path)
        small(image).save(folder / f"{path.stem[:2]}.png", optimize=True)
        cells.append(cell(path, text))
    large, _ = figure(lesson("04"), LARGE)
    small(large, 4).save(PROJECT / "docs" / "recall.png", optimize=True)
    page.write_text(with_gallery(page.read_text(encoding="utf-8"), cells), encoding="utf-8")
    print(f"{folder} and {page.name}: {len(cells)} lessons.")
    return 0


def cell(path: Path, text: str) -> str:
    """A lesson in the gallery: its figure and its title, both of them links to the notebook."""
    title = nbformat.read(path, as_version=4).cells[0].source.splitlines()[0].removeprefix("# ")
    link = f"../notebooks/{path.name}"
    return f"[![{text}](gallery/{path.stem[:2]}.png)]({link})<br>[{title}]({link})"


def with_gallery(page: str, cells: list[str]) -> str:
    """The page with these cells in its gallery, three in a row."""
    cells = cells + [""] * (-len(cells) % COLUMNS)
    rows = [cells[start : start + COLUMNS] for start in range(0, len(cells), COLUMNS)]
    lines = [rows[0], ["---"] * COLUMNS, *rows[1:]]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    before, rest = page.split(START)
    return before + START + "\n" + table + "\n" + END + rest.split(END)[1]


def lesson(number: str) -> Path:
    """The notebook with this number."""
    return next((PROJECT / "notebooks").glob(f"{number}_*.ipynb"))


def figure(path: Path, beginning: str | None = None) -> tuple[Image.Image, str]:
    """A figure of a notebook, as `lesson_figures.of` finds it, and its alternative text."""
    shown = lesson_figures.of(path, nbformat.read(path, as_version=4), beginning)
    return Image.open(io.BytesIO(base64.b64decode(shown.source.partition(",")[2]))), shown.text


def small(image: Image.Image, times: int = 1) -> Image.Image:
    """A figure at the size of the gallery, or some times as large, with the colours that it needs."""
    image = image.convert("RGB")
    image.thumbnail((times * WIDTH, times * HEIGHT), Image.Resampling.LANCZOS)
    return image.quantize(128, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)


if __name__ == "__main__":
    sys.exit(main())
