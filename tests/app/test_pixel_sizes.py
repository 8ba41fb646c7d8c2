"""Which pixel size a case has: table first or later, typed, in the DICOM file, and two that differ."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from hc18.geometry.pixel_size import CalibrationSource, from_table
from hc18.measurement.measurement import apply_pixel_size
from hc18.reviews.adapters import to_outline_px
from hc18.reviews.models import CaseState
from hc18.reviews.store import ReviewStore
from tests.app.conftest import Phantoms
from tests.app.test_screens import metric, page, texts
from tests.synthetic_dicom import region, written

PNG, CSV, DICOM = "image/png", "text/csv", "application/dicom"
SECONDS = {"PhysicalUnitsXDirection": 4, "PhysicalUnitsYDirection": 4}
DISAGREE = "pixel_sizes_disagree"
Upload = tuple[str, bytes, str]


@pytest.fixture
def image(phantoms: Phantoms) -> Upload:
    """A phantom as PNG."""
    path = phantoms.images[0]
    return path.name, path.read_bytes(), PNG


def table(name: str, pixel_size_mm: float) -> Upload:
    """A table with one row."""
    return "sizes.csv", f"filename,pixel size(mm)\n{name},{pixel_size_mm!r}\n".encode(), CSV


def dicom(path: Path, delta_cm: float | None) -> Upload:
    """The picture as DICOM whose region covers it, in centimetres; None: in seconds."""
    grey = np.asarray(Image.open(path).convert("L"))
    box = (0, 0, grey.shape[1] - 1, grey.shape[0] - 1)
    changes = {} if delta_cm is not None else SECONDS
    delta = delta_cm or 0.01
    return "a.dcm", written(grey, [region(box, (delta, delta), **changes)], BurnedInAnnotation="NO"), DICOM


def upload(test: AppTest, *files: Upload) -> AppTest:
    """Uploads files one after the other, as a person would."""
    for file in files:
        test.file_uploader[0].set_value([file]).run()
    return test


def press(test: AppTest, label: str) -> None:
    """Presses the first button whose label starts so."""
    next(button for button in test.button if button.label.startswith(label)).click().run()


def labels(test: AppTest) -> list[str]:
    return [button.label for button in test.button]


def check_values(state: CaseState, size_mm: float) -> None:
    """The case has what a measurement with this size from the start would have."""
    measurement = state.measurement
    expected = apply_pixel_size(to_outline_px(measurement), from_table(size_mm), measurement.interval_model)
    assert state.interval is not None
    assert (state.interval, state.flags) == (expected.interval, tuple(flag.value for flag in expected.flags))
    assert state.model_outline.hc_mm == expected.hc_mm


def test_table_first(store: ReviewStore, image: Upload) -> None:
    upload(page("measure").run(), table(image[0], 0.15), image)
    assert store.state(1).calibration.source is CalibrationSource.CSV
    check_values(store.state(1), 0.15)


def test_table_later_gives_what_a_table_first_gives(store: ReviewStore, image: Upload) -> None:
    test = upload(page("measure").run(), image, table(image[0], 0.15))
    assert store.state(1).calibration.source is CalibrationSource.NONE
    assert metric(test, "Head circumference").endswith("px")
    press(test, "Use ")
    assert store.state(1).calibration.source is CalibrationSource.CSV
    check_values(store.state(1), 0.15)


def test_size_typed_later_gives_what_a_table_first_gives(store: ReviewStore, image: Upload) -> None:
    test = upload(page("measure").run(), image)
    test.number_input(key="size-1").set_value(0.15).run()
    test.button(key="size-1-use").click().run()
    check_values(store.state(1), 0.15)


def test_size_typed_for_files_without_one_contradicts_no_other(store: ReviewStore, phantoms: Phantoms) -> None:
    test = page("measure").run()
    test.number_input(key="typed_pixel_size_mm").set_value(0.3).run()
    upload(test, dicom(phantoms.images[0], 0.02))
    state = store.state(1)
    assert state.calibration.source is CalibrationSource.DICOM_REGION
    assert DISAGREE not in state.flags


def test_region_counts_before_the_table_and_the_table_can_be_chosen(store: ReviewStore, phantoms: Phantoms) -> None:
    test = upload(page("measure").run(), table("a.dcm", 0.25), dicom(phantoms.images[0], 0.02))
    state = store.state(1)
    assert (state.calibration.source, state.calibration.pixel_size_xy_mm) == (
        CalibrationSource.DICOM_REGION,
        (0.2, 0.2),
    )
    assert DISAGREE in state.flags
    assert "gives 0.25 mm per pixel, which was not used" in texts(test)
    press(test, "Use 0.25 mm per pixel (table)")
    state = store.state(1)
    assert (state.calibration.source, state.calibration.pixel_size_xy_mm) == (CalibrationSource.CSV, (0.25, 0.25))
    assert "gives 0.2 mm per pixel, which was not used" in texts(test)


def test_known_image_with_another_table_asks_which_size_counts(store: ReviewStore, image: Upload) -> None:
    upload(page("measure").run(), table(image[0], 0.2), image)
    test = upload(page("measure").run(), table(image[0], 0.3), image)
    assert store.state(1).calibration.pixel_size_xy_mm == (0.2, 0.2)
    assert "another pixel size" in texts(test)
    press(test, "Keep 0.2 mm")
    assert not any(label.startswith("Use 0.3") for label in labels(test))
    test = upload(page("measure").run(), table(image[0], 0.3), image)
    press(test, "Use 0.3 mm")
    assert store.state(1).calibration.pixel_size_xy_mm == (0.3, 0.3)


def test_recalibrated_dicom_asks_which_size_counts(store: ReviewStore, phantoms: Phantoms) -> None:
    upload(page("measure").run(), dicom(phantoms.images[0], 0.02))
    test = upload(page("measure").run(), dicom(phantoms.images[0], 0.03))
    press(test, "Use 0.3 mm")
    assert store.state(1).calibration.pixel_size_xy_mm == (0.3, 0.3)


def test_dicom_in_seconds_does_not_pass_for_calibrated_by_an_earlier_file(
    store: ReviewStore, phantoms: Phantoms
) -> None:
    upload(page("measure").run(), dicom(phantoms.images[0], 0.02))
    test = upload(page("measure").run(), dicom(phantoms.images[0], None))
    assert "The one in force comes from another file" in texts(test)
    assert "is not measured in centimetres along both axes" in texts(test)
    press(test, "Use no pixel size")
    state = store.state(1)
    assert (state.calibration.source, state.model_outline.hc_mm, state.interval) == (CalibrationSource.NONE, None, None)


def test_typed_size_that_contradicts_the_file_is_flagged(store: ReviewStore, phantoms: Phantoms) -> None:
    test = upload(page("measure").run(), dicom(phantoms.images[0], 0.02))
    test.segmented_control(key="section-1").set_value("Pixel size").run()
    test.number_input(key="size-1").set_value(0.3).run()
    test.button(key="size-1-use").click().run()
    state = store.state(1)
    assert (state.calibration.source, DISAGREE in state.flags) == (CalibrationSource.USER, True)
    assert "The ultrasound region of the DICOM file gives 0.2 mm per pixel" in texts(test)
