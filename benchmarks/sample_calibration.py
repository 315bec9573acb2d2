"""How hard is the synthetic archive? Measured with the course's own code, over several seeds.

    python benchmarks/sample_calibration.py            # five seeds, about 10 minutes on two cores
    python benchmarks/sample_calibration.py 1 --overlap 0.8

For each seed, an archive is drawn into a temporary folder, and three models are evaluated on its test set (standard
split, grouped by image and by lesion): the majority-class baseline (always NV), a logistic regression on the mean
colour of each image, and the residual net as lesson 04 trains it on a laptop. Then what later lessons show: the recall
of the four smallest classes against that of NV (lesson 04), the effect of imbalance (the dial of lesson 05), the gain
of a nearest neighbour from known lesions (lesson 06), and what a painted ruler, or as much of the same ink that is no
ruler, does to the odds of SCC for a linear probe (lesson 10). The tables go into data/README.md, the ruler's effect
into docs/teaching.md.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from isic_course import clinics, dial, features, shortcut, synthetic
from isic_utils import plots
from isic_utils.datasets import ImageStore, read_isic2019, splits, tables
from isic_utils.metrics import bma, intervals, recall_per_class
from isic_utils.settings import PROFILES, Settings
from isic_utils.training import TrainConfig, fit_all

TARGETS = {  # measure: the least and the most that the mean over the seeds should be
    "NV accuracy": (0.48, 0.52),
    "NV BMA": (0.125, 0.125),
    "colour BMA": (0.0, 0.35),
    "residual accuracy": (0.65, 0.80),
    "residual BMA": (0.40, 0.65),
    "neighbour BMA by image - by lesion": (0.03, 1.0),
    "recall of NV - of the four smallest": (0.2, 1.0),
    "dial, accuracy at 54:1 - at 1:1": (0.0, 1.0),
    "dial, BMA at 54:1 - at 1:1": (-1.0, 0.0),
    "ruler, log-odds of SCC": (0.3, 9.0),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("seeds", type=int, nargs="?", default=5, help="number of seeds (default: 5)")
    parser.add_argument("--overlap", type=float, default=synthetic.DEFAULT.overlap, help="of the classes, 0 to 1")
    arguments = parser.parse_args()
    rows = []
    for seed in range(arguments.seeds):
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measure(Path(folder), seed, arguments.overlap))
        values = ", ".join(f"{name} {value:.3f}" for name, value in rows[-1].items())
        print(f"seed {seed}: {values}", flush=True)
    table = pd.DataFrame(rows)
    summary = pd.DataFrame({"mean": table.mean(), "least": table.min(), "most": table.max()})
    bounds = pd.DataFrame(TARGETS, index=["from", "to"]).T
    summary = summary.join(bounds)
    within = summary["mean"].between(summary["from"] - 1e-9, summary["to"] + 1e-9)
    summary["in range"] = np.where(summary["from"].isna(), "", np.where(within, "yes", "NO"))
    print(f"\n{arguments.seeds} seeds, overlap {arguments.overlap}, test set, checkpoint with the best validation BMA")
    print(summary.round(3).to_string(na_rep=""))


def measure(folder: Path, seed: int, overlap: float) -> dict[str, float]:
    """Draw the archive of one seed and return each measure's name and value."""
    data = synthetic.draw(folder / "sample", seed=seed, overlap=overlap, pairs=0, progress=False)
    settings = Settings("laptop", **PROFILES["laptop"], data=data, cache=folder / "cache", runs=folder / "runs")
    table = read_isic2019(data)
    store = ImageStore(table, settings.image_size, settings.cache, progress=False)
    labels, nevus = table["label"].astype(str), pd.Series("NV", table.index)
    torch.set_num_threads(settings.threads)
    result, jobs, found = {}, [], {}
    for group_by in ("image", "lesion"):
        split = splits.standard(table, group_by, seed)
        test = split == "test"
        if group_by == "image":
            result["NV accuracy"] = accuracy_score(labels[test], nevus[test])
            result["NV BMA"] = bma(labels[test], nevus[test])
            result["colour BMA"] = colour_bma(store, table, labels, split)
        jobs.append((TrainConfig.from_settings(settings, "residual", group_by=group_by, seed=seed), table, split))
        found[group_by] = {"neighbour BMA": neighbour_bma(store, table, labels, split)}
    for group_by, run in zip(found, fit_all(jobs, store, settings.runs, progress=False), strict=True):
        found[group_by] |= run.scores().loc["bma"][["accuracy", "BMA"]].add_prefix("residual ")
    result |= found["image"] | {f"{name} by lesion": value for name, value in found["lesion"].items()}
    for name in found["image"]:
        measure_name = name.removeprefix("residual ")
        result[f"{measure_name} by image - by lesion"] = found["image"][name] - found["lesion"][name]
    predictions = run.predictions()
    recall = recall_per_class(predictions["label"], predictions["predicted"], tables.CODES)
    smallest = table["label"].value_counts().index[-4:]
    result["recall of NV - of the four smallest"] = recall["NV"] - recall[smallest].mean()
    at = dial.try_ratios((1, 54), seeds=(seed,)).groupby(level=0).mean()
    for name in ("accuracy", "BMA"):
        result[f"dial, {name} at 54:1 - at 1:1"] = at.loc[54, name] - at.loc[1, name]
    return result | {f"{name}, log-odds of SCC": change for name, change in ruler_effect(data, seed)["change"].items()}


def neighbour_bma(store: ImageStore, table: pd.DataFrame, labels: pd.Series, split: pd.Series) -> float:
    """BMA on the test set of the nearest neighbour among images of 8×8 pixels: a memory."""
    pixels = store.take(store.rows(table["image"]))
    tiny = pixels.reshape(len(pixels), 8, store.size[0] // 8, 8, store.size[1] // 8, 3).mean(axis=(2, 4))
    tiny, train, test = tiny.reshape(len(tiny), -1), (split == "train").to_numpy(), (split == "test").to_numpy()
    model = KNeighborsClassifier(n_neighbors=1).fit(tiny[train], labels[train])
    return bma(labels[test], model.predict(tiny[test]))


def ruler_effect(data: Path, seed: int = 0) -> pd.DataFrame:
    """By how much each shape of lesson 10 moves the log-odds of SCC for its linear probe of four classes, in images of
    lesions that the probe has not seen: a row per shape, with the columns change, low and high (a 95 % interval)."""
    table = read_isic2019(data)
    few = table[table["label"].isin(shortcut.ALIKE) & table["lesion_id"].notna()].astype({"label": str})
    train = (splits.standard(few, seed=seed) != "test").to_numpy()
    images, found = [plots.thumbnail(path) for path in few["path"]], {}
    as_it_is = features.of_pixels(shortcut.shrunk(images, shortcut.IMAGE_SIZE))
    probe = clinics.make_probe().fit(as_it_is[train], few["label"][train])
    test, scc = np.flatnonzero(~train), list(probe.classes_).index("SCC")
    before = shortcut.log_odds(probe.decision_function(as_it_is[test]))[:, scc]
    for name, shape in shortcut.SHAPES.items():
        painted = [shortcut.painted(images[row], shape) for row in test]
        x = features.of_pixels(shortcut.shrunk(painted, shortcut.IMAGE_SIZE))
        more = shortcut.log_odds(probe.decision_function(x))[:, scc] - before
        limits = intervals.percentile_interval(intervals.bootstrap_mean(more, few["lesion_id"][~train]))
        found[name] = more.mean(), *limits
    return pd.DataFrame(found, index=["change", "low", "high"]).T


def colour_bma(store: ImageStore, table: pd.DataFrame, labels: pd.Series, split: pd.Series) -> float:
    """BMA on the test set of a logistic regression on three numbers: the mean red, green and blue.

    The better of two regressions, with and without balanced class weights.
    """
    colours = store.take(store.rows(table["image"])).mean(axis=(1, 2))
    train, test = (split == "train").to_numpy(), (split == "test").to_numpy()
    results = []
    for weights in (None, "balanced"):
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, class_weight=weights))
        predicted = model.fit(colours[train], labels[train]).predict(colours[test])
        results.append(bma(labels[test], predicted))
    return max(results)


if __name__ == "__main__":
    main()
