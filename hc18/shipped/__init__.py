"""The shipped model, its card and its checksum."""
