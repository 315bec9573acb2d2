"""Whether a model's confidence equals its accuracy, how to correct it, and what a threshold on probabilities costs.

Probabilities are float arrays [n, classes] whose rows sum to 1; `true` is an integer array [n], the index of the true
class.
"""

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from sklearn.metrics import roc_curve

from isic_utils.archive import MALIGNANT

TEMPERATURES = (0.05, 20.0)  # the range that `fit_temperature` searches
SMALLEST = 1e-12  # replaces a probability that was rounded to 0, whose logarithm is infinite


def apply_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities [n, classes] whose logits are divided by a temperature: above 1 less confident, below 1 more.

    The logarithm of a probability is its logit up to a constant, which the softmax removes, so the logits themselves
    are not needed. The order of the classes stays, and with it every prediction.
    """
    logits = np.log(np.clip(probabilities, SMALLEST, None)) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def fit_temperature(probabilities: np.ndarray, true: np.ndarray) -> float:
    """The temperature with the smallest `negative_log_likelihood`: temperature scaling, Guo et al. 2017,
    arXiv:1706.04599.

    Fit it on the validation set: on its training images a model is right too often.
    """

    def loss(logarithm: float) -> float:
        return negative_log_likelihood(apply_temperature(probabilities, np.exp(logarithm)), true)

    return float(np.exp(minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded").x))


def negative_log_likelihood(probabilities: np.ndarray, true: np.ndarray) -> float:
    """The mean over the images of -ln of the true class's probability."""
    return float(-np.log(np.clip(probabilities[np.arange(len(true)), true], SMALLEST, None)).mean())


def reliability(probabilities: np.ndarray, true: np.ndarray, bins: int = 15) -> pd.DataFrame:
    """The accuracy of predictions of similar confidence, which is a prediction's largest probability.

    The bins have equal width from 0 to 1, each with its upper end. A row per bin that has images, indexed by the middle
    of the bin. Columns: images, confidence (its mean), accuracy (the share that is right).
    """
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == true
    number = np.ceil(confidence * bins).clip(1, bins)  # rounding may lift a probability above 1
    table = pd.DataFrame({"bin": (number - 0.5) / bins, "confidence": confidence, "accuracy": right})
    table = table.groupby("bin").agg(
        images=("accuracy", "size"), confidence=("confidence", "mean"), accuracy=("accuracy", "mean")
    )
    return table.rename_axis("middle of the bin")


def expected_calibration_error(probabilities: np.ndarray, true: np.ndarray, bins: int = 15) -> float:
    """ECE, from 0 to 1: the distance between confidence and accuracy in `reliability`, averaged over all images.

    Naeini et al. 2015, doi:10.1609/aaai.v29i1.9602; with 15 bins as in Guo et al. 2017.
    """
    table = reliability(probabilities, true, bins)
    return float(np.average((table["confidence"] - table["accuracy"]).abs(), weights=table["images"]))


def is_malignant(code: str) -> bool:
    """Whether a class is malignant or the precursor AK or, as the merged class of the balanced protocol, holds one."""
    return any(part in MALIGNANT for part in code.split("+"))


def malignant_probability(probabilities: np.ndarray, classes: list[str]) -> np.ndarray:
    """The sum of the probabilities of all malignant classes: float [n]. classes: the codes of the columns."""
    return probabilities[:, [is_malignant(code) for code in classes]].sum(axis=1)


def threshold_for(sensitivity: float, scores: np.ndarray, positive: np.ndarray) -> float:
    """The highest threshold at which ``scores >= threshold`` finds at least this share of the positive images.

    scores: float [n]; positive: boolean [n]. Raises ValueError if no image is positive, or the sensitivity is not
    above 0 and at most 1.
    """
    found = np.sort(scores[positive])[::-1]
    if not len(found) or not 0 < sensitivity <= 1:
        raise ValueError(f"No threshold finds {sensitivity} of {len(found)} positive images.")
    return float(found[int(np.ceil(sensitivity * len(found) - 1e-9)) - 1])


def operating_points(scores: np.ndarray, positive: np.ndarray) -> pd.DataFrame:
    """What each possible threshold would do, indexed by threshold, highest first: the points of the ROC curve.

    scores: float [n]; positive: boolean [n]. Columns: sensitivity and false_positive_rate, the shares of the positive
    and of the other images at or above the threshold, and flagged, that share of all images. Raises ValueError if no
    image or every image is positive.
    """
    prevalence = np.mean(positive)
    if not 0 < prevalence < 1:
        raise ValueError(f"{np.sum(positive)} of {len(positive)} images are positive: a ROC curve needs both kinds.")
    false_positive_rate, sensitivity, thresholds = roc_curve(positive, scores, drop_intermediate=False)
    flagged = prevalence * sensitivity + (1 - prevalence) * false_positive_rate
    columns = {"sensitivity": sensitivity, "false_positive_rate": false_positive_rate, "flagged": flagged}
    return pd.DataFrame(columns, pd.Index(thresholds, name="threshold")).iloc[1:]  # the first: above every score


def coverage_and_risk(confidence: np.ndarray, right: np.ndarray) -> pd.DataFrame:
    """Selective prediction: the error rate if the model predicted only the images of highest confidence. El-Yaniv and
    Wiener 2010, jmlr.org/papers/v11/el-yaniv10a.html.

    confidence: float [n]; right: boolean [n]. A row per number of predicted images: coverage, their share of all, and
    risk, the share of them that is wrong.
    """
    wrong = ~right[np.argsort(-confidence, kind="stable")]
    predicted = np.arange(1, len(wrong) + 1)
    return pd.DataFrame({"coverage": predicted / len(wrong), "risk": np.cumsum(wrong) / predicted})
