"""Measure head circumferences: images and pixel sizes -> challenge submission and a details row for every image.

    fetal-hc score --images HC18/test_set --pixel-sizes HC18/test_set_pixel_size.csv --output submission.csv
    fetal-hc score --manifest archive.csv --output archive_submission.csv --resume
    fetal-hc score --images clip.dcm --output clip.csv --group-by clip

Exit code: 0 every image was measured; 1 some were not (they are named, the others are written); 2 bad input or no way
to go on; 130 stopped by Ctrl-C. Finished results are kept until the output files are complete; --resume continues.
Research use only. Not a medical device.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from fetal_hc.batch.batch import BatchInterrupted, check_outputs
from fetal_hc.batch.settings import RUNNER_NAMES
from fetal_hc.io.interruption import stop_at_signals
from fetal_hc_cli import new_parser, reports_bad_input
from hc18.measurement.batches import MeasureSettings, measure_batch
from hc18.measurement.details import read_details
from hc18.measurement.groups import GroupBy, examination_column, summarize_groups, write_groups
from hc18.measurement.pixel_size_rules import open_source

INTERRUPTED = 130


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    inputs = parser.add_argument_group("images (PNG, JPEG, TIFF, BMP or DICOM)")
    inputs.add_argument("--images", metavar="DIR|GLOB|FILE", help="folder, quoted pattern, or what --manifest takes")
    inputs.add_argument(
        "--pixel-sizes", type=Path, metavar="CSV", help="table with the columns filename and pixel size(mm)"
    )
    inputs.add_argument(
        "--manifest",
        metavar="FILE",
        help="CSV or Parquet with the columns path, id, pixel_size_mm; paths start at --images, else at its own folder",
    )
    outputs = parser.add_argument_group("results")
    outputs.add_argument("--output", type=Path, required=True, metavar="CSV", help="submission to write")
    outputs.add_argument(
        "--details",
        type=Path,
        metavar="CSV",
        help="table with a row for every image (default: OUTPUT_details.csv next to the output)",
    )
    outputs.add_argument(
        "--group-by",
        choices=[kind.value for kind in GroupBy],
        help="also one result per clip (frames of a file, or pictures of a folder) or per examination (a column "
        "'examination' of the manifest, else what stands before the first underscore of the name)",
    )
    outputs.add_argument(
        "--groups",
        type=Path,
        metavar="CSV",
        help="table of the groups (default: OUTPUT_clips.csv, OUTPUT_examinations.csv)",
    )
    outputs.add_argument("--overwrite", action="store_true", help="replace output files, give up an unfinished batch")
    outputs.add_argument("--resume", action="store_true", help="continue the unfinished batch, if there is one")
    outputs.add_argument(
        "--work-folder", metavar="DIR|URL", help="where finished results are kept (default: OUTPUT.parts)"
    )
    _add_worker_options(parser.add_argument_group("how"))
    return parser


def _add_worker_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--model", type=Path, metavar="FILE", help="model (default: the shipped one)")
    group.add_argument(
        "--min-score",
        type=float,
        metavar="S",
        help="smallest confidence that counts as a head, 0 to 1 (default: the model's own; 0.35 for the shipped model)",
    )
    group.add_argument("--runner", choices=RUNNER_NAMES, help="default: serial for one worker, pool for more")
    group.add_argument("--workers", type=int, metavar="N", help="processes (default: one per usable core)")
    group.add_argument("--threads", type=int, metavar="N", help="threads of each process (default: 1)")
    group.add_argument(
        "--ray-address",
        metavar="ADDRESS",
        help="cluster of --runner ray; 'auto': the one of this machine (default: a new one)",
    )


@reports_bad_input
def main(argv: Sequence[str] | None = None) -> int:
    parser = build_parser()
    options = parser.parse_args(argv)
    if options.images is None and options.manifest is None:
        parser.error("one of the arguments --images --manifest is required")
    details = options.details or options.output.with_name(f"{options.output.stem}_details.csv")
    stop_at_signals(INTERRUPTED)
    try:
        settings = MeasureSettings(
            model=options.model,
            workers=options.workers,
            threads=options.threads,
            runner=options.runner,
            min_score=options.min_score,
            overwrite=options.overwrite,
            resume=options.resume,
            checkpoint=options.work_folder,
            ray_address=options.ray_address,
            progress=True,
        )
        source = open_source(options.images, options.pixel_sizes, options.manifest)
        groups = None if options.group_by is None else _group_plan(options, details)
        summary = measure_batch(source, options.output, details, settings)
        grouped = "" if groups is None else groups()
    except BatchInterrupted as interrupt:
        print(interrupt, file=sys.stderr)
        return INTERRUPTED
    except KeyboardInterrupt:
        print("stopped; nothing was written", file=sys.stderr)
        return INTERRUPTED
    if problems := summary.to_problem_text():
        print(problems, file=sys.stderr)
    if grouped:
        print(grouped)
    print(summary.to_text())
    return 0 if summary.is_complete else 1


def _group_plan(options: argparse.Namespace, details: Path) -> Callable[[], str]:
    """What groups the finished details, after its output and its columns were checked; it says what it wrote.

    Raises:
        FetalHCError: if the output is in the way, or the manifest cannot be read.
    """
    by = GroupBy(options.group_by)
    path = options.groups or options.output.with_name(f"{options.output.stem}_{by}s.csv")
    may_replace = options.overwrite or options.resume
    check_outputs([path], [options.output, details], overwrite=may_replace)
    name_of = None if options.manifest is None else examination_column(options.manifest, by)

    def write() -> str:
        n_groups = write_groups(summarize_groups(read_details(details), by, name_of), path)
        return f"{path}: {n_groups} {by}{'s' if n_groups != 1 else ''}"

    return write


if __name__ == "__main__":
    sys.exit(main())
