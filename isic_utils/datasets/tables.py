"""The CSV tables of the ISIC archives, read into one checked DataFrame with a row per image.

The synthetic sample, a partial download and the full archive have the same layout, so the same code reads all three.
"""

import csv
import re
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd

from isic_utils import archive
from isic_utils.archive import CODES, GROUND_TRUTH_2019, IMAGES_2018, IMAGES_2019, MALIGNANT, MASKS_2018, METADATA_2019  # noqa: F401
from isic_utils.errors import IsicError

MISSING = {"", "NA", "nan", "unknown"}  # what a cell without a value holds
# columns of HAM10000 and ISIC 2018 -> ISIC 2019's names
RENAMED = dict(image_id="image", age="age_approx", localization="anatom_site_general", diagnosis_confirm_type="dx_type")
FACTS = ["lesion_id", "age_approx", "anatom_site_general", "sex"]
# the tables of an image's facts and their columns; what a later one says counts, but not what it leaves empty
METADATA = {
    archive.GROUPINGS_2018: ["image", "lesion_id", "dx_type"],
    archive.METADATA_HAM: ["image", "dx_type", *FACTS],
    METADATA_2019: ["image", *FACTS],
}


def read_isic2019(folder: Path | str, akiec: bool = False) -> pd.DataFrame:
    """The classification table: ground truth and metadata of ISIC 2019, one row per image that is there.

    folder: holds ``ISIC_2019_Training_GroundTruth.csv``, ``ISIC_2019_Training_Metadata.csv`` and the folder
        ``ISIC_2019_Training_Input``. Of a partial download the rows whose image is there are kept, and a printed line
        says how many. Without the image folder all rows are kept, with an empty path: enough to count and to split.
        HAM10000 and ISIC 2018 Task 3 are read, too (``docs/real_images.md``): where ISIC 2019's ground truth lies
        beside them, its labels count. Without metadata lesion_id and the like stay empty, which a printed line says.
    akiec: whether a table may have HAM10000's seven classes, of which AKIEC is AK and SCC together. The lessons need
        them apart.

    Returns a DataFrame with the columns image (str), path (str or None), label (ordered categorical with the 8 codes),
    lesion_id (str or missing), age_approx (years, float or missing), anatom_site_general and sex (str or missing), and
    source (str): the archive that the image comes from, as `source_of` tells it; of HAM10000 and ISIC 2018 also dx_type
    (str or missing), how the diagnosis was made.

    Raises IsicError if a file is missing, is no table, lacks a column, names an image twice or a class that is not one
    of the eight, or gives an image no label or more than one; if there are folders of classes, or a table of benign and
    malignant alone; and for the class AKIEC unless `akiec`.
    """
    folder = Path(folder)
    table = read_labels(folder)
    if "AKIEC" in table["label"].cat.categories and not akiec:
        two = f"{GROUND_TRUTH_2019} and {METADATA_2019} (challenge.isic-archive.com/data/#2019)"
        raise IsicError(f"{folder} has AK and SCC as one class, AKIEC; lessons need them apart: put {two} beside it.")
    patterns = (IMAGES_2019, archive.IMAGES_HAM, archive.IMAGES_2018_TASK3)
    places = [sorted(place for place in folder.glob(pattern) if place.is_dir()) for pattern in patterns]
    table["path"] = None
    if any(places):
        table = keep_images_that_are_there(table, *next(filter(None, places)))
    else:
        print(f"There is no folder {IMAGES_2019} beside the tables: {len(table):,} rows without images.")
    table = with_metadata(table, folder)
    table["source"] = source_of(table["lesion_id"])
    return table.filter(["image", "path", "label", *FACTS, "source", "dx_type"])


def read_labels(folder: Path) -> pd.DataFrame:
    """The columns image and label by ISIC 2019's ground truth, or else ISIC 2018's, or else HAM10000's column dx."""
    for name in (GROUND_TRUTH_2019, archive.GROUND_TRUTH_2018, archive.METADATA_HAM):
        if (file := table_file(folder, name)) is None:
            continue
        codes = CODES if name == GROUND_TRUTH_2019 else archive.CODES_2018
        truth = read_csv(file, ["image", *(["dx"] if name == archive.METADATA_HAM else codes)])
        if name == archive.METADATA_HAM:
            truth = truth[["image"]].join(pd.get_dummies(truth["dx"].str.upper(), dtype=int).astype(str))
        table = pd.DataFrame({"image": truth["image"], "label": one_label_each(truth, file, codes)})
        return table.reset_index(drop=True)
    why = f"{folder / GROUND_TRUTH_2019} is missing"
    classes = {word.lower() for names in archive.CLASSES.items() for word in names}
    if classes & {path.name.lower() for path in (*folder.glob("*"), *folder.glob("*/*"))}:
        why = f"The folders in {folder} are named after classes, which tells no lesions"
    for file in filter(Path.is_file, folder.glob("*.csv")):
        with open(file, encoding="utf-8", errors="replace") as lines:
            if re.search(r"\b(benign_malignant|malignant|target)\b", lines.readline()):
                why = f"{file} tells benign and malignant alone, not eight classes"
    way = "python -m isic_utils download 2019 --images 3000"
    raise IsicError(f"{why}: download images with their tables ({way}), or correct ISIC_DATA.")


def table_file(folder: Path, name: str) -> Path | None:
    """Where a table lies: in the folder, or in the one that its zip file brings, or without its ending; None if not."""
    stem = name.removesuffix(".csv")
    return next((file for file in (folder / name, folder / stem / name, folder / stem) if file.is_file()), None)


def with_metadata(table: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """The table with the `FACTS` of its images and, of HAM10000 and ISIC 2018, dx_type; printed lines say what is
    missing."""
    table = table.assign(lesion_id=None, age_approx=np.nan, anatom_site_general=None, sex=None)
    files = {name: file for name in METADATA if (file := table_file(folder, name))}
    if not files:
        print(f"There is no {METADATA_2019}: lesions, ages, sites and sexes stay empty; split with group_by='image'.")
    for name, file in files.items():
        metadata = read_csv(file, METADATA[name])[METADATA[name]]
        if "age_approx" in metadata:
            metadata["age_approx"] = ages(metadata["age_approx"], file)
        metadata = metadata.set_index("image")
        if without := (~table["image"].isin(metadata.index)).sum():
            print(f"{file.name} has no row for {without:,} of {len(table):,} images: what it alone tells stays empty.")
        for column in metadata:
            found = table["image"].map(metadata[column])
            table[column] = found.where(found.notna(), table.get(column))
    return table


def source_of(lesion_id: pd.Series) -> pd.Series:
    """The archives that ISIC 2019 was put together from, as the beginning of a lesion_id tells them.

    ``BCN``: BCN20000, Hospital Clínic, Barcelona; ``HAM``: HAM10000, Vienna and Queensland; ``MSK``: Memorial Sloan
    Kettering, New York (``MSK4_…``); ``none``: without a lesion_id, or with another one.
    """
    return lesion_id.astype("string").str.extract("^(BCN|HAM|MSK)", expand=False).fillna("none").astype(object)


def read_isic2018(folder: Path | str, split: str = "training") -> pd.DataFrame:
    """The segmentation table of ISIC 2018 Task 1: one row per image and mask that belong together by name.

    folder: holds ``ISIC2018_Task1-2_Training_Input`` (``<image>.jpg``) and ``ISIC2018_Task1_Training_GroundTruth``
        (``<image>_segmentation.png``), or of another official split the folders named so; for training, or else those
        of ISIC 2017 or 2016 (`archive.PAIRS`).
    split: training, validation or test.

    Returns a DataFrame with the columns image, path, mask_path (all str), sorted by image. Where ISIC 2019's metadata,
    HAM10000's or Task 3's groupings lie beside the images and know one of them, it has the column lesion_id, too (str
    or missing). Images without a mask and masks without an image are left out, and a printed line says how many, and
    which is the first.

    Raises IsicError if a folder is missing, or no image has a mask.
    """
    places = [[Path(folder) / name.replace("Training", split.title()) for name in pair] for pair in archive.PAIRS]
    # validation and test are those of 2018 alone: another year's must not be scored as its test set
    place, mask_place = next((pair for pair in places if split == "training" and pair[0].is_dir()), places[0])
    images, masks, ending = files_by_name(place), files_by_name(mask_place), archive.MASK_ENDING
    masks = {name.removesuffix(ending): path for name, path in masks.items() if name.endswith(ending)}
    pairs = sorted(set(images) & set(masks))
    if not pairs:
        raise IsicError(f"No image in {place} has a mask <image>{ending}.png in {mask_place}: correct the names.")
    alone = {"images without a mask": images.keys() - masks, "masks without an image": masks.keys() - images}
    for kind, names in alone.items():
        if names:
            print(f"{len(names):,} {kind} are left out (first: {min(names)}): unpack both archives again.")
    paths, mask_paths = ([str(files[name]) for name in pairs] for files in (images, masks))
    table = pd.DataFrame({"image": pairs, "path": paths, "mask_path": mask_paths})
    if files := [file for name in METADATA if (file := table_file(Path(folder), name))]:
        metadata = pd.concat([read_csv(file, ["image", "lesion_id"]) for file in files]).dropna(subset="lesion_id")
        names = metadata["image"].str.removesuffix("_downsampled")  # the same image, smaller
        table["lesion_id"] = table["image"].map(dict(zip(names, metadata["lesion_id"], strict=True)))
    return table.dropna(axis="columns", how="all")  # without lesion_id, if the tables know none of the images


def read_csv(file: Path, columns: list[str]) -> pd.DataFrame:
    """A CSV file as a table of text indexed by line number, with `columns` checked and the column ``image`` unique and
    safe.

    UTF-8 with commas, semicolons or tabs, with or without a byte-order mark. Empty cells, ``NA``, ``nan`` and
    ``unknown`` become missing values; empty lines are passed over. The columns of `RENAMED` get ISIC 2019's names,
    and the names of images lose ``.jpg`` and the like.
    """
    if not file.is_file():
        raise IsicError(f"{file} is missing: download it from the ISIC challenge page, or correct ISIC_DATA.")
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise IsicError(f"{file} is no UTF-8 text: save it as 'CSV UTF-8', or download it again.") from error
    separator = max(",;\t", key=text.lstrip().split("\n", 1)[0].count)  # by the header
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
    names = [name if RENAMED.get(name, name) in names else RENAMED[name] for name in names]
    if missing := [column for column in columns if column not in names]:
        raise IsicError(f"{file} lacks the column {', '.join(missing)}: use ISIC's file.")
    if twice := [name for name in names if names.count(name) > 1]:
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
    names = names.str.replace(r"(?<=.)\.(jpe?g|png|webp)$", "", case=False, regex=True)
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
    every = [*dict.fromkeys([*CODES, *codes, archive.UNKNOWN])]
    values = truth.reindex(columns=every, fill_value="0")
    values = values.apply(lambda column: pd.to_numeric(column.str.replace(",", "."), errors="coerce"))
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


def keep_images_that_are_there(table: pd.DataFrame, *folders: Path) -> pd.DataFrame:
    """The rows whose image lies in one of the folders, with their path; a printed line says so if some are missing."""
    files, places = files_by_name(*folders), ", ".join(folder.name for folder in folders)
    table = table.assign(path=[str(files[name]) if name in files else None for name in table["image"]])
    there = table["path"].notna()
    if not there.any():
        raise IsicError(f"{folders[0]} holds none of the {len(table):,} images of the table: unpack the archive there.")
    if not there.all():
        print(f"{there.sum():,} of {len(table):,} images are in {places}; the course goes on with those.")
    if without_row := len(files) - there.sum():
        print(f"{without_row:,} files in {places} have no row in the table and are not used.")
    return table[there].reset_index(drop=True)


def files_by_name(*folders: Path) -> dict[str, Path]:
    """The images in folders, and one folder deeper under any name: file name without ending -> path.

    Hidden files, ``__MACOSX`` leftovers and superpixels are passed over. Masks may end in ``_Segmentation``, too.
    """
    paths: list[Path] = []
    for folder in folders:
        if not folder.is_dir():
            raise IsicError(f"There is no folder {folder}: unpack its archive there, or correct ISIC_DATA.")
        others = [path for path in folder.iterdir() if path.suffix.lower() not in archive.IMAGE_TYPES]
        deeper = [path for path in others if path.is_dir() and not path.name.startswith((".", "__MACOSX"))]
        paths += sorted(path for place in (folder, *deeper) for path in place.iterdir())
    files: dict[str, Path] = {}
    for path in paths:
        name = re.sub("_segmentation$", archive.MASK_ENDING, unicodedata.normalize("NFC", path.stem), flags=re.I)
        if path.name.startswith(".") or path.suffix.lower() not in archive.IMAGE_TYPES or name.endswith("_superpixels"):
            continue
        if name in files:
            raise IsicError(f"{files[name]} and {path} have the same name: keep one of them.")
        files[name] = path
    return files
