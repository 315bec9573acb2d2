"""The exercises of lesson 03, convolutional networks."""

import numpy as np

from isic_course.exercises.answers import COMPLEMENT, PERCENT, UPSIDE_DOWN, Mistake, exercise, wrong

EXERCISES = {
    "03.1": exercise(
        128,
        wrong(128.5, "only whole steps count: round 127.5 down, then add 1."),
        Mistake(lambda answer, right: answer in (127, 127.5), "the first place counts (add 1); padding: 2 · 3."),
        Mistake(lambda answer, right: answer in (125, 126, 126.5), "the padding is on both sides: 2 · 3."),
        Mistake(lambda answer, right: answer in (255, 256), "that is with stride 1."),
        tolerance=0,
        praise="exactly half the side: the padding of 3 makes it so.",
    ),
    "03.2": exercise(
        64 * (32 * 5 * 5 + 1),
        wrong(64 * 32 * 25, "add one bias for every filter."),
        Mistake(lambda answer, right: answer in (64 * 25, 64 * 26), "count weights for each of its 32 channels."),
        wrong(64 * 32 * 25 + 32, "one bias for every filter, not for every channel."),
        tolerance=0,
        praise="whatever the size of the image.",
    ),
    "03.3": exercise(
        [[-1, -1, 0], [-1, 0, 1], [0, 1, 1]],
        wrong(np.negative, "that is positive where it gets darker."),
        wrong(np.flipud, "that one is for the other diagonal: its zeros go from the upper left to the lower right."),
        wrong(np.fliplr, "that one is for the other diagonal: its zeros go from the upper left to the lower right."),
        Mistake(lambda answer, right: np.array(answer, object).shape != (3, 3), "write three lists of three numbers."),
        praise="the lower right corner minus the upper left one.",
    ),
    "03.4": exercise(
        18,
        wrong(7, "that is without the pooling, which doubles the distance.", 0),
        wrong(15, "a pooling window reaches one neighbour further, too.", 0),
        wrong(9, "after each pooling the distance doubles: d is 1, 2, 4.", 0),
        wrong(22, "only the first two convolutions are followed by a pooling.", 0),
        tolerance=0,
        praise="without the pooling it would be 7.",
    ),
    "03.5": exercise(
        256 * 256 * 64 * 27,
        wrong(64 * 27, "that is the number of weights; each is used at every place.", 0),
        wrong(256 * 256 * 64 * 9, "a filter has 3 × 3 weights for each of 3 channels."),
        wrong(2 * 256 * 256 * 64 * 27, "that is in FLOPs; a multiply-add counts as two."),
        wrong(254 * 254 * 64 * 27, "with padding 1, the output keeps the size.", 0),
        tolerance=0,
        praise="a hundred million, from fewer than two thousand weights.",
    ),
    "03.6": exercise(
        27 / 49,
        PERCENT,
        COMPLEMENT,
        UPSIDE_DOWN,
        wrong(9 / 49, "that is the fraction of one of the three layers."),
        praise="little more than half, and three ReLUs instead of one. This is VGG16's idea.",
    ),
    "03.7": exercise(
        64 * 768 * 1024 * 4 / 1e6,
        wrong(192, "that is in mebibytes of 2^20 bytes; a megabyte has 10^6 bytes.", 0.5),
        wrong(64 * 768 * 1024 / 1e6, "that is in millions of numbers of 4 bytes.", 0.5),
        wrong(64 * 768 * 1024 * 4, "that is in bytes.", 1e6),
        tolerance=0.5,
        praise="for one image, in one layer. It explains why segmentation takes small batches.",
    ),
    "03.8": exercise(
        0.9**12,
        PERCENT,
        COMPLEMENT,
        wrong(0, "each step takes away a tenth of what is left, not a tenth of the start."),
        wrong(-0.2, "each step takes away a tenth of what is left, not a tenth of the start."),
        praise="more than a quarter. So after a short training, the statistics still contain their initial values.",
    ),
    "03.9": exercise(
        "C",
        wrong("A", "A is shallow; compare the others with it."),
        wrong("B", "B learns the training images best."),
        wrong("D", "no gradient arrives in D: it has vanished."),
        praise="its gradient arrives, and yet it learns the training images worse than a network of 20 layers.",
    ),
    "03.10": exercise(
        40 * 240 + 9 * 240 + 240 * 40,
        wrong(537600, "a depthwise filter has a single table of 3 × 3 weights, not 240.", 0),
        wrong(19200, "that is without the depthwise convolution.", 0),
        wrong(9 * 40 * 40, "that is an ordinary 3 × 3 convolution, 40 to 40.", 0),
        tolerance=0,
        praise="the two 1 × 1 convolutions have most of them; an ordinary 3 × 3 in the middle would have 518,400.",
    ),
}
