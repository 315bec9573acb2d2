"""The protocols: nothing lost, nothing twice, stratified, whole lesions, and the same for the same seed."""

import warnings

import numpy as np
import pandas as pd
import pytest
from archives import OFFICIAL, names, needs_official_tables, refusal
from hypothesis import given, settings, strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from isic_utils.datasets import splits, tables


def make_table(labels: list[int], lesions: list[int | None]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image": names(len(labels)),
            "label": pd.Categorical.from_codes(labels, tables.CODES, ordered=True),
            "lesion_id": [None if lesion is None else f"L{lesion}" for lesion in lesions],
        }
    )


@st.composite
def any_table(draw) -> pd.DataFrame:
    """Twenty nevi and more, other classes of any sizes, absent ones too; lesions of any sizes, and images without."""
    labels = [1] * 20 + draw(st.lists(st.sampled_from([0, 1, 1, 1, 2, 3, 7]), max_size=60))
    count = len(labels) - 20
    lesions = [0] + [None] * 19 + draw(st.lists(st.none() | st.integers(0, 20), min_size=count, max_size=count))
    of_class = [None if lesion is None else 100 * label + lesion for label, lesion in zip(labels, lesions, strict=True)]
    return make_table(labels, of_class)


def thousand(seed: int = 0) -> pd.DataFrame:
    """Classes as skewed as ISIC 2019's, lesions of 1 to 5 images of one class."""
    chance = np.random.default_rng(seed)
    sizes = chance.choice([1, 1, 1, 2, 5], 500)
    lesion_labels = chance.choice(8, 500, p=[0.18, 0.5, 0.13, 0.04, 0.09, 0.02, 0.01, 0.03])
    return make_table(np.repeat(lesion_labels, sizes).tolist(), np.repeat(np.arange(500), sizes).tolist())


ways = st.sampled_from(["image", "lesion"])
both = pytest.mark.parametrize("group_by", ["image", "lesion"])
seeds = st.integers(0, 1000)
few = settings(max_examples=15, deadline=None)


def shared_lesions(table: pd.DataFrame, split: pd.Series) -> int:
    """How many lesions are in more than one of the three sets."""
    return int((split.groupby(table["lesion_id"]).nunique() > 1).sum())


# Any table


@few
@given(any_table(), ways, seeds)
def test_each_image_tests_once_and_fold_0_is_the_standard_split(table, group_by, seed):
    before = table.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        folds = splits.cross_validation(table, group_by, seed)
    assert list(folds) == [0, 1, 2, 3, 4] and folds.index.equals(table.index)
    assert folds.isin(splits.SPLITS).all(axis=None) and ((folds == "test").sum(axis=1) == 1).all()
    standard = splits.standard(table, group_by, seed)
    assert standard.name == "split" and standard.tolist() == folds[0].tolist()
    if group_by == "lesion":
        assert not any(shared_lesions(table, folds[fold]) for fold in folds)
    pd.testing.assert_frame_equal(table, before)


@few
@given(any_table(), ways, seeds, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(table, group_by, seed, chance):
    order = list(range(len(table)))
    chance.shuffle(order)
    expected = splits.cross_validation(table, group_by, seed)
    shuffled = table.iloc[order]
    pd.testing.assert_frame_equal(splits.cross_validation(shuffled, group_by, seed).loc[table.index], expected)
    renumbered = shuffled.reset_index(drop=True)
    again = splits.standard(renumbered, group_by, seed)
    assert dict(zip(renumbered["image"], again, strict=True)) == dict(zip(table["image"], expected[0], strict=True))


@few
@given(st.lists(st.integers(12, 30), min_size=8, max_size=8), ways, seeds)
def test_balanced_draws_the_same_number_of_five_classes(counts, group_by, seed):
    labels = [code for code, count in enumerate(counts) for _ in range(count)]
    table = make_table(labels, list(range(len(labels))))
    drawn = splits.balanced(table, group_by, seed)
    smallest = min(counts[tables.CODES.index(code)] for code in ("MEL", "NV", "BCC", "BKL"))
    assert drawn["label"].value_counts().to_dict() == dict.fromkeys(
        ["MEL", "NV", "BCC", "BKL", splits.MERGED], smallest
    )
    assert drawn["image"].is_unique and drawn.index.isin(table.index).all()
    assert (drawn["original_label"] == table.loc[drawn.index, "label"]).all()
    assert (drawn["original_label"].isin(splits.RAREST) == (drawn["label"] == splits.MERGED)).all()
    assert drawn["split"].tolist() == splits.standard(drawn.drop(columns="split"), group_by, seed).tolist()


# Proportions, and what scikit-learn does


@both
def test_70_10_20_of_each_class(group_by):
    table = thousand()
    split = splits.standard(table, group_by)
    for name, proportion in (("train", 0.7), ("validation", 0.1), ("test", 0.2)):
        assert (split == name).mean() == pytest.approx(proportion, abs=0.01)
        of_class = (split == name).groupby(table["label"], observed=True).sum()
        expected = proportion * table["label"].value_counts()
        assert ((of_class - expected).abs() <= (1 if group_by == "image" else 6)).all(), name


def test_exact_proportions_of_one_image_per_lesion_and_without_labels():
    table = make_table([1] * 100, [0] + [None] * 99)
    expected = {"train": 70, "validation": 10, "test": 20}
    assert splits.standard(table).value_counts().to_dict() == expected
    assert splits.segmentation(table[["image"]]).value_counts().to_dict() == expected


def test_masks_are_split_by_lesion_unless_the_table_knows_none():
    table = thousand()
    split, by_image = splits.segmentation(table), splits.segmentation(table, "image")
    assert split.equals(splits.segmentation(table, "lesion"))
    assert shared_lesions(table, split) == 0 < shared_lesions(table, by_image)
    unknown = table.drop(columns="lesion_id")
    assert splits.segmentation(unknown).equals(by_image)
    refusal(lambda: splits.segmentation(unknown, "lesion"), "lesion_id", "group_by='image'")


def test_the_test_sets_are_the_folds_of_scikit_learn():
    table = thousand()
    table = table[table["label"].isin(["MEL", "NV"])].sort_values("image")
    folds = splits.cross_validation(table, seed=3)
    found = StratifiedGroupKFold(5, shuffle=True, random_state=3).split(table, table["label"], table["lesion_id"])
    for fold, (_, test) in enumerate(found):
        assert set(table["image"].iloc[test]) == set(table["image"][folds[fold] == "test"])


@both
def test_the_seed_decides(group_by):
    table = thousand()
    first, again, other = (splits.standard(table, group_by, seed) for seed in (0, 0, 1))
    assert first.equals(again) and not first.equals(other)
    draws = [set(splits.balanced(table, group_by, seed)["image"]) for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]


def test_a_large_lesion_is_on_one_side_and_may_come_into_any_set():
    table = make_table([1] * 60, [0] * 5 + list(range(1, 56)))
    found = [splits.standard(table, seed=seed).iloc[:5] for seed in range(60)]
    assert all(split.nunique() == 1 for split in found)
    assert {split.iloc[0] for split in found} == set(splits.SPLITS)
    assert shared_lesions(table, splits.standard(table, group_by="image")) == 1


def test_a_class_of_few_lesions_is_said_and_no_warning_shown(capsys, recwarn):
    table = make_table([1] * 30 + [5] * 8, list(range(30)) + [100, 101, 102, 102, 102, 102, 102, 102])
    splits.standard(table)
    assert capsys.readouterr().out == ""
    splits.cross_validation(table)
    said = capsys.readouterr().out
    assert "DF has 3 lesions" in said and said.count("\n") == 1 and not recwarn.list
    splits.cross_validation(table, "image")
    assert capsys.readouterr().out == ""


@pytest.mark.slow
@needs_official_tables
def test_official_standard_splits():
    table = tables.read_isic2019(OFFICIAL)
    for group_by in ("image", "lesion"):
        split = splits.standard(table, group_by)
        for name, proportion in (("train", 0.7), ("validation", 0.1), ("test", 0.2)):
            of_class = (split == name).groupby(table["label"], observed=True).sum()
            assert ((of_class - proportion * table["label"].value_counts()).abs() <= 3).all(), (group_by, name)
        leak = shared_lesions(table, split)
        assert leak == 0 if group_by == "lesion" else leak > 1000


@needs_official_tables
def test_official_balanced_draw():
    drawn = splits.balanced(tables.read_isic2019(OFFICIAL), "image")
    assert drawn["label"].value_counts().tolist() == [1987] * 5
    assert drawn["original_label"].value_counts()[splits.RAREST].tolist() == [867, 239, 253, 628]


def test_balanced_within_keeps_out_what_it_is_told_to():
    table = thousand()
    kept = table.index[splits.standard(table) != "test"]
    drawn = splits.balanced(table, within=kept)
    assert drawn.index.isin(kept).all() and drawn["label"].value_counts().nunique() == 1


def test_the_four_rarest_become_one():
    label = pd.Series(["MEL", "AK", "SCC", "NV", "DF", "VASC"], index=list("abcdef"), name="label")
    merged = splits.merge_rarest(label)
    assert merged.tolist() == ["MEL", splits.MERGED, splits.MERGED, "NV", splits.MERGED, splits.MERGED]
    assert merged.index.tolist() == list("abcdef") and merged.name == "label"
    assert list(merged.cat.categories) == ["MEL", "NV", "BCC", "BKL", splits.MERGED] and merged.cat.ordered
    assert splits.merge_rarest(merged).equals(merged), "what a five-class model predicts stays"


# What makes no sense


def test_tables_and_options_that_cannot_be_split():
    table = thousand()
    refusal(lambda: splits.standard(table, group_by="patient"), "'patient'")
    refusal(lambda: splits.standard(pd.concat([table, table.head(1)], ignore_index=True)), "ISIC_0000000")
    refusal(lambda: splits.standard(table.set_index(np.zeros(len(table), int))), "reset_index")
    refusal(lambda: splits.merge_rarest(pd.Series(["NV", "nevus"])), "'nevus'")
    refusal(lambda: splits.balanced(make_table([0, 1, 2, 3], [None] * 4)), "BKL")
    for count in (0, 1, 4, 9):
        for split in (splits.standard, splits.cross_validation):
            refusal(lambda split=split, count=count: split(make_table([1] * count, list(range(count)))), "folds")
