"""The numbers that lesson 01 states of real images, in results/measured_01.csv, a row each.

    ISIC_DATA=<folder> python benchmarks/measured_tables.py

Of a folder with the official tables alone: what the tables tell. With images: the statistics of their colours and the
near-duplicates among them, too. With ISIC 2018's images and masks: what the masks are like. Rows of the same data are
replaced, those of other data stay, so that the file can hold the whole tables and a part of the images. A minute or
two for 20 000 small images on one core.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy import ndimage
from side_by_side import require_real_images

from isic_utils import files
from isic_utils.archive import GROUND_TRUTH_2019, MALIGNANT, MASKS_2018
from isic_utils.datasets import near_duplicates, read_isic2018, read_isic2019, splits
from isic_utils.datasets.images import read_image, read_mask
from isic_utils.settings import load_settings

RESULTS = Path(__file__).resolve().parent / "results" / "measured_01.csv"
SIDE = 32  # pixels to which an image is reduced before its colours are counted


def main() -> None:
    settings = load_settings()
    folder = settings.data
    require_real_images(settings)
    if (folder / GROUND_TRUTH_2019).is_file():
        table = read_isic2019(folder)
        with_images = table["path"].notna().all()
        width, height = Image.open(table["path"][0]).size if with_images else (0, 0)
        name = f"ISIC 2019, images of {width} × {height}" if with_images else "ISIC 2019, tables"
        measure = [of_patients, of_sources, of_lesions] + ([of_colours, of_duplicates] if with_images else [])
        save(name, len(table), [row for function in measure for row in function(table)])
    if (folder / MASKS_2018).is_dir():
        pairs = read_isic2018(folder)
        width, height = Image.open(pairs["path"][0]).size
        save(f"ISIC 2018, images of {width} × {height}", len(pairs), list(of_masks(pairs)))


def save(data: str, images: int, rows: list[tuple[str, str, float]]) -> None:
    """Put rows of a quantity, what it is of, and its value into the table of results, and print them."""
    new = pd.DataFrame(rows, columns=["quantity", "of", "value"])
    new.insert(0, "data", data)
    new.insert(1, "images", images)
    new["value"] = new["value"].astype(float).round(4)
    kept = pd.read_csv(RESULTS) if RESULTS.exists() else new.iloc[:0]
    result = pd.concat([table for table in (kept[kept["data"] != data], new) if len(table)])
    result = result.sort_values("data", kind="stable")
    files.write(RESULTS, lambda partial: result.to_csv(partial, index=False, lineterminator="\n"))
    print(new.to_string(index=False), flush=True)


def of_patients(table: pd.DataFrame):
    """What is missing; the median age and the two telling body sites of each class."""
    for column in ("age_approx", "sex", "anatom_site_general", "lesion_id"):
        yield "share of the rows that lack", column, table[column].isna().mean()
    for code, rows in table.groupby("label", observed=True):
        yield "median age", code, rows["age_approx"].median()
        for site in ("head/neck", "lower extremity"):
            yield f"share from the {site}", code, (rows["anatom_site_general"] == site).mean()


def of_sources(table: pd.DataFrame):
    """Classes and names by source, and what is known of a diagnosis from the source or the body site alone."""
    for (code, source), rows in table.groupby(["label", "source"], observed=True):
        yield "images", f"{code} {source}", len(rows)
    for source, rows in table.groupby("source"):
        yield "images", source, len(rows)
        yield "malignant share", source, rows["label"].isin(MALIGNANT).mean()
        yield "names that end in _downsampled", source, rows["image"].str.endswith("_downsampled").sum()
    for code, rows in table.groupby("label", observed=True):
        yield "names that end in _downsampled", code, rows["image"].str.endswith("_downsampled").sum()
    for column in ("source", "anatom_site_general"):
        counts = pd.crosstab(table["label"], table[column].fillna("unknown"))
        recalls = counts.div(counts.sum(axis=1), axis=0)
        frequent = sum(recalls.loc[code, value] for value, code in counts.idxmax().items()) / len(recalls)
        yield "BMA of predicting the most frequent class by", column, frequent
        yield "highest BMA of a prediction by", column, recalls.max().sum() / len(recalls)


def of_lesions(table: pd.DataFrame):
    """Images of a lesion, and how many lesions a split separates."""
    sizes = table.groupby("lesion_id").size()
    yield "lesions", "with a lesion_id", len(sizes)
    yield "share of the lesions", "with several images", (sizes > 1).mean()
    yield "most images", "of a lesion", sizes.max()
    for group_by in ("image", "lesion"):
        split = splits.standard(table, group_by=group_by, seed=0)
        trained = table.loc[split == "train", "lesion_id"].dropna()
        test = table.loc[split == "test", "lesion_id"]
        yield "lesions with an id in the test set, grouped by", group_by, test.nunique()
        yield "of them in the training set, too, grouped by", group_by, test[test.isin(trained)].nunique()
        yield "share of the test images with a lesion in training, grouped by", group_by, test.isin(trained).mean()


def of_colours(table: pd.DataFrame):
    """Mean and standard deviation of each channel, of 400 images of each source and of all: values from 0 to 1."""
    groups = dict(list(table.groupby("source"))) | {"all": table}
    for source, rows in groups.items():
        chosen = rows.sample(min(400, len(rows)), random_state=0)
        small = [read_image(path, at_least=SIDE).resize((SIDE, SIDE)) for path in chosen["path"]]
        pixels = np.stack([np.asarray(image) for image in small]) / 255
        for channel, colour in enumerate(("red", "green", "blue")):
            yield f"mean of {colour}", source, pixels[..., channel].mean()
            yield f"standard deviation of {colour}", source, pixels[..., channel].std()


def of_duplicates(table: pd.DataFrame):
    """Pairs of near-duplicates, by what their lesion_ids and labels tell, and what they do to a grouped split."""
    by_name = table.assign(split=splits.standard(table, seed=0), lesion=table["lesion_id"].fillna(table["image"]))
    by_name = by_name.set_index("image")
    pairs = near_duplicates(table)
    first, second = by_name.loc[pairs["image"]], by_name.loc[pairs["other"]]
    same = first["lesion"].to_numpy() == second["lesion"].to_numpy()  # an image without lesion_id is one by itself
    two_labels = first["label"].astype(str).to_numpy() != second["label"].astype(str).to_numpy()
    other_source = first["source"].to_numpy() != second["source"].to_numpy()
    for kind, chosen in {"near-duplicates": pairs["bits"] >= 0, "identical files": pairs["identical"]}.items():
        yield f"pairs of {kind}", "one lesion_id", (chosen & same).sum()
        yield f"pairs of {kind}", "not one lesion_id", (chosen & ~same).sum()
        yield f"pairs of {kind}", "not one lesion_id, two labels", (chosen & ~same & two_labels).sum()
        yield f"pairs of {kind}", "not one lesion_id, two sources", (chosen & ~same & other_source).sum()
    test = set()
    for one, other in ((first, second), (second, first)):
        test |= set(one.index[(one["split"] == "test").to_numpy() & (other["split"] == "train").to_numpy()])
    yield "images of the test set, grouped by lesion", "all", (by_name["split"] == "test").sum()
    yield "images of the test set, grouped by lesion", "with a near-duplicate in training", len(test)


def of_masks(pairs: pd.DataFrame):
    """What the lesion's share is, and whether a mask is one region without holes."""
    masks = [read_mask(path) for path in pairs["mask_path"]]
    shares = np.array([mask.mean() for mask in masks])
    yield "share of the image", "least", shares.min()
    yield "share of the image", "mean", shares.mean()
    yield "share of the image", "most", shares.max()
    yield "masks", "with several regions", sum(ndimage.label(mask)[1] > 1 for mask in masks)
    yield "masks", "with holes", sum(bool((ndimage.binary_fill_holes(mask) != mask).any()) for mask in masks)


if __name__ == "__main__":
    main()
