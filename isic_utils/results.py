"""The thesis's result tables, 6.1 to 6.6, each with the published figures beside those of the runs at hand.

Every function takes finished runs, as `protocols.find` gives them, computes its table from their predictions alone, and
leaves a gap where a run is missing.
"""

import pandas as pd

from isic_utils import metrics, models, published, runs, splits, statistics, tables
from isic_utils.runs import Run

THESIS, HERE = "thesis, ISIC 2019", "here"


def standard(found: dict[str, Run]) -> pd.DataFrame:
    """Table 6.1: loss, accuracy and BMA on the test part. found: a finished run by the standard protocol per model."""
    rows = {}
    for name, run in found.items():
        rows[models.TITLES[name]] = headline(run)[["loss", "accuracy", "BMA"]].to_dict() | made(run)
    return beside(published.STANDARD, pd.DataFrame(rows).T)


def balanced(found: dict[str, Run], table: pd.DataFrame) -> pd.DataFrame:
    """Table 6.2: the balanced protocol, translated to eight classes in the thesis's way (5/8) and exactly.

    found: a finished run by the balanced protocol per model; table: all pictures with their eight labels.
    "five classes" is BMA as it is; "exact" is the mean recall of the eight classes, where the answer `splits.MERGED`
    stands for the most frequent of the four.
    """
    original = table.set_index("image")["label"].astype(str)
    stands_for = original[original.isin(splits.RAREST)].value_counts().idxmax()
    rows = {}
    for name, run in found.items():
        answers = run.predictions().set_index("image")["predicted"]
        true = original[answers.index]
        recall = (answers.replace(splits.MERGED, stands_for) == true).groupby(true).mean().reindex(tables.CODES)
        scores = headline(run)
        row = {"loss": scores["loss"], "accuracy": 5 / 8 * scores["accuracy"], "BMA": 5 / 8 * scores["BMA"]}
        row |= {"five classes": scores["BMA"], "exact": recall.mean() if recall.notna().all() else None}
        rows[models.TITLES[name]] = row | made(run)
    return beside(published.BALANCED, pd.DataFrame(rows).T)


def intervals(crossed: dict[str, dict[int, Run]], table: pd.DataFrame) -> pd.DataFrame:
    """Table 6.3: the accuracy over all five test parts and its 95 % interval.

    crossed: finished runs per model and stage; a model with fewer than five is left out. table: for the lesions.
    The interval comes from 2 000 bootstrap draws of whole lesions (`statistics.bootstrap`); pictures without a
    lesion_id count as a lesion each.
    """
    lesion = table.set_index("image")["lesion_id"]
    rows = {}
    for name, stages in crossed.items():
        if len(stages) < 5:
            continue
        answers = pd.concat([run.predictions() for run in stages.values()])
        true, predicted = runs.class_numbers(answers, tables.CODES)
        lesions = lesion[answers["image"]].reset_index(drop=True).fillna(answers["image"].reset_index(drop=True))
        drawn = statistics.bootstrap(true, predicted, lesions.to_numpy(), len(tables.CODES))
        low, high = statistics.percentile_interval(drawn["accuracy"])
        row = {"accuracy": metrics.accuracy(true, predicted), "low": low, "high": high, "pictures": len(true)}
        rows[models.TITLES[name]] = row | made(stages[1])
    return beside(published.INTERVALS, pd.DataFrame(rows).T)


def cross_validation(crossed: dict[str, dict[int, Run]]) -> pd.DataFrame:
    """Table 6.4: BMA in each stage, and its mean once all five are there. crossed: as for `intervals`."""
    rows = {}
    for name, stages in crossed.items():
        row = {stage: headline(run)["BMA"] for stage, run in stages.items()}
        if len(row) == 5:
            row["mean"] = sum(row.values()) / 5
        rows[models.TITLES[name]] = row | made(next(iter(stages.values()))) if stages else row
    order = [1, 2, 3, 4, 5, "mean", "pretrained", "epochs"]
    return beside(published.CROSS_VALIDATION, pd.DataFrame(rows).T.reindex(columns=order))


def leaderboard(crossed: dict[str, dict[int, Run]]) -> pd.DataFrame:
    """Table 6.5: the mean BMA over the stages, and the leaderboard of ISIC 2019, which is not the same work."""
    measured = cross_validation(crossed)[HERE]["mean"]
    own = pd.DataFrame({"thesis": published.CROSS_VALIDATION["mean"], HERE: measured})
    winners = published.LEADERBOARD.to_frame("leaderboard, hidden test part")
    return pd.concat([own, winners]).rename_axis("BMA")


def segmentation(found: dict[str, Run]) -> pd.DataFrame:
    """Table 6.6: mean Jaccard index and thresholded Jaccard index. found: a finished run per U-Net."""
    rows = {}
    for name, run in found.items():
        scores = headline(run).rename({"jaccard": "Jaccard", "thresholded_jaccard": "thresholded Jaccard"})
        rows[models.TITLES[name]] = scores[["Jaccard", "thresholded Jaccard"]].to_dict() | made(run)
    return beside(published.SEGMENTATION, pd.DataFrame(rows).T, "thesis, ISIC 2018")


def headline(run: Run) -> pd.Series:
    """A run's test scores at its headline checkpoint (`runs.scores`)."""
    return runs.scores(run).loc[run.headline]


def made(run: Run) -> dict:
    """What a figure must not be read without: the weights the network started from, and how long it trained."""
    return {"pretrained": run.config["pretrained"], "epochs": run.config["epochs"]}


def beside(theirs: pd.DataFrame, ours: pd.DataFrame, source: str = THESIS) -> pd.DataFrame:
    """Published and measured figures in one table; rows that only one of them has follow in its order."""
    order = [*theirs.index, *[title for title in ours.index if title not in theirs.index]]
    return pd.concat({source: theirs, HERE: ours}, axis=1).reindex(order)
