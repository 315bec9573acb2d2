"""The report of the thesis's reproduction: one HTML page that needs no other file, readable on a phone."""

import html
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

import isic_utils
from isic_course.figures.common import name_ticks
from isic_course.thesis import published, tables as results
from isic_course.thesis.tables import Found, Step
from isic_utils import files, plots
from isic_utils.archive import CODES
from isic_utils.datasets import splits
from isic_utils.errors import IsicError
from isic_utils.inference.predict import predict_masks
from isic_utils.metrics import recall_per_class
from isic_utils.models import TITLES
from isic_utils.settings import Settings
from isic_utils.training import protocols

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: auto; padding: 1rem; color: #222; }
h1 { line-height: 1.2; } h2 { margin-top: 2.5rem; }
div.wide { overflow-x: auto; } img { max-width: 100%; height: auto; }
table { border-collapse: collapse; font-size: 0.85rem; } caption { text-align: left; }
th, td { padding: 0.25rem 0.6rem; border-bottom: 1px solid #ddd; text-align: right; white-space: nowrap; }
thead th { background: #f3f3f3; border-left: 1px solid #fff; } thead th[colspan] { text-align: left; }
tbody th { text-align: left; position: sticky; left: 0; background: #fff; }
p.warning { border-left: 0.3rem solid #D55E00; padding: 0.4rem 0.8rem; background: #fbf1ec; }
p.note, dl { color: #444; } dt { font-weight: bold; }
"""

NOTES = {  # what a reader must know to compare the two halves
    results.table_6_1: "Published losses: four of five cannot be mean cross-entropies, see lesson 04.",
    results.table_6_2: "The published accuracy and BMA are both multiplied by 5/8. M_b is the BMA on five classes; the "
    "exact one takes the original labels (lesson 05).",
    results.table_6_3: "VGG16's published accuracy is its BMA by mistake. low and high: normal formula, as if images "
    "were independent; lesions: a bootstrap of whole lesions (lesson 06).",
    results.table_6_4: "Fold 0 is the run of the standard protocol, there and here.",
    results.table_6_5: "The published BMA of the thesis's models is a cross-validation on training images, "
    "the leaderboard's that of a hidden test set with a ninth class. Compare it with the column of nine classes only.",
    results.table_6_6: "The thesis gives the plain mean, the leaderboard the one that counts an index below 0.65 as "
    f"0. Two experts' masks agree with an index of {published.EXPERTS_JACCARD} (arXiv:1902.03368).",
}


def write(found: Found, plan: list[Step], failed: dict[str, IsicError]) -> Path:
    """Write the report of what there is, whole or not at all, and return its file.

    plan: the trainings that belong to it; failed: what could not be done, in words -> its error.
    """
    file, text = file_of(found.settings), page(found, plan, failed)
    advice = "free disk space or choose another folder with ISIC_RUNS, then start again"
    files.write(file, lambda partial: partial.write_text(text, encoding="utf-8"), advice)
    return file


def file_of(settings: Settings) -> Path:
    """The report's file."""
    return settings.runs / settings.data_name / f"thesis-{settings.profile}.html"


@plt.style.context(plots.STYLE)
def page(found: Found, plan: list[Step], failed: dict[str, IsicError]) -> str:
    """The report as HTML."""
    done = sum(step in found.runs for step in plan)
    content = [f"<h1>The thesis, reproduced: {done} of {len(plan)} trainings</h1>", *facts(found)]
    for sentence in failures(found, failed):
        content.append(f'<p class="warning">{html.escape(sentence)}</p>')
    for title, table in results.ALL.items():
        rows = results.formatted(table(found), found)
        content += [f"<h2>{html.escape(title)}</h2>", as_html(rows), f'<p class="note">{html.escape(NOTES[table])}</p>']
        content += [plots.as_html(figure, alt, found.settings.synthetic) for figure, alt in figures_of(table, found)]
    content += ["<h2>The trainings</h2>", as_html(trainings(found, plan))]
    title = f"Thesis, {found.settings.data_name}, {found.settings.profile}"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(content)
        + "\n</body>\n</html>\n"
    )


def facts(found: Found) -> list[str]:
    """What the values were measured on, with what, and when."""
    settings, count = found.settings, "" if found.table is None else f"{len(found.table):,} "
    data = f"the folder {settings.data_name}" + (f", {count}of ISIC 2019's 25,331 labelled images" if count else "")
    if settings.synthetic:
        data = f"{count}SYNTHETIC images, drawn by code: they show no person and no lesion"
    height, width = settings.segmentation_size
    sizes = f"{settings.image_size}×{settings.image_size} pixels, masks {width}×{height}; {settings.epochs} epochs"
    networks = "narrow networks (a fraction of their channels)" if settings.narrow else "networks of full size"
    devices = sorted({run.config["made_with"]["device"] for run in found.runs.values()})
    versions = f"isic_utils {isic_utils.__version__}, torch {torch.__version__}, numpy {np.__version__}"
    rows = {
        "Data": data,
        "Profile": f"{settings.profile}: {sizes}; {networks}",
        "Split": "grouped by image, as in the thesis: training and test set may share lesions (lesson 06)",
        "Checkpoint": "the one with the best validation BMA, or Jaccard index; the thesis does not say which it took",
        "Trained on": ", ".join(devices) or "nothing yet",
        "Versions": f"{versions}, pandas {pd.__version__}",
        "Written": f"{datetime.now():%Y-%m-%d %H:%M}",
    }
    listed = "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(text)}</dd>" for name, text in rows.items())
    warning = "Not medical advice. Nothing here says anything about a person's skin."
    same = "Published and measured values compare only where data and profile agree: look at patterns, not digits."
    return [f'<p class="warning">{warning}</p>', f"<dl>{listed}</dl>", f"<p>{same}</p>"]


def failures(found: Found, failed: dict[str, IsicError]) -> list[str]:
    """A sentence for each reason why things could not be done, which names them all."""
    causes = {f"{protocol} has no images": error for protocol, error in found.missing.items()} | failed
    causes = pd.Series(causes, dtype=object).map(str)
    return [f"{'; '.join(same.index)}: {why}" for why, same in causes.groupby(causes, sort=False)]


def trainings(found: Found, plan: list[Step]) -> pd.DataFrame:
    """A row for each training: whether it is finished, its epochs, how long they took, and when they ended."""
    rows = {}
    for step in dict.fromkeys([*plan, *found.runs]):
        rows[str(step)] = {"state": "missing"}
        if step in found.runs:
            run = found.runs[step]
            ended = datetime.fromtimestamp((run.folder / "predictions_test.csv").stat().st_mtime)
            row = {"state": "finished", "epochs": str(run.config["epochs"]), "minutes": f"{run.seconds / 60:,.1f}"}
            rows[str(step)] = row | {"pretrained": run.config["pretrained"], "finished": f"{ended:%Y-%m-%d %H:%M}"}
    return pd.DataFrame(rows, ["state", "epochs", "minutes", "pretrained", "finished"]).T.fillna("")


def figures_of(table: Callable, found: Found) -> list[tuple[Figure, str]]:
    """The figures below a table, each with its alternative text. table: a function of `results`."""
    if table is results.table_6_1 and found.standard():
        return [accuracy_and_bma(found), recalls(found)]
    if table is results.table_6_4 and found.standard():
        return [folds(found)]
    if table is results.table_6_6 and Step("segmentation", "unet") in found.runs:
        return two_masks(found)
    return []


def accuracy_and_bma(found: Found) -> tuple[Figure, str]:
    """Accuracy against BMA: the thesis's points hollow, ours filled."""
    figure, axis = plt.subplots(figsize=(7, 4))
    table = results.table_6_1(found)
    for half, fill in ((results.THESIS, "none"), (found.here, "full")):
        values = table[half].dropna(subset=["BMA", "accuracy"])
        for name, row in values.iterrows():
            place = list(table.index).index(name)
            style = dict(marker=plots.MARKERS[place], color=plots.COLOURS[place], fillstyle=fill, linestyle="")
            title = f"{name}, thesis" if half == results.THESIS else row["network"]
            axis.plot(row["BMA"], row["accuracy"], markersize=9, label=title, **style)
    axis.plot([0, 1], [0, 1], color="0.8", zorder=0)
    axis.set(xlim=(0, 1), ylim=(0, 1), xlabel="BMA", ylabel="accuracy")
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=8)
    return figure, "Accuracy against BMA for each network, the thesis's hollow and ours filled."


def recalls(found: Found) -> tuple[Figure, str]:
    """The recall of each class for each network of the standard protocol."""
    recall = {}
    for name, run in found.standard().items():
        predictions = run.predictions()
        recall[TITLES[name]] = recall_per_class(predictions["label"], predictions["predicted"], CODES)
    training = splits.standard(found.table, "image") == "train"
    figure = plots.recall_dots(pd.DataFrame(recall), found.table["label"][training].value_counts())
    return figure, "Recall of each class for each network, with the number of images that it was trained on."


def folds(found: Found) -> tuple[Figure, str]:
    """BMA of each fold, a marker per fold, a bar at the mean; the thesis's left, ours right."""
    table = results.table_6_4(found)
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True)
    for axis, half in zip(axes, (results.THESIS, found.here), strict=True):
        for place, (_, row) in enumerate(table[half].iterrows()):
            for fold in protocols.FOLD_NUMBERS:
                style = dict(color=plots.COLOURS[fold], label=f"fold {fold}" if place == 0 else None)
                axis.plot(place + (fold - 2) / 12, row[fold], plots.MARKERS[fold], **style)
            axis.plot([place - 0.3, place + 0.3], [row["mean"]] * 2, "k-", linewidth=2)
        axis.set(title=half, ylim=(0, 1))
    axes[0].set_ylabel("BMA")
    axes[1].legend(loc="upper left", bbox_to_anchor=(1, 1))
    for axis in axes:
        name_ticks(axis, table.index, size=8)
    return figure, "BMA of each network, a marker per fold and a bar at the mean; the thesis's left, ours right."


def two_masks(found: Found) -> list[tuple[Figure, str]]:
    """As the thesis's Figures 6.1 and 6.2: a test image with a Jaccard index above 0.8 and one below 0.4, where there
    are such, with the true outline and the U-Net's."""
    run, (_, store) = found.runs[Step("segmentation", "unet")], found.data["segmentation"]
    predictions = run.predictions().sort_values("image")
    high, low = predictions["jaccard"] > 0.8, predictions["jaccard"] < 0.4
    chosen = pd.concat([predictions[high].head(1), predictions[low].head(1)])
    if chosen.empty:
        return []
    pixels = store.take(store.rows(chosen["image"]))
    predicted = list(predict_masks(run, store, chosen["image"]) > 0.5)
    titles = [f"Jaccard index {value:.2f}" for value in chosen["jaccard"]]
    figure = plots.masks_over(list(pixels[..., :3]), list(pixels[..., 3] > 127), titles, predicted=predicted)
    return [(figure, f"Test images with the true outline and the U-Net's: {', '.join(titles)}.")]


def as_html(table: pd.DataFrame) -> str:
    """A table of text as HTML that scrolls sideways where the screen is narrow."""
    table = table.rename_axis(index=None)
    return f'<div class="wide">{table.to_html(border=0, sparsify=True)}</div>'
