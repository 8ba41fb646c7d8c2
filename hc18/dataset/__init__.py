"""The HC18 data set: reading, checking, splitting, converting and its submission file."""
