"""The thesis's tables 6.1 to 6.6, each with what the runs at hand measure beside what was published.

A table's columns have two levels: ``thesis, ISIC 2019`` (or ``published``) and ``here, <data>``. Where a run is not
there, our side is empty (NaN); `shown` writes the word. Our figures are those of the headline checkpoint, the one with
the best validation BMA or Jaccard index, and each row says what its network started from.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from isic_course.thesis import official, published
from isic_utils.datasets import splits, tables
from isic_utils.errors import IsicError
from isic_utils.metrics import intervals as statistics
from isic_utils.models import NAMES, SEGMENTERS, TITLES
from isic_utils.settings import Profile
from isic_utils.training import protocols, runs
from isic_utils.training.runs import HEADLINE, Run

CLASSIFIERS = ["vgg16", "alexnet", "residual", "resnet101", "wide_resnet"]  # in the order of the thesis's tables
THESIS = "thesis, ISIC 2019"


@dataclass(frozen=True, order=True)
class Step:
    """One training of the thesis: a protocol of `protocols.NAMES`, a model, and a stage of the cross-validation, whose
    first is the standard protocol's run."""

    protocol: str
    model: str
    stage: int = 1

    def __str__(self) -> str:
        stage = f", stage {self.stage}" if self.protocol == "cross-validation" else ""
        return f"{self.protocol}{stage}, {TITLES[self.model]}"


@dataclass(frozen=True)
class Found:
    """What there is of the thesis, for one data folder and profile.

    runs: finished ones; table: `tables.isic2019`, None if those pictures are not there; missing: protocol -> why its
    pictures cannot be used.
    """

    settings: Profile
    runs: dict[Step, Run]
    table: pd.DataFrame | None
    missing: dict[str, str]

    @property
    def here(self) -> str:
        """What our half of a table is headed by."""
        return f"here, {self.settings.data_name}{' (SYNTHETIC)' if self.settings.synthetic else ''}"

    def standard(self) -> dict[str, Run]:
        """The finished runs of the standard protocol by model, the thesis's five first."""
        return {name: self.runs[step] for name in models_in(self) if (step := Step("standard", name)) in self.runs}

    def stages(self, model: str) -> dict[int, Run]:
        """The finished stages of a model's cross-validation by number; stage 1 is the standard protocol's run."""
        steps = {1: Step("standard", model)} | {n: Step("cross-validation", model, n) for n in protocols.STAGES[1:]}
        return {number: self.runs[step] for number, step in steps.items() if step in self.runs}


def find(settings: Profile, steps: Iterable[Step]) -> Found:
    """Look for the runs of these steps; nothing is trained, but pictures that are not decoded yet are decoded.

    Where the pictures of a protocol are not there or cannot be used, its runs count as missing, and `Found.missing`
    says why.
    """
    found, missing, table, prepare = {}, {}, None, protocols.once(settings)
    for step in steps:
        if step.protocol in missing:
            continue
        kind = pictures_of(step)
        try:
            prepared = prepare(kind)
            table = prepared[0] if kind == "standard" else table
            run = protocols.find(step.protocol, step.model, *prepared, settings, stage=step.stage)
        except IsicError as error:
            missing[step.protocol] = str(error)
            continue
        if run.finished:
            found[step] = run
    return Found(settings, found, table, missing)


def pictures_of(step: Step) -> str:
    """The protocol whose table and pictures a step takes: all of ISIC 2019's have those of the standard one."""
    return "segmentation" if step.protocol == "segmentation" else "standard"


def models_in(found: Found) -> list[str]:
    """The classifiers that a table has a row for: the thesis's five, and others with a finished run."""
    return CLASSIFIERS + [name for name in NAMES if name not in CLASSIFIERS and Step("standard", name) in found.runs]


def standard(found: Found) -> pd.DataFrame:
    """Table 6.1: loss, accuracy and BMA of the standard protocol."""
    rows = {name: scores(run) for name, run in found.standard().items()}
    return beside(found, published.STANDARD, rows, ["loss", "accuracy", "BMA"])


def balanced(found: Found) -> pd.DataFrame:
    """Table 6.2: the balanced protocol's loss, accuracy and BMA on five classes, and the BMA on eight, by 5/8 · M_b
    (§5.3) and exactly, from the original labels (`exact_bma`). The thesis multiplied its accuracy by 5/8 too."""
    finished = {name: found.runs[step] for name in CLASSIFIERS if (step := Step("balanced", name)) in found.runs}
    drawn = splits.balanced(found.table) if finished else None
    rows = {}
    for name, run in finished.items():
        row = scores(run).rename({"accuracy": "accuracy, 5 classes", "BMA": "M_b"})
        row["5/8 · M_b"], row["exact, 8 classes"] = 5 / 8 * row["M_b"], exact_bma(run.predictions(), drawn)
        rows[name] = row
    columns = ["loss", "accuracy, 5 classes", "M_b", "5/8 · M_b", "exact, 8 classes"]
    return beside(found, published.BALANCED, rows, columns)


def exact_bma(predictions: pd.DataFrame, drawn: pd.DataFrame) -> float:
    """The BMA on eight classes of a model that knows five: "one of the four rarest" is taken for the most frequent of
    them, so the other three are never right (lesson 05).

    predictions: the columns image and predicted (five classes); drawn: `splits.balanced`, which has the original
    labels.
    """
    rarest = drawn["original_label"][drawn["label"] == splits.MERGED]
    true = drawn.set_index("image")["original_label"].astype(str)[predictions["image"]].to_numpy()
    right = predictions["predicted"].replace(splits.MERGED, rarest.value_counts().idxmax()).to_numpy() == true
    return float(pd.Series(right).groupby(true).mean().reindex(tables.CODES).mean())


def intervals(found: Found) -> pd.DataFrame:
    """Table 6.3: accuracy over all stages that are there, each picture answered by a network that had not seen it.

    Two 95 % intervals: low and high by the normal formula, and over lesions by a bootstrap of whole lesions
    (`statistics`, lesson 06).
    """
    rows = {}
    for name in models_in(found):
        stages = found.stages(name)
        if stages:
            answers = pd.concat([run.predictions() for run in stages.values()], ignore_index=True)
            rows[name] = {"pictures": len(answers), "accuracy": (answers["predicted"] == answers["label"]).mean()}
            rows[name] |= accuracy_intervals(answers, found.table)
            rows[name] |= {"stages": len(stages), "pretrained": pretrained(stages.values())}
    columns = ["pictures", "accuracy", "low", "high", "low, lesions", "high, lesions", "stages"]
    return beside(found, published.INTERVALS, rows, columns)


def accuracy_intervals(answers: pd.DataFrame, table: pd.DataFrame) -> dict[str, float]:
    """The ends of both intervals of an accuracy. answers: image, label and predicted, of eight classes."""
    lesion = table.set_index("image")["lesion_id"].reindex(answers["image"]).reset_index(drop=True)
    true, predicted = runs.class_numbers(answers, tables.CODES)
    drawn = statistics.bootstrap(true, predicted, lesion.fillna(answers["image"]), len(tables.CODES))
    normal = statistics.normal_interval(int((true == predicted).sum()), len(true))
    ends = [*normal, *statistics.percentile_interval(drawn["accuracy"])]
    return dict(zip(["low", "high", "low, lesions", "high, lesions"], ends, strict=True))


def cross_validation(found: Found) -> pd.DataFrame:
    """Table 6.4: BMA of each stage, and the mean where all five are there. Stage k is the thesis's partition k - 1."""
    rows = {}
    for name in models_in(found):
        stages = found.stages(name)
        if stages:
            row = {number: scores(run)["BMA"] for number, run in stages.items()}
            if len(row) == len(protocols.STAGES):
                row["mean"] = np.mean(list(row.values()))
            rows[name] = row | {"pretrained": pretrained(stages.values())}
    return beside(found, published.CROSS_VALIDATION, rows, [*protocols.STAGES, "mean"])


def leaderboard_2019(found: Found) -> pd.DataFrame:
    """Table 6.5: own models, by the mean BMA of the cross-validation, against ISIC 2019's leaderboard; and ours on the
    official test set, over eight classes and over nine, UNK with them, where those pictures are there."""
    crossed, rows = cross_validation(found)[found.here], {}
    for name in models_in(found):
        run = found.runs.get(Step("standard", name))
        row = {"BMA, cross-validation": crossed.loc[TITLES[name], "mean"]}
        if run is not None:
            row |= official.scores_2019(run) | {"pretrained": run.config["pretrained"]}
        rows[name] = row
    both = pd.concat([published.OWN_MODELS.to_frame(), published.LEADERBOARD_2019])
    columns = ["BMA, cross-validation", "official test, 8 classes", "official test, 9 classes"]
    return beside(found, both, rows, columns)


def segmentation(found: Found) -> pd.DataFrame:
    """Table 6.6: the Jaccard index, plain as the thesis has it, and thresholded at 0.65 as the leaderboard has it; and
    ours on the official test set, where those pictures are there."""
    rows = {}
    for name in SEGMENTERS:
        run = found.runs.get(Step("segmentation", name))
        if run is not None:
            row = runs.scores(run).loc[run.headline]
            row = {"Jaccard": row["jaccard"], "thresholded Jaccard": row["thresholded_jaccard"]}
            rows[name] = row | official.scores_2018(run) | {"pretrained": run.config["pretrained"]}
    thesis = published.SEGMENTATION.rename(index={"U-Net (thesis)": TITLES["unet"]})
    columns = ["Jaccard", "thresholded Jaccard", "official test, Jaccard", "official test, thresholded"]
    return beside(found, thesis, rows, columns, thesis_is="published, ISIC 2018")


ALL = {  # title -> function
    "Table 6.1 · Standard classification": standard,
    "Table 6.2 · Balanced classification": balanced,
    "Table 6.3 · Accuracy and its 95 % interval": intervals,
    "Table 6.4 · BMA of each stage of the cross-validation": cross_validation,
    "Table 6.5 · Against ISIC 2019's leaderboard (BMA)": leaderboard_2019,
    "Table 6.6 · Segmentation": segmentation,
}


def scores(run: Run) -> pd.Series:
    """Loss, accuracy and BMA of a run's headline checkpoint on its test part, and what it started from."""
    row = runs.scores(run).loc[HEADLINE, ["loss", "accuracy", "BMA"]].astype(object)
    return pd.concat([row, pd.Series({"pretrained": run.config["pretrained"]})])


def pretrained(some: Iterable[Run]) -> str:
    """What the runs started from; where that differs, each kind."""
    return " / ".join(sorted({run.config["pretrained"] for run in some}))


def beside(
    found: Found, thesis: pd.DataFrame, rows: dict[str, pd.Series | dict], columns: list, thesis_is: str = THESIS
) -> pd.DataFrame:
    """A published table beside ours. rows: model -> what we measured; columns: of our half; pretrained is added."""
    ours = pd.DataFrame(rows).T.rename(index=TITLES).reindex(columns=[*columns, "pretrained"])
    ours = ours.astype({column: float for column in columns})
    ours["pretrained"] = ours["pretrained"].astype(object)
    index = [*thesis.index, *(title for title in ours.index if title not in thesis.index)]
    halves = {thesis_is: thesis.reindex(index), found.here: ours.reindex(index)}
    return pd.concat(halves, axis=1).rename_axis("model")


def shown(table: pd.DataFrame, found: Found) -> pd.DataFrame:
    """A table as text: three decimals, whole numbers without, "missing" where a run of ours is not there."""
    text = pd.DataFrame("", index=table.index, columns=table.columns)
    for half, column in table.columns:
        whole = column in ("pictures", "stages")
        for row, value in table[half, column].items():
            if isinstance(value, str):
                text.loc[row, (half, column)] = value
            elif pd.notna(value):
                text.loc[row, (half, column)] = f"{value:,.0f}" if whole else f"{value:.3f}"
            elif half == found.here and row in TITLES.values():
                text.loc[row, (half, column)] = "missing"
    return text
