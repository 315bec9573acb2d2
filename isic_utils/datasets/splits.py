"""The thesis's protocols (§5.2 to §5.5): which picture trains, which validates, which tests.

Every split is dealt like cards: the pictures of a class are shuffled and go, one after another, to the partition that
has the fewest of that class so far. That is stratification. With ``by="lesion"`` all pictures of a lesion are one card,
so no lesion is on both sides of a split.
"""

import pandas as pd

from isic_utils.datasets.tables import CODES
from isic_utils.errors import IsicError

PARTS = ["train", "validation", "test"]
RAREST = ["AK", "DF", "VASC", "SCC"]  # the four that become one class in the balanced protocol, thesis §5.3
MERGED = "AK+DF+VASC+SCC"


def standard(table: pd.DataFrame, by: str = "picture", seed: int = 0) -> pd.Series:
    """70 % train, 10 % validation, 20 % test, stratified by class (thesis §5.2).

    table: one row per picture, with the columns image, label and lesion_id; by: ``"picture"`` (as the thesis) or
    ``"lesion"``. Returns a Series with the values train, validation, test and the table's index. It is stage 1 of
    `cross_validation`. Raises IsicError as `partitions` does.
    """
    return stage(table, 1, partitions(table, 5, by, seed), by, seed)


def cross_validation(table: pd.DataFrame, by: str = "picture", seed: int = 0) -> pd.DataFrame:
    """Five stages; stage 1 tests partition 5, stage 2 partition 4, and so on (thesis §5.4, Figure 5.1).

    Of the four partitions left, 12.5 % are validation: 4/5 · 1/8 = 10 % of all, so stage 1 is the standard split.
    Returns a DataFrame with the columns 1 to 5, each as `standard` returns it. Each picture tests exactly once.
    Prints a sentence if a class has fewer pictures (or lesions, by="lesion") than there are stages. Raises IsicError as
    `partitions` does.
    """
    numbers = partitions(table, 5, by, seed)
    units = table["image"] if by == "picture" else table["lesion_id"].fillna(table["image"])
    sizes = units.groupby(table["label"], observed=True).nunique()
    for code, size in sizes[sizes < 5].items():
        print(
            f"Class {code} has {size} {by}{'s' * (size != 1)} for 5 stages: where none of it is left to test, "
            "BMA is the mean over the other classes; add pictures of it, or leave it out."
        )
    return pd.DataFrame({number: stage(table, number, numbers, by, seed) for number in range(1, 6)})


def balanced(table: pd.DataFrame, by: str = "picture", seed: int = 0, within: pd.Index | None = None) -> pd.DataFrame:
    """The four rarest classes become one, and the same number is drawn from each of the five classes (thesis §5.3).

    The number is the size of the smallest of the five classes: in ISIC 2019 the merged one, 867 + 239 + 253 + 628 =
    1987.
    within: index of the rows to draw from (default: all), e.g. to keep a test part out of the draw.
    Returns the drawn rows with the label replaced by one of 5 classes, the original one in `original_label`, and the
    column part with 70 % train, 10 % validation, 20 % test. Raises IsicError if one of the five classes has no picture,
    or as `partitions` does.
    """
    table = table if within is None else table.loc[within]
    label = merged(table["label"])
    smallest = int(label.value_counts().min())
    if smallest == 0:
        raise IsicError(
            f"No picture of class {label.value_counts().idxmin()} is there to draw from: balancing needs all five."
        )
    table = table.assign(original_label=table["label"], label=label)
    shuffled = table.sort_values("image").sample(frac=1, random_state=seed)
    drawn = table.loc[shuffled.groupby("label", observed=True).head(smallest).index].sort_index()
    return drawn.assign(part=standard(drawn, by, seed))


def merged(label: pd.Series) -> pd.Series:
    """The eight classes as five: AK, DF, VASC and SCC become `MERGED` (thesis §5.3).

    label: class codes of eight classes or of five, with any index. Returns an ordered categorical with the same index.
    Raises IsicError for a code that is none of them.
    """
    classes = [code for code in CODES if code not in RAREST] + [MERGED]
    codes = label.astype(str)
    unknown = codes[~codes.isin([*CODES, MERGED])]
    if len(unknown):
        raise IsicError(
            f"{unknown.iloc[0]!r} is no class: the codes are {', '.join(CODES)}, or {MERGED} for four of them."
        )
    five = pd.Categorical(codes.mask(codes.isin(RAREST), MERGED), classes, ordered=True)
    return pd.Series(five, index=label.index, name=label.name)


def segmentation(table: pd.DataFrame, seed: int = 0) -> pd.Series:
    """70 % train, 10 % validation, 20 % test by chance, for pictures that have masks and no labels (thesis §5.5)."""
    return standard(table.assign(label=pd.Categorical(["lesion"] * len(table))), "picture", seed)


def partitions(table: pd.DataFrame, count: int, by: str, seed: int) -> pd.Series:
    """A partition number from 1 to `count` for each row, stratified by class, whole lesions with ``by="lesion"``.

    The result depends on which pictures there are, not on the order of the rows. Raises IsicError if `by` is neither
    picture nor lesion, or a picture or a value of the index is there twice.
    """
    if by not in ("picture", "lesion"):
        raise IsicError(f"by={by!r} is no way to split: use 'picture' or 'lesion'.")
    if table["image"].duplicated().any():
        raise IsicError(
            f"{table['image'][table['image'].duplicated()].iloc[0]} stands in the table twice: "
            "splits need each picture once."
        )
    if not table.index.is_unique:
        raise IsicError("The table's index has a value twice: number its rows anew with table.reset_index(drop=True).")
    lesion = table["image"] if by == "picture" else table["lesion_id"].fillna("no lesion_id: " + table["image"])
    cards = pd.DataFrame({"image": table["image"], "lesion": lesion, "label": table["label"].cat.codes})
    cards = (
        cards.sort_values("image")
        .groupby("lesion", sort=True)
        .agg(label=("label", "first"), pictures=("image", "size"))
    )
    cards = cards.sample(frac=1, random_state=seed).sort_values("pictures", ascending=False, kind="stable")
    places = pd.Series(range(count)).sample(frac=1, random_state=seed).tolist()  # so any may get the largest lesion
    of_class = {label: [0] * count for label in cards["label"].unique()}
    in_all = [0] * count
    number = {}
    for name, label, pictures in cards.itertuples():
        fewest = min(places, key=lambda k: (of_class[label][k], in_all[k]))
        of_class[label][fewest] += pictures
        in_all[fewest] += pictures
        number[name] = fewest + 1
    return lesion.map(number)


def stage(table: pd.DataFrame, number: int, numbers: pd.Series, by: str, seed: int) -> pd.Series:
    """The parts of one stage: partition 6 - number tests, one eighth of the other four validates, the rest trains."""
    part = pd.Series("train", index=table.index, name="part")
    part[numbers == 6 - number] = "test"
    rest = table[part == "train"]
    part[rest.index[partitions(rest, 8, by, seed) == 1]] = "validation"
    return part
