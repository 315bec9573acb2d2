"""Near-duplicates: images that show the same under two names, which a lesion_id does not always tell.

A **difference hash** (dHash) says of an image, made grey and very small, where it gets brighter from left to right. It
hardly changes when a file is compressed anew; a smaller copy of smooth skin may differ in more than `max_bits`.
Features of a network find what was rotated or cropped.
"""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from isic_utils.datasets.images import open_image

HASH_SIDE = 16  # a hash has 16 x 16 = 256 bits
BLOCK = 1000  # images that are compared with all others at a time, which bounds the memory in use


def near_duplicates(
    table: pd.DataFrame, features: np.ndarray | None = None, max_bits: int = 10, max_distance: float = 0.02
) -> pd.DataFrame:
    """Each pair of images whose hashes, or whose features if there are any, are close to each other.

    table: the columns image and path; features: float [n, any number], a row per image in the order of the table;
    max_bits: of 256 in which two hashes may differ; max_distance: cosine distance of two features, 0 (the same
    direction) to 2.

    Returns a row per pair, the closest first, with the columns image and other (names), identical (whether the files
    are the same, byte for byte), bits (in which their hashes differ) and, with features, distance. Images of one
    lesion are among them: compare the lesion_ids of a pair. Raises IsicError if an image cannot be read.
    """
    digests, hashes = zip(*(digest_and_hash(path) for path in table["path"]), strict=True)
    digests, signs = np.array(digests), np.stack(hashes) * np.float32(2) - 1
    if features is not None:
        features = features / np.linalg.norm(features, axis=1, keepdims=True)
    names, found = table["image"].to_numpy(), []
    for start in range(0, len(names), BLOCK):
        block = slice(start, start + BLOCK)
        bits = (HASH_SIDE**2 - signs[block] @ signs.T) / 2
        distance = np.full_like(bits, np.nan) if features is None else 1 - features[block] @ features.T
        first, second = np.nonzero(np.triu((bits <= max_bits) | (distance <= max_distance), k=start + 1))
        pairs = {"image": names[block][first], "other": names[second]}
        pairs |= {"identical": digests[block][first] == digests[second], "bits": bits[first, second].astype(int)}
        found.append(pd.DataFrame(pairs | {"distance": distance[first, second]}))
    pairs = pd.concat(found).sort_values(["bits", "distance", "image"], ignore_index=True)
    return pairs.drop(columns="distance") if features is None else pairs


def digest_and_hash(path: Path | str) -> tuple[str, np.ndarray]:
    """A digest of an image file's bytes, and its difference hash, bool [256]."""
    grey = open_image(path).convert("L").resize((HASH_SIDE + 1, HASH_SIDE), Image.Resampling.BOX)
    levels, digest = np.asarray(grey, np.int16), hashlib.sha256(Path(path).read_bytes())
    return digest.hexdigest(), (levels[:, 1:] > levels[:, :-1]).ravel()
