"""The steps of lesson 08's recipe, and the table of what they brought."""

import pandas as pd
import pytest

from isic_course import fine_tuning
from isic_course.figures import lesson_08 as figures_remedies
from isic_utils import settings as profile
from isic_utils.training import imbalance as remedies


def test_nothing_measured_is_an_empty_table(tmp_path):
    assert fine_tuning.measured(tmp_path / "none.csv").empty


def test_the_kept_table_is_of_these_steps():
    measured = fine_tuning.measured()
    assert set(measured["step"]) <= set(fine_tuning.STEPS)
    recipe = measured[measured["step"] == "eight views: the recipe"]
    assert set(recipe["seed"]) == {0, 1, 2}
    for name, some in measured.groupby("step"):
        step = fine_tuning.STEPS[name]
        assert set(some["pixels"]) == {step.size["picture_size"]} and set(some["views"]) == {8 if step.views else 1}
        assert set(some["remedy"]) == {step.remedy or "cross-entropy"}


@pytest.mark.parametrize("name", fine_tuning.STEPS)
def test_a_step_changes_what_it_names_and_has_a_remedy_that_trains(name):
    step = fine_tuning.STEPS[name]
    settings, usual = fine_tuning.settings(step), profile.current()
    for field in vars(usual):
        assert getattr(settings, field) == step.size.get(field, getattr(usual, field))
    remedies.for_training(step.remedy)
    assert f"{usual.data_name}-{step.size['name']}" in str(fine_tuning.run_of(step, 0).folder)


def test_the_figure_has_a_line_per_seed_and_a_mean_only_where_all_seeds_are():
    rows = [("first", 0, 0.5), ("second", 0, 0.6), ("first", 1, 0.7)]
    measured = pd.DataFrame(rows, columns=["step", "seed", "test BMA"])
    [axis] = figures_remedies.steps(measured).axes
    drawn = {line.get_label(): list(line.get_xdata()) for line in axis.lines}
    assert drawn == {"seed 0": [0.5, 0.6], "seed 1": [0.7], "mean": [pytest.approx(0.6)]}
    assert [tick.get_text() for tick in axis.get_yticklabels()] == ["first", "second"]


def test_the_mean_is_named_wherever_it_is_first_drawn():
    rows = [("first", 0, 0.5), ("second", 0, 0.6), ("second", 1, 0.7)]
    [axis] = figures_remedies.steps(pd.DataFrame(rows, columns=["step", "seed", "test BMA"])).axes
    [mean] = [line for line in axis.lines if line.get_label() == "mean"]
    assert list(mean.get_xdata()) == [pytest.approx(0.65)] and list(mean.get_ydata()) == [1]
