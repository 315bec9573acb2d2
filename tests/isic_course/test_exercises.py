"""The self-checks: stubs run, right answers pass, typical mistakes get their hint, and nothing makes them fail."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from archives import names

from isic_course import exercises, linear_probe as heads
from isic_course.exercises import answers
from isic_utils.datasets import splits, tables
from isic_utils.training import imbalance as remedies, losses

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
    ("02.1", -1.1, "weighted sum"),
    ("02.1", -1.4, "without the bias"),
    ("02.2", 256 * 256 * 3 * 64 + 64 * 8, "one bias for every neuron"),
    ("02.2", 256 * 256 * 64 + 64 + 64 * 8 + 8, "grey picture"),
    ("02.2", 256 * 256 * 3 * 64 + 64, "first layer"),
    ("02.4", 7.5, "factor 2"),
    ("02.4", -15, "signs"),
    ("02.5", 1 / 6, "lands in the minimum"),
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
    ("04.1", 92 / 110, "accuracy"),
    ("04.1", 1.1 / 8, "divides by eight"),
    ("04.1", 55, "per cent"),
    ("04.2", 0.8, "too high"),
    ("04.2", 0.1, "too low"),
    ("04.4", 0, "by='lesion'"),
    ("04.4", 20, "that is more"),
    ("05.1", 3.5 / 8, "takes the merged class's recall"),
    ("05.1", 3.5 / 5, "over five classes"),
    ("05.1", 3.3 / 5, "divide by eight"),
    ("05.2", ["Wide ResNet"], "another one"),
    ("05.2", ["ResNet101", "Wide ResNet", "Residual net"], "below 5/8"),
    ("05.3", 0.1, "that is less"),
    ("05.3", 8, "number of pictures"),
    ("05.4", 0.9, "the recall"),
    ("05.4", 0.009, "among all pictures"),
    ("05.4", 0.009 / 0.099, "right against false"),
    ("05.5", 1 / 8, "its BMA"),
    ("05.5", 54 / 55, "two classes"),
    ("06.1", 0.7, "five partitions"),
    ("06.1", 0.1125, "validates"),
    ("06.2", 4 * 7518, "± 0.005"),
    ("06.2", 9604, "worst case"),
    ("06.3", 0, "no width"),
    ("06.3", 0.15, "rule of three"),
    ("06.4", 0.01785, "one side"),
    ("06.4", 0.0253, "without correction"),
    ("06.5", -0.25, "other way round"),
    ("06.5", 1 / 3, "accuracy"),
    ("07.1", (0.8, 2 / 3), "other way round"),
    ("07.1", [0.4, 0.8], "counted twice in the union"),
    ("07.1", np.array([2 / 3, 0.4]), "in both twice"),
    ("07.2", 78.8, "per cent"),
    ("07.2", 0.4815, "for Dice 0.65"),
    ("07.3", 0.2723, "the area"),
    ("07.3", 1.128, "by how much"),
    ("07.4", 0.5, "picture by picture"),
    ("07.5", "Test", "test no longer"),
    ("07.5", "train", "these very masks"),
    ("08.1", 20, "share the say"),
    ("08.1", 0.02, "has to be scaled"),
    ("08.1", 2.149, "mean over the classes"),
    ("08.1", 16, "how much more"),
    ("08.2", 92.45, "per cent"),
    ("08.2", 10, "add up to 1"),
    ("08.2", 0.0755, "NV's"),
    ("08.2", 0.0051, "multiplying favours"),
    ("08.3", (1000, 993.3), "other way round"),
    ("08.3", [0.9933, 1000], "divided by 1 - β"),
    ("09.1", 0.8808, "without temperature"),
    ("09.1", 0.982, "divides them"),
    ("09.1", 0.4404, "not the probability"),
    ("09.2", 0.0, "too sure in one bin"),
    ("09.2", 0.125, "different numbers"),
    ("09.2", 0.25, "not a sum"),
    ("09.3", 0.95, "that is found"),
    ("09.3", 0.0095, "with an alarm"),
    ("09.3", 0.655, "half of all lesions"),
    ("09.4", 0.5, "validation"),
    ("09.5", 1.0, "no width"),
    ("09.5", 0.49, "*missed*"),
    ("10.1", 0.63, "leaves the ninth recall out"),
    ("10.1", 0.70875, "other way round"),
    ("10.2", 0.2475, "least loss of the published accuracy"),
    ("10.2", 0.935, "for one picture"),
    ("10.2", 0.0967, "share of the others"),
    ("10.3", 0.5, "mean of the logarithms"),
    ("10.4", 0.75, "more than any choice"),
    ("10.4", 1 / 3, "at least one of the five"),
    ("11.1", 2.3026, "that is the sum"),
    ("11.1", 0.1, "probability of the sentence"),
    ("11.1", 0.7675, "full stop is a word too"),
    ("11.2", 0.24, "greedy search"),
    ("11.2", 0.9, "second word alone"),
    ("11.3", 1, "at most as often"),
    ("11.3", 5 / 9, "nine"),
    ("11.4", 0.75, "Is it the accuracy"),
    ("11.4", 1 / 8, "one class always"),
    ("11.5", "Site", "would fall"),
    ("11.5", "picture", "Which one"),
]


def said(capsys, number: str, answer: object, *expected: object) -> str:
    exercises.check(number, answer, *expected)
    return capsys.readouterr().out


def handed_over(number: str) -> list:
    """What a notebook gives `check` besides the answer."""
    return [] if number in FIXED else [HANDED_OVER.get(number, TABLE)]


def make_table() -> pd.DataFrame:
    """40 pictures of 20 lesions, on two places of the body."""
    codes = ["NV"] * 24 + ["MEL"] * 8 + ["AK"] * 4 + ["SCC"] * 4
    place = ["back", "back", "back", None] * 10
    table = pd.DataFrame(
        {"image": names(40), "lesion_id": [f"L{n // 2}" for n in range(40)], "anatom_site_general": place}
    )
    table = table.assign(label=pd.Categorical(codes, tables.CODES, ordered=True))
    return table.assign(part=["train", "test", "train", "train"] * 10)


def make_run() -> SimpleNamespace:
    """Four predictions: the true class is the likeliest, the second, the last; and the second."""
    probabilities = [[0.6, 0.3, 0.1], [0.5, 0.4, 0.1], [0.5, 0.4, 0.1], [0.1, 0.2, 0.7]]
    predictions = pd.DataFrame(probabilities, columns=["MEL", "NV", "BCC"]).assign(label=["MEL", "NV", "BCC", "NV"])
    return SimpleNamespace(config={"classes": ["MEL", "NV", "BCC"]}, predictions=lambda: predictions)


def make_race() -> tuple:
    """96 pictures of eight classes with five features each, and one seed."""
    table = make_table().iloc[:0].reindex(range(96)).assign(image=names(96), lesion_id=names(96))
    table["label"] = pd.Categorical(tables.CODES * 12, tables.CODES, ordered=True)
    seen = np.random.default_rng(0).normal(size=(96, 5)) + table["label"].cat.codes.to_numpy()[:, np.newaxis]
    return table, seen.astype(np.float32), [0]


def make_answers() -> tuple[list[np.ndarray], np.ndarray]:
    """Two networks' probabilities of three classes for four pictures, and the truth."""
    first = [[0.6, 0.3, 0.1], [0.60, 0.39, 0.01], [0.2, 0.7, 0.1], [0.7, 0.2, 0.1]]
    second = [[0.5, 0.3, 0.2], [0.001, 0.3, 0.699], [0.1, 0.2, 0.7], [0.8, 0.1, 0.1]]
    return [np.array(first), np.array(second)], np.array([0, 1, 1, 2])


TABLE = make_table()
HANDED_OVER = {
    "01.4": pd.DataFrame({"share": [0.1, 0.2, 0.6]}),
    "02.6": np.array([-0.2, 0.1, 0.1]),
    "04.2": make_run(),
    "05.3": pd.DataFrame({"label": pd.Categorical(tables.CODES * 2 + ["NV"] * 24, tables.CODES)}),
    "05.5": pd.Series({"NV": 263, "MEL": 200, "DF": 137}),
    "07.4": (np.array([[[1, 1, 0, 0]], [[1, 0, 0, 0]]], bool), np.array([[[0.9, 0.4, 0.2, 0]], [[0.4, 0.4, 0.2, 0]]])),
    "08.4": make_race(),
    "09.4": (np.arange(1, 11) / 10, np.arange(10) >= 5, np.array([0.6, 0.7, 0.71, 0.1, 0.9])),
    "10.3": make_answers(),
    "10.4": make_answers(),
    "11.4": (pd.DataFrame({"class": ["NV", "NV", "NV", "MEL"]}), pd.DataFrame({"class": ["NV", "NV", "NV", "NV"]})),
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
    assert said(capsys, number, ..., *handed_over(number)).startswith(f"Exercise {number}: not answered yet")


@pytest.mark.parametrize("number", FIXED)
def test_the_right_answer_passes(number, capsys):
    right = exercises.EXERCISES[number].right
    output = said(capsys, number, right)
    assert output.startswith(f"Exercise {number}: right! ") and len(output.strip()) > len(f"Exercise {number}: right! ")
    if kind_of(right) == "numbers":
        assert "right!" in said(capsys, number, np.float64(right)) and "right!" in said(capsys, number, np.array(right))


def kind_of(right: object) -> str:
    return "texts" if "text" in answers.kind(right) else "numbers"


def test_an_answer_that_the_notebook_hands_over_passes(capsys):
    right = HANDED_OVER["02.6"]
    assert "right!" in said(capsys, "02.6", right, right) and "right!" in said(capsys, "02.6", right.tolist(), right)
    assert "right!" not in said(capsys, "02.6", right[::-1], right)


RIGHT_BY_HAND = {
    "01.1": 16 / 40,  # MEL, AK and SCC
    "01.4": 0.3,
    "01.5": 1 / 4,  # NV is the most frequent class on both places
    "04.2": 2 / 3,  # 1 for MEL, 1 for NV, 0 for BCC
    "04.4": 10,  # every other lesion
    "05.3": 1 - 8 * 2 / 40,  # the smallest class has 2
    "05.5": 263 / 600,
    "07.4": (1 + 1 / 2) / 2,  # two pixels of two; two of which one is right
    "09.4": 3 / 5,  # four of the five malignant ones are at 0.7 or above, as are three of five test pictures
    "11.4": 1 / 2,  # NV 1, MEL 0; the accuracy is 3/4
    "06.5": 1 / 2 - 1 / 4,  # seen: NV 1, MEL 0; not seen: NV a half, MEL 0
    "10.3": 2 / 3,  # classes 0 and 1 whole; with the plain mean one half, for class 1 loses a picture
    "10.4": 1 / 2,  # class 0 whole, of class 1 one of two, of class 2 none
}


@pytest.mark.parametrize("number, right", RIGHT_BY_HAND.items())
def test_an_answer_that_is_worked_out_from_the_data(number, right, capsys):
    assert "right!" in said(capsys, number, right, *handed_over(number))
    assert "not yet" in said(capsys, number, right + 0.02, *handed_over(number))
    if right < 1:
        assert "per cent" in said(capsys, number, 100 * right, *handed_over(number))


def test_the_grid_extended_by_a_line(capsys):
    race = HANDED_OVER["08.4"]
    root = {"mine": remedies.Remedy(loss=lambda z, y, n: losses.weighted(z, y, n, n.rsqrt()))}
    right = heads.scores(heads.grid(*race, root), "validation")["BMA"].mean()
    assert "right!" in said(capsys, "08.4", right, race)
    assert "that is another value" in said(capsys, "08.4", right - 0.01, race)
    assert "per cent" in said(capsys, "08.4", 100 * right, race)


def test_the_share_seen_in_training(capsys):
    part = splits.standard(TABLE, by="picture", seed=1)
    seen = set(TABLE["lesion_id"][part == "train"])
    right = np.mean([lesion in seen for lesion in TABLE["lesion_id"][part == "test"]])
    assert right > 0 and "right!" in said(capsys, "01.3", right, TABLE)
    assert 'by="lesion"' in said(capsys, "01.3", 0.0, TABLE)
    assert "number of pictures" in said(capsys, "01.3", 5, TABLE)


@pytest.mark.parametrize("number, answer, hint", TYPICAL_MISTAKES)
def test_a_typical_mistake_gets_its_hint(number, answer, hint, capsys):
    output = said(capsys, number, answer, *handed_over(number))
    assert "not yet: " in output and hint in output


@pytest.mark.parametrize(
    "answer, kind",
    [
        ("0.25", "a text"),
        (True, "True or False"),
        ([0.25], "a collection of numbers"),
        (["MEL"], "a collection of texts"),
        (None, "of type NoneType"),
        (pd.Series([1.0]), "of type Series"),
        (print, "of type builtin_function_or_method"),
    ],
)
def test_an_answer_of_the_wrong_kind_is_told(answer, kind, capsys):
    assert f"not yet: the answer is a number, yours is {kind}." in said(capsys, "01.2", answer)


ODD = [float("nan"), float("inf"), -1, "", [], [1, "a"], [1, [2]], {1, 2}, {}, np.array([]), np.array(3), 1j, object()]


@pytest.mark.parametrize("answer", ODD, ids=[repr(answer)[:20] for answer in ODD])
@pytest.mark.parametrize("number", exercises.EXERCISES)
def test_no_answer_makes_the_check_fail(number, answer, capsys):
    assert f"Exercise {number}: " in said(capsys, number, answer, *handed_over(number))


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
