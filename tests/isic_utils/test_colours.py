"""The palette as the colour-blind see it, by simulation; and that figures use no other colours."""

import itertools
import json
import re

import matplotlib
import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from isic_utils import plots
from isic_utils.settings import PROJECT

# Machado, Oliveira and Fernandes 2009, doi:10.1109/TVCG.2009.113, severity 1, for linear RGB
VISIONS = {
    "usual": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
COLOUR_MAPS = {"gray", "cividis"}
SIGNED = "PuOr_r"  # the weights of a kernel: white is 0


def seen(colours: np.ndarray, vision: str) -> np.ndarray:
    """How colours look: sRGB from 0 to 1, [n, 3] -> CIELAB [n, 3]."""
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    linear = (linear @ VISIONS[vision].T).clip(0, 1)
    return rgb2lab(np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055))


def closest(colours: list[str], vision: str) -> tuple[float, str]:
    """The smallest distance (CIEDE2000) between two of these colours, and which they are."""
    lab = seen(np.array([matplotlib.colors.to_rgb(colour) for colour in colours]), vision)
    pairs = itertools.combinations(range(len(colours)), 2)
    return min((float(deltaE_ciede2000(lab[i], lab[j])), f"{colours[i]} {colours[j]}") for i, j in pairs)


@pytest.mark.parametrize("vision", VISIONS)
def test_colours_can_be_told_apart(vision):
    distance, pair = closest(plots.COLOURS, vision)
    assert distance > 10, (distance, pair)
    distance, pair = closest([plots.BLUE, plots.RED], vision)
    assert distance > 25, "the two that stand for yes and no"


def test_the_simulation_shows_what_goes_wrong_with_red_and_green():
    red_and_green = ["#d62728", "#2ca02c"]  # matplotlib's own
    assert closest(red_and_green, "usual")[0] > 60 and closest(red_and_green, "deuteranopia")[0] < 6


@pytest.mark.parametrize("vision", VISIONS)
@pytest.mark.parametrize("name", sorted(COLOUR_MAPS))
def test_colour_maps_get_lighter_step_by_step(name, vision):
    lightness = seen(matplotlib.colormaps[name](np.linspace(0, 1, 64))[:, :3], vision)[:, 0]
    assert (np.diff(lightness) > -0.2).all() and lightness[-1] - lightness[0] > 60


@pytest.mark.parametrize("vision", VISIONS)
def test_the_map_of_signed_values_gets_darker_to_both_sides(vision):
    lightness = seen(matplotlib.colormaps[SIGNED](np.linspace(0, 1, 64))[:, :3], vision)[:, 0]
    assert (np.diff(lightness[:32]) > -0.2).all() and (np.diff(lightness[32:]) < 0.2).all()
    assert min(lightness[31] - lightness[0], lightness[32] - lightness[-1]) > 50


def sources() -> dict[str, str]:
    """The code of every lesson and of every module that draws."""
    found = {}
    for path in sorted((PROJECT / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        found[path.name] = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    for path in [PROJECT / "isic_utils" / "plots.py", *(PROJECT / "isic_course" / "figures").glob("*.py")]:
        found[path.name] = path.read_text(encoding="utf-8")
    return found


@pytest.mark.parametrize("name", sources())
def test_figures_use_these_colours_and_maps_alone(name):
    text = sources()[name]
    named = re.findall(r"""(?:colou?rs?|facecolor|edgecolor|c)=["']([a-z]+)["']""", text)
    assert set(named) <= {"black", "white", "none"}, "take plots.BLUE, ORANGE, …"
    assert set(re.findall(r"""cmap=["'](\w+)["']""", text)) <= COLOUR_MAPS | {SIGNED}
    assert not re.findall(r"""["']C\d["']|tab:\w+""", text)
