"""When a name is missing because an earlier cell has not run, say which cell makes it.

A notebook's kernel knows only the cells that have run. So the notebook itself is read: JupyterLab and VS Code tell the
kernel where it lies; elsewhere the sentence is a general one.
"""

import dis
import json
import os
from pathlib import Path

from IPython import get_ipython

MENU = "in the menu Run → Run All Above Selected Cell."


def explain_missing_names() -> None:
    """From now on a NameError in this notebook ends with where the name comes from. Outside of a notebook: nothing."""
    shell = get_ipython()
    if shell is not None:
        shell.set_custom_exc((NameError,), show_with_origin)


def show_with_origin(shell, kind, error, traceback, tb_offset=None) -> None:
    """Show a NameError as always, with a note below it."""
    notebook = shell.user_ns.get("__vsc_ipynb_file__") or os.environ.get("JPY_SESSION_NAME", "")
    if error.name and not getattr(error, "__notes__", None):
        note = origin(error.name, Path.cwd() / Path(notebook).name)
        if note:
            error.add_note(note)
    shell.showtraceback((kind, error, traceback), tb_offset=tb_offset)


def origin(name: str, notebook: Path) -> str:
    """Where a notebook makes a name, as a sentence; "" if nowhere, as for a typing error."""
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError, KeyError, TypeError):  # unknown, or no notebook
        return f"If `{name}` is made in a cell above, run that one first: {MENU}"
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code" and name in names_made(source):
            first = source.strip().splitlines()[0]
            return f"`{name}` is made in the cell that begins with `{first}`. Run it first, and those above it: {MENU}"
    return ""


def names_made(source: str) -> set[str]:
    """The names that a cell gives a value: variables, imports, functions, classes."""
    try:
        code = compile(source, "cell", "exec")
    except SyntaxError:  # a half-written answer, or a line for the shell
        return set()
    return {step.argval for step in dis.get_instructions(code) if step.opname == "STORE_NAME"}
