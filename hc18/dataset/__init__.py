"""The HC18 data set: reading, checking, splitting and converting a folder, and its submission file."""

from hc18.dataset.convert import Hc18Conversion, convert_hc18
from hc18.dataset.folder import check_folder, read_training_set
from hc18.dataset.labelled_image import LabelledImage
from hc18.dataset.pixel_size_table import PixelSizeRow, read_pixel_sizes
from hc18.dataset.splits import grouped_stratified_folds
from hc18.dataset.submission import check_submission, read_submission, write_submission

__all__ = [
    "Hc18Conversion",
    "LabelledImage",
    "PixelSizeRow",
    "check_folder",
    "check_submission",
    "convert_hc18",
    "grouped_stratified_folds",
    "read_pixel_sizes",
    "read_submission",
    "read_training_set",
    "write_submission",
]
