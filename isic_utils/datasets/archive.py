"""The official archives of ISIC 2019 and ISIC 2018 Task 1: what they hold, where they lie, and how they come here.

``data/isic`` then looks as if ISIC's zip files had been unpacked there by hand. Beside the pictures and tables it
holds ``downloaded.json``, which notes size and sha256 of every file when it first came, because ISIC publishes none,
and a text with licence and citation. The hidden folder ``.download`` has what is not finished.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from isic_utils import settings as profile
from isic_utils.datasets import transfer, unpacking
from isic_utils.datasets.transfer import Patience
from isic_utils.errors import IsicError

FOLDER = profile.PROJECT / "data" / "isic"
PLACES = ["https://isic-archive.s3.amazonaws.com/challenges/", "https://isic-challenge-data.s3.amazonaws.com/"]
ENDINGS = {"pictures": ".jpg", "masks": ".png"}
SPARE = 100_000_000  # bytes to leave free on the disk


@dataclass(frozen=True)
class File:
    """One file as ISIC publishes it.

    part: training, validation or test; kind: pictures or masks (a zip), or table (a CSV); size: bytes, about, since
    ISIC has exchanged files before; count: pictures, masks or rows in it; addresses: of the same file, in the order in
    which they are tried.
    """

    name: str
    part: str
    kind: str
    size: int
    count: int
    addresses: tuple[str, ...]

    @property
    def unpacked(self) -> str:
        """The folder that a zip unpacks to, or the name of the table."""
        return self.name.removesuffix(".zip")


@dataclass(frozen=True)
class Archive:
    """The files of one challenge, with the terms on which they may be used."""

    title: str
    licence: str
    citation: tuple[str, ...]
    files: tuple[File, ...]

    @property
    def parts(self) -> list[str]:
        """The parts it has, in the order of its files."""
        return list(dict.fromkeys(file.part for file in self.files))


def official(year: int, name: str, part: str, kind: str, size: int, count: int) -> File:
    """A file at both of ISIC's addresses: the one since 2025 and the one before."""
    return File(name, part, kind, size, count, tuple(f"{place}{year}/{name}" for place in PLACES))


# Names, counts, licences and citations are those of https://challenge.isic-archive.com/data. Sizes are as downloaders
# noted them in public; of the 2019 test files that page's rounded ones, whose KB and GB are powers of 1024.
TSCHANDL = "Tschandl, Rosendahl, Kittler: The HAM10000 dataset. Sci. Data 5, 180161 (2018), doi:10.1038/sdata.2018.161"
ARCHIVES = {
    2019: Archive(
        "ISIC 2019",
        "CC BY-NC 4.0 (https://creativecommons.org/licenses/by-nc/4.0): name the authors; no commercial use",
        (
            "BCN_20000: (c) Department of Dermatology, Hospital Clínic de Barcelona; HAM10000: (c) ViDIR Group, "
            "Department of Dermatology, Medical University of Vienna; MSK: (c) Anonymous",
            TSCHANDL,
            "Codella et al.: Skin lesion analysis toward melanoma detection (ISBI 2017), arXiv:1710.05006",
            "Hernández-Pérez et al.: BCN20000. Sci. Data 11, 641 (2024), doi:10.1038/s41597-024-03387-w; "
            "first Combalia et al., arXiv:1908.02288",
        ),
        (
            official(2019, "ISIC_2019_Training_GroundTruth.csv", "training", "table", 1_291_479, 25_331),
            official(2019, "ISIC_2019_Training_Metadata.csv", "training", "table", 1_214_351, 25_331),
            official(2019, "ISIC_2019_Training_Input.zip", "training", "pictures", 9_771_618_190, 25_331),
            official(2019, "ISIC_2019_Test_GroundTruth.csv", "test", "table", 465_000, 8_238),
            official(2019, "ISIC_2019_Test_Metadata.csv", "test", "table", 294_000, 8_238),
            official(2019, "ISIC_2019_Test_Input.zip", "test", "pictures", 3_870_000_000, 8_238),
        ),
    ),
    2018: Archive(
        "ISIC 2018 Task 1",
        "CC0 (https://creativecommons.org/publicdomain/zero/1.0): no conditions; please cite",
        ("Codella, Rotemberg, Tschandl et al.: Skin lesion analysis toward melanoma detection 2018, arXiv:1902.03368",)
        + (TSCHANDL,),
        (
            official(2018, "ISIC2018_Task1_Training_GroundTruth.zip", "training", "masks", 27_402_895, 2_594),
            official(2018, "ISIC2018_Task1-2_Training_Input.zip", "training", "pictures", 11_165_358_566, 2_594),
            official(2018, "ISIC2018_Task1_Validation_GroundTruth.zip", "validation", "masks", 759_706, 100),
            official(2018, "ISIC2018_Task1-2_Validation_Input.zip", "validation", "pictures", 239_231_159, 100),
            official(2018, "ISIC2018_Task1_Test_GroundTruth.zip", "test", "masks", 9_680_101, 1_000),
            official(2018, "ISIC2018_Task1-2_Test_Input.zip", "test", "pictures", 2_370_457_338, 1_000),
        ),
    ),
}


def download(archive: Archive, part: str, folder: Path, patience: Patience | None = None) -> None:
    """Bring a part of an archive into `folder`, whole; what is there already is left as it is and not asked for again.

    part: training, validation, test or all. It may be stopped at any moment, and goes on there when called again.

    Raises IsicError if the archive has no such part, no address gives a file, the disk has no room, or another process
    downloads into the folder.
    """
    files = files_of(archive, part)
    with at_work_in(folder):
        bring(archive, files, folder, patience or Patience())


def files_of(archive: Archive, part: str) -> list[File]:
    """The files of a part, tables and masks first."""
    if part not in (*archive.parts, "all"):
        raise IsicError(f"{archive.title} has no part {part!r}: choose one of {', '.join(archive.parts)}, all.")
    return [file for file in archive.files if part in (file.part, "all")]


@contextmanager
def at_work_in(folder: Path) -> Iterator[None]:
    """The folder is this process's alone meanwhile. It is made if it is missing. What the disk refuses is said."""
    if (folder / profile.MARKER).exists():
        raise IsicError(f"{folder} holds synthetic pictures, which must not be mixed with real ones: choose another.")
    work = folder / ".download"
    try:
        work.mkdir(parents=True, exist_ok=True)
        with FileLock(work / "lock", timeout=0):
            for path in work.iterdir():
                if path.is_dir():  # half unpacked by a process that was killed
                    shutil.rmtree(path)
            yield
    except Timeout as error:
        raise IsicError(f"Another process downloads into {folder}: wait until it has ended, or stop it.") from error
    except OSError as error:
        raise IsicError(
            f"{folder} cannot be written ({error.strerror or error}): free disk space or choose another folder with "
            "--folder, then start the same command again, which goes on where this one stopped."
        ) from error


def bring(archive: Archive, files: list[File], folder: Path, patience: Patience) -> None:
    """Bring those of the files that are missing. The caller is `at_work_in` the folder."""
    missing = []
    for file in files:
        if is_there(file, folder):
            print(f"{file.unpacked} is there.")
            transfer.tidy(folder / ".download" / file.name)  # a process may have been killed just before that
        else:
            missing.append(file)
    if missing:
        show_terms(archive, folder)
        # A table is only moved. A zip lies beside what it unpacks to, and is deleted after that.
        unpacked = sum(file.size for file in missing)
        need_space(folder, unpacked + max(file.size for file in missing) - sum(begun(file, folder) for file in missing))
    for file in missing:
        obtain(file, folder, patience)


def is_there(file: File, folder: Path) -> bool:
    """Whether a table, or all pictures of a zip, lie in the folder."""
    place = folder / file.unpacked
    return place.is_file() if file.kind == "table" else len(unpacking.pictures_in(place)) >= file.count


def begun(file: File, folder: Path) -> int:
    """The bytes of an unfinished transfer that are on the disk already."""
    whole = folder / ".download" / file.name
    return transfer.length(whole) or transfer.length(transfer.part_and_note(whole)[0])


def show_terms(archive: Archive, folder: Path) -> None:
    """Print licence and citation the first time, and keep them beside the data."""
    file = folder / f"{archive.title.replace(' ', '_')}_licence.txt"
    if not file.exists():
        text = f"{archive.title}\nLicence: {archive.licence}\nCite:\n" + "\n".join(f"- {it}" for it in archive.citation)
        print(text)
        transfer.write_text(file, text)


def need_space(folder: Path, size: int) -> None:
    """Raise IsicError unless the folder's disk has `size` bytes free and some to spare."""
    free = free_bytes(folder)
    if free < size + SPARE:
        raise IsicError(
            f"{folder} needs about {(size + SPARE) / 1e9:,.1f} GB and has {free / 1e9:,.1f} GB free: free disk space, "
            "choose a folder on another disk with --folder, or take a part with --pictures."
        )


def free_bytes(folder: Path) -> int:
    """The free bytes on the disk that a folder is on."""
    return shutil.disk_usage(folder).free


def obtain(file: File, folder: Path, patience: Patience) -> None:
    """Bring one file from the first address that gives it, check it, and put it into its place."""
    whole = folder / ".download" / file.name
    begun_there = transfer.begun_at(whole)
    failures = []
    for address in sorted(file.addresses, key=lambda address: address != begun_there):
        print(f"{file.name} from {transfer.host(address)} ...")
        try:
            transfer.fetch(address, whole, file.size, patience)
            seen = compare_with_first(file, whole, address, folder)
            if file.kind == "table":
                check_table(whole, file)
                os.replace(whole, folder / file.name)
            else:
                unpack(whole, file, folder)
            transfer.write_json(folder / "downloaded.json", read_noted(folder) | {file.name: seen})
            transfer.tidy(whole)
            print(f"{file.unpacked} is complete.")
            return
        except transfer.AddressFailed as error:
            failures.append(f"{transfer.host(address)} {error}")
        except unpacking.Damaged as error:
            transfer.tidy(whole)
            failures.append(f"the file from {transfer.host(address)} {error}")
    raise not_given(file, failures)


def not_given(file: File, failures: Iterable[str]) -> IsicError:
    """The message when every address has failed."""
    return IsicError(
        f"{file.name} cannot be downloaded ({'; '.join(failures)}): check the network, or try again another day with "
        "the same command, which goes on where this one stopped."
    )


def compare_with_first(file: File, whole: Path, address: str, folder: Path) -> dict:
    """Size and sha256 of a file, which must be those noted when the file first came to this folder."""
    with open(whole, "rb") as stream:
        seen = {"size": transfer.length(whole), "sha256": hashlib.file_digest(stream, "sha256").hexdigest()}
    first = read_noted(folder).get(file.name)
    if first and (first["size"], first["sha256"]) != (seen["size"], seen["sha256"]):
        raise unpacking.Damaged(
            "is not the one that first came here (to accept it as a new version, delete its entry in "
            f"{folder / 'downloaded.json'})"
        )
    return first or {"address": address, **seen}


def check_table(whole: Path, file: File) -> None:
    """Raise Damaged unless a file is a table of the expected number of pictures. `tables` reads it closely later."""
    lines = whole.read_bytes().decode("utf-8", errors="replace").split()
    if not lines or not lines[0].removeprefix("\ufeff").startswith("image,"):
        raise unpacking.Damaged("is no table with a column image")
    rows = whole.read_bytes().rstrip().count(b"\n")
    if rows != file.count:
        raise unpacking.Damaged(f"has {rows:,} rows instead of {file.count:,}")


def unpack(whole: Path, file: File, folder: Path) -> None:
    """Unpack a zip of pictures into its place, after a look at how much room it takes."""
    with unpacking.opened(whole) as zipped:
        found = unpacking.members(zipped, ENDINGS[file.kind], file.count, file.size)
        need_space(folder, sum(info.file_size for info in found.values()))
        unpacking.unpack(zipped, found, folder / file.unpacked, work=folder / ".download" / file.unpacked)


def read_noted(folder: Path) -> dict[str, dict]:
    """Of each file that came to a folder, by name: the address, size and sha256 of the first time."""
    file = folder / "downloaded.json"
    try:
        noted = json.loads(file.read_text(encoding="utf-8"))
        return {name: {key: entry[key] for key in ("address", "size", "sha256")} for name, entry in noted.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, AttributeError, KeyError, TypeError) as error:  # no JSON, or other JSON
        raise IsicError(f"{file} is damaged ({error}): delete it.") from error
