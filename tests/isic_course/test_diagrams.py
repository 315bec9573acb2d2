"""The diagrams of lesson 03: the sizes that they are given stand in them."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.patches import Rectangle

from isic_course.figures import lesson_03 as diagrams

matplotlib.use("Agg")


def words(figure: plt.Figure) -> list[str]:
    return [text.get_text() for axis in figure.axes for text in axis.texts]


def test_a_step_of_a_convolution_frames_the_window_and_its_answer():
    numbers, kernel = np.arange(30).reshape(5, 6), np.array([[1, 0], [0, 1]])
    figure = diagrams.convolution(numbers, kernel, np.zeros((4, 5)), place=(2, 3))
    bold = [[text.get_text() for text in axis.texts if text.get_weight() == "bold"] for axis in figure.axes]
    assert bold == [["15", "16", "21", "22"], ["1", "0", "0", "1"], ["0"]]
    assert [len(axis.texts) for axis in figure.axes] == [30, 4, 20]
    frames = [axis.patches[-1] for axis in figure.axes]
    assert [(frame.get_xy(), frame.get_width()) for frame in frames] == [((3, 2), 2), ((0, 0), 2), ((3, 2), 1)]


def test_maps_are_grey_at_zero_and_leave_pictures_as_they_are():
    picture = np.full((4, 4, 3), 0.5)
    figure = diagrams.maps(
        [picture, np.array([[-1.0, 3.0]]), np.zeros((2, 2))], ["picture", "map", "nothing"], columns=2
    )
    assert [axis.get_title() for axis in figure.axes] == ["picture", "map", "nothing", ""]
    assert np.array_equal(figure.axes[0].images[0].get_array(), picture)
    assert figure.axes[1].images[0].get_clim() == (-3, 3)
    low, high = figure.axes[2].images[0].get_clim()
    assert low < 0 < high


def test_receptive_fields_are_squares_in_the_middle_each_with_a_line_to_its_name():
    figure = diagrams.receptive_fields(np.zeros((40, 60, 3)), {"conv 1": 3, "conv 2": 12})
    squares = [patch for patch in figure.axes[0].patches if isinstance(patch, Rectangle)]
    assert [(square.get_width(), square.get_height()) for square in squares] == [(3, 3), (12, 12)]
    assert all(square.get_center() == pytest.approx((29.5, 19.5)) for square in squares)  # of pixels 0 to 59, 0 to 39
    assert words(figure) == ["conv 1: 3 × 3", "conv 2: 12 × 12"]
    corners = [(line.get_xdata()[0], line.get_ydata()[0]) for line in figure.axes[0].lines]
    assert corners == [(square.get_x() + square.get_width(), square.get_y()) for square in squares]
    ends = [line.get_ydata()[1] for line in figure.axes[0].lines]
    assert ends == [text.get_position()[1] for text in figure.axes[0].texts] and ends[0] > ends[1], "no two lines cross"


def test_the_residual_net_has_as_many_blocks_and_dense_layers_as_it_is_given():
    figure = diagrams.residual_net([(3, 64, 64), (16, 32, 32), (32, 16, 16)], dense=[64, 8])
    found = words(figure)
    assert [word for word in found if word.startswith("block")] == ["block 1", "block 2"]
    assert [word for word in found if word.startswith("dense")] == ["dense: 64", "dense: 8"]
    assert {"3\n64×64", "16\n32×32", "32\n16×16"} <= set(found) and found.count("1×1") == found.count("+") == 2


def test_u_net_has_a_copy_and_a_step_up_for_each_step_down():
    encoder = [(8, 32, 48), (16, 16, 24), (32, 8, 12)]
    found = words(diagrams.u_net(encoder, [(16, 16, 24), (8, 32, 48)], mask=(1, 32, 48)))
    assert found.count("copy") == found.count("up") == found.count("pool") == 2
    assert found.count("8 filters\n32 × 48") == found.count("16 filters\n16 × 24") == 2
    assert found.count("32 filters\n8 × 12") == 1 and "mask\n32 × 48" in found


def test_a_pair_of_bars_adds_up():
    axis = diagrams.pair_of_bars({"A": (1, 2), "B": (3, 0.5)}, ("first", "second"), "parameters").axes[0]
    first, second = axis.containers
    assert [bar.get_x() + bar.get_width() for bar in second] == [3, 3.5]
    assert [bar.get_hatch() for bar in first] == [None, None] and all(bar.get_hatch() for bar in second)
    assert [label.get_text() for label in axis.get_yticklabels()] == ["A", "B"]
