"""Calibration beside scikit-learn's and beside values worked out by hand."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, precision_recall_curve, recall_score

from isic_utils.metrics import calibration


def drawn(images: int = 4000, classes: int = 5, sharpened: float = 1.0, seed: int = 0):
    """Probabilities of a calibrated model, whose logits are then multiplied by `sharpened`, and the truth."""
    chance = np.random.default_rng(seed)
    logits = chance.normal(0, 2, (images, classes))
    true = np.array([chance.choice(classes, p=row) for row in softmax(logits, axis=1)])
    return softmax(sharpened * logits, axis=1), true


def test_a_temperature_divides_the_logits():
    logits = np.random.default_rng(0).normal(0, 3, (50, 8))
    scaled = calibration.apply_temperature(softmax(logits, axis=1), 2.5)
    np.testing.assert_allclose(scaled, softmax(logits / 2.5, axis=1), rtol=1e-6)


def test_a_temperature_keeps_every_prediction_and_copes_with_rounded_zeros():
    probabilities = np.array([[1.0, 0.0, 0.0], [0.2, 0.5, 0.3]], np.float32)
    scaled = calibration.apply_temperature(probabilities, 3)
    assert scaled.argmax(axis=1).tolist() == [0, 1]
    assert np.isfinite(scaled).all() and np.allclose(scaled.sum(axis=1), 1)
    assert (scaled.max(axis=1) < probabilities.max(axis=1)).all()


@pytest.mark.parametrize("sharpened", [0.5, 1.0, 3.0])
def test_the_temperature_that_made_a_model_overconfident_is_found(sharpened):
    assert calibration.fit_temperature(*drawn(sharpened=sharpened)) == pytest.approx(sharpened, rel=0.07)


def test_the_temperature_of_two_classes_is_scikit_learns():
    probabilities, true = drawn(classes=2, sharpened=2.0)
    logit = np.log(probabilities[:, 1] / probabilities[:, 0])[:, np.newaxis]
    regression = LogisticRegression(C=1e9, fit_intercept=False).fit(logit, true)  # its weight is 1 / temperature
    assert calibration.fit_temperature(probabilities, true) == pytest.approx(1 / regression.coef_[0, 0], rel=1e-3)


def test_negative_log_likelihood_is_scikit_learns():
    probabilities, true = drawn(300)
    assert calibration.negative_log_likelihood(probabilities, true) == pytest.approx(log_loss(true, probabilities))


def test_reliability_is_scikit_learns():
    probabilities, true = drawn(sharpened=2.0)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == true
    accuracy, mean = calibration_curve(right, confidence, n_bins=10)
    table = calibration.reliability(probabilities, true, bins=10)
    np.testing.assert_allclose(table["accuracy"], accuracy)
    np.testing.assert_allclose(table["confidence"], mean)
    assert table["images"].sum() == len(true)


def test_ece_by_hand():
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.4, 0.6]])
    true = np.array([0, 1, 0, 1])
    # confidence 0.9, accuracy 0.5: a gap of 0.4; confidence 0.6, accuracy 1: a gap of 0.4
    assert calibration.expected_calibration_error(probabilities, true, bins=10) == pytest.approx(0.4)


def test_a_confidence_that_rounding_lifts_above_1_stays_in_the_last_bin():
    table = calibration.reliability(np.array([[1 + 1e-7, 0.0], [0.95, 0.05]]), np.array([0, 0]), bins=10)
    assert table["images"].tolist() == [2] and table.index.tolist() == [0.95]


def test_the_temperature_lowers_the_ece_of_an_overconfident_model():
    probabilities, true = drawn(sharpened=3.0)
    scaled = calibration.apply_temperature(probabilities, calibration.fit_temperature(probabilities, true))
    before, after = (calibration.expected_calibration_error(p, true) for p in (probabilities, scaled))
    assert after < 0.04 < before


def test_malignant_classes_are_added_up_and_the_merged_class_counts_among_them():
    probabilities = np.array([[0.1, 0.2, 0.3, 0.4]])
    assert calibration.malignant_probability(probabilities, ["MEL", "NV", "BCC", "BKL"]) == pytest.approx(0.4)
    assert calibration.malignant_probability(probabilities, ["MEL", "NV", "BKL", "AK+DF+VASC+SCC"]) == pytest.approx(
        0.5
    )


@pytest.mark.parametrize("sensitivity", [0.05, 0.5, 0.9, 0.95, 1.0])
def test_the_threshold_is_the_highest_that_keeps_the_sensitivity(sensitivity):
    chance = np.random.default_rng(1)
    scores, positive = chance.random(200), chance.random(200) < 0.3
    threshold = calibration.threshold_for(sensitivity, scores, positive)
    assert recall_score(positive, scores >= threshold) >= sensitivity
    higher = scores[scores > threshold].min(initial=2)
    assert recall_score(positive, scores >= higher) < sensitivity


def test_a_threshold_needs_positive_images_and_a_sensitivity():
    with pytest.raises(ValueError, match="0 positive"):
        calibration.threshold_for(0.9, np.array([0.5]), np.array([False]))
    with pytest.raises(ValueError, match="finds 1.2"):
        calibration.threshold_for(1.2, np.array([0.5]), np.array([True]))


def test_operating_points_by_hand():
    table = calibration.operating_points(np.array([0.9, 0.6, 0.6, 0.1]), np.array([True, False, True, False]))
    assert table.index.tolist() == [0.9, 0.6, 0.1]
    assert table["sensitivity"].tolist() == [0.5, 1, 1]
    assert table["false_positive_rate"].tolist() == [0, 0.5, 1]
    assert table["flagged"].tolist() == [0.25, 0.75, 1]
    for positive in (np.array([True]), np.array([False])):
        with pytest.raises(ValueError, match="of 1 images are positive"):
            calibration.operating_points(np.array([0.5]), positive)


def test_coverage_and_risk_by_hand():
    table = calibration.coverage_and_risk(np.array([0.5, 0.9, 0.7, 0.6]), np.array([False, True, True, False]))
    assert table["coverage"].tolist() == [0.25, 0.5, 0.75, 1]
    np.testing.assert_allclose(table["risk"], [0, 0, 1 / 3, 1 / 2])


def test_the_interval_of_the_temperature_includes_1_for_a_calibrated_model_and_not_for_an_overconfident_one():
    includes = {1.0: 0, 3.0: 0}
    for sharpened in includes:
        for seed in range(12):
            probabilities, true = drawn(200, sharpened=sharpened, seed=seed)
            low, high = calibration.temperature_interval(probabilities, true, np.arange(200), draws=60)
            includes[sharpened] += low <= 1 <= high
    assert includes[1.0] >= 9 and includes[3.0] == 0


def test_the_interval_of_the_temperature_counts_lesions_and_not_images():
    probabilities, true = drawn(100)
    low, high = calibration.temperature_interval(probabilities, true, np.arange(100))
    four_of_each = np.tile(probabilities, (4, 1)), np.tile(true, 4), np.tile(np.arange(100), 4)
    assert calibration.temperature_interval(*four_of_each) == pytest.approx((low, high), rel=1e-3)


def test_the_reliability_of_an_event_is_scikit_learns():
    probabilities, true = drawn()
    share, mean = calibration_curve(true == 2, probabilities[:, 2], n_bins=10)
    table = calibration.reliability_of(probabilities[:, 2], true == 2, bins=10)
    np.testing.assert_allclose(table["accuracy"], share)
    np.testing.assert_allclose(table["confidence"], mean)
    assert calibration.mean_gap(table) == pytest.approx(np.average(abs(share - mean), weights=table["images"]))


def test_the_prior_correction_is_bayes_rule():
    likelihood = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.3, 0.3, 0.4]])  # of three findings, in three classes

    def by_bayes(prior):  # the probabilities of the classes for each finding
        joint = likelihood.T * prior
        return joint / joint.sum(axis=1, keepdims=True)

    old, new = np.array([0.5, 0.3, 0.2]), np.array([0.05, 0.05, 0.9])
    np.testing.assert_allclose(calibration.correct_prior(by_bayes(old), old, new), by_bayes(new))
    np.testing.assert_allclose(calibration.correct_prior(by_bayes(old), 100 * old, 7 * new), by_bayes(new))
    without = calibration.correct_prior(by_bayes(old), np.array([0.5, 0.5, 0]), new)
    assert (without[:, 2] == 0).all() and np.allclose(without.sum(axis=1), 1)


def test_the_area_under_risk_and_coverage_by_brute_force():
    chance = np.random.default_rng(0)
    confidence, right = chance.random(50), chance.random(50) < 0.7
    risks = [np.mean(~right[confidence >= limit]) for limit in confidence]  # no two are equal
    assert calibration.area_under_risk_coverage(confidence, right) == pytest.approx(np.mean(risks))
    random_orders = [calibration.area_under_risk_coverage(chance.random(50), right) for _ in range(2000)]
    assert np.mean(random_orders) == pytest.approx(np.mean(~right), abs=0.01)
    assert calibration.area_under_risk_coverage(right, right) <= min(random_orders)


def test_the_area_under_risk_and_coverage_is_the_mean_of_scikit_learns_precisions():
    chance = np.random.default_rng(1)
    confidence, right = chance.random(300), chance.random(300) < 0.7
    precision, _, _ = precision_recall_curve(~right, confidence)  # of the errors: at each threshold it is the risk
    assert calibration.area_under_risk_coverage(confidence, right) == pytest.approx(precision[:-1].mean())


def test_net_benefit_by_hand():
    scores, positive = np.array([0.9, 0.3, 0.5, 0.1]), np.array([True, True, False, False])
    # at 0.25: two found, one false alarm that weighs 1/3; at 0.5: one found, one false alarm that weighs 1
    assert calibration.net_benefit(scores, positive, [0.25, 0.5]) == pytest.approx([(2 - 1 / 3) / 4, 0])
    elsewhere = calibration.net_benefit(scores, positive, [0.25], prevalence=0.1)
    assert elsewhere == pytest.approx([0.1 * 1 - 0.9 * 0.5 / 3])
    everybody = calibration.net_benefit(np.ones(4), positive, [0.1, 0.5])
    assert everybody == pytest.approx([0.5 - 0.5 / 9, 0])  # it vanishes where the threshold is the prevalence


@pytest.mark.parametrize("images, alpha", [(19, 0.1), (50, 0.1), (40, 0.3)])
def test_a_prediction_set_holds_the_true_class_as_often_as_promised(images, alpha):
    probabilities, true = drawn(images * 300, classes=4, sharpened=3.0)  # overconfident, which must not matter
    new, true_new = drawn(300, classes=4, sharpened=3.0, seed=1)
    covered = []
    for calibration_set in np.array_split(np.arange(len(true)), 300):
        threshold = calibration.conformal_threshold(probabilities[calibration_set], true[calibration_set], alpha)
        covered.append(np.mean(new[np.arange(300), true_new] >= threshold))
    promised = np.ceil((images + 1) * (1 - alpha)) / (images + 1)  # exactly, for scores without ties
    assert np.mean(covered) == pytest.approx(promised, abs=0.025) and promised >= 1 - alpha


def test_with_too_few_images_every_class_is_in_the_set():
    probabilities, true = drawn(18)
    assert calibration.conformal_threshold(probabilities, true, 0.05) == 0
    assert calibration.conformal_threshold(*drawn(19), 0.05) > 0
