"""Write the sheets to hand out on paper, in build/sheets: HTML pages of size A4, to be printed from a browser.

    python tools/sheets.py

- tables.html: Tables 6.1 and 6.3 of the thesis with all their digits, to be examined before lesson 12; a second page
  has columns to fill in with a pocket calculator;
- dial.html: the empty axes of lesson 05's dial, for the curves that a class expects;
- formulas.html: the formulas of the course on two pages, each with its lesson and its source.

The pages load nothing, and are black on white. The formulas become MathML with latex2mathml, from the extra "book" of
pyproject.toml.
"""

import argparse
import html
import io
import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from formulas import PAGES, Formula
from matplotlib.figure import Figure

from isic_course import dial
from isic_course.thesis import published

PROJECT = Path(__file__).resolve().parent.parent
STYLE = Path(__file__).resolve().parent / "pages" / "sheets.css"
LINES = 8  # to write on
DECIMALS = {"accuracy": 3, "BMA": 3, "low": 4, "high": 4}  # as the thesis prints them; its losses have up to three


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the sheets to hand out on paper, in build/sheets.")
    parser.add_argument("--build", type=Path, default=PROJECT / "build", help="folder to write to")
    folder = parser.parse_args().build / "sheets"
    folder.mkdir(parents=True, exist_ok=True)
    sheets = {
        "tables": ("Two tables of a thesis", tables()),
        "dial": ("The imbalance dial: your guess", [dial_page()]),
        "formulas": ("The formulas of the course", formula_pages()),
    }
    for name, (title, pages) in sheets.items():
        (folder / f"{name}.html").write_text(sheet(title, pages), encoding="utf-8")
    print(f"{', '.join(sheets)}: print {folder}/*.html from a browser, on A4, at 100 %")
    return 0


def sheet(title: str, pages: list[str]) -> str:
    """A document of pages. title: of the document; pages: HTML, each for one sheet of paper."""
    style = STYLE.read_text(encoding="utf-8").strip()
    body = "\n".join(f'<section class="page">\n{page}\n</section>' for page in pages)
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    head += f"<title>{title}</title>\n<style>\n{style}\n</style>"
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def tables() -> list[str]:
    """Tables 6.1 and 6.3 to find the impossible in, and once more to compute in."""
    plain = [
        "<h1>Two tables of a thesis</h1>",
        "<p>A thesis trained five networks on the 25 331 images of ISIC 2019, which show eight classes of skin "
        "lesions. Its test set is a fifth of the images; its cross-validation tests on every image once. BMA is the "
        "mean of the eight recalls. These are the numbers as printed.</p>",
        "<p><strong>Find something that cannot be right.</strong> Ten minutes, in pairs, without a computer.</p>",
        printed("Table 6.1. Standard classification", published.STANDARD),
        printed("Table 6.3. Accuracy and its 95 % interval, from cross-validation", published.INTERVALS),
        "<h2>What we found, and what it rests on</h2>",
        '<div class="lines">' + "<i></i>" * LINES + "</div>",
    ]
    bound = ["(1 − accuracy) · ln 2", "is the loss above it?", "always NV: the same?"]
    wanted = ["half width h", "n = 1.96² · p (1 − p) / h²", "can it be?"]
    computed = [
        "<h1>The same tables, with a pocket calculator</h1>",
        "<p>Of the 25 331 images, 12 875 are of the class NV. <em>Always NV</em> is a model that predicts this class "
        "for every image: what are its accuracy and its BMA? If the loss is a mean cross-entropy after softmax, it is "
        "at least (1 − accuracy) · ln 2, and ln 2 = 0.693. If an interval is p ± h with h = 1.96 √(p (1 − p) / n), its "
        "half width h tells the number n of images.</p>",
        printed("Table 6.1", published.STANDARD, bound),
        printed("Table 6.3", published.INTERVALS, wanted),
        '<p>Always NV: accuracy <span class="blank"></span> BMA <span class="blank"></span></p>',
        "<h2>What is proven, and what rests on an assumption?</h2>",
        '<div class="lines">' + "<i></i>" * LINES + "</div>",
    ]
    source = foot("J. Verdeguer Gómez, Universitat Politècnica de València, 2019–2020, Tables 6.1 and 6.3 · lesson 12")
    return ["\n".join([*plain, source]), "\n".join([*computed, source])]


def printed(caption: str, table: pd.DataFrame, empty: Sequence[str] = ()) -> str:
    """A table of `published` as HTML, with the digits that the thesis prints. empty: headings of columns to fill in."""
    names = {"low": "interval, from", "high": "to"}
    heads = "".join(f"<th>{name}</th>" for name in [*table.rename(columns=names), *empty])
    rows, to_fill = [], '<td class="empty"></td>' * len(empty)
    for model, row in table.iterrows():
        cells = "".join(f"<td>{digits(name, value)}</td>" for name, value in row.items())
        rows.append(f"<tr><th>{model}</th>{cells}{to_fill}</tr>")
    return f"<table><caption>{caption}</caption>\n<tr><th>network</th>{heads}</tr>\n" + "\n".join(rows) + "\n</table>"


def digits(column: str, value: float) -> str:
    """A number as the thesis prints it."""
    return f"{value:.{DECIMALS[column]}f}" if column in DECIMALS else f"{value:g}"


def dial_page() -> str:
    """The empty axes with what to draw into them."""
    first, last = dial.class_sizes(dial.LARGEST_RATIO)[["NV", "DF"]]
    same = dial.class_sizes(1)["DF"]
    text = (
        "Two empty panels. Across: the ratio of the largest to the smallest class, on a logarithmic scale from 1 to "
        f"{dial.LARGEST_RATIO}; up: from 0 to 1."
    )
    return "\n".join(
        [
            "<h1>The imbalance dial: your guess</h1>",
            f"<p>The same network is trained on {dial.TRAINING} drawn (synthetic) images, for the same number of "
            "epochs. Only the sizes of the eight classes change: on the left all are equally large, on the right the "
            f"largest is {dial.LARGEST_RATIO} times as large as the smallest, as in ISIC 2019. The nevus, NV, then has "
            f"{first} images instead of {same}, the dermatofibroma, DF, {last}.</p>",
            "<p><strong>Draw before you look:</strong> above, the accuracy on a test set as imbalanced as the training "
            "set, and the BMA, the mean of the eight recalls; below, the recall of NV and the recall of DF. Name your "
            "curves.</p>",
            as_svg(empty_axes(), text),
            foot("Lesson 05, The imbalance dial"),
        ]
    )


def empty_axes() -> Figure:
    """The axes of `figures.lesson_05.curves` without a curve, one above the other."""
    with mpl.rc_context({"font.family": "sans-serif", "font.size": 11}):
        figure = Figure(figsize=(7, 7.6), layout="constrained")
        panels = {"accuracy and BMA": "score", "recall of NV and of DF": "recall"}
        for axis, (title, label) in zip(figure.subplots(2), panels.items(), strict=True):
            axis.set(title=title, xlabel="largest : smallest class", ylabel=label, xscale="log", ylim=(0, 1))
            axis.set_xlim(0.9, dial.LARGEST_RATIO * 1.1)
            axis.set_xticks(dial.RATIOS, [f"{ratio:g}:1" for ratio in dial.RATIOS])
            axis.set_yticks([tenth / 10 for tenth in range(11)])
            axis.minorticks_off()
            axis.grid(color="0.75", linewidth=0.6)
            axis.spines[["top", "right"]].set_visible(False)
    return figure


def as_svg(figure: Figure, text: str) -> str:
    """A figure as SVG to stand in a page, the same bytes each time. text: its alternative text."""
    written = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "sheets"}):
        figure.savefig(written, format="svg", metadata={"Date": None})
    drawing = written.getvalue()
    return f'<div role="img" aria-label="{html.escape(text)}">{drawing[drawing.index("<svg") :]}</div>'


def formula_pages() -> list[str]:
    """The formula sheet, a string per page."""
    pages = []
    for number, groups in enumerate(PAGES, start=1):
        heading = f"<h1>The formulas of the course <small>{number} of {len(PAGES)}</small></h1>"
        parts = [heading, '<div class="formulas">']
        for title, formulas in groups.items():
            parts += [f"<h2>{title}</h2>", *map(entry, formulas)]
        note = "in brackets: the lesson, and the source that it names; [·] is 1 if the condition holds, else 0"
        pages.append("\n".join([*parts, "</div>", foot(note)]))
    return pages


def entry(formula: Formula) -> str:
    """A formula with its name, lesson, source and symbols."""
    from latex2mathml.converter import convert  # here, so that the other sheets need no package of the book

    where = ", ".join(filter(None, [formula.lesson, formula.source]))
    lines = "".join(f"<div>{convert(tex, display='block')}</div>" for tex in formula.tex)
    text = f"<p>{formula.text}</p>" if formula.text else ""
    return f"<article><h3>{formula.name} <small>[{where}]</small></h3>{lines}{text}</article>"


def foot(text: str) -> str:
    return f"<footer>Deep learning for skin lesions: a course in notebooks · {text}</footer>"


if __name__ == "__main__":
    sys.exit(main())
