"""Pictures out of a zip file that came from the web: checked before a byte is written, then whole or not at all.

Only pictures are taken, all into one flat folder, whatever folders the zip has inside. So nothing in it can lead out
of that folder; a zip that tries is refused all the same.
"""

import os
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from tqdm.auto import tqdm

from isic_utils.errors import IsicError

# What zipfile raises for a damaged or hostile file, depending on where it is hit. IsicError is a ValueError too.
DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, OverflowError, ValueError)
MOST_GROWTH = 3  # JPEG and PNG are compressed already: what unpacks to more than that is no archive of pictures
ENCRYPTED = 0x1  # bit of a member's flags


class Damaged(IsicError):
    """The zip is not what it should be; a copy from another address may. The message is a clause: "is cut short …"."""


@contextmanager
def opened(file: Path) -> Iterator[zipfile.ZipFile]:
    """A zip file to read from. Raises Damaged if it is none, or when a member turns out to be damaged."""
    try:
        archive = zipfile.ZipFile(file)
    except (*DAMAGE, OSError) as error:  # OSError: the directory points before the file's beginning
        raise Damaged("is cut short or no zip file") from error
    with archive:
        try:
            yield archive
        except IsicError:
            raise
        except DAMAGE as error:
            raise Damaged(f"is damaged ({error})") from error


def members(archive: zipfile.ZipFile, ending: str, count: int, size: int) -> dict[str, zipfile.ZipInfo]:
    """The pictures in a zip: file name -> member.

    ending: of their names, e.g. ``.jpg``; everything else (licence texts, superpixels) is passed over;
    count: how many there must be; size: of the archive in bytes, about.

    Raises Damaged if a name leads out of the folder, a member is a link or encrypted, a name is there twice, the number
    is another, or it would unpack to more than pictures can.
    """
    found: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        path = PurePosixPath(info.orig_filename)
        if path.is_absolute() or ".." in path.parts or any(letter in info.orig_filename for letter in "\\:\0"):
            raise Damaged(f"holds a file that leads out of its folder ({info.orig_filename!r})")
        if stat.S_ISLNK(info.external_attr >> 16):
            raise Damaged(f"holds a link ({info.orig_filename!r})")
        if info.is_dir() or path.name.startswith(".") or not path.name.endswith(ending):
            continue
        if info.flag_bits & ENCRYPTED or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Damaged(f"is encrypted or compressed in an unusual way ({info.orig_filename!r})")
        if info.header_offset < 0:
            raise Damaged(f"is damaged ({path.name} begins before the file)")
        if path.name in found:
            raise Damaged(f"holds {path.name} twice")
        found[path.name] = info
    if len(found) != count:
        raise Damaged(f"is another archive: it holds {len(found):,} pictures {ending} instead of {count:,}")
    unpacked = sum(info.file_size for info in found.values())
    if unpacked > MOST_GROWTH * size:
        raise Damaged(f"would unpack to {unpacked:,} bytes, more than {MOST_GROWTH} times its size")
    return found


def unpack(archive: zipfile.ZipFile, found: dict[str, zipfile.ZipInfo], target: Path, work: Path) -> None:
    """Write the members `found` of a zip into the folder `target`.

    They are written into `work`, a folder on the same disk, and checked (CRC) there; then `work` gets the name of
    `target`, or, if pictures lie there already, gives it those that are missing. Nothing that is there is changed.

    Raises IsicError if `target` has another picture of the same name, OSError if the disk does not take them.
    """
    there = pictures_in(target)
    for name, info in found.items():
        if name in there:
            check_same_size(there[name], info)
    try:
        work.mkdir(parents=True)
        bar = tqdm(found.items(), desc=f"unpacking {target.name}", unit="picture", leave=False, disable=None)
        for name, info in bar:
            if name not in there:
                with archive.open(info) as member, open(work / name, "wb") as stream:
                    shutil.copyfileobj(member, stream)
        if target.exists():
            for path in list(work.iterdir()):
                os.replace(path, target / path.name)
        else:
            os.replace(work, target)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def check_same_size(path: Path, info: zipfile.ZipInfo) -> None:
    """Raise IsicError if the picture at `path` cannot be the archive's picture of that name."""
    if path.stat().st_size != info.file_size:
        raise IsicError(
            f"{path} is another picture than the one of that name in the archive ({path.stat().st_size:,} bytes "
            f"instead of {info.file_size:,}): move the folder {path.parent} away or choose another with --folder."
        )


def pictures_in(folder: Path) -> dict[str, Path]:
    """The pictures in a folder, or one folder deeper under the same name: file name -> path; none if it is missing."""
    deeper = folder / folder.name
    paths = [path for place in (folder, deeper) if place.is_dir() for path in place.iterdir()]
    return {path.name: path for path in paths if path.suffix in (".jpg", ".png") and not path.name.startswith(".")}
