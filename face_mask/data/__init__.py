"""Face-mask data sets: reading, checking, splitting and converting."""
