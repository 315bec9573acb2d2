"""A few thousand pictures of an archive instead of all: which ones, and how they come out of a zip on a distant server.

`remotezip` reads a zip over HTTP: it asks for the directory at the zip's end, then for the bytes of each picture
that is wanted.
"""

import hashlib
import os
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import pandas as pd
import requests
import urllib3
from remotezip import RangeNotSupported, RemoteIOError, RemoteZip, RemoteZipError
from tqdm.auto import tqdm

from isic_utils.datasets import archive as archives, tables, transfer, unpacking
from isic_utils.datasets.archive import Archive, File
from isic_utils.datasets.transfer import AddressFailed, Patience
from isic_utils.errors import IsicError

AT_LEAST = 20  # pictures of each class, or all that it has, however few are asked for
THREADS = 8  # pictures on the way at a time; each waits for the server most of the time
BROKEN = (RemoteZipError, urllib3.exceptions.HTTPError, ConnectionError, *unpacking.DAMAGE)


def download(
    archive: Archive, part: str, pictures: int, folder: Path, patience: Patience | None = None, seed: int = 0
) -> None:
    """Bring about `pictures` pictures of a part of an archive into `folder`, and its tables or masks whole.

    The pictures are chosen by `choose`. They lie as those of the whole archive do, and the tables keep all rows:
    `tables` uses those whose picture is there. More pictures, or all, can be brought later; those there are kept.

    Raises IsicError as `archive.download` does, and if no address gives parts of a file.
    """
    files = archives.files_of(archive, part)
    patience = patience or Patience()
    with archives.at_work_in(folder):
        archives.bring(archive, [file for file in files if file.kind != "pictures"], folder, patience)
        for file in files:
            if file.kind == "pictures":
                names = choose(described(archive, file.part, folder), pictures, seed)
                bring_pictures(file, [f"{name}.jpg" for name in names], folder, patience)


def described(archive: Archive, part: str, folder: Path) -> pd.DataFrame:
    """What is known of a part's pictures from its tables or masks: image, label and lesion_id.

    Where there are no labels, all pictures have the label ""; a picture of no known lesion is one of its own.
    """
    files = [file for file in archive.files if file.part == part]
    masks = [file for file in files if file.kind == "masks"]
    if masks:
        names = sorted(unpacking.pictures_in(folder / masks[0].unpacked))
        images = pd.Series([name.removesuffix(f"{tables.MASK_ENDING}.png") for name in names])
        return pd.DataFrame({"image": images, "label": "", "lesion_id": images})
    truth, metadata = (tables.read_csv(folder / file.name, ["image"]) for file in files if file.kind == "table")
    codes = [code for code in [*tables.CODES, "UNK"] if code in truth]
    labels = truth[codes].apply(pd.to_numeric, errors="coerce").fillna(0).idxmax(axis=1)
    lesions = metadata.set_index("image").reindex(truth["image"]).get("lesion_id")  # the official test part has none
    lesions = truth["image"] if lesions is None else pd.Series(lesions.to_numpy(), truth.index).fillna(truth["image"])
    return pd.DataFrame({"image": truth["image"], "label": labels, "lesion_id": lesions})


def choose(table: pd.DataFrame, pictures: int, seed: int = 0) -> list[str]:
    """About `pictures` images: each class in proportion, but at least `AT_LEAST` of it (fewer if few are asked for),
    and all pictures of a lesion or none, so the number may come out a little larger.

    table: image, label, lesion_id. The order in which lesions are taken depends on `seed` alone: a larger choice holds
    the smaller ones.
    """
    classes = table["label"].nunique()
    if pictures < classes:
        raise IsicError(f"{pictures} pictures are too few for {classes} classes: ask for more with --pictures.")
    at_least = min(AT_LEAST, max(1, pictures // (2 * classes)))
    chosen = []
    for _, of_class in table.groupby("label"):
        wanted = max(at_least, round(pictures * len(of_class) / len(table)))
        for _, images in sorted(of_class.groupby("lesion_id")["image"], key=lambda lesion: turn(lesion[0], seed)):
            if wanted <= 0:
                break
            chosen += images.tolist()
            wanted -= len(images)
    return chosen


def turn(lesion: str, seed: int) -> str:
    """What lesions are sorted by, to take them in an order that looks random and is the same everywhere."""
    return hashlib.sha256(f"{seed} {lesion}".encode()).hexdigest()


def bring_pictures(file: File, names: list[str], folder: Path, patience: Patience) -> None:
    """Bring the named pictures of a zip from the first address that gives parts of it."""
    target = folder / file.unpacked
    failures = []
    for address in file.addresses:
        missing = set(names) - set(unpacking.pictures_in(target))
        if not missing:
            break
        print(f"{len(missing):,} pictures of {file.name} from {transfer.host(address)} ...")
        try:
            fetch_pictures(address, file, names, folder, patience)
            break
        except AddressFailed as error:
            failures.append(f"{transfer.host(address)} {error}")
        except unpacking.Damaged as error:
            failures.append(f"the file at {transfer.host(address)} {error}")
    else:
        raise archives.not_given(file, failures)
    print(f"{file.unpacked} has the {len(names):,} pictures chosen.")


def fetch_pictures(address: str, file: File, names: list[str], folder: Path, patience: Patience) -> None:
    """Read the named pictures, but for those that are there, out of the zip at an address, several at a time.

    Each appears in its folder when it is whole. Raises IsicError if a picture that is there is another one.
    """
    work, target = folder / ".download" / f"{file.unpacked}.some", folder / file.unpacked
    there = unpacking.pictures_in(target)
    with transfer.session(patience) as connections:
        read = patient_reader(address, connections, patience)
        found = read(lambda zipped: unpacking.members(zipped, ".jpg", file.count, file.size))
        absent = [name for name in names if name not in found]
        if absent:
            raise unpacking.Damaged(f"is another archive: it lacks {absent[0]}")
        for name in there.keys() & set(names):
            unpacking.check_same_size(there[name], found[name])
        missing = [name for name in names if name not in there]
        archives.need_space(folder, sum(found[name].file_size for name in missing))
        work.mkdir()
        target.mkdir(exist_ok=True)

        def bring(name: str) -> None:
            (work / name).write_bytes(read(lambda zipped: zipped.read(found[name].filename)))
            os.replace(work / name, target / name)

        pool = ThreadPoolExecutor(THREADS)
        try:
            futures = [pool.submit(bring, name) for name in missing]
            bar = dict(total=len(missing), desc=target.name, unit="picture", leave=False, disable=None)
            for future in tqdm(as_completed(futures), **bar):
                future.result()
        finally:  # also when one has failed, or at Ctrl-C: those on the way are finished, the others not begun
            pool.shutdown(cancel_futures=True)
            shutil.rmtree(work, ignore_errors=True)


def patient_reader(address: str, connections: requests.Session, patience: Patience) -> Callable[[Callable], Any]:
    """A function that returns what `action` returns of the zip at an address, opened again if a connection breaks.

    Each thread has the zip open for itself, since two cannot read from one.

    The function raises AddressFailed if the address does not give parts of the file, or breaks off again and again.
    """
    of_thread = threading.local()

    def read(action: Callable[[RemoteZip], Any]) -> Any:
        for _ in range(patience.attempts + 1):
            try:
                if getattr(of_thread, "zipped", None) is None:
                    of_thread.zipped = RemoteZip(address, session=connections, timeout=patience.timeout)
                return action(of_thread.zipped)
            except RangeNotSupported as error:
                raise AddressFailed("does not give parts of a file: download all of it, without --pictures") from error
            except RemoteIOError as error:  # of the request, which `connections` has repeated patiently
                raise AddressFailed(why_refused(error.__context__, patience.timeout)) from error
            except IsicError:
                raise
            except BROKEN as error:
                of_thread.zipped, reason = None, error
        raise AddressFailed(f"breaks off or is damaged ({reason})") from reason

    return read


def why_refused(error: Exception, timeout: float) -> str:
    """What a server answered, or why there was no answer, in a few words."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"answered {response.status_code} {response.reason}"
    return transfer.why_unreachable(error, timeout)
