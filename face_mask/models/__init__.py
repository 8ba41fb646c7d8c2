"""Classifier, two-head detector and segmenter for face masks. Imports torch."""
