"""From the ISIC archives to batches: tables, splits, decoded images, and PyTorch's Dataset and DataLoader.

::

    table = read_isic2019(settings.data)                              # a row per image
    split = splits.standard(table, group_by="lesion", seed=0)         # "train", "validation" or "test" for each row
    store = ImageStore(table, settings.image_size, settings.cache)    # decoded once
    train = IsicDataset(store, table[split == "train"])               # torch.utils.data.Dataset
    batches = loader(train, batch_size=32, shuffle=True, seed=0)      # torch.utils.data.DataLoader
"""

from isic_utils.datasets import splits
from isic_utils.datasets.dataset import IsicDataset, loader
from isic_utils.datasets.duplicates import near_duplicates
from isic_utils.datasets.images import ImageStore
from isic_utils.datasets.tables import read_isic2018, read_isic2019
