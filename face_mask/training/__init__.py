"""Data loading, configuration and evaluation of the face-mask models. Imports torch."""
