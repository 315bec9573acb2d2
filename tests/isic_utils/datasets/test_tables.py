"""Reading the ISIC tables: the official ones exactly, every form they come in, and each kind of damage said clearly."""

import os
import shutil
import sys
import unicodedata

import pandas as pd
import pytest
from archives import (
    COLUMNS_2019,
    METADATA_COLUMNS,
    OFFICIAL,
    draw_2018,
    draw_2019,
    files_in,
    is_one_clear_message,
    metadata_row,
    names,
    truth_row,
    write_csv,
    write_tables,
)
from PIL import Image

from isic_utils.datasets import tables
from isic_utils.errors import IsicError

TABLE_5_1 = dict(MEL=4522, NV=12875, BCC=3323, AK=867, BKL=2624, DF=239, VASC=253, SCC=628)
needs_official_tables = pytest.mark.skipif(not OFFICIAL.is_dir(), reason=f"the official tables are not in {OFFICIAL}")


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
    with pytest.raises(IsicError) as caught:
        read(folder)
    is_one_clear_message(caught.value, *parts)
    assert files_in(folder) == before


def replace(file, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


# The official tables


@needs_official_tables
def test_the_official_tables_give_table_5_1(capsys):
    table = tables.isic2019(OFFICIAL)
    assert len(table) == 25_331 and table["image"].is_unique
    assert table["label"].value_counts().to_dict() == TABLE_5_1
    assert table["lesion_id"].isna().sum() == 2_084
    assert table["image"].str.endswith("_downsampled").sum() == 2_074
    assert table["path"].isna().all()
    assert "25,331 rows without pictures" in capsys.readouterr().out


@needs_official_tables
def test_every_official_cell_is_what_pandas_reads():
    table = tables.isic2019(OFFICIAL)
    truth = pd.read_csv(OFFICIAL / tables.GROUND_TRUTH_2019)
    metadata = pd.read_csv(OFFICIAL / tables.METADATA_2019)
    assert table["label"].astype(str).tolist() == truth[tables.CODES].idxmax(axis=1).tolist()
    for column in METADATA_COLUMNS:
        assert table[column].isna().tolist() == metadata[column].isna().tolist(), column
        assert table[column].dropna().tolist() == metadata[column].dropna().tolist(), column


@needs_official_tables
def test_the_part_with_pictures_is_read_and_said(capsys):
    table = tables.isic2019(OFFICIAL.parent)
    assert len(table) == 4_381 and table["label"].value_counts()["NV"] == 2_227
    segmentation = tables.isic2018(OFFICIAL.parent)
    assert len(segmentation) == 1_800


# What a table holds


def test_columns_and_kinds(archive, capsys):
    table = tables.isic2019(archive)
    assert list(table) == ["image", "path", "label", "lesion_id", "age_approx", "anatom_site_general", "sex"]
    assert table["label"].cat.ordered and list(table["label"].cat.categories) == tables.CODES
    assert table["label"].tolist() == tables.CODES
    assert table["age_approx"].dtype == float and (table["age_approx"] == 55).all()
    assert table["path"].tolist() == [str(archive / tables.PICTURES_2019 / f"{image}.jpg") for image in names(8)]
    assert capsys.readouterr().out == ""


def test_empty_cells_are_missing_values(archive, metadata):
    replace(metadata, "ISIC_0000000,55.0,anterior torso,L0,female", "ISIC_0000000,,,NA,")
    first = tables.isic2019(archive).iloc[0]
    assert first[["lesion_id", "age_approx", "anatom_site_general", "sex"]].isna().all()


def test_a_column_without_any_value_is_missing_throughout(archive, metadata):
    write_csv(metadata, [METADATA_COLUMNS, *[[image, "", "", "", ""] for image in names(8)]])
    table = tables.isic2019(archive)
    assert len(table) == 8 and table[["lesion_id", "age_approx", "sex"]].isna().all(axis=None)


def test_columns_of_ones_own_in_the_metadata_change_nothing(archive, metadata):
    expected = tables.isic2019(archive)
    lines = metadata.read_text(encoding="utf-8").splitlines()
    own = [f"{line},{'label' if number == 0 else 'mine'}" for number, line in enumerate(lines)]
    metadata.write_text("\n".join(own), encoding="utf-8")
    assert tables.isic2019(archive).equals(expected)


def test_isic2018_pairs_pictures_with_masks(tmp_path, capsys):
    folder = draw_2018(tmp_path, count=4)
    (folder / tables.PICTURES_2018 / "ISIC_0000001.jpg").unlink()
    (folder / tables.MASKS_2018 / "ISIC_0000002_segmentation.png").unlink()
    table = tables.isic2018(folder)
    assert list(table) == ["image", "path", "mask_path"]
    assert table["image"].tolist() == ["ISIC_0000000", "ISIC_0000003"]
    assert table["mask_path"].str.endswith("_segmentation.png").all()
    said = capsys.readouterr().out
    assert "2 pictures have a mask; left out: 1 pictures without a mask (first: ISIC_0000002.jpg)" in said
    assert "and 1 masks without a picture (first: ISIC_0000001_segmentation.png): unpack both archives again" in said


@pytest.mark.parametrize(
    "gone, kind, first",
    [
        (tables.PICTURES_2018, "2 masks without a picture", "ISIC_0000001_segmentation.png"),
        (tables.MASKS_2018, "2 pictures without a mask", "ISIC_0000001.jpg"),
    ],
)
def test_only_what_is_missing_is_said(tmp_path, capsys, gone, kind, first):
    folder = draw_2018(tmp_path, count=4)
    for file in (folder / gone).iterdir():
        if "0000001" in file.name or "0000003" in file.name:
            file.unlink()
    assert tables.isic2018(folder)["image"].tolist() == ["ISIC_0000000", "ISIC_0000002"]
    said = capsys.readouterr().out
    assert f"left out: {kind} (first: {first}): unpack" in said and said.count("without") == 1


def test_complete_pairs_are_not_spoken_of(tmp_path, capsys):
    assert len(tables.isic2018(draw_2018(tmp_path, count=4))) == 4 and capsys.readouterr().out == ""


# A partial download


def test_a_partial_download_goes_on_and_says_how_many_of_how_many(archive, capsys):
    for image in names(3):
        (archive / tables.PICTURES_2019 / f"{image}.jpg").unlink()
    table = tables.isic2019(archive)
    assert table["image"].tolist() == names(8)[3:] and table.index.tolist() == list(range(5))
    assert "5 of 8 pictures are in ISIC_2019_Training_Input" in capsys.readouterr().out


def test_a_picture_without_a_row_is_said_and_not_used(archive, capsys):
    Image.new("RGB", (4, 4)).save(archive / tables.PICTURES_2019 / "ISIC_9999999.jpg")
    assert len(tables.isic2019(archive)) == 8
    assert "1 files in ISIC_2019_Training_Input have no row" in capsys.readouterr().out


def test_pictures_without_metadata_are_kept_and_said(archive, metadata, capsys):
    write_csv(metadata, [METADATA_COLUMNS, *[metadata_row(image, "L") for image in names(6)]])
    table = tables.isic2019(archive)
    assert len(table) == 8 and table["age_approx"].isna().sum() == 2
    assert "no row for 2 of 8 pictures" in capsys.readouterr().out


def test_a_picture_folder_without_pictures_stops(archive):
    shutil.rmtree(archive / tables.PICTURES_2019)
    (archive / tables.PICTURES_2019).mkdir()
    refused(tables.isic2019, archive, str(archive / tables.PICTURES_2019), "none of the 8 pictures", "unpack")


# Forms in which the same table comes


@pytest.mark.parametrize(
    "form",
    [
        dict(encoding="utf-8-sig"),
        dict(encoding="utf-16"),
        dict(separator=";"),
        dict(separator=";", encoding="utf-8-sig"),
    ],
    ids=str,
)
def test_other_separators_and_encodings_give_the_same_table(archive, form):
    expected = tables.isic2019(archive)
    write_tables(archive, names(8), tables.CODES, **form)
    pd.testing.assert_frame_equal(tables.isic2019(archive), expected)


def test_decimal_commas_windows_line_ends_quotes_and_empty_lines_give_the_same_table(archive, truth, metadata):
    expected = tables.isic2019(archive)
    for file in (truth, metadata):
        text = (
            file.read_text(encoding="utf-8")
            .replace(",", ";")
            .replace(".0", ",0")
            .replace("ISIC_0000002", '"ISIC_0000002"')
        )
        file.write_text("\n" + text.replace("\n", "\r\n") + "\n\n ; ; \n", encoding="utf-8", newline="")
    pd.testing.assert_frame_equal(tables.isic2019(archive), expected)


# Damaged tables


def test_a_missing_folder_or_file(archive, truth, metadata):
    with pytest.raises(IsicError) as caught:
        tables.isic2019(archive / "elsewhere")
    is_one_clear_message(caught.value, str(archive / "elsewhere"), "missing", "ISIC_DATA")
    metadata.unlink()
    refused(tables.isic2019, archive, str(metadata), "is missing", "download it")
    metadata.mkdir()
    refused(tables.isic2019, archive, str(metadata), "is missing", "download it")


@pytest.mark.parametrize("folder", [tables.PICTURES_2018, tables.MASKS_2018])
def test_a_missing_segmentation_folder(tmp_path, folder):
    archive = draw_2018(tmp_path)
    shutil.rmtree(archive / folder)
    refused(tables.isic2018, archive, str(archive / folder), "There is no folder", "unpack")


def test_masks_of_other_pictures(tmp_path):
    archive = draw_2018(tmp_path)
    for mask in (archive / tables.MASKS_2018).iterdir():
        mask.rename(mask.with_name(f"other_{mask.name}"))
    refused(tables.isic2018, archive, str(archive / tables.MASKS_2018), "has a mask", "_segmentation.png")


def test_a_file_that_may_not_be_read(archive, truth, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(type(truth), "read_bytes", refuse)
    with pytest.raises(IsicError) as caught:
        tables.isic2019(archive)
    is_one_clear_message(caught.value, str(truth), "Permission denied", "check its permissions")


def test_a_folder_that_may_not_be_read(archive, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(type(archive), "iterdir", refuse)
    with pytest.raises(IsicError) as caught:
        tables.isic2019(archive)
    is_one_clear_message(
        caught.value, str(archive / tables.PICTURES_2019), "Permission denied", "check its permissions"
    )


@pytest.mark.parametrize("column", ["image", "MEL", "SCC"])
def test_a_table_without_a_column(archive, truth, column):
    replace(truth, column, "something")
    refused(tables.isic2019, archive, str(truth), f"lacks the column {column}", "as ISIC publishes it")


@pytest.mark.parametrize("column", METADATA_COLUMNS)
def test_metadata_without_a_column(archive, metadata, column):
    replace(metadata, column, "something")
    refused(tables.isic2019, archive, str(metadata), f"lacks the column {column}", "as ISIC publishes it")


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf", b" "])
def test_an_empty_table(archive, truth, content):
    truth.write_bytes(content)
    refused(tables.isic2019, archive, str(truth), "is empty", "download it again")


def test_a_header_alone(archive, truth):
    write_csv(truth, [COLUMNS_2019])
    refused(tables.isic2019, archive, str(truth), "no rows", "download it again")


def test_a_web_page_saved_as_a_table(archive, truth):
    truth.write_text("<!DOCTYPE html>\n<html><body>Not found</body></html>\n", encoding="utf-8")
    refused(tables.isic2019, archive, str(truth), "lacks the columns image", "use the file as ISIC publishes it")


@pytest.mark.parametrize("encoding, lesion", [("latin-1", "lésion"), ("utf-16-le", "lesion"), ("utf-16-be", "lesion")])
def test_another_encoding(archive, metadata, encoding, lesion):
    rows = [METADATA_COLUMNS, *[metadata_row(image, lesion) for image in names(8)]]
    write_csv(metadata, rows, encoding=encoding)
    refused(tables.isic2019, archive, str(metadata), "is not a UTF-8 text file", "save it as 'CSV UTF-8'")


def test_utf_16_that_is_cut_short(archive, truth):
    write_tables(archive, names(8), tables.CODES, encoding="utf-16")
    truth.write_bytes(truth.read_bytes()[:-1])
    refused(tables.isic2019, archive, str(truth), "is not a UTF-8 text file", "download it again")


@pytest.mark.parametrize("code, found", [("MEL and NV", "MEL and NV"), ("nothing", "none")])
def test_two_labels_or_none(archive, truth, code, found):
    row = truth_row(names(8)[1], "NV" if code != "nothing" else "no class")
    row[1] = "1.0" if code != "nothing" else "0.0"
    write_csv(truth, [COLUMNS_2019, truth_row(names(8)[0], "MEL"), row])
    refused(
        tables.isic2019,
        archive,
        f"{truth}, line 3",
        f"ISIC_0000001 must have exactly one label and has {found}",
        "correct or",
    )


@pytest.mark.parametrize("value", ["0.5", "yes", "", "-1", "2", "inf", "1.0e"])
def test_a_label_that_is_neither_0_nor_1(archive, truth, value):
    replace(truth, "ISIC_0000002,0.0", f"ISIC_0000002,{value}")
    refused(tables.isic2019, archive, f"{truth}, line 4", "ISIC_0000002", "neither 0 nor 1", "correct it")


@pytest.mark.parametrize("file", [tables.GROUND_TRUTH_2019, tables.METADATA_2019])
def test_a_duplicate_image(archive, file):
    lines = (archive / file).read_text(encoding="utf-8").splitlines()
    (archive / file).write_text("\n".join([*lines, lines[1].replace("ISIC", " ISIC")]), encoding="utf-8")
    refused(tables.isic2019, archive, f"{archive / file}, line 10", "ISIC_0000000 stands there twice", "delete one")


def test_an_unknown_class(archive, truth):
    replace(truth, "UNK", "ANGIOMA")
    refused(tables.isic2019, archive, str(truth), "'ANGIOMA'", "none of the eight classes", "correct its name")


def test_a_picture_of_unknown_class(archive, truth):
    row = truth_row(names(8)[0], "UNK")
    write_csv(truth, [COLUMNS_2019, row])
    refused(tables.isic2019, archive, f"{truth}, line 2", "ISIC_0000000 is labelled UNK", "delete the row")


def test_a_column_twice(archive, truth):
    replace(truth, "UNK", "MEL")
    refused(tables.isic2019, archive, str(truth), "the column 'MEL' twice", "delete one")


@pytest.mark.parametrize("line", ["ISIC_0000003,55.0,back", "ISIC_0000003,55.0,back,L1,male,more"])
def test_a_line_with_too_few_or_too_many_cells(archive, metadata, line):
    replace(metadata, "ISIC_0000003,55.0,anterior torso,L1,female", line)
    refused(tables.isic2019, archive, f"{metadata}, line 5", "cells where the header has 5", "download the file again")


def test_a_quotation_mark_does_not_swallow_the_next_rows(archive, metadata):
    text = metadata.read_text(encoding="utf-8").replace("L1,female", 'L1,"female').replace("0000005,55", '0000005",55')
    metadata.write_text(text, encoding="utf-8")
    refused(tables.isic2019, archive, f"{metadata}, line 4", "is no row of a table", "download the file again")


@pytest.mark.parametrize("age", ["old", "-5", "1e9", "inf", "55 years"])
def test_an_age_that_is_none(archive, metadata, age):
    replace(metadata, "ISIC_0000001,55.0", f"ISIC_0000001,{age}")
    refused(tables.isic2019, archive, f"{metadata}, line 3", "age_approx", repr(age), "correct or empty it")


def test_lines_are_counted_as_an_editor_does(archive, truth):
    replace(truth, "ISIC_0000001", "\n\nISIC_0000001")
    replace(truth, "ISIC_0000004,0.0", "ISIC_0000004,0.5")
    refused(tables.isic2019, archive, f"{truth}, line 8", "ISIC_0000004")


# Names


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "..\\secret", "C:secret", ".hidden", "..", "a\x01b"])
@pytest.mark.parametrize("file", [tables.GROUND_TRUTH_2019, tables.METADATA_2019])
def test_a_name_that_points_outside_the_folder(archive, file, name):
    Image.new("RGB", (4, 4)).save(archive / "secret.jpg")
    replace(archive / file, "ISIC_0000000", name)
    refused(tables.isic2019, archive, f"{archive / file}, line 2", repr(name), "without folder and ending")


def test_an_empty_name(archive, truth):
    replace(truth, "ISIC_0000000", " ")
    refused(tables.isic2019, archive, f"{truth}, line 2", "image is empty", "fill it in")


@pytest.mark.parametrize("ending", [".JPG", ".Jpeg", ".png"])
def test_spaces_accents_and_endings_in_capitals(archive, truth, metadata, ending):
    name = "lésion ñ 1"
    place = archive / tables.PICTURES_2019
    (place / "ISIC_0000000.jpg").rename(place / (unicodedata.normalize("NFD", name) + ending))  # as macOS writes it
    for file in (truth, metadata):
        replace(file, "ISIC_0000000", unicodedata.normalize("NFC", name))
    table = tables.isic2019(archive)
    assert len(table) == 8 and table["image"].iloc[0] == name and table["lesion_id"].iloc[0] == "L0"
    with open(table["path"].iloc[0], "rb") as file:
        assert file.read(2) == b"\xff\xd8"


def test_one_name_in_two_forms_of_accents_is_a_duplicate(archive, truth):
    replace(truth, "ISIC_0000000", unicodedata.normalize("NFC", "lésion"))
    replace(truth, "ISIC_0000001", unicodedata.normalize("NFD", "lésion"))
    refused(tables.isic2019, archive, f"{truth}, line 3", "lésion stands there twice", "delete one")


def test_an_archive_unpacked_one_folder_too_deep(archive, tmp_path):
    expected = tables.isic2019(archive)["image"].tolist()
    place = archive / tables.PICTURES_2019
    place.rename(tmp_path / "pictures")
    place.mkdir()
    (tmp_path / "pictures").rename(place / tables.PICTURES_2019)
    table = tables.isic2019(archive)
    assert table["image"].tolist() == expected
    assert all(f"{tables.PICTURES_2019}/{tables.PICTURES_2019}/" in path.replace("\\", "/") for path in table["path"])


def test_macosx_leftovers_and_text_files_are_passed_over(archive, capsys):
    place = archive / tables.PICTURES_2019
    (place / "__MACOSX").mkdir()
    for leftover in ("._ISIC_0000000.jpg", "__MACOSX/ISIC_0000000.jpg", ".DS_Store", "LICENSE.txt", "ATTRIBUTION.txt"):
        (place / leftover).write_bytes(b"leftover")
    table = tables.isic2019(archive)
    assert len(table) == 8 and not table["path"].str.contains("MACOSX|/\\._").any()
    assert capsys.readouterr().out == ""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps file names that are no valid text")
def test_a_file_name_that_is_no_valid_text(archive):
    place = archive / tables.PICTURES_2019
    shutil.copy(place / "ISIC_0000000.jpg", os.fsencode(place) + b"/mu\xf1eca.jpg")
    refused(tables.isic2019, archive, str(place), r"mu\udcf1eca.jpg", "rename it")


def test_two_files_of_one_name(archive):
    place = archive / tables.PICTURES_2019
    shutil.copy(place / "ISIC_0000000.jpg", place / "ISIC_0000000.png")
    refused(tables.isic2019, archive, str(place / "ISIC_0000000.png"), "have the same name", "keep one")
