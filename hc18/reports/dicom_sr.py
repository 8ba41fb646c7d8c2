"""The reported circumference as a DICOM structured report (TID 1500) for the archive that stores the image.

References: DICOM PS3.16, TID 1500, 1411, 300, 1008; PS3.3, Table C.18.6-1 (spatial coordinates).
"""

from __future__ import annotations

import highdicom as hd
from pydicom.sr.codedict import codes

from hc18.reports.case import Report
from hc18.reports.dicom_document import (
    NO_UNIT,
    PERCENT,
    UNNAMED_ORGANIZATION,
    Reported,
    comment_texts,
    observation_context,
    standard_code,
    to_document,
    to_region,
    to_reported,
    uid_of,
)

_SERIES_NUMBER = 9018


def to_structured_report(case: Report, organization: str = UNNAMED_ORGANIZATION) -> hd.sr.ComprehensiveSR:
    """The structured report of a case; complete, final and verified only when signed.

    Args:
        case: that it reports.
        organization: of the person who signed.

    Raises:
        MeasurementError: with `no_report_reason`, when there is no DICOM image or no value.
    """
    content = hd.sr.MeasurementReport(
        observation_context=observation_context(case),
        procedure_reported=codes.SCT.ObstetricUSScan,
        imaging_measurements=[_measurement_group(case, to_reported(case))],
        title=codes.DCM.ImagingMeasurementReport,
    )
    contains = hd.sr.RelationshipTypeValues.CONTAINS
    comments = [hd.sr.TextContentItem(codes.DCM.Comment, text, contains) for text in comment_texts(case)]
    content[0].ContentSequence.extend(comments)
    return to_document(case, content[0], "series", _SERIES_NUMBER, organization)


def _measurement_group(case: Report, reported: Reported) -> hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations:
    """The ellipse with circumference, ages, z-score and percentile."""
    measurements = [hd.sr.Measurement(codes.LN.HeadCircumference, round(reported.hc_mm, 2), codes.UCUM.Millimeter)]
    measurements += [
        hd.sr.Measurement(
            codes.LN.GestationalAge, round(age.days, 1), codes.UCUM.Day, method=standard_code(age.standard)
        )
        for age in case.ages
        if age.days is not None
    ]
    source, growth = reported.source, case.growth
    if growth.z_score is not None and growth.percentile is not None:
        method = standard_code(growth.standard)
        measurements += [
            hd.sr.Measurement(codes.DCM.GrowthZScore, round(growth.z_score, 3), NO_UNIT, method=method),
            hd.sr.Measurement(codes.DCM.GrowthPercentileRank, round(growth.percentile, 2), PERCENT, method=method),
        ]
    return hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(
            uid=uid_of("head", source.sop_instance_uid, str(source.frame_number)), identifier="Fetal head"
        ),
        referenced_region=_region(case, reported),
        finding_type=codes.SCT.Head,
        algorithm_id=hd.sr.AlgorithmIdentification(
            name=case.model_name, version=case.model_version, parameters=[f"SHA-256 {case.model_sha256}"]
        ),
        measurements=measurements,
    )


def _region(case: Report, reported: Reported) -> hd.sr.ImageRegion:
    graphic_type, points = to_region(case, reported.ellipse_px)
    source = reported.source
    frame_numbers = None if source.frame_number is None else [source.frame_number]
    image = hd.sr.SourceImageForRegion(source.sop_class_uid, source.sop_instance_uid, frame_numbers)
    return hd.sr.ImageRegion(graphic_type, points, image)
