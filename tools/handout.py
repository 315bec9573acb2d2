"""Write the notebooks as they are handed out to a class: build/handout/ without solutions and without outputs, and,
for the teacher, build/solutions/ with both.

What a lesson links to in docs/ goes with it, so either folder can be sent as it is. To run, a notebook needs the course
installed (`make lab`).
"""

import argparse
import re
import shutil
import sys
from pathlib import Path

import nbformat
from nbconvert import NotebookExporter
from traitlets.config import Config

PROJECT = Path(__file__).resolve().parent.parent
DOCUMENT = re.compile(r"\]\(\.\./docs/([\w.-]+)")

WITHOUT_SOLUTIONS = Config(
    TagRemovePreprocessor={"enabled": True, "remove_cell_tags": ["solution"]},
    ClearOutputPreprocessor={"enabled": True},
)
WITH_SOLUTIONS = Config()


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the notebooks without solutions and outputs, and with both.")
    parser.add_argument("--notebooks", type=Path, default=PROJECT / "notebooks", help="folder to read from")
    parser.add_argument("--build", type=Path, default=PROJECT / "build", help="folder to write to")
    arguments = parser.parse_args()

    paths = sorted(arguments.notebooks.glob("[0-9][0-9]_*.ipynb"))
    if not paths:
        sys.exit(f"There is no notebook in {arguments.notebooks}: expected files like 01_data_analysis.ipynb.")
    for name, config in (("handout", WITHOUT_SOLUTIONS), ("solutions", WITH_SOLUTIONS)):
        folder = arguments.build / name
        shutil.rmtree(folder, ignore_errors=True)  # of lessons that have another name now
        folder.mkdir(parents=True)
        for path in paths:
            write(path, config, folder, arguments.notebooks.parent / "docs")
        print(f"{len(paths)} notebooks in {folder}")
    return 0


def write(path: Path, config: Config, folder: Path, docs: Path) -> None:
    """Write one notebook into ``folder``, and the documents that its prose links to into ``folder/docs``."""
    text, _ = NotebookExporter(config=config).from_filename(str(path))
    notebook = nbformat.reads(text, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for name in DOCUMENT.findall(cell.source):
                copy_document(docs / name, folder / "docs")
            cell.source = cell.source.replace("](../docs/", "](docs/")
    nbformat.write(notebook, folder / path.name)


def copy_document(document: Path, folder: Path) -> None:
    """Copy a document; the lessons that it links to lie above it now, and no longer in notebooks/."""
    folder.mkdir(exist_ok=True)
    text = document.read_text(encoding="utf-8").replace("](../notebooks/", "](../")
    (folder / document.name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
