"""Whether a model's confidence equals its accuracy, how to correct it, and what a threshold on probabilities costs.

Probabilities are float arrays [n, classes] whose rows sum to 1; `true` is an integer array [n], the index of the true
class.
"""

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from sklearn.metrics import roc_curve

from isic_utils.archive import MALIGNANT
from isic_utils.metrics.intervals import draw_lesions, numbered, percentile_interval

TEMPERATURES = (0.05, 20.0)  # the range that `fit_temperature` searches
SMALLEST = 1e-12  # replaces a probability that was rounded to 0, whose logarithm is infinite


def apply_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities [n, classes] whose logits are divided by a temperature: above 1 less confident, below 1 more.

    The logarithm of a probability is its logit up to a constant, which the softmax removes, so the logits themselves
    are not needed. The order of the classes stays, and with it every prediction.
    """
    return softmax(np.log(np.clip(probabilities, SMALLEST, None)) / temperature, axis=1)


def fit_temperature(probabilities: np.ndarray, true: np.ndarray) -> float:
    """The temperature with the smallest `negative_log_likelihood`: temperature scaling, Guo et al. 2017,
    arXiv:1706.04599.

    Fit it on the validation set: on its training images a model is right too often.
    """

    def loss(logarithm: float) -> float:
        return negative_log_likelihood(apply_temperature(probabilities, np.exp(logarithm)), true)

    return float(np.exp(minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded").x))


def temperature_interval(
    probabilities: np.ndarray, true: np.ndarray, lesions: np.ndarray, draws: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """The 95 % interval of `fit_temperature` over lesions: the cluster bootstrap of the validation set (lesson 06).

    lesions: the lesion of each image [n]. Where the interval includes 1, the images do not show that a temperature is
    needed: leave the probabilities as they are. Raises ValueError if an image has no lesion.
    """
    lesion, images = numbered(np.asarray(lesions))[0], np.arange(len(lesions))
    drawn = (np.repeat(images, times[lesion]) for times in draw_lesions(lesions, draws=draws, seed=seed))
    return percentile_interval([fit_temperature(probabilities[rows], true[rows]) for rows in drawn])


def negative_log_likelihood(probabilities: np.ndarray, true: np.ndarray) -> float:
    """The mean over the images of -ln of the true class's probability."""
    return float(-np.log(np.clip(probabilities[np.arange(len(true)), true], SMALLEST, None)).mean())


def reliability(probabilities: np.ndarray, true: np.ndarray, bins: int = 15) -> pd.DataFrame:
    """The accuracy of predictions of similar confidence, which is a prediction's largest probability.

    The bins have equal width from 0 to 1, each with its upper end. A row per bin that has images, indexed by the middle
    of the bin. Columns: images, confidence (its mean), accuracy (the share that is right).
    """
    return reliability_of(probabilities.max(axis=1), probabilities.argmax(axis=1) == true, bins)


def reliability_of(probability: np.ndarray, happened: np.ndarray, bins: int = 15) -> pd.DataFrame:
    """`reliability` of any event, such as a single class, or malignant: how often it happens at similar probability.

    probability: float [n]; happened: boolean [n]. Columns as in `reliability`; accuracy is the share that happened.
    """
    number = np.ceil(probability * bins).clip(1, bins).astype(int)  # rounding may lift a probability above 1
    images = np.bincount(number)
    filled = np.flatnonzero(images)
    confidence, accuracy = (np.bincount(number, of)[filled] / images[filled] for of in (probability, happened))
    middle = pd.Index((filled - 0.5) / bins, name="middle of the bin")
    return pd.DataFrame({"images": images[filled], "confidence": confidence, "accuracy": accuracy}, middle)


def expected_calibration_error(probabilities: np.ndarray, true: np.ndarray, bins: int = 15) -> float:
    """ECE, from 0 to 1: the distance between confidence and accuracy in `reliability`, averaged over all images.

    Naeini et al. 2015, doi:10.1609/aaai.v29i1.9602; with 15 bins as in Guo et al. 2017.
    """
    return mean_gap(reliability(probabilities, true, bins))


def mean_gap(table: pd.DataFrame) -> float:
    """The distance between confidence and accuracy in a table of `reliability_of`, averaged over all images."""
    return float(np.average((table["confidence"] - table["accuracy"]).abs(), weights=table["images"]))


def correct_prior(probabilities: np.ndarray, old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Probabilities [n, classes] where the classes have other priors: p_c · new_c / old_c, scaled to sum to 1 again.

    That is Bayes' rule if images *within* a class stay the same and only the shares of the classes change (label
    shift): Saerens et al. 2002, doi:10.1162/089976602753284446. old, new: the priors of the classes [classes], scaled
    in any way; a class whose old prior is 0 gets 0.
    """
    old, new = np.asarray(old, dtype=float), np.asarray(new, dtype=float)
    corrected = probabilities * np.divide(new, old, out=np.zeros_like(old), where=old > 0)
    return corrected / corrected.sum(axis=1, keepdims=True)


def is_malignant(code: str) -> bool:
    """Whether a class is malignant or the precursor AK or, as AKIEC and the merged class of thesis §5.3, holds one."""
    return code == "AKIEC" or any(part in MALIGNANT for part in code.split("+"))


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


def area_under_risk_coverage(confidence: np.ndarray, right: np.ndarray) -> float:
    """AURC: the mean of the risk over all coverages of `coverage_and_risk`, from 0 to 1. Geifman et al. 2018,
    arXiv:1805.08206. In a random order it is the error rate on average; the best order, ``confidence=right``, gives
    the lowest value."""
    return float(coverage_and_risk(np.asarray(confidence, dtype=float), right)["risk"].mean())


def net_benefit(
    scores: np.ndarray, positive: np.ndarray, thresholds: np.ndarray, prevalence: float | None = None
) -> np.ndarray:
    """Net benefit of an alarm at or above each threshold t: true positives per patient, less false ones times
    t / (1 - t). Vickers and Elkin 2006, doi:10.1177/0272989X06295361.

    scores: probabilities of being positive, float [n]; positive: boolean [n]; thresholds: float [m], from 0 to below 1;
    prevalence: of the positive where the alarm is used, for which the scores must hold (`correct_prior`); None: as
    among these images. Returns float [m]. Scores of 1 for all give the net benefit of treating everybody.
    """
    thresholds = np.asarray(thresholds, dtype=float)
    flagged = scores[:, np.newaxis] >= thresholds
    sensitivity, false_positive_rate = flagged[positive].mean(axis=0), flagged[~positive].mean(axis=0)
    prevalence = positive.mean() if prevalence is None else prevalence
    return prevalence * sensitivity - (1 - prevalence) * false_positive_rate * thresholds / (1 - thresholds)


def conformal_threshold(probabilities: np.ndarray, true: np.ndarray, alpha: float) -> float:
    """The probability from which on a class belongs to the prediction set, so that a new image's set contains its true
    class with a probability of at least 1 - alpha. Split conformal prediction, with the score 1 - p_true: Vovk et al.
    2005, Algorithmic Learning in a Random World; Angelopoulos and Bates 2021, arXiv:2107.07511.

    probabilities, true: of images that the model was not trained on, exchangeable with the new one: one per lesion.
    alpha: above 0, below 1. It is the k-th largest p_true of the n images, k = ceil((n + 1) · (1 - alpha)), and 0,
    which puts every class into every set, if n is too small for that: k > n.
    """
    of_true = np.sort(probabilities[np.arange(len(true)), true])[::-1]
    rank = int(np.ceil((len(true) + 1) * (1 - alpha) - 1e-9))
    return float(of_true[rank - 1]) if rank <= len(true) else 0.0
