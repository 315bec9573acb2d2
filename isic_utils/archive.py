"""The names of ISIC's classes, files and folders. It imports nothing: drawing the sample need not load PyTorch."""

CLASSES = {
    "MEL": "Melanoma",
    "NV": "Melanocytic nevus",
    "BCC": "Basal cell carcinoma",
    "AK": "Actinic keratosis",
    "BKL": "Benign keratosis",
    "DF": "Dermatofibroma",
    "VASC": "Vascular lesion",
    "SCC": "Squamous cell carcinoma",
}
CODES = list(CLASSES)
# the images of each class in ISIC 2019, 25 331 in all (thesis Table 5.1)
COUNTS_2019 = dict(MEL=4522, NV=12875, BCC=3323, AK=867, BKL=2624, DF=239, VASC=253, SCC=628)
MALIGNANT = ["MEL", "BCC", "AK", "SCC"]  # AK may turn into SCC and is treated, so the course counts it here

IMAGES_2019 = "ISIC_2019_Training_Input"
GROUND_TRUTH_2019 = "ISIC_2019_Training_GroundTruth.csv"
METADATA_2019 = "ISIC_2019_Training_Metadata.csv"
IMAGES_2019_TEST = "ISIC_2019_Test_Input"
GROUND_TRUTH_2019_TEST = "ISIC_2019_Test_GroundTruth.csv"
UNKNOWN = "UNK"  # none of the eight: only the official test set has it
CODES_2018 = ["MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC"]  # of HAM10000 and ISIC 2018: AKIEC is AK and SCC
IMAGES_HAM = "HAM10000_images*"  # one folder, or two parts
METADATA_HAM = "HAM10000_metadata.csv"  # with the classes
IMAGES_2018_TASK3 = "ISIC2018_Task3_Training_Input"
GROUND_TRUTH_2018 = "ISIC2018_Task3_Training_GroundTruth.csv"
GROUPINGS_2018 = "ISIC2018_Task3_Training_LesionGroupings.csv"
IMAGES_2018 = "ISIC2018_Task1-2_Training_Input"
MASKS_2018 = "ISIC2018_Task1_Training_GroundTruth"
# the folders of images and of their masks, of 2018, 2017 and 2016
PAIRS = [(IMAGES_2018, MASKS_2018), ("ISIC-2017_Training_Data", "ISIC-2017_Training_Part1_GroundTruth")]
PAIRS += [("ISBI2016_ISIC_Part1_Training_Data", "ISBI2016_ISIC_Part1_Training_GroundTruth")]
MASK_ENDING = "_segmentation"
IMAGE_TYPES = {".jpg", ".jpeg", ".png", ".webp"}
