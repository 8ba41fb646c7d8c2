"""The pages of the reviewer, one function each."""
