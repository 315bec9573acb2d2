"""The CSV tables of the ISIC archives, read into one checked DataFrame with a row per image.

The synthetic sample, a partial download and the full archive have the same layout, so the same code reads all three.
"""

import csv
import unicodedata
from pathlib import Path

import pandas as pd

from isic_utils.archive import (  # noqa: F401, whoever works with a table finds all names here
    CODES,
    GROUND_TRUTH_2019,
    GROUND_TRUTH_2019_TEST,
    IMAGE_TYPES,
    IMAGES_2018,
    IMAGES_2019,
    IMAGES_2019_TEST,
    MALIGNANT,
    MASK_ENDING,
    MASKS_2018,
    METADATA_2019,
    UNKNOWN,
)
from isic_utils.errors import IsicError

MISSING = {"", "NA", "nan"}  # what a cell without a value holds


def read_isic2019(folder: Path | str) -> pd.DataFrame:
    """The classification table: ground truth and metadata of ISIC 2019, one row per image that is there.

    folder: holds ``ISIC_2019_Training_GroundTruth.csv``, ``ISIC_2019_Training_Metadata.csv`` and the folder
        ``ISIC_2019_Training_Input``. Of a partial download the rows whose image is there are kept, and a printed line
        says how many. Without the image folder all rows are kept, with an empty path: enough to count and to split.

    Returns a DataFrame with the columns image (str), path (str or None), label (ordered categorical with the 8 codes),
    lesion_id (str or missing), age_approx (years, float or missing), anatom_site_general and sex (str or missing), and
    source (str): the archive that the image comes from, as `source_of` tells it.

    Raises IsicError if a file is missing, is no table, lacks a column, names an image twice or a class that is not one
    of the eight, or gives an image no label or more than one.
    """
    folder = Path(folder)
    truth = read_csv(folder / GROUND_TRUTH_2019, ["image", *CODES])
    columns = ["image", "age_approx", "anatom_site_general", "lesion_id", "sex"]
    metadata = read_csv(folder / METADATA_2019, columns)[columns]
    metadata["age_approx"] = ages(metadata["age_approx"], folder / METADATA_2019)
    table = pd.DataFrame({"image": truth["image"], "label": one_label_each(truth, folder / GROUND_TRUTH_2019)})
    table = table.merge(metadata, on="image", how="left", validate="one_to_one")
    table["path"] = None
    without_metadata = len(set(table["image"]) - set(metadata["image"]))
    if without_metadata:
        print(f"{METADATA_2019} has no row for {without_metadata:,} of {len(table):,} images: their cells stay empty.")
    if (folder / IMAGES_2019).is_dir():
        table = keep_images_that_are_there(table, folder / IMAGES_2019)
    else:
        print(f"There is no folder {IMAGES_2019} beside the tables: {len(table):,} rows without images.")
    table["source"] = source_of(table["lesion_id"])
    return table[["image", "path", "label", "lesion_id", "age_approx", "anatom_site_general", "sex", "source"]]


def source_of(lesion_id: pd.Series) -> pd.Series:
    """The archives that ISIC 2019 was put together from, as the beginning of a lesion_id tells them.

    ``BCN``: BCN20000, Hospital Clínic, Barcelona; ``HAM``: HAM10000, Vienna and Queensland; ``MSK``: Memorial Sloan
    Kettering, New York (``MSK4_…``); ``none``: without a lesion_id, or with another one.
    """
    return lesion_id.astype("string").str.extract("^(BCN|HAM|MSK)", expand=False).fillna("none").astype(object)


def read_isic2018(folder: Path | str, split: str = "training") -> pd.DataFrame:
    """The segmentation table of ISIC 2018 Task 1: one row per image and mask that belong together by name.

    folder: holds ``ISIC2018_Task1-2_Training_Input`` (``<image>.jpg``) and ``ISIC2018_Task1_Training_GroundTruth``
        (``<image>_segmentation.png``), or of another official split the folders named so.
    split: training, validation or test.

    Returns a DataFrame with the columns image, path, mask_path (all str), sorted by image. Where ISIC 2019's metadata
    lies beside the images, as most of them are in both archives, it has the column lesion_id, too (str or missing).
    Images without a mask and masks without an image are left out, and a printed line says how many, and which is the
    first.

    Raises IsicError if a folder is missing, no image has a mask, or there is no such split.
    """
    if split not in ("training", "validation", "test"):
        raise IsicError(f"ISIC 2018 has no split {split!r}: choose training, validation or test.")
    place, mask_place = (Path(folder) / name.replace("Training", split.title()) for name in (IMAGES_2018, MASKS_2018))
    images, masks = files_by_name(place), files_by_name(mask_place)
    masks = {name.removesuffix(MASK_ENDING): path for name, path in masks.items() if name.endswith(MASK_ENDING)}
    pairs = sorted(set(images) & set(masks))
    if not pairs:
        raise IsicError(f"No image in {place} has a mask <image>{MASK_ENDING}.png in {mask_place}: correct the names.")
    alone = {
        "images without a mask": [images[name] for name in sorted(set(images) - set(masks))],
        "masks without an image": [masks[name] for name in sorted(set(masks) - set(images))],
    }
    if any(alone.values()):
        counts = [f"{len(files):,} {kind} (first: {files[0].name})" for kind, files in alone.items() if files]
        print(f"{len(pairs):,} images have a mask; left out: {' and '.join(counts)}: unpack both archives again.")
    paths, mask_paths = ([str(files[name]) for name in pairs] for files in (images, masks))
    table = pd.DataFrame({"image": pairs, "path": paths, "mask_path": mask_paths})
    if (Path(folder) / METADATA_2019).is_file():
        metadata = read_csv(Path(folder) / METADATA_2019, ["image", "lesion_id"])
        names = metadata["image"].str.removesuffix("_downsampled")  # the same image, smaller
        table["lesion_id"] = table["image"].map(dict(zip(names, metadata["lesion_id"], strict=True)))
    return table


def read_csv(file: Path, columns: list[str]) -> pd.DataFrame:
    """A CSV file as a table of text indexed by line number, with `columns` checked and the column ``image`` unique and
    safe.

    UTF-8 with commas or semicolons, with or without a byte-order mark. Empty cells, ``NA`` and ``nan`` become missing
    values; empty lines are passed over.
    """
    if not file.is_file():
        raise IsicError(f"{file} is missing: download it from the ISIC challenge page, or correct ISIC_DATA.")
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise IsicError(f"{file} is no UTF-8 text: save it as 'CSV UTF-8', or download it again.") from error
    header = text.lstrip().split("\n", 1)[0]
    separator = ";" if header.count(";") > header.count(",") else ","
    rows = {}
    for number, line in enumerate(text.split("\n"), start=1):
        try:
            cells = next(csv.reader([line], delimiter=separator, skipinitialspace=True, strict=True), [])
        except csv.Error as error:
            raise IsicError(f"{file}, line {number}, is no row of a table ({error}): download it again.") from error
        cells = [None if cell.strip() in MISSING else cell.strip() for cell in cells]
        if any(cells):
            rows[number] = cells
    if len(rows) < 2:
        raise IsicError(f"{file} has no rows: download it again.")
    names = [name or "" for name in rows.pop(min(rows))]
    missing = [column for column in columns if column not in names]
    if missing:
        raise IsicError(f"{file} lacks the column {', '.join(missing)}: use ISIC's file.")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise IsicError(f"{file} has the column {twice[0]!r} twice: delete one of the two.")
    for number, cells in rows.items():
        if len(cells) != len(names):
            raise IsicError(f"{file}, line {number}, has {len(cells)} cells instead of {len(names)}: correct the line.")
    table = pd.DataFrame(list(rows.values()), columns=names, index=list(rows))
    table["image"] = checked_names(table["image"], file)
    return table


def checked_names(names: pd.Series, file: Path) -> pd.Series:
    """Image names, each present, once only, and a plain file name that cannot lead out of its folder."""
    names = names.map(lambda name: unicodedata.normalize("NFC", name), na_action="ignore")
    faults = {
        "the column image is empty: fill it in or delete the row": names.isna(),
        "{!r:.100} is a path, no image's name: correct it": names.str.contains(r"^\.|[/\\:\x00-\x1f]", na=False),
        "{} stands there twice: delete one of the two rows": names.duplicated(),
    }
    for fault, wrong in faults.items():
        if wrong.any():
            line = wrong.idxmax()  # of the first
            raise IsicError(f"{file}, line {line}: {fault.format(names[line])}.")
    return names


def one_label_each(truth: pd.DataFrame, file: Path, codes: list[str] = CODES) -> pd.Series:
    """The one-hot columns of the ground truth as one ordered categorical. codes: the labels that may occur."""
    values = truth[truth.columns.intersection([*CODES, UNKNOWN])]
    values = values.apply(lambda column: pd.to_numeric(column.str.replace(",", "."), errors="coerce"))
    values = values.reindex(columns=[*CODES, UNKNOWN], fill_value=0)
    wrong = ~values.isin([0, 1]).all(axis=1) | (values.sum(axis=1) != 1) | ~values[codes].any(axis=1)
    if wrong.any():
        line = wrong.idxmax()  # of the first
        found = " and ".join(values.columns[values.loc[line] == 1]) or "none"
        name = truth["image"][line]
        raise IsicError(f"{file}, line {line}: {name} needs 1 for one class, else 0, and has {found}: correct the row.")
    labels = values[codes].to_numpy().argmax(axis=1)
    return pd.Series(pd.Categorical.from_codes(labels, codes, ordered=True), index=truth.index)


def ages(column: pd.Series, file: Path) -> pd.Series:
    """A column of text as ages in years from 0 to 120; empty cells stay missing, anything else is an error."""
    values = pd.to_numeric(column.str.replace(",", "."), errors="coerce").astype(float)
    wrong = values.isna() & column.notna() | ~values.fillna(0).between(0, 120)
    if wrong.any():
        line = wrong.idxmax()  # of the first
        raise IsicError(f"{file}, line {line}: {column[line]!r:.100} is no age in years: correct or empty it.")
    return values


def keep_images_that_are_there(table: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """The rows whose image lies in `folder`, with their path; a printed line says so if some are missing."""
    files = files_by_name(folder)
    table = table.assign(path=[str(files[name]) if name in files else None for name in table["image"]])
    there = table["path"].notna()
    if not there.any():
        raise IsicError(f"{folder} holds none of the {len(table):,} images of the table: unpack their archive there.")
    if not there.all():
        print(f"{there.sum():,} of {len(table):,} images are in {folder.name}; the course goes on with those.")
    without_row = len(files) - there.sum()
    if without_row:
        print(f"{without_row:,} files in {folder.name} have no row in the table and are not used.")
    return table[there].reset_index(drop=True)


def files_by_name(folder: Path) -> dict[str, Path]:
    """The images in a folder: file name without ending -> path.

    An archive unpacked one folder too deep is found, hidden files and ``__MACOSX`` leftovers are passed over.
    """
    if not folder.is_dir():
        raise IsicError(f"There is no folder {folder}: unpack the archive of that name there, or correct ISIC_DATA.")
    deeper = folder / folder.name
    files: dict[str, Path] = {}
    for path in sorted([*folder.iterdir(), *(deeper.iterdir() if deeper.is_dir() else [])]):
        if path.name.startswith(".") or path.suffix.lower() not in IMAGE_TYPES:
            continue
        name = unicodedata.normalize("NFC", path.stem)
        if name in files:
            raise IsicError(f"{files[name]} and {path} have the same name: keep one of them.")
        files[name] = path
    return files
