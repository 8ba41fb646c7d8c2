"""From an image file to a head circumference in millimetres, with interval and quality flags."""
