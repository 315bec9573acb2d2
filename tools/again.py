"""Run every notebook twice, from a copy in another folder whose path has spaces and accents: it must succeed each time,
and the outputs that are compared must be the same.

    python tools/again.py            every notebook: about twice the time of `make notebooks`
    python tools/again.py 01 04      only these

The first time nothing is trained yet, the second time everything is. Data and runs lie in such a folder too. Each time
has a new kernel, as with Restart & Run All in JupyterLab. The exit status is 1 if anything failed. The folder lies in
build/ and is deleted at the end; what a killed process leaves goes with `make clean`.
"""

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

import nbformat
from execute_notebooks import PROJECT, chosen_notebooks, clean, execute
from nbformat import NotebookNode

from isic_course import synthetic
from isic_utils.settings import SAMPLE

FOLDER = "Mis cuadernos ñ é ü"
COMPARED = "nbval-check-output"


def main() -> int:
    parser = argparse.ArgumentParser(description="Run notebooks twice, from a folder with spaces and accents.")
    parser.add_argument("names", nargs="*", help="beginnings of file names, such as 04; none means all")
    parser.add_argument("--notebooks", type=Path, default=PROJECT / "notebooks", help="folder to read from")
    parser.add_argument("--data", type=Path, default=SAMPLE, help="data to copy")
    arguments = parser.parse_args()
    if arguments.data == SAMPLE:
        synthetic.ensure()
    if not arguments.data.is_dir():
        parser.error(f"There is no folder {arguments.data}: name one that holds data with --data.")
    failures = 0
    build = PROJECT / "build"
    build.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="again-", dir=build, ignore_cleanup_errors=True) as temporary:
        place = Path(temporary) / FOLDER
        place.mkdir()
        shutil.copytree(arguments.data, place / "los datos")
        os.environ |= {"ISIC_DATA": str(place / "los datos"), "ISIC_RUNS": str(place / "las pruebas")}
        for path in chosen_notebooks(arguments.notebooks, arguments.names):
            copy = Path(shutil.copy(path, place))
            failure = run_twice(copy)
            failures += failure is not None
            print(f"{path.stem:<32} {failure or 'ok'}", flush=True)
    return 1 if failures else 0


def run_twice(path: Path) -> str | None:
    """None if a notebook runs twice with the same outputs, else what went wrong."""
    outputs = []
    for time in ("first", "second"):
        notebook = nbformat.read(path, as_version=4)
        failure = execute(notebook, path)
        if failure:
            return f"the {time} time:\n{failure}"
        clean(notebook)
        outputs.append(compared(notebook))
    first, second = outputs
    for source, output in first.items():
        if second[source] != output:
            return f"another output the second time, of the cell that begins with {source.splitlines()[0]}"
    return None


def compared(notebook: NotebookNode) -> dict[str, list[dict]]:
    """The source of each cell whose output is compared -> what it showed as text."""
    shown = {}
    for cell in notebook.cells:
        if cell.cell_type == "code" and COMPARED in cell.metadata.get("tags", []):
            shown[cell.source] = [
                output.get("text") or output.get("data", {}).get("text/plain") for output in cell.outputs
            ]
    return shown


if __name__ == "__main__":
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
    os.environ.pop("ISIC_PROFILE", None)
    sys.exit(main())
