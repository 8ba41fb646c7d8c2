"""`make torture MINUTES=10`: damaged files, killed batches and rival writers until the time is over, and one table.

A Python traceback or warning on the terminal counts as not held. Every trial is made from the seed and its number, so a
line of the report is enough to make it again:
`python -m tests.faults.torture --seed SEED --only KIND --first NUMBER --count 1`.
"""

import argparse
import json
import math
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fetal_hc.errors import FetalHCError
from tests.faults.kinds import INTERRUPTION_KINDS, KINDS, ROOT

SLOWEST_S = 60.0  # of processor time; a trial that takes more counts as a hang
MOST_SILENT_S = 300.0  # of a process, by the clock: the machine may be busy, and configurations import torch
MOST_MEGABYTES = 1_000
_KINDS = {kind.name: kind for kind in (*INTERRUPTION_KINDS, *KINDS)}


@dataclass
class Tally:
    """What became of the files of one kind."""

    outcomes: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    n_noisy: int = 0  # processes that said on the terminal what only a programmer understands
    slowest_s: float = 0.0
    peak_megabytes: int = 0

    @property
    def n_tried(self) -> int:
        return self.outcomes.total()

    @property
    def n_held(self) -> int:
        return self.n_tried - self.outcomes["fault"] - self.outcomes["hang"] - self.n_noisy


def run_chunk(name: str, seed: int, first: int, count: int, seconds: float = math.inf) -> None:
    """Reads the files of one chunk, as many as can be begun in time, and prints a JSON line before and after each."""
    kind, ends = _KINDS[name], time.monotonic() + seconds
    whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(first, first + count):
            print(json.dumps({"begins": number}), flush=True)
            begun_s = _processor_s()
            outcome, detail = _outcome(name, kind.make(np.random.default_rng((seed, number))), Path(folder))
            megabytes = max(resource.getrusage(who).ru_maxrss for who in whose) // 1024
            line = {"outcome": outcome, "detail": detail, "s": _processor_s() - begun_s, "mb": megabytes}
            print(json.dumps(line), flush=True)
            if time.monotonic() > ends:
                break


def _processor_s() -> float:
    """Processor time of this process and of the children that ended, in s."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _outcome(name: str, data: bytes, folder: Path) -> tuple[str, str]:
    """What became of a file, and the error if it was a fault."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return _KINDS[name].read(data, folder), ""
    except FetalHCError as error:
        return ("refused", "") if str(error).strip() else ("fault", "a refusal without a sentence")
    except Exception as error:  # noqa: BLE001  # this is what is looked for
        return "fault", f"{type(error).__name__}: {error}"[-600:]


def torture(minutes: float, seed: int, names: Sequence[str]) -> dict[str, Tally]:
    """Chunks of all kinds in turn until the time is over; no chunk takes more than its kind's share of the time."""
    tallies, firsts = {name: Tally() for name in names}, dict.fromkeys(names, 0)
    deadline = time.monotonic() + 60.0 * minutes
    unit_s = 60.0 * minutes / sum(_KINDS[name].share for name in names)
    while time.monotonic() < deadline:
        for name in names:
            left_s = deadline - time.monotonic()
            if left_s > 0.0:
                seconds = min(unit_s * _KINDS[name].share, left_s)
                _run_in_process(tallies[name], name, seed, firsts[name], seconds)
                firsts[name] += _KINDS[name].n_per_process
                print(f"{name}: {tallies[name].n_tried} tried, {tallies[name].n_held} held", flush=True)
    return tallies


def _run_in_process(tally: Tally, name: str, seed: int, first: int, seconds: float) -> None:
    """One chunk in a process of its own, whose death or silence counts against the file that it was reading."""
    command = [sys.executable, "-m", "tests.faults.torture", "--seed", str(seed), "--only", name, "--chunk"]
    command += ["--first", str(first), "--count", str(_KINDS[name].n_per_process), "--seconds", str(seconds)]
    paths = os.pathsep.join(str(ROOT / folder) for folder in ("", "tools", "app"))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    reading, is_silent = None, threading.Event()
    with tempfile.TemporaryFile() as terminal:
        pipes = {"stdout": subprocess.PIPE, "stderr": terminal}
        with subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True, **pipes) as process:  # type: ignore[call-overload]
            for line in _lines(process, is_silent):
                if "begins" in line:
                    reading = line["begins"]
                    continue
                outcome = "hang" if line["s"] > SLOWEST_S else line["outcome"]
                tally.outcomes[outcome] += 1
                tally.slowest_s = max(tally.slowest_s, line["s"])
                tally.peak_megabytes = max(tally.peak_megabytes, line["mb"])
                if outcome in ("fault", "hang"):
                    tally.problems.append(f"{name}, seed {seed}, file {reading}: {line['detail'] or 'too slow'}")
                reading = None
        terminal.seek(0)
        errors = terminal.read().decode(errors="replace")[-300:]
    if reading is not None or process.returncode:
        ended = "hang" if is_silent.is_set() else "fault"
        tally.outcomes[ended] += 1
        tally.problems.append(f"{name}, seed {seed}, file {reading}: {ended}, exit {process.returncode}: {errors}")
    elif "Traceback" in errors or "Warning" in errors:  # the C libraries of Pillow print lines of their own
        tally.n_noisy += 1
        tally.problems.append(f"{name}, seed {seed}, files from {first}: said on the terminal: {errors}")


def _lines(process: subprocess.Popen[bytes], is_silent: threading.Event) -> Iterator[dict[str, Any]]:
    """What a process prints, one object per line; it is killed with its children if it says nothing for too long."""

    def kill() -> None:
        is_silent.set()
        os.killpg(process.pid, signal.SIGKILL)

    assert process.stdout is not None
    while True:
        watch = threading.Timer(MOST_SILENT_S, kill)
        watch.start()
        text = process.stdout.readline()
        watch.cancel()
        if not text:
            return
        yield json.loads(text)


def to_table(tallies: dict[str, Tally]) -> str:
    """The table of all kinds, as Markdown."""
    header = ("kind", "tried", "held", "read", "refused", "faults", "hangs", "slowest, s", "peak, MB")
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    for name, tally in tallies.items():
        n_read = tally.outcomes["read"] + tally.outcomes["partly refused"]
        became = (n_read, tally.outcomes["refused"]) if _KINDS[name].is_input else ("", "")
        failed = (tally.outcomes["fault"] + tally.n_noisy, tally.outcomes["hang"])
        cells = (name, tally.n_tried, tally.n_held, *became, *failed, f"{tally.slowest_s:.1f}", tally.peak_megabytes)
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    total = [sum(tally.n_tried for tally in tallies.values()), sum(tally.n_held for tally in tallies.values())]
    lines.append(f"| all | {total[0]} | {total[1]} |" + " |" * (len(header) - 3))
    return "\n".join(lines)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=None, help="default: another one every time; it is printed")
    parser.add_argument("--only", choices=_KINDS, help="one kind alone")
    parser.add_argument("--first", type=int, default=0, help="number of the first file, with --count")
    parser.add_argument("--count", type=int, default=None, help="read these files in this process and stop")
    parser.add_argument("--seconds", type=float, default=math.inf, help="begin no file after this time, with --count")
    parser.add_argument("--chunk", action="store_true", help=argparse.SUPPRESS)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 if everything held, 1 if not."""
    options = build_parser().parse_args(argv)
    seed = random.SystemRandom().randrange(1 << 31) if options.seed is None else options.seed
    if options.count is not None:
        run_chunk(options.only, seed, options.first, options.count, options.seconds)
        return 0
    print(f"seed {seed}", flush=True)
    tallies = torture(options.minutes, seed, [options.only] if options.only else list(_KINDS))
    problems = [problem for tally in tallies.values() for problem in tally.problems]
    problems += [
        f"{name}: {tally.peak_megabytes} MB of memory, more than {MOST_MEGABYTES}"
        for name, tally in tallies.items()
        if tally.peak_megabytes > MOST_MEGABYTES
    ]
    print("\n".join([to_table(tallies), *problems]))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
