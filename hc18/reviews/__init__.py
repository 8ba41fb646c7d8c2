"""Append-only store of reviews and the work queue built on it; no torch, no Streamlit."""
