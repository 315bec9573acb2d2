"""The protocols: nothing lost, nothing twice, stratified, whole lesions, and the same for the same seed."""

import numpy as np
import pandas as pd
import pytest
from archives import OFFICIAL, names, refusal
from hypothesis import given, settings, strategies as st
from sklearn.model_selection import StratifiedKFold

from isic_utils.datasets import splits, tables

needs_official_tables = pytest.mark.skipif(not OFFICIAL.is_dir(), reason=f"the official tables are not in {OFFICIAL}")


def make_table(labels: list[int], lesions: list[int | None]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image": names(len(labels)),
            "label": pd.Categorical.from_codes(labels, tables.CODES, ordered=True),
            "lesion_id": [None if lesion is None else f"L{lesion}" for lesion in lesions],
        }
    )


@st.composite
def any_table(draw, least: int = 1, most: int = 80) -> pd.DataFrame:
    """Classes of any sizes, absent ones too; lesions of any sizes, a few pictures without one."""
    count = draw(st.integers(least, most))
    labels = draw(st.lists(st.sampled_from([0, 1, 1, 1, 2, 3, 7]), min_size=count, max_size=count))
    lesions = draw(st.lists(st.none() | st.integers(0, 20), min_size=count, max_size=count))
    of_class = [None if lesion is None else 100 * label + lesion for label, lesion in zip(labels, lesions, strict=True)]
    return make_table(labels, of_class)


ways = st.sampled_from(["picture", "lesion"])
seeds = st.integers(0, 1000)
few = settings(max_examples=40, deadline=None)


def official() -> pd.DataFrame:
    return tables.isic2019(OFFICIAL)


def shared_lesions(table: pd.DataFrame, part: pd.Series) -> int:
    """How many lesions are in more than one part."""
    return int((part.groupby(table["lesion_id"]).nunique() > 1).sum())


# Any table


@few
@given(any_table(), ways, seeds)
def test_each_row_is_in_one_part(table, by, seed):
    part = splits.standard(table, by, seed)
    assert part.index.equals(table.index) and part.isin(splits.PARTS).all()


@few
@given(any_table(), seeds)
def test_by_picture_each_class_is_dealt_evenly(table, seed):
    numbers = splits.partitions(table, 5, "picture", seed)
    part = splits.standard(table, "picture", seed)
    for code in tables.CODES:
        of_class = table["label"] == code
        sizes = numbers[of_class].value_counts().reindex(range(1, 6), fill_value=0)
        assert sizes.max() - sizes.min() <= 1, "the five partitions of a class differ by one picture at most"
        count = of_class.sum()
        tested = (part[of_class] == "test").sum()
        assert count // 5 <= tested <= -(-count // 5)
        assert (count - tested) // 8 <= (part[of_class] == "validation").sum() <= -(-(count - tested) // 8)


@few
@given(any_table(), seeds)
def test_by_lesion_lesions_stay_whole_and_rows_without_one_are_free(table, seed):
    stages = splits.cross_validation(table, "lesion", seed)
    for number in stages:
        assert shared_lesions(table, stages[number]) == 0


@few
@given(any_table(), seeds)
def test_by_lesion_each_class_is_dealt_as_evenly_as_its_largest_lesion_allows(table, seed):
    numbers = splits.partitions(table, 5, "lesion", seed)
    for code in table["label"].unique():
        of_class = table["label"] == code
        sizes = numbers[of_class].value_counts().reindex(range(1, 6), fill_value=0)
        largest = max(1, table.loc[of_class, "lesion_id"].value_counts().max() if of_class.any() else 1)
        assert sizes.max() - sizes.min() <= largest


@few
@given(any_table(), ways, seeds)
def test_each_picture_tests_once_and_stage_1_is_the_standard_split(table, by, seed):
    stages = splits.cross_validation(table, by, seed)
    assert list(stages) == [1, 2, 3, 4, 5] and stages.index.equals(table.index)
    assert ((stages == "test").sum(axis=1) == 1).all()
    pd.testing.assert_series_equal(stages[1], splits.standard(table, by, seed), check_names=False)
    numbers = splits.partitions(table, 5, by, seed)
    for number in stages:  # Figure 5.1 of the thesis: stage 1 tests partition 5
        assert ((stages[number] == "test") == (numbers == 6 - number)).all()


@few
@given(any_table(), ways, seeds, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(table, by, seed, chance):
    order = list(range(len(table)))
    chance.shuffle(order)
    expected = splits.cross_validation(table, by, seed)
    shuffled = table.iloc[order]
    pd.testing.assert_frame_equal(splits.cross_validation(shuffled, by, seed).loc[table.index], expected)
    renumbered = shuffled.reset_index(drop=True)
    again = splits.standard(renumbered, by, seed)
    assert dict(zip(renumbered["image"], again, strict=True)) == dict(zip(table["image"], expected[1], strict=True))


@few
@given(any_table(), ways, seeds)
def test_the_table_stays_as_it_is(table, by, seed):
    before = table.copy()
    splits.cross_validation(table, by, seed)
    pd.testing.assert_frame_equal(table, before)


@few
@given(st.lists(st.integers(1, 12), min_size=8, max_size=8), ways, seeds)
def test_balanced_draws_the_same_number_of_five_classes(counts, by, seed):
    labels = [code for code, count in enumerate(counts) for _ in range(count)]
    table = make_table(labels, [None] * len(labels))
    drawn = splits.balanced(table, by, seed)
    smallest = min(
        *[counts[tables.CODES.index(code)] for code in ("MEL", "NV", "BCC", "BKL")], counts[3] + sum(counts[5:])
    )
    assert drawn["label"].value_counts().to_dict() == dict.fromkeys(
        ["MEL", "NV", "BCC", "BKL", "AK+DF+VASC+SCC"], smallest
    )
    assert drawn["image"].is_unique and drawn.index.isin(table.index).all()
    assert (drawn["original_label"] == table.loc[drawn.index, "label"]).all()
    merged = drawn["label"] == splits.MERGED
    assert (drawn["original_label"].isin(splits.RAREST) == merged).all()
    assert (drawn.loc[~merged, "label"].astype(str) == drawn.loc[~merged, "original_label"].astype(str)).all()
    assert drawn["part"].tolist() == splits.standard(drawn.drop(columns="part"), by, seed).tolist()


@few
@given(any_table(least=0), seeds)
def test_segmentation_needs_no_labels(table, seed):
    table = table[["image"]]
    part = splits.segmentation(table, seed)
    count = len(table)
    assert part.index.equals(table.index)
    assert count // 5 <= (part == "test").sum() <= -(-count // 5)
    assert abs((part == "validation").sum() - 0.1 * count) <= 1


@pytest.mark.parametrize("by", ["picture", "lesion"])
@pytest.mark.parametrize("count", [0, 1, 2, 4])
def test_tables_of_few_rows_do_not_break(by, count):
    stages = splits.cross_validation(make_table([1] * 4, [0] * 4).head(count), by)
    assert len(stages) == count and (stages == "test").sum().sum() == count


# What is worked out by hand, and what others do


def hundred(seed: int = 0) -> pd.DataFrame:
    chance = np.random.default_rng(seed)
    return make_table(chance.choice(8, 1000, p=[0.18, 0.5, 0.13, 0.04, 0.1, 0.01, 0.01, 0.03]).tolist(), [None] * 1000)


def test_70_10_20():
    table = make_table([1] * 100, [None] * 100)
    assert splits.standard(table).value_counts().to_dict() == {"train": 70, "validation": 10, "test": 20}
    assert splits.segmentation(table).value_counts().to_dict() == {"train": 70, "validation": 10, "test": 20}


@pytest.mark.parametrize("by", ["picture", "lesion"])
def test_the_seed_decides(by):
    table = hundred()
    first, again, other = (splits.standard(table, by, seed) for seed in (0, 0, 1))
    assert first.equals(again) and not first.equals(other)
    draws = [set(splits.balanced(table, by, seed)["image"]) for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]


def test_stratified_as_evenly_as_scikit_learn():
    table = hundred()
    folds = StratifiedKFold(5, shuffle=True, random_state=0).split(table, table["label"])
    theirs = np.array([table["label"].iloc[test].value_counts(sort=False) for _, test in folds])
    stages = splits.cross_validation(table)
    ours = np.array([table["label"][stages[number] == "test"].value_counts(sort=False) for number in stages])
    assert (np.sort(ours, axis=0) == np.sort(theirs, axis=0)).all()
    assert np.ptp(ours.sum(axis=1)) <= np.ptp(theirs.sum(axis=1)) + 1


def test_a_lesion_of_many_pictures_is_on_one_side():
    table = make_table([1] * 60, [0] * 30 + list(range(1, 31)))
    part = splits.standard(table, by="lesion")
    assert part[:30].nunique() == 1 and shared_lesions(table, part) == 0
    assert shared_lesions(table, splits.standard(table, by="picture")) == 1


def test_the_largest_lesion_may_come_into_any_part():
    table = make_table([1] * 60, [0] * 5 + list(range(1, 56)))
    parts = [splits.standard(table, "lesion", seed).iloc[0] for seed in range(60)]
    assert {name: parts.count(name) > 0 for name in splits.PARTS} == dict.fromkeys(splits.PARTS, True)


@needs_official_tables
def test_official_standard_split():
    table = official()
    part = splits.standard(table)
    counts = part.value_counts()
    assert counts.sum() == 25_331
    for name, share in (("train", 0.7), ("validation", 0.1), ("test", 0.2)):
        assert counts[name] / 25_331 == pytest.approx(share, abs=0.0005)
        for code in tables.CODES:
            of_class = table["label"] == code
            assert abs((part[of_class] == name).sum() - share * of_class.sum()) <= 2, (name, code)
    assert shared_lesions(table, part) > 1000, "by picture, lesions leak"
    by_lesion = splits.standard(table, by="lesion")
    assert shared_lesions(table, by_lesion) == 0
    assert (by_lesion == "test").mean() == pytest.approx(0.2, abs=0.002)


@needs_official_tables
def test_official_balanced_draw():
    drawn = splits.balanced(official())
    assert len(drawn) == 5 * 1987
    assert drawn["label"].value_counts().tolist() == [1987] * 5
    assert drawn["original_label"].value_counts()[splits.RAREST].tolist() == [867, 239, 253, 628]


def test_balanced_within_keeps_out_what_it_is_told_to():
    table = hundred()
    kept = table.index[splits.standard(table) != "test"]
    drawn = splits.balanced(table, within=kept)
    assert drawn.index.isin(kept).all() and drawn["label"].value_counts().nunique() == 1


def test_the_four_rarest_become_one():
    label = pd.Series(["MEL", "AK", "SCC", "NV", "DF", "VASC"], index=list("abcdef"), name="label")
    merged = splits.merged(label)
    assert merged.tolist() == ["MEL", splits.MERGED, splits.MERGED, "NV", splits.MERGED, splits.MERGED]
    assert merged.index.tolist() == list("abcdef") and merged.name == "label"
    assert list(merged.cat.categories) == ["MEL", "NV", "BCC", "BKL", splits.MERGED] and merged.cat.ordered
    assert splits.merged(merged).equals(merged), "what a five-class model answers stays"
    drawn = splits.balanced(hundred())
    pd.testing.assert_series_equal(splits.merged(drawn["original_label"]), drawn["label"], check_names=False)


# What makes no sense


def test_an_unknown_way():
    refusal(lambda: splits.standard(hundred(), by="patient"), "by='patient'", "use 'picture' or 'lesion'")


def test_a_picture_twice():
    table = pd.concat([hundred(), hundred().head(1)], ignore_index=True)
    refusal(lambda: splits.standard(table), "ISIC_0000000 stands in the table twice", "once")


def test_an_index_that_has_a_value_twice():
    table = hundred()
    table.index = [0, 0, *range(998)]
    refusal(lambda: splits.standard(table, by="picture"), "index has a value twice", "reset_index")


def test_balanced_without_one_of_the_five():
    refusal(lambda: splits.balanced(make_table([0, 1, 2, 3], [None] * 4)), "No picture of class BKL", "all five")


def test_merging_a_class_that_there_is_not():
    refusal(lambda: splits.merged(pd.Series(["NV", "nevus"])), "'nevus' is no class", "MEL, NV")


def test_balanced_with_one_picture_of_a_class_draws_one_of_each():
    table = make_table([0] * 9 + [1] * 20 + [2] * 5 + [4] + [7] * 3, [None] * 38)
    drawn = splits.balanced(table)
    assert drawn["label"].value_counts().tolist() == [1] * 5 and drawn["original_label"].tolist().count("BKL") == 1
