"""Where the app keeps its reviews and finds batches: environment variables with defaults."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

STORE_VARIABLE = "FETAL_HC_STORE"
BATCHES_VARIABLE = "FETAL_HC_BATCHES"


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator can set.

    Attributes:
        store: file name or URL of the review store.
        batches: folder below which scored batches may be opened; None allows any folder, and is for one's own machine.
    """

    store: str
    batches: Path | None


def from_environment(environment: Mapping[str, str] = os.environ) -> Settings:
    """FETAL_HC_STORE (default: `fetal-hc/reviews.db` in the user's data folder) and FETAL_HC_BATCHES."""
    batches = environment.get(BATCHES_VARIABLE)
    return Settings(
        store=environment.get(STORE_VARIABLE) or str(_data_folder(environment) / "fetal-hc" / "reviews.db"),
        batches=Path(batches).resolve() if batches else None,
    )


def _data_folder(environment: Mapping[str, str]) -> Path:
    """The XDG data folder of the user."""
    named = environment.get("XDG_DATA_HOME")
    return Path(named) if named else Path.home() / ".local" / "share"
