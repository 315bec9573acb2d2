"""The exercises of lesson 08, methods for imbalanced classes."""

from functools import partial

from isic_course import linear_probe
from isic_course.exercises.answers import PERCENT, Exercise, Mistake, close
from isic_utils.training import losses
from isic_utils.training.imbalance import Method


def square_root(comparison: tuple) -> float:
    """Exercise 08.4: the mean validation BMA of linear probes weighted by the square root of 1 / n_c. comparison:
    the table, the features and the seeds."""
    square_root = {"square root": Method(loss=partial(losses.class_weighted, power=0.5))}
    return float(linear_probe.scores(linear_probe.compare(*comparison, square_root), "validation")["BMA"].mean())


def is_pair(answer: object, *values: float) -> bool:
    """Whether an answer is these numbers, to half an image."""
    return len(answer) == len(values) and all(close(one, value, 0.5) for one, value in zip(answer, values, strict=True))


EFFECTIVE = ((1 - 0.999**5000) / (1 - 0.999), 1 / (1 - 0.999))

EXERCISES = {
    "08.1": Exercise(
        right=1000 / 3 / 50,
        tolerance=0.02,
        mistakes=(
            Mistake(
                lambda answer, right: close(answer, 20, 0.05),
                "that is 1 000 / 50; three classes share the total weight.",
            ),
            Mistake(lambda answer, right: close(answer, 1 / 50, 0.001), "that is 1 / n, which still has to be scaled."),
            Mistake(
                lambda answer, right: close(answer, 3 / 50 / (1 / 800 + 1 / 150 + 1 / 50), 0.02),
                "with these weights the mean over the classes is 1; make the mean over the images 1.",
            ),
            Mistake(
                lambda answer, right: close(answer, 16, 0.05),
                "that is how much more it weighs than an image of the largest class.",
            ),
        ),
        praise="together its fifty images weigh 333, as much as the 800 images of the largest class.",
    ),
    "08.2": Exercise(
        right=(0.20 / 0.02) / (0.80 / 0.98 + 0.20 / 0.02),
        mistakes=(
            PERCENT,
            Mistake(lambda answer, right: close(answer, 10, 0.05), "now let both probabilities add up to 1 again."),
            Mistake(lambda answer, right: close(answer, 1 - right, 0.005), "that is NV's probability."),
            Mistake(
                lambda answer, right: close(answer, 0.20 * 0.02 / (0.80 * 0.98 + 0.20 * 0.02), 0.002),
                "divide by the priors: multiplying favours the frequent class even more.",
            ),
        ),
        praise="a probability of 0.20 is high for a class with a prior of 0.02: the image speaks for it.",
    ),
    "08.3": Exercise(
        right=EFFECTIVE,
        tolerance=0.5,
        mistakes=(
            Mistake(lambda answer, right: is_pair(answer, *right[::-1]), "the other way round."),
            Mistake(
                lambda answer, right: len(answer) == 2 and close(list(answer)[0], 1 - 0.999**5000, 0.001),
                "the first number has still to be divided by 1 - β.",
            ),
        ),
        praise="with this β, five thousand images say no more than a thousand different images.",
    ),
    "08.4": Exercise(
        right=square_root,
        tolerance=0.002,
        mistakes=(
            PERCENT,
            Mistake(
                lambda answer, right: 0 <= answer <= 1,
                "that is another value. Is it `power=0.5`, and the mean BMA over the seeds on the validation set?",
            ),
        ),
        praise="any loss that you can write joins the comparison with one line.",
    ),
}
