"""Whether a network is as sure as it is right, how to make it so, and what a limit on its probabilities costs.

Probabilities are float arrays [n, classes] whose rows add up to 1, the truth integer arrays [n].
"""

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar

from isic_utils.datasets.tables import MALIGNANT

TEMPERATURES = (0.05, 20.0)  # between which the temperature is looked for
LEAST = 1e-12  # what takes the place of a probability that was rounded to 0, which has no logarithm


def soften(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities [n, classes] whose logits are divided by a temperature: above 1 less sure, below 1 surer.

    The logarithm of a probability is its logit up to a constant, which the softmax takes out again, so no logits are
    needed. The order of the classes stays, and with it every answer.
    """
    logits = np.log(np.clip(probabilities, LEAST, None)) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def fit_temperature(probabilities: np.ndarray, true: np.ndarray) -> float:
    """The temperature after which the truth is likeliest: temperature scaling, Guo et al. 2017, arXiv:1706.04599.

    To be fitted on validation: on its training pictures a network is right too often.
    """

    def loss(logarithm: float) -> float:
        return cross_entropy(soften(probabilities, np.exp(logarithm)), true)

    return float(np.exp(minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded").x))


def cross_entropy(probabilities: np.ndarray, true: np.ndarray) -> float:
    """The mean over the pictures of -ln of the probability that the true class was given."""
    return float(-np.log(np.clip(probabilities[np.arange(len(true)), true], LEAST, None)).mean())


def reliability(probabilities: np.ndarray, true: np.ndarray, bins: int = 15) -> pd.DataFrame:
    """How often the network is right where it is how sure: a row per bin of its largest probability that has pictures.

    The bins are of equal width from 0 to 1, each with its upper end. Columns: pictures, confidence (the mean of the
    largest probability), accuracy (the share that is right).
    """
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == true
    number = np.ceil(confidence * bins).astype(int)
    table = pd.DataFrame({"bin": number, "confidence": confidence, "accuracy": right})
    table = table.groupby("bin").agg(pictures=("accuracy", "size"), confidence=("confidence", "mean"),
                                     accuracy=("accuracy", "mean"))  # fmt: skip
    return table.set_index(pd.Index((table.index - 0.5) / bins, name="middle of the bin"))


def expected_calibration_error(probabilities: np.ndarray, true: np.ndarray, bins: int = 15) -> float:
    """ECE, from 0 to 1: how far confidence and accuracy of `reliability` differ, in the mean over all pictures.

    Naeini et al. 2015, doi:10.1609/aaai.v29i1.9602; with 15 bins as in Guo et al. 2017.
    """
    table = reliability(probabilities, true, bins)
    return float(np.average((table["confidence"] - table["accuracy"]).abs(), weights=table["pictures"]))


def is_malignant(code: str) -> bool:
    """Whether a class is malignant or, as the merged class of the balanced protocol, holds one that is."""
    return any(part in MALIGNANT for part in code.split("+"))


def malignant_probability(probabilities: np.ndarray, classes: list[str]) -> np.ndarray:
    """The probabilities of all malignant classes, added up: float [n]. classes: the codes of the columns."""
    return probabilities[:, [is_malignant(code) for code in classes]].sum(axis=1)


def unknown_score(probabilities: np.ndarray, refused: np.ndarray | None = None) -> np.ndarray:
    """How likely a picture shows something else than the classes, float [n] from 0 to 1: 1 minus the largest
    probability, and 1 where the picture is refused.

    probabilities: calibrated ones; refused: boolean [n], as `scope.refused` returns it. Set beside the
    probabilities as those of a ninth class, it wins where no class has more than one half. Hendrycks and Gimpel 2017,
    arXiv:1610.02136.
    """
    score = 1 - probabilities.max(axis=1)
    return score if refused is None else np.where(refused, 1.0, score)


def threshold_for(sensitivity: float, scores: np.ndarray, positive: np.ndarray) -> float:
    """The highest threshold at which ``scores >= threshold`` finds at least this share of the positive pictures.

    scores: float [n]; positive: boolean [n]. Raises ValueError if no picture is positive, or the sensitivity is not
    above 0 and at most 1.
    """
    found = np.sort(scores[positive])[::-1]
    if not len(found) or not 0 < sensitivity <= 1:
        raise ValueError(f"No threshold finds {sensitivity} of {len(found)} positive pictures.")
    return float(found[int(np.ceil(sensitivity * len(found) - 1e-9)) - 1])


def alarms(scores: np.ndarray, positive: np.ndarray) -> pd.DataFrame:
    """What each possible threshold would do, indexed by it, highest first: sensitivity, the share of the positive
    pictures at or above it, and alarms, the share of all pictures."""
    thresholds = np.unique(scores)[::-1]
    above = scores[np.newaxis] >= thresholds[:, np.newaxis]
    table = {"sensitivity": above[:, positive].mean(axis=1), "alarms": above.mean(axis=1)}
    return pd.DataFrame(table, index=pd.Index(thresholds, name="threshold"))


def coverage_and_risk(confidence: np.ndarray, right: np.ndarray) -> pd.DataFrame:
    """What the network's mistakes would be if it answered only the pictures it is surest of: El-Yaniv and Wiener 2010,
    jmlr.org/papers/v11/el-yaniv10a.html.

    confidence: float [n]; right: boolean [n]. A row per number of pictures answered: coverage, their share, and risk,
    the share of them that is wrong.
    """
    wrong = ~right[np.argsort(-confidence, kind="stable")]
    answered = np.arange(1, len(wrong) + 1)
    return pd.DataFrame({"coverage": answered / len(wrong), "risk": np.cumsum(wrong) / answered})
