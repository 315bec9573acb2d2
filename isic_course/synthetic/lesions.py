"""One synthetic lesion: its outline (outlines.py), and what it puts into the skin (recipes.py).

A lesion is drawn once, on a square canvas, and photographed as often as was planned (camera.py), so that all images of
a lesion show the same individual. What it puts into the skin are five layers, each a float32 array [size, size] that is
0 where the skin is untouched:

- melanin, blood: densities that absorb light, added to those of the skin;
- veil, white, crust: how far (0 to 1) the colour is hidden by blue-grey haze, by whitish scale or scar, and by
  yellowish crust.
"""

from dataclasses import dataclass

import numpy as np

from .outlines import FORMS, draw_outline
from .recipes import RECIPES

LAYERS = ("melanin", "blood", "veil", "white", "crust")
BORROWED_SHOWS = 1 / 3  # from this share on, the structures of the class that a lesion borrows from count as drawn


@dataclass(frozen=True)
class Lesion:
    """A drawn lesion. `radius` in pixels; `layers` float32 [5, size, size], in the order of LAYERS; `mask` bool
    [size, size], exact; `structures`: the names of what was drawn into it, however faint."""

    radius: float
    layers: np.ndarray
    mask: np.ndarray
    structures: frozenset[str] = frozenset()


def draw_lesion(
    rng: np.random.Generator, code: str, borrowed: str, borrowed_share: float, clearness: float, height: int
) -> Lesion:
    """Draw a lesion of class `code` that looks, to the share `borrowed_share` (0 to 1), like class `borrowed`.

    `clearness` (0 to 1) says how plainly the structures of its class stand out; `height` is that of the images, in
    pixels, to which the size of the lesion is proportional.
    """
    form = FORMS[borrowed] if rng.random() < borrowed_share else FORMS[code]
    typical, spread = form.radius
    radius = height * float(np.clip(typical * np.exp(rng.normal(0, spread)), 0.10, 0.52))
    outline = draw_outline(rng, form, radius)
    own, other = rng.spawn(2)
    of_class, structures = RECIPES[code](own, outline, clearness)
    layers = np.stack(of_class)
    if borrowed_share > 0:
        of_other, structures_of_other = RECIPES[borrowed](other, outline, clearness)
        layers *= 1 - borrowed_share
        layers += borrowed_share * np.stack(of_other)
        if borrowed_share >= BORROWED_SHOWS:
            structures = structures | structures_of_other
    return Lesion(radius, layers.astype(np.float32), outline.depth > 0, frozenset(structures))
