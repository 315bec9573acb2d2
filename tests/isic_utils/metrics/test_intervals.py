"""Intervals and paired tests: published worked examples, sums done by hand, and their coverage."""

import ast
from collections.abc import Callable

import nbformat
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.datasets import make_moons
from sklearn.metrics import accuracy_score, average_precision_score, roc_auc_score
from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score
from sklearn.svm import SVC

from isic_utils.metrics import bma, intervals
from isic_utils.settings import PROJECT

# The normal and the Wilson interval


NEWCOMBE = [  # R. Newcombe 1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<857::AID-SIM777>3.0.CO;2-E, Table I
    (81, 263, (0.2522, 0.3638), (0.2553, 0.3662)),
    (15, 148, (0.0527, 0.1500), (0.0624, 0.1605)),
    (0, 20, (0.0, 0.0), (0.0, 0.1611)),
    (1, 29, (-0.0319, 0.1009), (0.0061, 0.1718)),
]


@pytest.mark.parametrize("correct, images, normal, wilson", NEWCOMBE)
def test_published_examples(correct, images, normal, wilson):
    assert intervals.normal_interval(correct, images) == pytest.approx(normal, abs=6e-5)
    assert intervals.wilson_interval(correct, images) == pytest.approx(wilson, abs=6e-5)


@pytest.mark.parametrize("interval", [intervals.normal_interval, intervals.wilson_interval])
def test_intervals_are_symmetric_and_narrow_with_more_images(interval):
    low, high = interval(30, 40)
    assert interval(10, 40) == pytest.approx((1 - high, 1 - low))
    assert interval(300, 400)[0] > low and interval(300, 400)[1] < high


@pytest.mark.parametrize("correct, images", [(-1, 10), (11, 10), (0, 0), (0.5, 10)])
def test_what_is_no_proportion(correct, images):
    with pytest.raises(ValueError):
        intervals.wilson_interval(correct, images)


def test_wilsons_coverage_is_better_where_few_are_wrong():
    """In 40 images with a true share of 0.95, the normal interval misses it far more often than one time in 20."""
    counts = np.random.default_rng(0).binomial(40, 0.95, size=2000)
    holds = {}
    for interval in (intervals.normal_interval, intervals.wilson_interval):
        bounds = np.array([interval(count, 40) for count in range(41)])[counts]
        holds[interval.__name__] = np.mean((bounds[:, 0] <= 0.95) & (bounds[:, 1] >= 0.95))
    assert holds["normal_interval"] < 0.9
    assert 0.93 < holds["wilson_interval"] < 0.98


# The bootstrap over lesions


def predictions(lesions: int = 150, each: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two classes; all images of a lesion are right or wrong together, about 0.8 and 0.6 of the lesions."""
    chance = np.random.default_rng(seed)
    of_lesion = np.arange(lesions) % 3 == 0
    right = chance.random(lesions) < np.where(of_lesion, 0.6, 0.8)
    true = np.repeat(of_lesion.astype(int), each)
    return true, np.where(np.repeat(right, each), true, 1 - true), np.repeat(np.arange(lesions), each)


def width(values) -> float:
    low, high = intervals.percentile_interval(values)
    return high - low


def test_each_draw_takes_whole_lesions_and_is_scored_as_the_metrics_do():
    true, predicted, lesions = predictions(12, 3)
    draws = intervals.bootstrap(true, predicted, lesions, draws=20, seed=5)
    times = np.random.default_rng(5).multinomial(12, np.full(12, 1 / 12), size=20)
    for row, (_, score) in zip(times, draws.iterrows(), strict=True):
        drawn = np.concatenate([np.flatnonzero(lesions == lesion) for lesion in np.repeat(np.arange(12), row)])
        assert score["accuracy"] == pytest.approx(accuracy_score(true[drawn], predicted[drawn]))
        assert score["bma"] == pytest.approx(bma(true[drawn], predicted[drawn]))


def test_a_lesion_is_right_or_wrong_as_a_whole():
    """Two lesions of three images, one right and one wrong: whole lesions leave three accuracies, 0, 1/2 and 1."""
    draws = intervals.bootstrap(["NV"] * 6, ["NV"] * 3 + ["MEL"] * 3, ["a"] * 3 + ["b"] * 3, draws=100)
    assert set(draws["accuracy"]) == {0, 0.5, 1}


def test_lesions_widen_the_interval_as_theory_says():
    """With identical outcomes in each lesion, 4 images tell no more than 1: the interval is twice as wide."""
    true, predicted, lesions = predictions()
    over_lesions = intervals.bootstrap(true, predicted, lesions)
    over_images = intervals.bootstrap(true, predicted, np.arange(len(true)))
    for score in ("accuracy", "bma"):
        assert width(over_lesions[score]) / width(over_images[score]) == pytest.approx(2, rel=0.12)


def test_over_single_images_it_agrees_with_the_normal_interval():
    true, predicted, _ = predictions(800, 1)
    draws = intervals.bootstrap(true, predicted, np.arange(800), draws=4000)["accuracy"]
    expected = intervals.normal_interval(int((true == predicted).sum()), 800)
    assert intervals.percentile_interval(draws) == pytest.approx(expected, abs=0.004)


def simulated(lesions: np.ndarray, seed: int, models: int = 1) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """A test set with as many lesions of each class as `lesions` says, and the predictions of some models.

    A lesion has one to four images, and is easy or hard for each model: the recalls are 0.4 to 0.8, so accuracy is not
    the same in all classes, and BMA is 0.6.
    """
    chance = np.random.default_rng(seed)
    label = np.repeat(np.arange(len(lesions)), lesions)
    images = chance.integers(1, 5, size=len(label))
    recall = np.linspace(0.4, 0.8, len(lesions))[label]
    true, lesion = np.repeat(label, images), np.repeat(np.arange(len(label)), images)
    predicted = []
    for _ in range(models):
        easy = np.repeat(chance.beta(2 * recall, 2 * (1 - recall)), images)
        predicted.append(np.where(chance.random(len(true)) < easy, true, (true + 1) % len(lesions)))
    return true, predicted, lesion


FEW_OF_ALL, MORE_OF_SOME = np.full(8, 20), np.array([60, 120, 40, 20, 40, 20, 20, 30])


@pytest.mark.parametrize("lesions", [FEW_OF_ALL, MORE_OF_SOME], ids=["20 each", "20 or more"])
def test_coverage_where_each_class_has_twenty_lesions_or_more(lesions):
    """The 95 % intervals over lesions of one model, and of the difference of two, hold the truth in 92 to 98 %."""
    accuracy = np.average(np.linspace(0.4, 0.8, 8), weights=lesions)
    holds = {"bma": [], "accuracy": [], "difference in bma": [], "difference in accuracy": [], "images": []}
    for seed in range(300):
        true, (first, second), lesion = simulated(lesions, seed, models=2)
        one = intervals.bootstrap(true, first, lesion, draws=300)
        both = intervals.paired_bootstrap(true, first, second, lesion, draws=300)
        over_images = intervals.bootstrap(true, first, np.arange(len(true)), draws=100)["bma"]
        cases = [(one["bma"], 0.6), (one["accuracy"], accuracy), (both["bma"], 0), (both["accuracy"], 0)]
        for name, (drawn, truth) in zip(holds, [*cases, (over_images, 0.6)], strict=True):
            low, high = intervals.percentile_interval(drawn)
            holds[name].append(low <= truth <= high)
    coverage = {name: np.mean(held) for name, held in holds.items()}
    assert coverage.pop("images") < 0.91, "which takes the images of a lesion for independent"
    assert all(0.92 <= value <= 0.98 for value in coverage.values()), coverage


def small_group(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """30 lesions of a frequent class, recognised in 90 %, and one of each of four others, recognised in 30 %."""
    chance = np.random.default_rng(seed)
    true = np.repeat(np.arange(5), [30, 1, 1, 1, 1])
    right = chance.random(len(true)) < np.where(true == 0, 0.9, 0.3)
    return true, np.where(right, true, (true + 1) % 5), np.arange(len(true))


def test_without_strata_the_bma_of_a_small_group_is_drawn_too_high_and_with_strata_it_is_not():
    too_high = {"plain": [], "stratified": []}
    for seed in range(200):
        true, predicted, lesion = small_group(seed)
        for name, strata in (("plain", None), ("stratified", true)):
            drawn = intervals.bootstrap(true, predicted, lesion, draws=300, seed=seed, strata=strata)["bma"]
            too_high[name].append(drawn.mean() - bma(true, predicted))
    assert np.mean(too_high["plain"]) > 0.02, "classes that a draw has lost are the badly recognised ones"
    assert abs(np.mean(too_high["stratified"])) < 0.003


@pytest.mark.parametrize("lesions", [FEW_OF_ALL, MORE_OF_SOME], ids=["20 each", "20 or more"])
def test_coverage_of_the_stratified_interval(lesions):
    held = []
    for seed in range(300):
        true, (predicted,), lesion = simulated(lesions, seed)
        drawn = intervals.bootstrap(true, predicted, lesion, draws=300, strata=true)["bma"]
        low, high = intervals.percentile_interval(drawn)
        held.append(low <= 0.6 <= high)
    assert 0.92 <= np.mean(held) <= 0.98


@pytest.mark.parametrize("lesions", [FEW_OF_ALL, MORE_OF_SOME], ids=["20 each", "20 or more"])
def test_coverage_of_the_stratified_difference(lesions):
    """Lessons 06 and 08: two models on the same lesions, drawn within each class. The second predicts half of the
    lesions as the first does and is wrong on another tenth, so the true difference is a tenth of 0.6. (With 20 lesions
    or more it is close to the lower limit: 0.921 in 1,000 test sets instead of 300.)"""
    holds = {"lesions": [], "images": []}
    for seed in range(300):
        true, (first, second), lesion = simulated(lesions, seed, models=2)
        fate = np.random.default_rng([seed, 1]).choice(3, p=[0.5, 0.1, 0.4], size=lesions.sum())[lesion]
        second = np.choose(fate, [first, (true + 1) % len(lesions), second])
        for unit, of_image, draws in (("lesions", lesion, 300), ("images", np.arange(len(true)), 100)):
            drawn = intervals.paired_bootstrap(true, first, second, of_image, draws, strata=true)["bma"]
            low, high = intervals.percentile_interval(drawn)
            holds[unit].append(low <= 0.06 <= high)
    coverage = {unit: np.mean(held) for unit, held in holds.items()}
    assert 0.92 <= coverage["lesions"] <= 0.98, coverage
    assert coverage["images"] < 0.9, "which takes the images of a lesion for independent"


def test_every_draw_has_as_many_lesions_of_each_stratum_as_there_are():
    lesions, strata = ["a", "a", "b", "c", "d", "d", "e"], ["x", "x", "x", "y", "x", "y", "y"]
    times = intervals.draw_lesions(lesions, strata, draws=50)
    assert times.shape == (50, 5) and (times[:, [0, 1]].sum(axis=1) == 2).all()  # a and b: x
    assert (times[:, [2, 4]].sum(axis=1) == 2).all() and (times[:, 3] == 1).all()  # c and e: y; d: both
    assert set(times[:, 0]) == {0, 1, 2}


def test_the_mean_of_a_draw_is_over_all_images_of_its_lesions():
    values, lesions = np.array([1.0, 3.0, 10.0]), ["a", "a", "b"]
    times = intervals.draw_lesions(lesions, draws=40, seed=2)
    expected = (4 * times[:, 0] + 10 * times[:, 1]) / (2 * times[:, 0] + times[:, 1])
    assert intervals.bootstrap_mean(values, lesions, draws=40, seed=2) == pytest.approx(expected)
    right = intervals.bootstrap(["NV"] * 3, ["NV", "MEL", "NV"], lesions, draws=40, seed=2)["accuracy"]
    assert intervals.bootstrap_mean([True, False, True], lesions, draws=40, seed=2) == pytest.approx(right)


def test_four_lesions_are_too_few_for_an_interval():
    """The recall of one class: with 4 lesions its interval holds the truth far too seldom, with 40 nearly so."""
    coverage = {}
    for count in (4, 40):
        held = []
        for seed in range(500):
            chance = np.random.default_rng(seed)
            lesion = np.repeat(np.arange(count), chance.integers(1, 5, size=count))
            right = chance.random(len(lesion)) < chance.beta(1.2, 0.8, size=count)[lesion]
            drawn = intervals.bootstrap(np.ones(len(right)), right, lesion, draws=400)["accuracy"]
            low, high = intervals.percentile_interval(drawn)
            held.append(low <= 0.6 <= high)
        coverage[count] = np.mean(held)
    assert 0.7 < coverage[4] < 0.88 and 0.92 <= coverage[40] <= 0.98, coverage


def weighted_areas(is_class: np.ndarray, score: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The area under the ROC curve and the average precision for each row of weights [draws, n]; no score twice."""
    order = np.argsort(-score)
    right, all_alarms = (weight[:, order] * is_class[order]).astype(float), weight[:, order].cumsum(axis=1)
    found, others = right.cumsum(axis=1), weight[:, order] * ~is_class[order]
    auc = (others * found).sum(axis=1) / found[:, -1] / others.sum(axis=1)
    return auc, (right * found / np.maximum(all_alarms, 1)).sum(axis=1) / found[:, -1]


def test_coverage_of_the_intervals_of_auc_and_ap():
    """Lesson 05: the lesions of a class and the others drawn separately, an image weighted by how often its lesion
    comes up. With 60 lesions of the class the interval holds the truth in 92 to 98 %, with 5 far more seldom."""

    def test_set(lesions: int, others: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        chance = np.random.default_rng(seed)
        is_class = np.arange(lesions + others) < lesions
        images = chance.integers(1, 5, size=len(is_class))
        score = np.repeat(1.5 * is_class + chance.normal(0, 0.8, size=len(is_class)), images)
        lesion = np.repeat(np.arange(len(is_class)), images)
        return is_class[lesion], score + chance.normal(0, 0.6, size=len(score)), lesion

    is_class, score, lesion = test_set(20, 100, seed=0)
    weight = intervals.draw_lesions(lesion, strata=is_class, draws=3)[:, lesion]
    for number, found in enumerate(zip(*weighted_areas(is_class, score, weight), strict=True)):
        options = {"sample_weight": weight[number]}
        expected = roc_auc_score(is_class, score, **options), average_precision_score(is_class, score, **options)
        assert found == pytest.approx(expected)

    coverage = {}
    for lesions in (5, 60):
        is_class, score, _ = test_set(lesions * 1000, 100 * 1000, seed=0)
        truth = np.ravel(weighted_areas(is_class, score, np.ones((1, len(score)), dtype=int)))
        held = []
        for seed in range(300):
            is_class, score, lesion = test_set(lesions, 100, seed)
            weight = intervals.draw_lesions(lesion, strata=is_class, draws=200, seed=seed)[:, lesion]
            limits = np.quantile(weighted_areas(is_class, score, weight), [0.025, 0.975], axis=1)
            held.append((limits[0] <= truth) & (truth <= limits[1]))
        coverage[lesions] = np.mean(held, axis=0)
    assert (coverage[5] < 0.9).all() and ((coverage[60] >= 0.92) & (coverage[60] <= 0.98)).all(), coverage


def function_of_lesson(notebook: str, name: str) -> Callable:
    """A function, as a lesson writes it out."""
    cells = nbformat.read(PROJECT / "notebooks" / f"{notebook}.ipynb", as_version=4).cells
    (source,) = [cell.source for cell in cells if f"def {name}(" in cell.source]
    (function,) = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    names = {"np": np, "pd": pd, "stats": stats, "intervals": intervals}
    exec(compile(ast.Module([function], []), notebook, "exec"), names)
    return names[name]


# Means, differences of groups and coefficients of lesson 07


def masks_of(lesions: int, chance: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The lesion of each image, one to four of each; two properties of it; and by how much its Jaccard index is above
    the mean, 8/11: skewed, and alike for the images of a lesion."""
    lesion = np.repeat(np.arange(lesions), chance.integers(1, 5, size=lesions))
    properties = chance.normal(size=(lesions, 2))
    properties[:, 1] += properties[:, 0] / 2
    above = chance.beta(4, 1.5, size=lesions)[lesion] - 8 / 11 + chance.normal(0, 0.05, size=len(lesion))
    return lesion, properties[lesion], above


def test_coverage_of_the_mean_of_a_score():
    """With 9 lesions, as on dark skin in lesson 07, the interval of the mean Jaccard index is too narrow."""
    coverage = {}
    for lesions in (9, 60):
        chance, held = np.random.default_rng(0), []
        for _ in range(1000):
            lesion, _, above = masks_of(lesions, chance)
            low, high = intervals.percentile_interval(intervals.bootstrap_mean(above, lesion, draws=300))
            held.append(low <= 0 <= high)
        coverage[lesions] = np.mean(held)
    assert 0.82 < coverage[9] < 0.9 and 0.92 <= coverage[60] <= 0.98, coverage


def test_coverage_of_the_difference_of_a_group_and_the_rest():
    gap = function_of_lesson("07_unet_segmentation", "gap")
    chance, held = np.random.default_rng(0), []
    for _ in range(600):
        lesion, properties, above = masks_of(80, chance)
        group = properties[:, 0] > 0.5
        drawn = intervals.draw_lesions(lesion, draws=300)[:, lesion]
        gap.__globals__.update(drawn=drawn, jaccard=above - 0.1 * group)  # variables of the lesson
        found = gap(group)
        assert found["images"] == group.sum() and found["difference"] == pytest.approx(found["group"] - found["rest"])
        held.append(found["low"] <= -0.1 <= found["high"])
    assert 0.92 <= np.mean(held) <= 0.98


@pytest.mark.parametrize("lesions, draws", [(120, 200), (240, 300)])
def test_coverage_of_the_coefficients_of_a_regression(lesions, draws):
    effects = function_of_lesson("07_unet_segmentation", "effects")
    chance, held = np.random.default_rng(0), []
    for _ in range(300):
        lesion, properties, above = masks_of(lesions, chance)
        jaccard = pd.Series(above + properties @ [0.02, 0.05])
        found = effects(pd.DataFrame(properties, columns=["ITA", "log size"]), jaccard, pd.Series(lesion), draws=draws)
        held.append((found["low"] <= [0.02, 0.05]) & (found["high"] >= [0.02, 0.05]))
    coverage = np.mean(held, axis=0)
    assert 0.91 <= coverage.mean() <= 0.97, coverage
    assert lesions < 240 or ((coverage >= 0.92) & (coverage <= 0.98)).all(), coverage


def test_the_seed_decides():
    first, again, other = (intervals.bootstrap(*predictions(), draws=50, seed=seed) for seed in (0, 0, 1))
    assert first.equals(again) and not first.equals(other)


def test_lesions_and_classes_may_have_any_names():
    true, predicted, lesions = predictions()
    expected = intervals.bootstrap(true, predicted, lesions, draws=50)
    names = np.array([f"IL_{999 - lesion}" for lesion in lesions])
    codes = np.array(["MEL", "NV"])
    column = pd.Series(pd.Categorical(codes[true], [*codes, "DF"]))  # a class without an image does not count
    assert intervals.bootstrap(column, codes[predicted].tolist(), names, draws=50).equals(expected)


def test_columns_that_do_not_fit():
    true, predicted, lesions = predictions()
    for columns in [(true, predicted, lesions[:-1]), (true, predicted[:-1], lesions)]:
        with pytest.raises(ValueError, match="inconsistent numbers of samples"):
            intervals.bootstrap(*columns)
    with pytest.raises(ValueError, match="has no lesion"):
        intervals.bootstrap(true, predicted, np.where(lesions > 3, lesions.astype(object), None))


# Two models


def test_the_difference_of_a_model_and_itself_is_none():
    true, predicted, lesions = predictions()
    assert (intervals.paired_bootstrap(true, predicted, predicted, lesions) == 0).all().all()


@pytest.mark.parametrize("stratified", [False, True])
def test_the_paired_bootstrap_is_the_difference_in_the_same_draw(stratified):
    true, first, lesions = predictions(seed=0)
    _, second, _ = predictions(seed=1)
    options = {"draws": 50, "seed": 3, "strata": true if stratified else None}
    both = intervals.paired_bootstrap(true, first, second, lesions, **options)
    each = [intervals.bootstrap(true, model, lesions, **options) for model in (first, second)]
    assert np.allclose(both, each[0] - each[1])
    reversed_ = intervals.paired_bootstrap(true, second, first, lesions, **options)
    assert np.allclose(reversed_, -both)


def test_pairing_finds_a_small_difference_that_two_intervals_hide():
    true, second, lesions = predictions(300, 1)
    first = second.copy()
    wrong = np.flatnonzero(second != true)[:9]
    first[wrong] = true[wrong]  # right wherever the second model is, and nine times more
    low, _ = intervals.percentile_interval(intervals.bootstrap(true, first, lesions)["accuracy"])
    _, high = intervals.percentile_interval(intervals.bootstrap(true, second, lesions)["accuracy"])
    assert low < high, "the intervals of the two overlap"
    paired = intervals.paired_bootstrap(true, first, second, lesions)["accuracy"]
    assert intervals.percentile_interval(paired)[0] > 0
    assert intervals.mcnemar(true, first, second) == {"only_first": 9, "only_second": 0, "p": pytest.approx(2 / 2**9)}


def test_mcnemar_by_hand():
    """Six images only the first gets right, one only the second: p = 2 · (1 + 7) / 2⁷ = 0.125."""
    true = np.zeros(20, dtype=int)
    first, second = np.ones(20, dtype=int), np.ones(20, dtype=int)
    first[:6], second[6:7], first[7:12], second[7:12] = 0, 0, 0, 0
    assert intervals.mcnemar(true, first, second) == {"only_first": 6, "only_second": 1, "p": pytest.approx(0.125)}
    assert intervals.mcnemar(true, second, first) == {"only_first": 1, "only_second": 6, "p": pytest.approx(0.125)}


def test_mcnemar_agrees_with_the_chi_square_form_where_there_are_many():
    """(|b - c| - 1)² / (b + c), with the correction for continuity, is chi-square with one degree of freedom."""
    true = np.zeros(1000, dtype=int)
    first, second = true.copy(), true.copy()
    first[:120], second[120:280] = 1, 1
    expected = stats.chi2.sf((abs(120 - 160) - 1) ** 2 / 280, df=1)
    assert intervals.mcnemar(true, first, second)["p"] == pytest.approx(expected, rel=0.02)


def test_mcnemar_where_the_models_never_differ():
    true = np.array([0, 1, 1])
    assert intervals.mcnemar(true, true, true) == {"only_first": 0, "only_second": 0, "p": 1.0}


def test_mcnemars_type_1_error():
    """Two models equally good: p is below 0.05 in less than one case of 20, the exact test being careful."""
    chance = np.random.default_rng(0)
    true = np.zeros(200, dtype=int)
    models = (chance.random((600, 2, 200)) < 0.3).astype(int)
    below = np.mean([intervals.mcnemar(true, first, second)["p"] < 0.05 for first, second in models])
    assert 0.01 < below <= 0.05


# Two models, with several images of a lesion

# N. Obuchowski 1998, doi:10.1002/(SICI)1097-0258(19980715)17:13<1495::AID-SIM863>3.0.CO;2-I: glands of 21 patients,
# judged by PET and SPECT; of each patient, the glands that both judge rightly, PET alone, SPECT alone, and neither.
GLANDS = np.array(
    [
        [0, 2, 3, 1, 2, 4, 3, 2, 1, 1, 2, 2, 3, 2, 0, 2, 2, 2, 2, 1, 2],
        [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 1, 0, 0, 0],
        [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0],
    ]
)


def glands() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A row per gland: the truth (always 1), PET, SPECT, the patient."""
    kind, patient = (np.repeat(index.ravel(), GLANDS.ravel()) for index in np.indices(GLANDS.shape))
    return np.ones_like(kind), np.isin(kind, [0, 1]).astype(int), np.isin(kind, [0, 2]).astype(int), patient


def test_sign_flips_of_a_published_example():
    """Six patients differ, by 1, 1, 1, 1, 2 and 2 glands, -6 in all: of the 64 sums, 10 are as large. Obuchowski's
    chi-square is 2.857."""
    true, pet, spect, patient = glands()
    difference = np.bincount(patient, (pet - spect).astype(float))
    assert difference.sum() ** 2 / (difference**2).sum() * 20 / 21 == pytest.approx(2.857, abs=0.0005)
    assert intervals.sign_flip_test(true, pet, spect, patient, draws=40_000)["accuracy"] == pytest.approx(
        10 / 64, abs=0.008
    )
    assert intervals.mcnemar(true, pet, spect)["p"] == pytest.approx(2 * (1 + 8) / 2**8)


def test_durkalskis_test_by_hand_and_its_type_1_error():
    """The glands: d/n is -2/3, -1/3, -1/3, 1/2, -1, -1/3 in the six patients that differ, so chi-square is 169/73."""
    durkalski = function_of_lesson("06_cross_validation", "durkalski")
    _, pet, spect, patient = glands()
    of_patient = pd.Series(pet - spect).groupby(patient).agg(["sum", "size"])
    assert durkalski(of_patient["sum"], of_patient["size"]) == pytest.approx(stats.chi2.sf(169 / 73, df=1))
    found = []
    for seed in range(500):
        true, (first, second), lesion = simulated(FEW_OF_ALL, seed, models=2)
        of_lesion = pd.Series((first == true).astype(int) - (second == true)).groupby(lesion).agg(["sum", "size"])
        found.append(durkalski(of_lesion["sum"], of_lesion["size"]) < 0.05)
    assert 0.02 <= np.mean(found) <= 0.08


def test_sign_flips_with_one_image_per_lesion_are_mcnemars_test():
    true = np.zeros(60, dtype=int)
    first, second = np.ones(60, dtype=int), np.ones(60, dtype=int)
    first[:18], second[18:25] = 0, 0
    p = intervals.sign_flip_test(true, first, second, np.arange(60), draws=40_000)
    exact = intervals.mcnemar(true, first, second)["p"]
    assert p["accuracy"] == pytest.approx(exact, abs=0.005) and p["bma"] == p["accuracy"]
    assert intervals.sign_flip_test(true, first, first, np.arange(60)) == {"accuracy": 1, "bma": 1}
    assert intervals.sign_flip_test(true, second, first, np.arange(60), draws=40_000) == p


def test_sign_flips_of_bma_weigh_classes_alike():
    """The first model is right on 30 images of a large class, the second on all 12 of a small one."""
    true = np.repeat([0, 1], [300, 12])
    second = true.copy()
    second[:30] = 1
    first = np.where(true == 1, 0, true)
    p = intervals.sign_flip_test(true, first, second, np.arange(312))
    assert intervals.paired_bootstrap(true, first, second, np.arange(312))["bma"].mean() < -0.4
    assert p["bma"] < 0.005 < p["accuracy"] < 0.05
    with pytest.raises(ValueError, match="has no lesion"):
        intervals.sign_flip_test(true, first, second, [None] * 312)


def test_type_1_error_of_both_tests_with_clustered_lesions():
    """Two models equally good: sign flips over lesions keep the 5 %, McNemar's test over images does not."""
    p = {"accuracy": [], "bma": [], "mcnemar": []}
    for seed in range(500):
        true, (first, second), lesion = simulated(FEW_OF_ALL, seed, models=2)
        of_seed = intervals.sign_flip_test(true, first, second, lesion, draws=400, seed=seed)
        of_seed |= {"mcnemar": intervals.mcnemar(true, first, second)["p"]}
        for name, value in of_seed.items():
            p[name].append(value)
    below = {name: np.mean(np.array(values) < 0.05) for name, values in p.items()}
    assert 0.02 <= below["accuracy"] <= 0.08 and 0.02 <= below["bma"] <= 0.08, below
    assert below["mcnemar"] > 0.1, below


# Two methods over several splits


def test_the_corrected_t_test_of_a_published_example():
    """scikit-learn's example "Statistical comparison of models using grid search": two SVMs, 10 × 10 folds of 100
    points; uncorrected t 2.611 and one-sided p 0.005, corrected 0.750 and 0.227."""
    moons, label = make_moons(noise=0.352, random_state=1, n_samples=100)
    folds = RepeatedStratifiedKFold(n_splits=10, n_repeats=10, random_state=0)
    radial, linear = (
        cross_val_score(SVC(kernel=kernel, random_state=0), moons, label, cv=folds, scoring="roc_auc")
        for kernel in ("rbf", "linear")
    )
    plain, corrected = (intervals.corrected_t_test(radial - linear, ratio) for ratio in (0, 10 / 90))
    assert plain == {"t": pytest.approx(2.611, abs=0.0006), "p": pytest.approx(2 * 0.005, abs=0.001)}
    assert corrected == {"t": pytest.approx(0.750, abs=0.0006), "p": pytest.approx(2 * 0.227, abs=0.001)}
    assert intervals.corrected_t_test(linear - radial, 10 / 90)["t"] == -corrected["t"]


def test_without_the_correction_it_is_the_plain_t_test():
    values = np.random.default_rng(0).normal(0.3, 1, size=12)
    expected = stats.ttest_1samp(values, 0)
    found = intervals.corrected_t_test(values, 0)
    assert (found["t"], found["p"]) == pytest.approx((expected.statistic, expected.pvalue))


def test_type_1_error_of_the_t_tests_over_folds():
    """Two methods equally good, each with features of its own: only the corrected test keeps the 5 %."""
    chance = np.random.default_rng(0)
    label = np.arange(200) % 2
    p = {0: [], 0.25: []}
    for _ in range(250):
        inputs = chance.normal(size=(2, 200, 5)) + 0.3 * label[:, None]
        differences = []
        for fold in (chance.permutation(200) % 5 for _ in range(4)):
            for test in (fold == number for number in range(5)):
                zero, one = (inputs[:, ~test & (label == c)].mean(axis=1, keepdims=True) for c in (0, 1))
                score = ((inputs[:, test] - (zero + one) / 2) * (one - zero)).sum(axis=2)
                differences.append(np.subtract(*((score > 0) == label[test]).mean(axis=1)))
        for ratio, values in p.items():
            values.append(intervals.corrected_t_test(differences, ratio)["p"])
    below = {ratio: np.mean(np.array(values) < 0.05) for ratio, values in p.items()}
    assert below[0] > 0.2 and 0.005 <= below[0.25] <= 0.07, below


def test_holms_correction_of_a_published_example():
    """The documentation of R's p.adjust corrects like this; the order of the tests does not matter."""
    assert intervals.holm([0.01, 0.02, 0.03, 0.04, 0.05]) == pytest.approx([0.05, 0.08, 0.09, 0.09, 0.09])
    assert intervals.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert intervals.holm([0.9, 0.6]) == pytest.approx([1, 1]) and intervals.holm([0.2]) == pytest.approx([0.2])


def test_holm_finds_what_is_not_there_in_one_case_of_twenty():
    p = np.random.default_rng(0).random((1500, 5))
    assert np.mean((p < 0.05).any(axis=1)) > 0.2
    assert 0.03 < np.mean([(intervals.holm(row) < 0.05).any() for row in p]) < 0.07
