"""Training: `TrainConfig` says what, `fit` does it, `fit_all` does several; a `Run` is a folder with all results."""

from isic_utils.training.config import TrainConfig
from isic_utils.training.fit import fit
from isic_utils.training.fit_all import fit_all
from isic_utils.training.loop import epoch_seed, evaluate, get_accelerator, train_one_epoch
from isic_utils.training.runs import Run, run_of
