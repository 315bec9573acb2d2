"""The exercises of lesson 07, segmentation."""

import numpy as np

from isic_course.exercises.answers import PERCENT, exercise, otherwise, too_large, too_small, wrong
from isic_utils.metrics import boundary_scores, jaccard


def jaccard_at_a_lower_threshold(masks: tuple[np.ndarray, np.ndarray]) -> float:
    """Exercise 07.4: the mean Jaccard index with the threshold 0.3. masks: the true ones and the probabilities."""
    true, probabilities = masks
    return jaccard(true, probabilities > 0.3).mean()


def hd95(masks: tuple[np.ndarray, np.ndarray]) -> float:
    """Exercise 07.8. masks: the true one and the predicted one, boolean [height, width]."""
    return boundary_scores(masks[0][np.newaxis], masks[1][np.newaxis])["hd95"][0]


EXERCISES = {
    "07.1": exercise(
        (280 / 420, 560 / 700),
        wrong((560 / 700, 280 / 420), "the other way round: the Jaccard index comes first."),
        wrong((280 / 700, 560 / 700), "the pixels of both masks have been counted twice in the union."),
        wrong((280 / 420, 280 / 700), "Dice counts the pixels in both twice: 2 |A ∩ B| / (|A| + |B|)."),
        praise="Dice is always the larger of the two, unless both are 0 or 1.",
    ),
    "07.2": exercise(
        1.3 / 1.65,
        PERCENT,
        wrong(0.65 / 1.35, "that is the Jaccard index for Dice 0.65."),
        wrong(0.65, "the two are equal only at 0 and at 1.", 0.0005),
        praise="a challenge that counted Dice below 0.79 as 0 would fail the same images.",
    ),
    "07.3": exercise(
        1 / np.sqrt(0.786) - 1,
        PERCENT,
        wrong(1 / 0.786 - 1, "that is the growth of the area; the radius is the root of the area.", 0.003),
        wrong(1 - np.sqrt(0.786), "that is how far *in* the border may be drawn.", 0.002),
        wrong(1 / np.sqrt(0.786), "by how much is it larger than the true radius?", 0.003),
        tolerance=0.004,
        praise="two experts differ about as much as two borders of which one lies an eighth of the radius further out.",
    ),
    "07.4": exercise(
        jaccard_at_a_lower_threshold,
        PERCENT,
        otherwise("that is another value. Compare `> 0.3` with the true mask image by image, and take the mean."),
        tolerance=0.002,
        praise="the threshold is a choice, and the test set must not make it (07.5).",
    ),
    "07.5": exercise(
        "validation",
        wrong("test", "then the test set has taken part in a choice, and is a test no longer."),
        wrong("train", "the network is overconfident there, because it has learnt these very masks."),
        praise="every choice is made on the validation set, and the test set is opened once.",
    ),
    "07.6": exercise(
        280 / 330,
        PERCENT,
        wrong(280 / 370, "the other way round: 120 pixels of skin were taken for lesion, 20 of lesion were missed."),
        wrong(280 / 420, "that is the Jaccard index: α and β are both 1."),
        wrong(280 / 350, "that is the Dice coefficient: α and β are both 1/2."),
        praise="this mask is too large rather than too small, an error that β > α penalises less.",
    ),
    "07.7": exercise(
        (72, 30),
        wrong((30, 72), "the other way round: the lighter skin comes first."),
        wrong((108, 45), "that is how bright the lesion is: 60 % of the grey level of the skin."),
        praise="the lesion is the same, and on dark skin its contrast in grey levels is less than half as large.",
    ),
    "07.8": exercise(
        hd95,
        too_large("too large: take the 95th percentile of each direction, not the maximum."),
        too_small("too small: measure from border pixels to border pixels, and take the larger of both directions."),
        praise="a distance transform finds the same distances without comparing all pairs.",
    ),
}
