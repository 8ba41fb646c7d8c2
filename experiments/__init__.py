"""Experiments that were run once for a research question, each with the command that prints its figures."""
