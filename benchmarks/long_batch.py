"""A batch of 10,000 phantoms: memory, throughput from beginning to end, and what it costs to stop and continue.

    python -m benchmarks.long_batch [--images 10000] [--model FILE.onnx]

Runs fetal-hc score in fresh processes. Memory is compared between the moment 1,000 images are done and the end, the
throughput of every later thousand with that of the first. Then a batch is killed when nine tenths are done and
continued: the overhead is the time from the start of the second run to its first new result, less that of a new batch,
plus that of merging, which every batch has. Exit code 1 if a figure exceeds its limit.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from benchmarks.batch_runs import Sample, run_batches, score_command, write_manifest, write_phantoms
from fetal_hc_cli import new_parser, reports_bad_input
from hc18.measurement.head_model import bundled_model_path

MAX_CHANGE_PERCENT = 5.0  # of memory and throughput
MAX_RESUME_OVERHEAD_S = 2.0
_FIRST = 10  # the first tenth is compared with the rest
_INTERVAL_S = 0.2


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument("--model", type=Path, metavar="FILE.onnx", help="default: the shipped model")
    parser.add_argument("--images", type=int, default=10_000, metavar="N", help="default: %(default)s")
    return parser


@reports_bad_input
def main(argv: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(argv)
    model = options.model or bundled_model_path()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manifest = write_manifest(folder / "manifest.csv", write_phantoms(folder / "phantoms"), options.images)
        (samples,) = run_batches(
            [score_command(manifest, model, folder / "s.csv")], interval_s=_INTERVAL_S, with_memory=True
        )
        passed = [_memory(samples, options.images), _throughput(samples, options.images)]
        passed.append(_resume(folder, manifest, model, options.images, samples))
    return 0 if all(passed) else 1


def _memory(samples: Sequence[Sample], n_images: int) -> bool:
    """Prints the change of memory from a tenth of the batch to its end; whether it is within its limit."""
    shares = [sample.n_done / n_images for sample in samples]
    measuring = [(share, sample.rss_mb) for share, sample in zip(shares, samples, strict=True) if share < 1.0]
    early_mb = statistics.median(rss_mb for share, rss_mb in measuring if 1.0 <= share * _FIRST < 2.0)
    late_mb = statistics.median(rss_mb for share, rss_mb in measuring if share * _FIRST >= _FIRST - 1)
    change = 100.0 * (late_mb / early_mb - 1.0)
    print(
        f"memory: {early_mb:.0f} MB from image {n_images // _FIRST} on, {late_mb:.0f} MB at the end, change "
        f"{change:+.1f} % (limit {MAX_CHANGE_PERCENT:g}); peak {max(sample.rss_mb for sample in samples):.0f} MB"
    )
    return change <= MAX_CHANGE_PERCENT


def _throughput(samples: Sequence[Sample], n_images: int) -> bool:
    """Prints images per second of each tenth of the batch; whether the later ones keep up with the first."""
    share = n_images // _FIRST
    last = max(sample.n_done for sample in samples)  # the folder is removed soon after the last result
    times = [_time_of(samples, min(n_done, last)) for n_done in range(0, share * _FIRST + 1, share)]
    rates = [share / (end - begin) for begin, end in pairwise(times)]
    change = 100.0 * (statistics.median(rates[1:]) / rates[0] - 1.0)
    print(
        f"throughput: {rates[0]:.1f} images/s over the first {share}, then "
        f"{', '.join(f'{rate:.1f}' for rate in rates[1:])}; median change {change:+.1f} % "
        f"(at least {-MAX_CHANGE_PERCENT:g}); whole run {n_images / samples[-1].seconds:.1f} images/s"
    )
    return change >= -MAX_CHANGE_PERCENT


def _time_of(samples: Sequence[Sample], n_done: int) -> float:
    """Seconds after which so many results were kept (0: the first one), interpolated between samples."""
    before = samples[0]
    for sample in samples:
        if sample.n_done > n_done or (n_done and sample.n_done >= n_done):
            if n_done == 0 or sample.n_done == before.n_done:
                return sample.seconds
            share = (n_done - before.n_done) / (sample.n_done - before.n_done)
            return before.seconds + share * (sample.seconds - before.seconds)
        before = sample
    return samples[-1].seconds


def _resume(folder: Path, manifest: Path, model: Path, n_images: int, whole: Sequence[Sample]) -> bool:
    """Prints what continuing a killed batch costs and whether its files are the same; whether both are as expected."""
    command = score_command(manifest, model, folder / "resumed.csv", "--resume")
    kill_at = n_images * (_FIRST - 1) // _FIRST
    run_batches([command], interval_s=_INTERVAL_S, kill_at=kill_at)
    (continued,) = run_batches([command], interval_s=_INTERVAL_S)
    n_before = next(sample.n_done for sample in continued if sample.n_done)
    overhead_s = _time_of(continued, n_before) - _time_of(whole, 0)
    same = all(
        (folder / f"resumed{suffix}").read_bytes() == (folder / f"s{suffix}").read_bytes()
        for suffix in (".csv", "_details.csv")
    )
    print(
        f"killed after {n_before} of {n_images} images and continued: {overhead_s:+.1f} s until the first new result "
        f"compared with a new batch (limit {MAX_RESUME_OVERHEAD_S:g}); files {'identical' if same else 'DIFFERENT'}"
    )
    return overhead_s <= MAX_RESUME_OVERHEAD_S and same


if __name__ == "__main__":
    sys.exit(main())
