"""What lesions of each class put into the skin: one recipe per class.

A recipe takes a generator, an outline and the clearness of its structures (0 to 1), and returns the five layers of
lesions.py and the names of the structures in them. Which structures belong to which diagnosis follows the usual
teaching of dermoscopy (Kittler et al., "Standardization of terminology in dermoscopy/dermatoscopy", J Am Acad Dermatol
2016), much simplified. Nothing learnt from these drawings is medical.
"""

import math
from collections.abc import Callable

import numpy as np

from .outlines import Outline
from .textures import blobs, fractal, lattice, lines, soft_step, spots, wander

Layers = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]
Drawn = tuple[Layers, set[str]]


def _nothing(outline: Outline) -> np.ndarray:
    return np.zeros(outline.shape, np.float32)


def _uneven(rng: np.random.Generator, outline: Outline, amount: float, scale: float = 0.8) -> np.ndarray:
    """A factor around 1 that varies over the lesion in clouds of about `scale` radii."""
    clouds = fractal(rng, outline.shape, max(8, int(scale * outline.radius)), 2.3)
    grains = blobs(rng, outline.shape, 1.8)
    return np.exp(np.clip(amount * clouds + 0.10 * grains, -1.2, 1.2))


def _network(rng: np.random.Generator, outline: Outline, spacing: float, disorder: float) -> np.ndarray:
    """Brown lines around light holes: about 1.5 on the lines, 0.5 in the holes, 1 on average."""
    holes = lattice(rng, outline.shape, spacing, disorder)
    plain = soft_step(fractal(rng, outline.shape, max(8, int(0.8 * outline.radius)), 2.2) / 0.5)
    return 1 + plain * (0.45 - 1.1 * holes)


def _patches(rng: np.random.Generator, outline: Outline, scale: float, threshold: float) -> np.ndarray:
    """Irregular patches of about `scale` radii, 1 in their middle; a higher threshold leaves fewer."""
    clouds = fractal(rng, outline.shape, max(8, int(scale * outline.radius)), 2.5)
    return soft_step((clouds - threshold) / 0.4)


def _off_centre(rng: np.random.Generator, outline: Outline, away: float, size: float) -> np.ndarray:
    """A soft hill of `size` radii, `away` radii from the middle in a random direction."""
    direction = rng.uniform(0, 2 * np.pi)
    x, y = outline.x - away * math.cos(direction), outline.y - away * math.sin(direction)
    return np.exp(-(x * x + y * y) / (size * size))


def _melanoma(rng: np.random.Generator, outline: Outline, clearness: float) -> Drawn:
    density = math.exp(rng.normal(math.log(1.05), 0.42))
    zones = _patches(rng, outline, 1.2, rng.uniform(-0.6, 0.8))  # tan here, dark brown or black there
    melanin = density * outline.soft * _uneven(rng, outline, 0.25)
    melanin *= 1 + clearness * (rng.uniform(0.9, 1.7) * zones - 0.55)
    network = _network(rng, outline, rng.uniform(5, 8), rng.uniform(0.5, 0.8))
    where = _patches(rng, outline, 0.9, 0.0)
    melanin *= 1 + clearness * 0.9 * where * (network - 1)
    blotch = _off_centre(rng, outline, rng.uniform(0.2, 0.6), rng.uniform(0.3, 0.6))
    melanin *= 1 + rng.uniform(0.2, 1.3) * clearness * blotch
    structures = {"network"}
    if rng.random() < 0.35:  # streaks: radial fingers along a part of the border
        structures.add("streaks")
        angle = np.arctan2(outline.y, outline.x)
        waves = np.sin(angle * rng.integers(18, 30) + 4 * blobs(rng, outline.shape, 0.6 * outline.radius))
        fingers = np.clip(waves * (0.6 + 0.6 * blobs(rng, outline.shape, 0.4 * outline.radius)), 0, 1)
        side = 0.5 + 0.5 * np.cos(angle - rng.uniform(0, 2 * np.pi))
        melanin += 0.7 * clearness * density * fingers * side * outline.band(-0.02, 0.14)
    blood = float(rng.choice([0.0, 0.05, 0.25])) * outline.soft * _uneven(rng, outline, 0.5)
    veil, white = _nothing(outline), _nothing(outline)
    if rng.random() < 0.6:  # blue-white veil
        structures.add("veil")
        haze = outline.soft * _patches(rng, outline, 1.0, rng.uniform(0.3, 0.9))
        veil = clearness * rng.uniform(0.3, 0.65) * haze
    if rng.random() < 0.35:  # regression: scar-like white with grey-blue grains
        structures.add("scar")
        gone = outline.soft * _off_centre(rng, outline, rng.uniform(0.1, 0.6), rng.uniform(0.25, 0.5))
        melanin *= 1 - 0.8 * clearness * gone
        white += 0.45 * clearness * gone
        veil += 0.5 * clearness * gone * np.clip(blobs(rng, outline.shape, 2.5), 0, 1)
    if rng.random() < 0.4:  # irregular dots and globules
        structures.add("globules")
        dots = spots(rng, outline.band(0.1, 0.25), int(rng.integers(5, 20)), (1.0, 2.4))
        melanin += 0.9 * clearness * dots
    return (melanin, blood, veil, white, _nothing(outline)), structures


def _nevus(rng: np.random.Generator, outline: Outline, clearness: float) -> Drawn:
    density = math.exp(rng.normal(math.log(0.68), 0.50))
    melanin = density * outline.soft * _uneven(rng, outline, 0.15)
    structures, kind = set(), rng.random()
    if kind < 0.5:  # regular network, fading towards the border
        structures.add("network")
        melanin *= 1 + clearness * 0.65 * (_network(rng, outline, rng.uniform(4.0, 6.0), 0.35) - 1)
    elif kind < 0.8:  # regular globules
        structures.add("globules")
        cells = lattice(rng, outline.shape, rng.uniform(4.5, 6.5), 0.45)
        melanin *= 1 + clearness * 1.1 * (soft_step((cells - 0.55) / 0.12) - 0.35)
    middle = _off_centre(rng, outline, 0.0, 0.6)
    melanin *= 1 + rng.uniform(-0.25, 0.7) * middle  # lighter or darker
    blood = float(rng.choice([0.0, 0.0, 0.30])) * outline.soft * _uneven(rng, outline, 0.2)
    veil = float(rng.choice([0, 0, 0.25])) * rng.random() * outline.soft
    return (melanin, blood, veil, _nothing(outline), _nothing(outline)), structures


def _basal_cell_carcinoma(rng: np.random.Generator, outline: Outline, clearness: float) -> Drawn:
    melanin = rng.uniform(0.0, 0.10) * outline.soft * _uneven(rng, outline, 0.6)
    blood = rng.uniform(0.04, 0.34) * outline.soft * _uneven(rng, outline, 0.35)
    veil, crust = _nothing(outline), _nothing(outline)
    white = rng.uniform(0.0, 0.3) * outline.soft * _patches(rng, outline, 0.7, 0.3)
    vessels = _arborising_vessels(rng, outline) * (0.3 + 0.7 * outline.soft)
    blood += clearness * rng.uniform(0.6, 1.3) * vessels
    structures = {"vessels"}
    if rng.random() < 0.55:  # leaf-like areas and blue-grey nests
        structures.add("nests")
        widest = 0.16 * outline.radius + 1.6
        leaves = spots(rng, outline.band(0.25, 0.25), int(rng.integers(3, 12)), (1.2, widest), 1.2)
        leaves *= outline.soft * np.clip(1 + 0.7 * blobs(rng, outline.shape, 4), 0, 1)
        veil += clearness * rng.uniform(0.3, 0.75) * leaves
        melanin += clearness * rng.uniform(0.3, 1.0) * leaves
    if rng.random() < 0.35:  # ulceration
        structures.add("ulcer")
        sore = outline.soft * _patches(rng, outline, 0.5, 1.1) * _off_centre(rng, outline, 0.2, 0.8)
        blood += clearness * rng.uniform(0.7, 1.6) * sore
        crust += clearness * 0.6 * sore * np.clip(blobs(rng, outline.shape, 4), 0, 1)
    return (melanin, blood, veil, white, crust), structures


def _arborising_vessels(rng: np.random.Generator, outline: Outline) -> np.ndarray:
    """Red trees that grow from the border inwards, thinner with each branch."""
    strokes, middle = [], np.array(outline.shape[::-1]) / 2
    for _ in range(int(rng.integers(2, 6))):
        angle = rng.uniform(0, 2 * np.pi)
        start = middle + outline.radius * rng.uniform(0.5, 1.1) * np.array([np.cos(angle), np.sin(angle)])
        stems = [(start, angle + np.pi + rng.normal(0, 0.6), rng.uniform(1.0, 1.7), 0)]
        while stems:
            begin, heading, thickness, order = stems.pop()
            steps = int(rng.integers(6, 12)) if order == 0 else int(rng.integers(3, 8))
            points = wander(rng, begin, heading, steps, 0.09 * outline.radius + 0.8, 0.28)
            strokes.append((points, thickness, rng.uniform(0.6, 1.0)))
            if order < 2:
                for _ in range(int(rng.integers(1, 4))):
                    fork = points[rng.integers(1, len(points))]
                    side = heading + float(rng.choice([-1, 1])) * rng.uniform(0.4, 1.1)
                    stems.append((fork, side, 0.65 * thickness, order + 1))
    return lines(outline.shape, strokes)


def _actinic_keratosis(rng: np.random.Generator, outline: Outline, clearness: float) -> Drawn:
    blood = rng.uniform(0.20, 0.45) * outline.soft * _uneven(rng, outline, 0.35, 0.6)
    melanin = float(rng.choice([0.14, 0.22, 0.36])) * outline.soft * _uneven(rng, outline, 0.45, 0.6)
    follicles = lattice(rng, outline.shape, rng.uniform(5, 7), 0.4)
    holes = soft_step((follicles - 0.6) / 0.1) * soft_step(blobs(rng, outline.shape, 12) / 0.4)
    blood *= 1 + clearness * (0.4 - 1.1 * holes)
    melanin *= 1 + clearness * (0.4 - 1.1 * holes)
    white = 0.4 * clearness * holes * outline.soft
    white += clearness * _scale(rng, outline, rng.uniform(0.5, 1.5))
    crust = clearness * rng.uniform(0.05, 0.35) * outline.soft * _patches(rng, outline, 0.5, 0.4)
    return (melanin, blood, _nothing(outline), white, crust), {"follicles", "scale"}


def _scale(rng: np.random.Generator, outline: Outline, threshold: float) -> np.ndarray:
    """Flakes of whitish scale: small, angular and bright."""
    flakes = soft_step((fractal(rng, outline.shape, 8, 1.3) - 0.7) / 0.2)
    return 0.75 * flakes * outline.soft * _patches(rng, outline, 0.6, threshold)


def _benign_keratosis(rng: np.random.Generator, outline: Outline, clearness: float) -> Drawn:
    density = math.exp(rng.normal(math.log(0.48), 0.50))
    melanin = density * outline.soft * _uneven(rng, outline, 0.3, 0.5)
    veil = float(rng.choice([0.0, 0.08, 0.25])) * outline.soft * _uneven(rng, outline, 0.4, 0.5)
    blood = float(rng.choice([0.0, 0.05, 0.2])) * outline.soft
    white, inner, structures = _nothing(outline), np.clip(outline.depth, 0, 1), set()
    if rng.random() < 0.4:  # fissures and ridges
        structures.add("ridges")
        ridges = np.exp(-((blobs(rng, outline.shape, rng.uniform(6, 9)) / 0.3) ** 2))
        melanin *= 1 + clearness * (0.9 * ridges - 0.3)
    if rng.random() < 0.75:  # comedo-like openings
        structures.add("openings")
        openings = spots(rng, inner, int(rng.integers(2, 14)), (1.0, 2.8), 0.8)
        melanin += clearness * rng.uniform(0.8, 1.8) * openings
    if rng.random() < 0.75:  # milia-like cysts
        structures.add("cysts")
        cysts = spots(rng, inner, int(rng.integers(5, 28)), (0.8, 2.0), 0.7)
        white += clearness * rng.uniform(0.5, 0.8) * cysts
    if rng.random() < 0.3:  # grey grains, as in a regressing lichenoid keratosis
        structures.add("grains")
        grains = np.clip(blobs(rng, outline.shape, 2.2) - 0.3, 0, 1)
        veil += 0.8 * clearness * outline.soft * grains
    return (melanin, blood, veil, white, _nothing(outline)), structures


def _dermatofibroma(rng: np.random.Generator, outline: Outline, clearness: float) -> Drawn:
    middle = np.exp(-(((outline.x**2 + outline.y**2) / rng.uniform(0.14, 0.32)) ** 1.3))
    middle = np.clip(middle * _uneven(rng, outline, 0.25, 0.4), 0, 1)
    melanin = rng.uniform(0.30, 0.6) * outline.soft * _uneven(rng, outline, 0.25)
    melanin *= 1 + clearness * (_network(rng, outline, rng.uniform(4, 5.5), 0.4) - 1)
    melanin *= 1 - 0.8 * clearness * middle
    blood = rng.uniform(0.05, 0.4) * outline.soft * _uneven(rng, outline, 0.25)
    white = clearness * rng.uniform(0.45, 0.75) * middle
    return (melanin, blood, _nothing(outline), white, _nothing(outline)), {"network", "scar"}


def _vascular_lesion(rng: np.random.Generator, outline: Outline, clearness: float) -> Drawn:
    density = math.exp(rng.normal(math.log(1.8), 0.35))
    widest = rng.uniform(0.16, 0.36) * outline.radius + 1.5
    where = np.clip(outline.depth - 0.05, 0, 0.4)
    lacunae = outline.soft * spots(rng, where, int(rng.integers(6, 30)), (0.45 * widest, widest), 1.0)
    plain = rng.uniform(0.35, 0.9)  # how red the lesion is between its lacunae
    blood = density * _uneven(rng, outline, 0.25) * (plain * outline.soft + 0.8 * clearness * lacunae)
    dark = float(rng.choice([0.0, 0.15, 0.4, 1.2]))  # clotted blood is almost black
    melanin = dark * lacunae * _uneven(rng, outline, 0.3)
    blue = float(rng.choice([0.0, 0.2, 0.35, 0.5]))
    veil = clearness * blue * (0.6 * outline.soft + 0.4 * lacunae)
    white = clearness * rng.uniform(0.0, 0.35) * outline.soft * (1 - lacunae)
    return (melanin, blood, veil, white, _nothing(outline)), {"lacunae"}


def _squamous_cell_carcinoma(rng: np.random.Generator, outline: Outline, clearness: float) -> Drawn:
    blood = rng.uniform(0.12, 0.42) * outline.soft * _uneven(rng, outline, 0.4, 0.6)
    melanin = float(rng.choice([0.04, 0.12, 0.32])) * outline.soft * _uneven(rng, outline, 0.45, 0.6)
    outer = outline.band(0.25, 0.3)
    blood += clearness * rng.uniform(0.6, 1.2) * spots(rng, outer, int(rng.integers(10, 45)), (0.6, 1.2), 0.5)
    coils = []
    for _ in range(int(rng.integers(3, 12))):
        angle, away = rng.uniform(0, 2 * np.pi), outline.radius * rng.uniform(0.45, 1.0)
        start = np.array(outline.shape[::-1]) / 2 + away * np.array([np.cos(angle), np.sin(angle)])
        coil = wander(rng, start, rng.uniform(0, 2 * np.pi), steps=12, stride=1.1, turn=0.8)
        coils.append((coil, 0.8, rng.uniform(0.5, 1.0)))
    blood += clearness * rng.uniform(0.6, 1.2) * lines(outline.shape, coils)
    white = clearness * _scale(rng, outline, rng.uniform(0.2, 1.2))
    count = int(rng.integers(4, 14))
    state = rng.bit_generator.state
    wide = spots(rng, outer, count, (2.4, 2.9), 0.5)
    rng.bit_generator.state = state
    white += 0.5 * clearness * np.clip(wide - spots(rng, outer, count, (1.1, 1.5), 0.5), 0, 1)
    core = outline.soft * _off_centre(rng, outline, rng.uniform(0, 0.3), rng.uniform(0.3, 0.55))
    core = np.clip(core * _uneven(rng, outline, 0.5, 0.3), 0, 1)
    crusted = rng.random() < 0.85
    core *= crusted
    crust = clearness * rng.uniform(0.5, 0.9) * core
    blood += clearness * float(rng.choice([0, 1.0])) * core * _patches(rng, outline, 0.3, 0.6)
    structures = {"vessels", "scale"} | ({"crust"} if crusted else set())
    return (melanin, blood, _nothing(outline), white, crust), structures


RECIPES: dict[str, Callable[[np.random.Generator, Outline, float], Drawn]] = {
    "MEL": _melanoma,
    "NV": _nevus,
    "BCC": _basal_cell_carcinoma,
    "AK": _actinic_keratosis,
    "BKL": _benign_keratosis,
    "DF": _dermatofibroma,
    "VASC": _vascular_lesion,
    "SCC": _squamous_cell_carcinoma,
}
