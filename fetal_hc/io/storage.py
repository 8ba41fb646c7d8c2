"""Files on this machine and on remote storage behind one set of functions: a location is a path or a URL.

fsspec reads and writes both. Only what it does not promise is done here for local files: an image is read in one
consistent state, and a file is written as a whole and brought to the disk.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

from fetal_hc.errors import ConfigError, DatasetError, FetalHCError, ImageError
from fetal_hc.io.atomic import write_bytes_atomic
from fetal_hc.io.images import MAX_FILE_BYTES

URL_SCHEMES = ("s3", "gs", "abfs", "hdfs", "memory")  # "memory": within one process, for tests and examples
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
    """Size and time of a local file, which tell its states apart.

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


def find_file(folder: str | os.PathLike[str], name: str) -> Path | None:
    """The regular file that a table names in a local folder; None if there is none, whatever the name is.

    Raises:
        ImageError: if the name leads out of the folder.
    """
    try:
        path = Path(os.path.realpath(os.path.join(folder, name)))  # noqa: PTH118  # Path.resolve fails at loops of links
    except ValueError:  # a zero byte
        return None
    if not path.is_relative_to(os.path.realpath(folder)):
        raise ImageError("The name leads out of the folder of the images.")
    return path if os.path.isfile(path) else None  # noqa: PTH113  # also for names that are too long for a file system


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
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        raise ImageError(
            f"{location}: cannot be read ({getattr(error, 'strerror', None) or error}); expected an image file; check "
            "the path, its permissions and the storage it is on"
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
        return bool(_filesystem(location).exists(location) or list_names(folder))
    except Exception:  # noqa: BLE001  # the libraries behind URLs have error classes of their own
        return False


def file_stamp(location: str) -> FileStamp | None:
    """Present state of a local file; None if it is gone or on remote storage."""
    try:
        return None if is_url(location) else _stamp(Path(location).stat())
    except (OSError, ValueError):
        return None


def open_binary(location: str) -> BinaryIO:
    """A location opened for reading; to be closed by the caller.

    Raises:
        OSError: if it cannot be opened.
    """
    with _os_errors():
        return cast(BinaryIO, _filesystem(location).open(location, "rb"))


def write_whole_file(location: str, data: bytes) -> None:
    """Writes a file as a whole or not at all; on a local disk it is there to stay once this returns.

    Raises:
        FetalHCError: if it cannot be written.
    """
    if not is_url(location):
        write_bytes_atomic(location, data)
        return
    try:
        _filesystem(location).pipe_file(location, data)
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
    filesystem = _filesystem(folder)
    filesystem.invalidate_cache()
    try:
        names = filesystem.ls(folder, detail=False) if filesystem.isdir(folder) else []
    except FileNotFoundError:
        return []
    return sorted(str(name).rstrip("/").rpartition("/")[2] for name in names)


def remove_file(location: str) -> None:
    """Removes a file if it is there."""
    with suppress(FileNotFoundError):
        _filesystem(location).rm_file(location)


def check_url(url: str, where: str = "") -> None:
    """Returns if a URL is of a kind that is read and written here, and its library is installed.

    Args:
        url: the location.
        where: file and row that name it, to begin the message with.

    Raises:
        ConfigError: if it is not.
    """
    if problem := url_problem(url):
        raise ConfigError(f"{where}{problem}")


def url_problem(url: str) -> str:
    """Why a URL cannot be used here; empty if it can.

    Only storage that its owner set up is asked: no web addresses, and none that one URL hides in another.
    """
    protocol = url.partition("://")[0]
    if protocol not in URL_SCHEMES or "::" in url:
        allowed = ", ".join(f"{name}://" for name in URL_SCHEMES)
        return f"'{url}' cannot be used; expected a path or one of {allowed}; copy the files there"
    import fsspec  # takes long to load, and processes that only read files of this machine do not need it

    try:
        fsspec.get_filesystem_class(protocol)
    except (ValueError, ImportError) as error:
        return f"'{protocol}://' cannot be used ({error}); install what it needs or use another kind of location"
    return ""


def _filesystem(location: str) -> Any:
    """The fsspec file system of a path or URL."""
    import fsspec

    return fsspec.core.url_to_fs(location)[0] if is_url(location) else fsspec.filesystem("file")


@contextmanager
def _os_errors() -> Iterator[None]:
    """Turns whatever the library behind a URL raises into the one class that callers know.

    Raises:
        OSError: also for a path with a zero byte.
    """
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(errno.EIO, f"{type(error).__name__}: {error}") from error


def _read_url(url: str) -> bytes:
    """Content of a remote file.

    Raises:
        OSError: if it cannot be read.
    """
    with open_binary(url) as stream, _os_errors():
        data = stream.read(MAX_FILE_BYTES + 1)
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
