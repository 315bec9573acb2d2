"""How hard is the synthetic archive? Measured with the course's own code, over several seeds.

    python benchmarks/sample_calibration.py            # five seeds, about 20 minutes on two cores
    python benchmarks/sample_calibration.py 1 --overlap 0.8

For each seed, an archive is drawn into a temporary folder, and three models are evaluated on its test set (standard
split, grouped by image and by lesion): the majority-class baseline (always NV), a logistic regression on the mean
colour of each image, and the residual net as lesson 04 trains it on a laptop. The table goes into data/README.md.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from isic_course import synthetic
from isic_utils.datasets import ImageStore, read_isic2019, splits
from isic_utils.metrics import bma
from isic_utils.settings import PROFILES, Settings
from isic_utils.training import TrainConfig, fit

TARGETS = {  # measure: the least and the most that the mean over the seeds should be
    "NV accuracy": (0.48, 0.52),
    "NV BMA": (0.125, 0.125),
    "colour BMA": (0.0, 0.35),
    "residual accuracy": (0.65, 0.80),
    "residual BMA": (0.40, 0.65),
    "BMA by image - by lesion": (0.0, 1.0),
    "accuracy by image - by lesion": (0.0, 1.0),
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
    result = {}
    for group_by in ("image", "lesion"):
        split = splits.standard(table, group_by, seed)
        test = split == "test"
        if group_by == "image":
            result["NV accuracy"] = accuracy_score(labels[test], nevus[test])
            result["NV BMA"] = bma(labels[test], nevus[test])
            result["colour BMA"] = colour_bma(store, table, labels, split)
        config = TrainConfig.from_settings(settings, "residual", group_by=group_by, seed=seed)
        scores = fit(config, store, table, split, settings.runs, progress=False).scores().loc["bma"]
        ending = "" if group_by == "image" else " by lesion"
        result[f"residual accuracy{ending}"] = scores["accuracy"]
        result[f"residual BMA{ending}"] = scores["BMA"]
    for measure_name in ("accuracy", "BMA"):
        difference = result[f"residual {measure_name}"] - result[f"residual {measure_name} by lesion"]
        result[f"{measure_name} by image - by lesion"] = difference
    return result


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
