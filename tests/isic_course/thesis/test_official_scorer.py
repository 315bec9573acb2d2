"""Our scores of masks and of classes beside those of the official scorer, isic-challenge-scoring.

It wants an older pandas than the course's, so it has an environment of its own, build/official-scorer, installed once;
without a network the test is skipped.
"""

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from archives import trained_pairs
from filelock import FileLock
from official_archive import KINDS, draw_2019_test, softmax
from PIL import Image

from isic_course.thesis import official, submission
from isic_course.thesis.official import read_isic2019_test
from isic_course.thesis.submission import export_masks
from isic_utils.archive import GROUND_TRUTH_2019_TEST, UNKNOWN
from isic_utils.datasets import tables
from isic_utils.datasets.images import read_mask
from isic_utils.metrics import mask_scores, overlap
from isic_utils.settings import PROJECT

PLACE = PROJECT / "build" / "official-scorer"
PYTHON = PLACE / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
NEEDED = ["isic-challenge-scoring==5.6.0", "pandas<3"]
NAMES = {  # the official name of each of our scores
    "jaccard": "jaccard",
    "thresholded_jaccard": "threshold_jaccard",
    "dice": "dice",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
}


@pytest.fixture(scope="module")
def scorer() -> None:
    """The environment is there, or the tests are skipped."""
    PLACE.parent.mkdir(exist_ok=True)
    installed = PLACE / ".installed"  # written last: a broken installation does not count
    with FileLock(PLACE.with_suffix(".lock")):
        if installed.exists() and installed.read_text(encoding="utf-8") == " ".join(NEEDED):
            return
        venv.create(PLACE, clear=True, with_pip=False)
        command = [sys.executable, "-m", "pip", "--python", str(PYTHON), "install", "--quiet", "--retries", "0"]
        done = subprocess.run([*command, *NEEDED], capture_output=True, text=True, timeout=600)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["pip says nothing"])[-1]
            pytest.skip(f"isic-challenge-scoring cannot be installed: {reason}")
        installed.write_text(" ".join(NEEDED), encoding="utf-8")


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """A trained U-Net, its table and decoded images."""
    return trained_pairs(tmp_path_factory.mktemp("archive"))


def scored(kind: str, truth: Path, predicted: Path) -> dict:
    """What the official scorer says. kind: segmentation or classification."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [str(PYTHON), "-m", "isic_challenge_scoring", "--output", "json", kind, truth, predicted]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def ours(truth: Path, predicted: Path) -> dict[str, float]:
    rows = []
    for file in sorted(truth.iterdir()):
        pair = [read_mask(folder / file.name)[np.newaxis] for folder in (truth, predicted)]
        rows.append(pd.DataFrame(mask_scores(overlap(*pair))))
    return pd.concat(rows).mean().to_dict()


def assert_same_scores(truth: Path, predicted: Path) -> dict[str, float]:
    theirs, mine = scored("segmentation", truth, predicted)["macro_average"], ours(truth, predicted)
    assert list(mine) == list(NAMES)
    for name, value in mine.items():
        assert value == pytest.approx(theirs[NAMES[name]], abs=1e-6), name
    return mine


@pytest.mark.slow
@pytest.mark.parametrize("postprocess", [True, False])
def test_an_export_is_scored_as_by_us(scorer, archive, tmp_path, postprocess):
    run, table, store = archive
    options = dict(tta=postprocess, postprocess=postprocess)
    files = export_masks(run, table, store, tmp_path, **options)
    scores = assert_same_scores(Path(table["mask_path"][0]).parent, tmp_path)
    assert len(files) == 36 and 0.5 < scores["jaccard"] < 1 and scores["sensitivity"] != scores["specificity"]


def test_masks_on_the_edge_of_every_rule_are_scored_as_by_us(scorer, tmp_path):
    """Empty and full ones, a Jaccard index of exactly 0.65 and one just below."""
    empty, full, cells = np.zeros((10, 20), bool), np.ones((10, 20), bool), np.arange(200).reshape(10, 20)
    pairs = [(empty, empty), (empty, full), (full, empty), (full, full), (cells < 90, empty), (empty, cells < 90)]
    pairs += [(cells < 100, cells < 65), (cells < 100, cells < 64), (cells < 65, cells < 100), (full, cells < 130)]
    chance = np.random.default_rng(0)
    pairs += [tuple(chance.random((2, 10, 20)) < 0.4) for _ in range(3)]
    for number, pair in enumerate(pairs):
        for folder, mask in zip(("truth", "predicted"), pair, strict=True):
            (tmp_path / folder).mkdir(exist_ok=True)
            file = tmp_path / folder / f"ISIC_{number:07d}_segmentation.png"
            Image.fromarray(mask).convert("L").save(file)
    assert_same_scores(tmp_path / "truth", tmp_path / "predicted")


def made_up_predictions(folder: Path) -> pd.DataFrame:
    """A table as `official.predict_2019` returns it, for a made-up test set in the folder: better than guessing, with
    some ties, in no order."""
    table = read_isic2019_test(draw_2019_test(folder, count=90))
    chance = np.random.default_rng(5)
    classes = [*tables.CODES, UNKNOWN]
    truth = table["label"].to_numpy()[:, np.newaxis] == np.array(classes)
    calibrated = softmax(chance.normal(0, 1, (90, 8)) + 1.5 * truth[:, :8])
    calibrated[:6] = 0.25 * (np.arange(8) < 4)  # four columns are equally large
    predictions = table[["image", "label", "weight"]].astype({"label": str})
    predictions = predictions.join(pd.DataFrame(calibrated, columns=tables.CODES))
    return predictions.assign(UNK=submission.unknown_score(calibrated)).sample(frac=1, random_state=0)


def test_nine_classes_are_scored_as_by_us(scorer, tmp_path):
    predictions = made_up_predictions(tmp_path)
    file = submission.write(predictions, tmp_path / "submission.csv")
    truth = tmp_path / GROUND_TRUTH_2019_TEST
    theirs = scored("classification", truth, file)["aggregate"]["balanced_accuracy"]
    assert official.weighted_bma(predictions, KINDS) == pytest.approx(theirs, abs=1e-9) and 0.2 < theirs < 0.9
    unweighted = official.weighted_bma(predictions.assign(weight=1.0), KINDS)
    assert unweighted != pytest.approx(theirs, abs=1e-3)


def test_eight_classes_are_scored_as_by_us(scorer, tmp_path):
    """Where no image is UNK, that column is left out of both files."""
    predictions = made_up_predictions(tmp_path)
    known = predictions[predictions["label"] != UNKNOWN]
    file = submission.write(known, tmp_path / "submission.csv", unknown=False)
    truth = pd.read_csv(tmp_path / GROUND_TRUTH_2019_TEST)
    truth = truth[truth["image"].isin(known["image"])].drop(columns=UNKNOWN)
    truth.to_csv(tmp_path / "truth.csv", index=False)
    theirs = scored("classification", tmp_path / "truth.csv", file)["aggregate"]["balanced_accuracy"]
    assert official.weighted_bma(known, tables.CODES) == pytest.approx(theirs, abs=1e-9)
