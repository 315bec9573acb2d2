"""The imbalance dial: sizes, parts by lesion, nested subsets, the scores it returns, and its figures."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from archives import is_one_clear_message

from isic_course import dial as imbalance, synthetic as sample
from isic_course.dial import TEST, TRAINING, VALIDATION, class_sizes
from isic_course.synthetic.planning import PlannedLesion
from isic_utils import plots as figures
from isic_utils.datasets import tables
from isic_utils.errors import IsicError
from isic_utils.training import fit as training, runs

matplotlib.use("Agg")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The dial's pool without its pictures: the plan is the same, drawing them takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sample, "_draw_pictures", lambda folder, planned, seed: write_empty(folder, planned))
        place = tmp_path_factory.mktemp("dial") / "pool"
        return sample.draw(place, **imbalance.pool_options(imbalance.OVERLAP), progress=False)


def write_empty(folder: Path, planned: PlannedLesion) -> dict[str, set[str]]:
    for picture in planned.pictures:
        (folder / tables.PICTURES_2019 / f"{picture.image}.jpg").touch()
    return {picture.image: set() for picture in planned.pictures}


@pytest.fixture
def pool(folder, monkeypatch) -> pd.DataFrame:
    monkeypatch.setattr(imbalance, "pool_folder", lambda overlap: folder)
    return imbalance.pool()


# sizes


@pytest.mark.parametrize("ratio", [1, 1.5, *imbalance.RATIOS])
def test_sizes_add_up_and_have_the_ratio(ratio):
    sizes = class_sizes(ratio)
    assert sizes.sum() == TRAINING and list(sizes) == sorted(sizes, reverse=True)
    assert sizes["NV"] / sizes["DF"] == pytest.approx(ratio, rel=0.1)  # whole pictures
    steps = np.log(sizes.to_numpy()[:-1] / sizes.to_numpy()[1:])
    assert steps == pytest.approx(np.log(ratio) / 7, abs=0.15)


def test_at_one_all_classes_are_equal():
    assert set(class_sizes(1)) == {TRAINING / 8}


@pytest.mark.parametrize("ratio", [0.5, 55, float("nan")])
def test_a_ratio_off_the_dial_is_refused(ratio):
    with pytest.raises(IsicError) as raised:
        class_sizes(ratio)
    is_one_clear_message(raised.value, str(ratio))


# the pool and its parts


def test_parts_keep_lesions_whole_and_are_balanced(pool):
    parts_of_lesion = pool.dropna(subset="lesion_id").groupby("lesion_id")["part"].nunique()
    assert (parts_of_lesion == 1).all() and not pool["image"].duplicated().any()
    counts = pd.crosstab(pool["label"], pool["part"])
    assert (counts["test"] == TEST).all() and (counts["validation"] == VALIDATION).all()


def test_parts_do_not_depend_on_the_order_of_the_rows(pool):
    table = pool.drop(columns="part")
    pd.testing.assert_frame_equal(imbalance.with_parts(table.iloc[::-1]), imbalance.with_parts(table))


@pytest.mark.parametrize("ratio", np.geomspace(1, 54, 9))
def test_the_pool_suffices_for_every_ratio(pool, ratio):
    rows = imbalance.subset(pool, ratio)
    trained = rows.loc[rows["part"] == "train", "label"].value_counts()[imbalance.ORDER]
    assert trained.to_list() == class_sizes(ratio).to_list()
    assert (rows["part"] == "test").sum() == 8 * TEST


def test_a_smaller_share_is_part_of_a_larger_one(pool):
    def trained(ratio, code):
        rows = imbalance.subset(pool, ratio)
        return set(rows.loc[(rows["part"] == "train") & (rows["label"] == code), "image"])

    assert trained(54, "DF") < trained(3, "DF") < trained(1, "DF")
    assert trained(1, "NV") < trained(54, "NV")


def test_the_pool_is_drawn_once(tmp_path, monkeypatch):
    drawn = []

    def draw(folder, **options):
        folder.mkdir()
        (folder / sample.MARKER).touch()
        drawn.append(options["overlap"])

    monkeypatch.setattr(sample, "draw", draw)
    monkeypatch.setattr(imbalance, "pool_folder", lambda overlap: tmp_path / f"{overlap}")
    monkeypatch.setattr(imbalance.tables, "isic2019", lambda folder: None)
    monkeypatch.setattr(imbalance, "with_parts", lambda table: table)
    for overlap in (0.1, 0.1, 0.2, 0.1):
        imbalance.pool(overlap)
    assert drawn == [0.1, 0.2]


def test_two_that_ask_for_the_pool_at_once_both_get_it(tmp_path, monkeypatch):
    """As two notebooks do: each finds no pool, and one waits while the other draws it."""
    place, both, real = tmp_path / "pool", threading.Barrier(2, timeout=60), sample.draw

    def draw(folder, **options):
        both.wait()  # until neither has found a pool
        return real(folder, **options, progress=False)

    monkeypatch.setattr(sample, "draw", draw)
    monkeypatch.setattr(sample, "_draw_pictures", lambda folder, planned, seed: write_empty(folder, planned))
    monkeypatch.setattr(imbalance, "pool_folder", lambda overlap: place)
    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(lambda _: imbalance.pool(), range(2))
    pd.testing.assert_frame_equal(first, second)


def test_a_pool_that_cannot_be_drawn_says_why(tmp_path, monkeypatch):
    (tmp_path / "something").touch()
    monkeypatch.setattr(imbalance, "pool_folder", lambda overlap: tmp_path)
    with pytest.raises(IsicError) as raised:
        imbalance.pool()
    is_one_clear_message(raised.value, str(tmp_path), "is not empty")


def test_other_overlaps_and_versions_lie_elsewhere(monkeypatch):
    first = imbalance.pool_folder(0.3)
    assert imbalance.pool_folder(0.4) != first
    monkeypatch.setattr(sample, "VERSION", sample.VERSION + 1)
    assert imbalance.pool_folder(0.3) != first


# scores and figures


def test_accuracy_is_that_of_a_test_part_with_the_same_skew(pool, monkeypatch, tmp_path):
    """A model that always says NV: accuracy is NV's share of the training part, BMA 1/8."""
    asked = {}

    def always_nv(name, table, parts, photos, settings, protocol, by, seed):
        asked.update(protocol=protocol, by=by, seed=seed, data=settings.data, parts=parts.value_counts().to_dict())
        test = table[parts == "test"]
        rows = pd.DataFrame({"checkpoint": runs.HEADLINE, "image": test["image"], "label": test["label"]})
        rows.assign(predicted="NV").to_csv(tmp_path / "predictions_test.csv", index=False)
        runs.write_json(tmp_path / "config.json", {"classes": tables.CODES})
        return runs.Run(tmp_path)

    monkeypatch.setattr(training, "fit", always_nv)
    monkeypatch.setattr(imbalance.pictures, "load", lambda *arguments: None)
    scores = imbalance.try_ratio(54, seed=3)
    assert scores["accuracy"] == pytest.approx(class_sizes(54)["NV"] / TRAINING)
    assert scores["BMA"] == pytest.approx(1 / 8) and scores["NV"] == 1 and scores["DF"] == 0
    assert asked == {
        "protocol": "dial-54",
        "by": "lesion",
        "seed": 3,
        "data": imbalance.pool_folder(0),
        "parts": {"train": TRAINING, "test": 8 * TEST, "validation": 8 * VALIDATION},
    }


def test_the_dial_shows_every_class_with_a_style_of_its_own_and_every_training():
    columns = ["accuracy", "BMA", *imbalance.ORDER]
    results = pd.DataFrame(np.linspace(0, 1, 60).reshape(6, 10), index=[1, 1, 8, 8, 54, 54], columns=columns)
    left, right = imbalance.curves(results).axes
    assert [line.get_label() for line in right.lines] == imbalance.ORDER
    assert len({(line.get_linestyle(), line.get_marker()) for line in right.lines}) == 8
    assert list(right.lines[-1].get_ydata()) == pytest.approx(results["DF"].groupby(level=0).mean().tolist())
    assert [text.get_text() for text in right.texts] == imbalance.ORDER and right.get_legend() is None
    assert [line.get_linewidth() > 2 for line in right.lines] == [False] * 4 + [True] * 4
    assert [text.get_text() for text in left.get_xticklabels()] == ["1:1", "8:1", "54:1"]
    accuracy, bma, *dots = left.lines
    assert "as skewed as the training part" in accuracy.get_label().replace("\n", " ") and bma.get_label() == "BMA"
    assert list(bma.get_ydata()) == pytest.approx(results["BMA"].groupby(level=0).mean().tolist())
    assert list(dots[1].get_xdata()) == list(results.index) and list(dots[1].get_ydata()) == list(results["BMA"])


@pytest.mark.parametrize("ends", [[0.5, 0.5, 0.5], [1, 0.97, 0.2], [0, 0.01, 1], [0.1, 0.5, 0.9]])
def test_names_beside_the_lines_keep_their_order_and_do_not_touch(ends):
    ends = pd.Series(ends, index=list("abc"), dtype=float)
    heights = imbalance.heights_apart(ends, gap=0.1)
    assert list(heights.index) == list("abc")
    order = ends.sort_values(kind="stable").index
    assert (heights[order].diff().dropna() > 0.0999).all() and heights.max() <= 1
    if ends.sort_values().diff().min() > 0.1:
        assert list(heights) == list(ends)


def test_panels_show_the_reference_in_each():
    recalls = pd.DataFrame({"MEL": [0.1, 0.2], "NV": [0.9, 0.8]}, index=[50, 100])
    figure = imbalance.recall_panels(recalls, pd.Series({"NV": 0.7, "MEL": 0.4}), "pictures", "all")
    shown = {axis.get_title(): axis for axis in figure.axes if axis.get_title()}
    assert list(shown) == ["MEL", "NV"]
    for name, reference in (("MEL", 0.4), ("NV", 0.7)):
        curve, line = shown[name].lines
        assert list(curve.get_ydata()) == list(recalls[name]) and set(line.get_ydata()) == {reference}
        assert line.get_color() == figures.RED
        assert shown[name].get_xlabel() == "pictures", "figures.show has the lower edge of the whole figure for itself"
