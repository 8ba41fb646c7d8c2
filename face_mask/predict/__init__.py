"""Classical segmentation of face masks."""
