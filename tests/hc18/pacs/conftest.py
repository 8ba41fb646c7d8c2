"""A key, a site with a receiver, a store and the shipped model."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from hc18.measurement.head_model import bundled_model_path
from hc18.pacs.site import Peer, ReceiverSettings, Site
from hc18.pacs.vault import KEY_VARIABLE
from hc18.reviews.measuring import Model, read_model
from hc18.reviews.store import ReviewStore
from tests.app.conftest import free_port
from tests.hc18.pacs.objects import PEER


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key in the environment."""
    monkeypatch.setenv(KEY_VARIABLE, Fernet.generate_key().decode())


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A site that keeps references, with one peer."""
    folder = tmp_path / "state"
    folder.mkdir()
    receiver = ReceiverSettings(port=free_port(), peers=(Peer(PEER, "127.0.0.1"),), keep_free_mb=1)
    return Site(folder, keep_references=True, receiver=receiver)


@pytest.fixture
def review_store(tmp_path: Path) -> Iterator[ReviewStore]:
    """An empty review store."""
    with ReviewStore(str(tmp_path / "reviews.db")) as opened:
        yield opened


@pytest.fixture(scope="session")
def head_model() -> Model:
    """The shipped model."""
    return read_model(bundled_model_path(), num_threads=1)
