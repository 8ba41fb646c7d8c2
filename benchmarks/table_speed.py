"""Time and memory of a table of a million rows: good, with a bad value in every row, and with uneven rows.

It reads tables of pixel sizes, and reads and checks submissions.

    python -m benchmarks.table_speed [--rows 1000000]

Every table is read in a fresh process. Exit code 1 if a figure exceeds its limit.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fetal_hc_cli import new_parser
from hc18.dataset.submission import SUBMISSION_COLUMNS

MAX_SECONDS = 10.0  # of processor time, which hardly depends on what else the machine does
MAX_MEGABYTES = 650
MAX_SUBMISSION_MEGABYTES = 900  # a million ellipses and their names remain
SIZES = {"good": "0.125", "a bad value in every row": "bad", "a comma too many in every row": "0,125"}
SUBMISSIONS = {
    "good": "50,50,40,30,0.5",
    "a bad value in every row": "50,50,bad,30,0.5",
}
CHECKED = {**SUBMISSIONS, "a size in every row that no head has": "50,50,400,300,0.5"}
_SCRIPT = """
import sys, time
from hc18.dataset.pixel_size_table import read_pixel_size_table
started = time.process_time()
table = read_pixel_size_table(sys.argv[1])
seconds = time.process_time() - started
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM:"))
print(len(table.rows), table.n_problems, len(table.problems), seconds, int(peak.split()[1]) // 1000)
"""
_CHECK_SCRIPT = """
import sys, time
from hc18.dataset.submission import check_submission
names = [line.split(",")[0] for line in open(sys.argv[1])][1:]
started = time.process_time()
n_problems = len(check_submission(sys.argv[1], names))
seconds = time.process_time() - started
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM:"))
print(len(names), n_problems, n_problems, seconds, int(peak.split()[1]) // 1000)
"""
_SUBMISSION_SCRIPT = """
import sys, time
from fetal_hc.errors import DatasetError
from hc18.dataset.submission import read_submission
started = time.process_time()
try:
    n_rows, n_problems = len(read_submission(sys.argv[1])), 0
except DatasetError as error:
    n_rows, n_problems = 0, len(error.problems)
seconds = time.process_time() - started
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM:"))
print(n_rows, n_problems, n_problems, seconds, int(peak.split()[1]) // 1000)
"""


@dataclass(frozen=True, slots=True)
class TableReading:
    """What reading a table took.

    Attributes:
        n_rows: rows with a file name.
        n_problems: problems in them.
        n_named: problems with a message.
        seconds: processor time.
        megabytes: peak memory of the process.
    """

    n_rows: int
    n_problems: int
    n_named: int
    seconds: float
    megabytes: int


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, metavar="N", help="default: %(default)s")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(argv)
    is_within = True
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        for name, size in SIZES.items():
            reading = read_once(path, options.rows, size)
            is_within &= _report(f"pixel sizes, {name}", reading, MAX_MEGABYTES)
        for name, values in SUBMISSIONS.items():
            reading = read_submission_once(path, options.rows, values)
            is_within &= _report(f"submission, {name}", reading, MAX_SUBMISSION_MEGABYTES)
        for name, values in CHECKED.items():
            reading = check_submission_once(path, options.rows, values)
            is_within &= _report(f"check of a submission, {name}", reading, MAX_SUBMISSION_MEGABYTES)
    return 0 if is_within else 1


def read_once(path: Path, n_rows: int, size: str) -> TableReading:
    """Writes a table with one text in place of every pixel size, and reads it in a process of its own."""
    return _read(path, "filename,pixel size(mm)", n_rows, size, _SCRIPT)


def read_submission_once(path: Path, n_rows: int, values: str) -> TableReading:
    """Writes a submission with the same values in every row, and reads it in a process of its own."""
    return _read(path, ",".join(SUBMISSION_COLUMNS), n_rows, values, _SUBMISSION_SCRIPT)


def check_submission_once(path: Path, n_rows: int, values: str) -> TableReading:
    """Writes such a submission and checks it, against a table of the same images, in a process of its own."""
    return _read(path, ",".join(SUBMISSION_COLUMNS), n_rows, values, _CHECK_SCRIPT)


def _read(path: Path, header: str, n_rows: int, values: str, script: str) -> TableReading:
    rows = "".join(f"{number:07}_HC.png,{values}\n" for number in range(n_rows))
    path.write_text(f"{header}\n{rows}", encoding="utf-8")
    found = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    *counts, seconds, megabytes = found.stdout.split()
    n_read, n_problems, n_named = map(int, counts)
    return TableReading(n_read, n_problems, n_named, float(seconds), int(megabytes))


def _report(what: str, reading: TableReading, max_megabytes: int) -> bool:
    """Prints a reading; whether it keeps its limits."""
    print(
        f"{what}: {reading.seconds:.1f} s of one core (limit {MAX_SECONDS:g}), {reading.megabytes} MB "
        f"(limit {max_megabytes})"
    )
    return reading.seconds <= MAX_SECONDS and reading.megabytes <= max_megabytes


if __name__ == "__main__":
    sys.exit(main())
