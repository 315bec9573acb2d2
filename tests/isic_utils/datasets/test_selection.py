"""Some pictures of an archive: which are chosen, and how they come out of a zip on a server that misbehaves."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from archives import OFFICIAL, is_one_clear_message, names, write_tables
from web import SHORT, Site, below, picture_bytes, served, tiny, zip_of

from isic_utils.datasets import archive, selection, tables, unpacking
from isic_utils.errors import IsicError

COUNT = 400
CODES = [tables.CODES[number % 8 if number < 80 else 1] for number in range(COUNT)]  # 10 of each class, 330 of NV
SIZE = 2000
ZIP = f"{tables.PICTURES_2019}.zip"


@pytest.fixture(scope="session")
def files(tmp_path_factory) -> dict[str, bytes]:
    """ISIC 2019's and 2018's training files, small."""
    folder = tmp_path_factory.mktemp("official")
    write_tables(folder, names(COUNT), CODES)
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    for inside, number in ((tables.PICTURES_2019, COUNT), (tables.PICTURES_2018, 30)):
        found[f"{inside}.zip"] = zip_of(
            {f"{inside}/{name}.jpg": picture_bytes(seed, SIZE) for seed, name in enumerate(names(number))}
        )
    masks = {f"{tables.MASKS_2018}/{name}_segmentation.png": picture_bytes(1, 50) for name in names(30)}
    return found | {f"{tables.MASKS_2018}.zip": zip_of(masks)}


@pytest.fixture
def first(files):
    with served(Site(dict(files))) as site:
        yield site


@pytest.fixture
def second(files):
    with served(Site(dict(files))) as site:
        yield site


@pytest.fixture
def tiny_2019(first, second):
    kinds = [(tables.GROUND_TRUTH_2019, "table"), (tables.METADATA_2019, "table"), (ZIP, "pictures")]
    return tiny([(name, "training", kind, COUNT) for name, kind in kinds], [first, second])


def download(wanted, pictures, folder, part="training"):
    selection.download(wanted, part, pictures, folder, SHORT)


def tables_only(wanted, folder):
    archive.download(replace(wanted, files=wanted.files[:2]), "training", folder, SHORT)


def refused(wanted, pictures, folder, *parts: str) -> None:
    """Assert that it stops with one clear message, and that every picture there is whole."""
    with pytest.raises(IsicError) as caught:
        download(wanted, pictures, folder)
    is_one_clear_message(caught.value, *parts)
    assert_whole(folder)


def assert_whole(folder) -> None:
    """Assert that each picture is the archive's, and that nothing unfinished is left."""
    place = folder / tables.PICTURES_2019
    for path in place.iterdir() if place.exists() else []:
        assert path.read_bytes() == picture_bytes(int(path.stem.removeprefix("ISIC_")), SIZE)
    assert not [name for name in below(folder) if name.startswith(".download")]


# Which pictures


def a_table(counts: dict[str, int], seed: int = 0) -> pd.DataFrame:
    """A table with lesions of one to six pictures."""
    chance = np.random.default_rng(seed)
    labels = [code for code, count in counts.items() for _ in range(count)]
    lesions = np.repeat(np.arange(len(labels)), chance.integers(1, 7, len(labels)))[: len(labels)]
    return pd.DataFrame(
        {
            "image": names(len(labels)),
            "label": labels,
            "lesion_id": [f"{code}{n}" for code, n in zip(labels, lesions, strict=True)],
        }
    )


def test_classes_in_proportion_but_none_below_the_least():
    table = a_table(dict(MEL=2000, NV=6000, DF=40, VASC=10))
    chosen = table.set_index("image").loc[selection.choose(table, 1000)]["label"].value_counts()
    assert chosen["VASC"] == 10  # all that there are
    assert selection.AT_LEAST <= chosen["DF"] <= selection.AT_LEAST + 5
    assert 745 <= chosen["NV"] <= 751 and 248 <= chosen["MEL"] <= 254


def test_lesions_are_whole_and_no_picture_comes_twice():
    table = a_table(dict(MEL=500, NV=1000))
    chosen = selection.choose(table, 300)
    assert len(set(chosen)) == len(chosen)
    inside = table["image"].isin(chosen)
    assert not set(table["lesion_id"][inside]) & set(table["lesion_id"][~inside])


def test_the_choice_depends_on_the_seed_alone_and_grows():
    table = a_table(dict(MEL=500, NV=1000, DF=60))
    small = selection.choose(table, 200)
    assert set(small) == set(selection.choose(table.sample(frac=1, random_state=1), 200))
    assert set(small) < set(selection.choose(table, 400)) < set(selection.choose(table, 800))
    assert set(small) != set(selection.choose(table, 200, seed=1))
    assert set(selection.choose(table, 5000)) == set(table["image"])


def test_too_few_pictures_for_the_classes():
    with pytest.raises(IsicError) as caught:
        selection.choose(a_table(dict(MEL=9, NV=9, DF=9)), 2)
    is_one_clear_message(caught.value, "2 pictures are too few for 3 classes", "--pictures")


@pytest.mark.skipif(not OFFICIAL.is_dir(), reason=f"the official tables are not in {OFFICIAL}")
def test_three_thousand_of_the_official_table():
    table = selection.described(archive.ARCHIVES[2019], "training", OFFICIAL)
    assert table["label"].value_counts()["VASC"] == 253 and table["lesion_id"].notna().all()
    chosen = table.set_index("image").loc[selection.choose(table, 3000)]
    assert 3000 <= len(chosen) < 3030
    shares = chosen["label"].value_counts(normalize=True) - table["label"].value_counts(normalize=True)
    assert shares.abs().max() < 0.005


def test_the_official_test_part_has_unknown_pictures_and_no_lesions(tmp_path):
    known = archive.ARCHIVES[2019]
    (tmp_path / "ISIC_2019_Test_GroundTruth.csv").write_text(
        "image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK,score_weight,validation_weight\n"
        "A,0,1,0,0,0,0,0,0,0,1.0,0.0\nB,0,0,0,0,0,0,0,0,1,0.0,1.0\n",
        encoding="utf-8",
    )
    (tmp_path / "ISIC_2019_Test_Metadata.csv").write_text(
        "image,age_approx,anatom_site_general,sex\nB,50,,male\n", encoding="utf-8"
    )
    table = selection.described(known, "test", tmp_path)
    assert table.to_dict("list") == {"image": ["A", "B"], "label": ["NV", "UNK"], "lesion_id": ["A", "B"]}


# Bringing them


def test_only_the_bytes_of_the_chosen_pictures_move(tmp_path, first, tiny_2019, files, capsys):
    tables_only(tiny_2019, tmp_path)
    first.sent = 0
    download(tiny_2019, 50, tmp_path)
    assert_whole(tmp_path)
    table = tables.isic2019(tmp_path)
    assert 50 <= len(table) < 65 and set(table["label"]) == set(tables.CODES)
    assert f"{len(table)} of 400 pictures are in {tables.PICTURES_2019}" in capsys.readouterr().out
    assert "ISIC_tiny_licence.txt" in below(tmp_path)
    directories = 1 + selection.THREADS  # each opening of the zip costs its end and its directory
    assert first.sent < len(table) * (SIZE + 300) + directories * (64 * 1024 + COUNT * 120)
    assert all(wanted for name, wanted in first.requests if name == ZIP)


def test_the_second_call_asks_for_nothing_and_more_pictures_only_for_the_rest(tmp_path, first, tiny_2019):
    download(tiny_2019, 50, tmp_path)
    before = below(tmp_path)
    first.requests.clear()
    download(tiny_2019, 50, tmp_path)
    assert first.requests == [] and below(tmp_path) == before
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / tables.PICTURES_2019).iterdir()}
    download(tiny_2019, 120, tmp_path)
    assert before < below(tmp_path)
    assert all(path.stat().st_mtime_ns == at for path, at in times.items())
    assert_whole(tmp_path)


def test_later_all_pictures_can_be_brought(tmp_path, tiny_2019):
    download(tiny_2019, 50, tmp_path)
    archive.download(tiny_2019, "training", tmp_path, SHORT)
    assert_whole(tmp_path)
    assert len(tables.isic2019(tmp_path)) == COUNT


def test_isic_2018_gives_pairs(tmp_path, first):
    kinds = [(f"{tables.MASKS_2018}.zip", "masks"), (f"{tables.PICTURES_2018}.zip", "pictures")]
    wanted = tiny([(name, "training", kind, 30) for name, kind in kinds], [first])
    download(wanted, 10, tmp_path)
    table = tables.isic2018(tmp_path)
    assert len(table) == 10
    assert table["image"].tolist() != names(10)  # not simply the first


@pytest.mark.parametrize("faults", [[("drop", 900)] * 3, [("status", 503)] * 3, [("drop", 0)] * 3], ids=str)
def test_broken_connections_are_tried_again(tmp_path, first, second, tiny_2019, faults):
    tables_only(tiny_2019, tmp_path)
    first.faults.extend([(None, None), *faults])
    download(tiny_2019, 50, tmp_path)
    assert_whole(tmp_path)
    assert len(tables.isic2019(tmp_path)) >= 50 and second.requests == []


def test_a_connection_that_breaks_before_the_first_byte_of_a_picture(tmp_path, first, second, tiny_2019, monkeypatch):
    tables_only(tiny_2019, tmp_path)
    monkeypatch.setattr(selection, "THREADS", 1)
    opened_twice, pictures = [(None, None)] * 2, [("drop", 0), ("drop", 500)] * 3
    first.faults.extend([*opened_twice, *[fault for drop in pictures for fault in (drop, (None, None), (None, None))]])
    download(tiny_2019, 50, tmp_path)
    assert_whole(tmp_path)
    assert len(tables.isic2019(tmp_path)) >= 50 and second.requests == []


@pytest.mark.parametrize("fault", [("status", 403), ("status", 500), ("drop", 30), ("page", None)], ids=str)
def test_the_second_address_takes_over(tmp_path, first, second, tiny_2019, fault):
    tables_only(tiny_2019, tmp_path)
    first.always = fault
    download(tiny_2019, 50, tmp_path)
    assert_whole(tmp_path)
    assert len(tables.isic2019(tmp_path)) >= 50 and second.requests


def test_the_second_address_takes_over_midway(tmp_path, first, second, tiny_2019):
    tables_only(tiny_2019, tmp_path)
    first.faults.extend([(None, None)] * 30 + [("status", 404)] * 100)
    download(tiny_2019, 50, tmp_path)
    assert_whole(tmp_path)
    assert len(tables.isic2019(tmp_path)) >= 50 and second.requests


def test_a_server_that_ignores_ranges_is_said(tmp_path, first, second, tiny_2019):
    first.ranges = second.ranges = False
    tables_only(tiny_2019, tmp_path)
    refused(tiny_2019, 50, tmp_path, f"{ZIP} cannot be downloaded", "does not give parts", "without --pictures")
    assert not (tmp_path / tables.PICTURES_2019).exists()


def test_a_server_that_is_away_is_said(tmp_path, first, second, tiny_2019):
    tables_only(tiny_2019, tmp_path)
    first.always, second.always = ("status", 403), ("status", 404)
    refused(tiny_2019, 50, tmp_path, "answered 403 Forbidden", "answered 404 Not Found")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (zip_of({}, COUNT - 1), "is another archive: it holds 399 pictures"),
        (zip_of({f"ISIC_9{number:06d}.jpg": b"x" for number in range(COUNT)}), "is another archive: it lacks ISIC_0"),
        (zip_of({"../evil.jpg": b"x"}, COUNT - 1), "leads out of its folder"),
        (zip_of({"ISIC_0000399.jpg": bytes(9_000_000)}, COUNT - 1), "would unpack to"),
        (b"<html>" * 2000, "File is not a zip file"),
    ],
    ids=["too few", "others", "outside", "bomb", "page"],
)
def test_a_wrong_zip_is_refused(tmp_path, first, second, tiny_2019, content, fault):
    tables_only(tiny_2019, tmp_path)
    first.files[ZIP] = second.files[ZIP] = content
    refused(tiny_2019, 50, tmp_path, fault)
    assert not (tmp_path / tables.PICTURES_2019).exists()


def test_damaged_pictures_are_not_written(tmp_path, first, second, tiny_2019, files):
    tables_only(tiny_2019, tmp_path)
    content = bytearray(files[ZIP])
    for start in range(1000, COUNT * SIZE, SIZE):  # one byte in every picture
        content[start] ^= 0xFF
    first.files[ZIP] = second.files[ZIP] = bytes(content)
    refused(tiny_2019, 50, tmp_path, "breaks off or is damaged")


def test_a_full_disk_is_seen_before_a_picture_comes(tmp_path, tiny_2019, monkeypatch):
    tables_only(tiny_2019, tmp_path)
    monkeypatch.setattr(archive, "SPARE", 0)
    monkeypatch.setattr(archive, "free_bytes", lambda folder: 50 * SIZE)
    refused(tiny_2019, 50, tmp_path, "GB free", "--folder")
    assert not list(tmp_path.rglob("*.jpg"))


def test_stopped_midway_it_keeps_what_came(tmp_path, first, tiny_2019, monkeypatch):
    tables_only(tiny_2019, tmp_path)
    real, moved = selection.os.replace, []

    def stop(source, target):
        moved.append(target)
        if len(moved) > 20:
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(selection.os, "replace", stop)
    refused(tiny_2019, 50, tmp_path, "cannot be written (No space left on device)")
    monkeypatch.undo()
    there = len(unpacking.pictures_in(tmp_path / tables.PICTURES_2019))
    assert there == 20
    first.requests.clear()
    download(tiny_2019, 50, tmp_path)
    assert_whole(tmp_path)
    whole = len(unpacking.pictures_in(tmp_path / tables.PICTURES_2019))
    assert whole >= 50 and len(first.requests) <= whole - there + 2 * (1 + selection.THREADS)


def test_another_picture_of_the_same_name_is_said(tmp_path, tiny_2019):
    download(tiny_2019, 50, tmp_path)
    picture = next((tmp_path / tables.PICTURES_2019).iterdir())
    picture.write_bytes(b"reduced by me")
    with pytest.raises(IsicError) as caught:
        download(tiny_2019, 100, tmp_path)
    is_one_clear_message(caught.value, str(picture), "13 bytes instead of 2,000", "move the folder")
    assert picture.read_bytes() == b"reduced by me"


def test_another_process_is_respected(tmp_path, tiny_2019):
    with archive.at_work_in(tmp_path), pytest.raises(IsicError) as caught:
        download(tiny_2019, 50, tmp_path)
    is_one_clear_message(caught.value, "Another process", str(tmp_path))
