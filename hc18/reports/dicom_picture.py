"""The image of a case with its ellipse drawn on it, as a DICOM secondary capture for any viewer.

References: DICOM PS3.3, A.8.1 (secondary capture), C.7.6.1.1, C.7.6.16.2.8, C.8.6.1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from fetal_hc import DISCLAIMER
from fetal_hc.io.drawing import PREDICTION_RGB, draw_label, draw_outline
from hc18.dicom import pixel_sha256
from hc18.geometry.ellipse import Ellipse
from hc18.reports.case import STATUS_TEXTS, Report
from hc18.reports.dicom_document import MANUFACTURER, Reported, set_times, to_evidence, to_reported, uid_of

_SERIES_NUMBER = 9020
_OUTLINE_POINTS = 360
_LETTERS_RGB = (255, 255, 255)


def to_picture(case: Report) -> Dataset:
    """The secondary capture of a case.

    Raises:
        MeasurementError: when there is no DICOM image or no value.
    """
    reported = to_reported(case)
    source, image_rgb = reported.source, draw_result(case, reported.ellipse_px, reported.hc_mm)
    dataset = to_evidence(source, case.identifiers)
    dataset.ReferringPhysicianName = ""
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = uid_of(
        "picture",
        source.sop_instance_uid,
        str(source.frame_number),
        pixel_sha256(image_rgb),
        reported.moment.isoformat(),
    )
    dataset.SeriesInstanceUID = uid_of("picture series", source.sop_instance_uid)
    dataset.SeriesNumber, dataset.InstanceNumber = _SERIES_NUMBER, 1
    dataset.SeriesDescription = "Head circumference, research use only"
    dataset.Modality, dataset.ConversionType = "US", "WSD"
    dataset.Manufacturer, dataset.SoftwareVersions = MANUFACTURER, case.model_version[:64]
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    dataset.DerivationDescription = "Visible part of the image with the ellipse of the head drawn on it"
    dataset.SourceImageSequence = Sequence([_source_item(reported)])
    dataset.BurnedInAnnotation, dataset.PatientOrientation, dataset.Laterality = "NO", "", ""
    set_times(dataset, reported.moment, case.identifiers)
    _set_pixels(dataset, image_rgb, case.calibration.pixel_size_xy_mm)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


def draw_result(case: Report, ellipse_px: Ellipse, hc_mm: float) -> NDArray[np.uint8]:
    """A copy of the image with the ellipse, the circumference, the status and the disclaimer; uint8 (H, W, 3)."""
    height = case.image_rgb.shape[0]
    thickness, letters = max(1, round(height / 270)), max(6, round(height / 40))
    outline = ellipse_px.outline(_OUTLINE_POINTS)
    drawn = draw_outline(case.image_rgb, outline, PREDICTION_RGB, thickness_px=thickness)
    head = [f"HC {hc_mm:.1f} mm", STATUS_TEXTS[case.status]]
    foot = [f"{sentence}." for sentence in DISCLAIMER.rstrip(".").split(". ")]
    step = 2 * letters + 2
    lines = {row * step: line for row, line in enumerate(head)}
    lines |= {height - (len(foot) - row) * step - letters // 2: line for row, line in enumerate(foot)}
    for top, line in lines.items():
        color = PREDICTION_RGB if line is head[0] else _LETTERS_RGB
        drawn = draw_label(drawn, line, color, position_xy=(letters // 2, letters // 2 + top), height_px=letters)
    return drawn


def _source_item(reported: Reported) -> Dataset:
    """Which image, and which frame of it, the picture was made of."""
    item, source = Dataset(), reported.source
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = source.sop_class_uid, source.sop_instance_uid
    if source.frame_number is not None:
        item.ReferencedFrameNumber = source.frame_number
    item.PurposeOfReferenceCodeSequence = Sequence([_code_item(codes.DCM.SourceImageForImageProcessingOperation)])
    return item


def _code_item(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme_designator, code.meaning
    return item


def _set_pixels(dataset: Dataset, image_rgb: NDArray[np.uint8], pixel_size_xy_mm: tuple[float, float] | None) -> None:
    height, width = image_rgb.shape[:2]
    dataset.Rows, dataset.Columns = height, width
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "RGB", 0
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    if pixel_size_xy_mm is not None:
        across, down = pixel_size_xy_mm
        dataset.PixelSpacing = [f"{down:.8g}", f"{across:.8g}"]
    content = np.ascontiguousarray(image_rgb).tobytes()
    dataset.PixelData = content + b"\0" * (len(content) % 2)
    dataset["PixelData"].VR = "OB"
