"""OB-GYN reports and pictures are written, read back with pydicom, and checked by other programs."""

import io
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from fetal_hc import DISCLAIMER
from fetal_hc.errors import MeasurementError
from fetal_hc.io.drawing import PREDICTION_RGB
from hc18.dicom import SourceReference
from hc18.dicom.identifiers import Identifiers
from hc18.reports.dicom_document import ellipse_points, to_dicom_bytes
from hc18.reports.dicom_obgyn import to_obgyn_report
from hc18.reports.dicom_picture import to_picture
from hc18.reports.dicom_sr import to_structured_report
from tests.hc18.reports import reported

SOURCE = SourceReference("1.2.840.10008.5.1.4.1.1.3.1", "1.2.3.4", "1.2.3", "1.2.3.9", 7)
PATIENT = Identifiers(
    patient_name="Müller^Änne", patient_id="PID-1", birth_date="19870605", sex="F", accession_number="ACC-1",
    study_id="S1", study_date="20210203", study_time="101112", utc_offset="+0100",
)  # fmt: skip
ALL = (to_obgyn_report, to_structured_report, to_picture)


def read(dataset: Dataset) -> Dataset:
    return pydicom.dcmread(io.BytesIO(to_dicom_bytes(dataset)))


def find(parent: Dataset, code: object) -> list[Dataset]:
    """All items of a tree with a concept name."""
    found = []
    for item in parent.get("ContentSequence", ()):
        if hd.sr.CodedConcept.from_dataset(item.ConceptNameCodeSequence[0]) == code:
            found.append(item)
        found += find(item, code)
    return found


def number(item: Dataset) -> tuple[float, str]:
    value = item.MeasuredValueSequence[0]
    return float(value.NumericValue), value.MeasurementUnitsCodeSequence[0].CodeValue


def test_circumference_is_in_the_biometry_group_with_its_ellipse_and_frame() -> None:
    report = read(to_obgyn_report(reported.corrected(dicom_source=SOURCE)))
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "5000"
    [section] = find(report, codes.DCM.FetalBiometry)
    [group] = find(section, codes.DCM.BiometryGroup)
    [circumference] = find(group, codes.LN.HeadCircumference)
    assert number(circumference) == (pytest.approx(reported.hc_mm(reported.FINAL_ELLIPSE_PX), abs=0.005), "mm")
    [region] = circumference.ContentSequence
    assert (region.ValueType, region.GraphicType) == ("SCOORD", "ELLIPSE")
    points = ellipse_points(reported.FINAL_ELLIPSE_PX).ravel()
    assert np.asarray(region.GraphicData) == pytest.approx(points, abs=1e-4)
    [image] = region.ContentSequence[0].ReferencedSOPSequence
    assert (image.ReferencedSOPInstanceUID, image.ReferencedFrameNumber) == (SOURCE.sop_instance_uid, 7)


def test_ages_and_ranks_name_their_equations() -> None:
    report = read(to_obgyn_report(reported.accepted(dicom_source=SOURCE)))
    by_structured = hd.sr.srread(
        io.BytesIO(to_dicom_bytes(to_structured_report(reported.accepted(dicom_source=SOURCE))))
    )
    [group] = by_structured.content.get_planar_roi_measurement_groups()
    for code in (codes.LN.GestationalAge, codes.DCM.GrowthZScore, codes.DCM.GrowthPercentileRank):
        found = find(report, code)
        same = group.get_measurements(code)
        assert [number(item)[0] for item in found] == [item.value for item in same]
        assert [item.ContentSequence[0].ConceptCodeSequence[0].CodeMeaning for item in found] == [
            item.method.meaning for item in same
        ]
        assert found


def test_comments_say_that_it_is_for_research() -> None:
    report = read(to_obgyn_report(reported.accepted(dicom_source=SOURCE)))
    [summary] = find(report, codes.DCM.Summary)
    assert summary.ContentSequence[0].TextValue == DISCLAIMER


@pytest.mark.parametrize("make", [to_obgyn_report, to_structured_report])
def test_signed_report_is_verified_by_its_signer_at_the_time_of_the_signature(make: Any) -> None:
    case = reported.accepted(dicom_source=SOURCE, signed_by="Dr B")
    report = read(make(case, "Clinic"))
    assert (report.CompletionFlag, report.VerificationFlag, report.PreliminaryFlag) == ("COMPLETE", "VERIFIED", "FINAL")
    [observer] = report.VerifyingObserverSequence
    assert (observer.VerifyingObserverName, observer.VerifyingOrganization) == ("Dr B^", "Clinic")
    assert case.signed_at_utc is not None
    assert observer.VerificationDateTime == f"{case.signed_at_utc:%Y%m%d%H%M%S}"
    assert report.TimezoneOffsetFromUTC == "+0000"


def test_report_that_is_not_signed_is_not_verified() -> None:
    report = read(to_obgyn_report(reported.unreviewed(dicom_source=SOURCE)))
    assert (report.CompletionFlag, report.VerificationFlag) == ("PARTIAL", "UNVERIFIED")


@pytest.mark.parametrize("make", ALL)
def test_same_case_gives_the_same_bytes_and_another_value_another_uid(make: Any) -> None:
    case, other = reported.accepted(dicom_source=SOURCE), reported.corrected(dicom_source=SOURCE)
    first, again, changed = (to_dicom_bytes(make(each)) for each in (case, case, other))
    assert first == again
    uids = {pydicom.dcmread(io.BytesIO(each)).SOPInstanceUID for each in (first, changed)}
    assert len(uids) == 2


@pytest.mark.parametrize("make", ALL)
def test_patient_is_empty_unless_the_site_keeps_it_and_study_is_that_of_the_image(make: Any) -> None:
    without = read(make(reported.accepted(dicom_source=SOURCE)))
    known = read(make(reported.accepted(dicom_source=SOURCE, identifiers=PATIENT)))
    assert (without.PatientID, without.PatientName, without.AccessionNumber) == ("", "", "")
    assert (known.PatientID, known.PatientName, known.AccessionNumber) == ("PID-1", "Müller^Änne", "ACC-1")
    assert (known.StudyDate, known.StudyTime, known.TimezoneOffsetFromUTC) == ("20210203", "101112", "+0100")
    assert {each.StudyInstanceUID for each in (without, known)} == {SOURCE.study_instance_uid}


def test_time_of_a_report_is_in_the_zone_of_the_study() -> None:
    signed_at = datetime(2024, 3, 1, 23, 30, 0, tzinfo=UTC)
    case = reported.accepted(dicom_source=SOURCE, identifiers=PATIENT, signed_at_utc=signed_at)
    report = read(to_obgyn_report(case))
    assert (report.ContentDate, report.ContentTime) == ("20240302", "003000")


def test_picture_shows_the_ellipse_on_the_image() -> None:
    case = reported.accepted(dicom_source=SOURCE)
    picture = read(to_picture(case))
    shown = picture.pixel_array
    assert shown.shape == case.image_rgb.shape
    assert case.ellipse_px is not None
    x, y = np.rint(case.ellipse_px.outline(8)).astype(int).T
    distance = np.abs(shown[y, x].astype(int) - PREDICTION_RGB).max(axis=1)
    assert (distance < 60).mean() >= 0.75
    assert np.array_equal(shown[110:126, 150:170], case.image_rgb[110:126, 150:170])
    assert (picture.BurnedInAnnotation, picture.ImageType[0]) == ("NO", "DERIVED")
    [source] = picture.SourceImageSequence
    assert (source.ReferencedSOPInstanceUID, source.ReferencedFrameNumber) == (SOURCE.sop_instance_uid, 7)
    assert case.calibration.pixel_size_xy_mm is not None
    assert [float(value) for value in reversed(picture.PixelSpacing)] == pytest.approx(
        case.calibration.pixel_size_xy_mm
    )


def test_case_without_a_value_has_no_report() -> None:
    for make in ALL:
        with pytest.raises(MeasurementError, match="needs a head circumference"):
            make(reported.rejected(dicom_source=SOURCE))


@pytest.mark.parametrize("make", [to_obgyn_report, to_structured_report])
@pytest.mark.parametrize("identifiers", [None, PATIENT])
@pytest.mark.parametrize("checker", [("dsrdump",), ("dciodvfy", "-new")], ids=["dcmtk", "dicom3tools"])
def test_other_programs_find_no_error_in_a_signed_report(
    make: Any, identifiers: Identifiers | None, checker: tuple[str, ...], tmp_path: Path
) -> None:
    check(make(reported.accepted(dicom_source=SOURCE, identifiers=identifiers)), checker, tmp_path)


@pytest.mark.parametrize("checker", [("dcmdump", "-q"), ("dciodvfy", "-new")], ids=["dcmtk", "dicom3tools"])
@pytest.mark.parametrize("identifiers", [None, PATIENT])
def test_other_programs_find_no_error_in_a_picture(
    identifiers: Identifiers | None, checker: tuple[str, ...], tmp_path: Path
) -> None:
    check(to_picture(reported.accepted(dicom_source=SOURCE, identifiers=identifiers)), checker, tmp_path)


def check(dataset: Dataset, checker: tuple[str, ...], folder: Path) -> None:
    if shutil.which(checker[0]) is None:
        pytest.skip(f"{checker[0]} is not installed (Debian's packages dcmtk and dicom3tools)")
    file = folder / "object.dcm"
    file.write_bytes(to_dicom_bytes(dataset))
    checked = subprocess.run([*checker, str(file)], capture_output=True, text=True, errors="replace", check=False)
    lines = (checked.stdout + checked.stderr).splitlines()
    assert lines
    assert [line for line in lines if line.startswith(("Error", "E:", "F:"))] == []
    assert checked.returncode == 0
