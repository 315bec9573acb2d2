"""What lesson 07 shows of real images: its four trainings at 128 × 128 pixels, and which images the masks fail on.

    ISIC_DATA=<folder with masks> python benchmarks/measured_masks.py

It writes results/measured_07.csv, a row per training, when a pair of trainings is done, and afterwards
results/measured_07_failures.csv: the lesson's regression of a test image's Jaccard index on relative contrast, ITA and
log size, for the network that the lesson goes on with. An interrupted training (in ISIC_RUNS) goes on. Otherwise the
profile laptop: epochs, width, batch size; seed 0. Two trainings run side by side with one thread each.

The lesions are those of the official table of ISIC 2019, where the folder holds it as tables/<its name>, and otherwise
those that `read_isic2018` finds beside the images. An image without an id is a lesion of its own, and near-duplicates
count as one lesion. Split and bootstrap (95 % intervals) are grouped by these lesions; the columns known_lesions and
near_duplicates say how many images have an id, and how many pairs of near-duplicates there are.
"""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from side_by_side import RESULTS, processor, require_real_images
from skimage.color import rgb2lab

from isic_utils.archive import MASKS_2018, METADATA_2019
from isic_utils.datasets import ImageStore, read_isic2018, splits
from isic_utils.datasets.duplicates import near_duplicates
from isic_utils.inference.predict import predict_masks
from isic_utils.metrics import boundary_scores, intervals, mask_scores, overlap
from isic_utils.settings import PROFILES, load_settings
from isic_utils.training import Run, TrainConfig, fit_all
from isic_utils.training.runs import write_csv

SIZE = (128, 128)
LOSSES = ["cross-entropy", "soft Jaccard", "cross-entropy + Jaccard"]
GO_ON_WITH = "U-Net, cross-entropy + Jaccard"
PROPERTIES = ["relative contrast", "ITA", "log size"]


def main() -> None:
    settings = dataclasses.replace(load_settings(), profile="laptop", **PROFILES["laptop"])
    settings = dataclasses.replace(settings, segmentation_size=SIZE)
    require_real_images(settings)
    if not (settings.data / MASKS_2018).is_dir():
        print(f"Lesson 07 is not measured: {settings.data_name} has no masks.")
        return
    torch.set_num_threads(settings.threads)
    table = read_isic2018(settings.data)
    store = ImageStore(table, SIZE, settings.cache)
    table = table[table["image"].isin(store.images)].reset_index(drop=True)
    table["lesion_id"] = known_lesions(table, settings.data)
    pairs = near_duplicates(table)
    about = {"known_lesions": int(table["lesion_id"].notna().sum()), "near_duplicates": len(pairs)}
    table["lesion_id"] = table["lesion"] = groups_of(table["lesion_id"].fillna(table["image"]), table["image"], pairs)
    split = splits.segmentation(table, group_by="lesion", seed=0)
    options = dict(protocol="segmentation", group_by="lesion")
    configs = {
        f"U-Net, {loss}": TrainConfig.from_settings(settings, "unet", mask_loss=loss, **options) for loss in LOSSES
    }
    configs["U-Net, ImageNet encoder"] = TrainConfig.from_settings(settings, "unet_lite0", **options)
    names, rows, test = list(configs), [], table[split == "test"]
    for pair in (names[:2], names[2:]):
        runs = fit_all([(configs[name], table, split) for name in pair], store, settings.runs)
        for name, run in zip(pair, runs, strict=True):
            scores = image_scores(run, store, test)
            rows.append(row_of(name, run, scores, table, settings.data_name) | about)
            print(f"{name}: Jaccard {rows[-1]['Jaccard']:.3f}, {rows[-1]['seconds']:.0f} s", flush=True)
            if name == GO_ON_WITH:
                failures = effects_of(scores, store, test)
        write_csv(RESULTS / "measured_07.csv", pd.DataFrame(rows))
    write_csv(RESULTS / "measured_07_failures.csv", failures)
    print(failures.to_string(index=False))


def image_scores(run: Run, store: ImageStore, test: pd.DataFrame) -> pd.DataFrame:
    """Every score of each test image, at the size of the network's masks; indexed by image."""
    predicted = predict_masks(run, store, test["image"]) > 0.5
    true = store.take(store.rows(test["image"]))[..., 3] > 127
    found = mask_scores(overlap(true, predicted)) | boundary_scores(true, predicted)
    return pd.DataFrame(found, index=pd.Index(test["image"], name="image")).assign(lesion=test["lesion"].to_numpy())


def known_lesions(table: pd.DataFrame, folder: Path) -> pd.Series:
    """The lesion_id of each image, missing where it is not known."""
    official = folder / "tables" / METADATA_2019
    if not official.is_file():
        return table["lesion_id"] if "lesion_id" in table else pd.Series(None, table.index, dtype=object)
    ids = pd.read_csv(official, usecols=["image", "lesion_id"])
    return table["image"].map(ids.set_index(ids["image"].str.removesuffix("_downsampled"))["lesion_id"])


def groups_of(lesions: pd.Series, images: pd.Series, pairs: pd.DataFrame) -> pd.Series:
    """The lesions [n] as text, of which those with near-duplicates become one. pairs: columns image and other."""
    number, names = pd.factorize(lesions)
    of_image = pd.Series(number, images)
    one, other = (of_image[pairs[column]].to_numpy() for column in ("image", "other"))
    edges = coo_array((np.ones(len(pairs)), (one, other)), shape=(len(names), len(names)))
    group = connected_components(edges, directed=False)[1]
    return pd.Series([f"lesion {n}" for n in group[number]], lesions.index)


def row_of(name: str, run: Run, scores: pd.DataFrame, table: pd.DataFrame, data: str) -> dict:
    """A row of the table of results."""
    jaccard = scores["jaccard"]
    low, high = intervals.percentile_interval(intervals.bootstrap_mean(jaccard, scores["lesion"]))
    row = {"lesson": "07", "data": data, "images": len(table), "lesions": table["lesion"].nunique()}
    row |= {"group_by": "lesion", "pixels": SIZE[0], "training": name, "epochs": run.config["epochs"], "seed": 0}
    row |= {"test_images": len(scores), "test_lesions": scores["lesion"].nunique()}
    row |= {"Jaccard": jaccard.mean(), "Jaccard_low": low, "Jaccard_high": high}
    names = {"thresholded_jaccard": "thresholded", "dice": "Dice", "sensitivity": "sensitivity"}
    names |= {"specificity": "specificity", "hd95": "HD95", "surface_dice": "surface Dice"}
    row |= {title: scores[column].mean() for column, title in names.items()}
    rounded = {key: round(float(value), 4) if isinstance(value, float) else value for key, value in row.items()}
    return rounded | {"seconds": round(run.seconds, 1), "processor": processor()}


def effects_of(scores: pd.DataFrame, store: ImageStore, test: pd.DataFrame) -> pd.DataFrame:
    """The change of the Jaccard index per standard deviation of each property, alone and together, as in lesson 07."""
    pixels = store.take(store.rows(test["image"]))
    properties = pd.DataFrame([properties_of(one) for one in pixels], index=scores.index)
    data = scores.join(properties).dropna(subset=PROPERTIES)
    standard = (data[PROPERTIES] - data[PROPERTIES].mean()) / data[PROPERTIES].std()
    regressions, found = [*([name] for name in PROPERTIES), PROPERTIES[:2], PROPERTIES], []
    for names in regressions:
        fitted = effects(standard[names], data["jaccard"], data["lesion"]).rename_axis("property").reset_index()
        together = {1: "alone", 2: "contrast and ITA", 3: "all three"}[len(names)]
        fitted.insert(0, "regression", together)
        found.append(fitted)
    found = pd.concat(found, ignore_index=True).round(4)
    return pd.DataFrame({"images": len(data), "lesions": data["lesion"].nunique()}, found.index).join(found)


def effects(x: pd.DataFrame, y: pd.Series, lesions: pd.Series, draws: int = 2000) -> pd.DataFrame:
    """The coefficient of each property in x beside the others, with a 95 % interval over lesions, as in lesson 07."""
    times = intervals.draw_lesions(lesions, draws=draws)[:, pd.factorize(lesions)[0]]  # how often each image is drawn
    inputs = np.column_stack([np.ones(len(x)), x])  # the ones: the constant
    roots = np.sqrt([np.ones(len(x)), *times])  # weighted least squares: both sides times the root of the weight
    fits = [np.linalg.lstsq(root[:, None] * inputs, root * y.to_numpy(), rcond=None)[0][1:] for root in roots]
    low, high = np.quantile(fits[1:], [0.025, 0.975], axis=0)
    return pd.DataFrame({"coefficient": fits[0], "low": low, "high": high}, index=x.columns)


def properties_of(pixels: np.ndarray) -> dict[str, float]:
    """Relative contrast, ITA of the skin in degrees, and the logarithm of the lesion's share, as in lesson 07.
    pixels: uint8 [height, width, 4], with the mask as the last channel."""
    mask = pixels[..., 3] > 127
    if mask.all() or not mask.any() or np.median(pixels[~mask, :3]) < 20:  # or a black border is all there is
        return dict.fromkeys(PROPERTIES, np.nan)
    skin, lesion = np.median(pixels[~mask, :3], axis=0), pixels[mask, :3].mean(axis=0)
    lightness, _, yellow = rgb2lab(skin / 255)
    values = abs(skin.mean() - lesion.mean()) / skin.mean(), np.degrees(np.arctan2(lightness - 50, yellow))
    return dict(zip(PROPERTIES, (*values, np.log(mask.mean())), strict=True))


if __name__ == "__main__":
    main()
