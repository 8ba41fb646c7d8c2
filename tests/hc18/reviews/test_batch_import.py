import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fetal_hc.errors import DatasetError
from hc18.dicom import pixel_sha256
from hc18.geometry.ellipse import Ellipse
from hc18.geometry.pixel_size import from_table
from hc18.measurement.interval_model import IntervalModel
from hc18.measurement.outline import Quality
from hc18.measurement.rows import MEASUREMENT_TABLE, MeasurementRow, RowStatus
from hc18.reviews.batch_import import CASES_PER_TRANSACTION, ImportedRow, KnownModel, import_batch
from hc18.reviews.models import ModelVersion, ReviewAction
from hc18.reviews.store import ReviewStore
from tests.hc18.reviews.cases import IMAGE_HW, MODEL_ELLIPSE, PIXEL_SIZE_MM, image_of
from tests.measured_errors import features_of
from tests.synthetic_dicom import region, written

SHA256 = "cd" * 32


def _row(name: str, **values: object) -> MeasurementRow:
    defaults: dict[str, object] = {
        "status": RowStatus.OK,
        "reason": "",
        "ellipse_px": MODEL_ELLIPSE,
        "confidence": 0.75,
        "image_hw": IMAGE_HW,
        "pixel_size_xy_mm": (PIXEL_SIZE_MM, PIXEL_SIZE_MM),
        "pixel_size_source": "csv",
        "model_sha256": SHA256,
    }
    return MeasurementRow(file_name=name, **{**defaults, **values})  # type: ignore[arg-type]


def _write_image(folder: Path, name: str, number: int) -> None:
    folder.mkdir(exist_ok=True)
    Image.fromarray(image_of(number)).save(folder / name, "PNG")


def _write_details(path: Path, *rows: MeasurementRow) -> Path:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(MEASUREMENT_TABLE.names)
        writer.writerows(MEASUREMENT_TABLE.to_texts(row) for row in rows)
    return path


def _import(store: ReviewStore, folder: Path, *rows: MeasurementRow, **options: object) -> list[ImportedRow]:
    details = _write_details(folder / "details.csv", *rows)
    return list(import_batch(store, details, folder / "images", "ann", **options))  # type: ignore[arg-type]


def test_scored_rows_become_cases(sqlite_store: ReviewStore, tmp_path: Path) -> None:
    for number in (1, 2):
        _write_image(tmp_path / "images", f"{number}.png", number)
    no_head = _row("2.png", status=RowStatus.NO_HEAD, reason="nothing", ellipse_px=None, confidence=None)
    imported = _import(sqlite_store, tmp_path, _row("1.png", flags=("low_score",)), no_head)
    assert [(item.row, item.name, item.problem) for item in imported] == [(2, "1.png", ""), (3, "2.png", "")]
    first, second = sqlite_store.state(1), sqlite_store.state(2)
    assert first.image_sha256 == pixel_sha256(image_of(1))
    assert first.outline.hc_mm == pytest.approx(MODEL_ELLIPSE.circumference() * PIXEL_SIZE_MM, abs=1e-3)
    assert (first.measurement.model.sha256, first.flags) == (SHA256, ("low_score",))
    assert (second.measurement.status, second.outline.ellipse_px) == ("no_head", None)


def test_imported_label_and_record_hold_no_file_name(sqlite_store: ReviewStore, tmp_path: Path) -> None:
    _write_image(tmp_path / "images", "jane_doe.png", 1)
    row = _row(
        "jane_doe.png",
        status=RowStatus.NO_PIXEL_SIZE,
        reason="/data/jane_doe/table.csv has no row",
        pixel_size_xy_mm=None,
        pixel_size_source="none",
    )
    assert _import(sqlite_store, tmp_path, row)[0].registration is not None
    sqlite_store.close()
    content = b"".join(path.read_bytes() for path in tmp_path.glob("reviews.db*"))
    assert b"Case 1" in content
    assert b"jane_" not in content


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (_row("1.png", status=RowStatus.UNREADABLE, reason="torn", ellipse_px=None), "could not measure this image"),
        (_row("gone.png"), "no such image in the folder"),
        (_row("../secret.png"), "leads out of the folder"),
        (_row("/etc/passwd"), "leads out of the folder"),
        (_row("x" * 5_000), "no such image in the folder"),
        (_row("a\0b.png"), "no such image in the folder"),
        (_row("loop.png"), "no such image in the folder"),
        (_row(f"1.png#{'9' * 5_000}"), "no such image in the folder"),
        (_row("1.png#0"), "no such image in the folder"),
        (_row("text.png"), "not a PNG, JPEG, TIFF or BMP"),
        (_row("1.png", image_hw=(65, 80)), "has 80 x 64 px, the one that was scored 80 x 65"),
        (_row("1.png", pixel_size_xy_mm=(90.0, 90.0)), "pixel size along x is 90 mm"),
        (_row("1.png", pixel_size_source="guess"), "source of the pixel size is 'guess'"),
    ],
)
def test_row_that_cannot_be_taken_in_is_reported_and_costs_no_other(
    sqlite_store: ReviewStore, tmp_path: Path, row: MeasurementRow, problem: str
) -> None:
    for number in (1, 2):
        _write_image(tmp_path / "images", f"{number}.png", number)
    (tmp_path / "secret.png").touch()
    (tmp_path / "images" / "text.png").write_text("no image")
    (tmp_path / "images" / "loop.png").symlink_to("loop.png")
    refused, taken = _import(sqlite_store, tmp_path, row, _row("2.png"))
    assert problem in refused.problem
    assert refused.registration is None
    assert str(tmp_path) not in refused.problem
    assert taken.registration is not None
    assert sqlite_store.progress().n_cases == 1


def test_field_that_is_no_number_is_reported_with_its_row(sqlite_store: ReviewStore, tmp_path: Path) -> None:
    _write_image(tmp_path / "images", "1.png", 1)
    details = _write_details(tmp_path / "details.csv", _row("1.png"))
    details.write_text(details.read_text().replace("0.750000", "high"))
    (refused,) = import_batch(sqlite_store, details, tmp_path / "images", "ann")
    assert (refused.row, refused.registration) == (2, None)
    assert "cannot be understood" in refused.problem


def test_known_image_keeps_its_history(sqlite_store: ReviewStore, tmp_path: Path) -> None:
    _write_image(tmp_path / "images", "1.png", 1)
    _import(sqlite_store, tmp_path, _row("1.png"))
    sqlite_store.append(1, 1, ReviewAction.ACCEPT, "bob")
    (again,) = _import(sqlite_store, tmp_path, _row("1.png", ellipse_px=Ellipse(30.0, 30.0, 9.0, 8.0, 0.0)))
    assert again.registration is not None
    assert not again.registration.is_new
    assert sqlite_store.state(1).decision == "accepted"


def test_long_batch_is_stored_a_few_images_at_a_time(sqlite_store: ReviewStore, tmp_path: Path) -> None:
    numbers = range(1, 2 * CASES_PER_TRANSACTION + 2)
    for number in numbers:
        _write_image(tmp_path / "images", f"{number}.png", number)
    details = _write_details(tmp_path / "details.csv", *(_row(f"{number}.png") for number in numbers))
    steps = import_batch(sqlite_store, details, tmp_path / "images", "ann")
    next(steps)
    assert sqlite_store.progress().n_cases == CASES_PER_TRANSACTION  # interrupted here, these are safe
    assert len(list(steps)) == len(numbers) - 1
    assert sqlite_store.progress().n_cases == len(numbers)
    assert sqlite_store.verify().problems == ()


def test_known_model_is_recorded_by_its_name(sqlite_store: ReviewStore, tmp_path: Path) -> None:
    _write_image(tmp_path / "images", "1.png", 1)
    model = ModelVersion("hc18", "0.1.0", SHA256)
    _import(sqlite_store, tmp_path, _row("1.png"), models={SHA256: KnownModel(model)})
    assert sqlite_store.state(1).measurement.model == model


def test_late_pixel_size_of_an_imported_image_gives_its_interval(sqlite_store: ReviewStore, tmp_path: Path) -> None:
    _write_image(tmp_path / "images", "1.png", 1)
    intervals = IntervalModel(0.5, {"log_hc": 1.0}, 2.0, 0.9, 100.0, 160)
    known = KnownModel(ModelVersion("hc18", "0.1.0", SHA256), intervals)
    quality = Quality(1.0, 0.1, 0.05)
    row = _row(
        "1.png", status=RowStatus.NO_PIXEL_SIZE, pixel_size_xy_mm=None, pixel_size_source="none", quality=quality
    )
    _import(sqlite_store, tmp_path, row, models={SHA256: known})
    assert sqlite_store.state(1).interval is None
    state = sqlite_store.append(1, 1, ReviewAction.CALIBRATE, "ann", calibration=from_table(PIXEL_SIZE_MM))
    assert state.model_outline.hc_mm is not None
    hc_mm = state.model_outline.hc_mm
    assert state.interval == intervals.assess(hc_mm, features_of(hc_mm, 1.0, 0.1, 0.05))


def test_second_pixel_size_of_a_row_stays_a_flag_with_both_values(sqlite_store: ReviewStore, tmp_path: Path) -> None:
    _write_image(tmp_path / "images", "1.png", 1)
    flags = ("pixel_sizes_disagree",)
    _import(sqlite_store, tmp_path, _row("1.png", flags=flags, other_sizes_xy_mm=((0.2, 0.25),)))
    state = sqlite_store.state(1)
    assert state.flags == flags
    assert "0.2 mm across and 0.25 mm down per pixel, which was not used" in " ".join(state.calibration.warnings)


def test_manifest_translates_ids_to_files(sqlite_store: ReviewStore, tmp_path: Path) -> None:
    _write_image(tmp_path / "images", "1.png", 1)
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("path,id,pixel_size_mm\n1.png,scan-7,1.5\n", encoding="utf-8")
    (taken,) = _import(sqlite_store, tmp_path, _row("scan-7"), manifest=manifest)
    assert taken.registration is not None


def test_dicom_gives_its_frame_and_only_the_tissue(sqlite_store: ReviewStore, tmp_path: Path) -> None:
    frames = np.stack([image_of(1), image_of(2)])
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "cine.dcm").write_bytes(written(frames, [region((10, 5, 69, 54))]))
    row = _row("cine.dcm#2", pixel_size_xy_mm=(0.2, 0.25), pixel_size_source="dicom_region")
    (taken,) = _import(sqlite_store, tmp_path, row)
    assert taken.problem == ""
    stored = sqlite_store.image(1)
    np.testing.assert_array_equal(stored[5:55, 10:70], image_of(2)[5:55, 10:70])
    assert stored[:5].max() == stored[:, 70:].max() == 0
    assert sqlite_store.state(1).calibration.pixel_size_xy_mm == (0.2, 0.25)


def test_dicom_that_may_show_a_name_is_not_stored(sqlite_store: ReviewStore, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "scan.dcm").write_bytes(written(image_of(1)))
    (refused,) = _import(sqlite_store, tmp_path, _row("scan.dcm"))
    assert "a name may be burned into it" in refused.problem
    assert sqlite_store.progress().n_cases == 0


def test_table_that_is_none_is_refused(sqlite_store: ReviewStore, tmp_path: Path) -> None:
    (tmp_path / "details.csv").write_text("filename,hc\n")
    with pytest.raises(DatasetError, match="lacks the columns status"):
        list(import_batch(sqlite_store, tmp_path / "details.csv", tmp_path, "ann"))
    with pytest.raises(DatasetError, match="cannot be read"):
        list(import_batch(sqlite_store, tmp_path / "gone.csv", tmp_path, "ann"))
    with pytest.raises(DatasetError, match="is not a folder"):
        list(import_batch(sqlite_store, tmp_path / "details.csv", tmp_path / "gone", "ann"))


def test_missing_values_of_older_tables_are_unknown(sqlite_store: ReviewStore, tmp_path: Path) -> None:
    _write_image(tmp_path / "images", "1.png", 1)
    details = _write_details(tmp_path / "details.csv", replace(_row("1.png"), quality=Quality()))
    list(import_batch(sqlite_store, details, tmp_path / "images", "ann"))
    assert sqlite_store.state(1).measurement.quality == Quality()
