"""Weights of an ensemble."""

import numpy as np
import pytest

from isic_course.ensemble import ensemble_weights


def test_ensemble_weights_find_the_better_model_and_the_best_likelihood():
    generator = np.random.default_rng(0)
    true = generator.integers(0, 3, 400)
    good, bad = (generator.dirichlet(np.ones(3), 400) for _ in range(2))
    good[np.arange(400), true] += 1
    good /= good.sum(axis=1, keepdims=True)
    weights = ensemble_weights([good, bad], true)
    assert weights.sum() == pytest.approx(1) and weights[0] > 0.8

    def likelihood(weight: float) -> float:
        return np.log((weight * good + (1 - weight) * bad)[np.arange(400), true]).mean()

    assert likelihood(weights[0]) >= max(map(likelihood, np.linspace(0, 1, 101))) - 1e-6
    assert ensemble_weights([np.eye(3)[true], np.eye(3)[(true + 1) % 3]], true) == pytest.approx([1, 0])
