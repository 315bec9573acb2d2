"""The shortcut of lesson 10: what is painted, and that the planted one is found where it is and nowhere else."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from isic_course import clinics, features, shortcut, synthetic
from isic_utils import plots
from isic_utils.datasets import read_isic2019, splits
from isic_utils.datasets.images import resize
from isic_utils.metrics import intervals
from isic_utils.settings import PROFILES, Settings

SKIN = np.full((120, 160, 3), 200, np.uint8)


@pytest.mark.parametrize("shape", [(120, 160), (128, 128), (84, 84), (150, 200)])
def test_the_placebo_is_about_as_much_ink_as_the_ruler_in_the_same_place(shape):
    skin = np.full((*shape, 3), 200, np.uint8)
    ruler, placebo = ((paint(skin) != skin).any(axis=2) for paint in (shortcut.with_ruler, shortcut.with_placebo))
    assert placebo.sum() == pytest.approx(ruler.sum(), rel=0.2)
    for inked in (ruler, placebo):
        assert not inked[shape[0] // 3 :].any(), "the lesion in the middle stays as it is"
    assert (skin == 200).all(), "the image itself is not painted on"


def test_removing_the_marks_brings_the_skin_back_and_leaves_the_middle_alone():
    inked = shortcut.with_ruler(SKIN).copy()
    inked[50:70, 79:81] = 40
    cleaned = shortcut.without_marks(inked)
    assert (cleaned[:24] == SKIN[:24]).mean() > 0.99 and (inked[:24] == SKIN[:24]).mean() < 0.97
    assert (cleaned[50:70, 79:81] == 40).all()


class FromColour(nn.Module):
    """Logits that depend on the mean red, green and blue of an image."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return 3 * images.mean(dim=(2, 3))


def test_log_odds_are_those_of_the_probabilities():
    images = [np.full((12, 16, 3), colour, np.uint8) for colour in ([255, 0, 51], [0, 0, 0])]
    probabilities = torch.tensor([[3.0, 0, 0.6], [0, 0, 0]]).softmax(dim=1).numpy()
    expected = np.log(probabilities / (1 - probabilities))
    assert shortcut.log_odds(FromColour(), images, side=8) == pytest.approx(expected, abs=1e-5)


def settings_of(data: Path, folder: Path) -> Settings:
    return Settings("laptop", **PROFILES["laptop"], data=data, cache=folder / "cache", runs=folder / "runs")


@pytest.mark.parametrize("seed", [0, 1])
def test_unseen_images_show_lesions_that_the_network_has_never_seen(seed, tmp_path):
    table = read_isic2019(synthetic.ensure())
    _, few, split, unseen = shortcut.arrange(table, settings_of(Path("a"), tmp_path), seed)
    assert set(few["label"]) == set(unseen["label"]) == set(shortcut.ALIKE)
    assert not set(few.loc[split != "test", "lesion_id"].dropna()) & set(unseen["lesion_id"])
    assert unseen["lesion_id"].notna().all() and set(few.loc[split == "test", "image"]) - set(unseen["image"]) <= set(
        few.loc[few["lesion_id"].isna(), "image"]
    )


def effect_of_a_ruler(data: Path) -> tuple[float, float]:
    """By how much a ruler raises the log-odds of SCC for a linear probe of the four classes, which unlike a network has
    one solution: a 95 % interval over the lesions of the test set."""
    table = read_isic2019(data)
    few = table[table["label"].isin(shortcut.ALIKE) & table["lesion_id"].notna()].copy()
    few["label"] = few["label"].cat.set_categories(shortcut.ALIKE)
    train = (splits.standard(few) != "test").to_numpy()
    images = [plots.thumbnail(path) for path in few["path"]]
    with_ruler = [shortcut.with_ruler(image) for image in images]
    as_it_is, ruler = (
        features.of_pixels(np.stack([resize(Image.fromarray(image), (128, 128)) for image in some]))
        for some in (images, with_ruler)
    )
    probe = clinics.make_probe().fit(as_it_is[train], few["label"].astype(str)[train])
    before, after = (probe.predict_log_proba(some[~train]) for some in (as_it_is, ruler))
    scc = list(probe.classes_).index("SCC")
    more = (after - np.log1p(-np.exp(after)) - before + np.log1p(-np.exp(before)))[:, scc]
    return intervals.percentile_interval(intervals.bootstrap_mean(more, few["lesion_id"][~train]))


@pytest.mark.slow
def test_the_planted_shortcut_is_found_on_the_sample_and_not_on_the_archive_drawn_without_it(tmp_path):
    without = synthetic.draw(tmp_path / "without", shortcut=False, progress=False)
    planted, absent = (effect_of_a_ruler(data) for data in (synthetic.ensure(), without))
    assert planted[0] > 0.8, planted
    assert absent[0] > -0.8 and absent[1] < 0.8, absent
