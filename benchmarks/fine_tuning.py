"""How far EfficientNet-Lite0 comes with imbalanced classes on the data that ISIC_DATA names, step by step.

    ISIC_DATA=<folder> python benchmarks/fine_tuning.py                                seeds 0, 1, 2 of the recipe
    ISIC_DATA=<folder> python benchmarks/fine_tuning.py --steps all --seeds 0 1 2      every step towards it too
    ISIC_DATA=<folder> python benchmarks/fine_tuning.py --steps all --finished --save  those that are trained already,
                                                                                       as results/fine_tuning.csv

The seed determines the split (grouped by lesion), the weights of the last layer and the order of the images. The scores
are those of the checkpoint with the best validation BMA. The minutes are those of its training, without decoding and
final predictions. Runs are kept in ISIC_RUNS, so a second call prints the table quickly.
"""

import argparse
import sys

import numpy as np
import pandas as pd
from sklearn.metrics import accuracy_score

from isic_course import fine_tuning
from isic_course.fine_tuning import STEPS
from isic_utils.archive import CODES
from isic_utils.datasets import ImageStore, read_isic2019, splits
from isic_utils.inference.predict import predict_probabilities
from isic_utils.metrics import bma, intervals
from isic_utils.settings import Settings, load_settings
from isic_utils.training import TrainConfig, fit, run_of
from isic_utils.training.runs import write_csv

THE_RECIPE = "TTA: the recipe"
# the same training with a method against class imbalance and with plain cross-entropy: once short, once long
PAIRS = [
    ("with logit adjustment", "128 pixels, 4 epochs, cross-entropy"),
    (THE_RECIPE, "the recipe with plain cross-entropy"),
]


def main() -> None:
    parser = argparse.ArgumentParser(description="Fine-tuning EfficientNet-Lite0 with imbalanced classes.")
    parser.add_argument(
        "--steps",
        nargs="+",
        default=[THE_RECIPE],
        choices=["all", *STEPS],
        metavar="STEP",
        help=f"all, or some of {list(STEPS)}",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--finished", action="store_true", help="train nothing: use only runs that are already trained")
    parser.add_argument("--save", action="store_true")
    arguments = parser.parse_args()
    if arguments.save and arguments.steps != ["all"]:
        parser.error("--save writes the whole table: add --steps all")
    names = list(STEPS) if arguments.steps == ["all"] else arguments.steps
    settings = load_settings()
    rows, predictions = [], {}
    for seed in arguments.seeds:
        for name in names:
            job = prepare(name, seed, settings)
            if arguments.finished and not run_of(*job, settings.runs).finished:
                continue
            row, predictions[name, seed] = measure(name, *job, settings)
            rows.append(row)
            print(row, flush=True)
    if not rows:
        sys.exit("None of these steps is trained yet: leave out --finished.")
    table = pd.DataFrame(rows)
    if arguments.save:
        write_csv(fine_tuning.RESULTS, table.round(4))
    scores = ["validation BMA", "test BMA", "test accuracy", "minutes"]
    print(table.groupby("step", sort=False)[scores].agg(["mean", "std"]).round(3).to_string())
    for pair in PAIRS:
        seeds = [seed for seed in arguments.seeds if all((name, seed) in predictions for name in pair)]
        if seeds:
            compare(*(pd.concat([predictions[name, seed] for seed in seeds]) for name in pair), pair, seeds)


def prepare(name: str, seed: int, settings: Settings) -> tuple[TrainConfig, ImageStore, pd.DataFrame, pd.Series]:
    """What `fit` takes to train a step: config, decoded images, table, and the split that the seed draws."""
    table = read_isic2019(settings.data)
    store = ImageStore(table, STEPS[name].image_size, settings.cache)
    split = splits.standard(table, group_by="lesion", seed=seed)
    return fine_tuning.config(STEPS[name], seed, settings), store, table, split


def measure(
    name: str, config: TrainConfig, store: ImageStore, table: pd.DataFrame, split: pd.Series, settings: Settings
) -> tuple[dict, pd.DataFrame]:
    """Train a step, unless it is trained, and score it. Returns its row of the table, and its predictions for the test
    set: image, lesion, label, predicted."""
    step = STEPS[name]
    run = fit(config, store, table, split, settings.runs)
    row = {"data": settings.data_name, "step": name, "seed": config.seed, "method": config.method}
    row |= {"pixels": step.image_size, "epochs": config.epochs, "tta": step.tta}
    for name_of_split in ("validation", "test"):
        predictions = run.predictions(name_of_split)
        if step.tta:
            classes = predict_probabilities(run, store, predictions["image"], tta=True).argmax(axis=1)
            predictions["predicted"] = np.array(CODES)[classes]
        row[f"{name_of_split} BMA"] = bma(predictions["label"], predictions["predicted"])
    row |= {"test accuracy": accuracy_score(predictions["label"], predictions["predicted"])}
    row |= {"best epoch": run.scores().loc["bma", "epoch"], "minutes": run.seconds / 60}
    lesions = table["lesion_id"].fillna(table["image"]).set_axis(table["image"])
    predictions["lesion"] = lesions[predictions["image"]].to_numpy()
    return row, predictions[["image", "lesion", "label", "predicted"]]


def compare(first: pd.DataFrame, second: pd.DataFrame, names: tuple[str, str], seeds: list[int]) -> None:
    """Print by how much the first training's test BMA exceeds the second's, over the test sets of all seeds."""
    pair = first["predicted"].to_numpy(), second["predicted"].to_numpy()
    draws = intervals.paired_bootstrap(first["label"].to_numpy(), *pair, first["lesion"].to_numpy())
    low, high = intervals.percentile_interval(draws["bma"])
    scores = [bma(first["label"], predicted) for predicted in pair]
    print(f"{names[0]} − {names[1]}, test sets of seeds {seeds}: BMA {scores[0]:.3f} − {scores[1]:.3f} =", end=" ")
    print(f"{scores[0] - scores[1]:+.3f}, 95 % interval {low:+.3f} to {high:+.3f} (cluster bootstrap over lesions)")


if __name__ == "__main__":
    main()
