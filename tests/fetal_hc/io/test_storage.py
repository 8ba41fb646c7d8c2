"""Image files come in one consistent state or with a reason; URLs work like paths."""

import builtins
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
import pytest

from fetal_hc.errors import ConfigError, DatasetError, ImageError
from fetal_hc.io import storage
from fetal_hc.io.storage import (
    FileStamp,
    check_url,
    find_file,
    is_reachable,
    join_location,
    list_names,
    read_image_file,
    read_whole_file,
    remove_file,
    write_whole_file,
)

NOBODY = 65534


@pytest.fixture
def memory() -> Iterator[str]:
    """A folder on fsspec's storage in memory."""
    yield "memory://archive"
    fsspec.filesystem("memory").store.clear()


def _change_while_read(monkeypatch: pytest.MonkeyPatch, path: Path, times: int) -> None:
    """Lets somebody append to `path` after each of its next `times` readings has got the content."""
    original: Callable[..., Any] = builtins.open
    left = times

    class Interfering:
        def __init__(self, stream: Any) -> None:
            self._stream = stream

        def __enter__(self) -> "Interfering":
            return self

        def __exit__(self, *_: object) -> None:
            self._stream.close()

        def read(self) -> bytes:
            nonlocal left
            data: bytes = self._stream.read()
            if left:
                left -= 1
                with original(path, "ab") as other:
                    other.write(b"more")
            return data

    def opened(file: Any, *arguments: Any, **options: Any) -> Any:
        stream = original(file, *arguments, **options)
        return Interfering(stream) if isinstance(file, int) else stream

    monkeypatch.setattr(builtins, "open", opened)


@contextmanager
def _as_nobody() -> Iterator[None]:
    """Without the right of root to open everything."""
    if os.geteuid():
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_content_and_state_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"content")
    data, stamp = read_image_file(str(tmp_path / "a.png"))
    assert data == b"content"
    assert stamp == FileStamp(7, (tmp_path / "a.png").stat().st_mtime_ns)


def test_file_that_changes_once_while_it_is_read_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(b"part,")
    _change_while_read(monkeypatch, tmp_path / "a.png", times=1)
    assert read_image_file(str(tmp_path / "a.png"))[0] == b"part,more"


def test_file_that_keeps_changing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(b"part,")
    _change_while_read(monkeypatch, tmp_path / "a.png", times=3)
    with pytest.raises(ImageError, match="changes while it is read"):
        read_image_file(str(tmp_path / "a.png"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(ImageError, match="folder, pipe or device"):
        read_image_file(str(tmp_path / "a.png"))


def test_folder_missing_file_and_circle_of_links_are_refused(tmp_path: Path) -> None:
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    for name, reason in (("", "folder, pipe"), ("gone.png", "No such file"), ("loop.png", "symbolic links")):
        with pytest.raises(ImageError, match=reason):
            read_image_file(str(tmp_path / name))


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="needs POSIX permissions")
def test_file_without_permission_is_refused() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = Path(folder) / "a.png"
        path.write_bytes(b"secret")
        path.chmod(0)
        with _as_nobody(), pytest.raises(ImageError, match="Permission denied"):
            read_image_file(str(path))


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file whose reading fails")
def test_input_error_is_tried_again_and_then_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(storage.time, "sleep", pauses.append)
    with pytest.raises(ImageError, match="Input/output error"):
        read_image_file("/proc/self/mem")
    assert pauses == list(storage.RETRY_PAUSES_S)


def test_file_larger_than_any_image_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "a.png").open("wb") as stream:
        stream.truncate(storage.MAX_FILE_BYTES + 1)
    with pytest.raises(ImageError, match="at most 268,435,456 are read"):
        read_image_file(str(tmp_path / "a.png"))


def test_url_is_read_written_listed_and_removed(memory: str) -> None:
    write_whole_file(f"{memory}/a.png", b"content")
    assert read_image_file(f"{memory}/a.png") == (b"content", FileStamp(7, 0))
    assert (list_names(memory), list_names("memory://none")) == (["a.png"], [])
    assert is_reachable(f"{memory}/a.png")
    remove_file(f"{memory}/a.png")
    assert not is_reachable(f"{memory}/a.png")
    assert read_whole_file(f"{memory}/a.png") is None
    with pytest.raises(ImageError, match=r"archive/a\.png: cannot be read"):
        read_image_file(f"{memory}/a.png")


class _BrokenStorage(fsspec.AbstractFileSystem):  # type: ignore[misc]
    protocol = "broken"

    def _open(self, path: str, mode: str = "rb", **_options: object) -> object:
        raise RuntimeError("credentials expired")


def test_foreign_errors_of_a_storage_become_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage.time, "sleep", lambda _seconds: None)
    fsspec.register_implementation("broken", _BrokenStorage, clobber=True)
    with pytest.raises(ImageError, match="RuntimeError: credentials expired"):
        read_image_file("broken://bucket/a.png")
    assert not is_reachable("broken://bucket/a.png")


@pytest.mark.parametrize(
    "url",
    [
        "nonsense://x",
        "http://169.254.169.254/latest/meta-data",
        "https://example.org/a.png",
        "ftp://host/a.png",
        "file:///etc/passwd",
        "simplecache::http://host/a.png",
        "memory://a::http://host/a.png",
        "S3://bucket/a.png",
    ],
)
def test_kinds_of_urls_that_are_not_storage_of_ours_are_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=r"row 3: .* cannot be used; expected a path or one of s3://, gs://"):
        check_url(url, where="m.csv, row 3: ")


def test_url_whose_library_is_missing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "s3fs", None)
    with pytest.raises(ConfigError, match=r"'s3://' cannot be used .*install what it needs"):
        check_url("s3://bucket")


def test_storage_in_memory_may_be_used() -> None:
    check_url("memory://x")


def test_path_with_a_zero_byte_is_refused() -> None:
    with pytest.raises(ImageError, match="cannot be read"):
        read_image_file("a\0.png")


@pytest.mark.parametrize(
    ("folder", "name", "expected"),
    [
        ("/data", "a.png", "/data/a.png"),
        ("/data", "/other/a.png", "/other/a.png"),
        ("s3://bucket/set/", "deep/a.png", "s3://bucket/set/deep/a.png"),
        ("/data", "s3://bucket/a.png", "s3://bucket/a.png"),
    ],
)
def test_joined_locations(folder: str, name: str, expected: str) -> None:
    assert join_location(folder, name) == expected


def test_own_file_that_is_no_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cannot be read"):
        read_whole_file(str(tmp_path))


def test_file_that_a_table_names_is_found_in_its_folder_alone(tmp_path: Path) -> None:
    (tmp_path / "images" / "sub").mkdir(parents=True)
    for name in ("images/a.png", "images/sub/b.png", "secret.png"):
        (tmp_path / name).touch()
    (tmp_path / "images" / "loop.png").symlink_to("loop.png")
    (tmp_path / "images" / "out.png").symlink_to(tmp_path / "secret.png")
    images = tmp_path / "images"
    assert find_file(images, "a.png") == images / "a.png"
    assert find_file(images, "sub/b.png") == images / "sub" / "b.png"
    for name in ("gone.png", "sub", "loop.png", "x" * 5_000, "a\0.png"):
        assert find_file(images, name) is None
    for name in ("../secret.png", str(tmp_path / "secret.png"), "out.png"):
        with pytest.raises(ImageError, match="leads out of the folder"):
            find_file(images, name)
