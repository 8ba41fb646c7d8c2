"""No image file takes a process beyond 1 GB, whatever it unfolds to; measured as the peak of a process of its own."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.table_speed import (
    CHECKED,
    MAX_MEGABYTES,
    MAX_SECONDS,
    MAX_SUBMISSION_MEGABYTES,
    SIZES,
    SUBMISSIONS,
    check_submission_once,
    read_once,
    read_submission_once,
)
from fetal_hc.io.images import MAX_FILE_BYTES
from fetal_hc.io.tables import MOST_PROBLEMS
from tests.faults.large_pictures import deep_dicom, deflated_dicom, flat_png, tiff

N_ROWS = 1_000_000
MOST_MEGABYTES = 650  # the shipped model and its first network take another 300
SCRIPT = """
import sys
from fetal_hc.errors import ImageError
from hc18.measurement.frames import open_frames
data = open(sys.argv[1], "rb").read()
try:
    frames = open_frames(data, "a")
    del data
    shape = frames.frame_rgb(0).shape
    print("read", shape[0] * shape[1], end=" ")
except ImageError as error:
    print("refused", error, end=" ")
# Not ru_maxrss: that keeps the peak of the process which started this one.
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM:"))
print("|", int(peak.split()[1]) // 1024)
"""
REFUSED: dict[str, Callable[[], bytes]] = {
    "16-bit PNG of 10,000 x 10,000": lambda: flat_png(10_000, 10_000, 16),
    "PNG of 99,999,999 x 1": lambda: flat_png(99_999_999, 1),
    "RGBA of 100 million pixels": lambda: flat_png(10_000, 10_000, 8, 4),
    "DICOM that inflates to 2.3 GB": lambda: deflated_dicom(2_300_000_000),
}
READ: dict[str, Callable[[], bytes]] = {
    "16-bit PNG": lambda: flat_png(5_000, 5_000, 16),
    "16-bit RGBA": lambda: flat_png(5_000, 5_000, 16, 4),
    "PNG with the smallest side": lambda: flat_png(390_625, 64),
    "TIFF of floats": lambda: tiff(5_000, "F"),
    "CMYK": lambda: tiff(5_000, "CMYK"),
    "16-bit DICOM": lambda: deep_dicom(5_000),
    "deflated DICOM": lambda: deflated_dicom(MAX_FILE_BYTES - (1 << 20)),
}


def opened(data: bytes, folder: Path) -> tuple[str, int]:
    """What became of a file in a process of its own, and the peak of its memory in MB."""
    (folder / "a").write_bytes(data)
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder / "a")], capture_output=True, text=True, check=True, timeout=120
    )
    outcome, megabytes = result.stdout.rsplit("|", 1)
    return outcome, int(megabytes)


@pytest.mark.parametrize("make", REFUSED.values(), ids=REFUSED)
def test_file_that_unfolds_too_far_is_refused_in_little_memory(make: Callable[[], bytes], tmp_path: Path) -> None:
    outcome, megabytes = opened(make(), tmp_path)
    assert outcome.startswith("refused")
    assert megabytes < 300


@pytest.mark.slow
@pytest.mark.parametrize("make", READ.values(), ids=READ)
def test_largest_pictures_are_read_in_bounded_memory(make: Callable[[], bytes], tmp_path: Path) -> None:
    outcome, megabytes = opened(make(), tmp_path)
    assert outcome.startswith("read")
    assert megabytes < MOST_MEGABYTES


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_table_of_a_million_rows_is_read_in_ten_seconds(size: str, tmp_path: Path) -> None:
    reading = read_once(tmp_path / "sizes.csv", N_ROWS, size)
    n_problems, n_named = (0, 0) if size == SIZES["good"] else (N_ROWS, MOST_PROBLEMS + 1)
    assert (reading.n_rows, reading.n_problems, reading.n_named) == (N_ROWS, n_problems, n_named)
    assert reading.seconds < MAX_SECONDS
    assert reading.megabytes < MAX_MEGABYTES


@pytest.mark.slow
@pytest.mark.parametrize("values", SUBMISSIONS.values(), ids=SUBMISSIONS)
def test_long_submission_is_read_in_bounded_time_and_memory(values: str, tmp_path: Path) -> None:
    n_rows = N_ROWS // 4
    reading = read_submission_once(tmp_path / "submission.csv", n_rows, values)
    expected = (n_rows, 0) if values == SUBMISSIONS["good"] else (0, MOST_PROBLEMS + 1)
    assert (reading.n_rows, reading.n_problems) == expected
    assert reading.seconds < MAX_SECONDS
    assert reading.megabytes < MAX_SUBMISSION_MEGABYTES


@pytest.mark.slow
def test_long_submission_of_impossible_sizes_is_checked_in_bounded_time_and_memory(tmp_path: Path) -> None:
    n_rows = N_ROWS // 4
    reading = check_submission_once(tmp_path / "submission.csv", n_rows, list(CHECKED.values())[-1])
    assert (reading.n_rows, reading.n_problems) == (n_rows, MOST_PROBLEMS + 1)
    assert reading.seconds < MAX_SECONDS
    assert reading.megabytes < MAX_SUBMISSION_MEGABYTES
