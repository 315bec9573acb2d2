"""The exercises of lesson 03, convolutional networks."""

import numpy as np

from isic_course.exercises.answers import COMPLEMENT, PERCENT, UPSIDE_DOWN, Exercise, Mistake, close, equal, wrong

EXERCISES = {
    "03.1": Exercise(
        right=128,
        tolerance=0,
        mistakes=(
            wrong(128.5, "only whole steps count: round 127.5 down, then add 1."),
            Mistake(lambda answer, right: answer in (127, 127.5), "the first place counts (add 1); padding: 2 · 3."),
            Mistake(lambda answer, right: answer in (125, 126, 126.5), "the padding is on both sides: 2 · 3."),
            Mistake(lambda answer, right: answer in (255, 256), "that is with stride 1."),
        ),
        praise="exactly half the side: the padding of 3 makes it so.",
    ),
    "03.2": Exercise(
        right=64 * (32 * 5 * 5 + 1),
        tolerance=0,
        mistakes=(
            Mistake(lambda answer, right: answer == right - 64, "add one bias for every filter."),
            Mistake(
                lambda answer, right: answer in (64 * 25, 64 * 26),
                "a filter has 5 × 5 weights for each of its 32 channels.",
            ),
            Mistake(lambda answer, right: answer == right - 32, "one bias for every filter, not for every channel."),
        ),
        praise="whatever the size of the image.",
    ),
    "03.3": Exercise(
        right=[[-1, -1, 0], [-1, 0, 1], [0, 1, 1]],
        mistakes=(
            Mistake(
                lambda answer, right: equal(answer, np.negative(right), 0.005), "that is positive where it gets darker."
            ),
            Mistake(
                lambda answer, right: equal(answer, np.flipud(right), 0.005) or equal(answer, np.fliplr(right), 0.005),
                "that one is for the other diagonal: its zeros go from the upper left to the lower right.",
            ),
            Mistake(
                lambda answer, right: np.array(answer, dtype=object).shape != (3, 3),
                "a kernel of 3 × 3 is a list of three lists of three numbers.",
            ),
        ),
        praise="the lower right corner minus the upper left one.",
    ),
    "03.4": Exercise(
        right=18,
        tolerance=0,
        mistakes=(
            wrong(7, "that is without the pooling, which doubles the distance.", 0),
            wrong(15, "a pooling window reaches one neighbour further, too.", 0),
            wrong(9, "after each pooling the distance doubles: d is 1, 2, 4.", 0),
            wrong(22, "only the first two convolutions are followed by a pooling.", 0),
        ),
        praise="without the pooling it would be 7.",
    ),
    "03.5": Exercise(
        right=256 * 256 * 64 * 27,
        tolerance=0,
        mistakes=(
            wrong(64 * 27, "that is the number of weights; each is used at every place.", 0),
            Mistake(lambda answer, right: answer == right / 3, "a filter has 3 × 3 weights for each of 3 channels."),
            Mistake(lambda answer, right: answer == 2 * right, "that is in FLOPs; a multiply-add counts as two."),
            wrong(254 * 254 * 64 * 27, "with padding 1, the output keeps the size.", 0),
        ),
        praise="a hundred million, from fewer than two thousand weights.",
    ),
    "03.6": Exercise(
        right=27 / 49,
        mistakes=(
            PERCENT,
            COMPLEMENT,
            UPSIDE_DOWN,
            wrong(9 / 49, "that is the fraction of one of the three layers."),
        ),
        praise="little more than half, and three ReLUs instead of one. This is VGG16's idea.",
    ),
    "03.7": Exercise(
        right=64 * 768 * 1024 * 4 / 1e6,
        tolerance=0.5,
        mistakes=(
            wrong(192, "that is in mebibytes of 2^20 bytes; a megabyte has 10^6 bytes.", 0.5),
            Mistake(lambda answer, right: close(answer, right / 4, 0.5), "that is in millions of numbers of 4 bytes."),
            Mistake(lambda answer, right: close(answer, right * 1e6, 1e6), "that is in bytes."),
        ),
        praise="for one image, in one layer. It explains why segmentation takes small batches.",
    ),
    "03.8": Exercise(
        right=0.9**12,
        mistakes=(
            PERCENT,
            COMPLEMENT,
            wrong(0, "each step takes away a tenth of what is left, not a tenth of the start."),
            wrong(-0.2, "each step takes away a tenth of what is left, not a tenth of the start."),
        ),
        praise="more than a quarter. So after a short training, the statistics still contain their initial values.",
    ),
    "03.9": Exercise(
        right="C",
        mistakes=(
            Mistake(lambda answer, right: answer.strip().upper() == "A", "A is shallow; compare the others with it."),
            Mistake(lambda answer, right: answer.strip().upper() == "B", "B learns the training images best."),
            Mistake(lambda answer, right: answer.strip().upper() == "D", "no gradient arrives in D: it has vanished."),
        ),
        praise="its gradient arrives, and yet it learns the training images worse than a network of 20 layers.",
    ),
    "03.10": Exercise(
        right=40 * 240 + 9 * 240 + 240 * 40,
        tolerance=0,
        mistakes=(
            wrong(537600, "a depthwise filter has a single table of 3 × 3 weights, not 144.", 0),
            wrong(19200, "that is without the depthwise convolution.", 0),
            wrong(9 * 40 * 40, "that is an ordinary 3 × 3 convolution, 40 to 40.", 0),
        ),
        praise="the two 1 × 1 convolutions have most of them; an ordinary 3 × 3 in the middle would have 518,400.",
    ),
}
