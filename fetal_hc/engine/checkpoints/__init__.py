"""Checkpoints: reading, writing, averaging and initial weights."""
