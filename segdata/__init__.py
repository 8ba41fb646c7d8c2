"""Torch-free annotation layer: errors, records, COCO files, masks, images and overlays."""
