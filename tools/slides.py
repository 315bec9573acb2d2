"""Make slides for a projector of the lessons' own cells: build/slides/NN_….html, and beside them all that they need.

    python tools/slides.py          then open one of them in a browser; S shows the notes

The slide type of a cell (in JupyterLab: property inspector, Slide Type) says where it goes. `slide` begins a slide, and
`fragment` continues it and appears at the next key; a cell without a type, or with another one, is left out.

- A code cell shows its figures; if it has none, what else it returns or prints; if it returns nothing, its code. Where
  this is not of the synthetic sample, `"label"` beside the slide type says of what it is.
- Each heading of a Markdown cell begins a slide: with the first sentence below it, those in bold, and the question.
  What stands before the heading answers the slide before, at a key. A list is reduced to the first sentence of each
  item.

The notes come from docs/teaching.md: what stands there under *Section by section* goes to the first slide of the
section, all else about the lesson to its title. Packages: the extra "slides" of pyproject.toml.
"""

import argparse
import html
import re
import shutil
import sys
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import nbformat
from nbconvert.filters import markdown2html
from nbformat import NotebookNode
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

PROJECT = Path(__file__).resolve().parent.parent
PAGES = PROJECT / "tools" / "pages"
KINDS = ("slide", "fragment")
REVEAL = ("reveal.js", "reveal.css", "notes.js", "LICENSE")
QUESTION, RESULT = "**Question.**", ("**On the sample**", "**On real images**")
LIST, FORMULA = ("- ", "1. "), "$$"
TERM = re.compile(r"\[\*\*([^]]*)\*\*\]\([^)]*\)|\*\*\[([^]]*)\]\([^)]*\)\*\*")  # of the glossary, in bold
LINK = re.compile(r"\[([^]]*)\]\([^)]*\)")
END = re.compile(r"""((?<!\bal)(?<!e\.g)(?<!i\.e)[.?!][*)"]*)\s+(?=[A-Z(*`$"\[“])""")  # of a sentence, before the next
OF_A_CELL = re.compile(r"\b(?:next|second|two|folded) cells?\b")  # which a slide does not show
SYNTHETIC = "synthetic sample"


@dataclass(frozen=True)
class Slide:
    """above: the heading above the title's, or ""; body: HTML, from top to bottom; notes: Markdown."""

    title: str
    above: str
    body: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def main() -> int:
    parser = argparse.ArgumentParser(description="Make slides of the lessons, in build/slides.")
    parser.add_argument("--project", type=Path, default=PROJECT, help="folder with notebooks/ and docs/teaching.md")
    parser.add_argument("--build", type=Path, default=PROJECT / "build", help="folder to write to")
    arguments = parser.parse_args()
    folder = arguments.build / "slides"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "reveal").mkdir(parents=True)
    for file in reveal_files():
        shutil.copyfile(file, folder / "reveal" / file.name)
    shutil.copyfile(PAGES / "slides.css", folder / "slides.css")
    teaching = (arguments.project / "docs" / "teaching.md").read_text(encoding="utf-8")
    for path in sorted((arguments.project / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        slides = slides_of(nbformat.read(path, as_version=4), notes_of(teaching, path.name[:2]))
        if slides:
            (folder / f"{path.stem}.html").write_text(page_of(slides), encoding="utf-8")
            print(f"{len(slides)} slides in {folder / path.stem}.html")
    return 0


def reveal_files() -> list[Path]:
    """The files of reveal.js that slides need, in the Python package that has them."""
    package = find_spec("sphinx_revealjs")
    if package is None:
        sys.exit("reveal.js is not installed: type `make slides`, or pip install -e '.[slides]'.")
    root = Path(package.origin).parent
    return [min(filter(Path.is_file, root.rglob(name)), key=lambda path: len(path.parts)) for name in REVEAL]


def notes_of(teaching: str, number: str) -> dict[str, list[str]]:
    """The notes about a lesson: heading of a section in lower case, or "" for the whole lesson -> Markdown."""
    _, _, text = teaching.partition(f"\n### {number} · ")
    whole, _, by_section = re.split(r"\n##", text)[0].partition("**Section by section.**\n")
    notes = {"": [whole.partition("\n")[2]]}
    for heading, note in re.findall(r"^- \*([^*]+)\*: (.+(?:\n  .+)*)", by_section, flags=re.MULTILINE):
        notes.setdefault(heading.lower(), []).append(note)
    return notes


def slides_of(notebook: NotebookNode, notes: dict[str, list[str]]) -> list[Slide]:
    """The slides of a lesson, in order; none if no cell has a slide type. notes: as `notes_of` returns them; those that
    find their section are taken out."""
    slides, headings, before = [], [], None

    def begin(body: list[str]) -> None:
        of_section = [note for heading in headings[1:] for note in notes.pop(heading.lower(), [])]
        above = headings[-2] if len(headings) > 2 else ""
        slides.append(Slide(headings[-1], above, body, notes=of_section if slides else notes.pop("", [])))

    def add_outputs(cell: NotebookNode, kind: str) -> None:
        for parts in outputs(cell):
            if kind == "slide":
                begin([])
            slides[-1].body.extend(parts if kind == "slide" else map(fragment, parts))
            if cell.outputs:
                slides[-1].labels.append(cell.metadata.slideshow.get("label", SYNTHETIC))

    def add_answer(blocks: list[str], kind: str, alone: bool) -> None:
        """Add what a cell says before its first heading: an answer to the slide before, and the next question.
        alone: whether the cell has no heading."""
        answer, question = at_question(blocks)
        if kind == "slide" and not before:  # the cell before is left out, so no slide asks what this answers
            answer, question = [], blocks if question or alone else []
        if answer:
            slides[-1].body.extend(answers(answer))
        if question and kind == "slide":
            begin(section(question, answered=True))
        elif question and not answer:
            slides[-1].body.extend(fragment(part) for part in section(question, answered=True))

    for cell in notebook.cells:
        kind = cell.metadata.get("slideshow", {}).get("slide_type")
        kind = kind if kind in KINDS else None
        if cell.cell_type == "code" and kind:
            add_outputs(cell, kind)
        parts = sections(cell.source) if cell.cell_type == "markdown" else []
        for level, heading, blocks in parts:
            if level:
                headings[level - 1 :] = [heading]
                if kind == "slide" and blocks:
                    begin(section(blocks) if level > 1 else [paragraph(blocks[0])])
            elif kind:
                add_answer(blocks, kind, alone=len(parts) == 1)
        before = kind
    return slides


def sections(source: str) -> list[tuple[int, str, list[str]]]:
    """Level, heading and blocks of each section of a Markdown cell; level 0: what stands before the first heading."""
    found = [(0, "", [])]
    for block in re.split(r"\n\s*\n", source.strip()):
        heading = re.fullmatch(r"(#+) (.+)", block)
        if heading:
            found.append((len(heading[1]), heading[2], []))
        else:
            found[-1][2].append(block)
    return [part for part in found if part[0] or part[2]]


def at_question(blocks: list[str]) -> tuple[list[str], list[str]]:
    """The blocks before a question, and the question with all that follows, and with the paragraph that leads to it."""
    asked = next((i for i, block in enumerate(blocks) if block.startswith(QUESTION)), len(blocks))
    if 1 < asked < len(blocks) and is_prose(blocks[asked - 1]):
        asked -= 1
    return blocks[:asked], blocks[asked:]


def is_prose(block: str) -> bool:
    return not block.startswith((QUESTION, *RESULT, *LIST, FORMULA, "(", "`", "<", "|"))


def section(blocks: list[str], answered: bool = False) -> list[str]:
    """What a slide shows of a section: what leads to the question, and the question; without a question, the beginning,
    and its list or formula. answered: whether what follows the question is its answer."""
    asked = next((i for i, block in enumerate(blocks) if block.startswith(QUESTION)), len(blocks))
    before, questions = blocks[:asked], [block for block in blocks[asked:] if block.startswith(QUESTION)]
    prose = [block for block in before if is_prose(block)]
    asks_at_once = bool(questions) and len(prose) == 1
    lead = key_sentences(prose[0], last=asks_at_once or prose[0].endswith(":")) if prose else ""
    if questions and len(prose) > 1:
        last = sentences(prose[-1])[-1]
        lead += "" if last.startswith("(") or OF_A_CELL.search(last) else f" … {last}"
    formal = [block for block in before if block.startswith((FORMULA, *LIST))]
    body = [paragraph(lead)] if lead else []
    body += [reduced(block) for block in (formal if questions else formal[:1])]
    body += [f'<div class="question">{markdown(question)}</div>' for question in questions]
    return body + (results(blocks) if not questions else answers(blocks[asked + 1 :]) if answered else [])


def answers(blocks: list[str]) -> list[str]:
    """The first sentence of an answer (or of the first item, if it is a list), those in bold, and the result on the
    sample; each appears at a key."""
    first = next((block for block in blocks[:2] if not sentences(block)[0].endswith(":")), "(")
    first = first.removeprefix("- ").partition("\n- ")[0]
    return [fragment(paragraph(key_sentences(first)))] * is_prose(first) + results(blocks)


def results(blocks: list[str]) -> list[str]:
    """The first sentence of the first result; it appears at a key."""
    found = [sentences(block)[0] for block in blocks if block.startswith(RESULT)]
    return [fragment(paragraph(sentence)) for sentence in found[:1]]


def sentences(text: str) -> list[str]:
    return END.sub("\\1\n", " ".join(text.split())).split("\n")


def key_sentences(text: str, last: bool = False) -> str:
    """The first sentence, and those with words in bold other than terms of the glossary; "…" stands for what is left
    out. last: whether the last sentence is one of them, too, unless it is in brackets."""
    parts = sentences(text)
    kept = {0, *(i for i, part in enumerate(parts) if "**" in TERM.sub("", part))}
    kept |= {len(parts) - 1} if last and not parts[-1].startswith("(") else set()
    kept = [i for i in sorted(kept) if not OF_A_CELL.search(parts[i])]
    return " ".join("… " * (n > 0 and i > kept[n - 1] + 1) + parts[i] for n, i in enumerate(kept))


def reduced(block: str) -> str:
    """A formula, or a list with the first sentence of each item (two, if it is only words in bold), as HTML."""
    if block.startswith(FORMULA):
        return f'<div class="formula">{markdown(block)}</div>'
    items = re.findall(r"^(- |\d+\. )(.+(?:\n  .+)*)", block, flags=re.MULTILINE)
    split = [(mark, sentences(item)) for mark, item in items]
    shorter = [mark + " ".join(parts[: 2 if parts[0].endswith("**") else 1]) for mark, parts in split]
    return f'<div class="list">{markdown(chr(10).join(shorter))}</div>'


def paragraph(text: str) -> str:
    return f'<div class="text">{markdown(text)}</div>'


def fragment(part: str) -> str:
    return part.replace('class="', 'class="fragment ', 1)


def markdown(text: str) -> str:
    """HTML of Markdown without its links, which nobody follows on a projector; formulas are MathML."""
    formulas = []

    def keep(match: re.Match) -> str:
        formulas.append(formula(match[2], "block" if match[1] == FORMULA else "inline"))
        return f"FORMULA{len(formulas) - 1}."

    text = LINK.sub(r"\1", text)
    page = markdown2html(re.sub(r"(\$\$?)(.+?)\1", keep, text, flags=re.DOTALL))
    return re.sub(r"FORMULA(\d+)\.", lambda match: formulas[int(match[1])], page)


def formula(latex: str, display: str) -> str:
    from latex2mathml.converter import convert  # here, so that a test without formulas needs no such package

    return convert(latex.strip(), display=display)


def outputs(cell: NotebookNode) -> list[list[str]]:
    """What slides show of a code cell: its figures; or its tables, with what is printed; or its code. HTML from top to
    bottom, a list for each figure and table."""
    if not cell.outputs:
        code = highlight(cell.source, PythonLexer(), HtmlFormatter(noclasses=True, nobackground=True))
        return [[f'<div class="fit code"><div>{code}</div></div>']]
    groups = [[]]  # what is printed, up to a figure or table
    for output in cell.outputs:
        page = output.get("data", {}).get("text/html", "")
        text = output.get("text") or output.get("data", {}).get("text/plain", "")
        groups[-1].append(page or f"<pre>{html.escape(text.rstrip())}</pre>")
        groups += [[]] if page else []
    rest = groups.pop()
    groups = [*groups[:-1], [*groups[-1], *rest]] if groups else [rest]
    figures = [group for group in groups if any("<img " in part for part in group)]
    return [figure_of(group) for group in figures] or [[table_of(group)] for group in groups]


def figure_of(group: list[str]) -> list[str]:
    """A figure, below what is printed just before it if that is a single line."""
    page = next(part for part in group if "<img " in part)
    printed = [part for part in group[: group.index(page)] if "\n" not in part]
    figure = re.search(r"<iframe.*?</iframe>", page, re.DOTALL) or re.search("<img [^>]*>", page)
    shown = re.sub(r' width="\d+"', "", figure[0])
    return [f'<div class="caption">{line}</div>' for line in printed] + [f'<div class="figure">{shown}</div>']


def table_of(group: list[str]) -> str:
    inner = re.sub(r"<style.*?</style>| border=.1.", "", "".join(group), flags=re.DOTALL)
    return f'<div class="fit"><div>{inner}</div></div>'


def page_of(slides: list[Slide]) -> str:
    """The page of a lesson."""
    template = (PAGES / "slides.html").read_text(encoding="utf-8")
    title = html.escape(slides[0].title)
    shown = "\n".join(as_html(slide, first=slide is slides[0]) for slide in slides)
    return template.replace("<!-- title -->", title).replace("<!-- slides -->", shown)


def as_html(slide: Slide, first: bool) -> str:
    label = " · ".join(dict.fromkeys(filter(None, slide.labels)))
    notes = "".join(markdown(note) for note in slide.notes)
    return "\n".join(
        [
            f'<section class="{"first" if first else "later"}">',
            f'<header><p class="above">{inline(slide.above)}</p><h2>{inline(slide.title)}</h2></header>',
            f'<p class="label">{label}</p>' if label else "",
            '<div class="body">',
            *slide.body,
            "</div>",
            f'<aside class="notes">{notes}</aside>' if notes else "",
            "</section>",
        ]
    )


def inline(text: str) -> str:
    return re.sub(r"^<p>|</p>$", "", markdown(text).strip())


if __name__ == "__main__":
    sys.exit(main())
