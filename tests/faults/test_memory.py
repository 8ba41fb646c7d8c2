"""No image file takes a process beyond 1 GB, whatever it unfolds to; measured as the peak of a process of its own."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fetal_hc.io.images import MAX_FILE_BYTES
from tests.faults.large_pictures import deep_dicom, deflated_dicom, flat_png, tiff

N_ROWS = 1_000_000
MOST_SECONDS = 10.0  # of processor time, for a table of a million rows
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


TABLE_SCRIPT = """
import sys, time
from hc18.dataset.pixel_size_table import read_pixel_size_table
started = time.process_time()
table = read_pixel_size_table(sys.argv[1])
seconds = time.process_time() - started
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM:"))
print(len(table.rows), table.n_problems, len(table.problems), seconds, int(peak.split()[1]) // 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize("size", ["0.125", "bad", "0,125"])
def test_table_of_a_million_rows_is_read_in_ten_seconds(size: str, tmp_path: Path) -> None:
    table = tmp_path / "sizes.csv"
    rows = "".join(f"{number:07}_HC.png,{size}\n" for number in range(N_ROWS))
    table.write_text(f"filename,pixel size(mm)\n{rows}", encoding="utf-8")
    result = subprocess.run(
        [sys.executable, "-c", TABLE_SCRIPT, str(table)], capture_output=True, text=True, check=True, timeout=300
    )
    found = result.stdout.split()
    n_problems, n_named = (0, 0) if size == "0.125" else (N_ROWS, 101)
    assert [int(text) for text in found[:3]] == [N_ROWS, n_problems, n_named]
    assert float(found[3]) < MOST_SECONDS
    assert int(found[4]) < MOST_MEGABYTES
