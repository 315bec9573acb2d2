"""What lesson 07 shows of real images: its four trainings at 128 × 128 pixels, and which images the masks fail on.

    ISIC_DATA=<folder with masks> python benchmarks/measured_masks.py

It writes results/measured_07.csv, a row per training, when a pair of trainings is done, and afterwards
results/measured_07_failures.csv: the lesson's regression of a test image's Jaccard index on relative contrast, ITA and
log size, for the network that the lesson goes on with. An interrupted training (in ISIC_RUNS) goes on. Otherwise the
profile laptop: epochs, width, batch size; seed 0; grouped by lesion where the lesions are known. Intervals are 95 %
intervals of a bootstrap over lesions. Two trainings run side by side with one thread each.
"""

import dataclasses

import numpy as np
import pandas as pd
import torch
from side_by_side import RESULTS, processor, require_real_images
from skimage.color import rgb2lab

from isic_utils.archive import MASKS_2018
from isic_utils.datasets import ImageStore, read_isic2018, splits
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
    group_by = "lesion" if "lesion_id" in table else "image"
    table["lesion"] = table["lesion_id"].fillna(table["image"]) if group_by == "lesion" else table["image"]
    split = splits.segmentation(table, group_by=group_by, seed=0)
    options = dict(protocol="segmentation", group_by=group_by)
    configs = {
        f"U-Net, {loss}": TrainConfig.from_settings(settings, "unet", mask_loss=loss, **options) for loss in LOSSES
    }
    configs["U-Net, ImageNet encoder"] = TrainConfig.from_settings(settings, "unet_lite0", **options)
    names, rows, test = list(configs), [], table[split == "test"]
    for pair in (names[:2], names[2:]):
        runs = fit_all([(configs[name], table, split) for name in pair], store, settings.runs)
        for name, run in zip(pair, runs, strict=True):
            scores = image_scores(run, store, test)
            rows.append(row_of(name, run, scores, table, group_by, settings.data_name))
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


def draws_of(lesions: pd.Series, count: int = 2000) -> list[np.ndarray]:
    """Positions of the images of as many lesions as there are, drawn with replacement."""
    rows_of = list(lesions.groupby(lesions).indices.values())
    drawn = np.random.default_rng(0).integers(len(rows_of), size=(count, len(rows_of)))
    return [np.concatenate([rows_of[number] for number in row]) for row in drawn]


def row_of(name: str, run: Run, scores: pd.DataFrame, table: pd.DataFrame, group_by: str, data: str) -> dict:
    """A row of the table of results."""
    jaccard = scores["jaccard"].to_numpy()
    low, high = intervals.percentile_interval([jaccard[rows].mean() for rows in draws_of(scores["lesion"])])
    row = {"lesson": "07", "data": data, "images": len(table), "lesions": table["lesion"].nunique()}
    row |= {"group_by": group_by, "pixels": SIZE[0], "training": name, "epochs": run.config["epochs"], "seed": 0}
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
    jaccard, draws, found = data["jaccard"].to_numpy(), draws_of(data["lesion"]), []
    regressions = [*([name] for name in PROPERTIES), PROPERTIES[:2], PROPERTIES]
    for names in regressions:
        x = np.column_stack([np.ones(len(data)), standard[names]])
        fits = [np.linalg.lstsq(x[rows], jaccard[rows], rcond=None)[0][1:] for rows in (np.arange(len(data)), *draws)]
        low, high = np.quantile(fits[1:], [0.025, 0.975], axis=0)
        together = {1: "alone", 2: "contrast and ITA", 3: "all three"}[len(names)]
        for i, name in enumerate(names):
            of = {"images": len(data), "lesions": data["lesion"].nunique(), "regression": together, "property": name}
            found.append(of | {"coefficient": fits[0][i], "low": low[i], "high": high[i]})
    return pd.DataFrame(found).round(4)


def properties_of(pixels: np.ndarray) -> dict[str, float]:
    """Relative contrast, ITA of the skin in degrees, and the logarithm of the lesion's share, as in lesson 07.
    pixels: uint8 [height, width, 4], with the mask as the last channel."""
    mask = pixels[..., 3] > 127
    if mask.all() or not mask.any():
        return dict.fromkeys(PROPERTIES, np.nan)
    skin, lesion = np.median(pixels[~mask, :3], axis=0), pixels[mask, :3].mean(axis=0)
    lightness, _, yellow = rgb2lab(skin / 255)
    values = abs(skin.mean() - lesion.mean()) / skin.mean(), np.degrees(np.arctan2(lightness - 50, yellow))
    return dict(zip(PROPERTIES, (*values, np.log(mask.mean())), strict=True))


if __name__ == "__main__":
    main()
