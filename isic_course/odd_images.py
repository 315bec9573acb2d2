"""Images that show no lesion, drawn by code or bundled with scikit-image: out of distribution for a tool for lesions.

Nobody can list everything that a camera may take. These are kinds that do occur (a finger on the lens, no focus, a
screenshot, the wrong file). They measure how often an out-of-distribution detector finds them, and never choose its
thresholds.
"""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from skimage import data

HEIGHT, WIDTH = 240, 320  # of a drawn image
BUNDLED = ("astronaut", "cat", "coffee", "rocket", "coins", "text", "brick", "grass", "moon", "immunohistochemistry")


def draw(lesion_images: list[np.ndarray], each: int = 10, seed: int = 0) -> dict[str, list[np.ndarray]]:
    """Images without a lesion by kind, `each` of a kind, uint8 [height, width, 3]; the same seed draws the same ones.

    lesion_images: images of lesions, uint8 [height, width, 3], of which some kinds are made: they lose their focus, or
    are enlarged until the lesion is gone.
    """
    chance = np.random.default_rng(seed)
    made = {
        "black": lambda number: plain(chance, 0),
        "white": lambda number: plain(chance, 255),
        "one colour": lambda number: plain(chance, chance.integers(30, 226, 3)),
        "noise": lambda number: chance.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8),
        "checkerboard": lambda number: checkerboard(chance),
        "colour gradient": lambda number: gradient(chance),
        "page of text": lambda number: page(chance),
        "out of focus": lambda number: blurred(lesion_images[number % len(lesion_images)]),
        "enlarged corner": lambda number: enlarged(chance, lesion_images[number % len(lesion_images)]),
    }
    images = {kind: [make(number) for number in range(each)] for kind, make in made.items()}
    images["everyday images"] = bundled()[:each]
    return images


def plain(chance: np.random.Generator, colour: np.ndarray | int) -> np.ndarray:
    """One colour with a little noise, as of a covered lens or a white wall."""
    noise = chance.normal(0, 3, (HEIGHT, WIDTH, 3))
    return (noise + colour).clip(0, 255).astype(np.uint8)


def checkerboard(chance: np.random.Generator) -> np.ndarray:
    """Squares of two colours."""
    rows, columns = np.indices((HEIGHT, WIDTH)) // chance.integers(10, 60)
    return chance.integers(0, 256, (2, 3)).astype(np.uint8)[(rows + columns) % 2]


def gradient(chance: np.random.Generator) -> np.ndarray:
    """Two colours that blend into each other along a line of any direction."""
    angle = chance.uniform(0, 2 * np.pi)
    rows, columns = np.indices((HEIGHT, WIDTH))
    along = np.cos(angle) * columns + np.sin(angle) * rows
    share = ((along - along.min()) / np.ptp(along))[..., np.newaxis]
    first, last = chance.integers(0, 256, (2, 3))
    return (first + share * (last - first)).astype(np.uint8)


def page(chance: np.random.Generator) -> np.ndarray:
    """Black words on white paper."""
    image = Image.new("RGB", (WIDTH, HEIGHT), "white")
    pen = ImageDraw.Draw(image)
    for top in range(12, HEIGHT - 12, 16):
        words = ["".join(chance.choice(list("abcdefghilmnoprstu"), chance.integers(2, 10))) for _ in range(12)]
        pen.text((10, top), " ".join(words), fill="black")
    return np.asarray(image)


def blurred(image: np.ndarray) -> np.ndarray:
    """An image out of focus: no detail smaller than a tenth of its width is left."""
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(image.shape[1] / 20)))


def enlarged(chance: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """A corner of an image, rotated, fifteen times as large: skin or shadow, and no lesion."""
    height, width = np.array(image.shape[:2]) // 15
    top, left = chance.integers(0, height + 1), chance.integers(0, width + 1)
    corner = Image.fromarray(image[top : top + height, left : left + width])
    return np.asarray(corner.rotate(90 * int(chance.integers(4)), expand=True).resize((WIDTH, HEIGHT)))


def bundled() -> list[np.ndarray]:
    """Images that come with scikit-image, so that nothing is downloaded: a person, a cat, a cup, a rocket ..."""
    return [np.asarray(Image.fromarray(getattr(data, name)()).convert("RGB")) for name in BUNDLED]
