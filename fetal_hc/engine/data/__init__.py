"""Dataset records, sample mapper, augmentation and loaders of the training engine."""
