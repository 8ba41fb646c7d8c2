"""Face-mask domain: readers of face and mask datasets, splits, single-face crops, conversion (torch-free)."""
