"""What the page docs/threshold.html shows: every threshold of lesson 09's alarm, in results/threshold.csv.

    python benchmarks/threshold.py          then tools/dial_page.py writes the page

The network is that of the lesson on the sample (EfficientNet-Lite0, split grouped by lesion, seed 0), with its
probabilities as trained; it is trained if ISIC_RUNS does not have it yet. A row for each threshold, in hundredths, and
for the one that the lesson chooses on the validation set: sensitivity and false-positive rate on the test set, with
95 % intervals over lesions.
"""

import numpy as np
import pandas as pd
import torch
from side_by_side import RESULTS, processor

from isic_course import synthetic
from isic_utils.archive import CODES, MALIGNANT
from isic_utils.metrics import calibration, intervals
from isic_utils.settings import SAMPLE, load_settings
from isic_utils.training import Run, fit, protocols
from isic_utils.training.runs import write_csv

FILE = RESULTS / "threshold.csv"


def main() -> None:
    settings = load_settings()
    torch.set_num_threads(settings.threads)
    if settings.data == SAMPLE:
        synthetic.ensure()
    table, store = protocols.load_data("standard", settings)
    config, table, split = protocols.arrange("standard", "efficientnet_lite0", table, settings, group_by="lesion")
    run = fit(config, store, table, split)
    lesion_of = table.set_index("image")["lesion_id"]
    found = points(scores(run, "validation", lesion_of), scores(run, "test", lesion_of))
    write_csv(FILE, found.assign(data=store.data_name, processor=processor()))


def scores(run: Run, name: str, lesion_of: pd.Series) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the validation or test set: the malignant sum [n], whether the image is malignant [n], and its lesion [n]."""
    predictions = run.predictions(name)
    p = predictions[CODES].to_numpy()
    p = p / p.sum(axis=1, keepdims=True)
    score = p[:, np.isin(CODES, MALIGNANT)].sum(axis=1).clip(max=1)
    lesions = predictions["image"].map(lesion_of).fillna(predictions["image"]).to_numpy()
    return score, predictions["label"].isin(MALIGNANT).to_numpy(), lesions


def points(validated: tuple, tested: tuple) -> pd.DataFrame:
    """The table, from what `scores` returns for the validation and for the test set."""
    score, malignant, lesions = tested
    chosen = calibration.threshold_for(0.95, *validated[:2])
    rows = []
    for threshold in sorted([*np.arange(1, 100) / 100, chosen]):
        row = {"threshold": threshold, "chosen": threshold == chosen}
        for name, group in {"sensitivity": malignant, "false_positive_rate": ~malignant}.items():
            draws = intervals.bootstrap_mean((score >= threshold)[group], lesions[group])
            low, high = intervals.percentile_interval(draws)
            row |= {name: (score >= threshold)[group].mean(), f"{name}_low": low, f"{name}_high": high}
        rows.append(row)
    found = pd.DataFrame(rows).round(4)
    return found.assign(malignant_images=malignant.sum(), benign_images=(~malignant).sum(), lesions=len(set(lesions)))


if __name__ == "__main__":
    main()
