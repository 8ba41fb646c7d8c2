"""run.json: contents, missing datasets, resumed runs."""

import hashlib
import json
from pathlib import Path

import pytest

from fetal_hc.engine.train.run_record import build_run_record, git_state, read_seed, write_run_record
from fetal_hc.errors import ConfigError


def test_record_names_datasets_by_their_hash(tmp_path: Path) -> None:
    (tmp_path / "train.json").write_bytes(b"{}")
    record = build_run_record("builtin", 5, "cpu", 2, [tmp_path / "train.json"])
    assert record["datasets"] == {"train.json": hashlib.sha256(b"{}").hexdigest()}
    assert (record["seed"], record["device"], record["n_processes"]) == (5, "cpu", 2)
    assert "numpy" in record["packages"]


def test_missing_datasets_are_all_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a\.json, .*b\.json: no such dataset file; convert the data first"):
        build_run_record("builtin", 5, "cpu", 1, [tmp_path / "a.json", tmp_path / "b.json"])


def test_outside_a_repository_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_state(tmp_path) is None


def test_resumed_run_is_appended_to_the_first(tmp_path: Path) -> None:
    write_run_record(tmp_path, {"seed": 1}, resumed=False)
    write_run_record(tmp_path, {"seed": 2}, resumed=True)
    write_run_record(tmp_path, {"seed": 3}, resumed=True)
    assert json.loads((tmp_path / "run.json").read_text()) == {"seed": 1, "resumed": [{"seed": 2}, {"seed": 3}]}
    assert read_seed(tmp_path) == 1


def test_fresh_run_replaces_the_record(tmp_path: Path) -> None:
    write_run_record(tmp_path, {"seed": 1}, resumed=False)
    write_run_record(tmp_path, {"seed": 2}, resumed=False)
    assert read_seed(tmp_path) == 2


def test_no_record_has_no_seed(tmp_path: Path) -> None:
    assert read_seed(tmp_path) is None
