"""Pictures, decoded once, and the batches that training takes from them.

Decoding a JPEG takes longer than a small network takes to learn from it. So every picture is decoded and resized once,
in parallel, into one file of bytes on disk; epochs read from that file through a memory map, and augmentation happens
for a whole batch at a time on the device that trains. No worker processes are needed, so Windows behaves like Linux.
"""

import hashlib
import json
import math
import mmap
import os
import shutil
import stat
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from filelock import FileLock
from PIL import Image, ImageOps
from torch import nn
from tqdm.auto import tqdm

from isic_utils.errors import IsicError

VERSION = 2  # of the file format and of the way a picture is decoded: a change makes older caches unused
MAX_PIXELS = 80_000_000  # no dermatoscope takes more; a file that claims more is broken or hostile
MAX_LEFT_OUT = 0.01  # up to this share of unusable pictures is left out and listed; more stops
CHUNK = 256  # pictures decoded at a time, which bounds the memory in use

warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # `open_picture` looks at the size itself
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # of damaged EXIF tags, which do not matter


@dataclass(frozen=True)
class Pictures:
    """Decoded pictures. images: their names [n]; pixels: uint8 [n, height, width, 3], RGB from 0 to 255, mapped from
    disk, or with a fourth channel that is the mask, 0 or 255 (`load_pairs`); left_out: DataFrame with image, path and
    reason of each picture that could not be read; digest: a short text that changes when a pixel does."""

    images: pd.Index
    pixels: np.ndarray
    left_out: pd.DataFrame
    digest: str

    def rows(self, images: pd.Series) -> np.ndarray:
        """Where the named pictures are in `pixels`: integer array [n]. Raises IsicError for a name that is not
        there."""
        rows = self.images.get_indexer(images)
        if (rows < 0).any():
            raise IsicError(
                f"{(rows < 0).sum()} pictures of the table are not among the decoded ones "
                f"(first: {images[rows < 0].iloc[0]}): drop the rows of `pictures.left_out`, "
                "or load the pictures of this table."
            )
        return rows

    def take(self, rows: np.ndarray) -> np.ndarray:
        """A copy of some rows of `pixels`, uint8 [n, height, width, channels].

        The mapped pages are let go of at once (they stay in the system's file cache): those of a whole epoch would
        otherwise count as memory of this process.
        """
        taken = self.pixels[rows]
        if isinstance(self.pixels.base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):  # Windows has none
            self.pixels.base.madvise(mmap.MADV_DONTNEED)
        return taken


def load(table: pd.DataFrame, size: int, cache: Path, progress: bool = True) -> Pictures:
    """All pictures of a table, resized to size × size, from the cache if they were decoded before.

    table: the columns image and path; size: pixels; cache: a folder for the decoded pictures (never the data folder).
    A picture whose file has changed (its size or time of change) is decoded again. An unreadable picture is left out
    and listed; if more than 1 % are, IsicError is raised, as it is when the cache cannot be written or a row has no
    path.
    """
    folder = cache / f"{size}px-{fingerprint(table, size)}"
    return load_store(table, lambda row: decode(table["path"].iloc[row], size), (size, size, 3), folder, progress)


def load_pairs(table: pd.DataFrame, size: tuple[int, int], cache: Path, progress: bool = True) -> Pictures:
    """All pictures of a segmentation table with their masks, resized together, from the cache as in `load`.

    table: the columns image, path and mask_path (`tables.isic2018`); size: (height, width) in pixels.
    The mask is the fourth channel of `pixels`, binary after resizing too: 255 where more than half of what a pixel
    covers is lesion, else 0. A pair with something wrong (see `read_mask`; also a mask of another size than its
    picture, without lesion, or all lesion) is left out and listed; if more than 1 % are, IsicError is raised.
    """
    if table["mask_path"].isna().any():
        raise IsicError(f"{table['mask_path'].isna().sum():,} rows have no mask: keep the rows with a mask_path.")
    height, width = size
    folder = cache / f"{height}x{width}px-masks-{fingerprint(table, size)}"

    def decode_row(row: int) -> np.ndarray | str:
        return decode_pair(table["path"].iloc[row], table["mask_path"].iloc[row], size)

    return load_store(table, decode_row, (height, width, 4), folder, progress)


def load_store(
    table: pd.DataFrame,
    decode_row: Callable[[int], np.ndarray | str],
    shape: tuple[int, int, int],
    folder: Path,
    progress: bool,
) -> Pictures:
    """The decoded pictures in `folder`, decoded first if they are not there.

    decode_row: takes the number of a row and returns uint8 of this shape, or as a sentence why that cannot be done.
    """
    if table["path"].isna().any():
        raise IsicError(
            f"{table['path'].isna().sum():,} rows have no picture: download the pictures, or keep the rows with a path."
        )
    if table.empty:
        raise IsicError("The table has no rows, so there are no pictures to decode: choose rows that are there.")
    cache = folder.parent
    try:
        stored = read_store(folder, shape)
        if stored is None:
            cache.mkdir(parents=True, exist_ok=True)
            with FileLock(folder.with_suffix(".lock")):  # a second process waits here and then finds the work done
                stored = read_store(folder, shape)
                if stored is None:
                    decode_all(table, decode_row, folder, progress)
                    stored = read_store(folder, shape)
    except OSError as error:
        needed = math.ceil(len(table) * math.prod(shape) / 1e6)
        raise IsicError(
            f"The decoded pictures cannot be kept in {cache} ({error.strerror or error}): make the folder writable "
            f"and see that {needed:,} MB are free."
        ) from error
    if len(stored.left_out):
        print(
            f"{len(stored.left_out):,} of {len(table):,} pictures cannot be used and are left out; see `.left_out`. "
            f"The first: {stored.left_out['reason'].iloc[0]}"
        )
    return stored


def decode_all(
    table: pd.DataFrame, decode_row: Callable[[int], np.ndarray | str], folder: Path, progress: bool
) -> None:
    """Decode every picture of the table into `folder`: pixels.bin and index.json. The folder appears only when
    complete. The caller holds the lock."""
    partial = folder.with_name(f".{folder.name}")
    shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed
    paths = table["path"].tolist()
    kept, left_out, digest = [], [], hashlib.sha256()
    partial.mkdir()
    try:
        bar = tqdm(total=len(paths), desc="decoding", unit="picture", leave=False, disable=not progress)
        with open(partial / "pixels.bin", "wb") as file, ThreadPoolExecutor(os.cpu_count()) as pool, bar:
            for start in range(0, len(paths), CHUNK):
                chunk = range(start, min(start + CHUNK, len(paths)))
                for row, pixels in zip(chunk, pool.map(decode_row, chunk), strict=True):
                    if isinstance(pixels, str):
                        left_out.append((table["image"].iloc[row], paths[row], pixels))
                    else:
                        content = pixels.tobytes()
                        file.write(content)
                        digest.update(content)
                        kept.append(table["image"].iloc[row])
                bar.update(len(chunk))
        if len(left_out) > MAX_LEFT_OUT * len(paths):
            raise IsicError(
                f"{len(left_out):,} of {len(paths):,} pictures cannot be used, more than {MAX_LEFT_OUT:.0%}, so "
                f"correct them or unpack the archive again; the first of them: {left_out[0][2]}"
            )
        index = {"version": VERSION, "digest": digest.hexdigest()[:16], "images": kept, "left_out": left_out}
        (partial / "index.json").write_text(json.dumps(index), encoding="utf-8")
        if folder.exists():  # cut short or damaged: `read_store` refused it
            shutil.rmtree(folder)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def read_store(folder: Path, shape: tuple[int, int, int]) -> Pictures | None:
    """The decoded pictures in a folder, each of this shape; None if there are none or the files are damaged."""
    try:
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        images, left_out = index["images"], index["left_out"]
        left_out = pd.DataFrame(left_out, columns=["image", "path", "reason"])
        shape = (len(images), *shape)
        if index["version"] != VERSION or (folder / "pixels.bin").stat().st_size != np.prod(shape):
            return None
        pixels = np.memmap(folder / "pixels.bin", np.uint8, mode="r", shape=shape)
        return Pictures(pd.Index(images), pixels, left_out, index["digest"])
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return None


def fingerprint(table: pd.DataFrame, size: int | tuple[int, int]) -> str:
    """A short text that changes when a picture, its file, its mask, the size asked for or the way of decoding does."""
    digest = hashlib.sha256(f"{VERSION} {size}".encode())
    for column in ("path", "mask_path"):
        if column in table:
            for image, path in zip(table["image"], table[column], strict=True):
                try:
                    file = os.stat(path)
                    state = f"{file.st_size} {file.st_mtime_ns}"
                except (OSError, TypeError):  # TypeError: no path, which `load_store` reports
                    state = "missing"  # `decode` says so, and the picture is left out
                digest.update(f"\n{image} {state}".encode())
    return digest.hexdigest()[:16]


def decode(path: str, size: int) -> np.ndarray | str:
    """One picture as uint8 [size, size, 3]; if it is of no use, the reason as a sentence.

    The whole picture is squeezed into the square, as the thesis does (§4.1.2), so nothing at its edge is lost. Raises
    IsicError if the machine cannot read it now (`passing`): to leave it out for good would be wrong.
    """
    try:
        return resize(read_picture(path, at_least=size), (size, size))
    except IsicError as error:
        if passing(error.__cause__):
            raise
        return str(error)


def decode_pair(path: str, mask_path: str, size: tuple[int, int]) -> np.ndarray | str:
    """A picture and its mask as uint8 [height, width, 4]; if something is wrong with them, what, as a sentence.

    The mask is resized as grey, then cut at one half, so it is as smooth as it can be and stays binary. Raises
    IsicError as `decode` does.
    """
    height, width = size
    try:
        picture = read_picture(path)
        mask = read_mask(mask_path)
        if mask.shape != (picture.height, picture.width):
            raise IsicError(
                f"{mask_path} has {mask.shape[1]}×{mask.shape[0]} pixels and its picture {picture.width}×"
                f"{picture.height}: download or unpack both again."
            )
        if mask.all() or not mask.any():
            raise IsicError(
                f"{mask_path} {'covers the whole picture' if mask.all() else 'is empty'}, while every picture of the "
                "task shows one lesion and skin around it: draw the mask anew or leave out its row."
            )
    except IsicError as error:
        if passing(error.__cause__):
            raise
        return str(error)
    resized = Image.fromarray(mask).convert("L").resize((width, height), Image.Resampling.BILINEAR)
    binary = np.where(np.asarray(resized) > 127, 255, 0).astype(np.uint8)
    return np.dstack([resize(picture, size), binary])


def resize(picture: Image.Image, size: tuple[int, int]) -> np.ndarray:
    """An RGB picture as uint8 [height, width, 3]. size: (height, width) in pixels.

    PyTorch's bilinear filter gives Pillow's numbers, but for a difference of 1 here and there, in a quarter of the time
    (``benchmarks/preparing.py``).
    """
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None]  # [1, 3, h, w], the colours last in memory
    small = nn.functional.interpolate(pixels, size, mode="bilinear", antialias=True)[0]
    return small.permute(1, 2, 0).contiguous().numpy()


def read_picture(path: Path | str, at_least: int | None = None) -> Image.Image:
    """A JPEG or PNG file as an upright RGB picture.

    Grey, 16-bit, CMYK, palette and transparent pictures (on white) are converted, EXIF rotation is applied.
    at_least: a side in pixels below which the decoder may not go; lets it read a large JPEG faster at a half, quarter
    or eighth. Raises IsicError if the file is missing, empty, damaged, no JPEG or PNG, or claims more than 80 million
    pixels.
    """
    return to_rgb(open_picture(path, at_least))


def open_picture(path: Path | str, at_least: int | None = None) -> Image.Image:
    """As `read_picture`, but in the mode that the file has."""
    try:
        kind = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise IsicError(f"{path} is missing: put the picture there or leave out its row.") from error
    except OSError as error:
        raise IsicError(f"{path} cannot be read ({error.strerror}): see to that, then start again.") from error
    if not stat.S_ISREG(kind):
        raise IsicError(f"{path} is a folder or device and not a picture: put the picture there or leave out its row.")
    try:
        with Image.open(path, formats=("JPEG", "PNG")) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            if picture.format == "PNG":
                check_sums(path)
            if at_least is not None:
                picture.draft(None, (at_least, at_least))
            picture.load()
            return ImageOps.exif_transpose(picture)
    except Image.DecompressionBombError as error:
        raise IsicError(
            f"{path} claims more than {MAX_PIXELS:,} pixels: replace it by the original picture."
        ) from error
    # Pillow raises many kinds for damaged files: OSError, SyntaxError, ValueError, struct.error ...
    except Exception as error:
        if passing(error):
            reason = getattr(error, "strerror", None) or "memory is full"
            raise IsicError(f"{path} cannot be read ({reason}): see to that, then start again.") from error
        raise IsicError(f"{path} {what_is_wrong(Path(path))}: download or unpack it again.") from error


def passing(error: BaseException | None) -> bool:
    """Whether an error says something of the machine (no permission, a disk that is gone) and nothing of the file:
    the system's errors have a number, and those that Pillow raises for damaged files have none. A missing file is no
    such error."""
    of_the_system = isinstance(error, OSError) and error.errno is not None
    missing = isinstance(error, (FileNotFoundError, NotADirectoryError))
    return isinstance(error, MemoryError) or (of_the_system and not missing)


def check_sums(path: Path | str) -> None:
    """Raise SyntaxError if a PNG file's checksums are wrong: Pillow does not look at them when it loads pixels."""
    with Image.open(path, formats=("PNG",)) as picture:
        picture.verify()


def to_rgb(picture: Image.Image) -> Image.Image:
    """Any mode as 8-bit RGB: transparency on white, more than 8 bits scaled down."""
    if picture.mode in ("I;16", "I;16B", "I;16L", "I;16N", "I", "F"):
        values = np.asarray(picture).astype(np.float64)
        picture = Image.fromarray((values / 257).clip(0, 255).round().astype(np.uint8))
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture.convert("RGB")


def what_is_wrong(path: Path) -> str:
    """Why a picture file could not be read, in words."""
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        return f"cannot be opened ({error.strerror})"
    if not start:
        return "is empty"
    if start.startswith((b"\xff\xd8", b"\x89PNG")):
        return "is cut short or damaged"
    return "is not a JPEG or PNG picture, whatever its name says"


def read_mask(path: Path | str) -> np.ndarray:
    """A segmentation mask as a boolean array [height, width], True on the lesion.

    Raises IsicError if the file cannot be read, has colours, a palette or transparency instead of one grey channel, or
    holds other values than 0 and 255 (masks of 0 and 1 look black: multiply by 255).
    """
    picture = open_picture(path)
    if picture.mode not in ("1", "L"):
        kind = {"P": "a palette", "RGB": "three colours", "RGBA": "colours and transparency", "LA": "transparency"}
        raise IsicError(
            f"{path} has {kind.get(picture.mode, f'the mode {picture.mode}')} and not one grey channel of 8 bits: "
            "write it as a grey PNG with 255 on the lesion and 0 elsewhere."
        )
    mask = np.asarray(picture.convert("L"))
    values = np.unique(mask)
    if not np.isin(values, [0, 255]).all():
        hint = "multiply it by 255" if values.max() <= 1 else "write it as a PNG with 255 on the lesion and 0 elsewhere"
        raise IsicError(f"{path} holds the values {', '.join(map(str, values[:5]))} and not only 0 and 255: {hint}.")
    return mask == 255


def batches(
    pictures: Pictures,
    rows: np.ndarray,
    labels: np.ndarray | None,
    batch_size: int,
    device: torch.device | str = "cpu",
    seed: int | None = None,
    vary: Callable[[torch.Tensor, torch.Generator], torch.Tensor] | None = None,
) -> Iterator[tuple[torch.Tensor, torch.Tensor | None]]:
    """Batch after batch of pictures, float [n, 3, height, width] from 0 to 1, and what is to be said of them, on the
    device: their labels, integer [n], or without labels their masks, float [n, 1, height, width], 1 on the lesion, or
    None for pictures without masks.

    rows: where the pictures are in `pictures.pixels`; labels: their classes, in the same order; None: the masks of
    `load_pairs`, if the pictures have any.
    seed: None takes the pictures in order and as they are (validation, test); a number shuffles and augments them
    (training), and the same number always in the same way.
    vary: changes augmented pictures once more (`augmentation.strongly`), of which there are no masks. The batches are
    as equal in size as they can be, at most `batch_size`.
    """
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    order = np.arange(len(rows)) if seed is None else torch.randperm(len(rows), generator=generator).numpy()
    for chosen in np.array_split(order, number_of_batches(len(rows), batch_size)):
        pixels = torch.from_numpy(pictures.take(rows[chosen])).to(device).permute(0, 3, 1, 2)
        x = augment(pixels, generator) if generator else pixels[:, :3].float().div_(255)
        x = vary(x, generator) if generator and vary else x
        truth = None if labels is None else torch.from_numpy(labels[chosen]).to(device)
        if labels is None and pixels.shape[1] == 4:
            truth = (pixels[:, 3:] > 127).float()
        yield x, truth


def number_of_batches(pictures: int, batch_size: int) -> int:
    """How many batches of at most `batch_size` hold that many pictures."""
    return -(-pictures // batch_size)


def augment(pixels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A shuffled batch of pictures as float from 0 to 1, each flipped, turned and lit by chance, its mask with it.

    A lesion has no up or down: each of the 8 ways to lay a square on itself is as likely, or of the 4 ways for a
    picture that is wider than high. Which picture comes where in a shuffled batch is chance already, so an eighth of
    the batch is laid each way. The light varies by up to 10 %.
    pixels: uint8 [n, 3, height, width] on any device, or with the mask as a fourth channel, which are turned in place;
    generator: on the CPU, so every device draws the same chance. Returns float [n, 3, height, width].
    """
    ways = 8 if pixels.shape[-1] == pixels.shape[-2] else 4
    first = int(torch.randint(8, (), generator=generator))
    for i, some in enumerate(pixels.tensor_split(ways)):
        way = (first + i) % ways  # its three bits: mirrored, upside down, rows and columns exchanged
        laid = some.flip(-1) if way & 1 else some
        laid = laid.flip(-2) if way & 2 else laid
        laid = laid.transpose(-1, -2) if way & 4 else laid
        some.copy_(laid.clone() if way == 4 else laid)
    light = torch.empty(len(pixels), 1, 1, 1).uniform_(0.9, 1.1, generator=generator)
    return pixels[:, :3].float().mul_((light / 255).to(pixels.device)).clamp_(0, 1)
