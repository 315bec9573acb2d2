"""The exercises of lesson 02, dense networks."""

import math

from isic_course.exercises.answers import Exercise, Mistake, close, equal

EXERCISES = {
    "02.1": Exercise(
        right=0,
        mistakes=(
            Mistake(
                lambda answer, right: close(answer, -1.1, 0.005),
                "that is the weighted sum. What does ReLU make of a negative number?",
            ),
            Mistake(
                lambda answer, right: close(answer, -1.4, 0.005),
                "that is the sum without the bias, and without ReLU.",
            ),
        ),
        praise="the sum is -1.1, and ReLU turns it into 0: this neuron is silent for this input.",
    ),
    "02.2": Exercise(
        right=256 * 256 * 3 * 64 + 64 + 64 * 8 + 8,
        tolerance=0,
        mistakes=(
            Mistake(
                lambda answer, right: answer == right - 64 - 8, "those are the weights; add one bias for every neuron."
            ),
            Mistake(
                lambda answer, right: answer == 256 * 256 * 64 + 64 + 64 * 8 + 8,
                "that would be a grey image; this image has three numbers per pixel.",
            ),
            Mistake(
                lambda answer, right: answer in (256 * 256 * 3 * 64, 256 * 256 * 3 * 64 + 64),
                "that is the first layer; the output layer has weights and biases too.",
            ),
        ),
        praise="more than twelve million, nearly all of them in the first layer.",
    ),
    "02.3": Exercise(
        right=math.log(math.exp(1) + math.exp(3) + 1) - 1,
        mistakes=(
            Mistake(
                lambda answer, right: close(answer, math.exp(-right), 0.005),
                "that is the probability of the true class; the loss is minus its logarithm.",
            ),
            Mistake(lambda answer, right: close(answer, -right, 0.005), "the loss is minus the logarithm."),
            Mistake(
                lambda answer, right: close(answer, right / math.log(10), 0.005),
                "that is the logarithm to base 10; the loss takes the natural one, np.log.",
            ),
            Mistake(
                lambda answer, right: close(answer, right - 2, 0.005),
                "that is the loss if the second class, which got the largest logit, were the true one.",
            ),
        ),
        praise="the network gave another class a far larger probability, hence the large loss.",
    ),
    "02.4": Exercise(
        right=15,
        mistakes=(
            Mistake(lambda answer, right: close(answer, -7.5, 0.005), "that is the gradient of the second weight."),
            Mistake(lambda answer, right: close(answer, 7.5, 0.005), "the gradient of a square has a factor 2."),
            Mistake(
                lambda answer, right: close(answer, 5, 0.005),
                "that is the gradient of the neuron's sum; the last factor, from there to the weight, is the input x.",
            ),
            Mistake(
                lambda answer, right: close(answer, -15, 0.005), "check the signs: there are two negative factors."
            ),
        ),
        praise="it is positive, so a step of gradient descent makes this weight smaller.",
    ),
    "02.5": Exercise(
        right=1 / 3,
        mistakes=(
            Mistake(
                lambda answer, right: close(answer, 1 / 6, 0.005),
                "there a single step lands in the minimum. How much larger may the rate be before the steps grow?",
            ),
            Mistake(
                lambda answer, right: close(answer, 1, 0.005),
                "that is the bound for the parabola w². This one has three times its curvature.",
            ),
        ),
        praise="the larger the curvature of the loss, the smaller the largest learning rate that works.",
    ),
    "02.6": Exercise(
        right=[-0.3422, 0.3902, -0.0480],
        mistakes=(
            Mistake(
                lambda answer, right: equal(answer, [-0.8858, 0.8438, 0.0420], 0.005),
                "g - y is the gradient of the cross-entropy. Here the loss is the squared error.",
            ),
            Mistake(
                lambda answer, right: equal(answer, [-1.7716, 1.6876, 0.0840], 0.005),
                "that is the gradient with respect to the probabilities; go one step further back, through softmax.",
            ),
        ),
        praise="it is smaller than g - y of the cross-entropy, although the prediction is wrong: softmax is flat here.",
    ),
}
