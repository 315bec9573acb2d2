"""The thesis's tables, as DataFrames that the notebooks show beside their own."""

import pandas as pd

from isic_utils.archive import COUNTS_2019
from isic_utils.models import TITLES

CLASS_COUNTS = pd.Series(COUNTS_2019, name="thesis, Table 5.1")

THESIS_CLASSIFIERS = ["vgg16", "alexnet", "residual", "resnet101", "wide_resnet"]  # in the order of the thesis's tables


def by_model(columns: dict) -> pd.DataFrame:
    """A table of the five classifiers. columns: name -> a value for each of THESIS_CLASSIFIERS."""
    return pd.DataFrame(columns, [TITLES[name] for name in THESIS_CLASSIFIERS])


STANDARD = by_model(  # Table 6.1: standard classification
    {
        "loss": [0.915, 0.067, 0.1, 0.05, 0.063],
        "accuracy": [0.508, 0.643, 0.703, 0.709, 0.726],
        "BMA": [0.125, 0.294, 0.547, 0.630, 0.651],
    }
)
BALANCED = by_model(  # Table 6.2: balanced classification, accuracy and BMA multiplied by 5/8
    {
        "loss": [0.101, 0.08, 0.1, 0.05, 0.063],
        "accuracy": [0.125, 0.233, 0.344, 0.303, 0.356],
        "BMA": [0.125, 0.233, 0.344, 0.303, 0.356],
    }
)
INTERVALS = by_model(  # Table 6.3: accuracy and its 95 % interval, from cross-validation
    {
        "accuracy": [0.125, 0.631, 0.703, 0.733, 0.742],  # VGG16's is its BMA by mistake: its accuracy is 0.508
        "low": [0.1224, 0.6252, 0.6962, 0.7248, 0.7358],
        "high": [0.1276, 0.6368, 0.7098, 0.7412, 0.7482],
    }
)
CROSS_VALIDATION = by_model(  # Table 6.4: BMA; the thesis calls the folds "partitions"
    {
        0: [0.125, 0.294, 0.547, 0.630, 0.651],
        1: [0.125, 0.317, 0.528, 0.601, 0.632],
        2: [0.125, 0.4, 0.554, 0.635, 0.609],
        3: [0.125, 0.366, 0.556, 0.623, 0.566],
        4: [0.125, 0.346, 0.524, 0.580, 0.603],
        "mean": [0.125, 0.345, 0.542, 0.614, 0.612],
    }
)
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
# Table 6.5, upper half: the means of Table 6.4 (AlexNet's rounded otherwise)
OWN_MODELS = by_model({"BMA": [0.125, 0.346, 0.542, 0.614, 0.612]})["BMA"]
EXPERTS_JACCARD = 0.786  # two experts' masks of the same images, ISIC 2018 Task 1 (quoted from arXiv:1902.03368)
