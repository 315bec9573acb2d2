"""Download the official archives of ISIC 2019 and ISIC 2018 Task 1, or some thousand of their images.

The folder then looks as if ISIC's zip files had been unpacked there by hand, with a text of licence and citation beside
them. The hidden folder ``.download`` holds unfinished downloads.

An archive has up to 11 GB, so its download will be interrupted now and then. `fetch` asks for the rest of a file where
it stopped (RFC 9110: Range and If-Range), in a later process too. ISIC publishes no checksums: a file is accepted if
its size is plausible and if it holds the right number of rows or images, each with the CRC-32 that the zip gives it.
"""

import hashlib
import json
import shutil
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import pandas as pd
import requests
from remotezip import RemoteIOError, RemoteZip, RemoteZipError
from tqdm.auto import tqdm
from urllib3 import Retry
from urllib3.exceptions import HTTPError

from isic_utils.archive import CODES, MASK_ENDING, UNKNOWN
from isic_utils.datasets.tables import files_by_name, read_csv
from isic_utils.errors import IsicError
from isic_utils.files import ELSEWHERE, acquire, whole, writing
from isic_utils.settings import MARKER, PROJECT

DEFAULT_FOLDER = PROJECT / "data" / "isic"
# ISIC's servers: the one since 2025 and the one before. Both have the same files.
SERVERS = ["https://isic-archive.s3.amazonaws.com/challenges", "https://isic-challenge-data.s3.amazonaws.com"]
RETRIES = 6  # further attempts in a row that bring nothing new
BACKOFF = 1.0  # seconds before the second of them, doubled each time
TIMEOUT = 30.0  # seconds of silence after which a connection counts as broken
THREADS = 8  # images extracted at a time
AT_LEAST = 20  # images of each class, or all that it has, however few are requested
# What zipfile and remotezip raise for a damaged file or a broken connection, depending on where it happens.
BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, UnicodeError, RemoteZipError, HTTPError)


class Unusable(IsicError):
    """A server does not deliver the expected file, so the next one is tried."""


@dataclass(frozen=True)
class File:
    """A file as ISIC publishes it.

    split: training, validation or test; kind: images or masks (a zip), or table (a CSV); size: bytes, about, because
    ISIC has exchanged files before; count: images, masks or rows in it.
    """

    name: str
    split: str
    kind: str
    size: int
    count: int


# Names, counts, licences and citations are those of https://challenge.isic-archive.com/data. Sizes are as downloaders
# noted them in public; of the 2019 test files that page's rounded ones, whose KB and GB are powers of 1024.
ARCHIVES = {
    2019: (
        File("ISIC_2019_Training_GroundTruth.csv", "training", "table", 1_291_479, 25_331),
        File("ISIC_2019_Training_Metadata.csv", "training", "table", 1_214_351, 25_331),
        File("ISIC_2019_Training_Input.zip", "training", "images", 9_771_618_190, 25_331),
        File("ISIC_2019_Test_GroundTruth.csv", "test", "table", 465_000, 8_238),
        File("ISIC_2019_Test_Metadata.csv", "test", "table", 294_000, 8_238),
        File("ISIC_2019_Test_Input.zip", "test", "images", 3_870_000_000, 8_238),
    ),
    2018: (
        File("ISIC2018_Task1_Training_GroundTruth.zip", "training", "masks", 27_402_895, 2_594),
        File("ISIC2018_Task1-2_Training_Input.zip", "training", "images", 11_165_358_566, 2_594),
        File("ISIC2018_Task1_Validation_GroundTruth.zip", "validation", "masks", 759_706, 100),
        File("ISIC2018_Task1-2_Validation_Input.zip", "validation", "images", 239_231_159, 100),
        File("ISIC2018_Task1_Test_GroundTruth.zip", "test", "masks", 9_680_101, 1_000),
        File("ISIC2018_Task1-2_Test_Input.zip", "test", "images", 2_370_457_338, 1_000),
    ),
}
TERMS = {2019: "ISIC 2019: CC BY-NC 4.0, no commercial use", 2018: "ISIC 2018 Task 1: CC0, no conditions"}


def download(year: int, split: str, folder: Path | str, images: int | None = None, seed: int = 0) -> None:
    """Download a split of an archive into `folder`. What is there already stays and is not asked for again.

    year: 2019 or 2018; split: training, validation (2018 alone has one), test or all.
    images: about how many images of each split, chosen by `choose` with `seed`; None: all. Tables and masks always
        come whole, with 0 they alone. More images, or all, can be downloaded later.

    It may be stopped at any moment; called again, it continues from there. Every file is written whole or not at all.

    Raises IsicError if there is no such split, the folder holds synthetic images, another process downloads into it,
    the disk is full, or no server delivers the expected file.
    """
    folder = Path(folder)
    files = [file for file in ARCHIVES.get(year, ()) if split in (file.split, "all")]
    if not files:
        raise IsicError(f"ISIC {year} has no split {split!r} here: choose 2019 or 2018, and training, test or all.")
    if (folder / MARKER).exists():
        raise IsicError(f"{folder} holds synthetic images, which must not be mixed with real ones: choose another.")
    with writing(folder, ELSEWHERE), acquire(folder / ".download" / "lock", wait=False):
        licence = folder / f"ISIC_{year}_licence.txt"
        if not licence.exists():
            terms = f"{TERMS[year]}; authors, citations: challenge.isic-archive.com/data/#{year}"
            print(terms)
            with whole(licence) as unfinished:
                unfinished.write_text(terms + "\n", encoding="utf-8")
        for file in files:  # of a split first the tables or masks, then the images
            some = file.kind == "images" and images is not None
            names = choose(image_table(year, file.split, folder), images, seed) if some else None
            place, there = place_of(file, folder), images_in(place_of(file, folder))
            all_there = len(there) >= file.count if names is None else there.keys() >= set(names)
            if not (place.is_file() or all_there):
                obtain(year, file, folder, names)
            if names is None:
                forget(folder / ".download" / file.name)  # also what was left by a process that was killed here
            print(f"{file.name}: complete.")


def obtain(year: int, file: File, folder: Path, names: list[str] | None) -> None:
    """Download a file, or of a zip the images `names` alone, from the first server that gives it, and unpack it."""
    path, failures = folder / ".download" / file.name, []
    for address in (f"{server}/{year}/{file.name}" for server in SERVERS):
        print(f"{address} ...")
        try:
            with connect() as session:
                if names is None:
                    fetch(session, address, path, file.size)
                    return unpack(path, file, folder)
                open_zip = partial(RemoteZip, address, session=session, timeout=TIMEOUT)
                return unzip_remotely(open_zip, file, folder, names)
        except (Unusable, requests.RequestException) as error:
            failures.append(f"{address}: {str(error)[:300]}")
    raise IsicError(f"{file.name} cannot be downloaded ({'; '.join(failures)}): try again later, which goes on here.")


def unpack(path: Path, file: File, folder: Path) -> None:
    """Check a downloaded file, and put it, or the images in it, into its place."""
    try:
        if file.kind != "table":
            return unzip(partial(zipfile.ZipFile, path), file, folder)
        content = path.read_bytes().removeprefix(b"\xef\xbb\xbf").strip()
        if not content.startswith(b"image,") or content.count(b"\n") != file.count:
            raise Unusable(f"it is no table with a column image and {file.count:,} rows")
        path.replace(folder / file.name)
    except (Unusable, *BROKEN) as error:
        forget(path)
        raise Unusable(f"the file is damaged ({error})") from error


# One file from one server


def connect() -> requests.Session:
    """Connections that repeat a request which fails before the first byte; proxies are taken from the environment."""
    retry = Retry(RETRIES, backoff_factor=BACKOFF, status_forcelist=[429, 500, 502, 503, 504])
    retry.raise_on_status = retry.respect_retry_after_header = False  # a server may name any time to wait, hours too
    session = requests.Session()
    session.headers["Accept-Encoding"] = "identity"  # a compressed response cannot be continued at a byte of the file
    for scheme in ("http://", "https://"):
        session.mount(scheme, requests.adapters.HTTPAdapter(max_retries=retry))
    return session


def fetch(session: requests.Session, address: str, path: Path, size: int) -> None:
    """Download the file `path` from `address`; an interrupted download goes on where it stopped.

    size: bytes, about. A JSON file beside it notes which version is on its way, so that two are never joined.

    Raises Unusable or requests.RequestException if this server does not give the file.
    """
    path.touch()
    needed = 2 * size - path.stat().st_size + 1e8  # for a zip and its images, and 0.1 GB to spare
    if shutil.disk_usage(path.parent).free < needed:
        raise IsicError(f"{path.parent} needs {needed / 1e9:.1f} GB: free disk space or ask for fewer images.")
    furthest = failures = 0
    while not receive(session, address, path, size):
        failures = failures + 1 if path.stat().st_size <= furthest else 0
        furthest = max(furthest, path.stat().st_size)
        if failures > RETRIES:
            raise Unusable(f"it broke off {failures} times without a new byte")


def receive(session: requests.Session, address: str, path: Path, size: int) -> bool:
    """Append one response of the server to a file, or start the file again. Returns whether it is complete."""
    version, note = {"size": 0}, path.with_suffix(".json")
    with suppress(OSError, ValueError):
        version = json.loads(note.read_text(encoding="utf-8"))
    offset = path.stat().st_size if version.get("tag") else 0
    if offset and offset == version["size"]:
        return True
    headers = {"Range": f"bytes={offset}-", "If-Range": version["tag"]} if offset else {}
    with session.get(address, headers=headers, stream=True, timeout=TIMEOUT) as response:
        response.raise_for_status()
        if response.status_code == 200:  # the whole file: no range was asked for, ranges are ignored, or it is new
            announced, kind = int(response.headers.get("Content-Length", 0)), response.headers.get("Content-Type", "")
            if kind.startswith("text/html") or not size / 2 <= announced <= size * 2:  # html: a network's login page
                raise Unusable(f"it is another file, of {announced:,} bytes ({kind}) instead of about {size:,}")
            version, offset = {"size": announced, "tag": response.headers.get("ETag")}, 0
            path.write_bytes(b"")  # before the note: bytes are of the version that is noted
            with whole(note) as unfinished:
                unfinished.write_text(json.dumps(version), encoding="utf-8")
        elif response.headers.get("Content-Range") != f"bytes {offset}-{version['size'] - 1}/{version['size']}":
            raise Unusable("it gives another range than the one asked for")
        progress = dict(total=version["size"], initial=offset, desc=path.name, disable=None)
        with tqdm.wrapattr(response.raw, "read", **progress) as body, open(path, "ab") as stream, suppress(HTTPError):
            shutil.copyfileobj(body, stream, 2**16)  # bytes at a time: what came before a break stays
    return path.stat().st_size == version["size"]


def forget(path: Path) -> None:
    """Remove a file and then its note: bytes without a note are never continued."""
    path.unlink(missing_ok=True)
    path.with_suffix(".json").unlink(missing_ok=True)


# Images out of a zip


def unzip_remotely(open_zip: partial[zipfile.ZipFile], file: File, folder: Path, names: list[str]) -> None:
    """Extract the named images of a zip on a server; after a broken connection, those that are still missing."""
    for attempt in range(RETRIES + 1):
        try:
            return unzip(open_zip, file, folder, names)
        except BROKEN as error:  # RemoteIOError: a request failed, although `connect` repeated it
            if attempt == RETRIES or isinstance(error, RemoteIOError):
                raise Unusable(f"it cannot be read or is damaged ({error})") from error


def unzip(open_zip: partial[zipfile.ZipFile], file: File, folder: Path, names: list[str] | None = None) -> None:
    """Extract the named images or masks (all, if None) of a zip into their flat folder, but for those that are there.

    open_zip: opens the zip, here or on a server; `remotezip` then asks for the bytes of the images alone. Each thread
    opens the zip for itself, because two cannot read from one.

    Raises Unusable if the zip is not what it must be.
    """
    with open_zip() as archive:
        found = members(archive, file)
    target = place_of(file, folder)
    wanted = set(found if names is None else names)
    if wanted - set(found):
        raise Unusable(f"it is another archive, without {min(wanted - set(found))}")
    missing = sorted(wanted - set(images_in(target)))
    target.mkdir(exist_ok=True)
    waiting = iter(missing)  # each thread takes the next

    def extract_next(_: int) -> None:
        with open_zip() as archive:
            for name in waiting:
                place = target / PurePosixPath(found[name].filename).name
                with whole(place) as unfinished, archive.open(found[name]) as member, open(unfinished, "wb") as stream:
                    shutil.copyfileobj(member, stream)  # checks the CRC-32
                bar.update()

    bar = tqdm(desc=target.name, total=len(missing), unit="image", disable=None)
    with bar, ThreadPoolExecutor(THREADS) as pool:
        try:
            list(pool.map(extract_next, range(min(THREADS, len(missing)))))
        except KeyboardInterrupt:  # after an error in one thread, the others take what is left
            list(waiting)
            raise


def members(archive: zipfile.ZipFile, file: File) -> dict[str, zipfile.ZipInfo]:
    """The images or masks in a zip: file name without ending -> member. Everything else (licence texts, superpixels) is
    passed over. Raises Unusable if the zip may harm or is not the file that was expected."""
    found: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        path = PurePosixPath(info.orig_filename)
        outside = path.is_absolute() or ".." in path.parts or set(info.orig_filename) & set("\\:\0")
        if outside or info.external_attr >> 28 == 0o12 or info.header_offset < 0:  # 0o12: Unix's file type of links
            raise Unusable(f"it holds a link or something outside its folder ({info.orig_filename!r})")
        if path.suffix == {"images": ".jpg", "masks": ".png"}[file.kind] and not path.name.startswith("."):
            found[path.stem] = info
    if len(found) != file.count:
        raise Unusable(f"it is another archive, with {len(found):,} {file.kind} instead of {file.count:,}")
    if sum(info.file_size for info in found.values()) > 3 * file.size:  # JPEG and PNG are compressed already
        raise Unusable("it would unpack to more than three times its size")
    return found


# What is there, and what is wanted


def place_of(file: File, folder: Path) -> Path:
    """Where a table lies, or the folder that a zip unpacks to."""
    return folder / file.name.removesuffix(".zip")


def images_in(folder: Path) -> dict[str, Path]:
    """The images in a folder: file name without ending -> path; none if there is no folder."""
    return files_by_name(folder) if folder.is_dir() else {}


def image_table(year: int, split: str, folder: Path) -> pd.DataFrame:
    """What the tables or masks of a split say of its images: columns image, label and lesion_id.

    Without labels all images have the label ""; an image of no known lesion counts as a lesion of its own.
    """
    first, second = [file for file in ARCHIVES[year] if file.split == split][:2]
    if first.kind == "masks":
        names = [name.removesuffix(MASK_ENDING) for name in images_in(place_of(first, folder))]
        return pd.DataFrame({"image": names, "label": "", "lesion_id": names})
    truth, metadata = read_csv(folder / first.name, [*CODES, UNKNOWN]), read_csv(folder / second.name, ["image"])
    table = truth[["image"]].assign(label=truth[[*CODES, UNKNOWN]].astype(float).idxmax(axis=1))
    # The official test set has no lesion_id.
    table = table.merge(metadata.reindex(columns=["image", "lesion_id"]), on="image", how="left")
    return table.assign(lesion_id=table["lesion_id"].astype(object).fillna(table["image"]))


def choose(table: pd.DataFrame, images: int, seed: int = 0) -> list[str]:
    """Choose about `images` images: each class in proportion, but at least `AT_LEAST` of it (fewer if few are asked
    for), and of a lesion all images or none, so the number may come out a little larger.

    table: image, label, lesion_id. The order in which lesions are taken depends on `seed` alone: a larger choice holds
    the smaller ones.
    """
    at_least = min(AT_LEAST, max(1, images // (2 * table["label"].nunique()))) if images > 0 else 0
    # the order of the hashes is random, and the same everywhere
    turn = table["lesion_id"].map(lambda lesion: hashlib.sha256(f"{seed} {lesion}".encode()).hexdigest())
    table = table.assign(turn=turn).sort_values(["label", "turn"], kind="stable")
    of_class = table.groupby("label")["image"]
    wanted = (images * of_class.transform("size") / len(table)).round().clip(lower=at_least)
    before = of_class.cumcount().groupby([table["label"], table["turn"]]).transform("min")  # in the lesions before
    return table["image"][before < wanted].tolist()
