"""Intervals and paired tests: published worked examples, sums done by hand, and how often they are right."""

import numpy as np
import pytest
from scipy import stats

from isic_utils.metrics import classification as metrics, intervals as statistics

# The normal and the Wilson interval


NEWCOMBE = [  # R. Newcombe 1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<857::AID-SIM777>3.0.CO;2-E, Table I
    (81, 263, (0.2522, 0.3638), (0.2553, 0.3662)),
    (15, 148, (0.0527, 0.1500), (0.0624, 0.1605)),
    (0, 20, (0.0, 0.0), (0.0, 0.1611)),
    (1, 29, (-0.0319, 0.1009), (0.0061, 0.1718)),
]


@pytest.mark.parametrize("correct, pictures, normal, wilson", NEWCOMBE)
def test_published_examples(correct, pictures, normal, wilson):
    assert statistics.normal_interval(correct, pictures) == pytest.approx(normal, abs=6e-5)
    assert statistics.wilson_interval(correct, pictures) == pytest.approx(wilson, abs=6e-5)


@pytest.mark.parametrize("interval", [statistics.normal_interval, statistics.wilson_interval])
def test_wrong_and_right_change_places(interval):
    low, high = interval(30, 40)
    assert interval(10, 40) == pytest.approx((1 - high, 1 - low))
    assert interval(30, 40, level=0.99)[0] < low and interval(30, 40, level=0.99)[1] > high
    assert interval(300, 400)[0] > low and interval(300, 400)[1] < high


@pytest.mark.parametrize("correct, pictures", [(-1, 10), (11, 10), (0, 0), (0.5, 10)])
@pytest.mark.parametrize("interval", [statistics.normal_interval, statistics.wilson_interval])
def test_what_is_no_share(interval, correct, pictures):
    with pytest.raises(ValueError, match=f"{correct} of {pictures} pictures is no share"):
        interval(correct, pictures)


def test_wilson_holds_the_truth_more_often_where_few_are_wrong():
    """In 40 pictures with a true share of 0.95, the normal interval misses it far more often than one time in 20."""
    counts = np.random.default_rng(0).binomial(40, 0.95, size=2000)
    holds = {}
    for interval in (statistics.normal_interval, statistics.wilson_interval):
        bounds = np.array([interval(count, 40) for count in range(41)])[counts]
        holds[interval.__name__] = np.mean((bounds[:, 0] <= 0.95) & (bounds[:, 1] >= 0.95))
    assert holds["normal_interval"] < 0.9
    assert 0.93 < holds["wilson_interval"] < 0.98


# The bootstrap over lesions


def answers(lesions: int = 150, each: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two classes; all pictures of a lesion are right or wrong together, about 0.8 and 0.6 of the lesions."""
    chance = np.random.default_rng(seed)
    of_lesion = np.arange(lesions) % 3 == 0
    right = chance.random(lesions) < np.where(of_lesion, 0.6, 0.8)
    true = np.repeat(of_lesion.astype(int), each)
    return true, np.where(np.repeat(right, each), true, 1 - true), np.repeat(np.arange(lesions), each)


def width(values) -> float:
    low, high = statistics.percentile_interval(values)
    return high - low


def test_each_draw_is_scored_as_the_metrics_do():
    true, predicted, lesions = answers(12, 3)
    draws = statistics.bootstrap(true, predicted, lesions, classes=2, draws=20, seed=5)
    times = np.random.default_rng(5).multinomial(12, np.full(12, 1 / 12), size=20)
    for row, (_, score) in zip(times, draws.iterrows(), strict=True):
        drawn = np.concatenate([np.flatnonzero(lesions == lesion) for lesion in np.repeat(np.arange(12), row)])
        assert score["accuracy"] == pytest.approx(metrics.accuracy(true[drawn], predicted[drawn]))
        assert score["BMA"] == pytest.approx(metrics.balanced_accuracy(true[drawn], predicted[drawn], 2))


def test_lesions_widen_the_interval_as_theory_says():
    """With identical outcomes in each lesion, 4 pictures tell no more than 1: the interval is twice as wide."""
    true, predicted, lesions = answers()
    over_lesions = statistics.bootstrap(true, predicted, lesions, classes=2)
    over_pictures = statistics.bootstrap(true, predicted, np.arange(len(true)), classes=2)
    for score in ("accuracy", "BMA"):
        assert width(over_lesions[score]) / width(over_pictures[score]) == pytest.approx(2, rel=0.12)


def test_over_single_pictures_it_agrees_with_the_normal_interval():
    true, predicted, _ = answers(800, 1)
    draws = statistics.bootstrap(true, predicted, np.arange(800), classes=2, draws=4000)["accuracy"]
    expected = statistics.normal_interval(int((true == predicted).sum()), 800)
    assert statistics.percentile_interval(draws) == pytest.approx(expected, abs=0.004)


def test_it_holds_the_truth_about_as_often_as_it_says():
    """A hundred test sets of lesions with 0.8 and 0.6 to be right, so accuracy 0.733 and BMA 0.7 in truth."""
    over_lesions, over_pictures = [], []
    for seed in range(100):
        true, predicted, lesions = answers(seed=seed)
        for units, holds in ((lesions, over_lesions), (np.arange(len(true)), over_pictures)):
            draws = statistics.bootstrap(true, predicted, units, classes=2, draws=300)
            low, high = statistics.percentile_interval(draws["BMA"])
            holds.append(low <= 0.7 <= high)
    assert np.mean(over_lesions) > 0.88
    assert np.mean(over_pictures) < 0.8, "which takes the pictures of a lesion for independent"


def test_the_seed_decides():
    first, again, other = (statistics.bootstrap(*answers(), classes=2, draws=50, seed=seed) for seed in (0, 0, 1))
    assert first.equals(again) and not first.equals(other)


def test_names_of_lesions_may_be_anything_and_in_any_order():
    true, predicted, lesions = answers()
    expected = statistics.bootstrap(true, predicted, lesions, classes=2, draws=50)
    names = np.array([f"IL_{999 - lesion}" for lesion in lesions])
    assert statistics.bootstrap(true, predicted, names, classes=2, draws=50).equals(expected)


def test_a_class_that_is_not_there_does_not_count():
    true, predicted, lesions = answers()
    two = statistics.bootstrap(true, predicted, lesions, classes=2, draws=50)
    three = statistics.bootstrap(true, predicted, lesions, classes=8, draws=50)
    assert np.allclose(two, three)


def test_arrays_that_do_not_fit():
    true, predicted, lesions = answers()
    with pytest.raises(ValueError, match="`lesions` is of shape"):
        statistics.bootstrap(true, predicted, lesions[:-1], classes=2)
    with pytest.raises(ValueError, match="`predicted` of"):
        statistics.bootstrap(true, predicted[:-1], lesions, classes=2)
    with pytest.raises(ValueError, match="must be from 0 to 0"):
        statistics.bootstrap(true, predicted, lesions, classes=1)
    with pytest.raises(ValueError, match="has no lesion"):
        statistics.bootstrap(true, predicted, np.where(lesions > 3, lesions.astype(object), None), classes=2)


# Two models


def test_the_difference_of_a_model_and_itself_is_none():
    true, predicted, lesions = answers()
    assert (statistics.paired_bootstrap(true, predicted, predicted, lesions, classes=2) == 0).all().all()


def test_the_paired_bootstrap_is_the_difference_in_the_same_draw():
    true, first, lesions = answers(seed=0)
    _, second, _ = answers(seed=1)
    both = statistics.paired_bootstrap(true, first, second, lesions, classes=2, draws=50, seed=3)
    each = [statistics.bootstrap(true, model, lesions, classes=2, draws=50, seed=3) for model in (first, second)]
    assert np.allclose(both, each[0] - each[1])
    reversed_ = statistics.paired_bootstrap(true, second, first, lesions, classes=2, draws=50, seed=3)
    assert np.allclose(reversed_, -both)


def test_pairing_finds_a_small_difference_that_two_intervals_hide():
    true, second, lesions = answers(300, 1)
    first = second.copy()
    wrong = np.flatnonzero(second != true)[:9]
    first[wrong] = true[wrong]  # right wherever the second model is, and nine times more
    low, _ = statistics.percentile_interval(statistics.bootstrap(true, first, lesions, classes=2)["accuracy"])
    _, high = statistics.percentile_interval(statistics.bootstrap(true, second, lesions, classes=2)["accuracy"])
    assert low < high, "the intervals of the two overlap"
    paired = statistics.paired_bootstrap(true, first, second, lesions, classes=2)["accuracy"]
    assert statistics.percentile_interval(paired)[0] > 0
    assert statistics.mcnemar(true, first, second) == {"only_first": 9, "only_second": 0, "p": pytest.approx(2 / 2**9)}


def test_mcnemar_by_hand():
    """Six pictures only the first gets right, one only the second: p = 2 · (1 + 7) / 2⁷ = 0.125."""
    true = np.zeros(20, dtype=int)
    first, second = np.ones(20, dtype=int), np.ones(20, dtype=int)
    first[:6], second[6:7], first[7:12], second[7:12] = 0, 0, 0, 0
    assert statistics.mcnemar(true, first, second) == {"only_first": 6, "only_second": 1, "p": pytest.approx(0.125)}
    assert statistics.mcnemar(true, second, first) == {"only_first": 1, "only_second": 6, "p": pytest.approx(0.125)}


def test_mcnemar_agrees_with_the_chi_square_form_where_there_are_many():
    """(|b - c| - 1)² / (b + c), with the correction for continuity, is chi-square with one degree of freedom."""
    true = np.zeros(1000, dtype=int)
    first, second = true.copy(), true.copy()
    first[:120], second[120:280] = 1, 1
    expected = stats.chi2.sf((abs(120 - 160) - 1) ** 2 / 280, df=1)
    assert statistics.mcnemar(true, first, second)["p"] == pytest.approx(expected, rel=0.02)


def test_mcnemar_where_the_models_never_differ():
    true = np.array([0, 1, 1])
    assert statistics.mcnemar(true, true, true) == {"only_first": 0, "only_second": 0, "p": 1.0}


def test_mcnemar_is_wrong_about_as_often_as_it_may_be():
    """Two models equally good: p is below 0.05 in less than one case of 20, the exact test being careful."""
    chance = np.random.default_rng(0)
    true = np.zeros(200, dtype=int)
    models = (chance.random((600, 2, 200)) < 0.3).astype(int)
    below = np.mean([statistics.mcnemar(true, first, second)["p"] < 0.05 for first, second in models])
    assert 0.01 < below <= 0.05
