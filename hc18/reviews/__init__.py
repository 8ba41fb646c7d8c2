"""Append-only store of reviews and the work queue built on it; needs neither torch nor Streamlit."""
