"""The synthetic archive: what is planned, what is drawn, and that it appears whole or not at all."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import ndimage

from isic_course import synthetic
from isic_course.synthetic import camera, clinics, lesions, masks, planning
from isic_utils.archive import COUNTS_2019
from isic_utils.datasets import read_isic2018, read_isic2019, tables
from isic_utils.errors import IsicError

SMALL = dict(images=30, pairs=9, least_images=3, least_lesions=2)
DEFAULT = planning.Options()


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    return synthetic.draw(tmp_path_factory.mktemp("drawn") / "sample", seed=3, **SMALL)


@pytest.fixture(scope="module")
def planned() -> list[planning.PlannedLesion]:
    return planning.plan(DEFAULT, seed=0)


@pytest.fixture(scope="module")
def images(planned) -> pd.DataFrame:
    """A row per planned image, with what is planned for its lesion and the ruler and ink on it."""
    rows = [vars(lesion) | vars(image) | vars(image.marks) for lesion in planned for image in lesion.images]
    return pd.DataFrame(rows).assign(lesion=[lesion.index for lesion in planned for _ in lesion.images])


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


# The plan


def test_classes_keep_isic_2019s_proportions_except_where_the_least_number_raises_them():
    counts = planning.class_counts(DEFAULT)
    total = sum(COUNTS_2019.values())
    for code in tables.CODES:
        share = COUNTS_2019[code] / total
        assert counts[code] == max(40, round(2200 * share)), code
    assert 2000 <= sum(counts.values()) <= 2400
    assert counts["NV"] / sum(counts.values()) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("seed", range(5))
def test_every_class_has_15_lesions_and_40_images_or_more(seed):
    lesions = planning.plan(DEFAULT, seed)
    for code in tables.CODES:
        of_class = [lesion for lesion in lesions if lesion.label == code]
        assert len(of_class) >= 15, code
        assert sum(len(lesion.images) for lesion in of_class) == planning.class_counts(DEFAULT)[code]


def test_few_large_lesions_are_divided_until_there_are_enough():
    lesions = planning._sources_and_sizes(np.random.default_rng(0), "MEL", 20, DEFAULT)
    sizes = [size for _, size in lesions]
    assert len(sizes) >= 15 and sum(sizes) == 20 and min(sizes) >= 1


def test_proportions_choose_the_classes():
    even = replace(DEFAULT, proportions={"MEL": 1, "NV": 1}, images=200)
    assert planning.class_counts(even) == {code: 100 if code in ("MEL", "NV") else 0 for code in tables.CODES}


def test_names_cannot_be_mistaken_for_real_ones_and_are_unique(planned):
    images = [image.name for lesion in planned for image in lesion.images]
    assert len(set(images)) == len(images)
    assert all(image.startswith("ISIC_9") for image in images)


def test_some_names_end_in_downsampled_and_none_of_those_of_2018(images, small):
    assert images["name"].str.endswith("_downsampled").mean() == pytest.approx(0.08, abs=0.02)
    assert not images.loc[images["source"].isin(["BCN", "HAM"]), "name"].str.endswith("_downsampled").any()
    assert not read_isic2018(small)["image"].str.endswith("_downsampled").any()


def test_many_lesions_have_several_images_and_a_few_percent_of_rows_lack_the_id(planned):
    sizes = np.array([len(lesion.images) for lesion in planned])
    assert 0.3 < np.mean(sizes > 1) < 0.7
    without = [lesion.lesion_id is None for lesion in planned for _ in lesion.images]
    assert 0.05 < np.mean(without) < 0.10
    assert all(len(lesion.images) == 1 for lesion in planned if lesion.lesion_id is None)
    ids = [lesion.lesion_id for lesion in planned if lesion.lesion_id]
    assert len(set(ids)) == len(ids)


def test_metadata_has_gaps_and_depends_on_the_class(planned):
    for name, low, high in (("age", 0.002, 0.05), ("sex", 0.002, 0.05), ("site", 0.05, 0.2)):
        assert low < np.mean([getattr(lesion, name) is None for lesion in planned]) < high, name

    def mean_age(code):
        return np.mean([lesion.age for lesion in planned if lesion.code == code and lesion.age is not None])

    assert mean_age("NV") + 10 < min(mean_age("BCC"), mean_age("AK"), mean_age("SCC"))


def test_sources_have_the_classes_of_isic_2019_msk_more_often(images):
    """Per class as the official tables have it: BCN and HAM as often against each other, MSK four times as often."""
    counts = pd.crosstab(images["source"], images["label"])
    for code, (bcn, ham, msk, none) in clinics.IMAGES_2019_BY_SOURCE.items():
        assert bcn + ham + msk + none == COUNTS_2019[code]
        expected = np.array([bcn, ham, 4 * msk, none]) / (bcn + ham + 4 * msk + none)
        assert counts.loc[["BCN", "HAM", "MSK", "none"], code].to_numpy() == pytest.approx(
            expected * counts[code].sum(), abs=2
        )


def test_one_clinic_alone_can_be_asked_for():
    lesions = planning.plan(replace(DEFAULT, sources=("HAM",), images=300, pairs=0), seed=0)
    assert {lesion.source for lesion in lesions} == {"HAM"}
    assert sum(len(lesion.images) for lesion in lesions) == sum(
        planning.class_counts(replace(DEFAULT, images=300)).values()
    )


def test_clinics_have_patients_cameras_and_ids_of_their_own(images):
    of = dict(list(images.groupby("source")))
    assert of["BCN"]["lesion_id"].str.fullmatch(r"BCN_9\d{6}").all() and of["none"]["lesion_id"].isna().all()
    assert of["HAM"]["lesion_id"].str.fullmatch(r"HAM_9\d{6}").all()
    assert of["MSK"]["lesion_id"].str.fullmatch(r"MSK4_9\d{6}").all()
    assert set(of["BCN"]["size"]) == {(128, 128)} and set(of["HAM"]["size"]) == {(160, 120)}
    assert of["MSK"]["size"].nunique() == 4
    nevi = images[images["code"] == "NV"].groupby("source")
    assert nevi["years"].mean()["MSK"] > nevi["years"].mean()["HAM"] + 2
    on_the_back = (nevi["site"].agg(lambda site: (site == "posterior torso").mean())).to_dict()
    assert on_the_back["BCN"] == 0 and on_the_back["HAM"] > 0.15
    per_lesion = images.groupby("source").size() / images.groupby("source")["lesion_id"].nunique()
    assert per_lesion["BCN"] > 2.2 > 1.6 > per_lesion["HAM"] > per_lesion["MSK"] > 1.1


@pytest.mark.parametrize("seed", range(3))
def test_skin_tones_are_in_their_shares_whatever_the_class_and_the_clinic(seed):
    lesions = planning.plan(replace(DEFAULT, images=6_000), seed)
    table = pd.DataFrame([(lesion.skin_tone, lesion.source, lesion.code) for lesion in lesions])
    groups = [table[table[1] == source] for source in clinics.SOURCES] + [table[table[2] == "MEL"]]
    for rows, tolerance in [(table, 0.03), *((group, 0.08) for group in groups)]:
        assert rows[0].value_counts(normalize=True).to_dict() == pytest.approx(planning.SKIN_TONE_SHARES, abs=tolerance)
    masked = [lesion.skin_tone for lesion in planning.plan(DEFAULT, seed) for image in lesion.images if image.care]
    assert masked.count("dark") >= 35 and masked.count("brown") >= 35


def test_skin_tones_stand_in_the_plan_and_in_no_table(small):
    tones = synthetic.skin_tones(small)
    plan = planning.plan(replace(DEFAULT, **SMALL), seed=3)
    assert tones.to_dict() == {image.name: lesion.skin_tone for lesion in plan for image in lesion.images}
    assert list(tones.cat.categories) == list(camera.SKIN_TONES)
    text = "".join(path.read_text(encoding="utf-8") for path in small.glob("*.csv"))
    assert "dark" not in text and "skin" not in text


def test_darker_skin_is_drawn_darker():
    melanin = {}
    for tone in camera.SKIN_TONES:
        people = [camera.draw_person(np.random.default_rng(n), 50, tone, clinics.CLINICS["HAM"]) for n in range(20)]
        melanin[tone] = [person.melanin for person in people]
    tones = list(melanin.values())
    assert all(max(paler) < min(darker) for paler, darker in zip(tones, tones[1:], strict=False))


def test_ruler_marks_are_frequent_in_one_malignant_class_only():
    many = replace(DEFAULT, images=10_000, pairs=0)

    def shares(options):
        rows = [(lesion.code, image.marks.ruler) for lesion in planning.plan(options, 1) for image in lesion.images]
        rows = pd.DataFrame(rows, columns=["code", "ruler"])
        return rows.groupby("code")["ruler"].mean(), rows.loc[rows["code"] != planning.RULER_CLASS, "ruler"].mean()

    (planted, elsewhere), (without, _) = shares(many), shares(replace(many, shortcut=False))
    assert planning.RULER_CLASS in tables.MALIGNANT
    assert planted[planning.RULER_CLASS] == pytest.approx(0.45, abs=0.08)
    assert (planted.drop(planning.RULER_CLASS) < 0.20).all() and elsewhere == pytest.approx(0.08, abs=0.01)
    assert without[planning.RULER_CLASS] < 0.12
    pd.testing.assert_series_equal(without.drop(planning.RULER_CLASS), planted.drop(planning.RULER_CLASS))


def test_the_placebo_is_as_frequent_in_every_class_and_as_long_as_a_ruler(images):
    share = images.groupby("code")["ink"].mean()
    assert share.to_numpy() == pytest.approx(planning.INK_SHARE, abs=0.02)

    def ink(strokes):
        return np.asarray(camera.lines((120, 160), strokes)).sum()

    drawn = [(camera._ruler, []), (camera._ink, [])]
    for seed in range(40):
        for draw, amounts in drawn:
            amounts.append(ink(draw(np.random.default_rng(seed), (120, 160))))
    (_, ruler), (_, placebo) = drawn
    assert 0.7 < np.mean(placebo) / np.mean(ruler) < 1.3


def test_without_the_shortcut_only_images_lose_their_ruler(small, tmp_path):
    """All else is the same, byte for byte."""
    options = replace(DEFAULT, **SMALL)
    without = synthetic.draw(tmp_path / "without", seed=3, shortcut=False, **SMALL)
    ruler, fewer = (
        {image.name for lesion in planning.plan(chosen, 3) for image in lesion.images if image.marks.ruler}
        for chosen in (options, replace(options, shortcut=False))
    )
    before, after = digests(small), digests(without)
    changed = {Path(name).stem for name in before if before[name] != after[name]} - {"SYNTHETIC"}
    assert fewer < ruler and changed == ruler - fewer


def test_some_lesions_are_photographed_anew_and_some_images_are_there_twice(images):
    several = images.dropna(subset="lesion_id").groupby("lesion")["lesion_id"].nunique()
    twice = images[images["index"].duplicated(keep=False)].groupby("index")
    assert 5 <= len(twice) <= 12 and (twice.size() == 2).all() and (twice["lesion_id"].nunique() == 2).all()
    assert sorted(twice["label"].nunique())[-2:] == [1, 2], "one pair has two labels"
    assert (several > 1).sum() - len(twice) >= 8
    assert (images["code"] != images["label"]).sum() == 1
    assert images["name"].is_unique


def test_images_with_masks_are_in_the_table_too_and_share_its_lesions(images):
    masked = images[images["care"].notna()]
    assert len(masked) == DEFAULT.pairs
    assert set(masked["source"]) == {"MSK", "none"} and set(masked["code"]) == {"MEL", "NV", "BKL"}
    sizes = masked["lesion_id"].value_counts()
    assert (sizes > 1).sum() >= 20, "lesions with several images, so that a split can be grouped"


def test_overlap_borrows_colours_and_fades_structures():
    def drawn(overlap):
        lesions = planning.plan(replace(DEFAULT, overlap=overlap, pairs=0), seed=0)
        borrowed = np.mean([lesion.borrowed_share for lesion in lesions])
        return borrowed, np.mean([lesion.clearness for lesion in lesions])

    (none, plain), (some, fainter), (much, faint) = drawn(0.0), drawn(0.5), drawn(1.0)
    assert none == 0 and plain == 1
    assert none < some < much and plain > fainter > faint


@pytest.mark.parametrize(
    "wrong, word",
    [
        (dict(proportions={"XYZ": 1.0}), "XYZ"),
        (dict(proportions={"NV": 0.0}), "above 0"),
        (dict(proportions={"NV": 1.0, "MEL": -0.1}), "negative"),
        (dict(overlap=1.5), "1.5"),
        (dict(images=-1), "negative"),
        (dict(size=(10, 120)), "32 pixels"),
        (dict(sources=("MSK",)), "all classes asked for"),
    ],
)
def test_options_that_make_no_sense_are_refused(tmp_path, wrong, word):
    with pytest.raises(IsicError, match=word):
        synthetic.draw(tmp_path / "sample", **wrong)
    assert not list(tmp_path.iterdir())


# The files


def test_same_seed_same_bytes_whatever_the_number_of_workers(small, tmp_path):
    """`small` is drawn by two processes."""
    for workers in (1, 3):
        assert digests(small) == digests(synthetic.draw(tmp_path / f"{workers}", seed=3, workers=workers, **SMALL))


def test_another_seed_gives_other_images(small, tmp_path):
    other = digests(synthetic.draw(tmp_path / "other", seed=4, **SMALL))
    same = set(other.values()) & set(digests(small).values())
    assert not same


def test_layout_and_columns_are_isics(small):
    truth = pd.read_csv(small / "ISIC_2019_Training_GroundTruth.csv")
    metadata = pd.read_csv(small / "ISIC_2019_Training_Metadata.csv")
    assert list(truth) == ["image", "MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK"]
    assert list(metadata) == ["image", "age_approx", "anatom_site_general", "lesion_id", "sex"]
    assert (truth.drop(columns="image").sum(axis=1) == 1).all() and (truth["UNK"] == 0).all()
    assert truth["image"].is_monotonic_increasing and list(truth["image"]) == list(metadata["image"])
    assert {path.stem for path in (small / "ISIC_2019_Training_Input").glob("*.jpg")} == set(truth["image"])
    paired = {path.stem for path in (small / "ISIC2018_Task1-2_Training_Input").glob("*.jpg")}
    found = {path.name for path in (small / "ISIC2018_Task1_Training_GroundTruth").iterdir()}
    assert len(paired) == SMALL["pairs"] and found == {f"{name}_segmentation.png" for name in paired}
    assert paired & set(truth["image"].str.removesuffix("_downsampled"))


def test_the_courses_tables_read_it(small):
    table = read_isic2019(small)
    plan = planning.class_counts(replace(DEFAULT, **SMALL))
    assert table["label"].value_counts().to_dict() == plan
    assert set(table["source"]) <= set(clinics.SOURCES)
    pairs = read_isic2018(small)
    assert len(pairs) == SMALL["pairs"] and "lesion_id" in pairs


def test_the_marker_says_that_it_is_synthetic(small):
    marker = json.loads((small / "SYNTHETIC.json").read_text(encoding="utf-8"))
    assert marker["version"] == synthetic.VERSION and marker["seed"] == 3
    assert marker["options"]["images"] == 30
    assert "synthetic" in marker["statement"]
    image = next((small / "ISIC_2019_Training_Input").glob("*.jpg"))
    assert b"synthetic" in Image.open(image).info["comment"]


def test_no_table_mentions_the_ruler(small):
    for path in small.glob("*.csv"):
        assert "ruler" not in path.read_text(encoding="utf-8").lower()


def test_masks_are_black_and_white_and_fit_their_images(small):
    for path in (small / "ISIC2018_Task1_Training_GroundTruth").iterdir():
        mask = np.asarray(Image.open(path))
        name = path.stem.removesuffix("_segmentation")
        with Image.open(small / "ISIC2018_Task1-2_Training_Input" / f"{name}.jpg") as image:
            assert mask.shape == (image.height, image.width)
        assert mask.dtype == np.uint8 and set(np.unique(mask)) == {0, 255}


def test_the_lesion_is_darker_or_redder_inside_its_mask(small):
    differences = []
    for path in (small / "ISIC2018_Task1_Training_GroundTruth").iterdir():
        mask = np.asarray(Image.open(path)) > 0
        name = path.stem.removesuffix("_segmentation")
        green = np.asarray(Image.open(small / "ISIC2018_Task1-2_Training_Input" / f"{name}.jpg"))[..., 1]
        around = ndimage.binary_dilation(mask, iterations=12) & ~ndimage.binary_dilation(mask, iterations=3)
        differences.append(np.median(green[around]) - np.median(green[mask]))
    assert np.mean(np.array(differences) > 0) >= 0.8


@pytest.mark.parametrize("care", list(planning.MASK_CARES))
def test_masks_of_differing_care_are_near_the_exact_one(care):
    rows, columns = np.indices((120, 160))
    exact = ((rows - 60) / 30) ** 2 + ((columns - 80) / 45) ** 2 < 1
    exact[5:8, 5:8] = True  # an island, which a mask with one region leaves out
    exact[60:63, 80:83] = False  # and a hole
    grey = np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8)
    mask = masks.with_care(np.random.default_rng(1), exact, grey, care)
    jaccard = (mask & exact).sum() / (mask | exact).sum()
    if care == "exact":
        assert ndimage.label(mask)[1] == 1 and ndimage.label(~mask)[1] == 1
        assert (mask ^ exact).sum() == 9 + 9
    else:
        assert 0.75 < jaccard < 0.99


def test_images_of_one_lesion_look_alike_and_differ(tmp_path):
    folder = synthetic.draw(tmp_path / "sample", seed=0, overlap=0, images=60, pairs=0, least_images=0, least_lesions=0)
    table = read_isic2019(folder).dropna(subset=["lesion_id"])
    colours = [np.asarray(Image.open(path).convert("RGB")).mean(axis=(0, 1)) for path in table["path"]]
    colours = pd.DataFrame(colours, index=table["lesion_id"].to_numpy())
    lesions = colours.groupby(level=0)
    several = lesions.filter(lambda rows: len(rows) > 1)
    within = several.groupby(level=0).std().mean().mean()
    assert 0 < within < 0.7 * lesions.mean().std().mean()
    assert not (folder / "ISIC2018_Task1-2_Training_Input").exists()


def test_sizes_of_the_clinics_are_relative_to_the_one_asked_for(tmp_path):
    folder = synthetic.draw(tmp_path / "sample", seed=0, size=(64, 48), **{**SMALL, "pairs": 0})
    table = read_isic2019(folder).set_index("source")["path"]
    assert {Image.open(path).size for path in table["HAM"]} == {(64, 48)}
    assert {Image.open(path).size for path in table["BCN"]} == {(51, 51)}


# Whole or not at all


def test_an_interrupted_drawing_leaves_nothing(tmp_path, monkeypatch):
    real, calls = synthetic._write_jpeg, []

    def fails_midway(path, pixels, quality):
        calls.append(path)
        if len(calls) == 10:
            raise KeyboardInterrupt
        real(path, pixels, quality)

    monkeypatch.setattr(synthetic, "_write_jpeg", fails_midway)
    with pytest.raises(KeyboardInterrupt):
        synthetic.draw(tmp_path / "sample", workers=1, **SMALL)
    assert len(calls) >= 10
    assert [path.name for path in tmp_path.iterdir()] in ([], [".sample.lock"])


def test_an_interrupted_redrawing_leaves_the_old_sample(tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic, "DEFAULT", replace(DEFAULT, **SMALL))
    folder = synthetic.ensure(tmp_path / "sample")
    before = digests(folder)
    monkeypatch.setattr(synthetic, "VERSION", synthetic.VERSION + 1)

    def fails(folder, *rest):
        (folder / "half.jpg").write_bytes(b"half")
        raise RuntimeError("interrupted")

    monkeypatch.setattr(synthetic, "_draw_all_images", fails)
    with pytest.raises(RuntimeError, match="interrupted"):
        synthetic.ensure(folder)
    assert digests(folder) == before


def test_a_full_disk_is_said_in_a_sentence(tmp_path, monkeypatch):
    def disk_is_full(path, pixels, quality):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(synthetic, "_write_jpeg", disk_is_full)
    with pytest.raises(IsicError, match="No space left on device.*30 MB are free"):
        synthetic.draw(tmp_path / "sample", workers=1, **SMALL)
    assert not (tmp_path / "sample").exists()


def test_leftovers_of_a_killed_drawing_do_not_get_into_the_sample(small, tmp_path):
    leftover = tmp_path / ".sample-unfinished" / tables.IMAGES_2019
    leftover.mkdir(parents=True)
    (leftover / "half.jpg").write_bytes(b"half")
    assert digests(synthetic.draw(tmp_path / "sample", seed=3, **SMALL)) == digests(small)
    assert not leftover.exists()


def test_a_folder_with_content_is_not_touched(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(IsicError, match="not empty"):
        synthetic.draw(tmp_path)
    with pytest.raises(IsicError, match="something else"):
        synthetic.ensure(tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_ensure_draws_once_and_again_for_another_version_seed_or_options(tmp_path, monkeypatch):
    drawn = []
    real = synthetic._draw_whole

    def counted(folder, options, seed, workers, progress):
        drawn.append(seed)
        real(folder, options, seed, workers, progress)

    tiny = replace(DEFAULT, images=4, pairs=0, least_images=0, least_lesions=0)
    monkeypatch.setattr(synthetic, "_draw_whole", counted)
    monkeypatch.setattr(synthetic, "DEFAULT", tiny)
    folder = tmp_path / "data" / "sample"
    assert synthetic.ensure(folder) == folder and synthetic.ensure(folder) == folder
    assert drawn == [0]
    monkeypatch.setattr(synthetic, "VERSION", synthetic.VERSION + 1)
    synthetic.ensure(folder)
    assert drawn == [0, 0]
    assert json.loads((folder / synthetic.MARKER).read_text(encoding="utf-8"))["version"] == synthetic.VERSION
    synthetic.ensure(folder, seed=7)
    assert drawn == [0, 0, 7]
    monkeypatch.setattr(synthetic, "DEFAULT", replace(tiny, overlap=0.1))
    synthetic.ensure(folder, seed=7)
    assert drawn == [0, 0, 7, 7]
    (folder / synthetic.MARKER).write_text("{ cut sho", encoding="utf-8")
    synthetic.ensure(folder)
    assert drawn == [0, 0, 7, 7, 0]


def test_two_processes_draw_once(tmp_path, monkeypatch):
    """The second waits for the lock and then finds the sample; threads with a lock each stand for processes."""
    drawn = []
    real = synthetic._draw_whole

    def counted(folder, *rest, **named):
        drawn.append(folder)
        real(folder, *rest, **named)

    monkeypatch.setattr(synthetic, "_draw_whole", counted)
    monkeypatch.setattr(synthetic, "DEFAULT", replace(DEFAULT, **SMALL))
    with ThreadPoolExecutor(2) as pool:
        folders = list(pool.map(lambda _: synthetic.ensure(tmp_path / "sample", progress=False), range(2)))
    assert folders == [tmp_path / "sample"] * 2 and drawn == [tmp_path / "sample"]


# What was drawn


def test_structures_name_what_the_recipes_drew(small):
    table = read_isic2019(small).set_index("image")
    drawn = synthetic.structures(small)
    assert list(drawn.columns) == list(synthetic.STRUCTURES) and drawn.to_numpy().dtype == bool
    assert set(drawn.index) == set(table.index)
    always = {"MEL": "network", "BCC": "vessels", "AK": "follicles", "DF": "scar", "VASC": "lacunae", "SCC": "scale"}
    for code, name in always.items():
        assert drawn.loc[table.index[table["label"] == code], name].all(), code
    assert not drawn.loc[table.index[table["label"] == "AK"], ["lacunae", "streaks"]].any(axis=None)
    assert 0.02 < drawn["hair"].mean() < 0.7
    lesions = table["lesion_id"].dropna()
    in_lesion = list(synthetic.STRUCTURES[: synthetic.STRUCTURES.index("hair")])
    assert (drawn.loc[lesions.index, in_lesion].groupby(lesions).nunique() == 1).all(axis=None)


def test_structures_know_the_ruler_from_the_plan(small):
    plan = planning.plan(replace(DEFAULT, **SMALL), seed=3)
    ruler = {image.name for lesion in plan for image in lesion.images if image.marks.ruler}
    drawn = synthetic.structures(small)
    assert ruler and set(drawn.index[drawn["ruler"]]) == ruler


def test_hair_is_named_where_it_is_drawn():
    lesion = lesions.draw_lesion(np.random.default_rng(0), "NV", "MEL", 0.0, 1.0, camera.REFERENCE_HEIGHT)
    named, unlike, clinic = [], [], clinics.CLINICS["HAM"]
    for seed in range(12):
        hairy = camera.draw_person(np.random.default_rng(1), 40, "light", clinic)
        taken = [
            camera.take(
                np.random.default_rng(seed), lesion, replace(hairy, hairs=hairs), clinic, (64, 48), camera.Marks()
            )
            for hairs in (0.0, 8.0)
        ]
        assert "hair" not in taken[0][2]
        named.append("hair" in taken[1][2])
        unlike.append(not np.array_equal(taken[0][0], taken[1][0]))
    assert all(named) and all(unlike)


def test_structures_are_refused_where_nothing_was_drawn(tmp_path):
    for read in (synthetic.structures, synthetic.skin_tones):
        with pytest.raises(IsicError, match="only drawn images"):
            read(tmp_path)
