"""Alembic migrations of the review store; `reviews.upgrade` runs them, no env.py is needed."""
