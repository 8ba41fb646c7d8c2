"""The reported circumference as a DICOM OB-GYN ultrasound procedure report (TID 5000), as obstetric systems read it.

References: DICOM PS3.16, TID 5000, 5002, 5005, 5008, 300, 320, 1001, 1008, 1204.
"""

from __future__ import annotations

from collections.abc import Sequence

import highdicom as hd
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from hc18.dicom import SourceReference
from hc18.obstetrics.growth_standards import Standard
from hc18.reports.case import Report
from hc18.reports.dicom_document import (
    NO_UNIT,
    PERCENT,
    UNNAMED_ORGANIZATION,
    Reported,
    comment_texts,
    fetus_context,
    observation_context,
    standard_code,
    to_document,
    to_region,
    to_reported,
)

_SERIES_NUMBER = 9019
_CONTAINS = hd.sr.RelationshipTypeValues.CONTAINS
_INFERRED_FROM = hd.sr.RelationshipTypeValues.INFERRED_FROM
_SELECTED_FROM = hd.sr.RelationshipTypeValues.SELECTED_FROM


def to_obgyn_report(case: Report, organization: str = UNNAMED_ORGANIZATION) -> hd.sr.ComprehensiveSR:
    """The OB-GYN report of a case; complete, final and verified only when signed.

    Args:
        case: that it reports.
        organization: of the person who signed.

    Raises:
        MeasurementError: when there is no DICOM image or no value.
    """
    reported = to_reported(case)
    root = hd.sr.ContainerContentItem(codes.DCM.OBGYNUltrasoundProcedureReport, template_id="5000")
    root.ContentSequence = _sequence(
        [
            *hd.sr.LanguageOfContentItemAndDescendants(hd.sr.CodedConcept("en", "RFC5646", "English")),
            *observation_context(case, is_of_fetus=False),
            _container(codes.DCM.ImageLibrary, [_image(reported.source, _CONTAINS)]),
            _container(codes.DCM.Summary, [_comment(text) for text in comment_texts(case)], "5002"),
            _container(
                codes.DCM.FetalBiometry,
                [*fetus_context(case), _container(codes.DCM.BiometryGroup, _biometry(case, reported), "5008")],
                "5005",
            ),
        ]
    )
    return to_document(case, root, "OB-GYN series", _SERIES_NUMBER, organization)


def _biometry(case: Report, reported: Reported) -> list[hd.sr.ContentItem]:
    """Circumference with its ellipse, ages by their equations, rank among fetuses of that age."""
    circumference = _number(codes.LN.HeadCircumference, round(reported.hc_mm, 2), codes.UCUM.Millimeter)
    graphic_type, points = to_region(case, reported.ellipse_px)
    region = hd.sr.ScoordContentItem(
        codes.DCM.SourceOfMeasurement, graphic_type, points, relationship_type=_INFERRED_FROM
    )
    region.ContentSequence = _sequence([_image(reported.source, _SELECTED_FROM)])
    circumference.ContentSequence = _sequence([region])
    items: list[hd.sr.ContentItem] = [circumference]
    items += [
        _by_equation(codes.LN.GestationalAge, round(age.days, 1), codes.UCUM.Day, age.standard)
        for age in case.ages
        if age.days is not None
    ]
    growth = case.growth
    if growth.z_score is not None and growth.percentile is not None:
        items += [
            _by_equation(codes.DCM.GrowthZScore, round(growth.z_score, 3), NO_UNIT, growth.standard),
            _by_equation(codes.DCM.GrowthPercentileRank, round(growth.percentile, 2), PERCENT, growth.standard),
        ]
    return items


def _by_equation(name: Code, value: float, unit: Code, standard: Standard) -> hd.sr.NumContentItem:
    """A number that follows from the circumference by a published equation."""
    number = _number(name, value, unit)
    equation = hd.sr.CodeContentItem(codes.DCM.Equation, standard_code(standard), _INFERRED_FROM)
    number.ContentSequence = _sequence([equation])
    return number


def _number(name: Code, value: float, unit: Code) -> hd.sr.NumContentItem:
    return hd.sr.NumContentItem(name, value, unit, relationship_type=_CONTAINS)


def _image(source: SourceReference, relationship: hd.sr.RelationshipTypeValues) -> hd.sr.ImageContentItem:
    frames = None if source.frame_number is None else [source.frame_number]
    return hd.sr.ImageContentItem(
        codes.DCM.SourceOfMeasurement, source.sop_class_uid, source.sop_instance_uid, frames,
        relationship_type=relationship,
    )  # fmt: skip


def _comment(text: str) -> hd.sr.TextContentItem:
    return hd.sr.TextContentItem(codes.DCM.Comment, text, _CONTAINS)


def _container(name: Code, items: Sequence[hd.sr.ContentItem], template_id: str = "") -> hd.sr.ContainerContentItem:
    container = hd.sr.ContainerContentItem(name, template_id=template_id or None, relationship_type=_CONTAINS)
    container.ContentSequence = _sequence(items)
    return container


def _sequence(items: Sequence[hd.sr.ContentItem]) -> hd.sr.ContentSequence:
    return hd.sr.ContentSequence(items)
