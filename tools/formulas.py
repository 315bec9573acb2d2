"""The formulas of the course as tools/sheets.py prints them, each with its lesson, its source and its symbols."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Formula:
    """name; lesson: its number; source: who is cited for it, as the lesson cites them; tex: LaTeX, a line each; text:
    what the symbols mean."""

    name: str
    lesson: str
    source: str
    tex: tuple[str, ...]
    text: str = ""


NETWORKS = [
    Formula(
        "Dense layer and ReLU", "02", "Goodfellow et al. 2016",
        (r"s_j = \sum_i w_{ij}\, x_i + b_j, \quad h_j = \max(0,\; s_j)",),
    ),
    Formula(
        "Softmax, prediction", "02", "Goodfellow et al. 2016",
        (r"g_c(x) = \frac{e^{z_c}}{\sum_k e^{z_k}}, \quad \hat{c} = \mathrm{arg\,max}_c\; g_c(x)",),
        "z: logits, the outputs before softmax.",
    ),
    Formula(
        "Cross-entropy and its gradient", "02", "Goodfellow et al. 2016",
        (r"L = -\ln\, g_c(x), \quad \frac{\partial L}{\partial z_j} = g_j - y_j",),
        "c: the true class; y: 1 for it, else 0. A network that knows nothing of 8 classes has ln 8 = 2.08.",
    ),
    Formula(
        "Gradient descent with momentum", "02", "Polyak 1964",
        (r"v \leftarrow \mu v + \frac{dL}{dw}, \quad w \leftarrow w - r v",),
        "r: learning rate; μ = 0: no momentum.",
    ),
    Formula(
        "Adam", "02", "Kingma and Ba 2015",
        (
            r"m \leftarrow \beta_1 m + (1 - \beta_1)\, g, \quad q \leftarrow \beta_2 q + (1 - \beta_2)\, g^2",
            r"w \leftarrow w - r\, \frac{m / (1 - \beta_1^t)}{\sqrt{q / (1 - \beta_2^t)} + \varepsilon}",
        ),
        "g: gradient; t: number of the step. AdamW also shrinks w by the factor 1 − rλ.",
    ),
    Formula(
        "Weight decay", "02", "Loshchilov and Hutter 2019",
        (r"w \leftarrow (1 - r \lambda)\, w - r\, \frac{dL}{dw}",),
        "The gradient of L + ½ λ Σ w².",
    ),
    Formula(
        "He initialisation", "03", "He et al. 2015", (r"\mathrm{Var}(w) = 2 / n_\mathrm{in}",),
        "n<sub>in</sub>: inputs of a neuron.",
    ),
    Formula(
        "Convolution: size of the output, parameters", "03", "LeCun et al. 1998",
        (
            r"\mathrm{size} = \left\lfloor \frac{n + 2p - k}{s} \right\rfloor + 1, \quad"
            r" \mathrm{parameters} = F\,(k^2 C + 1)",
        ),
        "n: size; k: kernel; p: padding; s: stride; F filters on C channels.",
    ),
    Formula(
        "Receptive field, layer by layer", "03", "Luo et al. 2016",
        (r"r \leftarrow r + (k - 1)\, d, \quad d \leftarrow d \cdot s",),
        "Both start at 1.",
    ),
]  # fmt: skip
SCORES = [
    Formula(
        "Recall, accuracy, BMA", "01", "thesis §4.2.1",
        (
            r"R_c = \frac{\mathrm{correct}_c}{n_c}, \quad \mathrm{accuracy} = \sum_c \frac{n_c}{n} R_c",
            r"\mathrm{BMA} = \frac{1}{C} \sum_{c=1}^{C} R_c",
        ),
        "n<sub>c</sub>: images of class c; n: images of all C classes.",
    ),
    Formula(
        "Recall, precision, F1 of a class", "04", "scikit-learn",
        (
            r"R = \frac{\mathrm{TP}}{\mathrm{TP} + \mathrm{FN}}, \quad"
            r" P = \frac{\mathrm{TP}}{\mathrm{TP} + \mathrm{FP}}, \quad F_1 = \frac{2PR}{P + R}",
        ),
        "Macro-F1: the mean of F1 over the classes (05).",
    ),
    Formula(
        "MCC, for two classes", "05", "Chicco and Jurman 2020",
        (
            r"\mathrm{MCC} = \frac{\mathrm{TP} \cdot \mathrm{TN} - \mathrm{FP} \cdot \mathrm{FN}}"
            r"{\sqrt{(\mathrm{TP} + \mathrm{FP})"
            r"(\mathrm{TP} + \mathrm{FN})(\mathrm{TN} + \mathrm{FP})(\mathrm{TN} + \mathrm{FN})}}",
        ),
        "The correlation of the true with the predicted classes: 0 if the image is ignored.",
    ),
    Formula(
        "False-positive rate, AUC", "05", "Saito and Rehmsmeier 2015",
        (r"\mathrm{FPR} = \frac{\mathrm{FP}}{\mathrm{FP} + \mathrm{TN}}, \quad \mathrm{AUC} = P(p^+ > p^-)",),
        "p⁺, p⁻: probabilities of a random image of the class and of another.",
    ),
    Formula(
        "Average precision", "05", "Saito and Rehmsmeier 2015",
        (r"\mathrm{AP} = \sum_k (R_k - R_{k-1})\, P_k",),
        "k: thresholds, from the highest on. Guessing gives the prevalence.",
    ),
    Formula(
        "Alarm, if a miss costs c false alarms", "05", "Elkan 2001",
        (r"p > \frac{1}{1 + c}",),
    ),
    Formula(
        "Five classes scored as eight", "05", "thesis §5.3",
        (r"M_r = \frac{5}{8} M_b",),
        "Exact only if the recall of the merged class equals that of the class it is mapped to.",
    ),
    Formula(
        "Floor of a mean cross-entropy", "04", "",
        (r"\mathrm{loss} \ge (1 - \mathrm{accuracy}) \cdot \ln\, 2",),
        "A wrong prediction gives the true class at most ½.",
    ),
]  # fmt: skip
IMBALANCE = [
    Formula(
        "Class weights", "08", "Byrd and Lipton 2019",
        (r"L = -w_c \ln\, p_c, \quad w_c \propto \frac{1}{n_c}",),
    ),
    Formula(
        "Class-balanced weights", "08", "Cui et al. 2019",
        (r"w_c \propto \frac{1 - \beta}{1 - \beta^{n_c}}",),
        "For many images the effective number of a class ends at 1 / (1 − β).",
    ),
    Formula(
        "Focal loss", "08", "Lin et al. 2017",
        (r"L = -\alpha_c\, (1 - p)^{\gamma} \ln\, p",),
        "p: probability of the true class; α: weight of the class; γ = 0: cross-entropy.",
    ),
    Formula(
        "Logit adjustment, in training", "08", "Menon et al. 2021",
        (r"L = -\ln\, \mathrm{softmax}(z + \tau \ln\, \pi)_c",),
        "π: the priors of the classes in the training set; τ = 1.",
    ),
    Formula(
        "Post-hoc logit adjustment, and back", "08", "Menon et al. 2021",
        (
            r"q_c = \frac{p_c / \pi_c}{\sum_k p_k / \pi_k}, \quad p_c = \frac{q_c\, \pi_c}{\sum_k q_k\, \pi_k}",
        ),
    ),
    Formula(
        "Mixup", "08", "Zhang et al. 2018",
        (r"x = \lambda x_1 + (1 - \lambda)\, x_2, \quad y = \lambda y_1 + (1 - \lambda)\, y_2",),
        "λ is drawn from Beta(α, α).",
    ),
]  # fmt: skip
CERTAINTY = [
    Formula(
        "Normal interval of a proportion", "06", "thesis",
        (r"p \,\pm\, h, \quad h = 1.96 \sqrt{\frac{p(1 - p)}{n}}, \quad n = \frac{1.96^2\, p(1 - p)}{h^2}",),
        "Takes images for independent.",
    ),
    Formula(
        "Wilson interval", "06", "Wilson 1927",
        (
            r"\frac{1}{1 + z^2/n} \left( p + \frac{z^2}{2n} \,\pm\, z"
            r" \sqrt{\frac{p(1 - p)}{n} + \frac{z^2}{4n^2}} \right)",
        ),
        "z = 1.96.",
    ),
    Formula(
        "Cluster bootstrap", "06", "Efron 1979",
        (r"\left[\, q_{0.025}(s^*),\; q_{0.975}(s^*) \,\right]",),
        "s*: scores of test sets for which as many lesions as there are were drawn with replacement, each with all its "
        "images. Two models on the same draws: the interval of the difference.",
    ),
    Formula(
        "McNemar's exact test", "06", "McNemar 1947",
        (r"p = \min\left(1,\; 2 \sum_{k \le \min(a,\, b)} \binom{a + b}{k}\, 2^{-(a + b)} \right)",),
        "a, b: images that only the one, only the other model classifies correctly.",
    ),
    Formula(
        "McNemar's test over lesions", "06", "Durkalski et al. 2003",
        (r"\chi^2 = \frac{\left(\sum d/n\right)^2}{\sum (d/n)^2}",),
        "One degree of freedom. Of a lesion with n images, d more are right with the one model than with the other.",
    ),
    Formula(
        "Holm's correction of m p-values", "06", "Holm 1979",
        (r"p'_{(k)} = \max_{j \le k}\; \min\left(1,\; (m - j + 1)\, p_{(j)}\right)",),
        "(1): the smallest.",
    ),
    Formula(
        "Corrected resampled t-test", "06", "Nadeau and Bengio 2003",
        (
            r"t = \frac{\bar{d}}{\sqrt{\left(\frac{1}{J} + \frac{n_\mathrm{test}}{n_\mathrm{train}}\right) s^2}}",
        ),
        "J differences of mean d̄ and variance s²; J − 1 degrees of freedom.",
    ),
    Formula(
        "A group against the rest, within classes", "10", "Mantel and Haenszel 1959",
        (r"d = \frac{\sum_c w_c (a_c - b_c)}{\sum_c w_c}, \quad w_c = \frac{n_c m_c}{n_c + m_c}",),
        "a, n: rate and lesions of the group; b, m: of the rest.",
    ),
]  # fmt: skip
DECISIONS = [
    Formula(
        "Calibration error", "09", "Naeini et al. 2015",
        (r"\mathrm{ECE} = \sum_b \frac{n_b}{n}\, \left|\, \mathrm{accuracy}_b - \mathrm{confidence}_b \,\right|",),
        "b: bins of similar confidence.",
    ),
    Formula(
        "Brier score", "09", "Brier 1950",
        (r"\mathrm{Brier} = \frac{1}{n} \sum_i \sum_c \left( p_{ic} - [c = y_i] \right)^2",),
    ),
    Formula(
        "Temperature scaling", "09", "Guo et al. 2017",
        (r"p = \mathrm{softmax}(z / T)",),
        "T: with the lowest cross-entropy on the validation set.",
    ),
    Formula(
        "Another prevalence", "09", "Saerens et al. 2002",
        (
            r"\mathrm{odds}' = \mathrm{odds} \cdot \frac{\pi' / (1 - \pi')}{\pi / (1 - \pi)}, \quad"
            r" p = \frac{\mathrm{odds}}{1 + \mathrm{odds}}",
        ),
        "π: prevalence in training; π′: where the network is used.",
    ),
    Formula(
        "PPV and NPV", "09", "Bayes",
        (
            r"\mathrm{PPV} = \frac{s\pi}{s\pi + f(1 - \pi)}, \quad"
            r" \mathrm{NPV} = \frac{(1 - f)(1 - \pi)}{(1 - f)(1 - \pi) + (1 - s)\pi}",
        ),
        "s: sensitivity; f: false-positive rate; π: prevalence.",
    ),
    Formula(
        "Net benefit at the threshold t", "09", "Vickers and Elkin 2006",
        (r"\mathrm{NB}(t) = \frac{\mathrm{TP}}{n} - \frac{\mathrm{FP}}{n} \cdot \frac{t}{1 - t}",),
        "Alarm for all: π − (1 − π) t / (1 − t); for none: 0.",
    ),
    Formula(
        "Risk, and area under its curve", "09", "Geifman et al. 2018",
        (
            r"r_k = \frac{1}{k} \sum_{i=1}^{k} [\mathrm{wrong}_i], \quad"
            r" \mathrm{AURC} = \frac{1}{n} \sum_{k=1}^{n} r_k",
        ),
        "Images in the order of confidence; coverage: k/n.",
    ),
    Formula(
        "Prediction sets (split conformal)", "09", "Vovk et al. 2005",
        (r"\left\{ c : 1 - p_c \le s_{(k)} \right\}, \quad k = \lceil (n + 1)(1 - \alpha) \rceil",),
        "s: the scores 1 − p of the true class of n lesions, sorted upwards. Coverage: at least 1 − α.",
    ),
    Formula(
        "Ensemble of K networks", "12", "Jensen",
        (r"-\ln\, \bar{p} \le \frac{1}{K} \sum_k (-\ln\, p_k)",),
    ),
]  # fmt: skip
MASKS = [
    Formula(
        "Jaccard index, Dice coefficient", "07", "thesis §4.2.2",
        (
            r"J = \frac{|A \cap B|}{|A \cup B|}, \quad D = \frac{2\, |A \cap B|}{|A| + |B|} = \frac{2J}{1 + J}",
        ),
        "Thresholded Jaccard (Codella et al. 2019): J counts 0 below 0.65.",
    ),
    Formula(
        "Soft Jaccard loss", "07", "Rahman and Wang 2016",
        (r"L = 1 - \frac{\sum p m + 1}{\sum p + \sum m - \sum p m + 1}",),
        "p: probabilities of the pixels; m: the mask, 0 or 1.",
    ),
    Formula(
        "Tversky index", "07", "Salehi et al. 2017",
        (
            r"T = \frac{\mathrm{TP}}{\mathrm{TP} + \alpha\, \mathrm{FP} + \beta\, \mathrm{FN}}",
        ),
        "α = β = 1: Jaccard; ½: Dice.",
    ),
    Formula(
        "HD95 and surface Dice of two borders", "07", "Nikolov et al. 2021",
        (
            r"\mathrm{HD95} = \max\left( q_{0.95}\, d(a, B),\; q_{0.95}\, d(b, A) \right)",
            r"\mathrm{NSD} = \frac{|\{a : d(a, B) \le \tau\}| + |\{b : d(b, A) \le \tau\}|}{|A| + |B|}",
        ),
        "A, B: pixels of the borders; d: distance to the nearest pixel of the other border.",
    ),
]  # fmt: skip
ELSEWHERE = [
    Formula(
        "Trained in clinic A, tested in B", "11", "",
        (r"B_{AA} - B_{AB} = (B_{AA} - B_{BB}) + (B_{BB} - B_{AB})",),
        "BMA: the drop is the harder clinic plus the gap to the local network.",
    ),
    Formula(
        "Shades of gray", "11", "Finlayson and Trezzi 2004",
        (r"e_k = \left( \frac{1}{N} \sum_i x_{ik}^{p} \right)^{1/p}",),
        "The colour of the light, p = 6; scaled to length √3, each channel is divided by it.",
    ),
    Formula(
        "Bits that the image adds to a word", "13", "",
        (r"\log_2 p(\mathrm{word} \mid \mathrm{image}) - \log_2 p(\mathrm{word})",),
        "Both given the words before.",
    ),
]  # fmt: skip

PAGES = [  # title -> formulas
    {"Networks and training": NETWORKS, "Scores of a classifier": SCORES, "Class imbalance": IMBALANCE},
    {
        "How certain is a score?": CERTAINTY,
        "Calibration and decisions": DECISIONS,
        "Masks": MASKS,
        "Other clinics, and words": ELSEWHERE,
    },
]
