"""OOD detection: images of other kinds are found, and images like the training images are left alone."""

import numpy as np
import pytest
from archives import MemoryStore
from PIL import Image

from isic_course import odd_images, synthetic
from isic_utils.datasets import read_isic2019
from isic_utils.inference.ood import OodDetector


@pytest.fixture(scope="module")
def lesions(tmp_path_factory) -> list[np.ndarray]:
    """160 images or a few more of the synthetic sample's kind, as they were drawn: uint8 [height, width, 3] each."""
    folder = synthetic.draw(tmp_path_factory.mktemp("drawn") / "sample", images=160, pairs=0, least_images=1,
                            least_lesions=1, progress=False)  # fmt: skip
    return [np.asarray(Image.open(path)) for path in read_isic2019(folder)["path"]]


def small(images: list[np.ndarray]) -> np.ndarray:
    return np.stack([np.asarray(Image.fromarray(p).resize((48, 48), Image.Resampling.BILINEAR)) for p in images])


@pytest.fixture(scope="module")
def detector(lesions) -> OodDetector:
    return OodDetector.fit(small(lesions[:80]), small(lesions[80:120]))


def share_found(detector: OodDetector, images: list[np.ndarray]) -> float:
    return np.mean([reason is not None for reason in detector.reasons(small(images))])


def test_images_in_distribution_are_rarely_taken_for_others(detector, lesions):
    assert share_found(detector, lesions[120:]) <= 0.2


def test_every_kind_of_odd_image_is_found(detector, lesions):
    for kind, images in odd_images.draw(lesions[120:], each=10).items():
        assert share_found(detector, images) >= 0.8, kind


def test_the_reasons_say_what_is_wrong(detector, lesions):
    by_sharpness = np.argsort(detector.scores(small(lesions[:80]))["sharpness"])
    usual = lesions[by_sharpness[40]]  # as sharp as most: another would be blurred or sharp for any reason
    page = odd_images.page(np.random.default_rng(0))
    green = (usual * [0.5, 1.4, 0.5]).clip(0, 255).astype(np.uint8)
    reasons = detector.reasons(small([odd_images.blurred(usual), page, green]))
    assert "blurred or empty" in reasons[0] and "fine detail" in reasons[1] and "colours" in reasons[2]


def test_images_of_a_store_are_judged_in_the_order_of_their_names(detector, lesions):
    pixels = small([*lesions[:299], *[np.zeros((8, 8, 3), np.uint8)]] * 2)  # more than a chunk
    names = [f"image {number}" for number in range(len(pixels))]
    store = MemoryStore(names, pixels, "")
    found = detector.out_of_distribution(store, store.images[::-1].to_series())
    assert found[::-1].tolist() == [reason is not None for reason in detector.reasons(pixels)]
    assert found[0]


def test_the_distance_is_mahalanobis(lesions):
    """In standard deviations, along the axes of the usual images: its mean square is the number of features."""
    pixels = small(lesions)
    distance = OodDetector.fit(pixels, pixels).scores(pixels)["distance"]
    assert np.mean(distance**2) == pytest.approx(10, rel=0.02)
