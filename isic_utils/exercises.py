"""Answers to the exercises, checked at once: `check("04.1", answer)` says right, not yet, or what kind of mistake it
is.

A stub, ``answer = ...``, runs and says that it waits. Where the right answer depends on the data or on a run, the
notebook hands it over, ``check("04.2", answer, expected)``, or hands over what it is worked out from, here, so that
the stub does not give it away: ``check("01.1", answer, table)``.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from isic_utils import splits
from isic_utils.runs import Run
from isic_utils.tables import MALIGNANT


@dataclass(frozen=True)
class Mistake:
    """A typical wrong answer: whether an answer is of this kind, given what is right, and what to say then."""

    is_this: Callable[[object, object], bool]
    say: str


@dataclass(frozen=True)
class Exercise:
    """right: the answer; or a function that works it out from what the notebook hands over; or None where that is the
    answer itself; tolerance: how far a number may be off;
    mistakes: typical wrong answers, the first that fits is told; praise: what a right answer shows."""

    right: object = None
    tolerance: float = 0.005
    mistakes: tuple[Mistake, ...] = ()
    praise: str = ""


PERCENT = Mistake(
    lambda answer, right: close(answer, 100 * right, 0.5), "that is in per cent; the answer is a share from 0 to 1."
)
COMPLEMENT = Mistake(
    lambda answer, right: close(answer, 1 - right, 0.005), "that is the share of the others: 1 minus the answer."
)
UPSIDE_DOWN = Mistake(lambda answer, right: right and close(answer, 1 / right, 0.005), "the fraction is upside down.")


def share_seen_in_training(table: pd.DataFrame) -> float:
    """Exercise 01.3: of the test pictures of the split by picture, seed 1, the share whose lesion is in training."""
    part = splits.standard(table, by="picture", seed=1)
    trained = table.loc[part == "train", "lesion_id"].dropna()
    return table.loc[part == "test", "lesion_id"].isin(trained).mean()


def balanced_accuracy_of_places(table: pd.DataFrame) -> float:
    """Exercise 01.5: the BMA of answering, for each place on the body, the class that is most frequent there."""
    place = table["anatom_site_general"].fillna("unknown")
    predicted = table.groupby(place)["label"].transform(lambda labels: labels.value_counts().idxmax())
    return (predicted == table["label"]).groupby(table["label"], observed=True).mean().mean()


def top_two_balanced_accuracy(run: Run) -> float:
    """Exercise 04.2: the BMA if an answer also counts as right when the second most likely class is the true one."""
    answers = run.predictions()
    second_best = answers[run.config["classes"]].apply(lambda row: row.nlargest(2).iloc[-1], axis=1)
    of_true_class = [row[row["label"]] for _, row in answers.iterrows()]
    return (of_true_class >= second_best).groupby(answers["label"]).mean().mean()


def lesions_on_both_sides(table: pd.DataFrame) -> int:
    """Exercise 04.4: how many lesions have a picture in train and one in test."""
    parts = table.dropna(subset="lesion_id").groupby("lesion_id")["part"]
    return int(parts.agg(lambda part: {"train", "test"} <= set(part)).sum())


def gain_on_seen_lesions(answers: pd.DataFrame) -> float:
    """Exercise 06.5: the BMA on pictures whose lesion was in training, minus the BMA on the others."""
    right = answers["predicted"] == answers["label"]
    seen, unseen = (right[answers["seen"] == was].groupby(answers["label"]).mean() for was in (True, False))
    return seen.mean() - unseen.mean()


EXERCISES = {
    "01.1": Exercise(
        right=lambda table: table["label"].isin(MALIGNANT).mean(),
        mistakes=(
            PERCENT,
            COMPLEMENT,
            Mistake(lambda answer, right: answer > 100, "that is a number of pictures; divide by all of them."),
            Mistake(
                lambda answer, right: 0 < answer < right,
                "that is too few. The course counts four classes as malignant, actinic keratosis among them.",
            ),
        ),
        praise="in the street it is far less: whoever was photographed had been chosen by a doctor.",
    ),
    "01.2": Exercise(
        right=0.25,
        tolerance=0.0005,
        mistakes=(
            PERCENT,
            Mistake(
                lambda answer, right: close(answer, 0.5, 0.005),
                "that is the mean of three recalls; there are eight, and six of them are 0.1.",
            ),
            Mistake(
                lambda answer, right: close(answer, 2, 0.005), "that is the sum of the recalls; divide by the classes."
            ),
            Mistake(
                lambda answer, right: 0.55 < answer < 0.7,
                "that is the accuracy, where a large class weighs more. For BMA each class weighs an eighth.",
            ),
        ),
        praise="two classes decently, six hardly: BMA says so, while the accuracy on ISIC 2019 would be above a half.",
    ),
    "01.3": Exercise(
        right=share_seen_in_training,
        mistakes=(
            PERCENT,
            COMPLEMENT,
            Mistake(
                lambda answer, right: answer == 0 and right > 0,
                'that is what by="lesion" gives; the question is by="picture".',
            ),
            Mistake(
                lambda answer, right: answer > 1, "that is a number of pictures; divide by those of the test part."
            ),
            Mistake(
                lambda answer, right: 0 < answer < right,
                "that is too few. Count pictures rather than lesions, and divide by those of the test part alone.",
            ),
        ),
        praise="another seed, the same leak: it is the way of splitting, not bad luck.",
    ),
    "01.4": Exercise(
        right=lambda masks: masks["share"].mean(),  # the union with a whole picture is the whole picture
        mistakes=(
            PERCENT,
            COMPLEMENT,
            Mistake(
                lambda answer, right: answer == 0,
                "that is the index of a program that marks nothing. Here the intersection is the whole lesion.",
            ),
            Mistake(
                lambda answer, right: answer == 1,
                "all of the lesion is found, but the union is the whole picture, so the quotient is smaller.",
            ),
            UPSIDE_DOWN,
        ),
        praise="a segmenter has to beat this number before it has learnt anything.",
    ),
    "01.5": Exercise(
        right=balanced_accuracy_of_places,
        mistakes=(
            PERCENT,
            Mistake(
                lambda answer, right: close(answer, 1 / 8, 0.0005) and not close(right, 1 / 8, 0.005),
                "that is the lazy model. Let the answer depend on the place on the body.",
            ),
            Mistake(
                lambda answer, right: answer > right + 0.1,
                "that is more. Is it the accuracy? BMA is the mean of the eight recalls, also of those that are 0.",
            ),
            Mistake(
                lambda answer, right: answer > right,
                "that is more. The mean is over all classes, also over those that the rule never answers.",
            ),
        ),
        praise="compare it with 1/8: so much can be had without a picture, from knowing the place alone.",
    ),
    "02.1": Exercise(
        right=0,
        mistakes=(
            Mistake(
                lambda answer, right: close(answer, -1.1, 0.005),
                "that is the weighted sum. What does ReLU make of a negative number?",
            ),
            Mistake(
                lambda answer, right: close(answer, -1.4, 0.005),
                "that is the sum without the bias, and without ReLU.",
            ),
        ),
        praise="the sum is -1.1, and ReLU passes on nothing of it: this neuron is silent for this input.",
    ),
    "02.2": Exercise(
        right=256 * 256 * 3 * 64 + 64 + 64 * 8 + 8,
        tolerance=0,
        mistakes=(
            Mistake(
                lambda answer, right: answer == right - 64 - 8, "those are the weights; add one bias for every neuron."
            ),
            Mistake(
                lambda answer, right: answer == 256 * 256 * 64 + 64 + 64 * 8 + 8,
                "that would be a grey picture; this one has three numbers per pixel.",
            ),
            Mistake(
                lambda answer, right: answer in (256 * 256 * 3 * 64, 256 * 256 * 3 * 64 + 64),
                "that is the first layer; the output layer has weights and biases too.",
            ),
        ),
        praise="more than twelve million, nearly all of them in the first layer.",
    ),
    "02.3": Exercise(
        right=math.log(math.exp(1) + math.exp(3) + 1) - 1,
        mistakes=(
            Mistake(
                lambda answer, right: close(answer, math.exp(-right), 0.005),
                "that is the probability of the true class; the loss is minus its logarithm.",
            ),
            Mistake(lambda answer, right: close(answer, -right, 0.005), "the loss is minus the logarithm."),
            Mistake(
                lambda answer, right: close(answer, right / math.log(10), 0.005),
                "that is the logarithm to base 10; the loss takes the natural one, np.log.",
            ),
            Mistake(
                lambda answer, right: close(answer, right - 2, 0.005),
                "that is the loss if the second class, which got the largest logit, were the true one.",
            ),
        ),
        praise="the network thought another class far likelier, and pays for it.",
    ),
    "02.4": Exercise(
        right=15,
        mistakes=(
            Mistake(lambda answer, right: close(answer, -7.5, 0.005), "that is the slope for the second weight."),
            Mistake(lambda answer, right: close(answer, 7.5, 0.005), "the slope of a square has a factor 2."),
            Mistake(
                lambda answer, right: close(answer, 5, 0.005),
                "that is the slope for the neuron; the last factor, from the neuron to its weight, is the input x.",
            ),
            Mistake(
                lambda answer, right: close(answer, -15, 0.005), "check the signs: there are two negative factors."
            ),
        ),
        praise="positive: so the step makes this weight smaller.",
    ),
    "02.5": Exercise(
        right=1 / 3,
        mistakes=(
            Mistake(
                lambda answer, right: close(answer, 1 / 6, 0.005),
                "with that one, a single step lands in the minimum. How much larger may it be until steps grow?",
            ),
            Mistake(
                lambda answer, right: close(answer, 1, 0.005),
                "that is the bound for the parabola w². This one is three times as steep.",
            ),
        ),
        praise="the steeper the loss, the smaller the largest learning rate.",
    ),
    "02.6": Exercise(
        right=[-0.3422, 0.3902, -0.0480],
        mistakes=(
            Mistake(
                lambda answer, right: equal(answer, [-0.8858, 0.8438, 0.0420], 0.005),
                "p - y is the gradient of the cross-entropy. Here the loss is the squared error.",
            ),
            Mistake(
                lambda answer, right: equal(answer, [-1.7716, 1.6876, 0.0840], 0.005),
                "that is the slope with respect to the probabilities; one step further back, through softmax.",
            ),
        ),
        praise="smaller than the cross-entropy's p - y, although the answer is wrong: softmax has gone flat here.",
    ),
    "03.1": Exercise(
        right=128,
        tolerance=0,
        mistakes=(
            Mistake(
                lambda answer, right: close(answer, 128.5, 0.005), "windows are counted: round 127.5 down, then add 1."
            ),
            Mistake(lambda answer, right: answer in (127, 127.5), "the window's first place counts too: add 1."),
            Mistake(lambda answer, right: answer in (125, 126, 126.5), "the padding is on both ends: 2 · 3."),
            Mistake(lambda answer, right: answer in (255, 256), "that is with stride 1."),
        ),
        praise="just half of the side, which is what the padding of 3 was chosen for.",
    ),
    "03.2": Exercise(
        right=64 * (32 * 5 * 5 + 1),
        tolerance=0,
        mistakes=(
            Mistake(
                lambda answer, right: answer == right - 64, "those are the weights; add one bias for every filter."
            ),
            Mistake(
                lambda answer, right: answer in (64 * 25, 64 * 26),
                "each filter has a table of 5 × 5 weights for each of its 32 channels.",
            ),
            Mistake(
                lambda answer, right: answer == right - 64 + 32,
                "there is a bias for every filter, and not for every channel.",
            ),
        ),
        praise="whatever the size of the picture.",
    ),
    "03.3": Exercise(
        right=[[-1, -1, 0], [-1, 0, 1], [0, 1, 1]],
        mistakes=(
            Mistake(
                lambda answer, right: equal(answer, np.negative(right), 0.005),
                "that one is positive where it gets darker towards the lower right.",
            ),
            Mistake(
                lambda answer, right: equal(answer, np.flipud(right), 0.005) or equal(answer, np.fliplr(right), 0.005),
                "that one is for the other diagonal: its zeros go from the upper left to the lower right.",
            ),
            Mistake(
                lambda answer, right: np.array(answer, dtype=object).shape != (3, 3),
                "a kernel of 3 × 3 is a list of three lists of three numbers.",
            ),
        ),
        praise="the lower right corner minus the upper left one.",
    ),
    "03.4": Exercise(
        right=18,
        tolerance=0,
        mistakes=(
            Mistake(
                lambda answer, right: answer == 7,
                "that is without the pooling: it doubles the distance between neighbours.",
            ),
            Mistake(
                lambda answer, right: answer == 15, "a pooling window has a size too: it reaches one neighbour further."
            ),
            Mistake(
                lambda answer, right: answer == 9, "the distance doubles for the layers after a pooling: d is 1, 2, 4."
            ),
            Mistake(lambda answer, right: answer == 22, "only the first two convolutions are followed by a pooling."),
        ),
        praise="without the pooling it would be 7.",
    ),
    "03.5": Exercise(
        right=256 * 256 * 64 * 27,
        tolerance=0,
        mistakes=(
            Mistake(lambda answer, right: answer == 64 * 27, "those are the weights; each is used at every place."),
            Mistake(
                lambda answer, right: answer == right / 3, "a filter has 3 × 3 weights for each of three channels."
            ),
            Mistake(lambda answer, right: answer == 2 * right, "those are the FLOPs; a multiply-add is two of them."),
            Mistake(
                lambda answer, right: answer == 254 * 254 * 64 * 27,
                "with padding 1 the answer is as large as the picture.",
            ),
        ),
        praise="a hundred million, from fewer than two thousand weights.",
    ),
    "03.6": Exercise(
        right=27 / 49,
        mistakes=(
            PERCENT,
            COMPLEMENT,
            UPSIDE_DOWN,
            Mistake(lambda answer, right: close(answer, 9 / 49, 0.005), "that is one of the three layers."),
        ),
        praise="little more than half, and three ReLUs instead of one. That is VGG16's idea.",
    ),
    "03.7": Exercise(
        right=64 * 768 * 1024 * 4 / 1e6,
        tolerance=0.5,
        mistakes=(
            Mistake(
                lambda answer, right: close(answer, 192, 0.5), "those are mebibytes, 2^20 bytes; a megabyte is 10^6."
            ),
            Mistake(
                lambda answer, right: close(answer, right / 4, 0.5),
                "those are millions of numbers, each of which takes 4 bytes.",
            ),
            Mistake(lambda answer, right: close(answer, right * 1e6, 1e6), "those are bytes."),
        ),
        praise="for one picture, in one layer. It explains why segmentation takes small batches.",
    ),
    "04.1": Exercise(
        right=0.55,
        mistakes=(
            Mistake(
                lambda answer, right: close(answer, 92 / 110, 0.005),
                "that is the accuracy, 92 of 110. BMA is the mean of the two recalls.",
            ),
            Mistake(
                lambda answer, right: close(answer, 1.1 / 8, 0.005),
                "that divides by eight; only two classes are in this test part.",
            ),
            PERCENT,
        ),
        praise="0.9 and 0.2, each counted once, though there are ten times as many NV.",
    ),
    "04.2": Exercise(
        right=top_two_balanced_accuracy,
        mistakes=(
            PERCENT,
            Mistake(
                lambda answer, right: is_number(answer) and right < answer <= 1,
                "that is too high. Is it the share of all pictures? Take the share within each class, then the mean.",
            ),
            Mistake(
                lambda answer, right: is_number(answer) and 0 <= answer < right,
                "that is too low. Does the most likely class still count as right too?",
            ),
        ),
        praise="this is called the top-2 BMA. How far it lies above the BMA tells how often the network was close.",
    ),
    "04.3": Exercise(
        right=0.1 * math.log(2),
        tolerance=0.0006,
        mistakes=(
            Mistake(
                lambda answer, right: close(answer, 0.9 * math.log(2), 0.005),
                "that is the bound for an accuracy of 0.1: it is the share of wrong answers that counts.",
            ),
            Mistake(
                lambda answer, right: close(answer, 0.1 * math.log10(2), 0.001),
                "that uses the logarithm to base 10; cross-entropy uses the natural one.",
            ),
            Mistake(
                lambda answer, right: close(answer, 0.1, 0.002) or close(answer, 0.05, 0.002),
                "each wrong answer costs at least ln 2, and one in ten is wrong.",
            ),
        ),
        praise="so the loss of 0.05 and the accuracy of 0.9 cannot both be true of the same predictions.",
    ),
    "04.4": Exercise(
        right=lesions_on_both_sides,
        tolerance=0,
        mistakes=(
            Mistake(
                lambda answer, right: answer == 0,
                "0 is what by='lesion' gives. The question is about `parts`, which is drawn by picture.",
            ),
            Mistake(
                lambda answer, right: answer > right,
                "that is more. Count each lesion once, and only if it has a picture in train and one in test.",
            ),
        ),
        praise="a network can recognise them instead of their disease. Lesson 06 measures what that is worth.",
    ),
    "06.1": Exercise(
        right=0.7875,
        tolerance=0.0005,
        mistakes=(
            PERCENT,
            Mistake(lambda answer, right: close(answer, 0.9, 0.0005), "an eighth of those nine partitions validates."),
            Mistake(
                lambda answer, right: close(answer, 0.7, 0.0005), "that is with five partitions, as in the thesis."
            ),
            Mistake(lambda answer, right: close(answer, 0.1125, 0.001), "that is the share that validates."),
            Mistake(
                lambda answer, right: close(answer, 0.775, 0.0005),
                "an eighth of the nine partitions that are left, not of all pictures.",
            ),
        ),
        praise="more to learn from than with five partitions, for twice as many trainings.",
    ),
    "06.2": Exercise(
        right=round(1.96**2 * 0.733 * 0.267 / 0.01**2),
        tolerance=5,
        mistakes=(
            Mistake(
                lambda answer, right: close(answer, 4 * right, 20),
                "that is for ± 0.005, an interval 0.01 wide in all; ± 0.01 is 0.02 wide.",
            ),
            Mistake(
                lambda answer, right: close(answer, right / 4, 5),
                "that is for ± 0.02; ± 0.01 means that each half is 0.01 wide.",
            ),
            Mistake(
                lambda answer, right: close(answer, right / 1.96**2, 5),
                "that is for one standard deviation; a 95 % interval takes 1.96 of them, and here it is squared.",
            ),
            Mistake(
                lambda answer, right: close(answer, 1.96**2 / 4 / 0.01**2, 5),
                "that is for an accuracy of a half, the worst case; here it is 0.733.",
            ),
            Mistake(
                lambda answer, right: close(answer, right / 1.96, 5), "1.96 has to be squared when you solve for n."
            ),
        ),
        praise="and they must be independent: a lesion photographed eight times is not eight of them.",
    ),
    "06.3": Exercise(
        right=1.959964**2 / (20 + 1.959964**2),
        tolerance=0.002,
        mistakes=(
            PERCENT,
            COMPLEMENT,
            Mistake(lambda answer, right: answer == 0, "that is the normal interval, which has no width here."),
            Mistake(
                lambda answer, right: close(answer, 3 / 20, 0.002),
                "that is the rule of three, 3/n, a good guess; Wilson's upper end is a little higher.",
            ),
            Mistake(
                lambda answer, right: close(answer, 0.1684, 0.002),
                "that is the exact interval by Clopper and Pearson; the question is about Wilson's.",
            ),
        ),
        praise="missing none of 20 still allows for one melanoma missed in six.",
    ),
    "06.4": Exercise(
        right=0.0356996,
        tolerance=0.0005,
        mistakes=(
            PERCENT,
            Mistake(
                lambda answer, right: close(answer, right / 2, 0.0005),
                "that is one side; either model might have been the better one, so take both.",
            ),
            Mistake(
                lambda answer, right: close(answer, 0.0253, 0.0005),
                "that is the chi-square approximation without correction; the exact test takes coins, stats.binom.",
            ),
            Mistake(
                lambda answer, right: close(answer, 0.0369, 0.0005),
                "that is the chi-square approximation, close; the exact test takes coins, stats.binom.",
            ),
        ),
        praise="the 955 pictures on which they agree play no part.",
    ),
    "06.5": Exercise(
        right=gain_on_seen_lesions,
        mistakes=(
            PERCENT,
            Mistake(
                lambda answer, right: close(answer, -right, 0.005) and abs(right) > 0.005,
                "that is the other way round: seen minus not seen.",
            ),
            Mistake(
                lambda answer, right: is_number(answer) and -1 <= answer <= 1,
                "that is another difference. Is it the accuracy? Take the recall of each class, then their mean, on "
                "the pictures that were seen and on those that were not.",
            ),
        ),
        praise="a hint of the leak and not its measure, for the two groups show different lesions.",
    ),
}


def check(number: str, answer: object, expected: object = None) -> None:
    """Say whether an answer is right.

    number: the exercise, e.g. ``"04.1"``; answer: yours, or ``...`` while you have none; expected: the right answer,
    where it depends on the data at hand, or what the exercise works it out from. Raises KeyError for a number that no
    exercise has.
    """
    exercise = EXERCISES[number]
    if answer is ...:
        print(f"Exercise {number}: not answered yet. Replace the three dots by your answer and run the cell again.")
        return
    right = exercise.right if expected is None else expected
    if callable(exercise.right):
        right = exercise.right(expected)
    print(f"Exercise {number}: {verdict(exercise, answer, right)}")


def verdict(exercise: Exercise, answer: object, right: object) -> str:
    """What `check` says of an answer."""
    if not same_kind(answer, right):
        return f"not yet: the answer is {kind(right)}, yours is {kind(answer)}."
    if equal(answer, right, exercise.tolerance):
        return f"right! {exercise.praise[:1].upper()}{exercise.praise[1:]}".rstrip()
    for mistake in exercise.mistakes:
        if mistake.is_this(answer, right):
            return f"not yet: {mistake.say}"
    return "not yet."


def equal(answer: object, right: object, tolerance: float) -> bool:
    """Whether two answers are the same: texts but for case and spaces, collections in any order, numbers within the
    tolerance."""
    if isinstance(right, str):
        return answer.strip().lower() == right.strip().lower()
    if isinstance(right, (set, frozenset, list, tuple)) and all(isinstance(item, str) for item in right):
        return sorted(item.strip().lower() for item in answer) == sorted(item.strip().lower() for item in right)
    try:
        return np.shape(answer) == np.shape(right) and bool(
            np.all(np.abs(np.subtract(answer, right, dtype=float)) <= tolerance)
        )
    except (TypeError, ValueError):  # a list of unlike things
        return False


def close(answer: object, right: object, tolerance: float) -> bool:
    """Whether a number is near another; False for anything that is no number."""
    return is_number(answer) and is_number(right) and math.isclose(answer, right, abs_tol=tolerance, rel_tol=0)


def same_kind(answer: object, right: object) -> bool:
    """Whether an answer can be compared with the right one at all."""
    return kind(answer) == kind(right)


def kind(value: object) -> str:
    """What a value is, in words."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if isinstance(value, str):
        return "a text"
    if isinstance(value, (bool, np.bool_)):
        return "True or False"
    if is_number(value):
        return "a number"
    if isinstance(value, (set, frozenset, list, tuple, np.ndarray)):
        texts = len(value) > 0 and all(isinstance(item, str) for item in value)
        return "a collection of texts" if texts else "a collection of numbers"
    return f"of type {type(value).__name__}"


def is_number(value: object) -> bool:
    """Whether a value is a single number (and not True or False)."""
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, (bool, np.bool_))
