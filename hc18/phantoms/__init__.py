"""Synthetic ultrasound images of heads whose circumference is known."""
