"""The shipped face-mask model, its card and its checksum."""
