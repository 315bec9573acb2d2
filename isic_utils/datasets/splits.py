"""The protocols of the thesis (§5.2 to §5.5): which images are in the training, the validation and the test set.

scikit-learn draws the folds, stratified by class. Grouped by lesion (``group_by="lesion"``, the default) all images of
a lesion are on one side of a split. Grouped by image (``group_by="image"``, as the thesis splits) a network may be
tested on a lesion of which it has seen another image.
"""

import warnings

import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from isic_utils.archive import CODES
from isic_utils.errors import IsicError

SPLITS = ["train", "validation", "test"]
FOLDS = 5  # a fifth of the images is the test set
VALIDATION_FOLDS = 8  # an eighth of the other four fifths is the validation set: a tenth of all
RAREST = ["AK", "DF", "VASC", "SCC"]  # the four that become one class in the balanced protocol, thesis §5.3
MERGED = "AK+DF+VASC+SCC"


def standard(table: pd.DataFrame, group_by: str = "lesion", seed: int = 0, fold: int = 0) -> pd.Series:
    """70 % training, 10 % validation and 20 % test set, stratified by class (thesis §5.2).

    table: one row per image, with the columns image, label and, to group by lesion, lesion_id (an image without one is
    a group by itself); group_by: ``"lesion"`` or ``"image"``; fold: 1 to 4 for another column of `cross_validation`.
    Returns a Series named split with the values train, validation, test and the table's index. It depends on which
    images there are, not on the order of the rows, and equals the column of `cross_validation`. Of a class with fewer
    than five lesions the test set may have none: `cross_validation` says so, this does not (lessons draw several).
    Raises IsicError if `group_by` is neither, an image or a value of the index occurs twice, or there are too few
    images.
    """
    rows = rows_to_split(table, group_by)
    test = folds(rows, FOLDS, group_by, seed)[fold]
    return split_of_fold(rows, test, group_by, seed).reindex(table.index)


def cross_validation(table: pd.DataFrame, group_by: str = "lesion", seed: int = 0) -> pd.DataFrame:
    """Five folds (thesis §5.4): each image is in the test set of one of them.

    The test set is fold k of `sklearn.model_selection.StratifiedGroupKFold(5)` (grouped by image: `StratifiedKFold`);
    the validation set is the first fold of `StratifiedGroupKFold(8)` of the rest: 4/5 · 1/8 = 10 % of all.
    Returns a DataFrame with the columns 0 to 4, each as `standard` returns it. Prints a sentence for each class with
    fewer than five lesions (or images, grouped by image). Raises IsicError as `standard` does.
    """
    rows = rows_to_split(table, group_by)
    groups_per_class = rows.groupby("label")["group"].nunique()
    for code, count in groups_per_class[groups_per_class < FOLDS].items():
        units = f"{count} {group_by}{'s' * (count != 1)}"
        print(f"Class {code} has {units} for {FOLDS} folds: where a test set has none of it, BMA leaves it out.")
    splits = [split_of_fold(rows, test, group_by, seed) for test in folds(rows, FOLDS, group_by, seed)]
    return pd.DataFrame(dict(enumerate(splits))).reindex(table.index)


def balanced(
    table: pd.DataFrame, group_by: str = "lesion", seed: int = 0, within: pd.Index | None = None
) -> pd.DataFrame:
    """The four rarest classes become one, and the same number is drawn from each of the five classes (thesis §5.3).

    The number is the size of the smallest of the five classes: in ISIC 2019 the merged one, 867 + 239 + 253 + 628 =
    1987.
    within: index of the rows to draw from (default: all), e.g. to keep a test set out of the draw.
    Returns the drawn rows with the label replaced by one of 5 classes, the original one in `original_label`, and the
    column split as `standard` returns it. Raises IsicError if one of the five classes has no image, or as `standard`
    does.
    """
    table = table if within is None else table.loc[within]
    label = merge_rarest(table["label"])
    smallest = int(label.value_counts().min())
    if smallest == 0:
        raise IsicError(f"No image of class {label.value_counts().idxmin()} to draw from: balancing needs all five.")
    table = table.assign(original_label=table["label"], label=label)
    shuffled = table.sort_values("image").sample(frac=1, random_state=seed)
    drawn = table.loc[shuffled.groupby("label", observed=True).head(smallest).index].sort_index()
    return drawn.assign(split=standard(drawn, group_by, seed))


def merge_rarest(label: pd.Series) -> pd.Series:
    """The eight classes as five: AK, DF, VASC and SCC become `MERGED` (thesis §5.3).

    label: class codes of eight classes or of five, with any index. Returns an ordered categorical with the same index.
    Raises IsicError for a code that is none of them.
    """
    classes = [code for code in CODES if code not in RAREST] + [MERGED]
    codes = label.astype(str)
    if len(unknown := codes[~codes.isin([*CODES, MERGED])]):
        raise IsicError(f"{unknown.iloc[0]!r} is no class: the codes are {', '.join(CODES)}, or {MERGED} for four.")
    five = pd.Categorical(codes.mask(codes.isin(RAREST), MERGED), classes, ordered=True)
    return pd.Series(five, index=label.index, name=label.name)


def segmentation(table: pd.DataFrame, group_by: str | None = None, seed: int = 0) -> pd.Series:
    """70 % training, 10 % validation and 20 % test set at random, for images with masks and no labels (thesis §5.5).

    group_by: ``"lesion"`` or ``"image"``; None: by lesion, or by image if the table has no column lesion_id. That of
    `read_isic2018` has it where ISIC 2019's metadata lies beside the images.
    """
    return standard(table.assign(label="lesion"), group_by or ("lesion" if "lesion_id" in table else "image"), seed)


def rows_to_split(table: pd.DataFrame, group_by: str) -> pd.DataFrame:
    """The columns image, label and group of a table, sorted by image: what a split depends on."""
    if group_by not in ("lesion", "image"):
        raise IsicError(f"group_by={group_by!r} is no way to split: use 'lesion' or 'image'.")
    if len(twice := table["image"][table["image"].duplicated()]):
        raise IsicError(f"{twice.iloc[0]} stands in the table twice: splits need each image once.")
    if not table.index.is_unique:
        raise IsicError("The table's index has a value twice: number its rows anew with table.reset_index(drop=True).")
    if group_by == "lesion" and len(table) and ("lesion_id" not in table or table["lesion_id"].isna().all()):
        raise IsicError("No image has a lesion_id to group by: add ISIC's metadata, or split with group_by='image'.")
    image = table["image"].astype(str)
    group = table["lesion_id"].fillna("image " + image) if group_by == "lesion" else image
    return pd.DataFrame({"image": image, "label": table["label"].astype(str), "group": group}).sort_values("image")


def folds(rows: pd.DataFrame, count: int, group_by: str, seed: int) -> list[pd.Index]:
    """The index of the rows in each of `count` folds. rows: as `rows_to_split` returns them."""
    largest, groups = rows["label"].value_counts().max() if len(rows) else 0, rows["group"].nunique()
    if min(largest, groups) < count:
        raise IsicError(f"{groups} {group_by}s, {largest} of the largest class: too few for {count} folds, add images.")
    kind = StratifiedGroupKFold if group_by == "lesion" else StratifiedKFold
    splitter = kind(count, shuffle=True, random_state=seed)
    # of small classes, of which `cross_validation` tells, and of unused groups
    with warnings.catch_warnings(action="ignore", category=UserWarning):
        return [rows.index[held_out] for _, held_out in splitter.split(rows, rows["label"], rows["group"])]


def split_of_fold(rows: pd.DataFrame, test: pd.Index, group_by: str, seed: int) -> pd.Series:
    """train, validation or test for each row, given the rows of the test set."""
    split = pd.Series("train", index=rows.index, name="split")
    split[test] = "test"
    split[folds(rows.drop(test), VALIDATION_FOLDS, group_by, seed)[0]] = "validation"
    return split
