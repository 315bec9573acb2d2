"""One clinic's network in another: a planted drop is found, with its size and only where it is; a cast, a border and a
squeeze are undone; OOD scores agree with what they are defined as."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw
from scipy import stats
from sklearn.metrics import roc_curve

from isic_course import clinics
from isic_utils.archive import CODES

CLASSES = ["MEL", "NV", "BKL"]


def planted(moved: float, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Two clinics with 20 lesions of two images in each of three classes, and features in which the classes are 6
    standard deviations apart. In HAM, `moved` of the lesions look like those of the next class."""
    chance, rows, x = np.random.default_rng(seed), [], []
    for source in ("BCN", "HAM"):
        for number, code in enumerate(CLASSES):
            for lesion in range(20):
                shown = (number + (source == "HAM" and lesion < 20 * moved)) % 3
                rows += [{"label": code, "source": source, "lesion_id": f"{source}_{code}{lesion}"}] * 2
                x += [6 * np.eye(8)[shown] + chance.normal(size=8) for _ in range(2)]
    table = pd.DataFrame(rows)
    table["image"] = [f"ISIC_{number:07}" for number in range(len(table))]
    table["label"] = pd.Categorical(table["label"], CODES, ordered=True)
    return table, np.array(x, dtype=np.float32)


@pytest.mark.parametrize("moved", [0.0, 0.4])
def test_a_planted_drop_is_found_with_its_size(moved):
    table, x = planted(moved)
    found = clinics.predict(table, x, {"BCN": (table["source"] == "BCN").to_numpy()}, seeds=range(2))
    assert (found.groupby("image").size() == 2).all() and set(found["source"]) == {"BCN", "HAM"}
    result = clinics.matrix(found, CLASSES, ["BCN", "HAM"]).set_index("tested on")
    assert result.loc["BCN", "BMA"] > 0.97
    assert result.loc["HAM", "BMA"] == pytest.approx(1 - moved, abs=0.03)
    assert (result["low"] <= result["BMA"]).all() and (result["BMA"] <= result["high"]).all()
    assert (result.loc["HAM", "high"] < 0.9) == (moved > 0)
    assert result.loc["HAM", "lesions"] == 60 and result.loc["HAM", "images"] == 120


def test_no_probe_is_tested_on_a_lesion_that_it_knows():
    """A lesion's own feature gives it away: known lesions would be recognised, and new ones cannot be."""
    table, _ = planted(0.0)
    x = 10 * pd.get_dummies(table["lesion_id"]).to_numpy(np.float32)
    found = clinics.predict(table, x, {"all": np.ones(len(table), bool)}, seeds=[0])
    assert clinics.matrix(found, CLASSES, ["BCN"])["BMA"].item() < 0.5


def test_other_classes_take_no_part_and_every_draw_has_all_classes():
    table, x = planted(0.0)
    table.loc[table["label"] == "BKL", "label"] = "DF"
    found = clinics.predict(table, x, {"all": np.ones(len(table), bool)}, seeds=[0])
    found.loc[found["label"] == "NV", "DF"] = 2.0  # predicted, were DF among the classes
    recalls = clinics.recalls(found, ["MEL", "NV"], draws=50)
    assert recalls.shape == (51, 2) and recalls.notna().all(axis=None) and (recalls["NV"] > 0.9).all()
    assert clinics.common_classes(table, ["BCN", "HAM"]) == ["MEL", "NV", "DF"]


def test_weights_of_recalls_give_accuracy():
    table, x = planted(0.4)
    found = clinics.predict(table, x, {"BCN": (table["source"] == "BCN").to_numpy()}, seeds=[0])
    found = found[(found["source"] == "HAM") & ~((found["label"] == "NV") & (found["lesion_id"] > "HAM_NV15"))]
    right = found[CLASSES].idxmax(axis=1) == found["label"]
    assert clinics.matrix(found, CLASSES, ["HAM"])["accuracy"].item() == pytest.approx(right.mean())


# the look


def test_a_known_cast_is_divided_out():
    chance = np.random.default_rng(0)
    grey = np.repeat(chance.integers(40, 200, (2, 16, 16, 1)), 3, axis=3).astype(np.uint8)
    cast = (grey * np.array([1.2, 0.9, 0.7])).round().astype(np.uint8)
    mended = clinics.shades_of_gray(cast).astype(int)
    assert np.ptp(cast, axis=3).mean() > 40 and np.ptp(mended, axis=3).max() <= 3  # grey again
    assert np.abs(clinics.shades_of_gray(grey).astype(int) - grey).max() <= 1  # and white light stays
    assert not clinics.shades_of_gray(np.zeros((1, 4, 4, 3), np.uint8)).any()


def test_the_black_border_of_a_round_field_is_cut_off_and_a_dark_lesion_is_not():
    image = Image.new("RGB", (96, 96))
    ImageDraw.Draw(image).ellipse((8, 8, 88, 88), fill=(200, 150, 140))
    ImageDraw.Draw(image).ellipse((38, 38, 58, 58), fill=(30, 20, 20))
    framed = np.asarray(image)
    whole = framed.copy()
    whole[(framed == 0).all(axis=2)] = (200, 150, 140)
    cut, same = clinics.without_border(np.stack([framed, whole]))
    dark = (cut.max(axis=2) < 40).mean()
    assert (cut[[0, 0, -1, -1], [0, -1, 0, -1]] > 100).all(axis=1).sum() >= 3  # its corners are skin
    assert dark == pytest.approx((20 / 57) ** 2 * np.pi / 4, rel=0.2)  # the lesion, in a square of 57 pixels
    assert np.array_equal(same, whole)


@pytest.mark.parametrize("ratio", [4 / 3, 3 / 4])
def test_a_squeezed_circle_is_round_again(ratio):
    width, height = (128, 96) if ratio > 1 else (96, 128)
    image = Image.new("RGB", (width, height), "white")
    ImageDraw.Draw(image).ellipse((width / 2 - 30, height / 2 - 30, width / 2 + 30, height / 2 + 30), fill="black")
    squeezed = np.asarray(image.resize((96, 96)))
    mended, same = clinics.unsqueezed(np.stack([squeezed, squeezed]), np.array([ratio, 1.0]))
    extent = [int((mended[..., 0] < 128).any(axis=axis).sum()) for axis in (0, 1)]
    assert abs(extent[0] - extent[1]) <= 2 and extent[0] == pytest.approx(60, abs=3)
    assert np.array_equal(same, squeezed)


def test_aspect_ratios_come_from_the_files_or_where_all_are_square_from_the_source(tmp_path):
    paths = [str(tmp_path / f"{number}.png") for number in range(2)]
    table = pd.DataFrame({"path": paths, "source": ["BCN", "HAM"]})
    for size, expected in (((40, 40), [1, 4 / 3]), ((60, 40), [1.5, 1.5])):
        for path in paths:
            Image.new("RGB", size).save(path)
        assert clinics.aspect_ratios(table).tolist() == expected


# out of distribution


def test_auroc_is_the_mann_whitney_statistic_and_fpr95_what_it_says():
    chance = np.random.default_rng(0)
    usual, odd = chance.normal(1, 1, 400).round(2), chance.normal(0, 1, 300).round(2)
    found = clinics.detection(usual, odd, draws=0).loc[0]
    assert found["AUROC"] == pytest.approx(stats.mannwhitneyu(usual, odd).statistic / (400 * 300))
    threshold = np.sort(usual)[::-1][379]  # the highest that 380 of 400 reach
    assert (usual >= threshold).mean() >= 0.95 and found["FPR95"] == pytest.approx((odd >= threshold).mean())


def test_fpr95_is_scikit_learns():
    chance = np.random.default_rng(3)
    usual, odd = chance.normal(1, 1, 400).round(2), chance.normal(0, 1, 300).round(2)
    fpr, tpr, _ = roc_curve(np.repeat([1, 0], [400, 300]), np.append(usual, odd), drop_intermediate=False)
    assert clinics.detection(usual, odd, draws=0)["FPR95"][0] == pytest.approx(fpr[np.argmax(tpr >= 0.95)])


def test_the_intervals_of_auroc_and_fpr95_draw_whole_lesions():
    usual, odd = np.random.default_rng(0).normal([[1.0], [0.0]], 1, (2, 60))
    once, twice = np.arange(60), np.arange(60) // 2
    single = clinics.detection(usual, odd, draws=400)
    assert single[1:].mean().to_numpy() == pytest.approx(single.loc[0].to_numpy(), abs=0.05)
    pairs = clinics.detection(np.sort(usual), np.sort(odd), (twice, twice), draws=400)
    assert (pairs[1:].std() > 1.2 * clinics.detection(np.sort(usual), np.sort(odd), (once, once), 400)[1:].std()).all()
    first = np.random.default_rng(0).multinomial(60, np.full(60, 1 / 60), 400)[0]
    second = np.random.default_rng(1).multinomial(60, np.full(60, 1 / 60), 400)[0]
    by_hand = clinics.detection(np.repeat(usual, first), np.repeat(odd, second), draws=0)
    assert single.loc[1].to_numpy() == pytest.approx(by_hand.loc[0].to_numpy())


def test_detectors_find_what_is_odd_in_what_they_look_at():
    table, x = planted(0.0)
    labels = table["label"].astype(str).to_numpy()
    pixels = np.random.default_rng(0).integers(90, 160, (len(x), 12, 12, 3)).astype(np.uint8)
    detectors = clinics.detectors(x[::2], labels[::2], pixels[::2])
    between, far, black = x[1::2].mean(axis=0)[None].repeat(9, axis=0), x[:9] + 40, np.zeros_like(pixels[:9])
    scores = {name: score(x[1::2], pixels[1::2]) for name, score in detectors.items()}

    def auroc(name: str, features: np.ndarray, images: np.ndarray) -> float:
        return clinics.detection(scores[name], detectors[name](features, images), draws=0)["AUROC"][0]

    assert auroc("maximum probability", between, pixels[:9]) > 0.95
    assert auroc("Mahalanobis, features", far, pixels[:9]) == 1
    assert auroc("image statistics", x[:9], black) == 1 and auroc("image statistics", far, pixels[1:19:2]) < 0.9
