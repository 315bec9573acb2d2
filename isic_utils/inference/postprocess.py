"""Post-processing of masks: the size of the original image, and one contiguous region."""

import numpy as np
from PIL import Image
from scipy import ndimage


def enlarge(probability: np.ndarray, height: int, width: int) -> np.ndarray:
    """A map of probabilities [h, w] resized bilinearly: float32 [height, width]."""
    image = Image.fromarray(probability.astype(np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))


def one_region(mask: np.ndarray) -> np.ndarray:
    """The largest contiguous region of a mask (pixels that touch at their sides), its holes filled.

    ISIC 2018's masks should be one contiguous region without holes (thesis §4.1.1). mask: boolean [height, width], as
    is the result; an empty mask stays empty.
    """
    regions, count = ndimage.label(mask)
    if count == 0:
        return mask
    largest = 1 + int(np.argmax(np.bincount(regions.ravel())[1:]))
    return ndimage.binary_fill_holes(regions == largest)
