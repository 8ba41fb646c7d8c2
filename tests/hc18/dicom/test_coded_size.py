"""Sizes read from compressed pictures."""

import numpy as np
import pytest

from hc18.dicom.pixels import coded_image_hw
from tests.synthetic_dicom import encoded

IMAGE = np.zeros((37, 53), np.uint8)


@pytest.mark.parametrize(
    ("file_format", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("JPEG", {"comment": b"\xff\xc0 no frame header" * 5}),
        ("JPEG2000", {"no_jp2": True}),
        ("JPEG2000", {"no_jp2": False}),
    ],
    ids=["jpeg", "progressive", "comment", "codestream", "boxes"],
)
def test_size_of_an_encoded_image(file_format: str, options: dict[str, object]) -> None:
    assert coded_image_hw(encoded(IMAGE, file_format, **options)) == (37, 53)


@pytest.mark.parametrize("n_bytes", [0, 2, 3, 10, 30])
@pytest.mark.parametrize("file_format", ["JPEG", "JPEG2000"])
def test_cut_off_data_have_no_size(file_format: str, n_bytes: int) -> None:
    options = {"no_jp2": True} if file_format == "JPEG2000" else {}
    cut = encoded(IMAGE, file_format, **options)[: min(n_bytes, 16)]
    assert coded_image_hw(cut) is None


@pytest.mark.parametrize("data", [b"no picture", b"\xff\xd8 no marker", b"\xff\xd8\xff\xff\xff\xff"])
def test_other_data_have_no_size(data: bytes) -> None:
    assert coded_image_hw(data) is None


def test_fill_bytes_before_a_marker_are_skipped() -> None:
    data = encoded(IMAGE, "JPEG")
    assert coded_image_hw(data[:2] + b"\xff\xff" + data[2:]) == (37, 53)
