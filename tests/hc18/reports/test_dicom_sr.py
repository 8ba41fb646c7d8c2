"""Reports are written, read back with highdicom and pydicom, and compared with the case they came from."""

import io
import shutil
import subprocess
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from fetal_hc import DISCLAIMER
from fetal_hc.errors import MeasurementError
from hc18.dicom import SourceReference, pixel_sha256, read_dicom, source_reference
from hc18.geometry.ellipse import Ellipse
from hc18.geometry.outline_fit import fit_outline_points
from hc18.obstetrics.gestational_age import hadlock_1984
from hc18.obstetrics.growth import intergrowth_hc
from hc18.reports.case import Report
from hc18.reports.dicom_document import ellipse_points, no_report_reason, to_dicom_bytes
from hc18.reports.dicom_sr import to_structured_report
from tests.hc18.reports import reported
from tests.synthetic_dicom import dicom_file

SOURCE = SourceReference("1.2.840.10008.5.1.4.1.1.3.1", "1.2.3.4", "1.2.3", "1.2.3.9", 7)


def read(case: Report) -> hd.sr.ComprehensiveSR:
    """The report of a case after writing and reading."""
    report = hd.sr.srread(io.BytesIO(to_dicom_bytes(to_structured_report(case))))
    assert isinstance(report, hd.sr.ComprehensiveSR)
    return report


def read_group(case: Report) -> Any:
    (group,) = read(case).content.get_planar_roi_measurement_groups()
    return group


def points_of(case: Report) -> NDArray[np.float64]:
    return np.asarray(read_group(case).roi.value, dtype=np.float64)


def comments(report: Dataset) -> str:
    items = [
        item for item in report.ContentSequence if item.ValueType == "TEXT" and item.RelationshipType == "CONTAINS"
    ]
    return "\n".join(item.TextValue for item in items)


def test_circumference_is_in_millimetres() -> None:
    (measured,) = read_group(reported.corrected(dicom_source=SOURCE)).get_measurements(codes.LN.HeadCircumference)
    assert measured.value == pytest.approx(reported.hc_mm(reported.FINAL_ELLIPSE_PX), abs=0.005)
    assert measured.unit == codes.UCUM.Millimeter


def test_ages_are_in_days_with_their_methods() -> None:
    ages = read_group(reported.accepted(dicom_source=SOURCE)).get_measurements(codes.LN.GestationalAge)
    assert [age.unit for age in ages] == [codes.UCUM.Day] * 2
    assert ages[0].value == pytest.approx(hadlock_1984(reported.hc_mm(reported.MODEL_ELLIPSE_PX)).days, abs=0.051)
    assert (ages[0].method.value, ages[0].method.scheme_designator) == ("11932-1", "LN")
    assert ages[1].method.meaning == "INTERGROWTH-21st dating 2016"


def test_percentile_and_z_score_name_their_standard() -> None:
    group = read_group(reported.accepted(dicom_source=SOURCE))
    growth = intergrowth_hc(reported.hc_mm(reported.MODEL_ELLIPSE_PX), 138)
    (z_score,) = group.get_measurements(codes.DCM.GrowthZScore)
    (percentile,) = group.get_measurements(codes.DCM.GrowthPercentileRank)
    assert (z_score.value, percentile.value) == pytest.approx((growth.z_score, growth.percentile), abs=0.006)
    assert z_score.method.meaning == percentile.method.meaning == "INTERGROWTH-21st fetal HC 2014"


def test_no_percentile_without_an_independent_age() -> None:
    group = read_group(reported.unreviewed(dicom_source=SOURCE))
    assert group.get_measurements(codes.DCM.GrowthPercentileRank) == []


def test_ellipse_is_read_back_in_corner_convention() -> None:
    points = points_of(reported.accepted(dicom_source=SOURCE))
    assert points == pytest.approx(ellipse_points(reported.MODEL_ELLIPSE_PX), abs=1e-4)
    major, minor = (np.linalg.norm(points[index] - points[index + 1]) for index in (0, 2))
    assert (major, minor) == pytest.approx(
        (2 * reported.MODEL_ELLIPSE_PX.semi_axis_a, 2 * reported.MODEL_ELLIPSE_PX.semi_axis_b), abs=1e-3
    )
    assert points.mean(axis=0) == pytest.approx(
        (reported.MODEL_ELLIPSE_PX.center_x + 0.5, reported.MODEL_ELLIPSE_PX.center_y + 0.5)
    )


def test_axis_ends_lie_on_the_ellipse() -> None:
    ends = ellipse_points(reported.MODEL_ELLIPSE_PX) - 0.5
    assert reported.MODEL_ELLIPSE_PX.contains((ends - [160.0, 118.0]) * 0.9999 + [160.0, 118.0]).all()
    assert not reported.MODEL_ELLIPSE_PX.contains((ends - [160.0, 118.0]) * 1.0001 + [160.0, 118.0]).any()


def test_region_of_a_head_that_leaves_the_image_stays_inside_it() -> None:
    ellipse = Ellipse(40.0, 118.0, 150.0, 112.0, 0.0)
    case = reported.accepted(dicom_source=SOURCE, model_ellipse_px=ellipse, model_hc_mm=reported.hc_mm(ellipse))
    points = points_of(case)
    assert read_group(case).roi.graphic_type is hd.sr.GraphicTypeValues.POLYLINE
    assert (points >= 0.0).all()
    assert (points <= (320.0, 240.0)).all()
    visible = points[points[:, 0] > 5.0] - 0.5
    fitted = fit_outline_points(visible).ellipse
    assert fitted is not None
    assert fitted.circumference() == pytest.approx(ellipse.circumference(), rel=1e-3)
    assert "leaves the image" in comments(read(case))


def test_region_refers_to_the_image_and_frame() -> None:
    image = read_group(reported.accepted(dicom_source=SOURCE)).roi.ContentSequence[0].ReferencedSOPSequence[0]
    assert (image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID) == (
        SOURCE.sop_class_uid,
        SOURCE.sop_instance_uid,
    )
    assert image.ReferencedFrameNumber == 7
    evidence = read(reported.accepted(dicom_source=SOURCE)).CurrentRequestedProcedureEvidenceSequence[0]
    assert evidence.StudyInstanceUID == SOURCE.study_instance_uid


@pytest.mark.parametrize(("is_signed", "flags"), [(False, ("PARTIAL", "PRELIMINARY")), (True, ("COMPLETE", "FINAL"))])
def test_report_is_complete_only_when_signed(is_signed: bool, flags: tuple[str, str]) -> None:
    report = read(reported.accepted(dicom_source=SOURCE, is_signed=is_signed))
    assert (report.CompletionFlag, report.PreliminaryFlag) == flags
    assert report.VerificationFlag == ("VERIFIED" if is_signed else "UNVERIFIED")


def test_subject_is_a_fetus_and_nobody_is_named() -> None:
    report = read(reported.accepted(dicom_source=SOURCE, subject_reference="study-007"))
    texts = {item.ConceptNameCodeSequence[0].CodeMeaning: item for item in report.ContentSequence}
    assert texts["Subject Class"].ConceptCodeSequence[0].CodeValue == "121026"
    assert texts["Subject ID"].TextValue == "study-007"
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "AccessionNumber", "StudyDate"):
        assert str(report.get(keyword)) == ""


def test_model_reviewer_reason_and_research_use_are_in_the_report() -> None:
    report = read(reported.corrected(dicom_source=SOURCE, reviewer="Zoë^Ελένη=北京"))
    text = str(report)
    assert "Zoë Ελένη 北京" in text
    assert DISCLAIMER in comments(report)
    assert "The outline ran inside the skull on the left." in comments(report)
    assert any(getattr(item, "TextValue", "") == reported.MODEL_SHA256 for item in report.ContentSequence)


def test_same_report_gives_the_same_bytes_and_another_signature_another_uid() -> None:
    first, second = (to_dicom_bytes(to_structured_report(reported.accepted(dicom_source=SOURCE))) for _ in range(2))
    assert first == second
    unsigned = read(reported.accepted(dicom_source=SOURCE, is_signed=False))
    assert unsigned.SOPInstanceUID != pydicom.dcmread(io.BytesIO(first)).SOPInstanceUID


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (reported.accepted(), "comes from another kind of file"),
        (reported.uncalibrated(dicom_source=SOURCE), "The file carries no pixel size."),
        (reported.rejected(dicom_source=SOURCE), "rejected"),
        (reported.unreviewed(dicom_source=SOURCE, model_ellipse_px=None, model_hc_mm=None), "No head was found"),
    ],
)
def test_no_report_without_dicom_image_or_value(case: Report, expected: str) -> None:
    assert expected in no_report_reason(case)
    with pytest.raises(MeasurementError, match=expected):
        to_structured_report(case)


def test_report_is_available_for_a_measured_dicom_image() -> None:
    assert no_report_reason(reported.unreviewed(dicom_source=SOURCE)) == ""


def test_report_of_a_real_ultrasound_file() -> None:
    path = dicom_file("OBXXXX1A.dcm")
    image, source = read_dicom(path), source_reference(path)
    ellipse = Ellipse(430.0, 280.0, 150.0, 118.0, 2.8)
    calibration = image.calibrate(ellipse)
    assert calibration.pixel_size_xy_mm is not None
    shown_rgb = image.visible_rgb()
    case = reported.accepted(
        image_rgb=shown_rgb,
        image_sha256=pixel_sha256(shown_rgb),
        calibration=calibration,
        model_ellipse_px=ellipse,
        model_hc_mm=ellipse.to_mm(*calibration.pixel_size_xy_mm).circumference(),
        dicom_source=source,
    )
    original = pydicom.dcmread(path)
    report = read(case)
    assert report.StudyInstanceUID == original.StudyInstanceUID
    assert str(original.PatientName) not in str(report)
    (measured,) = read_group(case).get_measurements(codes.LN.HeadCircumference)
    assert measured.value == pytest.approx(ellipse.circumference() * 0.2622878766, abs=0.01)
    referenced = read_group(case).roi.ContentSequence[0].ReferencedSOPSequence[0]
    assert referenced.ReferencedSOPInstanceUID == original.SOPInstanceUID
    assert "DICOM" in comments(report)


@pytest.mark.parametrize("make", [reported.accepted, reported.corrected, reported.unreviewed])
@pytest.mark.parametrize("checker", [("dsrdump",), ("dciodvfy", "-new")], ids=["dcmtk", "dicom3tools"])
def test_other_programs_find_no_error_in_a_report(make: Any, checker: tuple[str, ...], tmp_path: Path) -> None:
    if shutil.which(checker[0]) is None:
        pytest.skip(f"{checker[0]} is not installed (Debian's packages dcmtk and dicom3tools)")
    file = tmp_path / "report.dcm"
    file.write_bytes(to_dicom_bytes(to_structured_report(make(dicom_source=SOURCE))))
    checked = subprocess.run([*checker, str(file)], capture_output=True, text=True, errors="replace", check=False)
    lines = (checked.stdout + checked.stderr).splitlines()
    assert lines
    assert [line for line in lines if line.startswith(("Error", "E:", "F:"))] == []
    assert checked.returncode == 0
