"""Alembic migrations of the review store; `hc18.reviews.upgrade` runs them, no env.py is needed."""
