"""Commands that train, search, export, calibrate and compare models; they need the extra train."""
