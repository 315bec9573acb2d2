"""What lesson 09 shows of real images: its decisions for one network, in results/measured_09.csv.

    ISIC_DATA=<folder> python benchmarks/measured_decisions.py

The network is that of the lesson (EfficientNet-Lite0, split grouped by lesion, seed 0); it is trained if ISIC_RUNS does
not have it yet. A row per quantity: its value, its 95 % interval over lesions (low, high) where it has one, and for a
gap between probability and frequency the floor that chance alone gives a calibrated network: its mean, and the value
below which 95 of 100 stay.
"""

import numpy as np
import pandas as pd
from side_by_side import RESULTS, processor

from isic_utils.archive import CODES, MALIGNANT
from isic_utils.datasets.images import ImageStore
from isic_utils.metrics import calibration, intervals
from isic_utils.settings import load_settings
from isic_utils.training import Run, fit, protocols
from isic_utils.training.runs import write_csv

ALPHA = 0.1  # of the prediction sets


def main() -> None:
    settings = load_settings()
    table, store = protocols.load_data("standard", settings)
    config, table, split = protocols.arrange("standard", "efficientnet_lite0", table, settings, group_by="lesion")
    run = fit(config, store, table, split)
    write_csv(RESULTS / "measured_09.csv", measure(run, table, store))


def measure(run: Run, table: pd.DataFrame, store: ImageStore) -> pd.DataFrame:
    """The rows of the table."""
    lesion_of, malignant = table.set_index("image")["lesion_id"], np.isin(CODES, MALIGNANT)
    sets = {}
    for name in ("validation", "test"):
        predictions = run.predictions(name)
        p, true = predictions[CODES].to_numpy(), pd.Index(CODES).get_indexer(predictions["label"])
        lesions = predictions["image"].map(lesion_of).fillna(predictions["image"]).to_numpy()
        sets[name] = p / p.sum(axis=1, keepdims=True), true, lesions
    (validated, true_validated, lesions_validated), (raw, true, lesions) = sets.values()
    low, high = calibration.temperature_interval(validated, true_validated, lesions_validated)
    best = calibration.fit_temperature(validated, true_validated)
    used = 1.0 if low <= 1 <= high else best
    rows = {"temperature": (best, low, high), "temperature used": (used,)}
    p = calibration.apply_temperature(raw, used)
    rows |= {name: (gap(p, true), np.nan, np.nan, *floor(p, lesions, gap)) for name, gap in gaps(malignant).items()}

    validated = calibration.apply_temperature(validated, used)
    score, positive = p[:, malignant].sum(axis=1), malignant[true]
    chosen = calibration.threshold_for(0.95, validated[:, malignant].sum(axis=1), malignant[true_validated])
    rows["threshold"] = (chosen,)
    for name, threshold in {"at 50 %": 0.5, "at the threshold": chosen}.items():
        rows[f"sensitivity {name}"] = over_lesions(score >= threshold, positive, lesions)
        rows[f"false-positive rate {name}"] = over_lesions(score >= threshold, ~positive, lesions)
    missed, confident = positive & (score < chosen), p.max(axis=1) >= np.median(p.max(axis=1))
    rows |= {"malignant images": (positive.sum(),), "missed": (missed.sum(),)}
    rows["missed, in the more confident half"] = ((missed & confident).sum(),)

    some, tested = one_per_lesion(lesions_validated), one_per_lesion(lesions)
    limit = calibration.conformal_threshold(validated[some], true_validated[some], ALPHA)
    covered = p[tested, true[tested]] >= limit
    rows["size of the sets"] = ((p[tested] >= limit).sum(axis=1).mean(),)
    of_class = {code: covered[true[tested] == place] for place, code in enumerate(CODES)}
    for name, of in ({"all": covered} | of_class).items():
        if len(of):
            rows[f"coverage, {name}"] = (of.mean(), *intervals.wilson_interval(of.sum(), len(of)))
    columns = ["value", "low", "high", "floor", "floor_95"]
    found = {name: dict(zip(columns, values, strict=False)) for name, values in rows.items()}
    found = pd.DataFrame.from_dict(found, orient="index", columns=columns)
    found = found.astype(float).round(4).rename_axis("quantity").reset_index()
    all_lesions = table["lesion_id"].fillna(table["image"]).nunique()
    return found.assign(data=store.data_name, images=len(table), lesions=all_lesions, test_images=len(raw),
                        test_lesions=len(set(lesions)), side=store.size[0], processor=processor())  # fmt: skip


def gaps(malignant: np.ndarray) -> dict:
    """The gap of the confidence (ECE) and that of the malignant sum, as functions of probabilities and true classes."""

    def of_sum(p: np.ndarray, true: np.ndarray) -> float:
        return calibration.mean_gap(calibration.reliability_of(p[:, malignant].sum(axis=1), malignant[true]))

    return {"ECE": calibration.expected_calibration_error, "gap of the malignant sum": of_sum}


def floor(p: np.ndarray, lesions: np.ndarray, gap, draws: int = 200) -> tuple[float, float]:
    """The mean and the 95th percentile of a gap if the true classes were drawn from p, one for all images of a
    lesion."""
    number, names = pd.factorize(lesions)
    chances = np.random.default_rng(0).random((draws, len(names), 1))
    values = [gap(p, (p.cumsum(axis=1) > chance[number]).argmax(axis=1)) for chance in chances]
    return float(np.mean(values)), float(np.quantile(values, 0.95))


def over_lesions(event: np.ndarray, rows: np.ndarray, lesions: np.ndarray) -> tuple[float, float, float]:
    """How often an event happens among some images, and its interval."""
    draws = intervals.bootstrap(np.ones(rows.sum()), event[rows].astype(float), lesions[rows])["accuracy"]
    return event[rows].mean(), *intervals.percentile_interval(draws)


def one_per_lesion(lesions: np.ndarray) -> np.ndarray:
    """The position of one image of each lesion, chosen at random."""
    order = np.random.default_rng(0).permutation(len(lesions))
    return np.sort(order[np.unique(lesions[order], return_index=True)[1]])


if __name__ == "__main__":
    main()
