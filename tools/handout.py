"""Write the notebooks as they are handed out to a class: build/handout/ without solutions and without results, and, for
the teacher, build/solutions/ with both.

Of the outputs, the handout keeps the figures that show data: images of the sample, masks, counts, sketches. Their cells
have the tag "data-figure". What a lesson links to in docs/ goes with it, so either folder can be sent as it is. To run,
a notebook needs the course installed (`make lab`).
"""

import argparse
import re
import shutil
import sys
from pathlib import Path

import nbformat
from nbformat import NotebookNode

PROJECT = Path(__file__).resolve().parent.parent
DOCUMENT = re.compile(r"\]\(\.\./docs/([\w.-]+)")
DATA_FIGURE = "data-figure"  # the tag of a cell whose figure shows what is there before anything is trained or scored


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the notebooks without solutions and results, and with both.")
    parser.add_argument("--notebooks", type=Path, default=PROJECT / "notebooks", help="folder to read from")
    parser.add_argument("--build", type=Path, default=PROJECT / "build", help="folder to write to")
    arguments = parser.parse_args()

    paths = sorted(arguments.notebooks.glob("[0-9][0-9]_*.ipynb"))
    if not paths:
        sys.exit(f"There is no notebook in {arguments.notebooks}: expected files like 01_data_analysis.ipynb.")
    for name in ("handout", "solutions"):
        folder = arguments.build / name
        shutil.rmtree(folder, ignore_errors=True)  # of lessons that have another name now
        folder.mkdir(parents=True)
        for path in paths:
            notebook = nbformat.read(path, as_version=4)
            if name == "handout":
                take_out(notebook)
            write(notebook, folder / path.name, arguments.notebooks.parent / "docs")
        print(f"{len(paths)} notebooks in {folder}")
    return 0


def take_out(notebook: NotebookNode) -> None:
    """Remove the solutions, and all outputs but the figures that show data."""
    notebook.cells = [cell for cell in notebook.cells if "solution" not in cell.metadata.get("tags", [])]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            shows_data = DATA_FIGURE in cell.metadata.get("tags", [])
            cell.outputs = [output for output in cell.outputs if shows_data and is_figure(output)]
            cell.execution_count = None


def is_figure(output: NotebookNode) -> bool:
    """Whether `plots.show` has made this output: an image with its alternative text, not a table and not a text."""
    return output.output_type == "display_data" and "<img " in output.data.get("text/html", "")


def write(notebook: NotebookNode, file: Path, docs: Path) -> None:
    """Write a notebook, and the documents that its prose links to into the folder docs beside it."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for name in DOCUMENT.findall(cell.source):
                copy_document(docs / name, file.parent / "docs")
            cell.source = cell.source.replace("](../docs/", "](docs/")
    nbformat.write(notebook, file)


def copy_document(document: Path, folder: Path) -> None:
    """Copy a document; the lessons that it links to lie above it now, and no longer in notebooks/."""
    folder.mkdir(exist_ok=True)
    text = document.read_text(encoding="utf-8").replace("](../notebooks/", "](../")
    (folder / document.name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
