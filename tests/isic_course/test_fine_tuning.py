"""The steps of lesson 08's recipe, and the table of what they brought."""

import pandas as pd
import pytest
from archives import tiny_settings

from isic_course import fine_tuning
from isic_course.figures import lesson_08


def test_nothing_measured_is_an_empty_table(tmp_path):
    assert fine_tuning.measured(tmp_path / "none.csv").empty


def test_the_kept_table_is_of_these_steps(tmp_path):
    measured = fine_tuning.measured()
    assert set(measured["step"]) <= set(fine_tuning.STEPS)
    assert set(measured.loc[measured["step"] == "TTA: the recipe", "seed"]) == {0, 1, 2}
    for name, some in measured.groupby("step"):
        step = fine_tuning.STEPS[name]
        config = fine_tuning.config(step, 0, tiny_settings(tmp_path))
        assert set(some["pixels"]) == {step.image_size} and set(some["tta"]) == {step.tta}
        assert set(some["method"]) == {config.method} and set(some["epochs"]) == {config.epochs}


def test_the_table_of_steps_has_a_row_for_each():
    table = fine_tuning.table_of_steps()
    assert list(table.index) == list(fine_tuning.STEPS)
    assert table.loc["TTA: the recipe", ["pixels", "method"]].tolist() == [192, "logit adjustment and mixup"]


def test_the_figure_has_a_line_per_seed_and_a_mean_only_where_all_seeds_are():
    control = list(fine_tuning.STEPS)[-1]
    rows = [("first", 0, 0.5), ("second", 0, 0.6), ("third", 0, 0.55), (control, 0, 0.4)]
    rows += [("first", 1, 0.6), ("third", 1, 0.7), (control, 1, 0.5)]
    [axis] = lesson_08.steps(pd.DataFrame(rows, columns=["step", "seed", "test BMA"]))[0].axes
    drawn = {line.get_label(): list(line.get_xdata()) for line in axis.lines if line.get_linestyle() != ":"}
    nothing = pytest.approx(float("nan"), nan_ok=True)
    assert drawn.pop("mean") == [pytest.approx(value) for value in (0.55, 0.625, 0.45)]
    assert drawn == {"seed 0": [0.5, 0.6, 0.55, nothing], "seed 1": [0.6, nothing, 0.7, nothing]}
    dotted = [list(line.get_xdata()) for line in axis.lines if line.get_linestyle() == ":"]
    assert dotted == [[0.5, 0.6, 0.55, 0.4], [0.6, 0.7, 0.5]], "across what was not measured, and on to the control"
    assert [tick.get_text() for tick in axis.get_yticklabels()] == ["first", "second", "third", control]
