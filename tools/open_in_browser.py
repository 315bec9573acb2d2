"""Links that open a lesson in Colab or Binder, the cell that installs the course there, and the badge of the tests.

    python tools/open_in_browser.py

Say in pyproject.toml where the course can be cloned from, then run this:

    [project.urls]
    repository = "https://github.com/OWNER/NAME"

Each lesson in the README's table gets its badges, the README's title that of the workflow tests.yml, and each notebook
a first code cell that acts on Colab only.
While the setting is missing there are none, and a second run changes nothing. Afterwards `make execute` counts the
notebooks' cells anew. Colab and Binder open public repositories of GitHub.
"""

import re
import sys
import tomllib
from pathlib import Path

import nbformat

PROJECT = Path(__file__).resolve().parent.parent
GITHUB = re.compile(r"https://github\.com/(?P<place>[\w.-]+/[\w.-]+?)(?:\.git)?/?")
BADGE = re.compile(r" \[!\[[^\]]*\]\([^)]*\)\]\([^)]*\)")
LESSON = re.compile(r"(?P<link>\[[^\]]+\]\((?P<notebook>notebooks/[^)]+\.ipynb)\))")
STATUS = re.compile(r"\n\[!\[tests\].*\n")  # after the title
ROW = re.compile(r"\| \d\d \|")  # of the lessons' table
TAG = "colab"  # of the cell that installs the course
INSTALL = """import sys

if "google.colab" in sys.modules:  # on Colab, and only there: fetch the course and what it needs
    !git clone --quiet --depth 1 {repository} /content/course
    %pip install --quiet --editable /content/course
    sys.path.insert(0, "/content/course")"""


def main() -> int:
    try:
        repository = repository_of(PROJECT / "pyproject.toml")
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    readme = PROJECT / "README.md"
    readme.write_text(with_badges(readme.read_text(encoding="utf-8"), repository), encoding="utf-8")
    for path in sorted((PROJECT / "notebooks").glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        if set_install_cell(notebook, repository):
            nbformat.write(notebook, path)
    print(f"The lessons open from {repository}." if repository else "No repository is set: no badges, no first cell.")
    return 0


def repository_of(file: Path) -> str | None:
    """Where the course can be cloned from: the address, or None while pyproject.toml does not say.

    Raises ValueError if it is no repository of GitHub's.
    """
    urls = tomllib.loads(file.read_text(encoding="utf-8"))["project"].get("urls", {})
    address = urls.get("repository")
    if address is None:
        return None
    found = GITHUB.fullmatch(address)
    if not found:
        raise ValueError(
            f'{file}: repository = "{address}" is no repository that Colab and Binder open: '
            "write https://github.com/OWNER/NAME."
        )
    return f"https://github.com/{found['place']}"


def with_badges(readme: str, repository: str | None) -> str:
    """The README with badges below its title and behind each lesson, or without any if there is no repository."""
    readme = STATUS.sub("", readme, count=1)
    lines = []
    for line in readme.splitlines(keepends=True):
        if ROW.match(line) and LESSON.search(line):
            line = BADGE.sub("", line)
            if repository:
                line = LESSON.sub(lambda found: found["link"] + badges(repository, found["notebook"]), line, count=1)
        lines.append(line)
    if repository:
        workflow = f"{repository}/actions/workflows/tests.yml"
        lines.insert(1, f"\n[![tests]({workflow}/badge.svg?branch=main)]({workflow})\n")
    return "".join(lines)


def badges(repository: str, notebook: str) -> str:
    """The two badges of a lesson, in Markdown."""
    place = repository.removeprefix("https://github.com/")
    colab = f"https://colab.research.google.com/github/{place}/blob/main/{notebook}"
    binder = f"https://mybinder.org/v2/gh/{place}/main?labpath={notebook}"
    return (
        f" [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({colab})"
        f" [![Open in Binder](https://mybinder.org/badge_logo.svg)]({binder})"
    )


def set_install_cell(notebook: nbformat.NotebookNode, repository: str | None) -> bool:
    """Put the installing cell behind the title, or take it away. Returns whether the notebook changed."""
    before = [(cell.cell_type, cell.source) for cell in notebook.cells]
    notebook.cells = [cell for cell in notebook.cells if TAG not in cell.metadata.get("tags", [])]
    if repository:
        cell = nbformat.v4.new_code_cell(INSTALL.format(repository=repository), metadata={"tags": [TAG]})
        cell.id = "install-on-colab"
        notebook.cells.insert(1, cell)
    return [(cell.cell_type, cell.source) for cell in notebook.cells] != before


if __name__ == "__main__":
    sys.exit(main())
