"""The thesis's tables, as DataFrames that the notebooks set beside their own."""

import pandas as pd

from isic_utils.models import TITLES

CLASS_COUNTS = pd.Series(  # Table 5.1: ISIC 2019, 25 331 pictures
    {"MEL": 4522, "NV": 12875, "BCC": 3323, "AK": 867, "BKL": 2624, "DF": 239, "VASC": 253, "SCC": 628},
    name="thesis, Table 5.1",
)

STANDARD = pd.DataFrame(  # Table 6.1: standard classification
    {
        "vgg16": {"loss": 0.915, "accuracy": 0.508, "BMA": 0.125},
        "alexnet": {"loss": 0.067, "accuracy": 0.643, "BMA": 0.294},
        "residual": {"loss": 0.1, "accuracy": 0.703, "BMA": 0.547},
        "resnet101": {"loss": 0.05, "accuracy": 0.709, "BMA": 0.630},
        "wide_resnet": {"loss": 0.063, "accuracy": 0.726, "BMA": 0.651},
    }
).T.rename(index=TITLES)
