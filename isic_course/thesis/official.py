"""The official test sets: what a run predicts for them, and how ISIC scores the predictions.

2019: 8 238 images, the eight classes and UNK, a weight for each image. 2018 Task 1: 1 000 images and masks. The
predictions stay in the run's folder, ``official_2019.csv`` and ``official_2018.csv`` (a row per image). Choose nothing
by these images: they are for the final measurement.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import recall_score

from isic_course.thesis import submission
from isic_utils.archive import CODES, GROUND_TRUTH_2019_TEST, IMAGES_2019_TEST, UNKNOWN
from isic_utils.datasets import ImageStore, read_isic2018, tables
from isic_utils.datasets.images import read_mask
from isic_utils.inference.predict import predict_probabilities
from isic_utils.inference.second_opinion import fit_detector
from isic_utils.metrics import calibration, mask_scores, overlap
from isic_utils.settings import Settings
from isic_utils.training import Run, protocols, runs

NOT_SCORED = "ISIC_0035068"  # the official scorer gives it no weight (isic_challenge_scoring/load_csv.py)


def read_isic2019_test(folder: Path | str) -> pd.DataFrame:
    """The official test set of ISIC 2019, one row per image that is there.

    folder: holds ``ISIC_2019_Test_GroundTruth.csv`` and the folder ``ISIC_2019_Test_Input``
        (``python -m isic_utils download 2019 --split test``). The metadata are not needed: they name no lesions.

    Returns the columns image (str), path (str), label (ordered categorical with the 8 codes and UNK) and weight (float
    from 0, how much the image counts in the official score).

    Raises IsicError as `read_isic2019` does, and if there are no images.
    """
    file = Path(folder) / GROUND_TRUTH_2019_TEST
    truth = tables.read_csv(file, ["image", *CODES, UNKNOWN])
    table = pd.DataFrame({"image": truth["image"], "label": tables.one_label_each(truth, file, [*CODES, UNKNOWN])})
    weight = truth.get("score_weight", pd.Series(1.0, truth.index)).astype(float)
    table["weight"] = weight.mask(truth["image"] == NOT_SCORED, 0.0)
    table = tables.keep_images_that_are_there(table, Path(folder) / IMAGES_2019_TEST)
    return table[["image", "path", "label", "weight"]]


def predict_2019(run: Run, settings: Settings) -> pd.DataFrame:
    """What a run of eight classes predicts for ISIC 2019's test set: image, label, weight, the calibrated probability
    of each class, and UNK (`submission.unknown_score`; 1 for an image that is out of distribution, lesson 11). Kept in
    the run's folder, and read from there the next time.

    Raises IsicError if the test set is not in ``settings.data`` (`read_isic2019_test`), or the data are not those that
    the run was trained on.
    """
    table, store, kept = what_there_is(run, 2019, read_isic2019_test(settings.data), settings)
    if kept is not None:
        return kept
    validation = run.predictions("validation")
    true = pd.Categorical(validation["label"], CODES).codes
    temperature = calibration.fit_temperature(validation[CODES].to_numpy(), true)
    calibrated = calibration.apply_temperature(predict_probabilities(run, store, table["image"]), temperature)
    detector = fit_detector(run, protocols.load_data("standard", settings)[1])
    unknown = submission.unknown_score(calibrated, detector.out_of_distribution(store, table["image"]))
    result = table[["image", "label", "weight"]].astype({"label": str})
    result = result.join(pd.DataFrame(calibrated, columns=CODES).assign(**{UNKNOWN: unknown}))
    runs.write_csv(run.folder / "official_2019.csv", result)
    return result


def scores_2019(run: Run) -> dict[str, float]:
    """The official BMA of a run over eight classes, UNK left out, and over nine; empty without predictions."""
    predictions = stored(run, 2019)
    if predictions is None:
        return {}
    known = predictions[predictions["label"] != UNKNOWN]
    return {
        "official test, 8 classes": weighted_bma(known, CODES),
        "official test, 9 classes": weighted_bma(predictions, [*CODES, UNKNOWN]),
    }


def weighted_bma(predictions: pd.DataFrame, classes: list[str]) -> float:
    """ISIC 2019's score: the mean over the classes of the weighted recall; two equally large columns count as wrong.

    predictions: label, weight, and a column for each class, as `predict_2019` returns it. A class without an image is
    left out, as in the official scorer.
    """
    columns = predictions[classes].to_numpy()
    largest = columns == columns.max(axis=1, keepdims=True)
    predicted = np.where(largest.sum(axis=1) == 1, np.array(classes)[largest.argmax(axis=1)], "undecided")
    label, weight = predictions["label"].to_numpy(str), predictions["weight"]
    recall = recall_score(label, predicted, labels=classes, average=None, sample_weight=weight, zero_division=np.nan)
    return float(np.nanmean(recall))


def predict_2018(run: Run, settings: Settings) -> pd.DataFrame:
    """How a U-Net's masks fit those of ISIC 2018 Task 1's test set, in the images' own sizes: image, the areas of
    `metrics.overlap` and the scores of `metrics.mask_scores`. Kept in the run's folder, with the masks in the official
    form beside it (``official_2018/``).

    The masks are the U-Net's own, without test-time augmentation and post-processing. Raises IsicError if the test set
    is not in ``settings.data`` (`read_isic2018`).
    """
    table, store, kept = what_there_is(run, 2018, read_isic2018(settings.data, "test"), settings)
    if kept is not None:
        return kept
    files = submission.export_masks(run, table, store, run.folder / "official_2018", postprocess=False)
    pairs = zip(table["mask_path"], files, strict=True)
    rows = [overlap(*(read_mask(path)[np.newaxis] for path in pair)) for pair in pairs]
    areas = pd.concat(map(pd.DataFrame, rows), ignore_index=True)
    result = pd.concat([table[["image"]], areas, pd.DataFrame(mask_scores(areas))], axis=1)
    runs.write_csv(run.folder / "official_2018.csv", result)
    return result


def scores_2018(run: Run) -> dict[str, float]:
    """The mean Jaccard index of a run on the official test set, plain and thresholded at 0.65; empty without
    predictions."""
    predictions = stored(run, 2018)
    if predictions is None:
        return {}
    return {
        "official test, Jaccard": predictions["jaccard"].mean(),
        "official test, thresholded": predictions["thresholded_jaccard"].mean(),
    }


def what_there_is(
    run: Run, year: int, table: pd.DataFrame, settings: Settings
) -> tuple[pd.DataFrame, ImageStore, pd.DataFrame | None]:
    """The rows of a test set whose images can be read, their store, and what the run has predicted for just these."""
    store = ImageStore(table, tuple(run.config["image_size"]), settings.cache)
    table, kept = table[table["image"].isin(store.images)].reset_index(drop=True), stored(run, year)
    return table, store, None if kept is None or set(kept["image"]) != set(table["image"]) else kept


def stored(run: Run, year: int) -> pd.DataFrame | None:
    """What a run has predicted for the official test set of a year, None if nothing."""
    file = run.folder / f"official_{year}.csv"
    return runs.read_table(file) if file.exists() else None
