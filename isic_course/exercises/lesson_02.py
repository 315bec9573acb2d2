"""The exercises of lesson 02, dense networks."""

import math

from isic_course.exercises.answers import exercise, wrong

INPUTS = 256 * 256 * 3
TRUE_FIRST = math.log(math.exp(1) + math.exp(3) + 1) - 1
TWICE = math.log(1 + 7 / math.e)  # softmax of the logits 1, 0, …, 0

EXERCISES = {
    "02.1": exercise(
        0,
        wrong(-1.1, "that is the weighted sum. What does ReLU make of a negative number?"),
        wrong(-1.4, "that is the sum without the bias, and without ReLU."),
        praise="the sum is -1.1, and ReLU turns it into 0: this neuron is silent for this input.",
    ),
    "02.2": exercise(
        INPUTS * 64 + 64 + 64 * 8 + 8,
        wrong(INPUTS * 64 + 64 * 8, "those are the weights; add one bias for every neuron."),
        wrong(INPUTS // 3 * 64 + 64 + 64 * 8 + 8, "that would be a grey image; here each pixel has three numbers."),
        wrong(INPUTS * 64 + 64, "that is the first layer; the output layer has weights and biases too."),
        tolerance=0,
        praise="more than twelve million, nearly all of them in the first layer.",
    ),
    "02.3": exercise(
        TRUE_FIRST,
        wrong(math.exp(-TRUE_FIRST), "that is the probability of the true class; take minus its logarithm."),
        wrong(-TRUE_FIRST, "the loss is minus the logarithm."),
        wrong(TRUE_FIRST / math.log(10), "that is the logarithm to base 10; the loss takes the natural one."),
        wrong(TRUE_FIRST - 2, "that is the loss if the second class, with the largest logit, were true."),
        praise="the network gave another class a far larger probability, hence the large loss.",
    ),
    "02.4": exercise(
        15,
        wrong(-7.5, "that is the gradient of the second weight."),
        wrong(7.5, "the derivative of the square has a factor 2."),
        wrong(5, "that is the gradient of the neuron's sum; the last factor, to the weight, is the input x."),
        wrong(-15, "check the signs: there are two negative factors."),
        praise="it is positive, so a step of gradient descent makes this weight smaller.",
    ),
    "02.5": exercise(
        1 / 3,
        wrong(1 / 6, "there a single step lands in the minimum. Which is the smallest rate that is too large?"),
        wrong(1, "that is the bound for the parabola w². This one has three times its curvature."),
        praise="the larger the curvature of the loss, the smaller the largest learning rate that works.",
    ),
    "02.6": exercise(
        [-0.3422, 0.3902, -0.0480],
        wrong([-0.8858, 0.8438, 0.0420], "g - y belongs to the cross-entropy. Here the loss is the squared error."),
        wrong([-1.7716, 1.6876, 0.0840], "that is one step too early; go further back, through softmax."),
        praise="it is smaller than g - y of the cross-entropy, although the prediction is wrong: softmax is flat here.",
    ),
    "02.7": exercise(
        0.1,
        wrong(0.01, "that is the variance; the standard deviation is its square root.", 0.001),
        wrong(0.2, "that is the root of 2 divided by the number of neurons; He counts the inputs."),
        wrong((2 / 250) ** 0.5, "that is Xavier's, whose variance is 2 divided by inputs plus neurons."),
        wrong(600**-0.5, "that is what nn.Linear does by itself; He makes up for the half that ReLU removes."),
        praise="with 200 inputs the mean square of the sums is twice that of the inputs, and ReLU removes half of it.",
    ),
    "02.8": exercise(
        TWICE,
        wrong(0, "the second softmax sees probabilities: at best 1 and seven times 0."),
        wrong(math.exp(-TWICE), "that is the probability of the true class; the loss is minus its logarithm."),
        wrong(math.log(8), "that is the loss of equal probabilities; the first softmax can at best give 1."),
        wrong(math.log(1 + 2 / math.e), "that would be with three classes; here there are seven other classes."),
        praise="a training loss that never falls below 1.27 with eight classes is a sign of softmax applied twice.",
    ),
    "02.9": exercise(
        [-0.01, 0.01],
        wrong([-0.00001, 0.5], "that is plain gradient descent; Adam divides by the size of the gradients.", 1e-6),
        wrong([0.01, -0.01], "the sizes are right, but each step goes against the gradient.", 0.0001),
        wrong([-0.0316, 0.0316], "without bias correction: divide m by 1 - 0.9, q by 1 - 0.999.", 0.0001),
        tolerance=0.0001,
        praise="in its first step Adam moves each weight by the learning rate, however large the gradient is.",
    ),
    "02.10": exercise(
        0.998**1000,
        wrong(0.9**1000, "each step multiplies the weight by 1 minus learning rate times weight decay."),
        wrong(-1, "each step takes a proportion of what is left, so the weight never reaches 0."),
        wrong(1, "the gradient of the loss is 0, but that of the penalty is not."),
        praise="0.135 is left, about 1/e²: a weight that no gradient holds goes to 0, step by step.",
    ),
    "02.11": exercise(
        113_000,
        wrong(264, "that is the output layer alone: PyTorch knows nothing of layers in a plain list."),
        wrong(112_896, "those are the weights; add one bias for every neuron."),
        wrong(111_176, "that is the network with one hidden layer."),
        tolerance=0,
        praise="110,656, 2,080 and 264, layer by layer. Layers in a plain list would not be counted, nor trained.",
    ),
}
