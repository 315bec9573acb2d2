"""Damages tables, images and masks at random, thousands of times, and checks what the readers make of them.

Two outcomes are allowed: IsicError, or correct data. Correct means, for a table, that every undamaged line gives the
same row as before, and that no such row is missing; for a PNG, the original pixels (checksums protect them); for a
JPEG, what Pillow decodes from the damaged file. Any other outcome, such as an exception of another library, ends the
script with the number of the case. A case that takes longer than 30 seconds ends it with a traceback of where it hangs.

    python benchmarks/fuzz_readers.py [number of cases, default 10000] [seed, default 0] [first case, default 0]
"""

import contextlib
import faulthandler
import io
import random
import sys
import tempfile
import time
import unicodedata
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from isic_utils.datasets import read_isic2019, tables
from isic_utils.datasets.images import read_image, read_mask
from isic_utils.errors import IsicError

SECONDS = 30
IMAGES = [f"ISIC_{number:07d}" for number in range(8)]
WITHOUT_IMAGE = IMAGES[6:]


class WrongData(Exception):
    """A reader has returned something that is not in the file."""


# The files before they are damaged


def truth_table() -> str:
    lines = [",".join(["image", *tables.CODES, "UNK"])]
    for number, image in enumerate(IMAGES):
        lines.append(",".join([image, *("1.0" if number == column else "0.0" for column in range(9))]))
    return "\n".join(lines) + "\n"


def metadata_table() -> str:
    lines = ["image,age_approx,anatom_site_general,lesion_id,sex"]
    for number, image in enumerate(IMAGES):
        lines.append(f"{image},{10 * number}.0,site {number},BCN_{number:03d},{'female' if number % 2 else ''}")
    return "\n".join(lines) + "\n"


def draw_images() -> dict[str, bytes]:
    """Small images of every kind that the course reads, by name."""
    chance = np.random.default_rng(0)
    colours = Image.fromarray(chance.integers(0, 256, (5, 6, 3), dtype=np.uint8)).resize((48, 40))
    exif = Image.Exif()
    exif[0x0112] = 6
    lesion = Image.fromarray(np.kron(np.eye(4, dtype=np.uint8) * 255, np.ones((8, 8), np.uint8)))
    deep = Image.fromarray(chance.integers(0, 65536, (20, 20), dtype=np.uint16))
    drawn = {
        "baseline.jpg": (colours, {}),
        "progressive.jpg": (colours, {"progressive": True, "exif": exif}),
        "grey.jpg": (colours.convert("L"), {"restart_marker_blocks": 2}),
        "cmyk.jpg": (colours.convert("CMYK"), {}),
        "colours.png": (colours, {"exif": exif}),
        "transparent.png": (colours.convert("RGBA").rotate(20), {}),
        "palette.png": (colours.quantize(16), {"transparency": 3}),
        "deep.png": (deep, {}),
        "mask.png": (lesion, {}),
        "mask_1_bit.png": (lesion.convert("1"), {}),
    }
    files = {}
    for name, (image, options) in drawn.items():
        buffer = io.BytesIO()
        image.save(buffer, "JPEG" if name.endswith("jpg") else "PNG", **options)
        files[name] = buffer.getvalue()
    return files


# Damage


def damage(content: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    """One to three changes of the kinds that disks, downloads and editors make."""
    content = bytearray(content)
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        start = chance.randrange(len(content) + 1)
        end = min(len(content), start + chance.choice([1, 2, 4, 20, 500]))
        kind = chance.randrange(8)
        if kind == 0:  # single bits
            for _ in range(chance.choice([1, 1, 5, 50])):
                if content:
                    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        elif kind == 1:
            content[start:end] = chance.randbytes(end - start)
        elif kind == 2:
            content[start:end] = chance.choice([b"\x00", b"\xff", b"\x7f"]) * (end - start)
        elif kind == 3:
            del content[start:end]
        elif kind == 4:
            content[start:start] = content[start:end] * chance.choice([1, 1, 3])
        elif kind == 5:
            del content[start:]
        elif kind == 6:
            content[start:start] = chance.choice(
                [b"\n", b",", b";", b'"', b"\xef\xbb\xbf", b"\x00", b"../", b"\r", b" "]
            )
        else:
            other = chance.choice(others)
            content[start:] = other[chance.randrange(len(other)) :]
    return bytes(content)


def damage_text(text: str, chance: random.Random) -> bytes:
    """What spreadsheets and hands do to a table, then perhaps `damage` as well."""
    lines = text.splitlines()
    kind = chance.randrange(10)
    row, column = chance.randrange(1, len(lines)), chance.randrange(lines[0].count(",") + 1)
    cells = lines[row].split(",")
    if kind == 0:
        lines.insert(chance.randrange(1, len(lines)), lines[row])
    elif kind == 1:
        del lines[row]
    elif kind == 2:
        cells[column] = chance.choice(
            ["", "1.0", "0.5", "-1", "1e309", "nan", "../x", "é", '"', "a,b", "A" * 9999, "1,0"]
        )
        lines[row] = ",".join(cells)
    elif kind == 3:
        lines = [",".join(cell for place, cell in enumerate(line.split(",")) if place != column) for line in lines]
    elif kind == 4:
        order = chance.sample(range(lines[0].count(",") + 1), lines[0].count(",") + 1)
        lines = [",".join(line.split(",")[place] for place in order) for line in lines]
    elif kind == 5:
        lines = [line.replace(",", ";") for line in lines]
    elif kind == 6:
        lines[1:] = chance.sample(lines[1:], len(lines) - 1)
    elif kind == 7:
        lines = [",".join(f'"{cell}"' for cell in line.split(",")) for line in lines]
    changed = chance.choice(["\n", "\n", "\r\n"]).join(lines) + chance.choice(["", "\n", "\n\n"])
    return changed.encode(chance.choice(["utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1", "utf-16-le"]), "replace")


# What is correct


def unquoted(cell: str) -> str:
    cell = cell.strip()
    return cell[1:-1] if len(cell) > 1 and cell[0] == cell[-1] == '"' else cell


def unharmed(content: bytes, original: str) -> dict[str, dict[str, str]]:
    """The rows of a damaged table whose line is undamaged, under a header with the original columns."""
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    found = [list(map(unquoted, line.replace(";", ",").split(","))) for line in content.decode(encoding).splitlines()]
    names = next(line for line in found if any(line))
    columns = original.splitlines()[0].split(",")
    if sorted(names) != sorted(columns):
        return {}
    rows = {line.split(",")[0]: dict(zip(columns, line.split(","), strict=True)) for line in original.splitlines()[1:]}
    seen = [dict(zip(names, cells, strict=True)) for cells in found if len(cells) == len(names)]
    return {row["image"]: row for row in seen if rows.get(row["image"]) == row}


def check_table(folder: Path, contents: dict[str, bytes]) -> str:
    with contextlib.redirect_stdout(io.StringIO()):
        table = read_isic2019(folder)
    truth = unharmed(contents[tables.GROUND_TRUTH_2019], truth_table())
    metadata = unharmed(contents[tables.METADATA_2019], metadata_table())
    rows = table.set_index("image").to_dict("index")
    if len(rows) != len(table):
        raise WrongData("an image has two rows")
    missing = set(truth) - set(rows) - set(WITHOUT_IMAGE)
    if missing:
        raise WrongData(f"{missing} are in the file and not in the table")
    for image, row in rows.items():
        if Path(row["path"]).parent.name != tables.IMAGES_2019 or Path(row["path"]).stem != unicodedata.normalize(
            "NFC", image
        ):
            raise WrongData(f"{image} got the image {row['path']}")
        if image in truth and float(truth[image][row["label"]]) != 1:
            raise WrongData(f"{image} got the label {row['label']}")
        for column in ("lesion_id", "anatom_site_general", "sex") if image in metadata else ():
            if metadata[image][column] != ("" if row[column] is None or row[column] != row[column] else row[column]):
                raise WrongData(f"{image} got {column} {row[column]!r}")
        if image in metadata and float(metadata[image]["age_approx"]) != row["age_approx"]:
            raise WrongData(f"{image} got the age {row['age_approx']}")
    return "read, all rows" if len(rows) == 6 else "read, fewer rows"


def check_image(path: Path, files: dict[str, bytes], originals: list[np.ndarray]) -> str:
    pixels = np.asarray(read_image(path))
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise WrongData(f"pixels {pixels.dtype} {pixels.shape}")
    if any(np.array_equal(pixels, original) for original in originals):
        return "read, as it was"
    with Image.open(path) as image:
        if image.format == "PNG":
            raise WrongData("a PNG with pixels that no original has")
        if not np.array_equal(pixels, np.asarray(ImageOps.exif_transpose(image).convert("RGB"))):
            raise WrongData("not what Pillow decodes")
    return "read, as Pillow decodes the damaged JPEG"


def check_mask(path: Path, originals: list[np.ndarray]) -> str:
    mask = read_mask(path)
    if mask.dtype != bool or not any(np.array_equal(mask * 255, original[..., 0]) for original in originals):
        raise WrongData("a mask that is none of the originals")
    return "read, as it was"


def main(cases: int = 10_000, seed: int = 0, first: int = 0) -> None:
    files = draw_images()
    outcomes, warned, slowest = Counter(), Counter(), (0.0, -1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        place = folder / tables.IMAGES_2019
        place.mkdir()
        for image in set(IMAGES) - set(WITHOUT_IMAGE):
            (place / f"{image}.jpg").write_bytes(files["baseline.jpg"])
        originals = []
        for file, content in files.items():
            (folder / file).write_bytes(content)
            originals.append(np.asarray(read_image(folder / file)))
        for case in range(first, first + cases):
            chance = random.Random(f"{seed} {case}")
            kind = chance.choice(["table", "image", "mask"])
            start = time.perf_counter()
            faulthandler.dump_traceback_later(SECONDS, exit=True)
            try:
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always")
                    outcome = one_case(kind, chance, folder, files, originals)
            except IsicError as error:
                outcome = refusal(error)
            except Exception:
                print(f"Case {case} of seed {seed} ({kind}) went wrong:", file=sys.stderr)
                raise
            finally:
                faulthandler.cancel_dump_traceback_later()
            outcomes[kind, outcome] += 1
            warned.update(f"{warning.category.__name__}: {str(warning.message)[:60]}" for warning in caught)
            slowest = max(slowest, (time.perf_counter() - start, case))
    print(f"{cases:,} cases from {first} on, seed {seed}; the slowest, {slowest[1]}, took {slowest[0]:.2f} s")
    for (kind, outcome), count in sorted(outcomes.items(), key=lambda item: (item[0][0], -item[1])):
        print(f"  {kind:8} {count:7,}  {outcome}")
    for message, count in warned.most_common(10):
        print(f"  warning  {count:7,}  {message}")


def one_case(kind: str, chance: random.Random, folder: Path, files: dict, originals: list) -> str:
    """Damage a file, read it, and check what comes back. Returns the outcome in words."""
    if kind == "table":
        contents = {tables.GROUND_TRUTH_2019: truth_table().encode(), tables.METADATA_2019: metadata_table().encode()}
        file = chance.choice(list(contents))
        if chance.random() < 0.5:
            contents[file] = damage_text(contents[file].decode(), chance)
        else:
            contents[file] = damage(contents[file], chance, list(contents.values()))
        for name, content in contents.items():
            (folder / name).write_bytes(content)
        return check_table(folder, contents)
    file = chance.choice([name for name in files if name.startswith("mask") == (kind == "mask")])
    path = folder / f"damaged{chance.choice(['.jpg', '.png'])}"
    path.write_bytes(damage(files[file], chance, list(files.values())))
    return check_mask(path, originals) if kind == "mask" else check_image(path, files, originals)


def refusal(error: IsicError) -> str:
    """The kind of an error: it must be a sentence that says what to do."""
    message = str(error)
    if len(message) > 700 or "\n" in message or not message.endswith("."):
        raise WrongData(f"no clear sentence: {message[:900]!r}") from error
    kinds = (
        "is missing", "no UTF-8 text", "is empty", "lacks the column", "the column", "has no rows", "cells instead",
        "no row of a table", "stands there twice", "is a path", "needs 1 for one class", "is no age", "none of the",
        "cut short or damaged", "not a JPEG, PNG or WebP", "pixels", "no white", "has the mode",
    )  # fmt: skip
    return "refused: " + next((kind for kind in kinds if kind in message), message)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
