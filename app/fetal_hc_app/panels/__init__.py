"""The parts of a page: each function draws one part from plain values."""
