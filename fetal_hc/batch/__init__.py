"""Batches of images, in processes or on Ray."""
