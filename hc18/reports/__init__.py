"""Reports of a reviewed measurement: PDF, FHIR, DICOM SR; needs the extra app."""
