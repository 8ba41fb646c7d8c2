"""Measure head circumferences: images and pixel sizes -> challenge submission and a details row for every image.

    python tools/score.py --images HC18/test_set --pixel-sizes HC18/test_set_pixel_size.csv --output submission.csv

Exit code: 0 every image was measured; 1 some were not (they are named, the others are written); 2 bad input, nothing
written; 130 stopped by Ctrl-C, nothing written. Research use only. Not a medical device.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout works without being installed

from inference.runners import RUNNERS
from inference.scoring import ScoreSettings, score_folder
from segdata.errors import HeadSegError

INTERRUPTED = 130


def build_parser() -> argparse.ArgumentParser:
    description, _, epilog = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="folder of PNG, JPEG, TIFF or BMP")
    parser.add_argument(
        "--pixel-sizes",
        type=Path,
        required=True,
        metavar="CSV",
        help="table with the columns filename and pixel size(mm)",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="CSV", help="submission to write")
    parser.add_argument(
        "--details",
        type=Path,
        metavar="CSV",
        help="table with a row for every image (default: OUTPUT_details.csv beside the output)",
    )
    parser.add_argument("--model", type=Path, metavar="FILE.onnx", help="model (default: the shipped one)")
    parser.add_argument("--workers", type=int, metavar="N", help="processes (default: one per usable core)")
    parser.add_argument("--runner", choices=tuple(RUNNERS), help="default: serial for one worker, pool for more")
    parser.add_argument(
        "--min-score",
        type=float,
        default=0.5,
        metavar="S",
        help="smallest confidence that counts as a head, 0 to 1 (default: %(default)s)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing output files")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(argv)
    details = options.details or options.output.with_name(f"{options.output.stem}_details.csv")
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        settings = ScoreSettings(
            model=options.model,
            workers=options.workers,
            runner=options.runner,
            min_score=options.min_score,
            overwrite=options.overwrite,
            progress=True,
        )
        summary = score_folder(options.images, options.pixel_sizes, options.output, details, settings)
    except HeadSegError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; nothing was written", file=sys.stderr)
        return INTERRUPTED
    if problems := summary.to_problem_text():
        print(problems, file=sys.stderr)
    print(summary.to_text())
    return 0 if summary.is_complete else 1


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Ends the batch as Ctrl-C does: processes are stopped and temporary files removed."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
