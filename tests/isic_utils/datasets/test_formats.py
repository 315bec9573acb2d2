"""The layouts and kinds of files in which people have these data: each is read right, or refused with the way."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from archives import draw_2018, draw_2019, lesion, names, noise, refusal, tiny_settings, write_csv
from PIL import Image, ImageFilter

from isic_utils import archive
from isic_utils.datasets import ImageStore, images, splits, tables
from isic_utils.metrics.calibration import is_malignant
from isic_utils.training import fit, protocols

SEVEN = ["MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC"]
HAM = ["lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization"]
KINDS = ["histo", "follow_up"]


def draw_ham(folder: Path, count: int = 8) -> Path:
    """HAM10000 as Harvard's Dataverse and Kaggle give it, in two parts; every two images are of one lesion."""
    rows = []
    for number, image in enumerate(names(count)):
        place = folder / f"HAM10000_images_part_{1 + number % 2}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(number)).save(place / f"{image}.jpg")
        lesion_id, dx = f"HAM_{number // 2:07d}", SEVEN[number % 7].lower()
        rows.append([lesion_id, image, dx, KINDS[number % 2], "55.0" if number else "", "female", "back"])
    rows[1][5:] = "unknown", "unknown"
    write_csv(folder / archive.METADATA_HAM, [HAM, *rows])
    return folder


def draw_task3(folder: Path) -> Path:
    """ISIC 2018 Task 3, seven images, its ground truth in the folder that the zip file brings."""
    place, inside = folder / archive.IMAGES_2018_TASK3, folder / Path(archive.GROUND_TRUTH_2018).stem
    place.mkdir(parents=True)
    inside.mkdir()
    for number, image in enumerate(names(7)):
        Image.fromarray(noise(number)).save(place / f"{image}.jpg")
    truth = [[image, *(f"{code == other:.1f}" for other in SEVEN)] for image, code in zip(names(7), SEVEN, strict=True)]
    write_csv(inside / archive.GROUND_TRUTH_2018, [["image", *SEVEN], *truth])
    groups = [[image, f"HAM_{number // 2:07d}", "histopathology"] for number, image in enumerate(names(7))]
    write_csv(folder / archive.GROUPINGS_2018, [["image", "lesion_id", "diagnosis_confirm_type"], *groups])
    return folder


def edit(file: Path, change) -> None:
    file.write_text(change(file.read_text(encoding="utf-8")), encoding="utf-8")


# HAM10000 and ISIC 2018 Task 3


@pytest.mark.parametrize("one_folder", [False, True])
@pytest.mark.parametrize("name", ["HAM10000_metadata.csv", "HAM10000_metadata"])
def test_ham10000_has_seven_classes_lesions_and_the_kind_of_diagnosis(tmp_path, one_folder, name, capsys):
    folder = draw_ham(tmp_path / "ham")
    (folder / archive.METADATA_HAM).rename(folder / name)
    if one_folder:
        (folder / "HAM10000_images_part_1").rename(folder / "HAM10000_images")
        for file in (folder / "HAM10000_images_part_2").iterdir():
            file.rename(folder / "HAM10000_images" / file.name)
    table = tables.read_isic2019(folder, akiec=True)
    assert list(table["label"].cat.categories) == SEVEN and table["label"].cat.ordered
    assert table["label"].tolist() == [*SEVEN, "MEL"] and table["image"].tolist() == names(8)
    assert table["lesion_id"].tolist() == [f"HAM_{number // 2:07d}" for number in range(8)]
    assert table["dx_type"].tolist() == KINDS * 4 and (table["source"] == "HAM").all()
    assert np.isnan(table["age_approx"][0]) and (table["age_approx"][1:] == 55).all()
    assert table[["sex", "anatom_site_general"]].isna().sum(axis=1).tolist() == [0, 2, 0, 0, 0, 0, 0, 0]
    assert [Path(path).stem for path in table["path"]] == names(8)
    assert capsys.readouterr().out == ""
    assert len(ImageStore(table, 8, tmp_path / "cache", progress=False)) == 8


def test_lessons_refuse_akiec_and_name_the_file_that_divides_it(tmp_path):
    for folder in (draw_ham(tmp_path / "ham"), draw_task3(tmp_path / "task3")):
        refusal(lambda folder=folder: tables.read_isic2019(folder), "AKIEC", tables.GROUND_TRUTH_2019, "beside it")
    assert is_malignant("AKIEC")


def test_the_ground_truth_of_2019_beside_ham10000_wins(tmp_path, capsys):
    folder = draw_ham(tmp_path / "ham")
    other = draw_2019(tmp_path / "2019", 12)
    shutil.copy(other / tables.GROUND_TRUTH_2019, folder)
    table = tables.read_isic2019(folder)
    assert list(table["label"].cat.categories) == tables.CODES and table["label"].tolist() == tables.CODES
    assert table["lesion_id"][3] == "HAM_0000001" and table["dx_type"].tolist() == KINDS * 4
    said = capsys.readouterr().out
    assert "8 of 12 images are in HAM10000_images_part_1, HAM10000_images_part_2" in said and "no row" not in said
    shutil.copy(other / tables.METADATA_2019, folder)
    table = tables.read_isic2019(folder)
    assert table["lesion_id"][3] == "L1" and table["dx_type"].tolist() == KINDS * 4
    assert (table["anatom_site_general"] == "anterior torso").all()


def test_metadata_of_2019_for_some_images_leave_the_lesions_of_the_others(tmp_path):
    folder = draw_ham(tmp_path)
    lines = [["image", "age_approx", "anatom_site_general", "lesion_id", "sex"], [names(1)[0], "40", "", "", "male"]]
    write_csv(folder / tables.METADATA_2019, lines)
    table = tables.read_isic2019(folder, akiec=True)
    assert table["lesion_id"].tolist() == [f"HAM_{number // 2:07d}" for number in range(8)]
    assert table["sex"].isna().sum() == 1 and table["sex"][0] == "male"
    assert table["age_approx"].tolist() == [40.0] + [55.0] * 7


def test_a_column_of_a_class_in_the_metadata_of_ham10000(tmp_path):
    file = draw_ham(tmp_path) / archive.METADATA_HAM
    edit(file, lambda text: "\n".join(f"{line},{'0' if number else 'NV'}" for number, line in enumerate(text.split())))
    assert tables.read_isic2019(tmp_path, akiec=True)["label"].tolist() == [*SEVEN, "MEL"]


def test_isic2018_task_3(tmp_path, capsys):
    table = tables.read_isic2019(draw_task3(tmp_path), akiec=True)
    assert table["label"].tolist() == SEVEN and list(table["label"].cat.categories) == SEVEN
    assert table["lesion_id"][6] == "HAM_0000003" and (table["dx_type"] == "histopathology").all()
    assert table["age_approx"].dtype == float and table[["age_approx", "sex"]].isna().all(axis=None)
    assert table["path"].notna().all() and capsys.readouterr().out == ""
    shutil.rmtree(tmp_path / archive.IMAGES_2018_TASK3)
    table = tables.read_isic2019(tmp_path, akiec=True)
    assert table["path"].isna().all() and table.index.tolist() == list(range(7))


@pytest.mark.parametrize("dx, found", [("angioma", "none"), ("", "none"), ("scc", "SCC"), ("mel,nv", "cells")])
def test_a_wrong_class_of_ham10000(tmp_path, dx, found):
    file = draw_ham(tmp_path) / archive.METADATA_HAM
    edit(file, lambda text: text.replace(",bcc,", f",{dx},"))
    refusal(lambda: tables.read_isic2019(tmp_path, akiec=True), f"{file}, line 4", found)


def test_two_labels_in_task_3_and_one_image_in_two_parts_of_ham10000(tmp_path):
    file = draw_task3(tmp_path / "task3") / Path(archive.GROUND_TRUTH_2018).stem / archive.GROUND_TRUTH_2018
    edit(file, lambda text: text.replace("ISIC_0000003,0.0,0.0,0.0,1.0", "ISIC_0000003,1.0,0.0,0.0,1.0"))
    refusal(lambda: tables.read_isic2019(tmp_path / "task3", akiec=True), f"{file}, line 5", "MEL and AKIEC")
    folder = draw_ham(tmp_path / "ham")
    shutil.copy(folder / "HAM10000_images_part_1" / "ISIC_0000002.jpg", folder / "HAM10000_images_part_2")
    refusal(lambda: tables.read_isic2019(folder, akiec=True), "part_1", "part_2", "ISIC_0000002.jpg", "same name")


def test_the_command_line_trains_the_seven_classes_that_the_table_has(tmp_path):
    settings = tiny_settings(tmp_path)
    draw_ham(settings.data, 112)
    table, store = protocols.load_data("standard", settings, akiec=True)
    config, table, split = protocols.arrange("standard", "residual", table, settings, epochs=1)
    assert (split.groupby(table["lesion_id"]).nunique() == 1).all() and set(split) == set(splits.SPLITS)
    run = fit(config, store, table, split, settings.runs, progress=False)
    assert run.config["classes"] == SEVEN and run.predictions()[SEVEN].sum(axis=1).round(3).eq(1).all()
    refusal(lambda: splits.balanced(table), "AKIEC")


# Tables


def test_file_endings_in_the_column_image_and_a_column_without_a_name(tmp_path):
    folder = draw_2019(tmp_path)
    expected = tables.read_isic2019(folder)
    for name, ending in ((tables.GROUND_TRUTH_2019, ".jpg"), (tables.METADATA_2019, ".JPG")):
        lines = (folder / name).read_text(encoding="utf-8").splitlines()
        changed = [f"{number - 1},{line.replace(',', f'{ending},', 1)}" for number, line in enumerate(lines[1:], 1)]
        (folder / name).write_text("\n".join([f",{lines[0]}", *changed]), encoding="utf-8")
    pd.testing.assert_frame_equal(tables.read_isic2019(folder), expected)


def test_one_image_with_and_without_its_ending_stands_there_twice(tmp_path):
    file = draw_2019(tmp_path) / tables.GROUND_TRUTH_2019
    edit(file, lambda text: text.replace("ISIC_0000001", "ISIC_0000000.jpg"))
    refusal(lambda: tables.read_isic2019(tmp_path), f"{file}, line 3", "ISIC_0000000 stands there twice")


def test_tabs_between_the_columns(tmp_path):
    folder = draw_2019(tmp_path)
    expected = tables.read_isic2019(folder)
    for name in (tables.GROUND_TRUTH_2019, tables.METADATA_2019):
        edit(folder / name, lambda text: text.replace(",", "\t"))
    pd.testing.assert_frame_equal(tables.read_isic2019(folder), expected)


def test_without_metadata_lesions_are_missing_and_a_grouped_split_refuses(tmp_path, capsys):
    folder = draw_2019(tmp_path, 40, ["NV"] * 40)
    (folder / tables.METADATA_2019).unlink()
    table = tables.read_isic2019(folder)
    text = ["lesion_id", "anatom_site_general", "sex"]
    assert len(table) == 40 and table[[*text, "age_approx"]].isna().all(axis=None)
    assert all(table[column].dtype.kind == "O" for column in text) and table["age_approx"].dtype == float
    assert (table["source"] == "none").all() and "group_by='image'" in capsys.readouterr().out
    refusal(lambda: splits.standard(table), "lesion_id", "group_by='image'")
    assert set(splits.standard(table, group_by="image")) == set(splits.SPLITS)
    pairs = tables.read_isic2018(draw_2018(tmp_path / "masks", 20))
    refusal(lambda: splits.segmentation(pairs, group_by="lesion"), "group_by='image'")


# Tables that the course cannot use


@pytest.mark.parametrize("place", ["NV", "train/melanoma"])
def test_folders_of_classes_are_refused_with_the_way(tmp_path, place):
    (tmp_path / place).mkdir(parents=True)
    Image.fromarray(noise(0)).save(tmp_path / place / "a.jpg")
    refusal(lambda: tables.read_isic2019(tmp_path), "named after classes", "python -m isic_utils download 2019")


HEADERS = {
    "ISIC_2020_Training_GroundTruth.csv": "image_name,patient_id,sex,age_approx,benign_malignant,target",
    "train.csv": "image_name,patient_id,sex,age_approx,diagnosis,benign_malignant,target",
    "ISIC_2024_Training_GroundTruth.csv": "isic_id,malignant",
    "train-metadata.csv": "isic_id,target,patient_id",
}


@pytest.mark.parametrize("name", HEADERS)
def test_tables_of_benign_and_malignant_are_refused_with_the_way(tmp_path, name):
    (tmp_path / name).write_text(f"{HEADERS[name]}\nISIC_2637011,0,1\n", encoding="utf-8")
    refusal(lambda: tables.read_isic2019(tmp_path), name, "malignant", "python -m isic_utils download 2019")


# Folders and kinds of images


@pytest.mark.parametrize("deeper", [["all"], ["part 1", "part 2"], ["NV", "MEL"]])
def test_images_one_folder_deeper_under_any_name(tmp_path, deeper):
    folder = draw_2019(tmp_path / "archive")
    place = folder / tables.IMAGES_2019
    for number, file in enumerate(sorted(place.glob("*.jpg"))):
        inside = place / deeper[number % len(deeper)]
        inside.mkdir(exist_ok=True)
        file.rename(inside / file.name)
    table = tables.read_isic2019(folder)
    assert table["image"].tolist() == names(8) and table["label"].tolist() == tables.CODES
    store = ImageStore(table, 8, tmp_path / "cache", progress=False)
    assert store.data_name == "archive" and len(store) == 8


def test_the_same_image_outside_and_one_folder_deeper_is_refused(tmp_path):
    place = draw_2019(tmp_path) / tables.IMAGES_2019
    (place / "small").mkdir()
    shutil.copy(place / "ISIC_0000005.jpg", place / "small")
    refusal(lambda: tables.read_isic2019(tmp_path), str(place / "ISIC_0000005.jpg"), "small", "same name")


def test_webp(tmp_path):
    folder = draw_2019(tmp_path / "archive")
    for number, image in enumerate(names(8)):
        (folder / tables.IMAGES_2019 / f"{image}.jpg").unlink()
        Image.fromarray(noise(number)).save(folder / tables.IMAGES_2019 / f"{image}.webp", lossless=True)
    table = tables.read_isic2019(folder)
    assert len(table) == 8 and np.array_equal(np.asarray(images.read_image(table["path"][3])), noise(3))
    file = Path(table["path"][3])
    file.write_bytes(file.read_bytes()[:-20])
    refusal(lambda: images.read_image(file), str(file), "damaged")


@pytest.mark.parametrize("count, broken, goes_on", [(40, 1, True), (40, 3, True), (40, 4, False), (3, 3, False)])
def test_up_to_three_broken_images_are_left_out(tmp_path, count, broken, goes_on):
    table = tables.read_isic2019(draw_2019(tmp_path / "archive", count))
    for path in table["path"][:broken]:
        Path(path).write_bytes(b"")
    if goes_on:
        store = ImageStore(table, 8, tmp_path / "cache", progress=False)
        assert len(store) == count - broken and len(store.left_out) == broken
    else:
        refusal(lambda: ImageStore(table, 8, tmp_path / "cache", progress=False), f"{broken} of {count}", "empty")


def test_superpixels_among_the_images_are_passed_over(tmp_path, capsys):
    folder = draw_2018(tmp_path)
    for image in names(3):
        Image.fromarray(noise(1)).save(folder / tables.IMAGES_2018 / f"{image}_superpixels.png")
    assert len(tables.read_isic2018(folder)) == 3 and capsys.readouterr().out == ""


# Masks


def test_masks_named_as_in_2016(tmp_path, capsys):
    folder = draw_2018(tmp_path)
    for file in sorted((folder / tables.MASKS_2018).iterdir()):
        file.rename(file.with_name(file.name.replace("_segmentation", "_Segmentation")))
    assert tables.read_isic2018(folder)["image"].tolist() == names(3) and capsys.readouterr().out == ""
    twice = folder / tables.MASKS_2018 / "ISIC_0000001_segmentation.jpg"
    Image.new("L", (20, 15)).save(twice)
    refusal(lambda: tables.read_isic2018(folder), str(twice), "same name")


@pytest.mark.parametrize(
    "place, mask_place",
    [
        ("ISIC-2017_Training_Data", "ISIC-2017_Training_Part1_GroundTruth"),
        ("ISBI2016_ISIC_Part1_Training_Data", "ISBI2016_ISIC_Part1_Training_GroundTruth"),
    ],
)
def test_the_folders_of_2017_and_2016_unless_those_of_2018_are_there(tmp_path, place, mask_place):
    folder = draw_2018(tmp_path / "archive", 4)
    (folder / tables.IMAGES_2018).rename(folder / "deeper")
    (folder / tables.MASKS_2018).rename(folder / mask_place)
    refusal(lambda: tables.read_isic2018(folder), str(folder / tables.IMAGES_2018))
    (folder / place).mkdir()
    (folder / "deeper").rename(folder / place / "deeper")
    table = tables.read_isic2018(folder)
    assert table["image"].tolist() == names(4)
    assert {Path(path).parent for path in table["path"]} == {folder / place / "deeper"}
    assert {Path(path).parent for path in table["mask_path"]} == {folder / mask_place}
    assert ImageStore(table, 8, tmp_path / "cache", progress=False).data_name == "archive"
    draw_2018(folder, 3)
    assert {Path(path).parent.name for path in tables.read_isic2018(folder)["path"]} == {tables.IMAGES_2018}
    for name in (place, mask_place):  # a test set of another year is not the official one of 2018
        (folder / name).rename(folder / name.replace("Training", "Test"))
    refusal(lambda: tables.read_isic2018(folder, "test"), tables.IMAGES_2018.replace("Training", "Test"))


@pytest.mark.parametrize("name", ["ISIC-2017_Data", "ISBI2016_Data"])
def test_a_folder_named_nearly_as_one_of_the_archive_s_own(tmp_path, name):
    table = tables.read_isic2018(draw_2018(tmp_path / name))
    assert ImageStore(table, 8, tmp_path / "cache", progress=False).data_name == name


MASK = lesion(0, 90, 120)
GREY = Image.fromarray(MASK).convert("L")
READ = {
    "JPEG.jpg": (GREY, {}),
    "blurred.png": (GREY.filter(ImageFilter.GaussianBlur(1)), {}),
    "RGB.png": (GREY.convert("RGB"), {}),
    "palette.png": (GREY.convert("P"), {}),
    "0 and 255.png": (GREY, {}),
    "a few of 7.png": (Image.fromarray(np.where(MASK, 255, 7).astype(np.uint8)), {}),
}


@pytest.mark.parametrize("kind", READ)
def test_masks_that_are_nearly_black_and_white(tmp_path, kind):
    image, options = READ[kind]
    image.save(tmp_path / kind, **options)
    read = images.read_mask(tmp_path / kind)
    assert read.dtype == bool and read.shape == MASK.shape and (read != MASK).mean() < 0.005


COLOURS = Image.fromarray(np.where(MASK[..., np.newaxis], [255, 0, 0], [0, 0, 0]).astype(np.uint8))
REFUSED = {
    "alpha": (GREY.convert("RGBA"), "RGBA"),
    "16 bits": (Image.fromarray(MASK.astype(np.uint16) * 65535), "I;16"),
    "0 and 1": (Image.fromarray(MASK.astype(np.uint8)), "multiply it by 255"),
    "0 and 128": (Image.fromarray(MASK.astype(np.uint8) * 128), "black or white"),
    "red": (COLOURS, "black or white"),
    "red palette": (COLOURS.convert("P"), "black or white"),
    "heavily blurred": (GREY.filter(ImageFilter.GaussianBlur(8)), "black or white"),
    "an image": (Image.fromarray(noise(0, 90, 120)), "black or white"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_masks_in_other_colours_are_refused(tmp_path, kind):
    image, reason = REFUSED[kind]
    image.save(tmp_path / "mask.png")
    refusal(lambda: images.read_mask(tmp_path / "mask.png"), str(tmp_path / "mask.png"), reason)


def pairs_of(folder: Path, masks: list[Image.Image], ending: str = "png") -> pd.DataFrame:
    """A segmentation table of images of 90 × 120 pixels with these masks."""
    for name in (tables.IMAGES_2018, tables.MASKS_2018):
        (folder / name).mkdir(parents=True)
    for number, (image, mask) in enumerate(zip(names(len(masks)), masks, strict=True)):
        Image.fromarray(noise(number, 90, 120)).save(folder / tables.IMAGES_2018 / f"{image}.jpg")
        mask.save(folder / tables.MASKS_2018 / f"{image}_segmentation.{ending}")
    return tables.read_isic2018(folder)


def test_the_store_says_how_black_and_white_masks_were_each_time(tmp_path, capsys):
    table = pairs_of(tmp_path / "archive", [GREY, GREY.filter(ImageFilter.GaussianBlur(1)), GREY])
    for _ in range(2):
        store = ImageStore(table, (45, 60), tmp_path / "cache", progress=False)
        said = capsys.readouterr().out
        assert "1 of 3 masks" in said and "%" in said and "one half" in said and "half of" not in said
    assert np.unique(store.pixels[..., 3]).tolist() == [0, 255]


@pytest.mark.parametrize("inverted, warned", [(0, False), (2, False), (3, True), (4, True)])
def test_masks_that_cover_more_than_half_of_most_images(tmp_path, inverted, warned, capsys):
    negative = Image.fromarray(~MASK).convert("L")
    table = pairs_of(tmp_path / "archive", [negative] * inverted + [GREY] * (4 - inverted))
    store = ImageStore(table, (45, 60), tmp_path / "cache", progress=False)
    said = capsys.readouterr().out
    assert len(store) == 4 and (f"{inverted} of 4 images" in said) == warned and ("inverted" in said) == warned


def test_a_mask_of_another_size_is_refused_in_every_format(tmp_path):
    table = pairs_of(tmp_path / "archive", [GREY.resize((60, 45))] * 4, "jpg")
    refusal(lambda: ImageStore(table, (45, 60), tmp_path / "cache", progress=False), "4 of 4", "differ in size")
