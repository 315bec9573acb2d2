"""The figures: each is drawn, says what it is drawn from, and carries its text for those who cannot see it."""

import base64
import html
import io
import re
import subprocess
import sys

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from archives import draw_2018, draw_2019
from matplotlib.figure import Figure
from PIL import Image

from isic_course.figures import common, lesson_01, lesson_02
from isic_utils import files, models, plots
from isic_utils.datasets import read_isic2018, read_isic2019, tables
from isic_utils.datasets.images import read_image, read_mask
from isic_utils.settings import PROJECT
from isic_utils.training import Run, runs

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def style():
    with plt.style.context(plots.STYLE):
        yield


@pytest.fixture
def archive(tmp_path, monkeypatch):
    monkeypatch.setenv("ISIC_DATA", str(tmp_path))
    return draw_2019(tmp_path)


@pytest.fixture
def shown(monkeypatch):
    """What is displayed, in a list."""
    outputs = []
    monkeypatch.setattr(plots, "display", lambda data, raw: outputs.append(data))
    return outputs


def texts(figure: Figure) -> str:
    return " ".join(text.get_text() for text in figure.findobj(matplotlib.text.Text))


def test_importing_plots_changes_no_setting_and_the_style_does():
    code = """
import matplotlib.pyplot as plt
before = dict(plt.rcParams)
from isic_utils import plots
assert dict(plt.rcParams) == before
plots.use_style()
assert plt.rcParams["figure.constrained_layout.use"] and not plt.rcParams["axes.spines.top"]
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=PROJECT)


def plain_figure() -> Figure:
    figure, axis = plt.subplots(figsize=(3, 2))
    axis.plot([0, 1])
    return figure


# show


def test_a_figure_is_displayed_with_its_text(archive, shown):
    alt = 'Bars: "NV" > MEL & <others>'
    plots.show(plain_figure(), alt)
    [output] = shown
    assert output["text/plain"] == alt and f'alt="{html.escape(alt)}"' in output["text/html"]
    kind, content = re.search(r'src="data:image/(\w+);base64,([^"]+)"', output["text/html"]).groups()
    image = Image.open(io.BytesIO(base64.b64decode(content)))
    image.load()
    assert image.format == kind.upper() == "PNG"
    assert f'width="{image.width // 2}"' in output["text/html"] and np.asarray(image.convert("L")).min() < 200
    assert plt.get_fignums() == [], "shown figures are closed, so the notebook does not show them twice"


def test_images_are_displayed_as_jpeg(archive, shown):
    plots.show(plots.image_grid([np.zeros((4, 4, 3), np.uint8)], ["black"], columns=1), "a black image")
    assert "data:image/jpeg;base64," in shown[0]["text/html"]


@pytest.mark.parametrize("synthetic", [True, False])
def test_only_what_is_drawn_from_the_synthetic_sample_says_so(archive, shown, synthetic):
    if synthetic:
        (archive / "SYNTHETIC.json").write_text("{}")
    figure = plain_figure()
    plots.show(figure, "a line")
    assert ("synthetic" in texts(figure)) == synthetic


def test_a_figure_of_which_the_note_does_not_hold_has_one_of_its_own(archive, shown):
    figure = plain_figure()
    plots.show(figure, "a line", synthetic=True, note="drawn by hand")
    assert "drawn by hand" in texts(figure) and plots.SYNTHETIC not in texts(figure)


def test_a_caller_may_know_better_what_a_figure_is_drawn_from(archive, shown):
    for synthetic in (True, False):
        figure = plain_figure()
        plots.show(figure, "a line", synthetic=synthetic)
        assert ("synthetic" in texts(figure)) == synthetic


# Each figure


def run_in(folder, classes: list[str] | None, scores: dict[str, list[float]]) -> Run:
    """A run of three epochs. scores: of the validation set, by metric."""
    columns = {"train_loss": [2, 1.5, 1]} | {f"validation_{metric}": values for metric, values in scores.items()}
    files.write_json(folder / "config.json", {"model": "any", "classes": classes})
    runs.write_csv(folder / "history.csv", pd.DataFrame({"epoch": [1, 2, 3], "learning_rate": 0.1, **columns}))
    return Run(folder)


def stars(figure: Figure) -> list[tuple[float, float]]:
    lines = [line for axis in figure.axes for line in axis.lines if line.get_marker() == "*"]
    return [(line.get_xdata()[0], line.get_ydata()[0]) for line in lines]


def test_curves_mark_the_three_checkpoints(tmp_path):
    scores = {"loss": [2, 1, 1.5], "accuracy": [0.3, 0.5, 0.6], "bma": [0.2, 0.4, 0.3]}
    figure = plots.curves(run_in(tmp_path, ["MEL", "NV"], scores))
    assert stars(figure) == [(2, 1), (3, 0.6), (2, 0.4)]
    assert [line.get_ydata()[0] for line in figure.axes[2].lines if line.get_linestyle() == ":"] == [1 / 2]  # guessing
    assert all(name in texts(figure) for name in ("lowest loss", "highest accuracy", "highest BMA"))


def test_curves_of_a_u_net_mark_its_two_checkpoints(tmp_path):
    figure = plots.curves(run_in(tmp_path, None, {"loss": [2, 1, 1.5], "jaccard": [0.3, 0.5, 0.6]}))
    assert stars(figure) == [(2, 1), (3, 0.6)] and len(figure.axes) == 2
    assert all(name in texts(figure) for name in ("lowest loss", "highest Jaccard index"))


def test_a_confusion_matrix_has_its_counts_and_names():
    matrix = np.array([[5, 1], [0, 7]])
    figure = plots.confusions({"VGG16": matrix}, ["MEL", "NV"])
    assert all(
        f" {word} " in f" {texts(figure)} " for word in ("5", "1", "0", "7", "MEL", "NV", "VGG16", "true", "predicted")
    )
    many = plots.confusions({f"model {n}": matrix for n in range(4)}, ["MEL", "NV"])
    assert len(many.axes) == 7 and not many.axes[5].axison  # the last shows what the colours mean
    assert many.axes[6].get_ylabel() == "proportion of the row"


def test_a_class_without_images_has_an_empty_row():
    figure = plots.confusions({"": np.array([[0, 0], [1, 2]])}, ["MEL", "NV"])
    assert np.isfinite(figure.axes[0].collections[0].get_array()).all()


def test_a_row_of_images_for_each_class_that_is_there(archive):
    table = read_isic2019(archive)
    figure = lesson_01.class_images(table[table["label"] != "DF"], each=2)
    labels = [axis.get_ylabel() for axis in figure.axes if axis.get_ylabel()]
    assert labels == ["MEL*", "NV", "BCC*", "AK*", "BKL", "VASC", "SCC*"]
    assert sum(len(axis.images) for axis in figure.axes) == 7


def test_images_in_a_grid(archive):
    table = read_isic2019(archive)
    figure = plots.image_grid([*table["path"][:2], np.zeros((4, 4, 3), np.uint8)], ["one", "two", "three"], columns=2)
    assert len(figure.axes) == 4 and [axis.get_title() for axis in figure.axes] == ["one", "two", "three", ""]
    wanted = np.asarray(read_image(table["path"][0]))
    assert np.array_equal(figure.axes[0].images[0].get_array(), wanted)


def test_contours_lie_on_their_images(tmp_path):
    table = read_isic2018(draw_2018(tmp_path))
    masks = [read_mask(path) for path in table["mask_path"]]
    figure = plots.masks_over(table["path"], masks, table["image"])
    for axis, mask in zip(figure.axes, masks, strict=False):
        rows, columns = np.nonzero(mask)
        box = axis.collections[0].get_paths()[0].get_extents()
        assert (box.x0, box.y0) == (columns.min() - 0.5, rows.min() - 0.5)
        assert (box.x1, box.y1) == (columns.max() + 0.5, rows.max() + 0.5)


def test_bars_have_their_counts():
    counts = pd.DataFrame({"published": [4522, 12875], "here": [10, 2000]}, index=["MEL", "NV"])
    said = texts(lesson_01.class_counts(counts, xlabel="class"))
    assert all(word in said for word in ("4,522", "12,875", "10", "2,000", "MEL", "NV", "published", "here", "class"))


def test_recall_dots_have_a_marker_for_each_model():
    recalls = pd.DataFrame(np.random.default_rng(0).random((8, 6)), index=tables.CODES, columns=list("abcdef"))
    figure = plots.recall_dots(recalls, pd.Series(1000, index=tables.CODES))
    drawn = figure.axes[0].lines
    assert len({line.get_marker() for line in drawn}) == len({line.get_color() for line in drawn}) == 6
    assert [list(line.get_ydata()) for line in drawn] == [list(recalls[column]) for column in recalls]
    assert "1,000" in texts(figure)


@pytest.mark.parametrize("models", [1, 2, 6])
def test_the_markers_of_a_class_stand_around_its_place(models):
    recalls = pd.DataFrame(0.5, index=tables.CODES, columns=[f"model {i}" for i in range(models)])
    axis = plots.recall_dots(recalls, pd.Series(9, index=tables.CODES)).axes[0]
    places = np.array([line.get_xdata() for line in axis.lines])
    assert places.mean(axis=0) == pytest.approx(np.arange(8))
    assert np.ptp(places, axis=0) == pytest.approx(0.12 * (models - 1)), "they stand as far apart, however many"
    assert axis.get_xlim() == (-0.6, 7.6)


def test_no_two_classes_share_a_colour_dash_marker_or_hatch():
    for style in (plots.COLOURS, plots.DASHES, plots.MARKERS, plots.HATCHES):
        assert len(set(style)) == len(tables.CODES)


OTHERS = {
    "share_maps": lambda: lesson_01.share_maps({"sex": pd.DataFrame({"male": [0.2, 0.8]}, index=["MEL", "NV"])}),
    "boxes": lambda: lesson_01.boxes(
        pd.DataFrame({"label": ["MEL", "NV"], "age": [50.0, 20.0]}), "age", "age in years"
    ),
    "histogram": lambda: plots.histogram([0.1, 0.4], "share", "images"),
    "lines": lambda: plots.lines(pd.DataFrame({"a": [1, 2], "b": [2, 1]}), "epoch", "loss"),
    "dense_network": lambda: lesson_02.dense_network({"in": ["x", "y"], "out": ["z"]}, [np.array([[1.0], [-1.0]])]),
    "chain": lambda: lesson_02.chain({"x = 2": "", "s = 1": "4"}, {"w = 0.5": "8"}),
    "decision_boundaries": lambda: lesson_02.decision_boundaries(
        np.random.default_rng(0).random((6, 2)), np.arange(6) < 3, ["A", "B"], {"half": lambda points: points[:, 0]}
    ),
    "sketch_growth": lesson_01.sketch_growth,
    "sketch_dermatoscope": lesson_01.sketch_dermatoscope,
}


@pytest.mark.parametrize("name", OTHERS)
def test_it_is_drawn(name, archive, shown, recwarn):
    figure = OTHERS[name]()
    assert isinstance(figure, Figure)
    plots.show(figure, name)
    assert len(shown) == 1 and [str(warning.message) for warning in recwarn] == []


# names under an axis

LONG = "EfficientNet-Lite0 with a long name that explains itself"
SIX = [models.TITLES[name] for name in models.CLASSIFIERS]


@pytest.mark.parametrize(
    ("names", "lines", "slant"),
    [(SIX[:2], 1, 0), (SIX[:4], 1, 0), (SIX, 2, 0), ([*SIX[:5], LONG], 5, 0), (SIX * 2, 1, 30)],
    ids=["two", "four", "six", "a long one", "twelve"],
)
def test_names_under_an_axis_do_not_touch(names, lines, slant):
    figure, axis = plt.subplots(figsize=(8, 3.2))
    axis.plot(range(len(names)), range(len(names)), label="here, sample, over lesions")
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
    common.name_ticks(axis, names)
    figure.draw_without_rendering()
    labels = axis.get_xticklabels()
    assert [re.sub(r"-\n", "-", label.get_text()).replace("\n", " ") for label in labels] == names
    assert max(label.get_text().count("\n") + 1 for label in labels) == lines
    assert {label.get_rotation() for label in labels} == {slant}
    if slant:  # parallel lines of text touch if their distance is less than their height
        step = labels[1].get_transform().transform((1, 0))[0] - labels[0].get_transform().transform((0, 0))[0]
        assert step * np.sin(np.radians(slant)) > labels[0].get_fontsize() * figure.dpi / 72
    else:
        boxes = [label.get_window_extent() for label in labels]
        assert all(left.x1 < right.x0 for left, right in zip(boxes, boxes[1:], strict=False))
