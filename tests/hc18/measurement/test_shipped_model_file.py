"""Shipped models are used only when their checksum agrees."""

import hashlib
from pathlib import Path

import pytest

from fetal_hc.errors import ModelError
from fetal_hc.model.checksum import check_checksum, file_sha256
from hc18.measurement.head_model import MODEL_VARIABLE, bundled_model_path

CONTENT = b"weights"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one model and its checksum; no override in the environment."""
    monkeypatch.delenv(MODEL_VARIABLE, raising=False)
    (tmp_path / "hc18.zip").write_bytes(CONTENT)
    (tmp_path / "hc18.zip.sha256").write_text(f"{DIGEST}  hc18.zip\n")
    return tmp_path


def test_model_with_its_checksum_is_found(models: Path) -> None:
    assert bundled_model_path("hc18", models) == models / "hc18.zip"


def test_missing_model_names_the_remedy(models: Path) -> None:
    with pytest.raises(ModelError, match=r"other\.zip: the shipped model is missing.*--model"):
        bundled_model_path("other", models)


def test_missing_checksum_is_an_error_for_a_shipped_model(models: Path) -> None:
    (models / "hc18.zip.sha256").unlink()
    with pytest.raises(ModelError, match=r"hc18\.zip\.sha256: cannot be read"):
        bundled_model_path("hc18", models)


def test_wrong_checksum_shows_both_digests(models: Path) -> None:
    (models / "hc18.zip").write_bytes(CONTENT + b"!")
    with pytest.raises(ModelError, match=DIGEST) as caught:
        bundled_model_path("hc18", models)
    assert hashlib.sha256(CONTENT + b"!").hexdigest() in str(caught.value)


@pytest.mark.parametrize("text", ["", "not a digest", DIGEST[:-1], DIGEST + "0"])
def test_malformed_checksum_file_is_refused(models: Path, text: str) -> None:
    (models / "hc18.zip.sha256").write_text(text)
    with pytest.raises(ModelError, match="64 hex digits"):
        bundled_model_path("hc18", models)


def test_bare_upper_case_digest_is_accepted(models: Path) -> None:
    (models / "hc18.zip.sha256").write_text(DIGEST.upper())
    check_checksum(models / "hc18.zip", required=True)


def test_other_models_need_no_checksum_file(tmp_path: Path) -> None:
    (tmp_path / "own.onnx").write_bytes(CONTENT)
    check_checksum(tmp_path / "own.onnx")


def test_environment_variable_overrides(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = models / "own.onnx"
    own.write_bytes(CONTENT)
    monkeypatch.setenv(MODEL_VARIABLE, str(own))
    assert bundled_model_path("hc18", models) == own


def test_environment_variable_naming_no_file_is_reported(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MODEL_VARIABLE, str(models / "gone.onnx"))
    with pytest.raises(ModelError, match=rf"gone\.onnx: does not exist, but {MODEL_VARIABLE} names it"):
        bundled_model_path("hc18", models)


def test_digest_of_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        file_sha256(tmp_path / "gone.onnx")
