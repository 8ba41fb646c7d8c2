"""What can go wrong with the review store, for a person to read."""

from __future__ import annotations

from fetal_hc.errors import FetalHCError


class StoreError(FetalHCError):
    """A store that cannot be opened, read or written."""


class ReviewRefused(StoreError):
    """An action that is not allowed in the state the case is in, or that lacks something."""


class ReviewConflict(StoreError):
    """Somebody else changed the case since the caller read it; nothing was written."""
