"""Ultrasound images in DICOM files: pixels, calibrated regions and what may be shown."""
