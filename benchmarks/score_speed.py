"""Time and memory of fetal-hc score on 800x540 phantoms, from decoding to the CSV row.

    python -m benchmarks.score_speed [--model FILE] [--images 800] [--memory-images 5000] [--against FILE]

Runs the tool in a fresh process on two cores; then times each stage of one image on one core. Exit code 1 if a figure
exceeds its limit. With --memory-images a longer run shows whether memory stays constant. With --against another model
runs in turn with this one, so that their ratio holds on a machine that others use.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.batch_runs import keep_to_cores, write_phantoms
from benchmarks.process_memory import MemorySample, run_sampled
from fetal_hc.errors import FetalHCError
from fetal_hc.io.images import read_image
from fetal_hc.model.preprocess import to_grey, to_network_input
from fetal_hc_cli import new_parser, reports_bad_input
from hc18.geometry.pixel_size import from_table
from hc18.measurement.head_model import HeadModel, bundled_model_path, load_model
from hc18.measurement.measurement import apply_pixel_size
from hc18.measurement.outline import find_outline
from hc18.measurement.polar_band import N_ANGLES
from hc18.measurement.refiner import refine_outline

MIN_IMAGES_PER_SECOND = 55.0
MAX_MEMORY_MB = 500.0
MAX_MEMORY_GROWTH_MB = 20.0
# All of one image but the networks. Not a share of the whole: that grows with every network that gets faster.
MAX_OUTSIDE_MS = 15.0
MAX_DETECTION_MS = 10.0  # decoding, resizing and the first ellipse of one image
_N_CORES = 2
_N_ROUNDS = 3


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument("--model", type=Path, metavar="FILE", help="default: the shipped model")
    parser.add_argument("--images", type=int, default=800, metavar="N", help="images timed (default: %(default)s)")
    parser.add_argument(
        "--memory-images", type=int, default=0, metavar="N", help="images of the long run (default: none)"
    )
    parser.add_argument("--against", type=Path, metavar="FILE", help="another model, timed in turn with this one")
    parser.add_argument("--runner", choices=("serial", "pool"), help="default: that of fetal-hc score")
    return parser


@reports_bad_input
def main(argv: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(argv)
    keep_to_cores(_N_CORES)
    model = options.model or bundled_model_path()
    with tempfile.TemporaryDirectory() as folder:
        phantoms = write_phantoms(Path(folder) / "phantoms")
        passed = [_speed(Path(folder), phantoms, model, options.images, options.runner)]
        if options.against:
            _compare(Path(folder), phantoms, (model, options.against), options.images)
        if options.memory_images:
            passed.append(_constancy(Path(folder), phantoms, model, options.memory_images, options.runner))
        passed.append(_stages(phantoms, model))
    return 0 if all(passed) else 1


def _speed(folder: Path, phantoms: Sequence[Path], model: Path, n_images: int, runner: str | None) -> bool:
    """Prints images per second and peak memory of one run; whether both are within their limits."""
    before = _used_cpu_seconds()
    seconds, samples = _score(folder, phantoms, model, n_images, runner)
    cpu_ms = (_used_cpu_seconds() - before) / n_images * 1e3  # hardly depends on what else the machine does
    rate = n_images / seconds
    rss_mb, pss_mb = max(sample.rss_mb for sample in samples), max(sample.pss_mb for sample in samples)
    print(
        f"score.py, {n_images} images, {_N_CORES} cores, process start to exit: {seconds:.1f} s, {rate:.1f} images/s "
        f"(at least {MIN_IMAGES_PER_SECOND:g}), {cpu_ms:.1f} ms of one core per image"
    )
    print(
        f"peak memory of all processes: {rss_mb:.0f} MB summed resident size (limit {MAX_MEMORY_MB:g}), "
        f"{pss_mb:.0f} MB with shared pages counted once"
    )
    return rate >= MIN_IMAGES_PER_SECOND and rss_mb <= MAX_MEMORY_MB


def _compare(folder: Path, phantoms: Sequence[Path], models: tuple[Path, Path], n_images: int) -> None:
    """Prints the processor and wall time of two models, from runs in turn."""
    cpu_ms: tuple[list[float], list[float]] = ([], [])
    wall_s: tuple[list[float], list[float]] = ([], [])
    for _ in range(_N_ROUNDS):
        for index, model in enumerate(models):
            before = _used_cpu_seconds()
            seconds, _ = _score(folder, phantoms, model, n_images, None)
            cpu_ms[index].append((_used_cpu_seconds() - before) / n_images * 1e3)
            wall_s[index].append(seconds)
    for index, model in enumerate(models):
        middle, best = statistics.median(cpu_ms[index]), min(wall_s[index])
        print(f"{model}: {middle:.1f} ms of one core per image, {best:.1f} s at best")
    for what, (first, second) in (("processor time", cpu_ms), ("time", wall_s)):
        ratios = [other / one for one, other in zip(first, second, strict=True)]
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        print(f"{what} of the second over the first, run by run: {statistics.median(ratios):.2f} ({spread})")


def _used_cpu_seconds() -> float:
    """Processor time of all processes that this one started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _constancy(folder: Path, phantoms: Sequence[Path], model: Path, n_images: int, runner: str | None) -> bool:
    """Prints how memory changes over a long run; whether it stays constant and within its limit."""
    seconds, samples = _score(folder, phantoms, model, n_images, runner)
    early, late = (_median_rss_mb(samples, seconds, start) for start in (0.1, 0.8))
    peak = max(sample.rss_mb for sample in samples)
    print(
        f"{n_images} images in {seconds:.0f} s ({n_images / seconds:.1f} images/s): {early:.0f} MB in the second tenth "
        f"of the run, {late:.0f} MB in the ninth, growth {late - early:+.0f} (limit {MAX_MEMORY_GROWTH_MB:g}), "
        f"peak {peak:.0f} MB"
    )
    return late - early <= MAX_MEMORY_GROWTH_MB and peak <= MAX_MEMORY_MB


def _median_rss_mb(samples: Sequence[MemorySample], seconds: float, start: float) -> float:
    """Median summed resident size over the tenth of the run that begins at the share `start`."""
    return statistics.median(sample.rss_mb for sample in samples if start <= sample.seconds / seconds < start + 0.1)


def _score(
    folder: Path, phantoms: Sequence[Path], model: Path, n_images: int, runner: str | None
) -> tuple[float, list[MemorySample]]:
    """Seconds and memory of one run of fetal-hc score over `n_images` hard links to the phantoms.

    Raises:
        FetalHCError: with the messages of the tool, if it did not run to its end.
    """
    tool = Path(__file__).parents[1] / "tools" / "score.py"
    with tempfile.TemporaryDirectory(dir=folder) as run_folder:
        images, table = Path(run_folder) / "images", Path(run_folder) / "sizes.csv"
        images.mkdir()
        names = [f"{index:05d}_HC.png" for index in range(n_images)]
        for index, name in enumerate(names):
            os.link(phantoms[index % len(phantoms)], images / name)
        table.write_text("filename,pixel size(mm)\n" + "".join(f"{name},0.2\n" for name in names), encoding="utf-8")
        command = [sys.executable, str(tool), "--images", str(images), "--pixel-sizes", str(table)]
        command += ["--output", str(Path(run_folder) / "submission.csv"), "--model", str(model)]
        command += ["--runner", runner] if runner else []
        result, seconds, samples = run_sampled(command, {**os.environ, "PYTHONPATH": str(tool.parents[1])})
    if result.returncode not in (0, 1):
        raise FetalHCError(f"fetal-hc score ended with {result.returncode}: {result.stderr}")
    return seconds, samples


def _stages(phantoms: Sequence[Path], model: Path) -> bool:
    """Prints the processor time of each stage of one image; whether all but the network is within its limit."""
    predictor = load_model(model)
    images = [read_image(path) for path in phantoms]
    found = [predictor.predict(image) for image in images]
    indices = range(len(phantoms))
    decode = median_ms(lambda i: read_image(phantoms[i]), indices)
    prepare = median_ms(lambda i: to_network_input(images[i], predictor.spec.input_spec), indices)
    predict = median_ms(lambda i: predictor.predict(images[i]), indices)
    size = from_table(0.2)
    measure = median_ms(lambda i: apply_pixel_size(find_outline(found[i], images[i].shape[:2]), size).hc_mm, indices)
    second_network, second_rest = refinement_ms(predictor, images)
    detection_ms = decode + prepare + measure
    outside_ms = detection_ms + second_rest
    outside = 100.0 * outside_ms / (decode + predict + measure + second_network + second_rest)
    print(
        f"one image on one core, median processor time: decode {decode:.1f} ms, resize {prepare:.1f}, "
        f"network and boxes {predict - prepare:.1f}, ellipse {measure:.1f}, network of the refinement stage "
        f"{second_network:.1f}, its bands and fits {second_rest:.1f}; the detection stage without its network "
        f"{detection_ms:.1f} ms (limit {MAX_DETECTION_MS:g}), both without theirs {outside_ms:.1f} ms, "
        f"{outside:.0f} % (limit {MAX_OUTSIDE_MS:g} ms)"
    )
    return detection_ms <= MAX_DETECTION_MS and outside_ms <= MAX_OUTSIDE_MS


def median_ms(stage: Callable[[int], object], indices: Sequence[int]) -> float:
    """Median processor time of a stage over all images, in ms."""
    times = []
    for index in indices:
        started = time.process_time()
        stage(index)
        times.append(time.process_time() - started)
    return statistics.median(times) * 1e3


def refinement_ms(predictor: HeadModel, images_rgb: Sequence[NDArray[np.uint8]]) -> tuple[float, float]:
    """Median processor times in ms of the refinement stage: of its network, and of the bands and fits around it.

    The latter is timed with a network that at once finds the outline where it is; both are 0 for a model without a
    refinement stage.
    """
    refiner = predictor.refiner
    if refiner is None:
        return 0.0, 0.0
    measured = [find_outline(predictor.predict(image), image.shape[:2]).ellipse_px for image in images_rgb]
    heads = [(image, ellipse) for image, ellipse in zip(images_rgb, measured, strict=True) if ellipse is not None]
    still = np.ones((1, N_ANGLES)), np.ones((1, N_ANGLES))
    whole = median_ms(lambda i: refiner.refine(to_grey(heads[i][0]), heads[i][1]), range(len(heads)))
    around = median_ms(lambda i: refine_outline(to_grey(heads[i][0]), heads[i][1], lambda _: still), range(len(heads)))
    return whole - around, around


if __name__ == "__main__":
    sys.exit(main())
