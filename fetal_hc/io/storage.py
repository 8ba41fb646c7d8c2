"""Files on this machine and on remote storage behind one set of functions: a location is a path or a URL.

URLs (`s3://bucket/a.png`, `https://...`) are read and written through fsspec, which the extra scale installs.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

from fetal_hc.errors import DatasetError, FetalHCError, ImageError
from fetal_hc.io.atomic import write_bytes_atomic
from fetal_hc.io.extras import import_scale_library
from fetal_hc.io.images import MAX_FILE_BYTES

RETRY_PAUSES_S = (0.1, 0.5)  # a switch-over of a file server takes longer; the next image then finds it or fails
_READS_OF_A_CHANGING_FILE = 3
_TRANSIENT = frozenset(
    getattr(errno, name)
    for name in ("EIO", "ESTALE", "ETIMEDOUT", "ENOTCONN", "EAGAIN", "EHOSTDOWN", "ENETDOWN", "EREMOTEIO")
    if hasattr(errno, name)
)
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class FileStamp:
    """What tells two states of a local file apart.

    Attributes:
        size_bytes: length of the file.
        mtime_ns: time of its last change in ns; 0 for a file on remote storage, whose changes are not followed.
    """

    size_bytes: int
    mtime_ns: int


def is_url(location: str) -> bool:
    """Whether a location is on remote storage."""
    return "://" in location


def join_location(folder: str, name: str) -> str:
    """The location `name` below a folder, or `name` itself if it is absolute or a URL."""
    if is_url(name):
        return name
    if is_url(folder):
        return f"{folder.rstrip('/')}/{name.lstrip('/')}"
    return os.path.join(folder, name)  # noqa: PTH118  # Path keeps every name it has seen for a while


def read_image_file(location: str) -> tuple[bytes, FileStamp]:
    """Content of an image file in one consistent state, and the stamp of that state.

    Storage that fails for the moment is asked again; a local file that changes while it is read is read again.

    Raises:
        ImageError: if it is missing, no regular file, not permitted, too large, unreachable, or keeps changing.
    """
    try:
        if is_url(location):
            data = _with_retries(lambda: _read_url(location))
            return data, FileStamp(len(data), 0)
        for _ in range(_READS_OF_A_CHANGING_FILE):
            data, before, after = _with_retries(lambda: _read_regular_file(location))
            if before == after and len(data) == after.size_bytes:
                return data, after
    except OSError as error:
        raise ImageError(
            f"{location}: cannot be read ({error.strerror or error}); expected an image file; check the path, its "
            "permissions and the storage it is on"
        ) from error
    raise ImageError(
        f"{location}: changes while it is read; expected a finished file; wait until it is copied and measure it again"
    )


def is_reachable(location: str) -> bool:
    """Whether the storage of a file is there at this moment: the file itself, or others in its folder.

    The folder alone says nothing: where a disk was unmounted, an empty one remains.
    """
    folder = location.rpartition("/")[0] if is_url(location) else str(Path(location).parent)
    try:
        exists = _url_filesystem(location).exists(location) if is_url(location) else Path(location).exists()
        return bool(exists or list_names(folder))
    except Exception:  # noqa: BLE001  # the libraries behind URLs have error classes of their own
        return False


def file_stamp(location: str) -> FileStamp | None:
    """Present state of a local file; None if it is gone or on remote storage."""
    try:
        return None if is_url(location) else _stamp(Path(location).stat())
    except OSError:
        return None


def open_binary(location: str) -> BinaryIO:
    """A location opened for reading; to be closed by the caller.

    Raises:
        OSError: if it cannot be opened.
    """
    if not is_url(location):
        return Path(location).open("rb")
    fsspec = import_fsspec()
    try:
        return cast(BinaryIO, fsspec.open(location, "rb").open())
    except OSError:
        raise
    except Exception as error:  # these libraries have error classes of their own
        raise OSError(errno.EIO, f"{type(error).__name__}: {error}") from error


def write_whole_file(location: str, data: bytes) -> None:
    """Writes a file as a whole or not at all.

    Raises:
        FetalHCError: if it cannot be written.
    """
    if not is_url(location):
        write_bytes_atomic(location, data)
        return
    try:
        _url_filesystem(location).pipe_file(location, data)
    except Exception as error:
        raise FetalHCError(f"{location}: cannot be written ({error}); check the storage and its permissions") from error


def read_whole_file(location: str) -> bytes | None:
    """Content of a small file of our own; None if there is none.

    Raises:
        DatasetError: if it is there and cannot be read.
    """
    try:
        with open_binary(location) as stream:
            return stream.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DatasetError(f"{location}: cannot be read ({error.strerror or error}); check its permissions") from error


def list_names(folder: str) -> list[str]:
    """Sorted names of the files in a folder; empty if there is none."""
    if not is_url(folder):
        return sorted(path.name for path in Path(folder).iterdir()) if Path(folder).is_dir() else []
    filesystem = _url_filesystem(folder)
    filesystem.invalidate_cache()
    if not filesystem.exists(folder):
        return []
    return sorted(str(name).rstrip("/").rpartition("/")[2] for name in filesystem.ls(folder, detail=False))


def remove_file(location: str) -> None:
    """Removes a file if it is there."""
    if is_url(location):
        filesystem = _url_filesystem(location)
        if filesystem.exists(location):
            filesystem.rm_file(location)
    else:
        Path(location).unlink(missing_ok=True)


def import_fsspec() -> Any:
    """The library behind URLs.

    Raises:
        ConfigError: if it is not installed.
    """
    return import_scale_library("fsspec", "a location with ://")


def check_protocol(location: str) -> str:
    """Why URLs of this kind cannot be used here; empty if they can.

    Raises:
        ConfigError: if fsspec itself is not installed.
    """
    fsspec = import_fsspec()
    protocol = location.partition("://")[0]
    try:
        fsspec.get_filesystem_class(protocol)
    except (ValueError, ImportError) as error:
        return f"'{protocol}://' cannot be used ({error}); install what it needs or use another kind of location"
    return ""


def _url_filesystem(location: str) -> Any:
    """The fsspec file system of a URL."""
    return import_fsspec().core.url_to_fs(location)[0]


def _read_url(url: str) -> bytes:
    """Content of a remote file.

    Raises:
        OSError: whatever the library behind the URL raised, as the one class the callers know.
    """
    with open_binary(url) as stream:
        try:
            data = stream.read(MAX_FILE_BYTES + 1)
        except OSError:
            raise
        except Exception as error:
            raise OSError(errno.EIO, f"{type(error).__name__}: {error}") from error
    if len(data) > MAX_FILE_BYTES:
        raise _too_large(len(data))
    return data


def _too_large(n_bytes: int) -> OSError:
    """The error of a file that would fill the memory."""
    return OSError(errno.EFBIG, f"it has {n_bytes:,} bytes or more, at most {MAX_FILE_BYTES:,} are read")


def _read_regular_file(path: str) -> tuple[bytes, FileStamp, FileStamp]:
    """Content of a local file, its state before and after the reading.

    Raises:
        OSError: if it cannot be read or is a folder, pipe or device (opening one must not block).
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise OSError(errno.EINVAL, "it is a folder, pipe or device")
        if before.st_size > MAX_FILE_BYTES:
            raise _too_large(before.st_size)
        with open(descriptor, "rb", closefd=False) as stream:  # a descriptor, not a path
            data = stream.read()
        return data, _stamp(before), _stamp(os.fstat(descriptor))
    finally:
        os.close(descriptor)


def _with_retries(read: Callable[[], Value]) -> Value:
    """The result of `read`, which is tried again after errors that may pass.

    Raises:
        OSError: the last one.
    """
    for pause_s in RETRY_PAUSES_S:
        try:
            return read()
        except OSError as error:
            if error.errno not in _TRANSIENT:
                raise
            time.sleep(pause_s)
    return read()


def _stamp(status: os.stat_result) -> FileStamp:
    return FileStamp(status.st_size, status.st_mtime_ns)
