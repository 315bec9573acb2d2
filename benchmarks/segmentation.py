"""How well the U-Nets find lesions on the data that ISIC_DATA names, at 128 × 128 pixels, over several seeds.

    ISIC_DATA=<folder> python benchmarks/segmentation.py                     seeds 0, 1, 2 of the pretrained U-Net
    ISIC_DATA=<folder> python benchmarks/segmentation.py unet --seeds 0      the classic U-Net, 16 channels wide

The seed determines the split, the weights and the order of the images. The scores are those of the checkpoint with the
best validation Jaccard index, on the test set: at the network's size, and at the size of the originals after
`export_masks` with test-time augmentation and one region kept. Runs are kept in ISIC_RUNS, so a second call prints the
table quickly.
"""

import argparse
import dataclasses
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from isic_course.thesis.submission import export_masks
from isic_utils import models
from isic_utils.datasets import ImageStore
from isic_utils.datasets.images import read_mask
from isic_utils.metrics import mask_scores, overlap
from isic_utils.settings import load_settings
from isic_utils.training import Run, fit, protocols
from isic_utils.training.losses import MASK_LOSSES


def main() -> None:
    parser = argparse.ArgumentParser(description="U-Nets at 128 × 128 pixels.")
    parser.add_argument("model", nargs="?", default="unet_lite0", choices=models.SEGMENTERS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--mask-loss", choices=list(MASK_LOSSES), default="cross-entropy + Jaccard")
    arguments = parser.parse_args()
    settings = dataclasses.replace(load_settings(), segmentation_size=(128, 128))
    all_images, store = protocols.load_data("segmentation", settings)
    print(f"{len(store):,} pairs of {settings.data_name}, {arguments.epochs} epochs, loss: {arguments.mask_loss}")
    rows = {}
    for seed in arguments.seeds:
        changes = {"epochs": arguments.epochs, "mask_loss": arguments.mask_loss}
        config, table, split = protocols.arrange(
            "segmentation", arguments.model, all_images, settings, seed=seed, **changes
        )
        run = fit(config, store, table, split, settings.runs)
        scores = run.scores().loc["jaccard"]
        test = table[(split == "test") & table["image"].isin(store.images)]
        original = exported_scores(run, test, store)
        rows[seed] = {
            "Jaccard": scores["jaccard"],
            "thresholded": scores["thresholded_jaccard"],
            "Jaccard, originals": original["jaccard"].mean(),
            "thresholded, originals": original["thresholded_jaccard"].mean(),
            "best epoch": scores["epoch"],
            "seconds, all": run.seconds,
            "seconds per epoch": run.seconds / arguments.epochs,
        }
    result = pd.DataFrame(rows).T.rename_axis("seed")
    result.loc["mean"] = result.mean()
    print(result.round(4).to_string())


def exported_scores(run: Run, test: pd.DataFrame, store: ImageStore) -> pd.DataFrame:
    """The scores of each test image at the size of its original, from exported masks."""
    with tempfile.TemporaryDirectory() as folder:
        files = export_masks(run, test, store, Path(folder), tta=True)
        rows = [
            mask_scores(overlap(read_mask(true)[np.newaxis], read_mask(file)[np.newaxis]))
            for true, file in zip(test["mask_path"], files, strict=True)
        ]
    return pd.concat([pd.DataFrame(row) for row in rows])


if __name__ == "__main__":
    main()
