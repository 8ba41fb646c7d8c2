"""Which processes run, read from /proc."""

from pathlib import Path


def is_running(pid: int) -> bool:
    """Whether a process works or sleeps; one that ended and was not waited for does not run."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def descendants(pid: int) -> set[int]:
    """The processes that a process started, and those that these started."""
    found = set[int]()
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue
            if parent == pid:
                found |= {int(folder.name), *descendants(int(folder.name))}
    return found
