"""What determines a run: the same arguments as `fit`, and for what was trained before, the same config as before."""

import inspect

import numpy as np
import pytest
from archives import in_memory, pairs_in_memory, refusal, tiny_settings

from isic_utils import models
from isic_utils.datasets import splits, tables
from isic_utils.training import config as configuration, fit as training

CODES = [tables.CODES[n % 8] for n in range(96)]


def config_of(name: str, folder, **sizes) -> dict:
    if name in models.SEGMENTERS:
        table, decoded = pairs_in_memory(20, 16, 32)
        return configuration.configuration(
            name, table, splits.segmentation(table), decoded, tiny_settings(folder, **sizes)
        )
    table, decoded = in_memory(CODES, size=16)
    return configuration.configuration(name, table, splits.standard(table), decoded, tiny_settings(folder, **sizes))


def test_it_takes_what_fit_takes():
    """Else `training.find` would look for another run than `training.fit` makes."""
    taken = dict(inspect.signature(training.fit).parameters)
    del taken["progress"]
    assert list(taken.values()) == list(inspect.signature(configuration.configuration).parameters.values())


BOTH = {
    "model", "picture_size", "batch_size", "pretrained", "epochs", "learning_rate", "slim", "weight_decay", "warm_up",
    "seed", "protocol", "by", "stage", "data", "synthetic", "pictures", "split", "parts",
}  # fmt: skip


@pytest.mark.parametrize("name, own", [("residual", {"classes"}), ("unet", {"loss", "at_once"})])
def test_a_usual_run_has_no_more_in_its_config_than_ever(tmp_path, name, own):
    """One key more, and no run that was trained before would be found."""
    assert set(config_of(name, tmp_path)) == BOTH | own


def test_values_are_those_of_runs_that_were_trained_before(tmp_path):
    config = config_of("residual", tmp_path)
    expected = {"learning_rate": 0.002, "weight_decay": 0.02, "warm_up": 0.2, "pretrained": "no", "seed": 0}
    expected |= {"protocol": "standard", "by": "picture", "stage": None, "classes": tables.CODES}
    assert {key: config[key] for key in expected} == expected


@pytest.mark.parametrize("name, pretrained", [("residual", None), ("efficientnet_lite0", False)])
def test_only_a_network_with_imagenet_weights_has_blocks_to_freeze(tmp_path, name, pretrained):
    refusal(
        lambda: config_of(name, tmp_path, frozen_blocks=1, pretrained=pretrained),
        models.TITLES[name], "frozen_blocks=0",
    )  # fmt: skip


@pytest.mark.parametrize("epochs, steps", [(1, 1), (1, 10), (8, 5), (100, 3)])
def test_the_learning_rate_rises_in_a_line_and_falls_along_half_a_cosine(epochs, steps):
    rates = np.concatenate([configuration.learning_rates(epoch, epochs, steps, 0.5) for epoch in range(1, epochs + 1)])
    assert len(rates) == epochs * steps and rates[0] == pytest.approx(0.05)
    top = int(np.ceil(0.2 * epochs * steps))
    assert (np.diff(rates[:top]) > 0).all() and (np.diff(rates[top:]) < 0).all()
    assert rates.max() <= 0.5 and rates.min() > 0
    if epochs * steps >= 10:
        assert np.diff(rates[:top], 2) == pytest.approx(0) and rates.max() == pytest.approx(0.5)
        share = (np.arange(top, len(rates)) - top) / (len(rates) - top)
        assert rates[top:] == pytest.approx(0.25 * (1 + np.cos(np.pi * share)))
        assert rates[-1] < 0.2 * 0.5
