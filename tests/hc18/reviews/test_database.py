import pytest

from hc18.reviews.database import sqlite_path, to_url
from hc18.reviews.models import StoreError


@pytest.mark.parametrize(
    ("store", "expected"),
    [
        ("reviews.db", "sqlite+pysqlite:///reviews.db"),
        ("/data/my reviews.db", "sqlite+pysqlite:////data/my reviews.db"),
        ("sqlite:///reviews.db", "sqlite+pysqlite:///reviews.db"),
        ("postgresql://ann@host/reviews", "postgresql+psycopg://ann@host/reviews"),
        ("postgres://ann@host/reviews", "postgresql+psycopg://ann@host/reviews"),
        ("postgresql+psycopg2://ann@host/reviews", "postgresql+psycopg://ann@host/reviews"),
    ],
)
def test_store_is_a_path_or_a_url(store: str, expected: str) -> None:
    assert to_url(store).render_as_string() == expected


@pytest.mark.parametrize(
    "store",
    [
        "",
        "sqlite://",
        "sqlite:///:memory:",
        ":memory:",
        "sqlite:///file:x?mode=memory",
        "mysql://host/x",
        "://",
        "x y://z",
    ],
)
def test_what_keeps_no_reviews_is_refused(store: str) -> None:
    with pytest.raises(StoreError, match=r"expected a file such as reviews\.db"):
        to_url(store)


def test_only_sqlite_has_a_file() -> None:
    assert str(sqlite_path(to_url("folder/reviews.db"))) == "folder/reviews.db"
    assert sqlite_path(to_url("postgresql://host/reviews")) is None
