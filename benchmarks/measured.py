"""What the lessons show of real images: a table of results for each lesson, measured on the data that ISIC_DATA names.

    ISIC_DATA=<folder> make measured                          all lessons
    ISIC_DATA=<folder> python benchmarks/measured.py 04       one lesson
    … --minutes 20                                            less time for each lesson than the usual hour
    python benchmarks/measured.py --write                     puts the tables into benchmarks/README.md

A row is a training with the sizes of the profile laptop (in lesson 02 those of the lesson), or linear probes of frozen
features as in lessons 06 and 08, and its scores on the test set; it is written to `results/measured_<lesson>.csv` when
it is done. Rows that are there are kept, and an interrupted training (in ISIC_RUNS) goes on, so the same command
continues after an interruption. Rows of other data or other trainings are dropped. What could not be measured is
missing from the table, and the script says why. To measure everything anew, delete the table and let ISIC_RUNS name an
empty folder.

Splits are grouped by lesion, with seed 0, where a row does not say otherwise; the seed of a row determines the first
weights and the order of the images. The checkpoint is the one with the best validation BMA, unless the row names
another; the intervals are 95 % intervals of a cluster bootstrap over lesions. As many rows are measured side by side
as there are cores, each with one thread; `seconds` is the time that a row took. Nothing else should be running.
"""

import argparse
import contextlib
import dataclasses
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import dense
import joblib
import marks
import numpy as np
import pandas as pd
import torch
from cost import markdown
from side_by_side import RESULTS, processor, require_real_images
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from isic_course import features, linear_probe
from isic_utils import models
from isic_utils.archive import CODES
from isic_utils.datasets import ImageStore, read_isic2019, splits
from isic_utils.errors import IsicError
from isic_utils.metrics import intervals, scores
from isic_utils.settings import PROFILES, Settings, load_settings
from isic_utils.training import TrainConfig, fit, run_of
from isic_utils.training.config import LEARNING_RATE_PRETRAINED
from isic_utils.training.imbalance import METHODS, adjust_logits_post_hoc
from isic_utils.training.runs import write_csv

MINUTES = 60  # for a lesson
START, END = "<!-- measured: written by benchmarks/measured.py -->", "<!-- end of measured -->"
CHEAP_FIRST = ["alexnet", "residual", "vgg16", "wide_resnet", "resnet101", "efficientnet_lite0"]
CHOSEN = "post-hoc logit adjustment"  # the method with the best validation BMA in the race of lesson 08
SEEDS = range(3)
# what a row is found by; the scores follow
KEY = ["data", "images", "lesions", "pixels", "network", "training", "width", "pretrained", "epochs", "seed"]


@dataclasses.dataclass(frozen=True)
class Row:
    """A row to be measured.

    work: makes its predictions of the test set (columns image, label, predicted) and says in how many seconds; it is
    given the moment at which the time is over, and may raise NotMeasured. training: what else tells it from others.
    """

    work: Callable[[float], tuple[pd.DataFrame, float]]
    network: str
    training: str
    width: float
    pretrained: bool
    epochs: int
    seed: int
    pixels: int

    @property
    def name(self) -> str:
        """The row in words, e.g. AlexNet, width 0.125, random weights, 5 epochs, seed 0."""
        start = "ImageNet weights" if self.pretrained else "random weights"
        trained = f"{self.network}, width {self.width:g}, {start}, {self.epochs} epochs, seed {self.seed}"
        return f"{trained}, {self.training}" if self.training else trained


class NotMeasured(Exception):
    """Why a row is missing."""


def training_row(
    config: TrainConfig,
    settings: Settings,
    store: ImageStore,
    table: pd.DataFrame,
    split: pd.Series,
    training: str = "",
) -> Row:
    """The row of a training."""
    work = partial(train, config, store, table, split, settings.runs)
    title, pixels = models.TITLES[config.model], settings.image_size
    return Row(work, title, training, config.width, config.pretrained, config.epochs, config.seed, pixels)


def probe_row(
    work: Callable[[float], tuple[pd.DataFrame, float]], training: str, epochs: int = 0, seed: int = 0
) -> Row:
    """The row of linear probes of frozen features."""
    network = f"{models.TITLES['efficientnet_lite0']}, frozen"
    return Row(work, network, training, 1, True, epochs, seed, linear_probe.IMAGE_SIZE)


def lesson_02(settings: Settings, table: pd.DataFrame, store: ImageStore) -> list[Row]:
    """The lesson's dense network, three seeds, as early stopping and as the last epoch leave it; and its baseline."""
    split = splits.standard(table, group_by="lesion", seed=0)
    usual = dict(width=1, pretrained=False, pixels=dense.PIXELS)
    baseline = partial(dense.majority_class, table, split)
    found = [Row(baseline, "majority-class baseline", training="none", epochs=0, seed=0, **usual)]
    for seed in SEEDS:
        for stop_early, named in ((True, "lowest validation loss"), (False, "last epoch")):
            work = partial(dense.predictions, table, split, settings, stop_early, seed)
            found.append(Row(work, "dense network", named, epochs=dense.EPOCHS, seed=seed, **usual))
    return found


def lesson_03(settings: Settings, table: pd.DataFrame, store: ImageStore) -> list[Row]:
    """EfficientNet-Lite0 from ImageNet weights and from random ones, all else equal, two seeds of each."""
    split = splits.standard(table, group_by="lesion", seed=0)
    usual = dict(epochs=settings.fine_tuning_epochs, learning_rate=LEARNING_RATE_PRETRAINED)
    configs = [
        TrainConfig.from_settings(settings, "efficientnet_lite0", pretrained=start, seed=seed, **usual)
        for start in (True, False)
        for seed in (0, 1)
    ]
    return [training_row(config, settings, store, table, split) for config in configs]


def lesson_04(settings: Settings, table: pd.DataFrame, store: ImageStore) -> list[Row]:
    """The lesson's six networks; and at full width, from ImageNet weights, those that the thesis trained like that."""
    split = splits.standard(table, group_by="lesion", seed=0)
    six = [TrainConfig.from_settings(settings, name) for name in CHEAP_FIRST]
    whole = [TrainConfig.from_settings(settings, name, width=1.0) for name in ("resnet101", "wide_resnet")]
    return [training_row(config, settings, store, table, split) for config in six + whole]


def lesson_05(settings: Settings, table: pd.DataFrame, store: ImageStore) -> list[Row]:
    """The lesson's comparison on one test set: all images, with eight labels, five, and oversampled; and fewer, as many
    of each of five classes, each set repeated until it is as large as all. All are scored in five classes."""
    split = splits.standard(table, group_by="lesion", seed=0)
    five = table.assign(label=splits.merge_rarest(table["label"]))
    draw = splits.balanced(table, group_by="lesion", seed=0, within=table.index[split == "train"])
    most = int(draw["label"].value_counts().min())

    def row(training: str, rows: pd.DataFrame, of_rows: pd.Series, **options) -> Row:
        config = TrainConfig.from_settings(settings, "residual", protocol="held-out", **options)
        made = training_row(config, settings, store, rows, of_rows, training)
        return dataclasses.replace(made, work=partial(in_five_classes, made.work))

    found = [
        row("all images, eight classes", table, split),
        row("all images, five classes", five, split),
        row("all images, five classes, oversampled", five, split, method="weighted sampler"),
    ]
    for share, named in ((4, "a quarter of that"), (2, "half of that"), (1, "as many of each class as there can be")):
        few = draw.groupby("label", observed=True).sample(most // share, random_state=0)
        few = few.iloc[np.arange((split == "train").sum()) % len(few)].assign(split="train")
        chosen = pd.concat([few, five.assign(split=split)[split != "train"]], ignore_index=True)
        found.append(row(f"balanced, five classes: {named}", chosen, chosen["split"]))
    return found


def in_five_classes(work: Callable[[float], tuple[pd.DataFrame, float]], end: float) -> tuple[pd.DataFrame, float]:
    """The predictions with the four rarest classes merged."""
    predictions, seconds = work(end)
    merged = {name: splits.merge_rarest(predictions[name].astype(str)) for name in ("label", "predicted")}
    return predictions[["image"]].assign(**merged), seconds


def lesson_06(settings: Settings, table: pd.DataFrame, store: ImageStore) -> list[Row]:
    """What known lesions are worth: linear probes through five folds grouped by image and by lesion, three seeds of the
    folds; the residual net likewise in fold 0, three seeds of the weights; and its other folds grouped by lesion."""
    found = [
        probe_row(partial(probe_folds, table, settings, by, seed), f"five folds grouped by {by}", seed=seed)
        for by in ("image", "lesion")
        for seed in SEEDS
    ]
    folds = {by: splits.cross_validation(table, group_by=by, seed=0) for by in ("image", "lesion")}
    plan = [(by, 0, seed) for seed in SEEDS for by in ("image", "lesion")]
    plan += [("lesion", fold, 0) for fold in range(1, 5)]
    for by, fold, seed in plan:
        options = dict(protocol="cross-validation", group_by=by, fold=fold, seed=seed)
        config = TrainConfig.from_settings(settings, "residual", **options)
        found.append(training_row(config, settings, store, table, folds[by][fold], f"fold {fold} grouped by {by}"))
    return found


def probe_folds(table: pd.DataFrame, settings: Settings, by: str, seed: int, end: float) -> tuple[pd.DataFrame, float]:
    """Out-of-fold predictions of lesson 06's linear probe."""
    start, extracted = time.monotonic(), extract(table, settings)
    predicted = np.empty(len(table), dtype=object)
    for split in splits.cross_validation(table, group_by=by, seed=seed).to_numpy().T:
        known, test = split != "test", split == "test"
        probe = make_pipeline(StandardScaler(), RidgeClassifier(alpha=1000, class_weight="balanced"))
        predicted[test] = probe.fit(extracted[known], table["label"][known].astype(str)).predict(extracted[test])
    return table[["image", "label"]].assign(predicted=predicted), time.monotonic() - start


def lesson_08(settings: Settings, table: pd.DataFrame, store: ImageStore) -> list[Row]:
    """The race of all methods with frozen features, five seeds together on one test set; and cross-entropy against the
    chosen method, fine-tuned, three seeds."""
    drawn = linear_probe.splits_of_seeds(table, range(5))
    found = [
        probe_row(partial(probes, table, drawn, settings, name), f"{name}, seeds 0 to 4", linear_probe.EPOCHS)
        for name in METHODS
    ]
    counts = table["label"][drawn[0] == "train"].value_counts(sort=False)
    for seed in SEEDS:
        options = dict(protocol="imbalance", pretrained=True, seed=seed)
        plain = TrainConfig.from_settings(settings, "efficientnet_lite0", **options)
        row = training_row(plain, settings, store, table, drawn[0], "cross-entropy")
        work = partial(adjusted, row.work, counts.to_numpy())
        found += [row, dataclasses.replace(row, work=work, training=f"cross-entropy, then {CHOSEN}")]
    return found


def adjusted(
    work: Callable[[float], tuple[pd.DataFrame, float]], counts: np.ndarray, end: float
) -> tuple[pd.DataFrame, float]:
    """The predictions after `CHOSEN`, which needs no training of its own, and in `compared_with` those before.
    counts: training images of each class."""
    predictions, seconds = work(end)
    probabilities = adjust_logits_post_hoc(predictions[CODES].to_numpy(), counts, METHODS[CHOSEN].post_hoc)
    predicted = np.array(CODES)[probabilities.argmax(axis=1)]
    return predictions.assign(predicted=predicted, compared_with=predictions["predicted"]), seconds


def probes(
    table: pd.DataFrame, drawn: pd.DataFrame, settings: Settings, method: str, end: float
) -> tuple[pd.DataFrame, float]:
    """Lesson 08's linear probes by one method: predictions for validation and test set. drawn: the seeds' splits."""
    start, extracted = time.monotonic(), extract(table, settings)
    predictions = linear_probe.compare(table, extracted, drawn, {method: METHODS[method]})
    return predictions[predictions["split"] != "train"], time.monotonic() - start


def extract(table: pd.DataFrame, settings: Settings) -> np.ndarray:
    """The frozen features of each row of a table."""
    store = ImageStore(table, linear_probe.IMAGE_SIZE, settings.cache, progress=False)
    return features.extract(store, settings.cache)[store.rows(table["image"])]


LESSONS = {"02": lesson_02, "03": lesson_03, "04": lesson_04, "05": lesson_05, "06": lesson_06, "08": lesson_08}


def measure(
    lesson: str, settings: Settings, file: Path, minutes: float = MINUTES, at_a_time: int = 1
) -> dict[str, str]:
    """Measure the rows of a lesson that its table does not have yet. Returns those that are missing: row -> reason."""
    end = time.monotonic() + 60 * minutes
    table = read_isic2019(settings.data)
    store = ImageStore(table, settings.image_size, settings.cache)
    table = table[table["image"].isin(store.images)].reset_index(drop=True)  # images that can be read
    lesions = table["lesion_id"].fillna(table["image"]).set_axis(table["image"])
    of_data = (settings.data_name, len(table), lesions.nunique())
    rows = LESSONS[lesson](settings, table, store)
    plan = {(*of_data, *(getattr(row, name) for name in KEY[3:])): row for row in rows}
    done = {key: row for key, row in rows_of(file).items() if key in plan}
    waiting, missing = {key: row for key, row in plan.items() if key not in done}, {}
    side_by_side = joblib.Parallel(n_jobs=at_a_time, return_as="generator_unordered", batch_size=1)
    work = (joblib.delayed(measure_row)(key, row, lesions, end) for key, row in waiting.items())
    for key, result in side_by_side(work):
        if isinstance(result, str):
            missing[plan[key].name] = result
            continue
        done[key] = {"lesson": lesson} | dict(zip(KEY, key, strict=True)) | result
        write_csv(file, pd.DataFrame([done[key] for key in plan if key in done]))
        found = f"accuracy {result['accuracy']:.3f}, BMA {result['BMA']:.3f}, {result['seconds']:.0f} s"
        print(f"{plan[key].name}: {found}", flush=True)
    print(f"Lesson {lesson}: {len(done)} of {len(plan)} rows are in {file.name}.", flush=True)
    for name, reason in missing.items():
        print(f"  Missing: {name}: {reason}", flush=True)
    return missing


def measure_row(key: tuple, row: Row, lesions: pd.Series, end: float) -> tuple[tuple, dict | str]:
    """A row's key, and its results or why there are none."""
    torch.set_num_threads(1)  # as in the lessons: no result depends on the number of cores
    try:
        if time.monotonic() >= end:
            raise NotMeasured("no time was left; the same command goes on.")
        predictions, seconds = row.work(end)
        return key, results_of(predictions, lesions) | {"seconds": round(seconds, 1), "processor": processor()}
    except (NotMeasured, IsicError) as reason:
        return key, str(reason)


def rows_of(file: Path) -> dict[tuple, dict]:
    """The rows that are in a table already, by their key."""
    if not file.exists():
        return {}
    rows = pd.read_csv(file, dtype={"lesson": str, "data": str}, keep_default_na=False).to_dict("records")
    return {tuple(row.get(column) for column in KEY): row for row in rows}


def train(
    config: TrainConfig, store: ImageStore, table: pd.DataFrame, split: pd.Series, runs: Path, end: float
) -> tuple[pd.DataFrame, float]:
    """A training's predictions and seconds. Raises NotMeasured if its weights cannot be had, or when no time is left
    for another epoch."""
    run = run_of(config, store, table, split, runs)

    def check_time() -> None:
        done = len(run.history) if (run.folder / "seconds.csv").exists() else 0
        next_epoch = run.seconds / done if done else 0
        if done < config.epochs and time.monotonic() + next_epoch >= end:
            raise NotMeasured(f"no time was left after {done} of {config.epochs} epochs; the same command goes on.")

    check_time()
    had_weights = run.finished and run.config["pretrained"] != models.NOT_DOWNLOADED
    if config.pretrained and not had_weights and not weights_are_there(config.model):
        raise NotMeasured("its ImageNet weights cannot be had here.")
    run = fit(config, store, table, split, runs, progress=False, after_epoch=check_time)
    return run.predictions("test"), run.seconds


def weights_are_there(model: str) -> bool:
    """Whether a model's ImageNet weights are on this machine now; where there is a connection, they are downloaded."""
    with contextlib.redirect_stdout(None):  # that it starts from random weights is true of a lesson, and not of this
        return models.create_model(model, pretrained=True).pretrained != models.NOT_DOWNLOADED


def results_of(tested: pd.DataFrame, lesion_of: pd.Series) -> dict:
    """The second part of a row: the scores on the test set, with their intervals, and what they were measured on.

    Predictions that tell their split bring the BMA on the validation set and the test set's NLL, too. Those with the
    column compared_with, another method's predictions for the same images, bring the gain and its paired interval.
    """
    more = {}
    if "split" in tested:
        more["validation BMA"] = round(scores(tested[tested["split"] == "validation"])["bma"], 4)
        tested = tested[tested["split"] == "test"]
        of_label = tested[CODES].to_numpy()[np.arange(len(tested)), pd.Index(CODES).get_indexer(tested["label"])]
        more["NLL"] = round(float(-np.log(of_label).mean()), 4)
    lesions = lesion_of[tested["image"]].to_numpy()
    found = scores(tested)
    draws = intervals.bootstrap(tested["label"], tested["predicted"], lesions)
    row = {"test_images": tested["image"].nunique(), "test_lesions": len(set(lesions))}
    for column, score in (("accuracy", "accuracy"), ("BMA", "bma")):
        low, high = intervals.percentile_interval(draws[score])
        row |= {column: round(found[score], 4), f"{column}_low": round(low, 4), f"{column}_high": round(high, 4)}
    if "compared_with" in tested:
        before = scores(tested.assign(predicted=tested["compared_with"]))
        draws = intervals.paired_bootstrap(tested["label"], tested["predicted"], tested["compared_with"], lesions)
        for column, score in (("accuracy gain", "accuracy"), ("BMA gain", "bma")):
            low, high = intervals.percentile_interval(draws[score])
            more |= {column: round(found[score] - before[score], 4)}
            more |= {f"{column}_low": round(low, 4), f"{column}_high": round(high, 4)}
    melanoma = (tested["label"] == "MEL").to_numpy()
    recall = (tested["predicted"] == "MEL").to_numpy()[melanoma].mean()
    return row | {"melanoma recall": round(float(recall), 4)} | more


def written(page: str) -> str:
    """The README with the tables that there are."""
    text = []
    for file in filter(Path.exists, (RESULTS / f"measured_{lesson}.csv" for lesson in LESSONS)):
        table = pd.read_csv(file, dtype={"lesson": str}, keep_default_na=False)
        row, shown = table.iloc[0], table[KEY[3:]].copy()
        shown = shown.loc[:, [name != "training" or shown[name].any() for name in shown]]
        for score in ("accuracy", "BMA"):
            columns = zip(table[score], table[f"{score}_low"], table[f"{score}_high"], strict=True)
            shown[score] = [f"{value:.3f} ({low:.3f} to {high:.3f})" for value, low, high in columns]
        of = f"{row['images']:,} images of {row['lesions']:,} lesions"
        tested = f"test set: {row['test_images']:,} images of {row['test_lesions']:,} lesions"
        on = " and ".join(table["processor"].unique())
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
    require_real_images(settings)
    for lesson in chosen.lessons or LESSONS:
        measure(lesson, settings, RESULTS / f"measured_{lesson}.csv", chosen.minutes, joblib.cpu_count())


if __name__ == "__main__":
    main()
