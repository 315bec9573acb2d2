"""The page "On real images" of the book: every table of benchmarks/results/measured_*.csv, with what its lesson says.

It is made anew with the book, so it holds the present numbers and the present sentences. `measured_texts` describes the
files; a file that it does not describe is shown all the same, under its own column names.
"""

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from measured_texts import TABLES, Table
from nbformat import NotebookNode

from isic_utils.archive import CODES

PAGE = "docs/on_real_images.md"
RESULTS = "benchmarks/results"
SOURCES = ["BCN", "HAM", "MSK", "none"]
ON_REAL_IMAGES = "**On real images**"
BEGINNING = re.compile(r"^\*\*On real images\*\*(?: \((?:[^()]|\([^()]*\))*\))?,?\s*(?:too, )?")
END_OF_SENTENCE = re.compile(r"(?<=[.?!])\s+(?=[A-Z*])")
IN_BRACKETS_AT_LAST = re.compile(r"(?<=[.?!])\s+\([^()]*\)$")  # a sentence of its own
SPACE = "\N{NO-BREAK SPACE}"  # between the thousands, and within brackets
UNKNOWN = "This table has no description yet; its columns have the names of the file."

HEADINGS = {
    "melanoma recall": "recall of melanoma", "thresholded": "thresholded Jaccard", "HD95": "HD95, pixels",
    "validation BMA": "BMA, validation sets", "NLL": "negative log-likelihood", "of images": "images",
    "of lesions": "lesions", "same classes": "difference, same classes", "and clinic": "difference, same class, clinic",
    "p, Holm": "p, corrected by Holm", "one_network": "one training", "bits": "bits added", "floor": "floor, mean",
    "floor_95": "floor, 95 of 100 below", "test_images": "test images", "test_lesions": "test lesions",
    "re-weighted": "accuracy, re-weighted", "pretrained": "start", "tta": "TTA", "side": "pixels",
}  # fmt: skip
INTERVALS = {"and clinic": ("clinic_low", "clinic_high")}  # others: <column>_low, or low beside one of these
OWNERS_OF_LOW = ("same classes", "gain", "bits", "coefficient", "value")
DECIMALS = {"HD95": 1, "p": 4, "minutes": 1}
COUNTED = {"images", "lesions", "test_images", "test_lesions", "of images", "of lesions"}
NOT_SHOWN = {"lesson", "data", "seconds"}
FACTS = ["images", "lesions", "test_images", "test_lesions", "pixels", "side", "network", "width", "pretrained",
         "epochs", "seed", "seeds", "group_by", "processor"]  # fmt: skip


def page(project: Path, notebooks: dict[str, tuple[Path, NotebookNode]]) -> str:
    """The page as Markdown, "" if nothing has been measured. notebooks: number of a lesson -> its file and cells."""
    found = {}
    for file in files(project):
        found.setdefault(lesson_of(file), []).append(file)
    if not found:
        return ""
    parts = [INTRODUCTION]
    for number, tables in found.items():
        path, notebook = notebooks.get(number, (None, None))
        title = notebook.cells[0].source.splitlines()[0].removeprefix("# ") if notebook else f"Lesson {number}"
        said = paragraphs(notebook) if notebook else []
        parts += [f"[]{{#lesson-{number}}}", f"## {title}"]
        for file in tables:
            parts += section(file, said)
        if said:
            summary = f"All that lesson {number} says about real images"
            parts += [f"<details><summary>{summary}</summary>", *said, "</details>"]
            link = f"[lesson {number}](../notebooks/{path.name})"
            parts += [f"How this was measured, and what it is compared with, stands in {link}."]
    return "\n\n".join(parts) + "\n"


INTRODUCTION = """# On real images: all measured tables

The lessons run on a synthetic sample. What they show there was also measured on real images, with the small networks
and the few epochs of the profile `laptop`. This page has all of these tables. It is made from the files in
[benchmarks/results](../benchmarks/README.md#what-the-lessons-show-of-real-images); each lesson shows its own table
beside what the sample gives.

**How to read a table.** The numbers in brackets are a 95 % interval of a cluster bootstrap over lesions: it says how
much the choice of the test lesions matters, and nothing about another training. Splits are grouped by lesion where a
row does not say otherwise. Most rows are one training with one seed. BMA is the mean of the recalls of the classes:
with eight classes, guessing gives 0.125. No row is a result "on ISIC 2019", since only a part of its images, strongly
reduced, was used.

**To measure it anew.** Let `ISIC_DATA` name a folder with [real images](real_images.md) and repeat the command below a
table. An interrupted command goes on where it stopped."""


def files(project: Path) -> list[Path]:
    """The measured tables in the order of the lessons; fine_tuning.csv belongs to lesson 08."""
    found = [*(project / RESULTS).glob("measured_*.csv"), *(project / RESULTS).glob("fine_tuning.csv")]
    order = list(TABLES)
    return sorted(found, key=lambda file: (lesson_of(file), order.index(file.stem) if file.stem in order else 99))


def lesson_of(file: Path) -> str:
    """The number of the lesson that shows a table."""
    return "08" if file.stem == "fine_tuning" else file.stem.removeprefix("measured_")[:2]


def section(file: Path, said: list[str]) -> list[str]:
    """A file as Markdown: how to read it, what the lesson says, the table or tables, and where they come from."""
    table = pd.read_csv(file, keep_default_na=False, na_values="")
    about = TABLES.get(file.stem, Table(file.stem, "", "", UNKNOWN))
    parts = [f"### {about.title}", about.read]
    quoted = [sentence for words in about.says for sentence in sentences_with(words, said)]
    if quoted:
        parts += [f"**The lesson says:** {' '.join(quoted)}"]
    shown = SPECIAL[file.stem](table) if file.stem in SPECIAL else divided(table, about)
    for caption, rows in shown:
        parts += [f"*{caption}*"] * bool(caption) + [markdown(rows)]
    origin = [f"**Images:** {about.data}"] * bool(about.data) + facts(table, about.seeds)
    command = f" Command: `ISIC_DATA=<folder> python benchmarks/{about.command}`." if about.command else ""
    return parts + [f"{'; '.join(origin)}.{command} File: [{file.name}](../{RESULTS}/{file.name})."]


def paragraphs(notebook: NotebookNode) -> list[str]:
    """The paragraphs "On real images" of a lesson, with their links as they lead from docs/."""
    found = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for paragraph in re.split(r"\n\s*\n", cell.source):
                if paragraph.startswith(ON_REAL_IMAGES):
                    text = re.sub(r"\]\((\d\d_\w+\.ipynb)", r"](../notebooks/\1", paragraph)
                    found.append(text.replace("](../docs/", "]("))
    return found


def sentences_with(words: str, said: Iterable[str]) -> list[str]:
    """The first sentence of a lesson that has these words, without "On real images"; nothing if it has none."""
    for paragraph in said:
        text = BEGINNING.sub("", paragraph)
        for sentence in END_OF_SENTENCE.split(text[:1].upper() + text[1:]):
            if words.lower() in sentence.lower():
                return [IN_BRACKETS_AT_LAST.sub("", sentence)]
    return []


def divided(table: pd.DataFrame, about: Table) -> list[tuple[str, pd.DataFrame]]:
    """The table as text, or a table for each value of the columns `split`, with a caption."""
    if not about.split:
        return [("", as_text(table, about))]
    told = {*about.split, "seed"} if about.seeds else set(about.split)
    varied = [name for name in FACTS if name in table and table[name].nunique() > 1 and name not in told]
    shown = []
    for values, rows in table.groupby(list(about.split), sort=False):
        pairs = zip(about.split, values, strict=True)
        alone = len(about.split) == 1 and isinstance(values[0], str)  # it tells by itself what it is
        named = list(values) if alone else [f"{name}: {value}" for name, value in pairs]
        caption = "; ".join([*named, *facts(rows[varied])])
        shown.append((caption, as_text(rows.drop(columns=list(about.split)), about)))
    return shown


def facts(table: pd.DataFrame, seeds: str = "") -> list[str]:
    """What all rows of a table have in common, in words. seeds: what is said of the seeds instead of counting them."""
    of = {name: table[name].iloc[0] for name in FACTS if name in table and table[name].nunique() == 1}
    said = []
    if "images" in of:
        said += [f"{count(of['images'])} images" + (f" of {count(of['lesions'])} lesions" if "lesions" in of else "")]
    if {"test_images", "test_lesions"} <= of.keys() and of["test_images"] != of.get("images"):
        said += [f"test set: {count(of['test_images'])} images of {count(of['test_lesions'])} lesions"]
    side = of.get("pixels", of.get("side"))
    if side is not None:
        said += [f"{side} × {side} pixels"]
    if "network" in of:
        said += [of["network"]]
    if of.get("width", 1) != 1:
        said += [f"{width(of['width'])} of the channels"]
    if "pretrained" in of:
        said += [f"{start(of['pretrained'])} weights"]
    if of.get("epochs"):
        said += [f"{of['epochs']} epochs"]
    if "seeds" in of:
        said += [f"{of['seeds']} seeds"]
    elif "seed" in table:
        numbers = ", ".join(map(str, sorted(table["seed"].unique())))
        said += [seeds or ("seed " if "seed" in of else "seeds ") + numbers]
    if "group_by" in of:
        said += [f"grouped by {of['group_by']}"]
    if "processor" in table:
        said += ["processor: " + " and ".join(table["processor"].unique())]
    return said


def as_text(table: pd.DataFrame, about: Table) -> pd.DataFrame:
    """What differs between the rows, as text under headings in words, an interval in brackets behind its number."""
    ends = {name: interval_of(name, table) for name in table}
    is_end = {end for pair in ends.values() for end in pair}
    shown = {}
    for name in table:
        same = name in FACTS and table[name].nunique() == 1
        if name in NOT_SHOWN or name in is_end or same or table[name].isna().all():
            continue
        heading = about.headings.get(name, HEADINGS.get(name, name.replace("_", " ")))
        texts = [cell(name, value) for value in table[name]]
        if ends[name]:
            low, high = (table[end] for end in ends[name])
            texts = [
                f"{text} ({number(a)}{SPACE}to{SPACE}{number(b)})" if pd.notna(a) else text
                for text, a, b in zip(texts, low, high, strict=True)
            ]
        shown[heading] = texts
    return pd.DataFrame(shown)


def interval_of(name: str, table: pd.DataFrame) -> tuple[str, ...]:
    """The names of the columns that hold the ends of a column's interval, () if it has none."""
    pair = INTERVALS.get(name, (f"{name}_low", f"{name}_high"))
    if pair[0] not in table and name in OWNERS_OF_LOW:
        pair = ("low", "high")
    return pair if set(pair) <= set(table) else ()


def cell(name: str, value: object) -> str:
    """A value as text."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    if name in ("width", "pretrained"):
        return width(value) if name == "width" else start(value)
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, str):
        return escaped(value)
    return count(value) if name in COUNTED or isinstance(value, int | np.integer) else number(value, DECIMALS.get(name))


def number(value: float, decimals: int | None = None) -> str:
    """Three decimals, rounded as the lessons' tables are (to even); from 10 on a whole number, or one decimal."""
    if decimals is None and abs(value) >= 10 and float(value).is_integer():
        return count(value)
    decimals = (1 if abs(value) >= 10 else 3) if decimals is None else decimals
    return f"{np.round(value, decimals) + 0.0:.{decimals}f}".replace("-", "−")


def count(value: float) -> str:
    return f"{int(value):,}".replace(",", SPACE)


def width(value: float) -> str:
    return "1" if value == 1 else f"1/{1 / value:.0f}"


def start(pretrained: bool) -> str:
    return "ImageNet" if pretrained else "random"


def markdown(table: pd.DataFrame) -> str:
    """A table of text as Markdown, columns of numbers to the right."""
    numeric = [table[name].str.fullmatch(r"[−\d./\s()to]*").all() for name in table]
    lines = [list(table), ["---:" if right else "---" for right in numeric], *table.to_numpy().tolist()]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


# tables that have a row for each number


def of_the_archive(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """measured_01.csv: for each set of images a table by class and one by source, and one of all else."""
    first, second = table["of"].str.partition(" ")[0], table["of"].str.partition(" ")[2]
    colours = table["quantity"].str.contains("mean of|deviation of")
    by_class = first.isin(CODES)
    by_source = table["of"].isin(SOURCES) | colours
    sources = second.where(by_class, "").map(lambda name: f", {name}" if name else "")
    table = table.assign(first=first.where(by_class, table["of"]), name=table["quantity"] + sources)
    shown = []
    for data, rows in sorted(table.groupby("data"), key=lambda group: -group[1]["images"].iloc[0]):
        of = f"{data} ({count(rows['images'].iloc[0])} rows)"
        for what, chosen, order in (("class", by_class, CODES), ("source", by_source, [*SOURCES, "all"])):
            if (part := rows[chosen[rows.index]]).size:
                wide = part.pivot(index="first", columns="name", values="value")
                wide = wide.reindex(index=[key for key in order if key in wide.index], columns=part["name"].unique())
                if what == "class":
                    wide = wide.fillna(dict.fromkeys([name for name in wide if name.startswith("images")], 0))
                text = {heading: [plain(heading, value) for value in wide[heading]] for heading in wide}
                shown += [(f"By {what}: {of}", pd.DataFrame({what: wide.index, **text}))]
    rest = table[~by_class & ~by_source]
    wide = rest.pivot_table(index=["quantity", "of"], columns="data", values="value", sort=False).reset_index()
    text = {"quantity": wide["quantity"], "of": wide["of"].map(escaped)}
    for data in rest.sort_values("images", ascending=False)["data"].unique():
        text[data] = [plain(quantity, value) for quantity, value in zip(wide["quantity"], wide[data], strict=True)]
    return [*shown, ("All else", pd.DataFrame(text))]


def plain(quantity: str, value: float) -> str:
    """A value of measured_01.csv as text: three decimals for a share or a mean, none for a count or an age."""
    if np.isnan(value):
        return ""
    return number(value, 3) if re.search("share|mean|deviation|BMA", quantity) else count(value)


def escaped(text: str) -> str:
    return text.replace("_", r"\_")


def of_detectors(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """measured_11_more.csv: a row for each kind of images, with the scores of the three detectors; and all else."""
    detected = table["score"].str.startswith(("AUROC", "FPR95"))
    wide = table[detected].pivot(index="of", columns="score", values="value")
    wide = wide.reindex(index=table["of"][detected].unique(), columns=table["score"][detected].unique())
    text = {name: [cell(name, value) for value in wide[name]] for name in wide}
    others = as_text(table[~detected].drop(columns="images"), TABLES["measured_11_more"])
    return [("The source", others), ("Out-of-distribution images", pd.DataFrame({"images": wide.index, **text}))]


SPECIAL = {"measured_01": of_the_archive, "measured_11_more": of_detectors}
