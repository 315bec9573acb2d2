"""The metrics, computed from a model's predictions for each image and never from means over batches.

`classification` and `segmentation` hold the scores, `intervals` how certain a score is, `calibration` whether a model's
probabilities can be trusted. Accuracy and the confusion matrix are scikit-learn's own, called directly.
"""

from isic_utils.metrics.classification import bma, recall_per_class, scores
from isic_utils.metrics.segmentation import boundary_scores, jaccard, mask_scores, overlap, thresholded_jaccard
