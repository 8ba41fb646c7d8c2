"""Files that are complete or absent."""

import os
from pathlib import Path

import pytest

from fetal_hc.errors import FetalHCError
from fetal_hc.io.atomic import atomic_path, write_bytes_atomic, write_text_atomic


def test_text_is_written_with_its_line_ends(tmp_path: Path) -> None:
    write_text_atomic(tmp_path / "new" / "a.csv", "ä\r\nb\n")
    assert (tmp_path / "new" / "a.csv").read_bytes() == "ä\r\nb\n".encode()


def test_existing_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"old")
    write_bytes_atomic(tmp_path / "a.bin", b"new")
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [("a.bin", b"new")]


def test_target_is_untouched_until_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "a.csv"
    target.write_text("old")
    with atomic_path(target) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"


def test_temporary_file_keeps_the_suffix_and_the_folder(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "model.onnx") as temporary:
        assert (temporary.suffix, temporary.parent) == (".onnx", tmp_path)


def test_failed_block_leaves_the_old_file_and_no_rest(tmp_path: Path) -> None:
    target = tmp_path / "a.csv"
    target.write_text("old")

    def fail_halfway() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_halfway()
    assert [(entry.name, entry.read_text()) for entry in tmp_path.iterdir()] == [("a.csv", "old")]


def test_file_in_the_way_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(FetalHCError, match=r"taken.*cannot be written.*choose another output path"):
        write_text_atomic(tmp_path / "taken" / "a.csv", "text")


def test_folder_in_the_way_of_the_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(FetalHCError, match="a folder has this name"):
        write_text_atomic(tmp_path / "a.csv", "text")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="permissions do not bind this user")
def test_unwritable_folder_is_a_clear_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(FetalHCError, match="cannot be written"):
        write_text_atomic(tmp_path / "a.csv", "text")
    tmp_path.chmod(0o700)
