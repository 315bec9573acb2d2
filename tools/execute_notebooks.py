"""Execute the course's notebooks one after another; executed copies and HTML versions land in build/.

    python tools/execute_notebooks.py               every notebook, in order
    python tools/execute_notebooks.py 01 04         only these
    python tools/execute_notebooks.py --in-place    also save them over the committed ones, ready for a commit
    python tools/execute_notebooks.py --epochs 1 04 every network of `settings` trains for one epoch: does it run here?

A notebook that fails does not stop the others, but a disk that takes no more does. The exit status is 1 if any failed.
"""

import argparse
import os
import re
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbconvert import HTMLExporter
from nbconvert.preprocessors import CoalesceStreamsPreprocessor
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell
from tqdm import tqdm

from isic_course import doctor
from isic_utils import files
from isic_utils.errors import IsicError

PROJECT = Path(__file__).resolve().parent.parent
WIDGET = "application/vnd.jupyter.widget-view+json"
ADVICE = "free disk space and start again; what is trained stays trained"
PROGRESS_BAR = re.compile(r"\d+%\|.*\|.*\[.*\]")


def main() -> int:
    parser = argparse.ArgumentParser(description="Execute the course's notebooks one after another.")
    parser.add_argument("names", nargs="*", help="beginnings of file names, such as 04; none means all")
    parser.add_argument("--in-place", action="store_true", help="also save over the notebooks themselves")
    parser.add_argument("--notebooks", type=Path, default=PROJECT / "notebooks", help="folder to read from")
    parser.add_argument("--build", type=Path, default=PROJECT / "build", help="folder to write to")
    parser.add_argument("--epochs", type=int, help="of every network of the settings; the executed copy shows the cell")
    arguments = parser.parse_args()
    if arguments.epochs and arguments.in_place:
        parser.error("--epochs is for a look: its notebooks are not saved over the committed ones")

    paths = chosen_notebooks(arguments.notebooks, arguments.names)
    try:
        for finding in doctor.disk():
            if finding.problem:
                print(finding.problem, flush=True)
        arguments.build.mkdir(parents=True, exist_ok=True)
        return execute_all(paths, arguments.build, arguments.in_place, arguments.epochs)
    except IsicError as error:  # of the settings, or of what cannot be written
        sys.exit(str(error))
    except OSError as error:
        sys.exit(f"{error.filename or arguments.build} cannot be written ({error.strerror or error}): {ADVICE}.")


def execute_all(paths: list[Path], build: Path, in_place: bool, epochs: int | None = None) -> int:
    """Execute notebooks, write them to ``build`` and, in place, over themselves. Returns 1 if any failed, else 0.

    epochs: see `shorten`; None: as many as the settings say."""
    lines = []
    failures = 0
    for position, path in enumerate(paths, start=1):
        print(f"[{position}/{len(paths)}] {path.name}", flush=True)
        start = time.monotonic()
        notebook = nbformat.read(path, as_version=4)
        if epochs:
            shorten(notebook, epochs)
        failure = execute(notebook, path)
        clean(notebook)
        write(notebook, build / path.name)
        write_html(notebook, path, build)
        if failure:
            failures += 1
            print(failure, flush=True)
        elif in_place:
            write(notebook, path)
        duration = minutes(time.monotonic() - start)
        lines.append(f"{path.stem:<32} {duration:>7}  {'FAILED' if failure else 'ok'}")
    print("\n".join(["", *lines]), flush=True)
    return 1 if failures else 0


def chosen_notebooks(folder: Path, names: list[str]) -> list[Path]:
    """The notebooks of ``folder`` in order; with ``names``, those whose file name begins with one of them."""
    paths = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not paths:
        sys.exit(f"There is no notebook in {folder}: expected files like 01_data_analysis.ipynb.")
    for name in names:
        if not any(path.name.startswith(name) for path in paths):
            sys.exit(f"No notebook begins with {name}: there are {', '.join(path.stem for path in paths)}.")
    return [path for path in paths if not names or path.name.startswith(tuple(names))]


def shorten(notebook: NotebookNode, epochs: int) -> None:
    """Put a cell after the one that loads the settings: every network trains for so many epochs. Solutions go, since
    some of them expect networks that have learnt enough."""
    notebook.cells = [cell for cell in notebook.cells if "solution" not in cell.metadata.get("tags", [])]
    fields = ", ".join(f"{field}={epochs}" for field in ("epochs", "fine_tuning_epochs", "segmentation_epochs"))
    cell = new_code_cell(f"from dataclasses import replace\n\nsettings = replace(settings, {fields})")
    for position, loading in enumerate(notebook.cells):
        if loading.cell_type == "code" and "settings = load_settings()" in loading.source:
            notebook.cells.insert(position + 1, cell)
            return
    raise IsicError("--epochs: no cell of this notebook says `settings = load_settings()`, so it has no epochs to set.")


def execute(notebook: NotebookNode, path: Path) -> str | None:
    """Run every cell of ``notebook`` in a new kernel whose working folder is the notebook's.

    The outputs are stored in ``notebook``. Returns None, or, for a cell that raised, the sentence to show.
    """
    running = {"number": 0, "source": ""}
    code_cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in code_cells:
        cell.outputs, cell.execution_count = [], None
    with tqdm(total=len(code_cells), unit="cell", leave=False, disable=None) as progress:

        def note_cell(cell: NotebookNode, cell_index: int) -> None:
            running.update(number=running["number"] + 1, source=cell.source)
            progress.set_description(f"code cell {running['number']}")

        client = NotebookClient(
            notebook,
            timeout=None,
            kernel_name="python3",
            extra_arguments=["--log-level=ERROR"],  # of the kernel; a warning in a cell is an output
            record_timing=False,
            resources={"metadata": {"path": str(path.parent)}},
            on_cell_execute=note_cell,
            on_cell_executed=lambda **_: progress.update(),
        )
        try:
            client.execute()
        except CellExecutionError as error:
            reason = f"{error.ename}: {error.evalue}"
        except DeadKernelError:
            reason = "the kernel died, which is most often a lack of memory"
        else:
            return None
    first_line = next(iter(running["source"].strip().splitlines()), "")
    last_lines = "\n    ".join(reason.strip().splitlines()[-5:])
    return f"  failed in code cell {running['number']}, which begins: {first_line}\n    {last_lines}"


def clean(notebook: NotebookNode) -> None:
    """Leave in ``notebook`` what a reader needs and no more: executing it again should change nothing."""
    join_streams = CoalesceStreamsPreprocessor()
    join_streams.preprocess(notebook, {})
    for cell in notebook.cells:
        kept = {key: value for key, value in cell.metadata.items() if key in ("tags", "jupyter", "slideshow")}
        cell.metadata = NotebookNode(kept)
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not is_progress(output)]
    join_streams.preprocess(notebook, {})
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    has_widget = any(WIDGET in output.get("data", {}) for output in outputs)
    widgets = {"widgets": notebook.metadata.widgets} if has_widget and "widgets" in notebook.metadata else {}
    notebook.metadata = NotebookNode(
        kernelspec={"display_name": "Python 3", "language": "python", "name": "python3"},
        language_info={"name": "python"},
        **widgets,
    )


def is_progress(output: NotebookNode) -> bool:
    """True for an output in which nothing but progress bars was written: as a widget, or to the error stream."""
    if WIDGET in output.get("data", {}):
        return bool(PROGRESS_BAR.search(output.data.get("text/plain", "")))
    if output.output_type != "stream" or output.name != "stderr":
        return False
    lines = re.split(r"[\r\n]", output.text)
    return all(not line.strip() or PROGRESS_BAR.search(line) for line in lines)


def write(notebook: NotebookNode, path: Path) -> None:
    """Write ``notebook`` to ``path`` whole or not at all."""
    write_text(nbformat.writes(notebook) + "\n", path)


def write_html(notebook: NotebookNode, path: Path, build: Path) -> None:
    """Write ``notebook`` as one self-contained page; images that its prose names lie beside ``path``."""
    exporter = HTMLExporter(embed_images=True)
    resources = {"metadata": {"name": path.stem, "path": str(path.parent)}}
    page, _ = exporter.from_notebook_node(notebook, resources)
    write_text(page, build / f"{path.stem}.html")


def write_text(text: str, path: Path) -> None:
    """Write a text whole or not at all. Raises IsicError if it cannot be written, e.g. on a full disk."""
    files.write(path, lambda partial: partial.write_text(text, encoding="utf-8"), ADVICE)


def minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


if __name__ == "__main__":
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # this Python's kernel, whatever else is called python3
    sys.exit(main())
