"""How well the U-Nets find lesions on the data that ISIC_DATA names, at 128 × 128 pixels, over several seeds.

    ISIC_DATA=<folder> python benchmarks/segmentation.py                     seeds 0, 1, 2 of the pretrained U-Net
    ISIC_DATA=<folder> python benchmarks/segmentation.py unet --seeds 0      the classic U-Net, 16 channels wide

A seed draws the split, the weights and the order. The scores are those of the checkpoint with the best validation
Jaccard index on the test part: at the network's size, and at the size of the originals after `masks.export`, with
mirrored views and one region kept. Runs are kept in ISIC_RUNS, so a second call prints the table at once.
"""

import argparse
import dataclasses
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from isic_utils import models, settings as profile
from isic_utils.datasets import images as pictures, splits, tables
from isic_utils.inference import masks
from isic_utils.metrics import classification as metrics
from isic_utils.training import fit as training, runs


def main() -> None:
    parser = argparse.ArgumentParser(description="U-Nets at 128 × 128 pixels.")
    parser.add_argument("model", nargs="?", default="unet_lite0", choices=models.SEGMENTERS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--loss", default="both")
    arguments = parser.parse_args()
    settings = dataclasses.replace(
        profile.current(), segmentation_size=(128, 128), segmentation_epochs=arguments.epochs, name="128px"
    )
    table = tables.isic2018(settings.data)
    pairs = pictures.load_pairs(table, settings.segmentation_size, settings.cache)
    print(f"{len(pairs.images):,} pairs of {settings.data_name}, {arguments.epochs} epochs, loss: {arguments.loss}")
    rows = {}
    for seed in arguments.seeds:
        parts = splits.segmentation(table, seed)
        run = training.fit(
            arguments.model, table, parts, pairs, settings, "segmentation", seed=seed, loss=arguments.loss
        )
        scores = runs.scores(run).loc["jaccard"]
        test = table[(parts == "test") & table["image"].isin(pairs.images)]
        original = exported_scores(run, test, pairs)
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


def exported_scores(run: runs.Run, test: pd.DataFrame, pairs: pictures.Pictures) -> pd.DataFrame:
    """The scores of each test picture at the size of its original, from exported masks."""
    with tempfile.TemporaryDirectory() as folder:
        files = masks.export(run, test, pairs, Path(folder), flips=True)
        rows = [
            metrics.mask_scores(
                metrics.overlap(pictures.read_mask(true)[np.newaxis], pictures.read_mask(file)[np.newaxis])
            )
            for true, file in zip(test["mask_path"], files, strict=True)
        ]
    return pd.concat([pd.DataFrame(row) for row in rows])


if __name__ == "__main__":
    main()
