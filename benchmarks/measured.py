"""What the lessons show of real images: a table of results for each lesson, measured on the data that ISIC_DATA names.

    ISIC_DATA=<folder> make measured                          all lessons
    ISIC_DATA=<folder> python benchmarks/measured.py 04       one lesson
    … --minutes 20                                            less time for each lesson than the usual hour
    python benchmarks/measured.py --write                     puts the tables into benchmarks/README.md

A row is a training with the sizes of the profile laptop, and its scores on the test set; it is written
to `results/measured_<lesson>.csv` when it is done. Rows that are there are kept, and an interrupted training (in
ISIC_RUNS) goes on, so the same command continues after an interruption. Rows of other data or other trainings are
dropped. What could not be measured is missing from the table, and the script says why.
To measure everything anew, delete the table and let ISIC_RUNS name an empty folder.

The split is grouped by lesion, with seed 0; the seed of a row determines the first weights and the order of the images.
The checkpoint is the one with the best validation BMA; the intervals are 95 % intervals of a cluster bootstrap over
lesions. `seconds` is the time of the training. Nothing else should be running.
"""

import argparse
import contextlib
import dataclasses
import sys
import time
from pathlib import Path

import marks
import pandas as pd
import torch
from cost import markdown
from side_by_side import RESULTS, processor

from isic_utils import models
from isic_utils.datasets import ImageStore, read_isic2019, splits
from isic_utils.datasets.tables import CODES
from isic_utils.errors import IsicError
from isic_utils.metrics import intervals, recall_per_class, scores
from isic_utils.settings import PROFILES, SAMPLE, Settings, load_settings
from isic_utils.training import Run, TrainConfig, fit, run_of
from isic_utils.training.config import LEARNING_RATE_PRETRAINED
from isic_utils.training.runs import write_csv

MINUTES = 60  # for a lesson
START, END = "<!-- measured: written by benchmarks/measured.py -->", "<!-- end of measured -->"
CHEAP_FIRST = ["alexnet", "residual", "vgg16", "wide_resnet", "resnet101", "efficientnet_lite0"]
# what a row is found by; the scores follow
KEY = ["data", "images", "lesions", "pixels", "network", "width", "pretrained", "epochs", "seed"]


class NotMeasured(Exception):
    """Why a row is missing."""


def lesson_03(settings: Settings) -> list[TrainConfig]:
    """EfficientNet-Lite0 from ImageNet weights and from random ones, all else equal, two seeds of each; and from random
    ones with three times the epochs."""
    epochs, usual = settings.fine_tuning_epochs, dict(learning_rate=LEARNING_RATE_PRETRAINED)
    starts = [(True, epochs), (False, epochs), (False, 3 * epochs)]
    return [
        TrainConfig.from_settings(settings, "efficientnet_lite0", pretrained=start, epochs=count, seed=seed, **usual)
        for start, count in starts
        for seed in (0, 1)
    ]


def lesson_04(settings: Settings) -> list[TrainConfig]:
    """The lesson's six networks; and at full width, from ImageNet weights, those that the thesis trained like that."""
    six = [TrainConfig.from_settings(settings, name) for name in CHEAP_FIRST]
    whole = [TrainConfig.from_settings(settings, name, width=1.0) for name in ("resnet101", "wide_resnet")]
    return six + whole


LESSONS = {"03": lesson_03, "04": lesson_04}


def measure(lesson: str, settings: Settings, file: Path, minutes: float = MINUTES) -> dict[str, str]:
    """Measure the rows of a lesson that its table does not have yet. Returns those that are missing: row -> reason."""
    end = time.monotonic() + 60 * minutes
    table = read_isic2019(settings.data)
    table["lesion"] = table["lesion_id"].fillna(table["image"])
    split = splits.standard(table, group_by="lesion", seed=0)
    plan = {key_of(config, table, settings): config for config in LESSONS[lesson](settings)}
    rows = {key: row for key, row in rows_of(file).items() if key in plan}
    waiting = {key: config for key, config in plan.items() if key not in rows}
    store = ImageStore(table, settings.image_size, settings.cache, sys.stderr.isatty()) if waiting else None
    missing = {}
    for key, config in waiting.items():
        try:
            run = train(config, store, table, split, settings, end)
        except (NotMeasured, IsicError) as reason:
            missing[name_of(config)] = str(reason)
            continue
        rows[key] = {"lesson": lesson} | dict(zip(KEY, key, strict=True)) | results_of(run, table)
        write_csv(file, pd.DataFrame([rows[key] for key in plan if key in rows]))
        row = rows[key]
        found = f"accuracy {row['accuracy']:.3f}, BMA {row['BMA']:.3f}, {row['seconds']:.0f} s"
        print(f"{name_of(config)}: {found}", flush=True)
    print(f"Lesson {lesson}: {len(rows)} of {len(plan)} rows are in {file.name}.", flush=True)
    for name, reason in missing.items():
        print(f"  Missing: {name}: {reason}", flush=True)
    return missing


def key_of(config: TrainConfig, table: pd.DataFrame, settings: Settings) -> tuple:
    """What determines a row: the values of KEY."""
    data = (settings.data_name, len(table), table["lesion"].nunique(), settings.image_size)
    return *data, models.TITLES[config.model], config.width, config.pretrained, config.epochs, config.seed


def rows_of(file: Path) -> dict[tuple, dict]:
    """The rows that are in a table already, by their key."""
    if not file.exists():
        return {}
    rows = pd.read_csv(file, dtype={"lesson": str, "data": str}).to_dict("records")
    return {tuple(row.get(column) for column in KEY): row for row in rows}


def name_of(config: TrainConfig) -> str:
    """A row in words, e.g. AlexNet, width 0.125, random weights, 5 epochs, seed 0."""
    start = "ImageNet weights" if config.pretrained else "random weights"
    return f"{models.TITLES[config.model]}, width {config.width:g}, {start}, {config.epochs} epochs, seed {config.seed}"


def train(
    config: TrainConfig, store: ImageStore, table: pd.DataFrame, split: pd.Series, settings: Settings, end: float
) -> Run:
    """The run of a row. Raises NotMeasured if its weights cannot be had, or when no time is left for another epoch."""
    run = run_of(config, store, table, split, settings.runs)

    def check_time() -> None:
        done = len(run.history) if (run.folder / "seconds.csv").exists() else 0
        next_epoch = run.seconds / done if done else 0
        if done < config.epochs and time.monotonic() + next_epoch >= end:
            raise NotMeasured(f"no time was left after {done} of {config.epochs} epochs; the same command goes on.")

    check_time()
    had_weights = run.finished and run.config["pretrained"] != models.NOT_DOWNLOADED
    if config.pretrained and not had_weights and not weights_are_there(config.model):
        raise NotMeasured("its ImageNet weights cannot be had here.")
    return fit(config, store, table, split, settings.runs, progress=sys.stderr.isatty(), after_epoch=check_time)


def weights_are_there(model: str) -> bool:
    """Whether a model's ImageNet weights are on this machine now; where there is a connection, they are downloaded."""
    with contextlib.redirect_stdout(None):  # that it starts from random weights is true of a lesson, and not of this
        return models.create_model(model, pretrained=True).pretrained != models.NOT_DOWNLOADED


def results_of(run: Run, table: pd.DataFrame) -> dict:
    """The second part of a row: the scores on the test set, with their intervals, and what they were measured on."""
    tested = run.predictions("test")
    lesions = table.set_index("image")["lesion"][tested["image"]].to_numpy()
    found = scores(tested)
    draws = intervals.bootstrap(tested["label"], tested["predicted"], lesions)
    row = {"test_images": len(tested), "test_lesions": len(set(lesions))}
    for column, score in (("accuracy", "accuracy"), ("BMA", "bma")):
        low, high = intervals.percentile_interval(draws[score])
        row |= {column: round(found[score], 4), f"{column}_low": round(low, 4), f"{column}_high": round(high, 4)}
    row["melanoma recall"] = round(recall_per_class(tested["label"], tested["predicted"], CODES)["MEL"], 4)
    return row | {"seconds": round(run.seconds, 1), "processor": processor()}


def written(page: str) -> str:
    """The README with the tables that there are."""
    text = []
    for file in filter(Path.exists, (RESULTS / f"measured_{lesson}.csv" for lesson in LESSONS)):
        table = pd.read_csv(file, dtype={"lesson": str})
        row, shown = table.iloc[0], table[KEY[4:]].copy()
        for score in ("accuracy", "BMA"):
            columns = zip(table[score], table[f"{score}_low"], table[f"{score}_high"], strict=True)
            shown[score] = [f"{value:.3f} ({low:.3f} to {high:.3f})" for value, low, high in columns]
        of = f"{row['images']:,} images of {row['lesions']:,} lesions, {row['pixels']}×{row['pixels']} pixels"
        tested = f"test set: {row['test_images']:,} images of {row['test_lesions']:,} lesions"
        on = ", ".join(table["processor"].unique())
        text.append(f"Lesson {row['lesson']}, {row['data']} ({of}; {tested}; {on}):")
        text.append(markdown(shown.assign(**{"melanoma recall": table["melanoma recall"].map("{:.3f}".format)})))
    return marks.replaced(page, START, END, "\n\n".join(text))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lessons", nargs="*", metavar="lesson", help=f"of {', '.join(LESSONS)}; none means all")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="how long one lesson may take")
    parser.add_argument("--write", action="store_true", help="only put the tables into benchmarks/README.md")
    chosen = parser.parse_args()
    if chosen.write:
        page = RESULTS.parent / "README.md"
        page.write_text(written(page.read_text(encoding="utf-8")), encoding="utf-8")
        return
    if unknown := set(chosen.lessons) - set(LESSONS):
        parser.error(f"no table for lesson {', '.join(sorted(unknown))}: choose {', '.join(LESSONS)}")
    settings = dataclasses.replace(load_settings(), profile="laptop", **PROFILES["laptop"])
    if settings.data == SAMPLE or settings.synthetic:
        sys.exit("These tables are about real images: let ISIC_DATA name a folder with some.")
    torch.set_num_threads(settings.threads)  # one, as in the lessons: no result depends on the number of cores
    for lesson in chosen.lessons or LESSONS:
        measure(lesson, settings, RESULTS / f"measured_{lesson}.csv", chosen.minutes)


if __name__ == "__main__":
    main()
