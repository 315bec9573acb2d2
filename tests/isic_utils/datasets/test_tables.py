"""Reading the ISIC tables: the official ones exactly, every form they come in, and each kind of damage said clearly."""

import shutil
import unicodedata

import pandas as pd
import pytest
from archives import (
    COLUMNS_2019,
    METADATA_COLUMNS,
    OFFICIAL,
    SHARED,
    draw_2018,
    draw_2019,
    files_in,
    metadata_row,
    names,
    needs_official_tables,
    refusal,
    truth_row,
    write_csv,
    write_tables,
)
from PIL import Image

from isic_utils.archive import GROUPINGS_2018 as GROUPINGS, METADATA_HAM as HAM
from isic_utils.datasets import splits, tables

TABLE_5_1 = dict(MEL=4522, NV=12875, BCC=3323, AK=867, BKL=2624, DF=239, VASC=253, SCC=628)


@pytest.fixture
def archive(tmp_path):
    return draw_2019(tmp_path / "archive")


@pytest.fixture
def truth(archive):
    return archive / tables.GROUND_TRUTH_2019


@pytest.fixture
def metadata(archive):
    return archive / tables.METADATA_2019


def refused(read, folder, *parts: str) -> None:
    """Assert that reading stops with one clear message and that no file has changed."""
    before = files_in(folder)
    refusal(lambda: read(folder), *parts)
    assert files_in(folder) == before


def replace(file, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


# The official tables


@needs_official_tables
def test_the_official_tables_give_table_5_1(capsys):
    table = tables.read_isic2019(OFFICIAL)
    assert len(table) == 25_331 and table["image"].is_unique
    assert table["label"].value_counts().to_dict() == TABLE_5_1
    assert table["lesion_id"].isna().sum() == 2_084
    assert table["image"].str.endswith("_downsampled").sum() == 2_074
    assert table["path"].isna().all()
    assert table["source"].value_counts().to_dict() == {"BCN": 12_413, "HAM": 10_015, "none": 2_084, "MSK": 819}
    assert "25,331 rows without images" in capsys.readouterr().out


@needs_official_tables
def test_every_official_cell_is_what_pandas_reads():
    table = tables.read_isic2019(OFFICIAL)
    truth = pd.read_csv(OFFICIAL / tables.GROUND_TRUTH_2019)
    metadata = pd.read_csv(OFFICIAL / tables.METADATA_2019)
    assert table["label"].astype(str).tolist() == truth[tables.CODES].idxmax(axis=1).tolist()
    for column in METADATA_COLUMNS:
        assert table[column].isna().tolist() == metadata[column].isna().tolist(), column
        assert table[column].dropna().tolist() == metadata[column].dropna().tolist(), column


@needs_official_tables
def test_the_part_with_images_is_read_and_said(capsys):
    table = tables.read_isic2019(SHARED / "isic")
    assert len(table) == 4_381 and table["label"].value_counts()["NV"] == 2_227
    assert len(tables.read_isic2018(SHARED / "isic")) == 1_800


@needs_official_tables
def test_images_with_masks_are_grouped_by_the_lesions_of_the_official_metadata(tmp_path):
    for name in (tables.IMAGES_2018, tables.MASKS_2018):
        (tmp_path / name).symlink_to(SHARED / "isic" / name)
    shutil.copy(OFFICIAL / tables.METADATA_2019, tmp_path)
    pairs = tables.read_isic2018(tmp_path)
    assert pairs["lesion_id"].notna().sum() == 467 and pairs["lesion_id"].nunique() == 457
    split = splits.segmentation(pairs, group_by="lesion")
    assert (split.groupby(pairs["lesion_id"]).nunique() == 1).all()


@pytest.mark.skipif(not (SHARED / "isic84").is_dir(), reason=f"the small images are not in {SHARED}")
def test_the_small_images_are_read():
    table = tables.read_isic2019(SHARED / "isic84")
    assert len(table) == 18_799 and set(table["label"]) == set(tables.CODES)


# What a table holds


def test_columns_and_kinds(archive, capsys):
    table = tables.read_isic2019(archive)
    assert list(table) == ["image", "path", "label", "lesion_id", "age_approx", "anatom_site_general", "sex", "source"]
    assert (table["source"] == "none").all()
    assert table["label"].cat.ordered and list(table["label"].cat.categories) == tables.CODES
    assert table["label"].tolist() == tables.CODES
    assert table["age_approx"].dtype == float and (table["age_approx"] == 55).all()
    assert table["path"].tolist() == [str(archive / tables.IMAGES_2019 / f"{image}.jpg") for image in names(8)]
    assert capsys.readouterr().out == ""


def test_the_source_is_told_by_the_beginning_of_the_lesion_id():
    ids = pd.Series(["BCN_0001728", "HAM_0000118", "MSK4_0011835", None, "OTHER_HAM_1"], index=[3, 1, 4, 0, 2])
    assert tables.source_of(ids).to_dict() == {3: "BCN", 1: "HAM", 4: "MSK", 0: "none", 2: "none"}


def test_empty_cells_are_missing_values(archive, metadata):
    replace(metadata, "ISIC_0000000,55.0,anterior torso,L0,female", "ISIC_0000000,,,NA,")
    first = tables.read_isic2019(archive).iloc[0]
    assert first[["lesion_id", "age_approx", "anatom_site_general", "sex"]].isna().all()


def test_a_column_without_any_value_is_missing_throughout(archive, metadata):
    write_csv(metadata, [METADATA_COLUMNS, *[[image, "", "", "", ""] for image in names(8)]])
    table = tables.read_isic2019(archive)
    assert len(table) == 8 and table[["lesion_id", "age_approx", "sex"]].isna().all(axis=None)


def test_columns_of_ones_own_in_the_metadata_change_nothing(archive, metadata):
    expected = tables.read_isic2019(archive)
    lines = metadata.read_text(encoding="utf-8").splitlines()
    own = [f"{line},{'label' if number == 0 else 'mine'}" for number, line in enumerate(lines)]
    metadata.write_text("\n".join(own), encoding="utf-8")
    assert tables.read_isic2019(archive).equals(expected)


def test_isic2018_pairs_images_with_masks(tmp_path, capsys):
    folder = draw_2018(tmp_path, count=4)
    (folder / tables.IMAGES_2018 / "ISIC_0000001.jpg").unlink()
    (folder / tables.MASKS_2018 / "ISIC_0000002_segmentation.png").unlink()
    table = tables.read_isic2018(folder)
    assert list(table) == ["image", "path", "mask_path"]
    assert table["image"].tolist() == ["ISIC_0000000", "ISIC_0000003"]
    assert table["mask_path"].str.endswith("_segmentation.png").all()
    said = capsys.readouterr().out
    assert "1 images without a mask are left out (first: ISIC_0000002): unpack both archives again" in said
    assert "1 masks without an image are left out (first: ISIC_0000001): unpack both archives again" in said


def test_isic2018_takes_lesion_ids_from_the_metadata_of_2019_whose_names_say_what_is_smaller(tmp_path):
    folder = draw_2018(tmp_path, count=4)
    rows = [("ISIC_0000000", "HAM_0000001"), ("ISIC_0000001_downsampled", "MSK4_0000002"), ("ISIC_0000002", "")]
    write_csv(folder / tables.METADATA_2019, [METADATA_COLUMNS, *(metadata_row(*row) for row in rows)])
    table = tables.read_isic2018(folder)
    assert list(table) == ["image", "path", "mask_path", "lesion_id"]
    assert table["lesion_id"][:2].tolist() == ["HAM_0000001", "MSK4_0000002"] and table["lesion_id"][2:].isna().all()


def test_isic2018_takes_lesion_ids_from_ham10000_and_task_3_too_where_2019_tells_none(tmp_path):
    folder = draw_2018(tmp_path, count=4)
    (folder / HAM).write_text("image_id,lesion_id,dx,dx_type,age,sex,localization\nA,HAM_9,nv,,,,\n", encoding="utf-8")
    assert list(tables.read_isic2018(folder)) == ["image", "path", "mask_path"], "no image is known, so no lesion"
    ham = ["lesion_id,image_id,dx,dx_type,age,sex,localization", "HAM_1,ISIC_0000001,nv,histo,55,male,back"]
    (folder / HAM).write_text("\n".join([*ham, "HAM_2,ISIC_0000002,nv,histo,55,male,back"]), encoding="utf-8")
    assert tables.read_isic2018(folder)["lesion_id"].tolist()[1:3] == ["HAM_1", "HAM_2"]
    groupings = "image,lesion_id,diagnosis_confirm_type\nISIC_0000000,HAM_0,histopathology\n"
    (folder / GROUPINGS).write_text(groupings, encoding="utf-8")
    rows = [metadata_row("ISIC_0000001", ""), metadata_row("ISIC_0000002", "BCN_2")]
    write_csv(folder / tables.METADATA_2019, [METADATA_COLUMNS, *rows])
    lesions = tables.read_isic2018(folder)["lesion_id"]
    assert lesions[:3].tolist() == ["HAM_0", "HAM_1", "BCN_2"] and lesions[3:].isna().all()


@pytest.mark.parametrize(
    "gone, kind",
    [(tables.IMAGES_2018, "2 masks without an image"), (tables.MASKS_2018, "2 images without a mask")],
)
def test_only_what_is_missing_is_said(tmp_path, capsys, gone, kind):
    folder = draw_2018(tmp_path, count=4)
    for file in (folder / gone).iterdir():
        if "0000001" in file.name or "0000003" in file.name:
            file.unlink()
    assert tables.read_isic2018(folder)["image"].tolist() == ["ISIC_0000000", "ISIC_0000002"]
    said = capsys.readouterr().out
    assert f"{kind} are left out (first: ISIC_0000001): unpack" in said and said.count("without") == 1


def test_complete_pairs_are_not_spoken_of(tmp_path, capsys):
    assert len(tables.read_isic2018(draw_2018(tmp_path, count=4))) == 4 and capsys.readouterr().out == ""


# A partial download


def test_a_partial_download_goes_on_and_says_how_many_of_how_many(archive, capsys):
    for image in names(3):
        (archive / tables.IMAGES_2019 / f"{image}.jpg").unlink()
    table = tables.read_isic2019(archive)
    assert table["image"].tolist() == names(8)[3:] and table.index.tolist() == list(range(5))
    assert "5 of 8 images are in ISIC_2019_Training_Input" in capsys.readouterr().out


def test_an_image_without_a_row_is_said_and_not_used(archive, capsys):
    Image.new("RGB", (4, 4)).save(archive / tables.IMAGES_2019 / "ISIC_9999999.jpg")
    assert len(tables.read_isic2019(archive)) == 8
    assert "1 files in ISIC_2019_Training_Input have no row" in capsys.readouterr().out


def test_images_without_metadata_are_kept_and_said(archive, metadata, capsys):
    write_csv(metadata, [METADATA_COLUMNS, *[metadata_row(image, "L") for image in names(6)]])
    table = tables.read_isic2019(archive)
    assert len(table) == 8 and table["age_approx"].isna().sum() == 2
    assert "no row for 2 of 8 images" in capsys.readouterr().out


def test_an_image_folder_without_images_stops(archive):
    shutil.rmtree(archive / tables.IMAGES_2019)
    (archive / tables.IMAGES_2019).mkdir()
    refused(tables.read_isic2019, archive, str(archive / tables.IMAGES_2019))


# Forms in which the same table comes


@pytest.mark.parametrize(
    "form",
    [
        dict(encoding="utf-8-sig"),
        dict(separator=";"),
        dict(separator=";", encoding="utf-8-sig"),
    ],
    ids=str,
)
def test_other_separators_and_encodings_give_the_same_table(archive, form):
    expected = tables.read_isic2019(archive)
    write_tables(archive, names(8), tables.CODES, **form)
    pd.testing.assert_frame_equal(tables.read_isic2019(archive), expected)


def test_decimal_commas_windows_line_ends_quotes_and_empty_lines_give_the_same_table(archive, truth, metadata):
    expected = tables.read_isic2019(archive)
    for file in (truth, metadata):
        text = (
            file.read_text(encoding="utf-8")
            .replace(",", ";")
            .replace(".0", ",0")
            .replace("ISIC_0000002", '"ISIC_0000002"')
        )
        file.write_text("\n" + text.replace("\n", "\r\n") + "\n\n ; ; \n", encoding="utf-8", newline="")
    pd.testing.assert_frame_equal(tables.read_isic2019(archive), expected)


# Damaged tables: one sentence, which names the file and the line

NO_TABLE = {
    "empty": b"",
    "empty lines": b"\n\n",
    "a mark alone": b"\xef\xbb\xbf",
    "a header alone": ",".join(COLUMNS_2019).encode(),
    "a web page": b"<!DOCTYPE html>\n<html><body>Not found</body></html>\n",
    "UTF-16": "image,MEL".encode("utf-16"),
    "UTF-16 cut short": "image,MEL".encode("utf-16")[:-1],
    "UTF-16 without its mark": "image,MEL".encode("utf-16-le"),
    "latin-1": "image,lésion".encode("latin-1"),
}


@pytest.mark.parametrize("kind", NO_TABLE)
def test_a_file_that_is_no_table(archive, truth, kind):
    truth.write_bytes(NO_TABLE[kind])
    refused(tables.read_isic2019, archive, str(truth))


def test_a_missing_folder_or_file(archive, truth):
    refusal(lambda: tables.read_isic2019(archive / "elsewhere"), str(archive / "elsewhere"), "ISIC_DATA")
    truth.unlink()
    refused(tables.read_isic2019, archive, str(truth))
    truth.mkdir()
    refused(tables.read_isic2019, archive, str(truth))


@pytest.mark.parametrize("folder", [tables.IMAGES_2018, tables.MASKS_2018])
def test_a_missing_segmentation_folder(tmp_path, folder):
    archive = draw_2018(tmp_path)
    shutil.rmtree(archive / folder)
    refused(tables.read_isic2018, archive, str(archive / folder))


def test_masks_of_other_images_and_a_split_that_there_is_not(tmp_path):
    archive = draw_2018(tmp_path)
    for mask in (archive / tables.MASKS_2018).iterdir():
        mask.rename(mask.with_name(f"other_{mask.name}"))
    refused(tables.read_isic2018, archive, str(archive / tables.MASKS_2018), "_segmentation.png")
    refusal(lambda: tables.read_isic2018(archive, "train"), "Task1-2_Train_Input")


@pytest.mark.parametrize("column", ["image", "MEL", "SCC"])
def test_a_table_without_a_column(archive, truth, column):
    replace(truth, column, "something")
    refused(tables.read_isic2019, archive, str(truth), column)


@pytest.mark.parametrize("column", METADATA_COLUMNS)
def test_metadata_without_a_column(archive, metadata, column):
    replace(metadata, column, "something")
    refused(tables.read_isic2019, archive, str(metadata), column)


@pytest.mark.parametrize("code, found", [("MEL,NV", "MEL and NV"), ("MEL,UNK", "MEL and UNK"), ("", "none")])
def test_two_labels_or_none(archive, truth, code, found):
    row = [names(8)[1], *("1.0" if column in code.split(",") else "0.0" for column in COLUMNS_2019[1:])]
    write_csv(truth, [COLUMNS_2019, truth_row(names(8)[0], "MEL"), row])
    refused(tables.read_isic2019, archive, f"{truth}, line 3", "ISIC_0000001", found)


TRUTH, METADATA = tables.GROUND_TRUTH_2019, tables.METADATA_2019
ROW = "ISIC_0000003,55.0,anterior torso,L1,female"
DAMAGE = [
    *[(TRUTH, 4, "ISIC_0000002,0.0", f"ISIC_0000002,{value}") for value in ("0.5", "yes", "", "-1", "inf", "1.0e")],
    *[(METADATA, 3, "ISIC_0000001,55.0", f"ISIC_0000001,{age}") for age in ("old", "-5", "1e9", "inf", "55 years")],
    *[(METADATA, 5, ROW, line) for line in ("ISIC_0000003,55.0,back", f"{ROW},more")],
    (METADATA, 4, "L1,female", 'L1,"female'),  # a quotation mark does not swallow the next rows
    *[(file, 3, "ISIC_0000001", " ISIC_0000000") for file in (TRUTH, METADATA)],
    *[
        (file, 2, "ISIC_0000000", name)
        for file in (TRUTH, METADATA)
        for name in ("../secret", "/etc/passwd", "..\\secret", "C:secret", ".hidden", "..", "a\x01b", " ")
    ],
    (TRUTH, 8, "ISIC_0000004,0.0", "\n\nISIC_0000004,0.5"),  # lines are counted as an editor does
]


@pytest.mark.parametrize("file, line, old, new", DAMAGE)
def test_a_damaged_line(archive, file, line, old, new):
    Image.new("RGB", (4, 4)).save(archive / "secret.jpg")
    replace(archive / file, old, new)
    refused(tables.read_isic2019, archive, f"{archive / file}, line {line}")


def test_a_class_that_is_none_of_the_eight_and_a_column_that_comes_twice(archive, truth):
    write_csv(truth, [COLUMNS_2019, truth_row(names(8)[0], "UNK")])
    replace(truth, "UNK", "ANGIOMA")
    refused(tables.read_isic2019, archive, f"{truth}, line 2", "ISIC_0000000", "none")
    replace(truth, "ANGIOMA", "MEL")
    refused(tables.read_isic2019, archive, str(truth), "'MEL' twice")


def test_an_image_of_unknown_class(archive, truth):
    write_csv(truth, [COLUMNS_2019, truth_row(names(8)[0], "UNK")])
    refused(tables.read_isic2019, archive, f"{truth}, line 2", "ISIC_0000000", "UNK")


# Names


@pytest.mark.parametrize("ending", [".JPG", ".Jpeg", ".png"])
def test_spaces_accents_and_endings_in_capitals(archive, truth, metadata, ending):
    name = "lésion ñ 1"
    place = archive / tables.IMAGES_2019
    (place / "ISIC_0000000.jpg").rename(place / (unicodedata.normalize("NFD", name) + ending))  # as macOS writes it
    for file in (truth, metadata):
        replace(file, "ISIC_0000000", unicodedata.normalize("NFC", name))
    table = tables.read_isic2019(archive)
    assert len(table) == 8 and table["image"].iloc[0] == name and table["lesion_id"].iloc[0] == "L0"
    with open(table["path"].iloc[0], "rb") as file:
        assert file.read(2) == b"\xff\xd8"


def test_one_name_in_two_forms_of_accents_is_a_duplicate(archive, truth):
    replace(truth, "ISIC_0000000", unicodedata.normalize("NFC", "lésion"))
    replace(truth, "ISIC_0000001", unicodedata.normalize("NFD", "lésion"))
    refused(tables.read_isic2019, archive, f"{truth}, line 3", "lésion")


def test_an_archive_unpacked_one_folder_too_deep(archive, tmp_path):
    expected = tables.read_isic2019(archive)["image"].tolist()
    place = archive / tables.IMAGES_2019
    place.rename(tmp_path / "images")
    place.mkdir()
    (tmp_path / "images").rename(place / tables.IMAGES_2019)
    table = tables.read_isic2019(archive)
    assert table["image"].tolist() == expected
    assert all(f"{tables.IMAGES_2019}/{tables.IMAGES_2019}/" in path.replace("\\", "/") for path in table["path"])


def test_macosx_leftovers_and_text_files_are_passed_over(archive, capsys):
    place = archive / tables.IMAGES_2019
    (place / "__MACOSX").mkdir()
    for leftover in ("._ISIC_0000000.jpg", "__MACOSX/ISIC_0000000.jpg", ".DS_Store", "LICENSE.txt", "ATTRIBUTION.txt"):
        (place / leftover).write_bytes(b"leftover")
    table = tables.read_isic2019(archive)
    assert len(table) == 8 and not table["path"].str.contains("MACOSX|/\\._").any()
    assert capsys.readouterr().out == ""


def test_two_files_of_one_name(archive):
    place = archive / tables.IMAGES_2019
    shutil.copy(place / "ISIC_0000000.jpg", place / "ISIC_0000000.png")
    refused(tables.read_isic2019, archive, str(place / "ISIC_0000000.png"))
