"""Commands of the project, one module each; `tools/*.py` call them."""
