"""The imbalance dial: sizes, sets grouped by lesion, nested subsets, the scores it returns, and its figures."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from archives import refusal

from isic_course import dial, synthetic
from isic_course.dial import TEST, TRAINING, VALIDATION, class_sizes
from isic_course.figures import lesson_05
from isic_course.synthetic.planning import PlannedLesion
from isic_utils import plots
from isic_utils.archive import CODES
from isic_utils.datasets import tables


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A cache with the dial's pool without its images: the plan is the same, drawing them takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthetic, "_draw_images", lambda folder, planned, seed: write_empty(folder, planned))
        cache = tmp_path_factory.mktemp("dial")
        options = dial.pool_options(dial.OVERLAP)
        synthetic.draw(cache / f"dial-overlap{dial.OVERLAP}", **options, workers=1, progress=False)
        return cache


def write_empty(folder: Path, planned: PlannedLesion) -> dict[str, set[str]]:
    for image in planned.images:
        (folder / tables.IMAGES_2019 / f"{image.name}.jpg").touch()
    return {image.name: set() for image in planned.images}


@pytest.fixture
def pool(folder, monkeypatch) -> pd.DataFrame:
    monkeypatch.setattr(dial, "load_settings", lambda: SimpleNamespace(cache=folder))
    monkeypatch.setattr(synthetic, "_draw_whole", lambda *rest, **named: pytest.fail("it is drawn already"))
    return dial.pool()


@pytest.mark.parametrize("ratio", [1, 1.5, *dial.RATIOS])
def test_sizes_add_up_and_have_the_ratio(ratio):
    sizes = class_sizes(ratio)
    assert sizes.sum() == TRAINING and list(sizes) == sorted(sizes, reverse=True)
    assert sizes["NV"] / sizes["DF"] == pytest.approx(ratio, rel=0.1)  # whole images
    steps = np.log(sizes.to_numpy()[:-1] / sizes.to_numpy()[1:])
    assert steps == pytest.approx(np.log(ratio) / 7, abs=0.15)


@pytest.mark.parametrize("ratio", [0.5, 55, float("nan")])
def test_a_ratio_off_the_dial_is_refused(ratio):
    refusal(lambda: class_sizes(ratio), str(ratio))


def test_sets_keep_lesions_whole_and_are_balanced(pool):
    sets_of_lesion = pool.dropna(subset="lesion_id").groupby("lesion_id")["split"].nunique()
    assert (sets_of_lesion == 1).all() and not pool["image"].duplicated().any()
    counts = pd.crosstab(pool["label"], pool["split"])
    assert (counts["test"] == TEST).all() and (counts["validation"] == VALIDATION).all()


def test_sets_do_not_depend_on_the_order_of_the_rows(pool):
    table = pool.drop(columns="split")
    pd.testing.assert_frame_equal(dial.with_split(table.iloc[::-1]), dial.with_split(table))


@pytest.mark.parametrize("ratio", np.geomspace(1, 54, 9))
def test_the_pool_suffices_for_every_ratio(pool, ratio):
    rows = dial.subset(pool, ratio)
    trained = rows.loc[rows["split"] == "train", "label"].value_counts()[dial.ORDER]
    assert trained.to_list() == class_sizes(ratio).to_list()
    assert (rows["split"] == "test").sum() == 8 * TEST


def test_a_smaller_subset_is_part_of_a_larger_one(pool):
    def trained(ratio, code):
        rows = dial.subset(pool, ratio)
        return set(rows.loc[(rows["split"] == "train") & (rows["label"] == code), "image"])

    assert trained(54, "DF") < trained(3, "DF") < trained(1, "DF")
    assert trained(1, "NV") < trained(54, "NV")


def test_each_overlap_has_a_pool_of_its_own(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(dial, "load_settings", lambda: SimpleNamespace(cache=tmp_path))
    monkeypatch.setattr(dial, "read_isic2019", lambda folder: None)
    monkeypatch.setattr(dial, "with_split", lambda table: None)
    monkeypatch.setattr(synthetic, "ensure", lambda folder, overlap, **options: drawn.append((folder, overlap)))
    dial.pool(0.3)
    dial.pool(0.4)
    assert [overlap for _, overlap in drawn] == [0.3, 0.4] and drawn[0][0] != drawn[1][0]


def test_accuracy_is_that_of_a_test_set_with_the_same_imbalance(pool, monkeypatch):
    """A model that always predicts NV: accuracy is NV's prior in training, BMA 1/8."""
    asked = {}

    class Always:
        def __init__(self, config, store, table, split):
            asked.update(config=config, sizes=split.value_counts().to_dict())
            self.table = table[split == "test"]

        def predictions(self, split):
            return self.table[["image", "label"]].assign(predicted="NV")

    monkeypatch.setattr(dial, "fit_all", lambda jobs, store: [Always(config, store, *job) for config, *job in jobs])
    monkeypatch.setattr(dial, "ImageStore", lambda *arguments: None)
    scores = dial.try_ratios([54], seeds=[3]).loc[54]
    assert scores["accuracy"] == pytest.approx(class_sizes(54)["NV"] / TRAINING)
    assert scores["BMA"] == pytest.approx(1 / 8) and scores["NV"] == 1 and scores["DF"] == 0
    assert (asked["config"].protocol, asked["config"].seed, asked["config"].width) == ("dial-54", 3, 1 / 4)
    assert asked["sizes"] == {"train": TRAINING, "test": 8 * TEST, "validation": 8 * VALIDATION}


def test_the_dial_shows_every_class_with_a_style_of_its_own_and_every_training():
    columns = ["accuracy", "BMA", *dial.ORDER]
    results = pd.DataFrame(np.linspace(0, 1, 60).reshape(6, 10), index=[1, 1, 8, 8, 54, 54], columns=columns)
    left, right = lesson_05.curves(results)[0].axes
    assert [line.get_label() for line in right.lines] == CODES  # so each class has the colour of the whole course
    assert len({(line.get_linestyle(), line.get_marker()) for line in right.lines}) == 8
    of_df = right.lines[CODES.index("DF")].get_ydata()
    assert list(of_df) == pytest.approx(results["DF"].groupby(level=0).mean().tolist())
    assert [text.get_text() for text in right.texts] == CODES and right.get_legend() is None
    assert {line.get_label() for line in right.lines if line.get_linewidth() > 2} == set(dial.ORDER[4:])
    assert [text.get_text() for text in left.get_xticklabels()] == ["1:1", "8:1", "54:1"]
    _, bma, *dots = left.lines
    assert list(bma.get_ydata()) == pytest.approx(results["BMA"].groupby(level=0).mean().tolist())
    assert list(dots[1].get_xdata()) == list(results.index) and list(dots[1].get_ydata()) == list(results["BMA"])


@pytest.mark.parametrize("ends", [[0.5, 0.5, 0.5], [1, 0.97, 0.2], [0, 0.01, 1], [0.1, 0.5, 0.9]])
def test_names_beside_the_lines_keep_their_order_and_do_not_touch(ends):
    ends = pd.Series(ends, index=list("abc"), dtype=float)
    heights = lesson_05.heights_apart(ends, gap=0.1)
    assert list(heights.index) == list("abc")
    order = ends.sort_values(kind="stable").index
    assert (heights[order].diff().dropna() > 0.0999).all() and heights.max() <= 1
    if ends.sort_values().diff().min() > 0.1:
        assert list(heights) == list(ends)


def test_panels_show_the_reference_in_each():
    recalls = pd.DataFrame({"MEL": [0.1, 0.2], "NV": [0.9, 0.8]}, index=[50, 100])
    limits = pd.DataFrame({name: [(low, low + 0.2) for low in recalls[name] - 0.05] for name in recalls}, recalls.index)
    reference = pd.Series({"NV": 0.7, "MEL": 0.4}, name="all")
    figure, _ = lesson_05.recall_panels(recalls, limits, reference, "images")
    shown = {axis.get_title(): axis for axis in figure.axes if axis.get_title()}
    assert list(shown) == ["MEL", "NV"]
    for name, reference in (("MEL", 0.4), ("NV", 0.7)):
        curve, line = shown[name].lines
        assert list(curve.get_ydata()) == list(recalls[name]) and set(line.get_ydata()) == {reference}
        assert line.get_color() == plots.RED and line.get_label() == "all"
        (bars,) = shown[name].collections
        assert [tuple(bar[:, 1]) for bar in bars.get_segments()] == list(limits[name])
        assert shown[name].get_xlabel() == "images", "plots.show has the lower edge of the whole figure for itself"
