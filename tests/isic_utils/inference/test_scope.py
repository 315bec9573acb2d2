"""Refusal: what is out of scope is refused, what is in scope is not."""

import numpy as np
import pytest
from PIL import Image

from isic_course import odd_images as oddities
from isic_course.synthetic import draw
from isic_utils.datasets.tables import isic2019
from isic_utils.inference import ood as scope


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> list[np.ndarray]:
    """160 pictures or a few more of the synthetic sample's kind, as they were drawn: uint8 [height, width, 3] each."""
    folder = draw(tmp_path_factory.mktemp("drawn") / "sample", pictures=160, pairs=0, least_pictures=1, progress=False,
                  least_lesions=1)  # fmt: skip
    return [np.asarray(Image.open(path)) for path in isic2019(folder)["path"]]


def small(pictures: list[np.ndarray]) -> np.ndarray:
    return np.stack([np.asarray(Image.fromarray(p).resize((48, 48), Image.Resampling.BILINEAR)) for p in pictures])


@pytest.fixture(scope="module")
def usual(photographs) -> scope.Scope:
    return scope.fit(small(photographs[:80]), small(photographs[80:120]))


def share_refused(usual: scope.Scope, pictures: list[np.ndarray]) -> float:
    return np.mean([reason is not None for reason in scope.reasons(usual, small(pictures))])


def test_pictures_in_scope_are_rarely_refused(usual, photographs):
    assert share_refused(usual, photographs[120:]) <= 0.2


def test_every_kind_of_oddity_is_refused(usual, photographs):
    for kind, pictures in oddities.draw(photographs[120:], each=10).items():
        assert share_refused(usual, pictures) >= 0.8, kind


def test_the_reasons_say_what_is_wrong(usual, photographs):
    skin = next(p for p in photographs[:80] if scope.reasons(usual, small([p])) == [None])
    page = oddities.page(np.random.default_rng(0))
    green = (skin * [0.5, 1.4, 0.5]).clip(0, 255).astype(np.uint8)
    said = scope.reasons(usual, small([oddities.blurred(skin), page, green]))
    assert "blurred or empty" in said[0] and "fine detail" in said[1] and "colours" in said[2]


def test_the_distance_is_mahalanobis(photographs):
    """In standard deviations, along the axes of the usual pictures: their mean square is the number of figures."""
    pictures = small(photographs)
    usual = scope.fit(pictures, pictures)
    assert np.mean(scope.measures(usual, pictures)["distance"] ** 2) == pytest.approx(10, rel=0.02)


def test_oddities_repeat_themselves_and_have_the_asked_number(photographs):
    first, second = (oddities.draw(photographs[:3], each=4, seed=5) for _ in range(2))
    assert all(len(pictures) == 4 for pictures in first.values())
    for kind in first:
        assert all(np.array_equal(a, b) for a, b in zip(first[kind], second[kind], strict=True)), kind
        assert all(picture.dtype == np.uint8 and picture.shape[2] == 3 for picture in first[kind]), kind
    other = oddities.draw(photographs[:3], each=4, seed=6)
    assert not np.array_equal(first["noise"][0], other["noise"][0])
