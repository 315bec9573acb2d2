"""How much each of several models should count when their probabilities are averaged."""

import numpy as np

SMALLEST = 1e-38  # so that no image has a likelihood of 0 under every model


def ensemble_weights(probabilities: list[np.ndarray], true: np.ndarray) -> np.ndarray:
    """How much each model should count in a weighted mean of their probabilities: float [models] that sum to 1.

    With these weights the mean gives the true classes the highest likelihood. Find them on images that no model was
    trained on: the validation set, never the test set. (Expectation maximisation for the weights of a mixture, Dempster
    et al. 1977, doi:10.1111/j.2517-6161.1977.tb01600.x.)

    probabilities: [n, classes] of each model; true: classes as integers [n].
    """
    of_true = np.stack([one[np.arange(len(true)), true] for one in probabilities], axis=1).astype(float) + SMALLEST
    weights = np.full(len(probabilities), 1 / len(probabilities))
    for _ in range(500):
        responsibilities = weights * of_true
        weights = (responsibilities / responsibilities.sum(axis=1, keepdims=True)).mean(axis=0)
    return weights
