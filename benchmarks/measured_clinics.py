"""What lesson 11 shows of real images: networks of one clinic in another, in results/measured_11.csv.

    ISIC_DATA=<folder with several sources> python benchmarks/measured_clinics.py

A unit of work is a look of the images and a set of training images: linear probes of frozen features (EfficientNet-
Lite0 at 96 pixels), for three seeds of five folds, grouped by lesion and stratified by class and source. Its
predictions are kept in ISIC_RUNS, so the same command goes on after an interruption. A row is a unit tested on one
clinic, in the classes that the clinics share: BCN and HAM, or all three. Intervals are 95 % intervals of a bootstrap of
lesions within their class; each lesion brings the predictions of all seeds.

Columns: `drop` is the BMA in the training clinic minus that in the tested one (different lesions). `difference` is the
BMA minus that of the row `compared with`, on the same lesions: another look is compared with the images as they are,
other training images with the tested clinic's own. `re-weighted` is the accuracy if the tested clinic had the class
shares of the training clinic. Every image is tested once per seed (test_images); a row is `of images` of them. The
second table, results/measured_11_more.csv, holds what is no such row: the gap between visitor and local with a look and
by how much the look narrows it, how well the source is predicted, what it gives away, and out-of-distribution
detection.
"""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from side_by_side import RESULTS, processor, require_real_images
from threadpoolctl import threadpool_limits

from isic_course import clinics, features, odd_images
from isic_utils.datasets import ImageStore, read_isic2019, splits
from isic_utils.datasets.images import read_image, resize
from isic_utils.datasets.transforms import augment_strongly
from isic_utils.settings import PROFILES, Settings, load_settings
from isic_utils.training.runs import write_csv

TABLE, MORE = RESULTS / "measured_11.csv", RESULTS / "measured_11_more.csv"
SEEDS = range(3)
AS_IT_IS, AUGMENTED = "as it is", "augmented copies, too"
CHUNK = 1024  # images whose look is changed at a time, which bounds the memory in use
HELD_OUT = "VASC"  # the class that the network of the OOD rows has never seen
KEY = ["classes", "look", "trained on", "tested on"]


@dataclasses.dataclass(frozen=True)
class Data:
    """The images of the clinics: their table, their folder of kept results, and the store of their pixels."""

    name: str
    table: pd.DataFrame
    store: ImageStore
    cache: Path
    runs: Path


def load(settings: Settings) -> Data:
    """The images of the three clinics, decoded."""
    table = read_isic2019(settings.data)
    store = ImageStore(table, clinics.IMAGE_SIZE, settings.cache)
    table = table[table["source"].isin(clinics.CLINICS) & table["image"].isin(store.images)].reset_index(drop=True)
    runs = settings.runs / f"clinics-{store.digest}"
    runs.mkdir(parents=True, exist_ok=True)
    return Data(settings.data_name, table, store, settings.cache, runs)


def augmented(pixels: np.ndarray) -> np.ndarray:
    """A strongly augmented copy of each image: flipped, rotated, zoomed and recoloured at random."""
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    made, _ = augment_strongly(images, torch.zeros(len(images)), torch.Generator().manual_seed(0))
    return (255 * made).round().byte().permute(0, 2, 3, 1).numpy()


# ways to show images: functions of uint8 [n, side, side, 3] and of their aspect ratios before they were squeezed
APPEARANCES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    AS_IT_IS: lambda pixels, ratios: pixels,
    "colour constancy": lambda pixels, ratios: clinics.shades_of_gray(pixels),
    "all three": lambda pixels, ratios: clinics.shades_of_gray(
        clinics.without_border(clinics.unsqueezed(pixels, ratios))
    ),
    "squeeze undone": clinics.unsqueezed,
    "border cropped": lambda pixels, ratios: clinics.without_border(pixels),
    AUGMENTED: lambda pixels, ratios: augmented(pixels),
}


def features_of(data: Data, look: str) -> np.ndarray:
    """The features of the images with a look, computed once: float32 [n, 1280]."""
    file = data.runs / f"features {look}.npy"
    if not file.exists():
        rows, ratios = data.store.rows(data.table["image"]), clinics.aspect_ratios(data.table)
        chunks = np.array_split(np.arange(len(rows)), -(-len(rows) // CHUNK))
        shown = (APPEARANCES[look](data.store.take(rows[chunk]), ratios[chunk]) for chunk in chunks)
        np.save(file.with_suffix(".part.npy"), np.concatenate([features.of_pixels(pixels) for pixels in shown]))
        file.with_suffix(".part.npy").rename(file)
    return np.load(file)


def training_sets(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Name -> which images may be trained on, boolean [n]."""
    source = table["source"].to_numpy()
    found = {clinic: source == clinic for clinic in clinics.CLINICS if (source == clinic).any()}
    names = list(found)
    found |= {f"{one} + {two}": found[one] | found[two] for i, one in enumerate(names) for two in names[i + 1 :]}
    lesions = pd.Series(table["lesion_id"].unique()).sample(frac=0.5, random_state=0)
    found["half of BCN + HAM"] = np.isin(source, names[:2]) & table["lesion_id"].isin(lesions).to_numpy()
    return found | {" + ".join(names): np.isin(source, names)}


def units(table: pd.DataFrame, look: str) -> list[tuple[str, str]]:
    """The units with a look: (look, training set). A look that is not the images' own is tried on two of the sets."""
    sets = training_sets(table)
    return [(look, name) for name in sets if look == AS_IT_IS or name in ("BCN", "HAM")]


def predictions_of(data: Data, look: str, name: str) -> pd.DataFrame:
    """The predictions of a unit, computed once."""
    file = data.runs / f"{look}, {name}.pkl"
    if not file.exists():
        start = time.monotonic()
        shown = AS_IT_IS if look == AUGMENTED else look  # augmentation is for training only
        copies = [features_of(data, look)] if look == AUGMENTED else []
        chosen = {name: training_sets(data.table)[name]}
        with threadpool_limits(1):
            found = clinics.predict(data.table, features_of(data, shown), chosen, SEEDS, copies)
        found.attrs["seconds"] = time.monotonic() - start
        found.to_pickle(file.with_suffix(".part"))
        file.with_suffix(".part").rename(file)
    return pd.read_pickle(file)


def class_sets(table: pd.DataFrame) -> dict[str, tuple[list[str], list[str]]]:
    """Name -> the clinics that are compared, and the classes that they share."""
    there = [clinic for clinic in clinics.CLINICS if (table["source"] == clinic).any()]
    return {
        f"shared by {' and '.join(some)}": (some, clinics.common_classes(table, some))
        for some in (there[:2], there)
        if len(some) > 1
    }


def rows_of(data: Data, look: str, name: str) -> list[dict]:
    """The rows of a unit."""
    predictions, rows = predictions_of(data, look, name), []
    of = {"lesson": "11", "data": data.name, "images": len(data.table), "lesions": data.table["lesion_id"].nunique()}
    of |= {"test_images": of["images"], "test_lesions": of["lesions"], "pixels": clinics.IMAGE_SIZE}
    of |= {"network": "EfficientNet-Lite0, frozen", "pretrained": True, "seeds": len(SEEDS)}
    for classes_name, (tested, classes) in class_sets(data.table).items():
        trained = set(data.table["label"][training_sets(data.table)[name]])
        if not set(classes) <= trained:
            continue  # it does not know all of these classes
        for clinic in tested:
            some = predictions[predictions["source"] == clinic]
            row = of | {"classes": classes_name, "look": look, "trained on": name, "tested on": clinic}
            rows.append(row | scores(data, look, name, clinic, classes, some))
    return [row | {"seconds": round(predictions.attrs["seconds"], 1), "processor": processor()} for row in rows]


def scores(data: Data, look: str, name: str, clinic: str, classes: list[str], some: pd.DataFrame) -> dict:
    """The second part of a row. some: the unit's predictions of this clinic."""
    labels = data.table.loc[data.table["label"].isin(classes)]
    shares = {one: rows.value_counts(normalize=True)[classes] for one, rows in labels.groupby("source")["label"]}
    found = clinics.recalls(some, classes)
    of_classes = some[some["label"].isin(classes)]
    row = {"of images": of_classes["image"].nunique(), "of lesions": of_classes["lesion_id"].nunique()}
    row |= named("accuracy", found @ shares[clinic])
    if name in shares:
        row |= named("re-weighted", found @ shares[name])
    row |= named("BMA", found.mean(axis=1)) | {"melanoma recall": found["MEL"].iloc[0]}
    if name in shares and name != clinic:
        home = predictions_of(data, look, name)
        home = clinics.recalls(home[home["source"] == name], classes, seed=1).mean(axis=1)
        row |= named("drop", home - found.mean(axis=1))
    other = (AS_IT_IS, name) if look != AS_IT_IS else (AS_IT_IS, clinic)
    if other != (look, name) and set(classes) <= set(labels.loc[labels["source"] == clinic, "label"]):
        reference = predictions_of(data, *other)
        reference = clinics.recalls(reference[reference["source"] == clinic], classes).mean(axis=1)
        row |= {"compared with": ", ".join(other)} | named("difference", found.mean(axis=1) - reference)
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()}


def named(name: str, values: pd.Series) -> dict[str, float]:
    """A score and its interval as columns."""
    return dict(zip((name, f"{name}_low", f"{name}_high"), clinics.with_interval(values), strict=True))


def of_gaps(data: Data) -> list[tuple[str, str, float, float, float]]:
    """The BMA of the local probe minus the visitor's, both with one look, and how much smaller it is than as it is."""
    classes, rows = clinics.common_classes(data.table, ["BCN", "HAM"]), []

    def draws(look: str, name: str, clinic: str) -> pd.Series:
        some = predictions_of(data, look, name)
        return clinics.recalls(some[some["source"] == clinic], classes).mean(axis=1)

    for home, abroad in (("BCN", "HAM"), ("HAM", "BCN")):
        gaps = {look: draws(look, abroad, abroad) - draws(look, home, abroad) for look in APPEARANCES}
        for look, gap in gaps.items():
            rows.append(("gap", f"{home} in {abroad}, {look}", *clinics.with_interval(gap)))
            if look != AS_IT_IS:
                narrowed = clinics.with_interval(gaps[AS_IT_IS] - gap)
                rows.append(("gap narrowed by", f"{home} in {abroad}, {look}", *narrowed))
    return rows


def of_sources(data: Data) -> list[tuple[str, str, float, float, float]]:
    """How well the source is predicted from the image, and the diagnosis from the source: rows of `MORE`."""
    there = [clinic for clinic in clinics.CLINICS if (data.table["source"] == clinic).any()]
    as_label = data.table.assign(label=pd.Categorical(data.table["source"], there))
    every = {"all": np.ones(len(as_label), bool)}
    counts = pd.crosstab(data.table["label"], data.table["source"])
    of_class = counts.div(counts.sum(axis=1), axis=0)
    rows = [("BMA", "diagnosis from the source alone", of_class.max().sum() / len(of_class), np.nan, np.nan)]
    with threadpool_limits(1):
        for look in (AS_IT_IS, "colour constancy"):
            predicted = clinics.predict(as_label, features_of(data, look), every, SEEDS[:1])
            found = clinics.recalls(predicted, there).mean(axis=1)
            rows.append(("BMA", f"source from the image, {look}", *clinics.with_interval(found)))
    return rows


def main() -> None:
    settings = dataclasses.replace(load_settings(), profile="laptop", **PROFILES["laptop"])
    require_real_images(settings)
    torch.set_num_threads(1)
    data = load(settings)
    if not {"BCN", "HAM"} <= set(data.table["source"]):
        print(f"Lesson 11 is not measured: {settings.data_name} lacks images of BCN or of HAM.")
        return
    measure(data, TABLE)
    write_more(data, MORE)


def measure(data: Data, file: Path) -> None:
    """Write the rows of all units, each look's when they are done."""
    done = []
    for look in APPEARANCES:
        features_of(data, look)
        some = units(data.table, look)
        for unit in some:
            rows = rows_of(data, *unit)
            done += rows
            write_csv(file, pd.DataFrame(done))
            for row in rows:
                print(*(row[key] for key in KEY), f"BMA {row['BMA']:.3f}", sep=" · ", flush=True)


def write_more(data: Data, file: Path) -> None:
    """Write the second table."""
    found = [*of_gaps(data), *of_sources(data), *of_ood(data)]
    rows = pd.DataFrame(found, columns=["score", "of", "value", "low", "high"])
    rows.insert(0, "data", data.name)
    rows.insert(1, "images", len(data.table))
    write_csv(file, rows.round(4))
    print(rows.to_string(index=False))


def of_ood(data: Data) -> list[tuple[str, str, float, float, float]]:
    """AUROC and FPR at 95 % TPR of three detectors against each kind of odd image: rows of `MORE`, with intervals over
    lesions (over images where no lesion is shown).

    As in the lesson: seven classes are known, in all clinics; or all classes, in one clinic.
    """
    table, source = data.table, data.table["source"].to_numpy()
    label, known = table["label"].astype(str).to_numpy(), (table["label"] != HELD_OUT).to_numpy()
    train = (splits.standard(table, seed=0) != "test").to_numpy()
    x, pixels = features_of(data, AS_IT_IS), data.store.take(data.store.rows(table["image"]))
    images = [np.asarray(read_image(path)) for path in table["path"][~train].sample(40, random_state=0)]
    far = {kind: shrunk(some, pixels.shape[1]) for kind, some in odd_images.draw(images, each=40).items()}
    lesions = data.table["lesion_id"].to_numpy()
    kinds = {f"{HELD_OUT}, never seen": (x[~known], pixels[~known], lesions[~known])}
    kinds |= {kind: (features.of_pixels(some), some, np.arange(len(some))) for kind, some in far.items()}
    cases = [(train & known, ~train & known, kinds)]
    for own, other in (("BCN", "HAM"), ("HAM", "BCN")):
        there, of_own = ~train & (source == other), source == own
        foreign = {f"{other}, trained on {own}": (x[there], pixels[there], lesions[there])}
        cases.append((train & of_own, ~train & of_own, foreign))
    rows = []
    for fitted, usual, some in cases:
        with threadpool_limits(1):
            detectors = clinics.detectors(x[fitted], label[fitted], pixels[fitted])
            of_usual = {name: score(x[usual], pixels[usual]) for name, score in detectors.items()}
            for kind, (*odd, of_odd) in some.items():
                for name, score in detectors.items():
                    found = clinics.detection(of_usual[name], score(*odd), (lesions[usual], of_odd))
                    for key, values in found.items():
                        rows.append((f"{key}, {name}", kind, *clinics.with_interval(values)))
    return rows


def shrunk(images: list[np.ndarray], side: int) -> np.ndarray:
    """Images at one size: uint8 [n, side, side, 3]."""
    return np.stack([resize(Image.fromarray(image), (side, side)) for image in images])


if __name__ == "__main__":
    main()
