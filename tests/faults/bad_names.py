"""File names and kinds of files that real archives have and programs stumble over."""

import os
from pathlib import Path


def write_odd_entries(folder: Path) -> set[str]:
    """Puts entries into a folder that no image can be read from; the names of those that deserve a row."""
    (folder / "gone.png").symlink_to(folder / "nowhere")
    (folder / "loop.png").symlink_to(folder / "loop.png")
    (folder / "loop").symlink_to(folder)
    (folder / "self").symlink_to(folder / "self")
    (folder / "folder.png").mkdir()
    (folder / "device.png").symlink_to("/dev/zero")
    os.mkfifo(folder / "pipe.png")
    os.mkfifo(folder / "pipe")
    (folder / os.fsdecode(b"caf\xe9.png")).write_bytes(b"x")
    (folder / "two\nlines.png").write_bytes(b"x")
    (folder / "=1+1.png").write_bytes(b"x")
    return {"gone.png", "loop.png", "device.png", "pipe.png", "caf\udce9.png", "two\nlines.png", "=1+1.png"}
