"""Batches: accuracy, order, one row per input, atomic results, and refusals before anything is written."""

import csv
import os
import shutil
import stat
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fetal_hc.batch.batch import check_outputs
from fetal_hc.batch.summary import BatchSummary
from fetal_hc.errors import ConfigError, DatasetError, FetalHCError, ModelError
from fetal_hc.model.bundle import ModelBundle
from fetal_hc.model.checksum import file_sha256
from hc18.dataset.submission import check_submission, read_submission
from hc18.measurement.batches import MeasureSettings, measure_batch
from hc18.measurement.head_model import MEASUREMENT
from hc18.measurement.pixel_size_rules import open_source
from tests.synthetic_heads import HeadFolder, write_head_folder
from tests.synthetic_model import write_bright_object_model


@pytest.fixture
def heads(tmp_path: Path) -> HeadFolder:
    """Five images with known circumference."""
    return write_head_folder(tmp_path / "data", 5)


def _score(heads: HeadFolder, model: Path, output: Path, **changes: object) -> BatchSummary:
    settings = MeasureSettings(**{"model": model, "runner": "serial", **changes})  # type: ignore[arg-type]
    return measure_batch(open_source(heads.images, heads.pixel_sizes), output / "s.csv", output / "d.csv", settings)


def _details(output: Path) -> list[dict[str, str]]:
    with (output / "d.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_circumferences_are_right_in_both_files(heads: HeadFolder, bright_model: Path, tmp_path: Path) -> None:
    summary = _score(heads, bright_model, tmp_path)
    assert summary.is_complete
    submission = read_submission(tmp_path / "s.csv")
    assert list(submission) == list(heads.ellipses_px)
    for row in _details(tmp_path):
        assert float(row["hc_mm"]) == pytest.approx(heads.hc_mm(row["filename"]), rel=3e-3)
        assert submission[row["filename"]].circumference() == pytest.approx(float(row["hc_mm"]), abs=2e-4)
        assert row["model_sha256"] == file_sha256(bright_model)


def test_submission_is_valid_and_in_the_order_of_the_table(
    heads: HeadFolder, bright_model: Path, tmp_path: Path
) -> None:
    _score(heads, bright_model, tmp_path)
    assert check_submission(tmp_path / "s.csv", list(heads.ellipses_px)) == []
    assert [row["filename"] for row in _details(tmp_path)] == list(heads.ellipses_px)


def test_pool_writes_the_same_files_as_serial(heads: HeadFolder, bright_model: Path, tmp_path: Path) -> None:
    for runner in ("serial", "pool"):
        _score(heads, bright_model, tmp_path / runner, runner=runner, workers=2)
    for name in ("s.csv", "d.csv"):
        assert (tmp_path / "pool" / name).read_bytes() == (tmp_path / "serial" / name).read_bytes()


def test_every_input_has_a_row_and_the_rest_is_scored(heads: HeadFolder, bright_model: Path, tmp_path: Path) -> None:
    (heads.images / "000_HC.png").write_bytes(b"text named png")
    (heads.images / "001_HC.png").unlink()
    Image.fromarray(np.zeros((112, 160), np.uint8)).save(heads.images / "002_HC.png")
    shutil.copy(heads.images / "004_HC.png", heads.images / "extra.png")
    summary = _score(heads, bright_model, tmp_path)
    statuses = {row["filename"]: row["status"] for row in _details(tmp_path)}
    assert statuses == {
        "004_HC.png": "ok",
        "003_HC.png": "ok",
        "002_HC.png": "no_head",
        "001_HC.png": "missing_file",
        "000_HC.png": "unreadable",
        "extra.png": "no_pixel_size",
    }
    assert all(row["reason"] for row in _details(tmp_path) if row["status"] != "ok")
    assert list(read_submission(tmp_path / "s.csv")) == ["004_HC.png", "003_HC.png"]
    assert not summary.is_complete
    assert summary.tally.unmeasured.count == 4


def test_nothing_measured_still_gives_every_row(heads: HeadFolder, bright_model: Path, tmp_path: Path) -> None:
    for path in heads.images.iterdir():
        path.write_bytes(b"broken")
    summary = _score(heads, bright_model, tmp_path)
    assert summary.n_measured == 0
    assert len(_details(tmp_path)) == 5
    assert read_submission(tmp_path / "s.csv") == {}


def test_detections_below_the_smallest_score_do_not_count(
    heads: HeadFolder, bright_model: Path, tmp_path: Path
) -> None:
    assert _score(heads, bright_model, tmp_path, min_score=0.95).n_measured == 0


def test_smallest_score_of_the_model_counts_where_none_is_given(
    heads: HeadFolder, bright_model: Path, tmp_path: Path
) -> None:
    strict = ModelBundle.read(bright_model).replace(sections={MEASUREMENT: {"min_score": 0.95}})
    strict.write(tmp_path / "strict.zip")
    assert _score(heads, tmp_path / "strict.zip", tmp_path).n_measured == 0
    assert _score(heads, tmp_path / "strict.zip", tmp_path, min_score=0.35, overwrite=True).n_measured == 5


def test_implausible_measurements_are_warned_about_under_the_final_name(
    heads: HeadFolder, bright_model: Path, tmp_path: Path
) -> None:
    heads.pixel_sizes.write_text("filename,pixel size(mm)\n" + "".join(f"{n},1.9\n" for n in heads.ellipses_px))
    summary = _score(heads, bright_model, tmp_path)
    assert summary.is_complete
    assert summary.tally.warnings.first[0].startswith(f"{tmp_path / 's.csv'}, '003_HC.png': circumference")


def test_existing_results_are_kept_without_overwrite(heads: HeadFolder, bright_model: Path, tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("mine")
    with pytest.raises(ConfigError, match=r"d\.csv: exists already.*--overwrite"):
        _score(heads, bright_model, tmp_path)
    assert (tmp_path / "d.csv").read_text() == "mine"
    assert _score(heads, bright_model, tmp_path, overwrite=True).is_complete


def test_outputs_must_differ_from_inputs_and_each_other(tmp_path: Path) -> None:
    table, output = tmp_path / "sizes.csv", tmp_path / "s.csv"
    with pytest.raises(ConfigError) as caught:
        check_outputs((table, output, tmp_path / "." / "s.csv"), inputs=(table,), overwrite=True)
    assert [problem.split(":")[0] for problem in caught.value.problems] == [str(table), str(output)]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"workers": 0}, "workers is 0"),
        ({"threads": 0}, "threads is 0"),
        ({"runner": "turbo"}, "serial, pool, ray"),
        ({"ray_address": "auto"}, "add --runner ray"),
        ({"checkpoint": "s3://bucket/x"}, "needs the runner 'ray'"),
        ({"min_score": 1.5}, "score is 1.5"),
    ],
)
def test_wrong_settings_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MeasureSettings(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("broken", "runner"), [("model", "serial"), ("model", "pool"), ("table", "pool"), ("folder", "pool")]
)
def test_bad_input_leaves_nothing_behind(
    heads: HeadFolder, bright_model: Path, tmp_path: Path, broken: str, runner: str
) -> None:
    output = tmp_path / "out"
    model = bright_model
    if broken == "model":
        model = tmp_path / "corrupt.onnx"
        model.write_bytes(b"x" * 100)
    elif broken == "table":
        heads.pixel_sizes.unlink()
    else:
        shutil.rmtree(heads.images)
    with pytest.raises(FetalHCError):
        _score(heads, model, output, runner=runner, workers=1)
    assert not output.exists()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_unwritable_folder(heads: HeadFolder, bright_model: Path, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir()
    (tmp_path / "locked").chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(FetalHCError, match="cannot be written"):
        _score(heads, bright_model, tmp_path / "locked")


def test_output_under_a_file_cannot_be_written(heads: HeadFolder, bright_model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(FetalHCError, match="cannot be written"):
        _score(heads, bright_model, tmp_path / "file")


def test_model_that_disagrees_with_the_checksum_beside_it_is_refused(heads: HeadFolder, tmp_path: Path) -> None:
    model = write_bright_object_model(tmp_path / "m.onnx")
    (tmp_path / "m.onnx.sha256").write_text("0" * 64)
    with pytest.raises(ModelError, match="SHA-256"):
        _score(heads, model, tmp_path / "out")


def test_shipped_model_is_the_default(heads: HeadFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FETAL_HC_MODEL", str(tmp_path / "gone.onnx"))
    with pytest.raises(ModelError, match="FETAL_HC_MODEL names it"):
        _score(heads, None, tmp_path)  # type: ignore[arg-type]


def test_empty_folder(heads: HeadFolder, bright_model: Path, tmp_path: Path) -> None:
    for path in heads.images.iterdir():
        path.unlink()
    with pytest.raises(DatasetError, match="has no image"):
        _score(heads, bright_model, tmp_path)
