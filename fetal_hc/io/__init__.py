"""Files, images, COCO annotations, masks and drawing."""
