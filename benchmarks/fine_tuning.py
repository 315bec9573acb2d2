"""How far EfficientNet-Lite0 comes with skewed classes on the data that ISIC_DATA names, step by step.

    ISIC_DATA=<folder> python benchmarks/fine_tuning.py                                seeds 0, 1, 2 of the recipe
    ISIC_DATA=<folder> python benchmarks/fine_tuning.py --steps all --seeds 0 1 2      every step towards it too
    ISIC_DATA=<folder> python benchmarks/fine_tuning.py --steps all --finished --save  those that are trained already,
                                                                                       as results/fine_tuning.csv

A seed draws the lesion-wise split, the weights of the last layer and the order. The scores are those of the checkpoint
with the best validation BMA; the minutes those of its training, without decoding before and answering after. Runs are
kept in ISIC_RUNS, so a second call prints the table soon.
"""

import argparse
import sys

import pandas as pd

from isic_course import fine_tuning
from isic_course.fine_tuning import MODEL, STEPS
from isic_utils.datasets import tables
from isic_utils.inference import predict as answering
from isic_utils.metrics import classification as metrics, intervals as statistics
from isic_utils.training import protocols, runs

THE_RECIPE = "eight views: the recipe"
# the same training with a remedy and with plain cross-entropy: once short, once long
PAIRS = [
    ("with logit adjustment", "128 pixels, 4 epochs, cross-entropy"),
    (THE_RECIPE, "the recipe with plain cross-entropy"),
]


def main() -> None:
    parser = argparse.ArgumentParser(description="Fine-tuning EfficientNet-Lite0 with skewed classes.")
    parser.add_argument(
        "--steps",
        nargs="+",
        default=[THE_RECIPE],
        choices=["all", *STEPS],
        metavar="STEP",
        help=f"all, or some of {list(STEPS)}",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--finished", action="store_true", help="train nothing: only what is trained already")
    parser.add_argument("--save", action="store_true")
    arguments = parser.parse_args()
    if arguments.save and arguments.steps != ["all"]:
        parser.error("--save writes the whole table: add --steps all")
    names = list(STEPS) if arguments.steps == ["all"] else arguments.steps
    rows, answers = [], {}
    for seed in arguments.seeds:
        for name in names:
            if arguments.finished and not fine_tuning.run_of(STEPS[name], seed).finished:
                continue
            row, answers[name, seed] = measure(name, seed)
            rows.append(row)
            print(row, flush=True)
    if not rows:
        sys.exit("None of these steps is trained yet: leave out --finished.")
    table = pd.DataFrame(rows)
    if arguments.save:
        runs.write_csv(fine_tuning.RESULTS, table.round(4))
    scores = ["validation BMA", "test BMA", "test accuracy", "minutes"]
    print(table.groupby("step", sort=False)[scores].agg(["mean", "std"]).round(3).to_string())
    for pair in PAIRS:
        seeds = [seed for seed in arguments.seeds if all((name, seed) in answers for name in pair)]
        if seeds:
            compare(*(pd.concat([answers[name, seed] for seed in seeds]) for name in pair), pair, seeds)


def measure(name: str, seed: int) -> tuple[dict, pd.DataFrame]:
    """Train a step, unless it is trained, and score it. Returns its row of the table, and its answers for the test
    part: image, lesion, true and predicted class as numbers."""
    step = STEPS[name]
    settings = fine_tuning.settings(step)
    table, photos = protocols.prepare("standard", settings)
    run = protocols.train("standard", MODEL, table, photos, settings, "lesion", seed, remedy=step.remedy)
    row = {"data": settings.data_name, "step": name, "seed": seed, "remedy": step.remedy or "cross-entropy"}
    row |= {"pixels": settings.picture_size, "epochs": run.config["epochs"], "views": 8 if step.views else 1}
    for part in ("validation", "test"):
        predictions = run.predictions(part)
        true, predicted = runs.class_numbers(predictions, tables.CODES)
        if step.views:
            predicted = answering.probabilities(run, photos, predictions["image"], views=8).argmax(axis=1)
        row[f"{part} BMA"] = metrics.balanced_accuracy(true, predicted, len(tables.CODES))
    row |= {"test accuracy": metrics.accuracy(true, predicted), "best epoch": runs.scores(run).loc["bma", "epoch"]}
    row |= {"minutes": run.seconds / 60}
    lesion = table["lesion_id"].fillna(table["image"]).set_axis(table["image"])[predictions["image"]].to_numpy()
    return row, pd.DataFrame({"image": predictions["image"], "lesion": lesion, "true": true, "predicted": predicted})


def compare(first: pd.DataFrame, second: pd.DataFrame, names: tuple[str, str], seeds: list[int]) -> None:
    """Print by how much the first training's test BMA exceeds the second's, all seeds put together."""
    true = first["true"].to_numpy()
    pair = first["predicted"].to_numpy(), second["predicted"].to_numpy()
    draws = statistics.paired_bootstrap(true, *pair, first["lesion"].to_numpy(), len(tables.CODES))
    low, high = statistics.percentile_interval(draws["BMA"])
    gain = [metrics.balanced_accuracy(true, predicted, len(tables.CODES)) for predicted in pair]
    print(f"{names[0]} − {names[1]}, test parts of seeds {seeds}: BMA {gain[0]:.3f} − {gain[1]:.3f} =", end=" ")
    print(f"{gain[0] - gain[1]:+.3f}, 95 % interval {low:+.3f} to {high:+.3f} (whole lesions drawn)")


if __name__ == "__main__":
    main()
