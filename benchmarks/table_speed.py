"""Time and memory of a table of a million pixel sizes: good, with a bad value in every row, and with uneven rows.

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

MAX_SECONDS = 10.0  # of processor time, which hardly depends on what else the machine does
MAX_MEGABYTES = 650
SIZES = {"good": "0.125", "a bad value in every row": "bad", "a comma too many in every row": "0,125"}
_SCRIPT = """
import sys, time
from hc18.dataset.pixel_size_table import read_pixel_size_table
started = time.process_time()
table = read_pixel_size_table(sys.argv[1])
seconds = time.process_time() - started
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM:"))
print(len(table.rows), table.n_problems, len(table.problems), seconds, int(peak.split()[1]) // 1000)
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
        for name, size in SIZES.items():
            reading = read_once(Path(folder) / "sizes.csv", options.rows, size)
            print(
                f"{reading.n_rows} pixel sizes, {name}: {reading.seconds:.1f} s of one core (limit {MAX_SECONDS:g}), "
                f"{reading.megabytes} MB (limit {MAX_MEGABYTES})"
            )
            is_within &= reading.seconds <= MAX_SECONDS and reading.megabytes <= MAX_MEGABYTES
    return 0 if is_within else 1


def read_once(path: Path, n_rows: int, size: str) -> TableReading:
    """Writes a table with one text in place of every pixel size, and reads it in a process of its own."""
    rows = "".join(f"{number:07}_HC.png,{size}\n" for number in range(n_rows))
    path.write_text(f"filename,pixel size(mm)\n{rows}", encoding="utf-8")
    found = subprocess.run([sys.executable, "-c", _SCRIPT, str(path)], capture_output=True, text=True, check=True)
    *counts, seconds, megabytes = found.stdout.split()
    n_read, n_problems, n_named = map(int, counts)
    return TableReading(n_read, n_problems, n_named, float(seconds), int(megabytes))


if __name__ == "__main__":
    sys.exit(main())
