"""Images, decoded once.

Decoding a JPEG takes longer than training a small network on it. So every image is decoded and resized once, in
parallel, into one file of bytes on disk; epochs read from that file through a memory map (`ImageStore`).
"""

import hashlib
import io
import json
import math
import mmap
import os
import re
import shutil
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image, ImageOps
from tqdm.auto import tqdm

from isic_utils.errors import IsicError
from isic_utils.files import acquire
from isic_utils.settings import MARKER

VERSION = 3  # of the file format and of the way an image is decoded: a change makes older caches unused
MAX_PIXELS = 80_000_000  # no dermatoscope takes more; a file that claims more is broken or hostile
MAX_LEFT_OUT, SOME_LEFT_OUT = 0.01, 3  # up to this proportion, or number, of unusable images is left out; more stops
NEAR, NEARLY_ALL = 32, 0.95  # a mask: this share of its pixels is at most so far from black (0) or white (255)
CHUNK = 256  # images decoded at a time, which bounds the memory in use


class ImageStore:
    """All images of a table, decoded and resized, with their masks if the table has the column mask_path.

    table: the columns image and path, and mask_path for segmentation; size: side of a square or (height, width), in
    pixels; cache: a folder for the decoded images (never the data folder); progress: whether to show a progress bar.

    An image is squeezed to the size, as in the thesis (§4.1.2), so nothing at its edge is lost. A mask is resized with
    its image and stays binary: lesion where more than half of what a pixel covers is. Images are decoded once: again
    only if a file has changed (its size or time of change). A second process waits for the first.
    An unusable image or mask is left out and listed in `left_out`.

    Attributes:
    - images: their names, pd.Index [n]; pixels: uint8 [n, height, width, 3], RGB from 0 to 255, or with masks
      [n, height, width, 4], whose fourth channel is 0 or 255; mapped from disk and read-only;
    - left_out: DataFrame with image, path and reason of each image that could not be used;
    - notes: sentences about masks that are not purely black and white, or may be inverted; they are printed;
    - digest: a short text that changes when a pixel does; size: (height, width); has_masks;
    - data_name: name of the folder that holds the folder of images; synthetic: whether it holds ``SYNTHETIC.json``.

    A store is pickled without its pixels, so worker processes open the same file.
    Raises IsicError if more than 1 % of the images, and more than 3, are unusable, or all; if a row has no path; or if
    the machine cannot read a file or write the cache now (such a file must not be left out for good).
    """

    def __init__(self, table: pd.DataFrame, size: int | tuple[int, int], cache: Path, progress: bool = True):
        self.size = (size, size) if isinstance(size, int) else tuple(size)
        self.has_masks = "mask_path" in table
        table = table.sort_values("image")  # so that the digest does not depend on the order of the rows
        if table.empty:
            raise IsicError("The table has no rows, so there are no images to decode: choose rows that are there.")
        for column in ["path", "mask_path"] if self.has_masks else ["path"]:
            if missing := table[column].isna().sum():
                raise IsicError(f"{missing:,} rows have no {column}: unpack the zip, or keep the rows that have one.")
        folder = Path(table["path"].iloc[0]).absolute().parent.parent
        if re.match("ISIC.*_Input$|ISIC-2017_.+_Data$|ISBI2016_.+_Data$|HAM10000_images", folder.name):  # one too deep
            folder = folder.parent
        self.data_name, self.synthetic = folder.name, (folder / MARKER).exists()
        kind = "-masks" if self.has_masks else ""
        self.folder = Path(cache) / f"{self.size[0]}x{self.size[1]}px{kind}-{fingerprint(table, self.size)}"
        try:
            if not self.open():
                with acquire(self.folder.with_suffix(".lock")):  # a second process waits, then finds the work done
                    if not self.open():
                        partial = self.folder.with_name(f".{self.folder.name}")
                        try:
                            self.decode_all(table, partial, progress)
                        finally:
                            shutil.rmtree(partial, ignore_errors=True)
                        self.open()
        except OSError as error:
            place = f"{error.filename or cache} cannot be read or written ({error.strerror or error})"
            needed = math.ceil(len(table) * math.prod(self.size) * (3 + self.has_masks) / 1e6)
            raise IsicError(f"{place}: see to that, then start again; {cache} needs {needed:,} MB.") from error
        if len(self.left_out):
            print(f"{len(self.left_out):,} of {len(table):,} images cannot be used and are left out; see `.left_out`.")
        for note in self.notes:
            print(note)

    def open(self) -> bool:
        """Map the decoded images of the store's folder. False if there are none, or the files are damaged."""
        try:
            index = json.loads((self.folder / "index.json").read_text(encoding="utf-8"))
            self.images, self.digest = pd.Index(index["images"]), index["digest"]
            self.notes = index["notes"] if self.has_masks else []
            self.left_out = pd.DataFrame(index["left_out"], columns=["image", "path", "reason"])
            shape = (len(self.images), *self.size, 3 + self.has_masks)
            if (self.folder / "pixels.bin").stat().st_size != math.prod(shape):
                return False
            try:
                self.pixels = np.memmap(self.folder / "pixels.bin", np.uint8, "r", shape=shape)
            except OSError:  # some drives (FUSE) map no file that processes share, but one for this process alone
                self.pixels = np.memmap(self.folder / "pixels.bin", np.uint8, "c", shape=shape)
                self.pixels.flags.writeable = False
            return True
        except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
            return False

    def decode_all(self, table: pd.DataFrame, partial: Path, progress: bool) -> None:
        """Decode every image of the table into the store's folder, which appears only when it is complete: pixels.bin
        and index.json. partial: where they are written first. The caller holds the lock."""
        shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed
        partial.mkdir()
        masks = table["mask_path"] if self.has_masks else [None] * len(table)
        rows = list(zip(table["image"], table["path"], masks, strict=True))
        images, left_out, shares, large, digest = [], [], [], 0, hashlib.sha256()
        with (
            open(partial / "pixels.bin", "wb") as file,
            ThreadPoolExecutor(os.cpu_count()) as pool,
            warnings.catch_warnings(action="ignore"),  # Pillow's, of damaged EXIF tags, which do not matter
            tqdm(total=len(rows), desc="decoding", unit="image", leave=False, disable=not progress) as bar,
        ):
            for chunk in (rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)):
                decoded = [pool.submit(decode, path, mask_path, self.size, shares) for _, path, mask_path in chunk]
                for (image, path, _), pixels in zip(chunk, decoded, strict=True):
                    bar.update()
                    try:
                        content = pixels.result().tobytes()
                    except IsicError as error:
                        left_out.append((image, path, str(error)))
                        continue
                    file.write(content)
                    digest.update(content)
                    images.append(image)
                    large += self.has_masks and pixels.result()[..., 3].mean() > 127
        if len(left_out) > max(MAX_LEFT_OUT * len(rows), SOME_LEFT_OUT) or not images:
            count = f"{len(left_out):,} of {len(rows):,}"
            raise IsicError(f"{count} images cannot be used, more than {MAX_LEFT_OUT:.0%}: {left_out[0][2]}")
        notes = []
        if shares:
            kind = f"not purely but at least {min(shares):.1%} nearly black or white"
            notes.append(f"{len(shares):,} of {len(rows):,} masks are {kind}: they are cut at one half.")
        if large > len(images) / 2:
            notes.append(f"Masks cover more than half of {large:,} of {len(images):,} images: are they inverted?")
        index = {"digest": digest.hexdigest()[:16], "images": images, "left_out": left_out, "notes": notes}
        (partial / "index.json").write_text(json.dumps(index), encoding="utf-8")
        shutil.rmtree(self.folder, ignore_errors=True)  # cut short or damaged: `open` rejected it
        partial.rename(self.folder)

    def __len__(self) -> int:
        return len(self.images)

    def __getstate__(self) -> dict:
        return {name: value for name, value in self.__dict__.items() if name != "pixels"}

    def __setstate__(self, state: dict) -> None:
        self.__dict__ |= state
        if not self.open():
            raise IsicError(f"{self.folder} is gone or damaged: build the ImageStore again, which decodes anew.")

    def rows(self, images: pd.Series) -> np.ndarray:
        """Where the named images are in `pixels`: int array [n]. Raises IsicError for a name that is not there."""
        rows = self.images.get_indexer(images)
        if (rows < 0).any():
            raise IsicError(f"{images[rows < 0].iloc[0]} is not decoded: drop the rows of `left_out`, or decode all.")
        return rows

    def take(self, rows: np.ndarray) -> np.ndarray:
        """A copy of some rows of `pixels`, uint8 [n, height, width, channels].

        The mapped pages are released immediately (they stay in the system's file cache); otherwise those of a whole
        epoch would count as memory of this process.
        """
        taken = self.pixels[rows]
        if hasattr(mmap, "MADV_DONTNEED"):  # Windows has none
            self.pixels.base.madvise(mmap.MADV_DONTNEED)
        return taken


def fingerprint(table: pd.DataFrame, size: tuple[int, int]) -> str:
    """A short text that changes when an image, its file, its mask, the requested size or the way of decoding does."""
    digest = hashlib.sha256(f"{VERSION} {size}".encode())
    for column in table.columns.intersection(["path", "mask_path"]):
        for image, path in zip(table["image"], table[column], strict=True):
            try:
                file = os.stat(path)
                digest.update(f"\n{image} {file.st_size} {file.st_mtime_ns}".encode())
            except OSError:  # `open_image` says so, and the image is left out
                digest.update(f"\n{image} missing".encode())
    return digest.hexdigest()[:16]


def decode(path: str, mask_path: str | None, size: tuple[int, int], shares: list[float] | None = None) -> np.ndarray:
    """An image as uint8 [height, width, 3], or with its mask as fourth channel [height, width, 4]. size: (height,
    width) in pixels.

    The mask is resized as grey, then cut at one half, so it is as smooth as it can be and stays binary. shares: see
    `read_mask`. Raises IsicError as `read_image` and `read_mask` do, or if the mask does not fit the image, is empty,
    or covers it all.
    """
    if mask_path is None:
        return resize(read_image(path, at_least=max(size)), size)
    image, mask = read_image(path), read_mask(mask_path, shares)
    if mask.shape != (image.height, image.width):
        raise IsicError(f"{mask_path} and its image differ in size: download or unpack both again.")
    if mask.all() or not mask.any():
        raise IsicError(f"{mask_path} is empty or covers the whole image: draw it anew or leave out its row.")
    grey = Image.fromarray(mask).convert("L").resize(size[::-1], Image.Resampling.BILINEAR)
    binary = np.where(np.asarray(grey) > 127, 255, 0).astype(np.uint8)
    return np.dstack([resize(image, size), binary])


def resize(image: Image.Image, size: tuple[int, int]) -> np.ndarray:
    """An RGB image as uint8 [height, width, 3]. size: (height, width) in pixels.

    PyTorch's bilinear filter gives Pillow's numbers, but for a difference of 1 here and there, in a quarter of the time
    (``benchmarks/preparing.py``).
    """
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]  # [1, 3, h, w], the colours last in memory
    small = torch.nn.functional.interpolate(pixels, size, mode="bilinear", antialias=True)[0]
    return small.permute(1, 2, 0).contiguous().numpy()


def read_image(file: Path | str | bytes, at_least: int | None = None) -> Image.Image:
    """A JPEG, PNG or WebP file, or the bytes of one, as an upright RGB image.

    Grey, 16-bit, CMYK, palette and transparent images (on white) are converted, EXIF rotation is applied.
    at_least: a side in pixels below which the decoder may not go; lets it read a large JPEG faster at a half, quarter
    or eighth. Raises IsicError if the file is missing, empty, damaged, no JPEG, PNG or WebP, or claims more than 80
    million pixels; OSError or MemoryError if the machine cannot read it now, which says nothing about it.
    """
    return to_rgb(open_image(file, at_least))


def open_image(file: Path | str | bytes, at_least: int | None = None) -> Image.Image:
    """As `read_image`, but in the mode that the file has."""
    name = "The image" if isinstance(file, bytes) else file
    try:
        content = file if isinstance(file, bytes) else Path(file).read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, TypeError) as error:  # TypeError: no path
        raise IsicError(f"{name} is missing: put the image there or leave out its row.") from error
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG", "PNG", "WEBP")) as image:
            if image.width * image.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            if image.format == "PNG":  # Pillow does not look at the checksums when it loads pixels
                Image.open(io.BytesIO(content)).verify()
            if at_least is not None:
                image.draft(None, (at_least, at_least))
            image.load()
            return ImageOps.exif_transpose(image)
    except MemoryError:
        raise
    except Image.DecompressionBombError as error:
        raise IsicError(f"{name} claims more than {MAX_PIXELS:,} pixels: replace it by the original image.") from error
    except Exception as error:  # Pillow raises many kinds for damaged files: OSError, SyntaxError, struct.error …
        known = content.startswith((b"\xff\xd8", b"\x89PNG", b"RIFF"))
        fault = "is cut short or damaged" if known else "is not a JPEG, PNG or WebP image, whatever its name says"
        raise IsicError(f"{name} {fault if content else 'is empty'}: download or unpack it again.") from error


def to_rgb(image: Image.Image) -> Image.Image:
    """Any mode as 8-bit RGB: transparency on white, 16 bits of grey scaled down."""
    if image.mode.startswith("I"):  # Pillow would cut them off at 255
        image = Image.fromarray((np.asarray(image) / 257).round().astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def read_mask(path: Path | str, shares: list[float] | None = None) -> np.ndarray:
    """A segmentation mask as a boolean array [height, width], True on the lesion.

    Grey, RGB and palette files whose pixels are black or white, or nearly so as after JPEG or with smooth edges, are
    cut at one half. shares: takes the share of pixels near black or white, unless all are 0 or 255.

    Raises IsicError if the file cannot be read, has transparency or another mode, more than 5 % of its pixels are
    neither near black nor near white, or none is white though some are not 0 (masks of 0 and 1: multiply by 255).
    """
    image = open_image(path)
    if image.mode not in ("1", "L", "P", "RGB") or image.has_transparency_data:
        raise IsicError(f"{path} has the mode {image.mode}: write it as a grey PNG, 255 on the lesion and 0 elsewhere.")
    pixels = np.atleast_3d(image.convert("RGB" if image.mode in ("P", "RGB") else "L"))  # [height, width, 3 or 1]
    darkest, brightest = pixels.min(axis=2), pixels.max(axis=2)
    share = ((brightest <= NEAR) | (darkest >= 255 - NEAR)).mean()
    if share < NEARLY_ALL:
        raise IsicError(f"{path} is black or white in {share:.0%} of its pixels only: write it anew, with 0 and 255.")
    mask = darkest > 127
    if brightest.any() and not mask.any():
        raise IsicError(f"{path} has values up to {darkest.max()} and no white: multiply it by 255, or write it anew.")
    if shares is not None and not ((brightest == 0) | (darkest == 255)).all():
        shares.append(float(share))
    return mask
