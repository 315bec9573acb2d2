"""Intervals and paired tests: published worked examples, sums done by hand, and their coverage."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import accuracy_score

from isic_utils.metrics import bma, intervals

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
    assert interval(30, 40, level=0.99)[0] < low and interval(30, 40, level=0.99)[1] > high
    assert interval(300, 400)[0] > low and interval(300, 400)[1] < high


@pytest.mark.parametrize("correct, images", [(-1, 10), (11, 10), (0, 0), (0.5, 10)])
@pytest.mark.parametrize("interval", [intervals.normal_interval, intervals.wilson_interval])
def test_what_is_no_proportion(interval, correct, images):
    with pytest.raises(ValueError, match=f"{correct} of {images} images is no proportion"):
        interval(correct, images)


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


def test_coverage_over_lesions_is_about_what_it_says():
    """A hundred test sets of lesions with 0.8 and 0.6 to be right, so accuracy 0.733 and BMA 0.7 in truth."""
    over_lesions, over_images = [], []
    for seed in range(100):
        true, predicted, lesions = predictions(seed=seed)
        for units, holds in ((lesions, over_lesions), (np.arange(len(true)), over_images)):
            draws = intervals.bootstrap(true, predicted, units, draws=300)
            low, high = intervals.percentile_interval(draws["bma"])
            holds.append(low <= 0.7 <= high)
    assert np.mean(over_lesions) > 0.88
    assert np.mean(over_images) < 0.8, "which takes the images of a lesion for independent"


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
    for columns in [(true, predicted, lesions[:-1]), (true, predicted[:-1], lesions), ([], [], []), (0, 0, 0)]:
        with pytest.raises(ValueError, match="do not fit"):
            intervals.bootstrap(*columns)
    with pytest.raises(ValueError, match="has no lesion"):
        intervals.bootstrap(true, predicted, np.where(lesions > 3, lesions.astype(object), None))


# Two models


def test_the_difference_of_a_model_and_itself_is_none():
    true, predicted, lesions = predictions()
    assert (intervals.paired_bootstrap(true, predicted, predicted, lesions) == 0).all().all()


def test_the_paired_bootstrap_is_the_difference_in_the_same_draw():
    true, first, lesions = predictions(seed=0)
    _, second, _ = predictions(seed=1)
    both = intervals.paired_bootstrap(true, first, second, lesions, draws=50, seed=3)
    each = [intervals.bootstrap(true, model, lesions, draws=50, seed=3) for model in (first, second)]
    assert np.allclose(both, each[0] - each[1])
    reversed_ = intervals.paired_bootstrap(true, second, first, lesions, draws=50, seed=3)
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
