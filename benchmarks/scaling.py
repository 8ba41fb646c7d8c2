"""What a second process brings, what Ray costs, and where the time of one image goes.

    python -m benchmarks.scaling [--images 1000] [--ray] [--model FILE.onnx]

Times fetal-hc score with one and two processes on two cores. Two processes on two cores of one physical core, or cores
that other programs use, cannot be twice as fast; so two independent single runs at the same time show the bound of the
machine. Then the stages of one image on one core, and with --ray the same batch on a local Ray. Exit code 1 if a figure
exceeds its limit.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.batch_runs import (
    PIXEL_SIZE_MM,
    keep_to_cores,
    rate_after_start,
    run_batches,
    score_command,
    write_manifest,
    write_phantoms,
)
from benchmarks.score_speed import MAX_OUTSIDE_MS, median_ms, refinement_ms
from fetal_hc.batch.checkpoint.shards import ShardWriter
from fetal_hc.batch.tasks import ImageTask, TaskResult
from fetal_hc.io.storage import read_image_file
from fetal_hc.model.preprocess import to_network_input
from fetal_hc_cli import new_parser, reports_bad_input
from hc18.geometry.pixel_size import from_table
from hc18.measurement.frames import open_frames
from hc18.measurement.head_model import bundled_model_path, load_model
from hc18.measurement.image_checks import rejection_reason
from hc18.measurement.measurement import apply_pixel_size
from hc18.measurement.outline import MIN_SCORE, find_outline
from hc18.measurement.pipeline import measure_frame
from hc18.measurement.pixel_size_rules import TablePixelSize
from hc18.measurement.rows import MEASUREMENT_TABLE, MeasurementRow
from hc18.measurement.worker import MeasureWork

MIN_SPEEDUP = 1.8
MIN_SHARE_OF_BOUND = 0.95
MIN_RAY_SHARE = 0.85
_N_CORES = 2
_INTERVAL_S = 0.05


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument("--model", type=Path, metavar="FILE.onnx", help="default: the shipped model")
    parser.add_argument("--images", type=int, default=1000, metavar="N", help="images per run (default: %(default)s)")
    parser.add_argument("--ray", action="store_true", help="compare with a local Ray (needs the extra scale)")
    return parser


@reports_bad_input
def main(argv: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(argv)
    keep_to_cores(_N_CORES)
    model = options.model or bundled_model_path()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        phantoms = write_phantoms(folder / "phantoms")
        manifest = write_manifest(folder / "manifest.csv", phantoms, options.images)
        passed = [_second_process(folder, manifest, model, options.images), _stages(folder, phantoms, model)]
        if options.ray:
            passed.append(_ray(folder, manifest, model))
    return 0 if all(passed) else 1


def _second_process(folder: Path, manifest: Path, model: Path, n_images: int) -> bool:
    """Prints the speed-up by a second process and its bound; whether it is enough."""
    single = ("--runner", "pool", "--workers", "1")
    (one,) = _rates(folder, manifest, model, single)
    (two,) = _rates(folder, manifest, model, ("--runner", "pool", "--workers", "2"))
    independent = _rates(folder, manifest, model, single, n_at_once=2)
    speedup, bound = two / one, sum(independent) / one
    print(
        f"{n_images} images of 800x540: one process {one:.1f} images/s, two {two:.1f}: {speedup:.2f} times as fast "
        f"(at least {MIN_SPEEDUP:g}); two independent batches at once {bound:.2f} times, which is the bound of "
        f"these {_N_CORES} cores ({_physical_cores()} physical)"
    )
    return speedup >= MIN_SPEEDUP or speedup >= MIN_SHARE_OF_BOUND * bound


def _physical_cores() -> str:
    """Number of physical cores behind the usable ones, if the system says."""
    cores = set()
    for core in os.sched_getaffinity(0):
        topology = Path(f"/sys/devices/system/cpu/cpu{core}/topology")
        try:
            cores.add((topology / "physical_package_id").read_text() + (topology / "core_id").read_text())
        except OSError:
            return "unknown"
    return str(len(cores))


def _rates(folder: Path, manifest: Path, model: Path, options: Sequence[str], n_at_once: int = 1) -> list[float]:
    """Images per second after the start of runs with one network thread per process, several at once if asked."""
    outputs = [_output(folder, options, number) for number in range(n_at_once)]
    commands = [score_command(manifest, model, output, "--threads", "1", "--overwrite", *options) for output in outputs]
    return [rate_after_start(samples) for samples in run_batches(commands, interval_s=_INTERVAL_S)]


def _output(folder: Path, options: Sequence[str], number: int = 0) -> Path:
    """Where a run writes its submission."""
    return folder / f"{'_'.join(options)}_{number}.csv"


def _stages(folder: Path, phantoms: Sequence[Path], model: Path) -> bool:
    """Prints the time of each stage of one image on one core; whether all but the network is a small share."""
    predictor = load_model(model)
    data = [read_image_file(str(path))[0] for path in phantoms]
    images = [open_frames(content, "phantom").frame_rgb(0) for content in data]
    facts = TablePixelSize((PIXEL_SIZE_MM, PIXEL_SIZE_MM))
    tasks = [ImageTask(n, path.name, str(path), facts) for n, path in enumerate(phantoms)]
    results = list(MeasureWork(model, 1, MIN_SCORE)()(tasks))
    writer = ShardWriter(folder, MEASUREMENT_TABLE)
    size, indices = from_table(PIXEL_SIZE_MM), range(len(phantoms))
    read = median_ms(lambda i: read_image_file(str(phantoms[i])), indices)
    decode = median_ms(lambda i: open_frames(data[i], "phantom"), indices)
    resize = median_ms(lambda i: to_network_input(images[i], predictor.spec.input_spec), indices)
    checks = median_ms(lambda i: rejection_reason(images[i]), indices)
    found = [(predictor.predict(image), image.shape[:2]) for image in images]
    ellipse = median_ms(lambda i: apply_pixel_size(find_outline(*found[i]), size, predictor.intervals), indices)
    _, refinement = refinement_ms(predictor, images)
    whole = median_ms(lambda i: measure_frame(predictor, images[i], [size]), indices)
    write = median_ms(lambda i: writer.append(_numbered(results[i], i)), indices)
    writer.close()
    kept_bytes = sum(path.stat().st_size for path in folder.glob("shard-*")) / len(results)
    total = read + decode + whole + write
    outside = read + decode + resize + checks + ellipse + refinement + write
    percent = 100.0 * outside / total
    print(
        f"one image on one core, median processor time: read (cached) {read:.2f} ms, decode {decode:.1f}, "
        f"resize {resize:.1f}, networks {total - outside:.1f}, checks and ellipse {checks + ellipse:.1f}, "
        f"bands and fits of the refinement stage {refinement:.1f}, keep the result {write:.2f}; "
        f"outside the networks {outside:.1f} ms, {percent:.0f} % (limit {MAX_OUTSIDE_MS:g} ms)"
    )
    print(f"one image: {statistics.median(map(len, data)) / 1e6:.2f} MB to read, {kept_bytes:.0f} bytes in the shards")
    return outside <= MAX_OUTSIDE_MS


def _numbered(result: TaskResult[MeasurementRow], index: int) -> TaskResult[MeasurementRow]:
    return TaskResult(index, result.path, result.stamp, result.rows)


def _ray(folder: Path, manifest: Path, model: Path) -> bool:
    """Prints the throughput of a local Ray against the pool and whether the rows are the same; whether both pass."""
    options = {name: ("--runner", name, "--workers", str(_N_CORES)) for name in ("pool", "ray")}
    rates = {name: _rates(folder, manifest, model, words)[0] for name, words in options.items()}
    outputs = [_output(folder, words) for words in options.values()]
    files = [[output, output.with_name(f"{output.stem}_details.csv")] for output in outputs]
    same = all(pool.read_bytes() == ray.read_bytes() for pool, ray in zip(*files, strict=True))
    share = rates["ray"] / rates["pool"]
    print(
        f"Ray on this machine, from its first results on: {rates['ray']:.1f} images/s, pool {rates['pool']:.1f}: "
        f"{share:.2f} of it (at least {MIN_RAY_SHARE:g}); files {'identical' if same else 'DIFFERENT'}"
    )
    return share >= MIN_RAY_SHARE and same


if __name__ == "__main__":
    sys.exit(main())
