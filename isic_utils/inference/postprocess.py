"""What a mask should be: one contiguous region. Of the networks' masks and of the synthetic sample's alike."""

import numpy as np
from scipy import ndimage


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
