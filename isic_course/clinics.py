"""One clinic's network in another clinic: what lesson 11 is about, and benchmarks/measured_clinics.py measures on real
images.

A probe is a linear classifier of frozen features (`features`). It is trained on the images of some clinics and
predicts those of all clinics, always of lesions that it was not trained on.
"""

from collections.abc import Callable, Mapping, Sequence

import joblib
import numpy as np
import pandas as pd
from PIL import Image
from scipy.spatial.distance import cdist
from sklearn.covariance import LedoitWolf
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from isic_utils.datasets import splits
from isic_utils.datasets.images import resize
from isic_utils.inference.ood import OodDetector
from isic_utils.metrics import intervals

CLINICS = ("BCN", "HAM", "MSK")  # the sources that are institutions; images without a lesion_id may come from any
IMAGE_SIZE = 96  # pixels
STRENGTH = 0.003  # C of the probe, the inverse of its penalty; the same everywhere, and not tuned
DARKEST = 40  # of 255: a pixel with no channel above it counts as black border
WIDEST = 0.3  # of the side: the most that is cut off at each edge


def common_classes(table: pd.DataFrame, clinics: Sequence[str]) -> list[str]:
    """The classes of which each of the clinics has at least five lesions, so that each of five folds can have one.

    table: the columns label (categorical), lesion_id and source.
    """
    lesions = table.groupby(["source", "label"], observed=False)["lesion_id"].nunique().unstack().reindex(clinics)
    return [code for code in table["label"].cat.categories if (lesions[code] >= splits.FOLDS).all()]


def make_probe() -> Pipeline:
    """An untrained probe: features scaled to mean 0 and variance 1, logistic regression in which each class has the
    same total weight, so that the class shares of its clinic do not set its decisions."""
    return make_pipeline(
        StandardScaler(), LogisticRegression(C=STRENGTH, class_weight="balanced", tol=1e-3, max_iter=1000)
    )


def predict(
    table: pd.DataFrame,
    features: np.ndarray,
    trained_on: Mapping[str, np.ndarray],
    seeds: Sequence[int],
    copies: Sequence[np.ndarray] = (),
) -> pd.DataFrame:
    """The out-of-fold predictions of probes, each trained on some of the images, such as those of one clinic.

    table: the columns image, lesion_id, source and label (categorical), indexed 0, 1, …; features: float [n, any], in
    the same order; trained_on: name -> which images may be trained on, boolean [n]; copies: features of augmented
    copies of the images, like `features`, that are trained on as well. Each seed draws five folds, grouped by lesion
    and stratified by class and source. Each probe learns from its images outside a fold, and predicts the whole fold.

    Returns a row per name, seed and image, with the columns trained_on, seed, image, lesion_id, source, label, and the
    probability of each class, 0 for one that the probe has not seen.
    """
    codes, labels = list(table["label"].cat.categories), table["label"].astype(str).to_numpy()
    features = features.astype(float)  # scikit-learn computes in 64 bits, and would convert them in every step
    rows = splits.rows_to_split(table.assign(label=labels + " " + table["source"]), "lesion")

    def of_fold(seed: int, test: np.ndarray, name: str) -> pd.DataFrame:
        train = np.setdiff1d(np.flatnonzero(trained_on[name]), test)
        x = np.concatenate([part[train] for part in (features, *copies)])
        probe = make_probe().fit(x, np.tile(labels[train], 1 + len(copies)))
        probabilities = pd.DataFrame(probe.predict_proba(features[test]), test, probe.classes_)
        found = table.loc[test, ["image", "lesion_id", "source", "label"]]
        found = found.join(probabilities.reindex(columns=codes, fill_value=0.0))
        return pd.concat([pd.Series(name, test, name="trained_on"), pd.Series(seed, test, name="seed"), found], axis=1)

    folds = [(seed, test) for seed in seeds for test in splits.folds(rows, splits.FOLDS, "lesion", seed)]
    jobs = [joblib.delayed(of_fold)(*fold, name) for fold in folds for name in trained_on]
    return pd.concat(joblib.Parallel(n_jobs=2, prefer="threads")(jobs), ignore_index=True)


def recalls(predictions: pd.DataFrame, classes: Sequence[str], draws: int = 1000, seed: int = 0) -> pd.DataFrame:
    """The recall of each class: first as measured, then in `draws` bootstrapped test sets; [1 + draws, classes].

    predictions: the columns lesion_id, label, and the probability of each class, as in `predict`. Images of other
    classes are left out, and the class with the largest probability *among these classes* is predicted. Lesions are
    drawn with replacement within their class (so no draw lacks a class), each with all its images and seeds. Two
    tables of the same images get the same draws, so their difference is a paired comparison.
    BMA is the mean of a row; an accuracy with given class shares is its product with them.
    """
    some = predictions[predictions["label"].isin(classes)]
    labels, (lesion, _) = some["label"].astype(str), pd.factorize(some["lesion_id"])
    right = (some[list(classes)].idxmax(axis=1) == labels).to_numpy()
    drawn = intervals.draw_lesions(some["lesion_id"], labels, draws, seed)
    times = np.vstack([np.ones(drawn.shape[1], int), drawn])  # [1 + draws, lesions]
    of_class = {code: (labels == code).to_numpy() for code in classes}
    counts = {code: [times @ np.bincount(lesion, rows) for rows in (right & of, of)] for code, of in of_class.items()}
    return pd.DataFrame(
        {code: correct / np.where(images, images, np.nan) for code, (correct, images) in counts.items()}
    )


def with_interval(values: pd.Series) -> tuple[float, float, float]:
    """A score as measured, and its 95 % interval. values: of the rows of `recalls`."""
    return float(values.iloc[0]), *intervals.percentile_interval(values.iloc[1:])


def matrix(predictions: pd.DataFrame, classes: Sequence[str], tested_on: Sequence[str] = CLINICS) -> pd.DataFrame:
    """Trained in one clinic, tested in all: a row per name in `trained_on` and per clinic, with the columns trained on,
    tested on, images, lesions, BMA, low, high (of its 95 % interval) and accuracy, over these classes."""
    rows = []
    for name, of_name in predictions[predictions["label"].isin(classes)].groupby("trained_on", sort=False):
        for clinic in tested_on:
            some = of_name[of_name["source"] == clinic]
            found, shares = recalls(some, classes), some["label"].value_counts(normalize=True)[list(classes)]
            row = {"trained on": name, "tested on": clinic, "images": some["image"].nunique()}
            row |= {"lesions": some["lesion_id"].nunique()}
            row |= dict(zip(("BMA", "low", "high"), with_interval(found.mean(axis=1)), strict=True))
            rows.append(row | {"accuracy": float(found.iloc[0] @ shares)})
    return pd.DataFrame(rows)


# the look of an image


def shades_of_gray(pixels: np.ndarray, power: float = 6) -> np.ndarray:
    """Colour constancy: the images as if under white light. Finlayson and Trezzi 2004.

    The light's colour is estimated as the Minkowski norm of each channel, (mean of x^p)^(1/p), and divided out; p = 1
    is gray world, a large p takes the brightest pixels for white. pixels: uint8 [n, height, width, 3], as is the
    result.
    """
    x = pixels.astype(np.float32) / 255
    light = (x**power).mean(axis=(1, 2), keepdims=True) ** (1 / power) + 1e-6  # [n, 1, 1, 3]
    light = light / np.linalg.norm(light, axis=-1, keepdims=True) * np.sqrt(3)  # white light: 1, 1, 1
    return (255 * x / light).clip(0, 255).round().astype(np.uint8)


def without_border(pixels: np.ndarray) -> np.ndarray:
    """Images cut to the largest centred square at whose rim hardly anything (5 %) is black, and enlarged again.

    pixels: uint8 [n, side, side, 3], as is the result.
    """
    side, cut = pixels.shape[1], []
    for image in pixels:
        bright = image.max(axis=-1) > DARKEST
        for margin in range(int(WIDEST * side) + 1):
            inner = bright[margin : side - margin, margin : side - margin]
            if np.concatenate([inner[0], inner[-1], inner[:, 0], inner[:, -1]]).mean() >= 0.95:
                break
        inside = slice(margin, side - margin)
        cut.append(resize(Image.fromarray(image[inside, inside]), (side, side)) if margin else image)
    return np.stack(cut)


def unsqueezed(pixels: np.ndarray, aspect_ratios: np.ndarray) -> np.ndarray:
    """Images that were squeezed to a square, with their true shapes: the centred square of the image as it was taken.

    pixels: uint8 [n, side, side, 3], as is the result; aspect_ratios: width / height of each before, float [n].
    """
    side, cut = pixels.shape[1], []
    for image, ratio in zip(pixels, aspect_ratios, strict=True):
        margin = round(side * (1 - min(ratio, 1 / ratio)) / 2)
        inside = slice(margin, side - margin)
        part = image[:, inside] if ratio > 1 else image[inside]
        cut.append(resize(Image.fromarray(part), (side, side)) if margin else image)
    return np.stack(cut)


def aspect_ratios(table: pd.DataFrame) -> np.ndarray:
    """Width / height of each image as it was taken, float [n]. table: the columns path and source.

    It is that of the file. If all files are square, they are copies that were squeezed before: HAM10000 and most of
    MSK's images are 4:3 in the archive, BCN20000's are square.
    """
    ratios = np.array([np.divide(*Image.open(path).size) for path in table["path"]])
    return np.where(table["source"] == "BCN", 1, 4 / 3) if (ratios == 1).all() else ratios


# out of distribution


def detectors(
    train: np.ndarray, labels: np.ndarray, pixels: np.ndarray
) -> dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]]:
    """Three OOD detectors, fitted to training images: name -> function of features and pixels, higher where more usual.

    The largest probability of a probe (Hendrycks and Gimpel 2017, arXiv:1610.02136); minus the Mahalanobis distance of
    the features to the mean of the nearest class, with one covariance of all classes (Lee et al. 2018,
    arXiv:1807.03888), shrunk, since there are hardly more images than features (Ledoit and Wolf 2004,
    doi:10.1016/S0047-259X(03)00096-4); minus the distance of `OodDetector`, which sees ten numbers of the image alone.
    train: features, float [n, any]; labels [n]; pixels: uint8 [n, side, side, 3].
    """
    probe = make_probe().fit(train, labels)
    scale = probe[0].transform
    means = np.stack([scale(train[labels == code]).mean(axis=0) for code in probe.classes_])
    residuals = scale(train) - means[np.searchsorted(probe.classes_, labels)]
    whiten = np.linalg.cholesky(LedoitWolf(assume_centered=True).fit(residuals).precision_)
    statistics = OodDetector.fit(pixels, pixels)

    def from_nearest(features: np.ndarray, _: np.ndarray) -> np.ndarray:
        return -cdist(scale(features) @ whiten, means @ whiten).min(axis=1)

    return {
        "maximum probability": lambda features, _: probe.predict_proba(features).max(axis=1),
        "Mahalanobis, features": from_nearest,
        "image statistics": lambda _, pixels: -statistics.scores(pixels)["distance"].to_numpy(),
    }


def detection(
    usual: np.ndarray, odd: np.ndarray, lesions: Sequence[np.ndarray] | None = None, draws: int = 1000
) -> pd.DataFrame:
    """How well a score tells usual images from odd ones, if it is higher for usual ones: first as measured, then in
    `draws` bootstrapped test sets; the columns AUROC and FPR95 [1 + draws].

    AUROC: the probability that a usual image has the higher score of two. FPR95, the false-positive rate at 95 % TPR:
    the share of odd images that are accepted by the threshold that accepts 95 % of the usual ones.
    usual, odd: float [any] each; lesions: of the usual and of the odd images, to be drawn with replacement (usual and
    odd ones separately, so no draw lacks either), None: each image is drawn by itself.
    """
    usual, odd, times = np.asarray(usual), np.asarray(odd), []
    for seed, of in enumerate(lesions or (np.arange(len(usual)), np.arange(len(odd)))):
        drawn = intervals.draw_lesions(of, None, draws, seed)[:, pd.factorize(of)[0]]
        times.append(np.vstack([np.ones(len(of), int), drawn]))
    all_usual, all_odd = (counts.sum(axis=1) for counts in times)
    wins = (usual[:, None] > odd) + 0.5 * (usual[:, None] == odd)
    order = np.argsort(-usual)
    reached = times[0][:, order].cumsum(axis=1) / all_usual[:, None] >= 0.95
    accepted = odd >= usual[order][reached.argmax(axis=1)][:, None]
    auroc = (times[0] @ wins * times[1]).sum(axis=1) / (all_usual * all_odd)
    return pd.DataFrame({"AUROC": auroc, "FPR95": (times[1] * accepted).sum(axis=1) / all_odd})
