"""Images that show no lesion: every kind, as many as asked for, the same for the same seed."""

import numpy as np

from isic_course import odd_images


def test_every_kind_has_as_many_and_the_same_seed_draws_the_same():
    lesion_images = [np.random.default_rng(seed).integers(0, 255, (60, 80, 3)).astype(np.uint8) for seed in range(3)]
    first, again, other = (odd_images.draw(lesion_images, each=4, seed=seed) for seed in (0, 0, 1))
    assert len(first) == 10 and {len(images) for images in first.values()} == {4}
    for kind, images in first.items():
        assert all(image.dtype == np.uint8 and image.ndim == 3 for image in images), kind
        assert all(np.array_equal(a, b) for a, b in zip(images, again[kind], strict=True)), kind
    assert not np.array_equal(first["noise"][0], other["noise"][0])


def test_an_image_out_of_focus_has_no_detail_left():
    sharp = np.random.default_rng(0).integers(0, 255, (60, 80, 3)).astype(np.uint8)
    assert odd_images.blurred(sharp).std() < 0.1 * sharp.std()
