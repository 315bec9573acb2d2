"""The shortcut of lesson 10: what is painted, and that the planted one is found where it is and nowhere else."""

from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax

from isic_course import shortcut, synthetic


@pytest.mark.parametrize("name", ["crosses", "wavy line"])
@pytest.mark.parametrize("shape", [(120, 160), (128, 128), (84, 84), (150, 200)])
def test_a_placebo_is_about_as_much_ink_as_the_ruler_in_the_same_place(shape, name):
    skin = np.full((*shape, 3), 200, np.uint8)
    ruler, placebo = ((shortcut.painted(skin, shortcut.SHAPES[kind]) != skin).any(axis=2) for kind in ("ruler", name))
    assert placebo.sum() == pytest.approx(ruler.sum(), rel=0.2)
    for inked in (ruler, placebo):
        assert not inked[shape[0] // 3 :].any(), "the lesion in the middle stays as it is"
    assert (skin == 200).all(), "the image itself is not painted on"


def test_log_odds_are_those_of_the_probabilities():
    logits = np.array([[3.0, 0, 0.6], [0, 0, 0]])
    p = softmax(logits, axis=1)
    assert shortcut.log_odds(logits) == pytest.approx(np.log(p / (1 - p)))


@pytest.mark.slow
def test_the_planted_shortcut_is_found_on_the_sample_and_not_on_the_archive_drawn_without_it(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2] / "benchmarks"))
    import sample_calibration

    without = synthetic.draw(tmp_path / "without", shortcut=False, progress=False)
    planted, absent = (sample_calibration.ruler_effect(data).loc["ruler"] for data in (synthetic.ensure(), without))
    assert planted["low"] > 0.8, planted
    assert absent["low"] > -0.8 and absent["high"] < 0.8, absent
