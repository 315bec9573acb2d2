"""The CSV tables of the ISIC archives, read into one checked DataFrame with a row per picture.

The synthetic sample, a partial download and the full archive have the same layout, so the same code reads all three.
"""

import csv
import io
import unicodedata
from pathlib import Path

import pandas as pd

from isic_utils.errors import IsicError

CLASSES = {
    "MEL": "Melanoma",
    "NV": "Melanocytic nevus",
    "BCC": "Basal cell carcinoma",
    "AK": "Actinic keratosis",
    "BKL": "Benign keratosis",
    "DF": "Dermatofibroma",
    "VASC": "Vascular lesion",
    "SCC": "Squamous cell carcinoma",
}
CODES = list(CLASSES)
# the pictures of each class in ISIC 2019, 25 331 in all (thesis Table 5.1)
COUNTS_2019 = {
    "MEL": 4522, "NV": 12875, "BCC": 3323, "AK": 867, "BKL": 2624, "DF": 239, "VASC": 253, "SCC": 628,
}  # fmt: skip
MALIGNANT = ["MEL", "BCC", "AK", "SCC"]  # AK may turn into SCC and is treated, so the course counts it here

PICTURES_2019 = "ISIC_2019_Training_Input"
GROUND_TRUTH_2019 = "ISIC_2019_Training_GroundTruth.csv"
METADATA_2019 = "ISIC_2019_Training_Metadata.csv"
PICTURES_2019_TEST = "ISIC_2019_Test_Input"
GROUND_TRUTH_2019_TEST = "ISIC_2019_Test_GroundTruth.csv"
UNKNOWN = "UNK"  # none of the eight: only the official test set has it
NOT_SCORED = "ISIC_0035068"  # the official scorer gives it no weight (isic_challenge_scoring/load_csv.py)
PICTURES_2018 = "ISIC2018_Task1-2_Training_Input"
MASKS_2018 = "ISIC2018_Task1_Training_GroundTruth"
MASK_ENDING = "_segmentation"
PICTURE_TYPES = {".jpg", ".jpeg", ".png"}
MISSING = {"", "NA", "nan"}  # what a cell without a value holds


def isic2019(folder: Path | str) -> pd.DataFrame:
    """The classification table: ground truth and metadata of ISIC 2019, one row per picture that is there.

    folder: holds ``ISIC_2019_Training_GroundTruth.csv``, ``ISIC_2019_Training_Metadata.csv`` and the folder
        ``ISIC_2019_Training_Input``. Of a partial download the rows whose picture is there are kept, and a printed line
        says how many. Without the picture folder all rows are kept, with an empty path: enough to count and to split.

    Returns a DataFrame with the columns image (str), path (str or None), label (ordered categorical with the 8 codes),
    lesion_id (str or missing), age_approx (years, float or missing), anatom_site_general and sex (str or missing).

    Raises IsicError if a file is missing, is no table, lacks a column, names a picture twice or a class that is not one
    of the eight, or gives a picture no label or more than one.
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
        print(
            f"{METADATA_2019} has no row for {without_metadata:,} of {len(table):,} pictures: "
            "their metadata is left empty."
        )
    if (folder / PICTURES_2019).is_dir():
        table = keep_pictures_that_are_there(table, folder / PICTURES_2019)
    else:
        print(f"There is no folder {PICTURES_2019} beside the tables: {len(table):,} rows without pictures.")
    return table[["image", "path", "label", "lesion_id", "age_approx", "anatom_site_general", "sex"]]


def isic2019_test(folder: Path | str) -> pd.DataFrame:
    """The official test set of ISIC 2019, one row per picture that is there.

    folder: holds ``ISIC_2019_Test_GroundTruth.csv`` and the folder ``ISIC_2019_Test_Input``
        (``python -m isic_utils download 2019 --part test``). The metadata are not needed: they name no lesions.

    Returns the columns image (str), path (str), label (ordered categorical with the 8 codes and UNK) and weight (float
    from 0, how much the picture counts in the official score).

    Raises IsicError as `isic2019` does, and if a weight is no number from 0 up or there are no pictures.
    """
    file = Path(folder) / GROUND_TRUTH_2019_TEST
    truth = read_csv(file, ["image", *CODES, UNKNOWN])
    table = pd.DataFrame({"image": truth["image"], "label": one_label_each(truth, file, [*CODES, UNKNOWN])})
    weight = pd.to_numeric(truth.get("score_weight", pd.Series("1", truth.index)), errors="coerce")
    wrong = ~(weight >= 0) | (weight == float("inf"))
    if wrong.any():
        raise IsicError(f"{file}, line {line_of(wrong)}: score_weight is no number from 0 up: correct it.")
    table["weight"] = weight.mask(truth["image"] == NOT_SCORED, 0.0).astype(float)
    files_by_name(Path(folder) / PICTURES_2019_TEST)  # says so if there is no such folder
    table = keep_pictures_that_are_there(table.assign(path=None), Path(folder) / PICTURES_2019_TEST)
    return table[["image", "path", "label", "weight"]]


def isic2018(folder: Path | str, part: str = "training") -> pd.DataFrame:
    """The segmentation table of ISIC 2018 Task 1: one row per picture and mask that belong together by name.

    folder: holds ``ISIC2018_Task1-2_Training_Input`` (``<image>.jpg``) and ``ISIC2018_Task1_Training_GroundTruth``
        (``<image>_segmentation.png``), or of another official part the folders named so.
    part: training, validation or test.

    Returns a DataFrame with the columns image, path, mask_path (all str), sorted by image. Pictures without a mask and
    masks without a picture are left out, and a printed line says how many, and which is the first.

    Raises IsicError if a folder is missing, no picture has a mask, or there is no such part.
    """
    if part not in ("training", "validation", "test"):
        raise IsicError(f"ISIC 2018 has no part {part!r}: choose training, validation or test.")
    place, mask_place = (Path(folder) / name.replace("Training", part.title()) for name in (PICTURES_2018, MASKS_2018))
    pictures = files_by_name(place)
    masks = files_by_name(mask_place)
    masks = {name.removesuffix(MASK_ENDING): path for name, path in masks.items() if name.endswith(MASK_ENDING)}
    pairs = sorted(set(pictures) & set(masks))
    if not pairs:
        raise IsicError(
            f"No picture in {place} has a mask in {mask_place}: "
            f"the mask of <image>.jpg must be named <image>{MASK_ENDING}.png."
        )
    alone = {
        "pictures without a mask": [pictures[name] for name in sorted(set(pictures) - set(masks))],
        "masks without a picture": [masks[name] for name in sorted(set(masks) - set(pictures))],
    }
    if any(alone.values()):
        counts = [f"{len(files):,} {kind} (first: {files[0].name})" for kind, files in alone.items() if files]
        print(
            f"{len(pairs):,} pictures have a mask; left out: {' and '.join(counts)}: "
            "unpack both archives again to have them all."
        )
    return pd.DataFrame(
        {
            "image": pairs,
            "path": [str(pictures[name]) for name in pairs],
            "mask_path": [str(masks[name]) for name in pairs],
        }
    )


def read_csv(file: Path, columns: list[str]) -> pd.DataFrame:
    """A CSV file as a table of text indexed by line number, with `columns` checked and the column ``image`` unique and
    safe.

    Commas or semicolons, with or without a byte-order mark; UTF-8, or UTF-16 with its mark. Empty cells, ``NA`` and
    ``nan`` become missing values; empty lines are passed over.
    """
    text = read_text(file)
    header = text.lstrip().split("\n", 1)[0]
    separator = ";" if header.count(";") > header.count(",") else ","
    rows = {}
    for number, line in enumerate(io.StringIO(text), start=1):
        try:
            cells = next(csv.reader([line], delimiter=separator, skipinitialspace=True, strict=True), [])
        except csv.Error as error:
            raise IsicError(
                f"{file}, line {number}, is no row of a table ({error}): download the file again."
            ) from error
        cells = [None if cell.strip() in MISSING else cell.strip() for cell in cells]
        if any(cells):
            rows[number] = cells
    if not rows:
        raise IsicError(f"{file} is empty: download it again.")
    names = [name or "" for name in rows.pop(min(rows))]
    missing = [column for column in columns if column not in names]
    if missing:
        raise IsicError(
            f"{file} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)} (it has "
            f"{shortened(', '.join(names))}): use the file as ISIC publishes it."
        )
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise IsicError(f"{file} has the column {twice[0]!r} twice: delete one of the two.")
    if not rows:
        raise IsicError(f"{file} has a header and no rows: download it again.")
    for number, cells in rows.items():
        if len(cells) != len(names):
            raise IsicError(
                f"{file}, line {number}, has {len(cells)} cells where the header has {len(names)}: "
                "correct the line or download the file again."
            )
    table = pd.DataFrame(list(rows.values()), columns=names, index=list(rows))
    table["image"] = checked_names(table["image"], file)
    return table


def read_text(file: Path) -> str:
    """The text of a file in UTF-8, with or without a byte-order mark, or in UTF-16 with its mark."""
    if not file.is_file():
        raise IsicError(
            f"{file} is missing: download it from the ISIC challenge page and put it there, or correct ISIC_DATA."
        )
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise IsicError(f"{file} cannot be read ({error.strerror}): check its permissions.") from error
    try:
        text = raw.decode("utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise IsicError(f"{file} is not a UTF-8 text file: save it as 'CSV UTF-8', or download it again.") from error
    if "\0" in text:  # UTF-16 without its mark, or no text at all
        raise IsicError(f"{file} is not a UTF-8 text file: save it as 'CSV UTF-8', or download it again.")
    return text


def shortened(text: str, length: int = 100) -> str:
    """A text that fits into a message."""
    return text if len(text) <= length else text[:length] + " …"


def checked_names(names: pd.Series, file: Path) -> pd.Series:
    """Picture names, each present, once only, and a plain file name that cannot lead out of its folder."""
    names = names.map(lambda name: unicodedata.normalize("NFC", name), na_action="ignore")
    empty = names.isna()
    if empty.any():
        raise IsicError(f"{file}, line {line_of(empty)}: the column image is empty: fill it in or delete the row.")
    outside = names.str.contains(r"[/\\:\x00-\x1f]") | names.str.startswith(".")
    if outside.any():
        name = names[outside].iloc[0]
        raise IsicError(
            f"{file}, line {line_of(outside)}: {shortened(name)!r} is a path or a hidden file and no "
            "picture's name: write the file's name without folder and ending."
        )
    twice = names.duplicated()
    if twice.any():
        raise IsicError(
            f"{file}, line {line_of(twice)}: {names[twice].iloc[0]} stands there twice: delete one of the two rows."
        )
    return names


def one_label_each(truth: pd.DataFrame, file: Path, codes: list[str] = CODES) -> pd.Series:
    """The one-hot columns of the ground truth as one ordered categorical. codes: the labels that may occur."""
    known = {"image", *CODES, UNKNOWN, "score_weight", "validation_weight"}
    unknown = [column for column in truth.columns if column not in known]
    if unknown:
        raise IsicError(
            f"{file} has the column {unknown[0]!r}, which is none of the eight classes: remove it or correct its name."
        )
    classes = CODES + ([UNKNOWN] if UNKNOWN in truth.columns else [])
    values = truth[classes].apply(lambda column: pd.to_numeric(column.str.replace(",", "."), errors="coerce"))
    wrong = ~values.isin([0, 1]).all(axis=1)
    if wrong.any():
        raise IsicError(
            f"{file}, line {line_of(wrong)}: {truth['image'][wrong].iloc[0]} has a label that is neither 0 nor 1: "
            "correct it."
        )
    wrong = values.sum(axis=1) != 1
    if wrong.any():
        labels = values[wrong].iloc[0]
        found = " and ".join(labels.index[labels == 1]) or "none"
        raise IsicError(
            f"{file}, line {line_of(wrong)}: {truth['image'][wrong].iloc[0]} must have exactly one label "
            f"and has {found}: correct or delete the row."
        )
    if UNKNOWN in classes and UNKNOWN not in codes and values[UNKNOWN].any():
        wrong = values[UNKNOWN] == 1
        raise IsicError(
            f"{file}, line {line_of(wrong)}: {truth['image'][wrong].iloc[0]} is labelled UNK, which only the official "
            "test set has: delete the row."
        )
    labels = values[codes].to_numpy().argmax(axis=1)
    return pd.Series(pd.Categorical.from_codes(labels, codes, ordered=True), index=truth.index)


def ages(column: pd.Series, file: Path) -> pd.Series:
    """A column of text as ages in years from 0 to 120; empty cells stay missing, anything else is an error."""
    values = pd.to_numeric(column.str.replace(",", "."), errors="coerce").astype(float)
    wrong = values.isna() & column.notna() | ~values.fillna(0).between(0, 120)
    if wrong.any():
        raise IsicError(
            f"{file}, line {line_of(wrong)}: {column.name} is {shortened(column[wrong].iloc[0])!r}, "
            "which is no age in years: correct or empty it."
        )
    return values


def keep_pictures_that_are_there(table: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """The rows whose picture lies in `folder`, with their path; a printed line says so if some are missing."""
    files = files_by_name(folder)
    table = table.assign(path=[str(files[name]) if name in files else None for name in table["image"]])
    there = table["path"].notna()
    if not there.any():
        raise IsicError(
            f"{folder} holds none of the {len(table):,} pictures of the table: unpack the archive of pictures there."
        )
    if not there.all():
        print(f"{there.sum():,} of {len(table):,} pictures are in {folder.name}; the course goes on with those.")
    without_row = len(files) - there.sum()
    if without_row:
        print(f"{without_row:,} files in {folder.name} have no row in the table and are not used.")
    return table[there].reset_index(drop=True)


def printable(name: str) -> str:
    """A name as it can be printed and written: bytes that are no valid text, e.g. of an old zip, as ``\\udcf1``."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def files_by_name(folder: Path) -> dict[str, Path]:
    """The pictures in a folder: file name without ending -> path.

    An archive unpacked one folder too deep is found, hidden files and ``__MACOSX`` leftovers are passed over.
    """
    if not folder.is_dir():
        raise IsicError(f"There is no folder {folder}: unpack the archive of that name there, or correct ISIC_DATA.")
    deeper = folder / folder.name
    files: dict[str, Path] = {}
    try:
        paths = sorted([*folder.iterdir(), *(deeper.iterdir() if deeper.is_dir() else [])])
    except OSError as error:
        raise IsicError(f"The folder {folder} cannot be read ({error.strerror}): check its permissions.") from error
    for path in paths:
        if path.name.startswith(".") or path.suffix.lower() not in PICTURE_TYPES:
            continue
        name = unicodedata.normalize("NFC", path.stem)
        if printable(name) != name:
            raise IsicError(f"{folder} holds a file whose name is no valid text, {printable(path.name)}: rename it.")
        if name in files:
            raise IsicError(f"{files[name]} and {path} have the same name: keep one of them.")
        files[name] = path
    return files


def line_of(rows: pd.Series) -> int:
    """The line in the file of the first row that is True; `rows` is indexed by line."""
    return int(rows.index[rows][0])
