"""The exercises of lesson 08, methods for imbalanced classes."""

from functools import partial

import pandas as pd

from isic_course import linear_probe
from isic_course.exercises.answers import PERCENT, UPSIDE_DOWN, exercise, otherwise, wrong
from isic_utils.metrics import scores
from isic_utils.training.imbalance import Method, weighted_sampler


def half_balanced(comparison: tuple) -> float:
    """Exercise 08.6: the validation BMA of linear probes for which images are drawn with the square root of 1 / n_c.
    comparison: the table, the features and the splits."""
    method = {"half": Method(sampler=partial(weighted_sampler, power=0.5))}
    found = linear_probe.compare(*comparison, method)
    return scores(found[found["split"] == "validation"])["bma"]


def overrated(predictions: pd.DataFrame) -> float:
    """Exercise 08.5: the mean probability of DF over its share, for the weighted sampler on the validation sets."""
    some = predictions[(predictions["method"] == "weighted sampler") & (predictions["split"] == "validation")]
    return float(some["DF"].mean() / (some["label"] == "DF").mean())


EXERCISES = {
    "08.1": exercise(
        1000 / 3 / 50,
        wrong(20, "that is 1 000 / 50; three classes share the total weight.", 0.05),
        wrong(1 / 50, "that is 1 / n, which still has to be scaled.", 0.001),
        wrong(3 / 50 / (1 / 800 + 1 / 150 + 1 / 50), "make the mean over the images 1, not over the classes.", 0.02),
        wrong(16, "that is how much more it weighs than an image of the largest class.", 0.05),
        tolerance=0.05,
        praise="together its fifty images weigh 333, as much as the 800 images of the largest class.",
    ),
    "08.2": exercise(
        (0.20 / 0.02) / (0.80 / 0.98 + 0.20 / 0.02),
        PERCENT,
        wrong(10, "now let both probabilities add up to 1 again.", 0.05),
        wrong(lambda right: 1 - right, "that is NV's probability."),
        wrong(0.004 / 0.788, "divide by the priors: multiplying favours the frequent class even more.", 0.002),
        praise="a probability of 0.20 is high for a class with a prior of 0.02: the image speaks for it.",
    ),
    "08.3": exercise(
        (1 - 0.999**5000) / (1 - 0.999),
        wrong(1 - 0.999**5000, "divide by 1 - β, too.", 0.001),
        wrong(1000, "that is the limit for ever more images.", 0.5),
        tolerance=0.5,
        praise="five thousand images count as 993, and no class counts as more than 1 000.",
    ),
    "08.4": exercise(
        0.60 * 0.02 / (0.60 * 0.02 + 0.40 * 0.98),
        PERCENT,
        wrong(0.012, "now let both probabilities add up to 1 again.", 0.0005),
        wrong(lambda right: 1 - right, "that is NV's probability."),
        wrong(0.987, "multiply by the priors: logit adjustment has divided by them already.", 0.002),
        tolerance=0.001,
        praise="three in a hundred, where the network says sixty.",
    ),
    "08.5": exercise(
        overrated,
        UPSIDE_DOWN,
        tolerance=0.01,
        praise="a user who reads these probabilities as risks is misled by this factor, whatever the ECE says.",
    ),
    "08.6": exercise(
        half_balanced,
        PERCENT,
        otherwise("that is another value. Is it `power=0.5`, and the BMA of all validation predictions together?"),
        tolerance=0.002,
        praise="any method that you can write joins the comparison with one line.",
    ),
}
