"""Reports of a reviewed measurement: PDF, FHIR, DICOM SR; needs requirements-app.txt."""
