r"""Fit the checks of plane and origin of a model, from measurements of images it was not trained on.

    fetal-hc calibrate-checks --home unseen/data_val.csv datasets/hc18_train.json datasets/hc18_val.json \
        --away unseen/external_val.csv datasets/external.json \
        --no-head unseen/negatives_val.csv datasets/negatives.json --rows checked --model model.zip --output checked.zip

Each option takes a details table of `fetal-hc measure-unseen` and the COCO JSON files of its images: heads with exact
references, heads of other hospitals, images without a measurable head. --rows gets the same tables as the model would
have written them, each image judged without its patient. Prints what is refused and flagged there.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from fetal_hc.errors import ConfigError
from fetal_hc.io.images import read_image
from fetal_hc.model.checksum import file_sha256
from fetal_hc.model.preprocess import to_grey
from fetal_hc_cli import check_together, new_parser, reports_bad_input
from hc18.measurement.evidence import find_evidence
from hc18.measurement.flags import Flag
from hc18.measurement.image_checks import ImageChecks
from hc18.measurement.outline import MIN_SCORE, HeadOutline
from hc18.measurement.rows import MeasurementRow, RowStatus
from hc18.training.bundle_parts import add_image_checks, read_head_bundle
from hc18.training.image_check_fit import Example, FittedChecks, Kind, fit_image_checks, fit_plane
from hc18.uncertainty.unseen_images import MeasuredImage, read_measured_images, write_details

PLANE_FLAGS = frozenset({Flag.NOT_HEAD_PLANE, Flag.NO_MIDLINE})


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    for option, what in (
        ("--home", "heads with exact references"),
        ("--away", "heads of other hospitals"),
        ("--no-head", "images without a measurable head"),
    ):
        parser.add_argument(
            option, nargs="+", type=Path, action="append", required=True, metavar="FILE", help=f"{what}: CSV, JSON ..."
        )
    parser.add_argument(
        "--leave-out", action="store_true", help="also print what checks say of each kind of image they never saw"
    )
    parser.add_argument("--rows", type=Path, metavar="DIR", help="folder for the tables as the model would write them")
    parser.add_argument("--model", type=Path, metavar="FILE", help="model to store the checks in")
    parser.add_argument("--output", type=Path, metavar="FILE.zip", help="where to write that model, as a bundle")
    return parser


@reports_bad_input
def main(argv: Sequence[str] | None = None) -> int:
    parser = build_parser()
    options = parser.parse_args(argv)
    check_together(parser, options, "model", "output")
    tables = _read_tables(options)
    examples = [_example(kind, item) for _, kind, items in tables for item in items if item.row.ellipse_px is not None]
    fitted = fit_image_checks(examples)
    judged = _judge(tables, examples, fitted)
    for path, kind, rows in judged:
        print(_summary(path.stem, kind, rows))
        if options.rows is not None:
            options.rows.mkdir(parents=True, exist_ok=True)
            write_details(options.rows / path.name, rows)
    if options.leave_out:
        print("\n".join(_left_out(tables, examples)))
    if options.output is not None:
        add_image_checks(read_head_bundle(options.model), fitted.checks).write(options.output)
        print(f"{options.output}: SHA-256 {file_sha256(options.output)}")
    return 0


def _read_tables(options: argparse.Namespace) -> list[tuple[Path, Kind, list[MeasuredImage]]]:
    """Each table with its kind and its images.

    Raises:
        ConfigError: if an option lacks its datasets, or two tables have the same name.
        DatasetError: if a file cannot be used.
    """
    tables = []
    for kind, given in ((Kind.HOME, options.home), (Kind.AWAY, options.away), (Kind.NO_HEAD, options.no_head)):
        for details, *labelled in given:
            if not labelled:
                raise ConfigError(f"{details}: has no dataset; give its COCO JSON files after it")
            tables.append((details, kind, read_measured_images(details, labelled)))
    names = [details.name for details, _, _ in tables]
    if len(set(names)) < len(names):
        raise ConfigError(f"the tables are named {', '.join(names)}; expected different names")
    return tables


def _example(kind: Kind, item: MeasuredImage) -> Example:
    row = item.row
    assert row.ellipse_px is not None
    assert row.confidence is not None
    grey = to_grey(read_image(item.file))
    evidence = find_evidence(grey, row.ellipse_px, row.confidence, row.quality)
    return Example(row.file_name, f"{kind.value}/{item.group}", kind, evidence)


def _judge(
    tables: Sequence[tuple[Path, Kind, list[MeasuredImage]]], examples: Sequence[Example], fitted: FittedChecks
) -> list[tuple[Path, Kind, list[MeasurementRow]]]:
    """The rows of each table after checks that did not see their patient."""
    unseen = iter(zip(examples, fitted.unseen, strict=True))
    judged = []
    for path, kind, items in tables:
        rows = []
        for item in tqdm(items, path.stem, disable=None, leave=False):
            rows.append(item.row if item.row.ellipse_px is None else _judge_row(item.row, *next(unseen)))
        judged.append((path, kind, rows))
    return judged


def _left_out(tables: Sequence[tuple[Path, Kind, list[MeasuredImage]]], examples: Sequence[Example]) -> list[str]:
    """What a plane check says of the images of each folder that it was fitted without; home is never left out."""
    folders = {item.row.file_name: item.file.parent for _, _, items in tables for item in items}
    lines = []
    for folder in sorted({folders[item.name] for item in examples if item.kind != Kind.HOME}):
        kept = [item for item in examples if folders[item.name] != folder]
        if all(item.kind != Kind.NO_HEAD for item in kept):
            lines.append(f"without {folder.name}: nothing is left that tells heads from other images")
            continue
        plane, refuse_below, flag_below = fit_plane(kept)
        scores = [plane.whole.probability(item.evidence) for item in examples if folders[item.name] == folder]
        n_images = sum(where == folder for where in folders.values())
        refused = sum(score < refuse_below for score in scores)
        flagged = sum(refuse_below <= score < flag_below for score in scores)
        lines.append(
            f"without {folder.name}: of its {n_images} images {len(scores)} have an outline; {refused} of these are "
            f"refused, {flagged} flagged for the plane, {len(scores) - refused - flagged} pass"
        )
    return lines


def _judge_row(row: MeasurementRow, example: Example, checks: ImageChecks) -> MeasurementRow:
    """The row as a model with these checks writes it."""
    flags = tuple(Flag(flag) for flag in row.flags if flag in set(Flag))  # tables of earlier versions have others
    outline = checks.judge(
        HeadOutline(row.ellipse_px, None, "", row.confidence, row.quality, flags, 0), example.evidence
    )
    if outline.ellipse_px is None or (row.confidence or 0.0) < MIN_SCORE:
        refused = replace(row, status=RowStatus.NO_HEAD, reason=outline.reason, quality=outline.quality, flags=())
        return replace(refused, hc_mm=None, hc_px=None, ellipse_px=None, ellipse_mm=None, interval=None)
    return replace(row, quality=outline.quality, flags=tuple(outline.flags))


def _summary(name: str, kind: Kind, rows: Sequence[MeasurementRow]) -> str:
    """What becomes of the images of one table."""
    measured = [row for row in rows if row.ellipse_px is not None]
    flagged = sum(bool(PLANE_FLAGS.intersection(row.flags)) for row in measured)
    unfamiliar = sum(Flag.UNFAMILIAR_IMAGE in row.flags for row in measured)
    unflagged = sum(not row.flags for row in measured)
    counts = {
        "refused": len(rows) - len(measured),
        "flagged for the plane": flagged,
        "unfamiliar": unfamiliar,
        "measured without a flag": unflagged,
    }
    texts = (f"{count} {what} ({count / len(rows):.1%})" for what, count in counts.items())
    return f"{name} ({kind.value}): {len(rows)} images, {', '.join(texts)}"


if __name__ == "__main__":
    sys.exit(main())
