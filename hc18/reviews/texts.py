"""Words that users type, as the store keeps them."""

from __future__ import annotations

import re

from hc18.reviews.errors import ReviewRefused
from hc18.reviews.schema import LABEL_LENGTH

_PATH = re.compile(r"\S*[/\\]\S*")
MAX_REASON_LENGTH = 2000
MAX_REVIEWER_LENGTH = 200


def to_label(label: str, case_id: int) -> str:
    """A label on one line, shortened to the column; `Case N` for an empty one."""
    return _one_line(label)[:LABEL_LENGTH].strip() or f"Case {case_id}"


def to_reviewer(reviewer: str) -> str:
    """A reviewer's name on one line.

    Raises:
        ReviewRefused: if there is none, or it is too long for the record.
    """
    name = _one_line(reviewer)
    if not name:
        raise ReviewRefused("no reviewer is named; enter your name first")
    if len(name) > MAX_REVIEWER_LENGTH:
        raise ReviewRefused(
            f"the reviewer's name has {len(name)} characters; expected at most {MAX_REVIEWER_LENGTH}; shorten it"
        )
    return name


def to_reason(reason: str) -> str:
    """A reason without surrounding space.

    Raises:
        ReviewRefused: if it is too long for the record.
    """
    text = reason.strip()
    if len(text) > MAX_REASON_LENGTH:
        raise ReviewRefused(
            f"the reason has {len(text)} characters; expected at most {MAX_REASON_LENGTH}; say it in fewer words"
        )
    return text


def without_paths(text: str) -> str:
    """A reason of the program without paths and file names' folders, which may carry a patient's name."""
    return _PATH.sub("(a file)", text)


def _one_line(text: str) -> str:
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())
