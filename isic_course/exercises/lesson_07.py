"""The exercises of lesson 07, segmentation."""

import numpy as np

from isic_course.exercises.answers import PERCENT, Exercise, Mistake, close, is_number
from isic_utils.metrics import jaccard


def jaccard_at_a_lower_threshold(masks: tuple[np.ndarray, np.ndarray]) -> float:
    """Exercise 07.4: the mean Jaccard index with the threshold 0.3. masks: the true ones and the probabilities."""
    true, probabilities = masks
    return jaccard(true, probabilities > 0.3).mean()


def is_at(place: int, answer: object, value: float) -> bool:
    """Whether an answer is two numbers, of which the one at this place is about this value."""
    return len(answer) == 2 and close(list(answer)[place], value, 0.005)


EXERCISES = {
    "07.1": Exercise(
        right=(280 / 420, 560 / 700),
        mistakes=(
            Mistake(
                lambda answer, right: is_at(0, answer, right[1]) and is_at(1, answer, right[0]),
                "the other way round: the Jaccard index comes first.",
            ),
            Mistake(
                lambda answer, right: is_at(0, answer, 280 / 700),
                "the pixels of both masks have been counted twice in the union.",
            ),
            Mistake(
                lambda answer, right: is_at(1, answer, 280 / 700),
                "Dice counts the pixels in both twice: 2 |A ∩ B| / (|A| + |B|).",
            ),
        ),
        praise="Dice is always the larger of the two, unless both are 0 or 1.",
    ),
    "07.2": Exercise(
        right=1.3 / 1.65,
        mistakes=(
            PERCENT,
            Mistake(
                lambda answer, right: close(answer, 0.65 / 1.35, 0.005), "that is the Jaccard index for Dice 0.65."
            ),
            Mistake(lambda answer, right: close(answer, 0.65, 0.0005), "the two are equal only at 0 and at 1."),
        ),
        praise="a challenge that counted Dice below 0.79 as 0 would fail the same images.",
    ),
    "07.3": Exercise(
        right=1 / np.sqrt(0.786) - 1,
        tolerance=0.002,
        mistakes=(
            PERCENT,
            Mistake(
                lambda answer, right: close(answer, 1 / 0.786 - 1, 0.003),
                "that is the growth of the area; the radius is the root of the area.",
            ),
            Mistake(
                lambda answer, right: close(answer, 1 - np.sqrt(0.786), 0.002),
                "that is how far *in* the border may be drawn.",
            ),
            Mistake(
                lambda answer, right: close(answer, right + 1, 0.003), "by how much is it larger than the true radius?"
            ),
        ),
        praise="two experts differ about as much as two borders of which one lies an eighth of the radius further out.",
    ),
    "07.4": Exercise(
        right=jaccard_at_a_lower_threshold,
        tolerance=0.002,
        mistakes=(
            PERCENT,
            Mistake(
                lambda answer, right: is_number(answer) and 0 <= answer <= 1,
                "that is another value. Compare the mask `> 0.3` with the true one image by image, and average the "
                "indices.",
            ),
        ),
        praise="the threshold is a choice, and the test set must not make it (07.5).",
    ),
    "07.5": Exercise(
        right="validation",
        mistakes=(
            Mistake(
                lambda answer, right: answer.strip().lower() == "test",
                "then the test set has helped to choose, and is a test no longer.",
            ),
            Mistake(
                lambda answer, right: answer.strip().lower() == "train",
                "the network is overconfident there, because it has learnt these very masks.",
            ),
        ),
        praise="every choice is made on the validation set, and the test set is opened once.",
    ),
}
