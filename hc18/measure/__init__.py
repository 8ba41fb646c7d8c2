"""From an image file to a head circumference in millimetres."""
