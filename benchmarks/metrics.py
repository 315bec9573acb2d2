"""The course's metrics against scikit-learn's and torchmetrics' on 25 331 predictions: the same values, and how fast.

    python benchmarks/metrics.py
    python benchmarks/metrics.py --quick           few predictions, nothing saved

BMA and the recall of each class on as many predictions as ISIC 2019 has images (accuracy is scikit-learn's own in the
course too); the Jaccard index of each pair of masks of 64×64 pixels, as many. Values must agree to 1e-9 (torchmetrics,
which counts in 32 bits, to 1e-6).
"""

import argparse

import numpy as np
import side_by_side
import torch
from sklearn.metrics import balanced_accuracy_score, jaccard_score, recall_score
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_recall
from torchmetrics.functional.segmentation import mean_iou

from isic_utils import metrics
from isic_utils.archive import COUNTS_2019

CLASSES = 8
MASK = 64
SCIKIT, TORCHMETRICS = "scikit-learn", "torchmetrics"
TOLERANCE = {SCIKIT: 1e-9, TORCHMETRICS: 1e-6}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, nargs="+", default=[1000, 5000, 25_331])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="few predictions, one round, nothing saved")
    arguments = parser.parse_args()
    counts, rounds = ([500], 1) if arguments.quick else (arguments.images, arguments.rounds)
    table = []
    for count in counts:
        for name, contenders in comparisons(count).items():
            check(name, contenders)
            seconds = side_by_side.measure(contenders, rounds)
            table += side_by_side.rows(f"metrics, {name}", count, seconds, dict.fromkeys(TOLERANCE, 1.0))
    packages = ["numpy", "scikit-learn", "torchmetrics", "torch"]
    side_by_side.report("metrics", table, packages, save=not arguments.quick)
    print("All values agree.")


def comparisons(count: int) -> dict[str, dict]:
    """For each metric, the three ways to compute it."""
    rng = np.random.default_rng(0)
    counts = np.array(list(COUNTS_2019.values()))
    true = rng.choice(CLASSES, count, p=counts / counts.sum())
    predicted = np.where(rng.random(count) < 0.7, true, rng.integers(0, CLASSES, count))
    true_t, predicted_t = torch.from_numpy(true), torch.from_numpy(predicted)
    masks = np.indices((MASK, MASK)).sum(axis=0)  # diagonal stripes of chance width
    true_masks = masks < rng.integers(20, 90, (count, 1, 1))
    drawn_masks = masks < rng.integers(20, 90, (count, 1, 1))
    true_masks_t, drawn_masks_t = (torch.from_numpy(values)[:, None].int() for values in (true_masks, drawn_masks))
    flat_true, flat_drawn = true_masks.reshape(count, -1), drawn_masks.reshape(count, -1)
    return {
        "BMA": {
            side_by_side.COURSE: lambda: np.array(metrics.bma(true, predicted)),
            SCIKIT: lambda: np.array(balanced_accuracy_score(true, predicted)),
            TORCHMETRICS: lambda: multiclass_accuracy(predicted_t, true_t, CLASSES, average="macro").numpy(),
        },
        "recall of each class": {
            side_by_side.COURSE: lambda: metrics.recall_per_class(true, predicted, range(CLASSES)).to_numpy(),
            SCIKIT: lambda: recall_score(true, predicted, average=None),
            TORCHMETRICS: lambda: multiclass_recall(predicted_t, true_t, CLASSES, average="none").numpy(),
        },
        "Jaccard index": {
            side_by_side.COURSE: lambda: metrics.jaccard(true_masks, drawn_masks),
            SCIKIT: lambda: np.array(jaccard_score(flat_true, flat_drawn, average="samples")),
            TORCHMETRICS: lambda: mean_iou(drawn_masks_t, true_masks_t, num_classes=1, per_class=True)[:, 0].numpy(),
        },
    }


def check(name: str, contenders: dict) -> None:
    """Raise AssertionError if the values are not the same. scikit-learn gives the mean of the Jaccard indices only."""
    own = contenders[side_by_side.COURSE]()
    for rival, tolerance in TOLERANCE.items():
        other = contenders[rival]()
        expected = own.mean() if other.shape == () else own
        np.testing.assert_allclose(other, expected, atol=tolerance, rtol=0, err_msg=f"{name}, {rival}")


if __name__ == "__main__":
    main()
