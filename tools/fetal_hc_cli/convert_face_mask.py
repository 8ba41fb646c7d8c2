"""Convert a face-mask dataset to COCO JSON (boxes, masks) or a manifest (class folders), split in parts."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from face_mask.data.classes import ClassMap
from face_mask.data.convert import READERS, ConversionOptions, PhotoConversion, convert_face_mask
from fetal_hc_cli import new_parser, reports_bad_input

_SHOWN_WARNINGS = 5


def build_parser() -> argparse.ArgumentParser:
    defaults = ConversionOptions()
    parser = new_parser(__doc__)
    parser.add_argument("--format", choices=sorted(READERS), required=True, help="layout of the dataset")
    parser.add_argument("--root", type=Path, required=True, metavar="DIR", help="folder of the dataset")
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="OUT_DIR",
        help="folder for NAME_train.json, NAME_val.json and NAME_test.json (class folders: NAME.csv), NAME_report.json "
        "and NAME_overlays.png; earlier files of these names are replaced",
    )
    parser.add_argument(
        "--val-fraction", type=float, default=defaults.val_fraction, metavar="F", help="(default: %(default)s)"
    )
    parser.add_argument(
        "--test-fraction",
        type=float,
        default=defaults.test_fraction,
        metavar="F",
        help="share of a test part, which no training and no choice sees; 1 for a folder that is all test "
        "(default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=defaults.seed, help="seed of the split (default: %(default)s)")
    parser.add_argument(
        "--class-map",
        nargs="+",
        metavar="SOURCE=CLASS",
        help="which class each class of the dataset becomes, in category order; 'SOURCE=' leaves a class out "
        "(default: the classes as they are)",
    )
    parser.add_argument("--name", help="start of the files' names (default: face_mask_FORMAT)")
    parser.add_argument("--strict", action="store_true", help="stop, and list all problems, if there is any")
    parser.add_argument(
        "--single-face", action="store_true", help="write one crop per face; the rarest training class is mirrored"
    )
    parser.add_argument(
        "--min-crop-area",
        type=int,
        default=defaults.min_crop_area_px,
        metavar="PX",
        help="least area of a crop in px (default: %(default)s)",
    )
    parser.add_argument(
        "--mirror-all-parts", action="store_true", help="mirror the rarest class in every part, as the first report did"
    )
    parser.add_argument(
        "--overlays",
        type=int,
        default=defaults.n_overlays,
        metavar="N",
        help="photos on the contact sheet, 0 for none (default: %(default)s)",
    )
    return parser


@reports_bad_input
def main(argv: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(argv)
    chosen = ConversionOptions(
        val_fraction=options.val_fraction,
        test_fraction=options.test_fraction,
        seed=options.seed,
        class_map=ClassMap.from_options(options.class_map) if options.class_map else None,
        strict=options.strict,
        single_face=options.single_face,
        min_crop_area_px=options.min_crop_area,
        mirrors_all_parts=options.mirror_all_parts,
        n_overlays=options.overlays,
        name=options.name,
        progress=True,
    )
    report = convert_face_mask(options.format, options.root, options.output, chosen)
    _print_report(report, options.output)
    return 0


def _print_report(report: PhotoConversion, output: Path) -> None:
    what = "crops" if report.single_face else "photos"
    print(f"{report.n_found} labelled photos found; {report.n_used} {what} written")
    for part, labels in report.n_labels.items():
        counts = ", ".join(f"{count} {name}" for name, count in labels.items())
        print(f"{part}: {report.n_photos[part]} {what} ({counts})")
    for name, count in report.n_excluded_labels.items():
        print(f"left out as asked: {count} {name}")
    print(f"written to {output}: {', '.join(report.files)}")
    for problem in report.problems[:_SHOWN_WARNINGS]:
        print(f"warning: {problem}", file=sys.stderr)
    n_more = len(report.problems) - _SHOWN_WARNINGS
    if n_more > 0:
        print(f"warning: {n_more} more in {output / report.files[-1]}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
