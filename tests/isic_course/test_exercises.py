"""The self-checks: stubs run, right answers pass, typical mistakes get their hint, and nothing makes them fail."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from archives import names
from sklearn.metrics import balanced_accuracy_score

from isic_course import exercises, linear_probe
from isic_course.exercises import answers
from isic_utils.datasets import splits, tables
from isic_utils.training.imbalance import Method, weighted_sampler

FIXED = [
    number
    for number, exercise in exercises.EXERCISES.items()
    if exercise.right is not None and not callable(exercise.right)
]


# exercise, answer, words of the hint
TYPICAL_MISTAKES = [
    ("01.2", 25, "per cent"),
    ("01.2", 0.5, "mean of three recalls"),
    ("01.2", 2.0, "sum of the recalls"),
    ("01.2", 0.62, "accuracy"),
    ("01.4", 0, "empty prediction"),
    ("01.4", 1, "union"),
    ("01.6", 0.125, "largest share"),
    ("02.1", -1.1, "weighted sum"),
    ("02.1", -1.4, "without the bias"),
    ("02.2", 256 * 256 * 3 * 64 + 64 * 8, "one bias for every neuron"),
    ("02.2", 256 * 256 * 64 + 64 + 64 * 8 + 8, "grey image"),
    ("02.2", 256 * 256 * 3 * 64 + 64, "first layer"),
    ("02.4", 7.5, "factor 2"),
    ("02.4", -15, "signs"),
    ("02.5", 1 / 6, "lands in the minimum"),
    ("02.6", [-0.8858, 0.8438, 0.0420], "belongs to the cross-entropy"),
    ("02.7", 0.01, "that is the variance"),
    ("02.7", 0.0894, "Xavier"),
    ("02.7", 0.0408, "nn.Linear"),
    ("02.8", 0, "at best 1 and seven times 0"),
    ("02.8", 2.079, "equal probabilities"),
    ("02.9", [-0.00001, 0.5], "plain gradient descent"),
    ("02.9", [0.01, -0.01], "against the gradient"),
    ("02.9", [-0.0316, 0.0316], "bias correction"),
    ("02.10", 0, "learning rate times weight decay"),
    ("02.10", -1, "of what is left"),
    ("02.10", 1, "of the penalty"),
    ("02.11", 264, "plain list"),
    ("02.11", 112_896, "one bias for every neuron"),
    ("03.1", 127, "first place"),
    ("03.1", 256, "stride 1"),
    ("03.2", 64 * 32 * 25, "one bias for every filter"),
    ("03.2", 64 * 26, "each of its 32 channels"),
    ("03.3", [[1, 1, 0], [1, 0, -1], [0, -1, -1]], "darker"),
    ("03.3", [[0, 1, 1], [-1, 0, 1], [-1, -1, 0]], "other diagonal"),
    ("03.3", [-1, 0, 1], "three lists"),
    ("03.4", 7, "without the pooling"),
    ("03.4", 15, "pooling window"),
    ("03.5", 64 * 27, "at every place"),
    ("03.5", 2 * 256 * 256 * 64 * 27, "FLOPs"),
    ("03.6", 9 / 49, "one of the three"),
    ("03.7", 192, "mebibytes"),
    ("03.7", 64 * 768 * 1024 / 1e6, "millions of numbers"),
    ("03.8", 0.7176, "share of the others"),
    ("03.8", -0.2, "a tenth of what is left"),
    ("03.9", "b", "learns the training images best"),
    ("03.9", "D", "vanished"),
    ("03.10", 40 * 240 + 9 * 240 * 240 + 240 * 40, "depthwise filter"),
    ("03.10", 2 * 40 * 240, "without the depthwise"),
    ("04.1", 92 / 110, "accuracy"),
    ("04.1", 1.1 / 8, "divides by eight"),
    ("04.1", 55, "per cent"),
    ("04.2", 160, "incomplete batch"),
    ("04.2", 156, "all epochs at once"),
    ("04.2", 31, "one epoch"),
    ("04.2", 5, "once per epoch"),
    ("04.3", 7 / 12, "harmonic mean"),
    ("04.3", 0.5, "the recall"),
    ("04.3", 0.667, "the precision"),
    ("04.4", 0, "group_by='lesion'"),
    ("04.4", 20, "that is more"),
    ("04.5", 0.8, "too high"),
    ("04.5", 0.1, "too low"),
    ("04.6", 0.9 * np.log(2), "accuracy of 0.1"),
    ("04.6", 0.0301, "base 10"),
    ("04.6", 0.1, "at least ln 2"),
    ("04.6", 0.05, "what the paper says"),
    ("04.7", [51, 102, 204], "those are bytes"),
    ("04.7", [0.2006, 0.4, 0.8], "count once"),
    ("05.1", 3.5 / 8, "takes the merged class's recall"),
    ("05.1", 3.5 / 5, "over five classes"),
    ("05.1", 3.3 / 5, "divide by eight"),
    ("05.2", ["Wide ResNet"], "another one"),
    ("05.2", ["ResNet101", "Wide ResNet", "Residual net"], "below 5/8"),
    ("05.3", 0.1, "that is less"),
    ("05.3", 8, "number of images"),
    ("05.4", 0.9, "the recall"),
    ("05.4", 0.009, "among all images"),
    ("05.4", 0.009 / 0.099, "true against false"),
    ("05.4", 0.09, "true against false"),
    ("05.5", 1 / 8, "its BMA"),
    ("05.5", 54 / 55, "two classes"),
    ("06.1", 0.7, "five folds"),
    ("06.1", 0.1125, "validation set"),
    ("06.2", 4 * 7518, "± 0.005"),
    ("06.2", 9604, "worst case"),
    ("06.3", 0, "no width"),
    ("06.3", 0.15, "rule of three"),
    ("06.4", 0.01785, "one side"),
    ("06.4", 0.0253, "without correction"),
    ("06.5", -0.25, "other way round"),
    ("06.5", 1 / 3, "accuracy"),
    ("06.6", 4, "without a correction"),
    ("06.6", 1, "Bonferroni"),
    ("06.6", 3, "multiplied by 3"),
    ("06.7", 2.108, "plain t-test"),
    ("06.7", 1.2172, "20 of 80"),
    ("06.7", 1.3333, "1/10"),
    ("07.1", (0.8, 2 / 3), "other way round"),
    ("07.1", [0.4, 0.8], "counted twice in the union"),
    ("07.1", np.array([2 / 3, 0.4]), "in both twice"),
    ("07.2", 78.8, "per cent"),
    ("07.2", 0.4815, "for Dice 0.65"),
    ("07.3", 0.2723, "the area"),
    ("07.3", 1.128, "by how much"),
    ("07.4", 0.5, "image by image"),
    ("07.5", "Test", "test no longer"),
    ("07.5", "train", "these very masks"),
    ("07.6", 84.85, "per cent"),
    ("07.6", 280 / 370, "120 pixels of skin"),
    ("07.6", 2 / 3, "the Jaccard index"),
    ("07.6", 0.8, "the Dice coefficient"),
    ("07.7", (30, 72), "other way round"),
    ("07.7", [108, 45], "how bright the lesion is"),
    ("07.8", 4.0, "not the maximum"),
    ("07.8", 2.0, "border pixels to border pixels"),
    ("08.1", 20, "share the total weight"),
    ("08.1", 0.02, "has to be scaled"),
    ("08.1", 2.149, "not over the classes"),
    ("08.1", 16, "how much more"),
    ("08.2", 92.45, "per cent"),
    ("08.2", 10, "add up to 1"),
    ("08.2", 0.0755, "NV's"),
    ("08.2", 0.0051, "multiplying favours"),
    ("08.3", 0.9933, "divide by 1 - β"),
    ("08.3", 1000, "ever more images"),
    ("08.4", 2.97, "per cent"),
    ("08.4", 0.012, "add up to 1"),
    ("08.4", 0.9703, "NV's"),
    ("08.4", 0.9866, "multiply by the priors"),
    ("09.1", 0.8808, "without temperature"),
    ("09.1", 0.982, "divides them"),
    ("09.1", 0.4404, "not the probability"),
    ("09.2", 0.0, "overconfidence in one bin"),
    ("09.2", 0.125, "different numbers"),
    ("09.2", 0.25, "not a sum"),
    ("09.3", 0.95, "that is found"),
    ("09.3", 0.0095, "with an alarm"),
    ("09.3", 0.655, "half of all lesions"),
    ("09.4", 0.064, "odds that scale"),
    ("09.4", 0.2449, "o / (1 + o)"),
    ("09.4", 0.8, "rarer"),
    ("09.4", 0.985, "upside down"),
    ("09.4", 0.0755, "half of the training images"),
    ("09.5", -0.16, "not once"),
    ("09.5", 0.02, "not t"),
    ("09.5", -0.0556, "for all patients"),
    ("09.5", 17.78, "divide by their number"),
    ("09.6", 20, "one fewer"),
    ("09.6", 18, "no 19th"),
    ("09.6", 9, "α = 0.1"),
    ("09.7", 0.5, "validation"),
    ("09.8", 1.3, "belongs to every set"),
    ("10.1", 0.5, "mean of two recalls"),
    ("10.1", 0.0143, "the accuracy rises"),
    ("10.2", 0.364, "a single lesion"),
    ("10.2", 0.87, "share of the others"),
    ("10.3", 1.2, "expected number"),
    ("10.3", 0.292, "share of the others"),
    ("10.4", 1.0, "no width"),
    ("10.4", 0.49, "share of the others"),
    ("10.5", 1.048, "ink together"),
    ("10.5", 0.177, "ink alone"),
    ("10.5", 0.14, "difference of probabilities"),
    ("10.6", -0.5, "younger minus older"),
    ("10.6", 0.25, "that is another value"),
    ("11.1", 20, "per cent"),
    ("11.1", 0.62, "in the second clinic"),
    ("11.1", 0, "weights them by the class shares"),
    ("11.2", {"a", "c", "e"}, "both sides"),
    ("11.2", {"B", "c", "e"}, "no longer outside"),
    ("11.2", {"c", "d", "e"}, "temporal"),
    ("11.2", {"e"}, "Is there more"),
    ("11.2", {"c"}, "gave nothing"),
    ("11.3", -0.025, "the same three"),
    ("11.3", 0.25, "not their sum"),
    ("11.4", 0.2, "0.2 times 0.6"),
    ("11.5", -0.5, "home minus abroad"),
    ("11.4", 1 / 3, "by chance"),
    ("12.1", 0.63, "leaves the ninth recall out"),
    ("12.1", 0.70875, "other way round"),
    ("12.2", 0.2475, "least loss of the published accuracy"),
    ("12.2", 0.935, "for one image"),
    ("12.2", 0.0967, "share of the others"),
    ("12.3", 0.5, "mean of the logarithms"),
    ("12.4", 0.75, "more than any choice"),
    ("12.4", 1 / 3, "at least one of the five"),
    ("13.1", 2.3026, "that is the sum"),
    ("13.1", 0.1, "probability of the sentence"),
    ("13.1", 0.7675, "full stop is a word too"),
    ("13.2", 0.24, "greedy search"),
    ("13.2", 0.9, "second word alone"),
    ("13.3", 1, "at most as often"),
    ("13.3", 5 / 9, "nine"),
    ("13.4", 0.75, "Is it the accuracy"),
    ("13.4", 1 / 8, "one class always"),
    ("13.5", "Site", "would fall"),
    ("13.5", "image", "Which one"),
    ("13.6", [2 / 3, 0.5], "other way round"),
    ("13.6", [0.75, 2 / 3], "six"),
    ("13.6", [0.5, 1], "counts once"),
]


def output_of(capsys, number: str, answer: object, *expected: object) -> str:
    exercises.check(number, answer, *expected)
    return capsys.readouterr().out


def handed_over(number: str) -> list:
    """What a notebook gives `check` besides the answer."""
    return [] if number in FIXED else [HANDED_OVER.get(number, TABLE)]


def make_table() -> pd.DataFrame:
    """40 images of 20 lesions, on two places of the body."""
    codes = ["NV"] * 24 + ["MEL"] * 8 + ["AK"] * 4 + ["SCC"] * 4
    place = ["back", "back", "back", None] * 10
    table = pd.DataFrame(
        {"image": names(40), "lesion_id": [f"L{n // 2}" for n in range(40)], "anatom_site_general": place}
    )
    table = table.assign(label=pd.Categorical(codes, tables.CODES, ordered=True))
    return table.assign(split=["train", "test", "train", "train"] * 10)


def make_run() -> SimpleNamespace:
    """Four predictions: the true class is the likeliest, the second, the last; and the second."""
    probabilities = [[0.6, 0.3, 0.1], [0.5, 0.4, 0.1], [0.5, 0.4, 0.1], [0.1, 0.2, 0.7]]
    predictions = pd.DataFrame(probabilities, columns=["MEL", "NV", "BCC"]).assign(label=["MEL", "NV", "BCC", "NV"])
    return SimpleNamespace(config={"classes": ["MEL", "NV", "BCC"]}, predictions=lambda: predictions)


def make_dataset() -> SimpleNamespace:
    """Two images of four, whose channels have the means 0.2, 0.4 and 0.8."""
    pixels = np.full((4, 2, 2, 3), [51, 102, 204], np.uint8)
    pixels[0] = 255
    return SimpleNamespace(store=SimpleNamespace(pixels=pixels), rows=np.array([1, 3]))


def make_race() -> tuple:
    """96 images of eight classes with five features each, and the split of one seed."""
    table = make_table().iloc[:0].reindex(range(96)).assign(image=names(96), lesion_id=names(96))
    table["label"] = pd.Categorical(tables.CODES * 12, tables.CODES, ordered=True)
    features = np.random.default_rng(0).normal(size=(96, 5)) + table["label"].cat.codes.to_numpy()[:, np.newaxis]
    return table, features.astype(np.float32), linear_probe.splits_of_seeds(table, [0])


def make_predictions() -> pd.DataFrame:
    """Five validation images and one test image, for which a method predicts a probability of DF."""
    rows = {"method": "weighted sampler", "split": ["validation"] * 5 + ["test"], "DF": [0.5, 0.4, 0.3, 0.2, 0.1, 0.9]}
    return pd.DataFrame(rows | {"label": ["DF", "NV", "NV", "NV", "MEL", "DF"]})


def make_three_classes() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Validation probabilities of three classes, with nine, nine and two images; their classes; three test images."""
    first, second = np.array([0.55, *[0.8] * 8]), np.array([*[0.7] * 8, 0.05])
    validated = [[p, (1 - p) / 2, (1 - p) / 2] for p in first] + [[(1 - p) / 2, p, (1 - p) / 2] for p in second]
    test = np.array([[0.6, 0.3, 0.1], [0.3, 0.6, 0.1], [0.96, 0.01, 0.03]])
    return np.array(validated + [[0.1, 0.1, 0.8]] * 2), np.repeat([0, 1, 2], [9, 9, 2]), test


def make_squares() -> tuple[np.ndarray, np.ndarray]:
    """A mask that is a square, and one that is 2 pixels larger on each side."""
    inner, outer = np.zeros((2, 31, 31), bool)
    inner[10:21, 10:21] = outer[8:23, 8:23] = True
    return inner, outer


def make_abroad() -> pd.DataFrame:
    """Predictions of a probe from HAM: it finds three of four melanomas at home, one of four in BCN."""
    rows = {"trained_on": ["HAM"] * 8 + ["BCN"], "source": ["HAM"] * 4 + ["BCN"] * 5, "label": "MEL"}
    table = pd.DataFrame(rows | {"lesion_id": names(9), "MEL": [0.9, 0.8, 0.7, 0.1, 0.9, 0.2, 0.3, 0.4, 0.9]})
    return table.assign(NV=1 - table["MEL"])


def make_alarms() -> pd.DataFrame:
    """Four old nevi, all with an alarm, two young ones, one with an alarm, and others that do not count."""
    rows = {"label": ["NV"] * 7 + ["BKL", "MEL"], "age_approx": [60, 65, 70, 80, 55, 40, None, 70, 20]}
    return pd.DataFrame(rows | {"alarm": [True, True, True, True, True, False, True, False, False]})


def make_ensemble() -> tuple[list[np.ndarray], np.ndarray]:
    """Two networks' probabilities of three classes for four images, and the true classes."""
    first = [[0.6, 0.3, 0.1], [0.60, 0.39, 0.01], [0.2, 0.7, 0.1], [0.7, 0.2, 0.1]]
    second = [[0.5, 0.3, 0.2], [0.001, 0.3, 0.699], [0.1, 0.2, 0.7], [0.8, 0.1, 0.1]]
    return [np.array(first), np.array(second)], np.array([0, 1, 1, 2])


TABLE = make_table()
HANDED_OVER = {
    "01.4": pd.DataFrame({"share": [0.1, 0.2, 0.6]}),
    "01.7": (TABLE, pd.DataFrame({"image": names(40)[:-2], "other": names(40)[2:]})),
    "02.6": np.array([-0.2, 0.1, 0.1]),
    "04.5": make_run(),
    "04.7": make_dataset(),
    "05.3": pd.DataFrame({"label": pd.Categorical(tables.CODES * 2 + ["NV"] * 24, tables.CODES)}),
    "05.5": pd.Series({"NV": 263, "MEL": 200, "DF": 137}),
    "07.4": (np.array([[[1, 1, 0, 0]], [[1, 0, 0, 0]]], bool), np.array([[[0.9, 0.4, 0.2, 0]], [[0.4, 0.4, 0.2, 0]]])),
    "07.8": make_squares(),
    "08.5": make_predictions(),
    "08.6": make_race(),
    "09.7": (np.arange(1, 11) / 10, np.arange(10) >= 5, np.array([0.6, 0.7, 0.71, 0.1, 0.9])),
    "09.8": make_three_classes(),
    "10.6": make_alarms(),
    "11.5": (make_abroad(), ["MEL", "NV"]),
    "11.6": (np.arange(1.0, 21), np.array([0.0, 1, 2, 3])),
    "12.3": make_ensemble(),
    "12.4": make_ensemble(),
    "13.4": (pd.DataFrame({"class": ["NV", "NV", "NV", "MEL"]}), pd.DataFrame({"class": ["NV", "NV", "NV", "NV"]})),
    "06.5": pd.DataFrame(
        {
            "label": ["NV", "NV", "MEL", "NV", "NV", "MEL"],
            "predicted": ["NV", "NV", "NV", "NV", "MEL", "NV"],
            "seen": [True, True, True, False, False, False],
        }
    ),
}


@pytest.mark.parametrize("number", exercises.EXERCISES)
def test_a_stub_runs_and_waits(number, capsys):
    assert output_of(capsys, number, ..., *handed_over(number)).startswith(f"Exercise {number}: not answered yet")


@pytest.mark.parametrize("number", FIXED)
def test_the_right_answer_passes(number, capsys):
    right = exercises.EXERCISES[number].right
    output = output_of(capsys, number, right)
    assert output.startswith(f"Exercise {number}: right! ") and len(output.strip()) > len(f"Exercise {number}: right! ")
    if kind_of(right) == "numbers":
        assert "right!" in output_of(capsys, number, np.float64(right)) and "right!" in output_of(
            capsys, number, np.array(right)
        )


def kind_of(right: object) -> str:
    return "texts" if "text" in answers.kind(right) else "numbers"


def test_an_answer_that_the_notebook_hands_over_passes(capsys):
    right = HANDED_OVER["02.6"]
    assert "right!" in output_of(capsys, "02.6", right, right) and "right!" in output_of(
        capsys, "02.6", right.tolist(), right
    )
    assert "right!" not in output_of(capsys, "02.6", right[::-1], right)


def test_an_answer_may_be_a_tensor_or_a_series(capsys):
    assert "right!" in output_of(capsys, "02.7", torch.tensor(0.1, requires_grad=True))
    assert "right!" in output_of(capsys, "02.9", torch.tensor([-0.01, 0.01]))
    assert "right!" in output_of(capsys, "05.2", pd.Series(exercises.EXERCISES["05.2"].right))
    assert "that is the variance" in output_of(capsys, "02.7", torch.tensor(0.01))


TWO_DIGITS = [("04.6", 0.07), ("05.1", 0.41), ("05.4", 0.08), ("06.1", 0.79), ("07.3", 0.13), ("08.1", 6.7)]


@pytest.mark.parametrize("number, answer", TWO_DIGITS)
def test_two_digits_are_enough(number, answer, capsys):
    assert "right!" in output_of(capsys, number, answer)


def test_the_means_of_the_channels(capsys):
    assert "right!" in output_of(capsys, "04.7", [0.2, 0.4, 0.8], *handed_over("04.7"))
    assert "not yet" in output_of(capsys, "04.7", [0.8, 0.4, 0.2], *handed_over("04.7"))


RIGHT_BY_HAND = {
    "01.1": 16 / 40,  # MEL, AK and SCC
    "01.4": 0.3,
    "01.5": 1 / 4,  # NV is the most frequent class on both places
    "01.6": 1 / 4,  # three quarters of each class are on the one place, a quarter of each on the other
    "04.4": 10,  # every other lesion
    "04.5": 2 / 3,  # 1 for MEL, 1 for NV, 0 for BCC
    "05.3": 1 - 8 * 2 / 40,  # the smallest class has 2
    "05.5": 263 / 600,
    "07.4": (1 + 1 / 2) / 2,  # two pixels of two; two of which one is right
    "07.8": np.sqrt(8),  # from corner to corner, 4 of the larger border's 56 pixels
    "08.5": 1.5,  # a mean of 0.3, and one image of five
    "09.7": 3 / 5,  # four of the five malignant ones are at 0.7 or above, as are three of five test images
    "09.8": 7 / 3,  # thresholds 0.55, 0.05, and 0 for the class with too few images: sets of 3, 2 and 2 classes
    "10.6": 1 / 2,  # all of the old nevi, half of the young ones
    "11.5": 3 / 4 - 1 / 4,  # of four melanomas each
    "11.6": 1 / 2,  # 19 of the 20 usual ones are at 2 or above, as are two of four odd ones
    "13.4": 1 / 2,  # NV 1, MEL 0; the accuracy is 3/4
    "06.5": 1 / 2 - 1 / 4,  # seen: NV 1, MEL 0; not seen: NV a half, MEL 0
    "12.3": 2 / 3,  # classes 0 and 1 whole; with the plain mean one half, for class 1 loses an image
    "12.4": 1 / 2,  # class 0 whole, of class 1 one of two, of class 2 none
}


@pytest.mark.parametrize("number, right", RIGHT_BY_HAND.items())
def test_an_answer_that_is_worked_out_from_the_data(number, right, capsys):
    assert "right!" in output_of(capsys, number, right, *handed_over(number))
    assert "not yet" in output_of(capsys, number, right + 0.02, *handed_over(number))
    if right < 1:
        assert "per cent" in output_of(capsys, number, 100 * right, *handed_over(number))


def test_a_method_of_ones_own(capsys):
    race = HANDED_OVER["08.6"]
    mine = {"mine": Method(sampler=lambda labels, seed: weighted_sampler(labels, seed, power=0.5))}
    found = linear_probe.compare(*race, mine).query("split == 'validation'")
    right = balanced_accuracy_score(found["label"], found["predicted"])
    assert "right!" in output_of(capsys, "08.6", right, race)
    assert "that is another value" in output_of(capsys, "08.6", right - 0.01, race)
    assert "per cent" in output_of(capsys, "08.6", 100 * right, race)


def test_the_share_seen_in_training(capsys):
    split = splits.standard(TABLE, group_by="image", seed=1)
    seen = set(TABLE["lesion_id"][split == "train"])
    right = np.mean([lesion in seen for lesion in TABLE["lesion_id"][split == "test"]])
    assert right > 0 and "right!" in output_of(capsys, "01.3", right, TABLE)
    assert 'group_by="lesion"' in output_of(capsys, "01.3", 0.0, TABLE)
    assert "number of images" in output_of(capsys, "01.3", 5, TABLE)


def test_the_test_images_with_a_near_duplicate_in_training(capsys):
    table, pairs = HANDED_OVER["01.7"]
    split = dict(zip(table["image"], splits.standard(table, seed=0), strict=True))
    orders = [*zip(pairs["image"], pairs["other"], strict=True), *zip(pairs["other"], pairs["image"], strict=True)]
    right = len({one for one, other in orders if split[one] == "test" and split[other] == "train"})
    assert right > 0 and "right!" in output_of(capsys, "01.7", right, HANDED_OVER["01.7"])
    assert "either column" in output_of(capsys, "01.7", right - 1, HANDED_OVER["01.7"])
    assert "only once" in output_of(capsys, "01.7", right + 1, HANDED_OVER["01.7"])


@pytest.mark.parametrize("number, answer, hint", TYPICAL_MISTAKES)
def test_a_typical_mistake_gets_its_hint(number, answer, hint, capsys):
    output = output_of(capsys, number, answer, *handed_over(number))
    assert "not yet: " in output and hint in output


@pytest.mark.parametrize(
    "answer, kind",
    [
        ("0.25", "a text"),
        (True, "True or False"),
        ([0.25], "a collection of numbers"),
        (["MEL"], "a collection of texts"),
        (None, "of type NoneType"),
        (pd.DataFrame([1.0]), "of type DataFrame"),
        (print, "of type builtin_function_or_method"),
    ],
)
def test_an_answer_of_the_wrong_kind_is_told(answer, kind, capsys):
    assert f"not yet: the answer is a number, yours is {kind}." in output_of(capsys, "01.2", answer)


ODD = [float("nan"), float("inf"), -1, "", [], [1, "a"], [1, [2]], {1, 2}, {}, np.array([]), np.array(3), 1j, object()]


@pytest.mark.parametrize("number", exercises.EXERCISES)
def test_no_answer_makes_the_check_fail(number, capsys):
    for answer in ODD:
        assert f"Exercise {number}: " in output_of(capsys, number, answer, *handed_over(number)), answer


def test_texts_and_collections_of_texts_are_compared_without_case_space_and_order():
    check = answers.equal
    assert check(" mel", "MEL", 0) and not check("NV", "MEL", 0)
    assert check(["bcc", "MEL "], {"MEL", "BCC"}, 0) and not check(["MEL", "MEL"], {"MEL", "BCC"}, 0)
    assert not check(["MEL"], ["MEL", "BCC"], 0)


def test_numbers_are_compared_within_the_tolerance_and_arrays_in_order():
    check = answers.equal
    assert check(0.5049, 0.5, 0.005) and not check(0.506, 0.5, 0.005)
    assert (
        check([1, 2.001], np.array([1, 2]), 0.01) and not check([2, 1], [1, 2], 0.01) and not check([1], [1, 2], 0.01)
    )
    assert not check(float("nan"), 0.5, 1)


def test_an_exercise_that_there_is_not():
    with pytest.raises(KeyError):
        exercises.check("99.9", 1)


def test_each_lesson_has_its_exercises_and_no_other():
    for lesson in exercises.LESSONS:
        name = lesson.__name__.rsplit("_", 1)[1]
        numbers = list(lesson.EXERCISES)
        assert numbers == [f"{name}.{place}" for place in range(1, len(numbers) + 1)]
    assert len(exercises.EXERCISES) == sum(len(lesson.EXERCISES) for lesson in exercises.LESSONS)
