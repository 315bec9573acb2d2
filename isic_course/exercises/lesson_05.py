"""The exercises of lesson 05, balanced classification."""

from isic_course.exercises.answers import COMPLEMENT, PERCENT, Mistake, exercise, too_small, wrong

EXERCISES = {
    "05.1": exercise(
        3.3 / 8,
        PERCENT,
        wrong(3.5 / 8, "that is 5/8 of the five-class BMA: it takes the merged class's recall instead of AK's."),
        wrong(3.5 / 5, "that is the BMA over five classes."),
        wrong(3.3 / 5, "divide by eight: DF, VASC and SCC count too, each with a recall of 0."),
        praise="5/8 of the five-class BMA would have been 0.4375.",
    ),
    "05.2": exercise(
        ["ResNet101", "Wide ResNet"],
        Mistake(lambda answer, right: set(right) < set(answer), "one is below 5/8 · 1: it could have been beaten."),
        Mistake(lambda answer, right: set(answer) < set(right), "there is another one. How high can 5/8 · M_b be?"),
        praise="5/8 · M_b is at most 0.625, so those two had won before the balanced models were trained.",
    ),
    "05.3": exercise(
        lambda table: 1 - 8 * table["label"].value_counts().min() / len(table),
        PERCENT,
        COMPLEMENT,
        too_small("that is less than the answer. The smallest class sets the number that each of the eight gives."),
        Mistake(lambda answer, right: answer > 1, "that is a number of images; divide by that of all images."),
        praise="that is why the thesis merged.",
    ),
    "05.4": exercise(
        0.009 / 0.108,
        PERCENT,
        COMPLEMENT,
        wrong(0.9, "that is the recall. Precision is the proportion of all alarms that are true.", 0.001),
        wrong(0.009, "that is the proportion of true alarms among all images; divide by all alarms.", 0.0005),
        wrong(0.009 / 0.099, "that is true against false alarms; divide by all alarms, true and false.", 0.002),
        tolerance=0.004,
        praise="one alarm in twelve is right, although recall is 0.9 and the false-positive rate only 0.1.",
    ),
    "05.5": exercise(
        lambda sizes: sizes.max() / sizes.sum(),
        PERCENT,
        wrong(1 / 8, "that is its BMA. Its accuracy is the prevalence of NV.", 0.0005),
        wrong(54 / 55, "that would be right with only two classes; there are six more in between."),
        praise="compare an accuracy with this number, and a BMA with 1/8.",
    ),
    "05.6": exercise(
        1 / 31,
        PERCENT,
        COMPLEMENT,
        wrong(1 / 30, "an alarm has the expected cost 1 - p, not 1: if it is right, it costs nothing.", 0.0005),
        tolerance=0.0005,
        praise="three images in a hundred with that probability are melanomas, and all hundred are examined.",
    ),
}
