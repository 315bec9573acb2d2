"""Make the course a book: the notebooks as they are committed, executed, the documents, and all tables measured on real
images, as pages in build/book.

    python tools/book.py          then open build/book/index.html in a browser

The pages need no server and no network. Packages: the extra "book" of pyproject.toml.
"""

import argparse
import html
import re
import shutil
import sys
from pathlib import Path

import lesson_figures
import measured_page
import nbformat
from execute_notebooks import WIDGET
from nbformat import NotebookNode
from nbformat.v4 import new_output

PROJECT = Path(__file__).resolve().parent.parent
NO_WIDGET = "Here a running notebook has a button, which a page cannot have."
DOCUMENTS = ["docs/*.md", "data/README.md", "benchmarks/README.md", "CONTRIBUTING.md", "CHANGELOG.md"]
CODE = ["isic_utils/**/*.py", "isic_course/**/*.py", "tests/repository/test_architecture.py"]  # a document links to it
PAGES = {  # with sliders; whole as they are
    "docs/dial.html": "The imbalance dial",
    "docs/threshold.html": "Threshold and prevalence",
}
LINKED = ["docs/**/*.png", "docs/*.svg", "benchmarks/*.png", "benchmarks/*/*.csv", "LICENSE", *CODE]
ANCHOR = re.compile(r'<a id="([\w-]+)"></a>')
TO_A_PAGE = re.compile(r"\[([^\]]+)\]\(((?:[\w.]+/)*(?:dial|threshold)\.html[^)\s]*)\)")
SOLUTION = {"tags": ["solution", "hide-cell"], "mystnb": {"code_prompt_show": "Show the solution",
                                                          "code_prompt_hide": "Hide the solution"}}  # fmt: skip
FOLDED = {"tags": ["hide-input"]}  # a cell that only draws: its figure is shown, its code is not
ON_REAL_IMAGES = re.compile("^" + re.escape(measured_page.ON_REAL_IMAGES), re.MULTILINE)  # a paragraph begins so


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the notebooks and documents a book, in build/book.")
    parser.add_argument("--project", type=Path, default=PROJECT, help="folder with notebooks/ and README.md")
    parser.add_argument("--build", type=Path, default=PROJECT / "build", help="folder to write to")
    arguments = parser.parse_args()
    source, pages = arguments.build / "book-source", arguments.build / "book"
    for folder in (source, pages):
        shutil.rmtree(folder, ignore_errors=True)
    write_source(arguments.project, source)

    from sphinx.cmd.build import build_main  # here, so that a test of the source needs no Sphinx

    doctrees = arguments.build / "book-doctrees"
    settings = str(PROJECT / "docs" / "book")
    options = ["-b", "html", "-E", "-q", "-W", "--keep-going", "-d", str(doctrees), "-c", settings]
    status = build_main([*options, str(source), str(pages)])
    for page in filter(Path.exists, map(arguments.project.joinpath, PAGES)):
        shutil.copyfile(page, pages / page.relative_to(arguments.project))
    if status == 0:
        print(f"Open {pages / 'index.html'} in a browser.")
    return status


def write_source(project: Path, source: Path) -> None:
    """Write what Sphinx reads: the notebooks, the documents and the first page, in the folders that they have here."""
    paths = sorted((project / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    if not paths:
        sys.exit(f"There is no notebook in {project / 'notebooks'}: expected files like 01_data_analysis.ipynb.")
    for pattern in LINKED:
        for file in project.glob(pattern):
            target = source / file.relative_to(project)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
    documents = [file for pattern in DOCUMENTS for file in sorted(project.glob(pattern))]
    for file in documents:
        target = source / file.relative_to(project)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(document(file.read_text(encoding="utf-8")), encoding="utf-8")
    (source / "notebooks").mkdir(exist_ok=True)
    notebooks = {path.stem[:2]: (path, nbformat.read(path, as_version=4)) for path in paths}
    measured = measured_page.page(project, notebooks)
    cards = []
    for number, (path, notebook) in notebooks.items():
        cards += [card(path, notebook)]
        anchor = f"#lesson-{number}"
        lesson(notebook, f"../{measured_page.PAGE}{anchor}" if anchor in measured else "")
        nbformat.write(notebook, source / "notebooks" / path.name)
    front = document((project / "README.md").read_text(encoding="utf-8"))
    names = [str(path.relative_to(project).with_suffix("").as_posix()) for path in (*paths, *documents)]
    if measured:
        target = source / measured_page.PAGE
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(document(measured), encoding="utf-8")
        names.insert(len(paths), measured_page.PAGE.removesuffix(".md"))
    others = [f'<a href="{page}">{title}</a>' for page, title in PAGES.items() if (project / page).exists()]
    others += [f"[All tables measured on real images]({measured_page.PAGE})"] * bool(measured)
    (source / "index.md").write_text(first_page(front, cards, others, names), encoding="utf-8")


def document(text: str) -> str:
    """A document's Markdown as Sphinx understands it: README.md is the first page, a folder of code its first file, and
    anchors are MyST's."""
    text = re.sub(r"\]\((\.\./)?README\.md", r"](\1index.md", text)
    text = re.sub(r"\]\((isic_utils|isic_course)/?\)", r"](\1/__init__.py)", text)
    text = TO_A_PAGE.sub(r'<a href="\2">\1</a>', text)  # Sphinx would offer it as a download
    return ANCHOR.sub(r"[]{#\1}", text)


def lesson(notebook: NotebookNode, tables: str = "") -> None:
    """Make a notebook a page: solutions, and the code of cells that only draw, are closed until one opens them, and
    widgets are gone, which need a kernel (and would have scripts fetched from the network).

    tables: the address of its tables of real images, to which its paragraphs "On real images" link."""
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = document(cell.source)
            if tables:
                cell.source = ON_REAL_IMAGES.sub(f"[**On real images**]({tables})", cell.source)
        elif "solution" in cell.metadata.get("tags", []):
            cell.metadata = NotebookNode(SOLUTION)
        elif cell.metadata.get("jupyter", {}).get("source_hidden"):
            cell.metadata = NotebookNode(FOLDED)
        if cell.cell_type == "code":
            kept = [output for output in cell.outputs if WIDGET not in output.get("data", {})]
            if len(kept) < len(cell.outputs):
                kept.insert(0, new_output("stream", text=NO_WIDGET + "\n"))
            cell.outputs = kept


def card(path: Path, notebook: NotebookNode) -> str:
    """A lesson in the gallery of the first page: the figure that stands for it, and its title."""
    title = html.escape(notebook.cells[0].source.splitlines()[0].removeprefix("# "))
    page = f"notebooks/{path.stem}.html"
    shown = lesson_figures.of(path, notebook)
    image = f'<img src="{shown.source}" alt="{html.escape(shown.text)}">'
    return f'<figure><a href="{page}">{image}</a><figcaption><a href="{page}">{title}</a></figcaption></figure>'


def first_page(readme: str, cards: list[str], others: list[str], names: list[str]) -> str:
    """README.md with the gallery and links to other pages after its introduction, and the table of contents, which
    Sphinx shows at the side."""
    introduction, start, rest = readme.partition("\n## Start\n")
    gallery = "\n".join(['<div class="gallery">', *cards, "</div>", "", " · ".join(others), ""])
    lessons, others = ([name for name in names if name.startswith("notebooks/") == wanted] for wanted in (True, False))
    contents = [
        f"```{{toctree}}\n:hidden:\n:caption: {title}\n\n" + "\n".join(listed) + "\n```\n"
        for title, listed in (("Lessons", lessons), ("Around the lessons", others))
    ]
    return "\n".join([introduction, "\n## From the lessons\n", gallery, start + rest, *contents])


if __name__ == "__main__":
    sys.exit(main())
