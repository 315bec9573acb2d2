"""The thesis's tables 6.1 to 6.6, each with what the runs at hand measure beside what was published.

A table's columns have two levels: ``thesis, ISIC 2019`` (or ``published``) and ``here, <data>``. Where a run is not
there, our side is empty (NaN); `formatted` writes the word. Our figures are those of the headline checkpoint, the one
with the best validation BMA or Jaccard index, and each row gives the width and the initial weights of its network.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.metrics import accuracy_score

from isic_course.thesis import official, published
from isic_course.thesis.published import THESIS_CLASSIFIERS
from isic_utils.datasets import ImageStore, splits
from isic_utils.errors import IsicError
from isic_utils.metrics import bma, intervals as confidence
from isic_utils.models import MODELS, SEGMENTERS, TITLES
from isic_utils.settings import Settings
from isic_utils.training import Run, protocols, run_of

THESIS = "thesis, ISIC 2019"


@dataclass(frozen=True)
class Step:
    """One training of the thesis: a protocol of `protocols.PROTOCOLS`, a model, and a fold of the cross-validation,
    whose fold 0 is the run of the standard protocol."""

    protocol: str
    model: str
    fold: int = 0

    @property
    def data(self) -> str:
        """The protocol by whose name `protocols.load_data` returns the images: all of ISIC 2019's are the same."""
        return "segmentation" if self.protocol == "segmentation" else "standard"

    def __str__(self) -> str:
        fold = f", fold {self.fold}" if self.protocol == "cross-validation" else ""
        return f"{self.protocol}{fold}, {TITLES[self.model]}"


@dataclass(frozen=True)
class Found:
    """What there is of the thesis, for one data folder and profile.

    group_by: how their images are split; runs: finished ones; data: table and images by `Step.data`, as far as they are
    there; missing: `Step.data` or a protocol -> the error why its images cannot be used.
    """

    settings: Settings
    group_by: str
    runs: dict[Step, Run]
    data: dict[str, tuple[pd.DataFrame, ImageStore]]
    missing: dict[str, IsicError]

    @property
    def table(self) -> pd.DataFrame | None:
        """`read_isic2019`'s table, None if its images cannot be used."""
        return self.data["standard"][0] if "standard" in self.data else None

    @property
    def here(self) -> str:
        """The heading of our half of a table."""
        return f"here, {self.settings.data_name}{' (SYNTHETIC)' if self.settings.synthetic else ''}"

    def standard(self) -> dict[str, Run]:
        """The finished runs of the standard protocol by model, the thesis's five first."""
        return {name: self.runs[step] for name in models_in(self) if (step := Step("standard", name)) in self.runs}

    def folds(self, model: str) -> dict[int, Run]:
        """The finished folds of a model's cross-validation; fold 0 is the run of the standard protocol."""
        steps = {fold: Step("cross-validation" if fold else "standard", model, fold) for fold in protocols.FOLD_NUMBERS}
        return {fold: self.runs[step] for fold, step in steps.items() if step in self.runs}


def find(settings: Settings, steps: Iterable[Step], group_by: str = "image") -> Found:
    """Look for the runs of these steps; nothing is trained, but images that are not decoded yet are decoded.

    group_by: ``"image"``, as the thesis splits, or ``"lesion"``, as the lessons do.

    Where the images of a protocol are not there or cannot be used, its runs count as missing, and `Found.missing` has
    the error.
    """
    steps, runs, data, missing = list(steps), {}, {}, {}
    for kind in dict.fromkeys(step.data for step in steps):
        try:
            data[kind] = protocols.load_data(kind, settings)
        except IsicError as error:
            missing[kind] = error
    drawn = {}  # the tables and splits, which are the same for all models
    for step in steps:
        if step.data not in data or step.protocol in missing:
            continue
        (table, store), kind = data[step.data], (step.protocol, step.fold)
        grouped = protocols.grouping(step.protocol, table, group_by)
        try:
            if kind not in drawn:
                drawn[kind] = protocols.draw(step.protocol, table, grouped, 0, step.fold)
            config = protocols.config_of(step.protocol, step.model, settings, grouped, fold=step.fold)
            run = run_of(config, store, *drawn[kind], settings.runs)
        except IsicError as error:
            missing[step.protocol] = error
            continue
        if run.finished:
            runs[step] = run
    return Found(settings, group_by, runs, data, missing)


def models_in(found: Found) -> list[str]:
    """The classifiers that a table has a row for: the thesis's five, and others with a finished run."""
    return [*dict.fromkeys(THESIS_CLASSIFIERS + [name for name in MODELS if Step("standard", name) in found.runs])]


def table_6_1(found: Found) -> pd.DataFrame:
    """Table 6.1: loss, accuracy and BMA of the standard protocol."""
    rows = {name: headline_scores(run) for name, run in found.standard().items()}
    return beside(found, published.STANDARD, rows, ["loss", "accuracy", "BMA"])


def table_6_2(found: Found) -> pd.DataFrame:
    """Table 6.2: the balanced protocol's loss, accuracy and BMA on five classes, and the BMA on eight, by 5/8 · M_b
    (§5.3) and exactly, from the original labels (`exact_bma`). The thesis multiplied its accuracy by 5/8 too."""
    finished = {name: found.runs[step] for name in THESIS_CLASSIFIERS if (step := Step("balanced", name)) in found.runs}
    drawn = splits.balanced(found.table, found.group_by) if finished else None
    rows = {}
    for name, run in finished.items():
        row = headline_scores(run).rename({"accuracy": "accuracy, 5 classes", "BMA": "M_b"})
        row["5/8 · M_b"], row["exact, 8 classes"] = 5 / 8 * row["M_b"], exact_bma(run.predictions(), drawn)
        rows[name] = row
    columns = ["loss", "accuracy, 5 classes", "M_b", "5/8 · M_b", "exact, 8 classes"]
    return beside(found, published.BALANCED, rows, columns)


def exact_bma(predictions: pd.DataFrame, drawn: pd.DataFrame) -> float:
    """The BMA on eight classes of a model that knows five: "one of the four rarest" counts as the most frequent of
    them, so the other three are never predicted correctly (lesson 05).

    predictions: the columns image and predicted (five classes); drawn: `splits.balanced`, which has the original
    labels.
    """
    rarest = drawn["original_label"][drawn["label"] == splits.MERGED]
    true = drawn.set_index("image")["original_label"].astype(str)[predictions["image"]].to_numpy()
    return bma(true, predictions["predicted"].replace(splits.MERGED, rarest.value_counts().idxmax()))


def table_6_3(found: Found) -> pd.DataFrame:
    """Table 6.3: accuracy over all folds that are there, each image predicted by a network that had not seen it.

    Two 95 % intervals: low and high by the normal formula, and over lesions by a bootstrap of whole lesions
    (`metrics.intervals`, lesson 06).
    """
    rows = {}
    for name in models_in(found):
        folds = found.folds(name)
        if folds:
            predictions = pd.concat([run.predictions() for run in folds.values()], ignore_index=True)
            rows[name] = {"images": len(predictions)} | accuracy_intervals(predictions, found.table)
            rows[name] |= {"folds": len(folds), "network": full_titles(folds.values())}
    columns = ["images", "accuracy", "low", "high", "low, lesions", "high, lesions", "folds"]
    return beside(found, published.INTERVALS, rows, columns)


def accuracy_intervals(predictions: pd.DataFrame, table: pd.DataFrame) -> dict[str, float]:
    """An accuracy and the ends of its two intervals. predictions: image, label and predicted."""
    true, predicted, images = predictions["label"], predictions["predicted"], predictions["image"]
    lesions = table.set_index("image")["lesion_id"].reindex(images).reset_index(drop=True).fillna(images)
    drawn = confidence.bootstrap(true, predicted, lesions)
    normal = confidence.normal_interval(int((true == predicted).sum()), len(true))
    values = [accuracy_score(true, predicted), *normal, *confidence.percentile_interval(drawn["accuracy"])]
    return dict(zip(["accuracy", "low", "high", "low, lesions", "high, lesions"], values, strict=True))


def table_6_4(found: Found) -> pd.DataFrame:
    """Table 6.4: BMA of each fold, which the thesis calls a partition, and the mean where all five are there."""
    rows = {}
    for name in models_in(found):
        folds = found.folds(name)
        if folds:
            row = {fold: headline_scores(run)["BMA"] for fold, run in folds.items()}
            if len(row) == len(protocols.FOLD_NUMBERS):
                row["mean"] = np.mean(list(row.values()))
            rows[name] = row | {"network": full_titles(folds.values())}
    return beside(found, published.CROSS_VALIDATION, rows, [*protocols.FOLD_NUMBERS, "mean"])


def table_6_5(found: Found) -> pd.DataFrame:
    """Table 6.5: own models, by the mean BMA of the cross-validation, against ISIC 2019's leaderboard; and ours on the
    official test set, over eight classes and over nine, UNK with them, where those images are there."""
    crossed, rows = table_6_4(found)[found.here], {}
    for name in models_in(found):
        run = found.runs.get(Step("standard", name))
        row = {"BMA, cross-validation": crossed.loc[TITLES[name], "mean"]}
        if run is not None:
            row |= official.scores_2019(run) | {"network": full_titles([run])}
        rows[name] = row
    both = pd.concat([published.OWN_MODELS.to_frame(), published.LEADERBOARD_2019])
    columns = ["BMA, cross-validation", "official test, 8 classes", "official test, 9 classes"]
    return beside(found, both, rows, columns)


def table_6_6(found: Found) -> pd.DataFrame:
    """Table 6.6: the Jaccard index, plain as the thesis has it, and thresholded at 0.65 as the leaderboard has it; and
    ours on the official test set, where those images are there."""
    rows = {}
    for name in SEGMENTERS:
        run = found.runs.get(Step("segmentation", name))
        if run is not None:
            row = run.scores().loc[run.headline]
            row = {"Jaccard": row["jaccard"], "thresholded Jaccard": row["thresholded_jaccard"]}
            rows[name] = row | official.scores_2018(run) | {"network": full_titles([run])}
    thesis = published.SEGMENTATION.rename(index={"U-Net (thesis)": TITLES["unet"]})
    columns = ["Jaccard", "thresholded Jaccard", "official test, Jaccard", "official test, thresholded"]
    return beside(found, thesis, rows, columns, thesis_is="published, ISIC 2018")


ALL = {  # title -> function
    "Table 6.1 · Standard classification": table_6_1,
    "Table 6.2 · Balanced classification": table_6_2,
    "Table 6.3 · Accuracy and its 95 % interval": table_6_3,
    "Table 6.4 · BMA of each fold of the cross-validation": table_6_4,
    "Table 6.5 · Against ISIC 2019's leaderboard (BMA)": table_6_5,
    "Table 6.6 · Segmentation": table_6_6,
}


def headline_scores(run: Run) -> pd.Series:
    """Loss, accuracy and BMA of a run's headline checkpoint on its test set, and the full title of its network."""
    row = run.scores().loc[run.headline, ["loss", "accuracy", "BMA"]]
    return pd.Series({**row, "network": full_titles([run])})


def full_titles(some: Iterable[Run]) -> str:
    """What a network is called that may be narrow and not pretrained: "ResNet101, 1/8 width, from scratch"; where the
    runs differ, each kind."""
    titles = set()
    for config in (run.config for run in some):
        width = "" if config["width"] == 1 else f", 1/{1 / config['width']:.0f} width"
        start = "pretrained" if config["pretrained"] == "ImageNet" else "from scratch"
        titles.add(f"{TITLES[config['model']]}{width}, {start}")
    return " / ".join(sorted(titles))


def beside(
    found: Found, thesis: pd.DataFrame, rows: dict[str, pd.Series | dict], columns: list, thesis_is: str = THESIS
) -> pd.DataFrame:
    """A published table beside ours. rows: model -> what we measured; columns: of our half; network is added."""
    ours = pd.DataFrame(rows).T.rename(index=TITLES).reindex(columns=[*columns, "network"])
    ours = ours.astype(dict.fromkeys(columns, float) | {"network": object})
    index = [*thesis.index, *(title for title in ours.index if title not in thesis.index)]
    halves = {thesis_is: thesis.reindex(index), found.here: ours.reindex(index)}
    return pd.concat(halves, axis=1).rename_axis("model")


def formatted(table: pd.DataFrame, found: Found) -> pd.DataFrame:
    """A table as text: three decimals, four for the ends of intervals (as in the thesis), whole numbers without,
    "missing" where a run of ours is not there."""
    text = pd.DataFrame("", index=table.index, columns=table.columns)
    for half, column in table.columns:
        decimals = 0 if column in ("images", "folds") else 4 if str(column).startswith(("low", "high")) else 3
        for row, value in table[half, column].items():
            if isinstance(value, str):
                text.loc[row, (half, column)] = value
            elif pd.notna(value):
                text.loc[row, (half, column)] = f"{value:,.{decimals}f}"
            elif half == found.here and row in TITLES.values():
                text.loc[row, (half, column)] = "missing"
    return text
