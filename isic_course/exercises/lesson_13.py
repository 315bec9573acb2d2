"""The exercises of lesson 13, describing lesions."""

import math

import pandas as pd

from isic_course.exercises.answers import COMPLEMENT, PERCENT, UPSIDE_DOWN, Mistake, exercise, too_large, wrong


def balanced_accuracy_of_class_words(facts: tuple[pd.DataFrame, pd.DataFrame]) -> float:
    """Exercise 13.4: the BMA of the class that the sentences name. facts: the true ones and the predicted ones."""
    true, predicted = facts
    return float((true["class"] == predicted["class"]).groupby(true["class"]).mean().mean())


EXERCISES = {
    "13.1": exercise(
        -math.log(0.5 * 0.8 * 0.25 * 1.0) / 4,
        wrong(lambda right: 4 * right, "that is the sum; divide it by the four words."),
        wrong(0.1, "that is the probability of the sentence; the loss is minus the mean of the logarithms."),
        wrong(lambda right: -right, "the loss is minus the logarithm."),
        wrong(
            lambda right: right / math.log(10),
            "that is the logarithm to base 10; the loss takes the natural one, np.log.",
        ),
        wrong(lambda right: 4 * right / 3, "the full stop is a word too, even if it is certain: divide by four."),
        praise="the decoder is as uncertain as if it chose among e^0.58, about 1.8, equally probable words each time.",
    ),
    "13.2": exercise(
        0.36,
        PERCENT,
        COMPLEMENT,
        wrong(0.24, "that is what greedy search finds. Follow the less probable first word as well.", 0.0005),
        wrong(0.9, "that is the second word alone; multiply by the probability of the first.", 0.0005),
        praise="greedy search finds only 0.24: after a probable first word, no continuation need be probable.",
    ),
    "13.3": exercise(
        5 / 8,
        PERCENT,
        UPSIDE_DOWN,
        wrong(1, "a word counts at most as often as the true sentence has it: two a's, one nevus, one of.", 0.0005),
        wrong(5 / 9, "divide by the predicted words, eight; the true sentence has nine."),
        COMPLEMENT,
        praise="five eighths for a sentence that no one would call a sentence: BLEU-1 does not look at the order.",
    ),
    "13.4": exercise(
        balanced_accuracy_of_class_words,
        PERCENT,
        wrong(1 / 8, "that is the BMA of naming one class always; take the mean of the eight recalls.", 0),
        too_large("that is too high. Is it the accuracy? Take the recall of each class first, then their mean."),
        praise="inside the fluent sentence is a classifier, and it should be evaluated as one.",
    ),
    "13.5": exercise(
        "class",
        wrong(
            "site",
            "then its accuracy would fall with another image of the same class, since that shows another lesion.",
        ),
        Mistake(
            lambda answer, right: answer.strip().lower() in ("image", "skin"),
            "everything in the image was exchanged but one thing. Which one?",
        ),
        praise="the site was guessed from the class, and yet it reads like an observation.",
    ),
    "13.6": exercise(
        [3 / 6, 2 / 3],
        wrong([2 / 3, 3 / 6], "the other way round: structures first, then sentences."),
        wrong([3 / 4, 2 / 3], "divide by the structures that are mentioned, six, not by those that are there."),
        wrong([3 / 6, 3 / 3], "a sentence counts once, however many of its structures are not there."),
        praise="half of the structures are hallucinated, and two of the three sentences contain one of them.",
    ),
}
