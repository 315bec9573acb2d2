"""How hard is the synthetic archive? Measured with the course's own code, over several seeds.

    python benchmarks/sample_calibration.py            # five seeds, about 20 minutes on two cores
    python benchmarks/sample_calibration.py 1 --overlap 0.8

Each seed draws an archive into a temporary folder and judges on its test part (standard split, by picture and by
lesion): always answering NV, a logistic regression on each picture's mean colour, and the residual net as lesson 04
trains it on a laptop. The table goes into data/README.md.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from isic_course import synthetic as sample
from isic_utils import settings as profile
from isic_utils.datasets import images as pictures, splits, tables
from isic_utils.metrics import classification as metrics
from isic_utils.training import fit as training

TARGETS = {  # measure: the least and the most that the mean over the seeds should be
    "NV accuracy": (0.48, 0.52),
    "NV BMA": (0.125, 0.125),
    "colour BMA": (0.0, 0.35),
    "residual accuracy": (0.65, 0.80),
    "residual BMA": (0.40, 0.65),
    "BMA by picture - by lesion": (0.0, 1.0),
    "accuracy by picture - by lesion": (0.0, 1.0),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("seeds", type=int, nargs="?", default=5, help="number of seeds (default: 5)")
    parser.add_argument("--overlap", type=float, default=sample.DEFAULT.overlap, help="of the classes, 0 to 1")
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
    print(f"\n{arguments.seeds} seeds, overlap {arguments.overlap}, test part, checkpoint with the best validation BMA")
    print(summary.round(3).to_string(na_rep=""))


def measure(folder: Path, seed: int, overlap: float) -> dict[str, float]:
    """Draw the archive of one seed and return each measure's name and value."""
    data = sample.draw(folder / "sample", seed=seed, overlap=overlap, pairs=0, progress=False)
    settings = profile.Profile(
        name="laptop", data=data, cache=folder / "cache", runs=folder / "runs", **profile.SIZES["laptop"]
    )
    table = tables.isic2019(data)
    decoded = pictures.load(table, settings.picture_size, settings.cache, progress=False)
    labels = table["label"].cat.codes.to_numpy()
    classes = len(table["label"].cat.categories)
    nevus = np.full(len(table), list(table["label"].cat.categories).index("NV"))
    result = {}
    for by in ("picture", "lesion"):
        parts = splits.standard(table, by=by, seed=seed)
        test = (parts == "test").to_numpy()
        if by == "picture":
            result["NV accuracy"] = metrics.accuracy(labels[test], nevus[test])
            result["NV BMA"] = metrics.balanced_accuracy(labels[test], nevus[test], classes)
            result["colour BMA"] = colour_bma(decoded, table, labels, parts)
        run = training.fit("residual", table, parts, decoded, settings, by=by, seed=seed, progress=False)
        true, predicted = run.true_and_predicted("test")
        ending = "" if by == "picture" else " by lesion"
        result[f"residual accuracy{ending}"] = metrics.accuracy(true, predicted)
        result[f"residual BMA{ending}"] = metrics.balanced_accuracy(true, predicted, classes)
    for measure_name in ("accuracy", "BMA"):
        difference = result[f"residual {measure_name}"] - result[f"residual {measure_name} by lesion"]
        result[f"{measure_name} by picture - by lesion"] = difference
    return result


def colour_bma(decoded, table: pd.DataFrame, labels: np.ndarray, parts: pd.Series) -> float:
    """BMA on the test part of a logistic regression that sees three numbers: the mean red, green and blue.

    The better of two, with and without weights that make all classes count the same.
    """
    colours = decoded.pixels[decoded.rows(table["image"])].mean(axis=(1, 2))
    train, test = (parts == "train").to_numpy(), (parts == "test").to_numpy()
    results = []
    for weights in (None, "balanced"):
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, class_weight=weights))
        answers = model.fit(colours[train], labels[train]).predict(colours[test])
        results.append(metrics.balanced_accuracy(labels[test], answers, len(table["label"].cat.categories)))
    return max(results)


if __name__ == "__main__":
    main()
