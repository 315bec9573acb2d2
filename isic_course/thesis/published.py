"""The thesis's tables, as DataFrames that the notebooks show beside their own."""

import pandas as pd

from isic_utils.archive import COUNTS_2019
from isic_utils.models import TITLES

CLASS_COUNTS = pd.Series(COUNTS_2019, name="thesis, Table 5.1")

STANDARD = pd.DataFrame(  # Table 6.1: standard classification
    {
        "vgg16": {"loss": 0.915, "accuracy": 0.508, "BMA": 0.125},
        "alexnet": {"loss": 0.067, "accuracy": 0.643, "BMA": 0.294},
        "residual": {"loss": 0.1, "accuracy": 0.703, "BMA": 0.547},
        "resnet101": {"loss": 0.05, "accuracy": 0.709, "BMA": 0.630},
        "wide_resnet": {"loss": 0.063, "accuracy": 0.726, "BMA": 0.651},
    }
).T.rename(index=TITLES)

BALANCED = pd.DataFrame(  # Table 6.2: balanced classification, accuracy and BMA multiplied by 5/8
    {
        "vgg16": {"loss": 0.101, "accuracy": 0.125, "BMA": 0.125},
        "alexnet": {"loss": 0.08, "accuracy": 0.233, "BMA": 0.233},
        "residual": {"loss": 0.1, "accuracy": 0.344, "BMA": 0.344},
        "resnet101": {"loss": 0.05, "accuracy": 0.303, "BMA": 0.303},
        "wide_resnet": {"loss": 0.063, "accuracy": 0.356, "BMA": 0.356},
    }
).T.rename(index=TITLES)

INTERVALS = pd.DataFrame(  # Table 6.3: accuracy and its 95 % interval, from cross-validation
    {
        "vgg16": {"accuracy": 0.125, "low": 0.1224, "high": 0.1276},  # its BMA by mistake: its accuracy is 0.508
        "alexnet": {"accuracy": 0.631, "low": 0.6252, "high": 0.6368},
        "residual": {"accuracy": 0.703, "low": 0.6962, "high": 0.7098},
        "resnet101": {"accuracy": 0.733, "low": 0.7248, "high": 0.7412},
        "wide_resnet": {"accuracy": 0.742, "low": 0.7358, "high": 0.7482},
    }
).T.rename(index=TITLES)

CROSS_VALIDATION = pd.DataFrame(  # Table 6.4: BMA; the thesis calls the folds "partitions"
    {
        "vgg16": [0.125, 0.125, 0.125, 0.125, 0.125, 0.125],
        "alexnet": [0.294, 0.317, 0.4, 0.366, 0.346, 0.345],
        "residual": [0.547, 0.528, 0.554, 0.556, 0.524, 0.542],
        "resnet101": [0.630, 0.601, 0.635, 0.623, 0.580, 0.614],
        "wide_resnet": [0.651, 0.632, 0.609, 0.566, 0.603, 0.612],
    },
    index=[0, 1, 2, 3, 4, "mean"],
).T.rename(index=TITLES)

SEGMENTATION = pd.DataFrame(  # Table 6.6: the U-Net's mean Jaccard index beside the leaderboard's thresholded one
    {
        "U-Net (thesis)": {"Jaccard": 0.773},
        "MaskRcnn2+segmentation": {"thresholded Jaccard": 0.802},
        "Ensemble_with_CRF_v3": {"thresholded Jaccard": 0.799},
        "Automatic Skin Lesion Segmentation by DCNN": {"thresholded Jaccard": 0.799},
        "Skin Lesion Segmentation with Adversarial Learning": {"thresholded Jaccard": 0.798},
    }
).T[["Jaccard", "thresholded Jaccard"]]

LEADERBOARD_2019 = pd.DataFrame(  # Table 6.5, lower half: BMA on the hidden test set, over nine classes, UNK with them
    {
        "Ensemble of Multi-Res EfficientNets + SEN154 2": {"BMA": 0.636},
        "Ensemble of EfficientNetB3-B4-Seresnext101": {"BMA": 0.607},
        "Ensemble, ood threshold 100 %": {"BMA": 0.593},
        "13 models + hierarchical approach to select outliers": {"BMA": 0.578},
    }
).T
OWN_MODELS = pd.Series(  # Table 6.5, upper half: the means of Table 6.4 (AlexNet's rounded otherwise)
    {"vgg16": 0.125, "alexnet": 0.346, "residual": 0.542, "resnet101": 0.614, "wide_resnet": 0.612}, name="BMA"
).rename(index=TITLES)
EXPERTS_JACCARD = 0.786  # two experts' masks of the same images, ISIC 2018 Task 1 (quoted from arXiv:1902.03368)
