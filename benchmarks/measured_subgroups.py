"""What lesson 10 shows of real images: how the alarm of one probe does in each group of patients, against the rest.

    ISIC_DATA=<folder with several sources> python benchmarks/measured_subgroups.py

Writes results/measured_10.csv, a row per rate and group, each when it is done. The probe is that of
measured_clinics.py (EfficientNet-Lite0 at 96 pixels, frozen; its features are in ISIC_RUNS if that script has run),
trained on all three sources, in five folds grouped by lesion (seed 0). The alarm of a fold has the threshold that finds
95 % of the malignant images of the four other folds. Rates are those of the lesson, each lesion counting once:
sensitivity and false-positive rate of the alarm, and the recall of MEL.

Columns: `value` is the rate in the group, with its 95 % interval over lesions; `all` its difference from the rest over
all classes; `same classes` within classes, by the weights of Mantel and Haenszel, with its interval (low, high) and the
p-value of a permutation within classes, as it is and after Holm's correction for all rows of groups; `and clinic` is
the difference within each class of each source (clinic_low, clinic_high).
"""

import dataclasses

import numpy as np
import pandas as pd
import torch
from measured_clinics import AS_IT_IS, Data, features_of, load
from side_by_side import RESULTS, processor, require_real_images
from threadpoolctl import threadpool_limits

from isic_course import clinics
from isic_utils.archive import MALIGNANT
from isic_utils.datasets import splits
from isic_utils.metrics import calibration, intervals
from isic_utils.settings import PROFILES, load_settings
from isic_utils.training.runs import write_csv

DRAWS, FEWEST = 2000, 10  # lesions with a rate, in a group and in its rest
SPANS = ["0–29", "30–44", "45–59", "60–74", "75 and over"]
ATTRIBUTES = {"age": "age", "sex": "sex", "anatom_site_general": "site", "source": "source"}


def main() -> None:
    settings = dataclasses.replace(load_settings(), profile="laptop", **PROFILES["laptop"])
    require_real_images(settings)
    torch.set_num_threads(1)
    data = load(settings)
    if data.table.empty:
        print(f"Lesson 10 is not measured: {settings.data_name} names no source.")
        return
    images = predictions(data)
    lesions = images.groupby("lesion_id", sort=False).first()
    lesions["age"] = pd.cut(lesions["age_approx"], [0, 30, 45, 60, 75, 120], right=False, labels=SPANS).astype(object)
    of = {"lesson": "10", "data": data.name, "images": len(images), "lesions": len(lesions)}
    of |= {"test_images": len(images), "test_lesions": len(lesions), "pixels": clinics.IMAGE_SIZE}
    of |= {"network": "EfficientNet-Lite0, frozen", "processor": processor()}
    malignant, rows = images["label"].isin(MALIGNANT), []
    rates = {"sensitivity": ("alarm", malignant), "false-positive rate": ("alarm", ~malignant)}
    for rate, (event, some) in (rates | {"recall of MEL": ("right", images["label"] == "MEL")}).items():
        for name, member, rest in groups_of(lesions):
            rows.append({"rate": rate, "group": name} | compare(images[some], event, lesions.index, member, rest))
            write_csv(RESULTS / "measured_10.csv", table_of(rows, of))
            print(*(f"{key} {value}" for key, value in rows[-1].items()), sep=", ", flush=True)


def predictions(data: Data) -> pd.DataFrame:
    """The table with the columns alarm and right: whether an image raises the alarm, and has its class predicted."""
    table, x = data.table, features_of(data, AS_IT_IS)
    labels = table["label"].astype(str).to_numpy()
    rows = splits.rows_to_split(table.assign(label=labels + " " + table["source"]), "lesion")
    fold, score, right = (np.zeros(len(table), kind) for kind in (int, float, bool))
    for number, test in enumerate(splits.folds(rows, splits.FOLDS, "lesion", seed=0)):
        train = np.setdiff1d(np.arange(len(table)), test)
        with threadpool_limits(1):
            probe = clinics.make_probe().fit(x[train], labels[train])
        p = probe.predict_proba(x[test])
        fold[test], right[test] = number, probe.classes_[p.argmax(axis=1)] == labels[test]
        score[test] = calibration.malignant_probability(p, list(probe.classes_))
        print(f"fold {number} is predicted", flush=True)
    malignant, alarm = np.isin(labels, MALIGNANT), np.zeros(len(table), bool)
    for number in range(splits.FOLDS):
        others = fold != number
        alarm[~others] = score[~others] >= calibration.threshold_for(0.95, score[others], malignant[others])
    return table.assign(alarm=alarm, right=right)


def groups_of(lesions: pd.DataFrame) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Name, members, and the rest (lesions with another known value): booleans [lesions]. "all" has no rest."""
    found = [("all", np.ones(len(lesions), bool), np.zeros(len(lesions), bool))]
    for column, name in ATTRIBUTES.items():
        for value in sorted(lesions[column].dropna().unique()):
            member = (lesions[column] == value).to_numpy()
            found.append((f"{name} {value}", member, lesions[column].notna().to_numpy() & ~member))
    return found


def rate_difference(group: np.ndarray, rest: np.ndarray, lesions: np.ndarray, events: np.ndarray) -> np.ndarray:
    """As in the lesson. group, rest: how often each lesion counts [m] or [draws, m]; lesions, events: [m, strata]."""
    n, m = group @ lesions, rest @ lesions
    difference = group @ events / np.maximum(n, 1) - rest @ events / np.maximum(m, 1)
    weights = n * m / np.maximum(n + m, 1)
    with np.errstate(invalid="ignore"):
        return (weights * difference).sum(axis=-1) / weights.sum(axis=-1)


def compare(some: pd.DataFrame, event: str, names: pd.Index, member: np.ndarray, rest: np.ndarray) -> dict[str, float]:
    """The second part of a row. some: the images with a rate; event: its column; names: of all lesions."""
    number = names.get_indexer(some["lesion_id"])
    kept = np.unique(number)
    number, member, rest = np.searchsorted(kept, number), member[kept], rest[kept]
    strata = {"same classes": some["label"].astype(str), "and clinic": some["label"].astype(str) + some["source"]}
    strata = {"all": pd.Series("", some.index)} | strata
    counts = {name: counted(number, of, some[event].to_numpy()) for name, of in strata.items()}
    value, found = counts["all"][1][member, 0], {"of lesions": int(member.sum()), "value": np.nan}
    if len(value):
        found["value"] = value.mean()
        drawn = intervals.bootstrap_mean(value, np.arange(len(value)), DRAWS)
        found |= dict(zip(("value_low", "value_high"), intervals.percentile_interval(drawn), strict=True))
    if min(member.sum(), rest.sum()) < FEWEST:
        return found
    members, others = member.astype(np.float32), rest.astype(np.float32)
    found |= {name: float(rate_difference(members, others, *counts[name])) for name in counts}
    for name, prefix in {"same classes": "", "and clinic": "clinic_"}.items():
        if np.isnan(found[name]):  # no stratum on both sides: the clinics themselves
            continue
        within = strata[name] + np.array(["", " group", " rest"])[(member + 2 * rest)[number]]
        times = intervals.draw_lesions(number, within, DRAWS).astype(np.float32)
        times = times[:, np.argsort(pd.unique(number))]  # in the order of the numbers
        limits = intervals.percentile_interval(rate_difference(times * members, times * others, *counts[name]))
        found |= dict(zip((f"{prefix}low", f"{prefix}high"), limits, strict=True))
    return found | {"p": p_value(member, rest, *counts["same classes"])}


def counted(number: np.ndarray, strata: pd.Series, event: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whether each lesion is of a stratum, and the proportion of its images with the event: float32 [m, strata]."""
    stratum, kinds = pd.factorize(strata)
    images, events = np.zeros((2, number.max() + 1, len(kinds)), np.float32)
    np.add.at(images, (number, stratum), 1)
    np.add.at(events, (number, stratum), event)
    return (images > 0).astype(np.float32), events / np.maximum(images, 1)


def p_value(member: np.ndarray, rest: np.ndarray, lesions: np.ndarray, events: np.ndarray) -> float:
    """How often lesions that exchange their membership within each class differ at least as much as these do."""
    rng, kind = np.random.default_rng(0), lesions.argmax(axis=1)
    exchanged, known = np.tile(member, (DRAWS, 1)), member | rest
    for code in np.unique(kind):
        some = np.flatnonzero((kind == code) & known)
        exchanged[:, some] = rng.permuted(exchanged[:, some], axis=1)
    group, others = exchanged.astype(np.float32), (known & ~exchanged).astype(np.float32)
    by_chance = rate_difference(group, others, lesions, events)
    observed = rate_difference(member.astype(np.float32), rest.astype(np.float32), lesions, events)
    return float((1 + np.sum(np.abs(by_chance) >= np.abs(observed) - 1e-6)) / (1 + DRAWS))


def table_of(rows: list[dict], of: dict) -> pd.DataFrame:
    """The rows as a table, with the p-values corrected for their number."""
    table = pd.DataFrame([of | row for row in rows])
    if "p" in table:
        tested = table["p"].notna()
        table.loc[tested, "p, Holm"] = intervals.holm(table.loc[tested, "p"])
    return table.round(4)


if __name__ == "__main__":
    main()
