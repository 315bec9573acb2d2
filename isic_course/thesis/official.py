"""The official test sets: what a run answers to them, and how ISIC scores that.

2019: 8 238 pictures, the eight classes and UNK, a weight for each picture. 2018 Task 1: 1 000 pictures and masks. The
answers stay in the run's folder, ``official_2019.csv`` and ``official_2018.csv`` (a row per picture). Choose nothing by
these pictures: they are for the end.
"""

import numpy as np
import pandas as pd

from isic_utils.datasets import images as pictures, tables
from isic_utils.datasets.tables import CODES, UNKNOWN
from isic_utils.inference import masks, ood as scope, predict as answers, second_opinion as inference
from isic_utils.metrics import calibration, classification as metrics
from isic_utils.settings import Profile
from isic_utils.training import runs
from isic_utils.training.runs import Run


def answer_2019(run: Run, settings: Profile) -> pd.DataFrame:
    """What a run of eight classes answers to ISIC 2019's test set: image, label, weight, the calibrated probability of
    each class, and UNK (`calibration.unknown_score`; 1 for what lesson 09 refuses). Kept in the run's folder, and read
    from there the next time.

    Raises IsicError if the test set is not in ``settings.data`` (`tables.isic2019_test`), or the data are not those
    that the run has learnt from.
    """
    table = tables.isic2019_test(settings.data)
    photos = pictures.load(table, run.config["picture_size"], settings.cache)
    table = table[table["image"].isin(photos.images)]  # those that can be read
    kept = stored(run, 2019)
    if kept is not None and set(kept["image"]) == set(table["image"]):
        return kept
    validation = run.predictions("validation")
    true, _ = runs.class_numbers(validation, CODES)
    temperature = calibration.fit_temperature(validation[CODES].to_numpy(), true)
    answered = answers.probabilities(run, photos, table["image"]).astype(float)  # as they are read back
    calibrated = calibration.soften(answered, temperature)
    refused = scope.refused(inference.learn_scope(run, settings), photos, table["image"])
    unknown = calibration.unknown_score(calibrated, refused)
    result = table[["image", "label", "weight"]].astype({"label": str}).reset_index(drop=True)
    result = result.join(pd.DataFrame(calibrated, columns=CODES).assign(**{UNKNOWN: unknown}))
    runs.write_csv(run.folder / "official_2019.csv", result)
    return result


def scores_2019(run: Run) -> dict[str, float]:
    """The official BMA of a run over eight classes, UNK left out, and over nine; empty if it has not answered."""
    answered = stored(run, 2019)
    if answered is None:
        return {}
    known = answered[answered["label"] != UNKNOWN]
    return {
        "official test, 8 classes": weighted_bma(known, CODES),
        "official test, 9 classes": weighted_bma(answered, [*CODES, UNKNOWN]),
    }


def weighted_bma(answered: pd.DataFrame, classes: list[str]) -> float:
    """ISIC 2019's score: the mean over the classes of the weighted recall; two equally large columns count as wrong.

    answered: label, weight, and a column for each class, as `answer_2019` returns it. A class without a picture is left
    out, as in the official scorer.
    """
    columns = answered[classes].to_numpy()
    largest = columns == columns.max(axis=1, keepdims=True)
    predicted = np.where(largest.sum(axis=1) == 1, np.array(classes)[largest.argmax(axis=1)], "undecided")
    right = (answered["label"] == predicted) * answered["weight"]
    recall = right.groupby(answered["label"]).sum() / answered["weight"].groupby(answered["label"]).sum()
    return float(recall.reindex(classes).mean())


def answer_2018(run: Run, settings: Profile) -> pd.DataFrame:
    """How a U-Net's masks fit those of ISIC 2018 Task 1's test set, in the pictures' own sizes: image, the areas of
    `metrics.overlap` and the scores of `metrics.mask_scores`. Kept in the run's folder, with the masks in the official
    form beside it (``official_2018/``).

    The masks are the U-Net's own: no mirrored views, and nothing removed. Raises IsicError if the test set is not in
    ``settings.data`` (`tables.isic2018`).
    """
    table = tables.isic2018(settings.data, "test")
    pairs = pictures.load_pairs(table, tuple(run.config["picture_size"]), settings.cache)
    table = table[table["image"].isin(pairs.images)].reset_index(drop=True)  # those that can be used
    kept = stored(run, 2018)
    if kept is not None and set(kept["image"]) == set(table["image"]):
        return kept
    files = masks.export(run, table, pairs, run.folder / "official_2018", treated=False)
    rows = []
    for file, true in zip(files, table["mask_path"], strict=True):
        pair = [pictures.read_mask(path)[np.newaxis] for path in (true, file)]
        rows.append({name: int(value[0]) for name, value in metrics.overlap(*pair).items()})
    areas = pd.DataFrame(rows)
    result = pd.concat([table[["image"]], areas, pd.DataFrame(metrics.mask_scores(areas))], axis=1)
    runs.write_csv(run.folder / "official_2018.csv", result)
    return result


def scores_2018(run: Run) -> dict[str, float]:
    """The mean Jaccard index of a run on the official test set, plain and thresholded at 0.65; empty if it has not
    answered."""
    answered = stored(run, 2018)
    if answered is None:
        return {}
    return {
        "official test, Jaccard": answered["jaccard"].mean(),
        "official test, thresholded": answered["thresholded_jaccard"].mean(),
    }


def stored(run: Run, year: int) -> pd.DataFrame | None:
    """What a run has answered to the official test set of a year, None if it has not."""
    file = run.folder / f"official_{year}.csv"
    return runs.read_csv(file) if file.exists() else None
