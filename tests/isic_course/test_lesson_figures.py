"""The figures of single lessons: what they are given stands in them."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from isic_course.figures import lesson_02, lesson_03, lesson_08, lesson_09, lesson_10, lesson_11
from isic_utils import plots


def words(figure: plt.Figure) -> list[str]:
    return [text.get_text() for axis in figure.axes for text in axis.texts]


def test_a_dense_network_has_a_line_for_each_weight_dashed_where_it_is_negative():
    figure = lesson_02.dense_network({"inputs": ["1", "2"], "sums": ["3"]}, [np.array([[1.0], [-2.0]])])
    lines = figure.axes[0].lines
    assert [line.get_linestyle() for line in lines] == ["-", "--"] and [line.get_linewidth() for line in lines] == [
        2,
        4,
    ]
    assert words(figure) == ["inputs", "1", "2", "sums", "3"]


def test_a_step_of_a_convolution_frames_the_window_and_its_output():
    numbers, kernel = np.arange(30).reshape(5, 6), np.array([[1, 0], [0, 1]])
    figure = lesson_03.convolution(numbers, kernel, np.zeros((4, 5)), place=(2, 3))
    bold = [[text.get_text() for text in axis.texts if text.get_weight() == "bold"] for axis in figure.axes]
    assert bold == [["15", "16", "21", "22"], ["1", "0", "0", "1"], ["0"]]
    assert [len(axis.texts) for axis in figure.axes] == [30, 4, 20]
    frames = [axis.patches[-1] for axis in figure.axes]
    assert [(frame.get_xy(), frame.get_width()) for frame in frames] == [((3, 2), 2), ((0, 0), 2), ((3, 2), 1)]


def test_feature_maps_are_grey_at_zero_and_images_stay_as_they_are():
    image = np.full((4, 4, 3), 0.5)
    figure = lesson_03.feature_maps(
        [image, np.array([[-1.0, 3.0]]), np.zeros((2, 2))], ["image", "map", "nothing"], columns=2
    )
    assert [axis.get_title() for axis in figure.axes] == ["image", "map", "nothing", ""]
    assert np.array_equal(figure.axes[0].images[0].get_array(), image)
    assert figure.axes[1].images[0].get_clim() == (-3, 3)
    low, high = figure.axes[2].images[0].get_clim()
    assert low < 0 < high


def test_receptive_fields_are_squares_in_the_middle_each_with_a_line_to_its_name():
    figure = lesson_03.receptive_fields(np.zeros((40, 60, 3)), {"conv 1": 3, "conv 2": 12})
    squares = [patch for patch in figure.axes[0].patches if isinstance(patch, Rectangle)]
    assert [(square.get_width(), square.get_height()) for square in squares] == [(3, 3), (12, 12)]
    assert all(square.get_center() == pytest.approx((29.5, 19.5)) for square in squares)  # of pixels 0 to 59, 0 to 39
    assert words(figure) == ["conv 1: 3 × 3", "conv 2: 12 × 12"]
    corners = [(line.get_xdata()[0], line.get_ydata()[0]) for line in figure.axes[0].lines]
    assert corners == [(square.get_x() + square.get_width(), square.get_y()) for square in squares]
    ends = [line.get_ydata()[1] for line in figure.axes[0].lines]
    assert ends == [text.get_position()[1] for text in figure.axes[0].texts] and ends[0] > ends[1], "no two lines cross"


def test_the_residual_net_has_as_many_blocks_and_dense_layers_as_it_is_given():
    figure = lesson_03.residual_net([(3, 64, 64), (8, 32, 32), (16, 16, 16), (32, 8, 8)], dense=[64, 8])
    found = words(figure)
    assert [word for word in found if word.startswith("block")] == ["block 1", "block 2"]
    assert [word for word in found if word.startswith("dense")] == ["dense: 64", "dense: 8"]
    assert {"3\n64×64", "8\n32×32", "16\n16×16", "32\n8×8"} <= set(found) and found.count("1×1") == found.count(
        "+"
    ) == 2


def test_u_net_has_a_skip_connection_and_a_step_up_for_each_step_down():
    encoder = [(8, 32, 48), (16, 16, 24), (32, 8, 12)]
    figure = lesson_03.u_net(encoder, [(16, 16, 24), (8, 32, 48)], mask=(1, 32, 48))
    found = words(figure)
    assert found.count("skip connection") == found.count("up") == found.count("pool") == 2
    assert found.count("8") == found.count("16") == 4  # encoder, two that are concatenated, decoder
    assert found.count("32") == found.count("3") == found.count("1") == 1  # bottom, image, mask
    assert found.count("32 × 48") == 4 and found.count("16 × 24") == 2 and found.count("8 × 12") == 1
    boxes = [patch for patch in figure.axes[0].patches if isinstance(patch, Rectangle)]
    assert boxes[1].get_height() == 2 * boxes[2].get_height() and boxes[1].get_width() < boxes[2].get_width()


def test_the_plane_has_a_marker_of_its_own_for_each_method_and_its_name_beside_it_clear_of_the_others():
    accuracy = [0.74, 0.738, 0.743, 0.45, 0.7, 0.69, 0.71, 0.63, 0.631, 0.648, 0.72]
    names = [f"method number {i}" for i in range(11)]
    scores = pd.DataFrame({"accuracy": accuracy, "BMA": np.linspace(0.48, 0.6, 11).round(2)}, names)
    [axis] = lesson_08.plane(scores)[0].axes
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in axis.lines] == scores.apply(tuple, axis=1).tolist()
    assert len({(line.get_marker(), line.get_color()) for line in axis.lines}) == 11
    texts = [text for text in axis.texts if text.get_text()]
    assert [text.get_text() for text in texts] == names
    boxes = [text.get_window_extent() for text in texts]
    assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])


def test_the_decision_boundary_moves_to_the_middle_with_equal_priors():
    boundaries = [axis.lines[0].get_xdata()[0] for axis in lesson_08.two_classes(prior=0.95)[0].axes]
    assert boundaries == [pytest.approx(1 + np.log(19) / 2), pytest.approx(1)]


def test_principal_components_show_each_class_with_its_number():
    features, labels = np.random.default_rng(0).normal(size=(30, 5)), pd.Series(["NV"] * 20 + ["MEL"] * 10)
    [axis] = lesson_08.principal_components(features, labels, ["NV", "MEL"])[0].axes
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["NV, 20", "MEL, 10"]
    assert [len(points.get_offsets()) for points in axis.collections] == [20, 10]
    colours = [to_hex(points.get_facecolors()[0], keep_alpha=False).upper() for points in axis.collections]
    assert colours == [plots.COLOURS[1], plots.COLOURS[0]]  # of NV and MEL in the whole course


def test_a_reliability_diagram_has_dots_as_large_as_their_number_of_images():
    table = pd.DataFrame({"confidence": [0.5, 0.9], "accuracy": [0.4, 0.8], "images": [10, 30]})
    [axis] = lesson_09.reliability({"as trained": table}).axes
    dots = axis.collections[-1]
    assert dots.get_offsets().tolist() == [[0.5, 0.4], [0.9, 0.8]] and dots.get_sizes()[1] > dots.get_sizes()[0]
    assert axis.get_title() == "as trained"


def test_the_interval_of_a_temperature_lies_below_its_curve():
    losses = pd.DataFrame({"as trained": [0.7, 0.6, 0.8], "tripled": [2.0, 1.0, 0.6]}, index=[0.5, 1.0, 3.0])
    fitted = pd.DataFrame({"T": [1.0, 3.0], "low": [0.9, 2.5], "high": [1.2, 3.5]}, index=losses.columns)
    [axis] = lesson_09.temperatures(losses, fitted).axes
    ends = [bar.get_segments()[0][:, 0].tolist() for bar in axis.collections]
    assert ends == [[0.9, 1.2], [2.5, 3.5]]
    assert all(bar.get_segments()[0][:, 1].max() < losses.min().min() for bar in axis.collections)
    colours = [line.get_color() for line in axis.lines[:2]]  # the bar of a network has the colour of its curve
    assert [to_hex(bar.get_color()[0]).upper() for bar in axis.collections] == [to_hex(c).upper() for c in colours]


def test_intervals_name_each_group_with_its_number_of_images():
    table = pd.DataFrame({"value": [0.5], "low": [0.3], "high": [0.7], "images": [1200]}, index=["female"])
    [axis] = lesson_09.intervals(table, "BMA", whole=0.6).axes
    assert [text.get_text() for text in axis.get_yticklabels()] == ["female (1,200)"]
    assert axis.lines[0].get_color() == plots.BLUE and set(axis.lines[1].get_xdata()) == {0.6}


def test_differences_show_both_of_each_group_and_leave_a_group_without_them_empty():
    columns = {"all": [0.2, np.nan], "same classes": [0.1, np.nan], "low": [0.0, np.nan], "high": [0.3, np.nan]}
    table = pd.DataFrame(columns, ["sex female", "age 0–29"])
    left, right = lesson_10.differences({"sensitivity": table, "false-positive rate": -table}).axes
    assert [text.get_text() for text in left.get_yticklabels()] == ["sex female", "age 0–29"]
    _, same, every = right.lines  # after the line at 0
    assert same.get_xdata()[0] == -0.1 and every.get_xdata()[0] == -0.2 and np.isnan(same.get_xdata()[1])
    assert left.collections[0].get_segments()[0][:, 0].tolist() == [0.0, 0.3]


def test_effects_stand_above_their_class_a_marker_for_each_change():
    index = pd.MultiIndex.from_product([["ruler", "placebo"], ["AK", "SCC"]])
    table = pd.DataFrame({"change": [0.1, 1.5, 0.0, 0.2], "low": 0.0, "high": 2.0}, index)
    [axis] = lesson_10.effects({"as trained": table}).axes
    assert axis.get_title() == "as trained"
    assert [text.get_text() for text in axis.get_xticklabels()] == ["AK", "SCC"]
    _, ruler, placebo = axis.lines
    assert list(ruler.get_ydata()) == [0.1, 1.5] and list(placebo.get_ydata()) == [0.0, 0.2]
    assert np.allclose(ruler.get_xdata(), placebo.get_xdata(), atol=0.3) and ruler.get_marker() != placebo.get_marker()


def test_heat_maps_lie_over_their_images_and_a_bar_says_what_the_colours_mean():
    image, heat = np.zeros((4, 6, 3), np.uint8), np.linspace(0, 1, 24).reshape(4, 6)
    figure = lesson_10.heat_maps([image] * 2, [np.zeros((4, 6)), heat], ["as it is", "map"], columns=2)
    bare, covered, bar = figure.axes
    assert bare.images[1].get_alpha().max() == 0 and covered.images[1].get_alpha().max() > 0.5
    assert np.allclose(covered.images[1].get_array(), heat)
    assert bar.get_ylim() == (0, 1) == covered.images[1].get_clim()
    assert "relative activation" in bar.get_ylabel()


def test_a_clinics_own_network_is_filled_and_stands_where_it_is_tested():
    rows = [("A", "A", 0.8), ("A", "B", 0.4), ("B", "A", 0.5), ("B", "B", 0.6)]
    table = pd.DataFrame(rows, columns=["trained on", "tested on", "BMA"]).assign(low=0.1, high=0.9)
    axis = lesson_11.matrix({"two classes": table}, [2]).axes[0]
    points = [line for line in axis.lines if len(line.get_xdata()) == 1]
    assert [line.get_ydata()[0] for line in points] == [0.8, 0.4, 0.5, 0.6]
    assert [round(line.get_xdata()[0]) for line in points] == [0, 1, 0, 1]
    assert [line.get_markerfacecolor() == "white" for line in points] == [False, True, True, False]
    assert axis.get_legend_handles_labels()[1] == ["trained on A", "trained on B"]
