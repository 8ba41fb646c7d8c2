"""The first messages of many, and how many there were: what a batch of any length may keep in memory."""

from __future__ import annotations

from dataclasses import dataclass, field

KEPT_AT_MOST = 20


@dataclass(slots=True)
class MessageLog:
    """Messages, of which only the first are kept.

    Attributes:
        first: the first messages, at most `KEPT_AT_MOST`.
        count: how many were added.
    """

    first: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, message: str) -> None:
        """Counts a message and keeps it if it is one of the first."""
        self.count += 1
        if len(self.first) < KEPT_AT_MOST:
            self.first.append(message)

    def extend(self, other: MessageLog) -> None:
        """Counts the messages of another log and keeps its first ones as far as there is room."""
        self.count += other.count
        self.first += other.first[: max(KEPT_AT_MOST - len(self.first), 0)]

    def to_lines(self, prefix: str) -> list[str]:
        """One line per kept message, and one that counts the others; empty if there were none."""
        lines = [prefix + message for message in self.first]
        n_more = self.count - len(self.first)
        return [*lines, f"{prefix}{n_more} more"] if n_more else lines
