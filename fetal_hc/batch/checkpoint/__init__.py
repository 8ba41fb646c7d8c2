"""Results of an unfinished batch on disk, so that it can be resumed."""
