"""Find faces in photos, videos or a camera and say how each wears its mask.

    face-mask predict photos --output faces
    face-mask predict clip.mp4 --output faces
    face-mask predict 0 --output faces        (camera 0, until Ctrl-C)

Writes to the output folder: faces.csv (one row per face, and one with the reason for every file without any),
faces.json (COCO, with scores and mask pixels), and pictures/ (annotated photos and videos).

--model takes any export: a Mask R-CNN (many faces; the shipped one), a two-head detector, a classifier or a segmenter.

Exit code: 0 every file was read; 1 some were not (they are named, the others are written); 2 bad input; 130 stopped by
Ctrl-C, nothing written but the pictures. Research use only. Not a medical device.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from face_mask.predict.face_model import DEFAULT_MIN_SCORE, FaceModel, check_min_score, face_model_path
from face_mask.predict.photos import PICTURE_FOLDER, Photos, PhotoWork, find_photos, predict_photos
from face_mask.predict.results import PhotoResult, PhotoStatus, write_faces_coco, write_table
from face_mask.predict.video import CAMERA_NAME, VideoOptions, is_camera, is_video, predict_video
from fetal_hc import DISCLAIMER
from fetal_hc.batch.batch import check_outputs
from fetal_hc.errors import ConfigError, FetalHCError
from fetal_hc.io.interruption import stop_at_signals
from fetal_hc.model.cores import usable_cores
from fetal_hc_cli import new_parser, reports_bad_input

INTERRUPTED = 130
TABLE_NAME, COCO_NAME = "faces.csv", "faces.json"

_SHOWN_FAILURES = 10


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="PHOTOS|VIDEO|0",
        help="photos: files, folders, quoted patterns, COCO files (.json); videos; a camera",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for the results")
    parser.add_argument("--model", type=Path, metavar="FILE", help="exported model (default: the shipped one)")
    parser.add_argument(
        "--min-score",
        type=float,
        default=DEFAULT_MIN_SCORE,
        metavar="S",
        help="smallest score of a face that counts (default: %(default)s)",
    )
    parser.add_argument("--no-pictures", action="store_true", help="write no annotated photos and videos")
    parser.add_argument("--overwrite", action="store_true", help="replace the results of an earlier run")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="look at every Nth frame of a video")
    parser.add_argument("--max-frames", type=int, metavar="N", help="stop after so many frames of a video or camera")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes for photos (default: 1)")
    parser.add_argument("--threads", type=int, metavar="N", help="threads of the network (default: the usable cores)")
    return parser


@reports_bad_input
def main(argv: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(argv)
    _check(options)
    model_path = face_model_path(options.model)
    table, coco = options.output / TABLE_NAME, options.output / COCO_NAME
    check_outputs([table, coco], [model_path], overwrite=options.overwrite)
    stop_at_signals(INTERRUPTED)
    n_threads = options.threads or max(usable_cores() // options.workers, 1)
    model = FaceModel(model_path, n_threads)
    results: list[PhotoResult] = []
    try:
        photos = find_photos([given for given in options.inputs if not is_video(given)])
        results += _photos(photos, options, model_path, n_threads)
        for given in filter(is_video, options.inputs):
            _look_at_video(given, model, options, results)
    except KeyboardInterrupt:
        print("stopped; no table was written", file=sys.stderr)
        return INTERRUPTED
    options.output.mkdir(parents=True, exist_ok=True)
    write_table(table, results)
    image_root = Path(os.path.relpath(photos.root, options.output)).as_posix()
    write_faces_coco(coco, results, model.spec.class_names, f"{model.name} ({model.sha256})", image_root)
    return _report(results, table, coco)


def _check(options: argparse.Namespace) -> None:
    """Returns if the numbers can be used.

    Raises:
        ConfigError: for the first that cannot.
    """
    check_min_score(options.min_score)
    for name in ("every", "max_frames", "workers", "threads"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise ConfigError(f"--{name.replace('_', '-')} is {value}; expected 1 or more")
    cameras = [given for given in options.inputs if is_camera(given)]
    if cameras and len(options.inputs) > 1:
        raise ConfigError(f"camera {cameras[0]} is one of {len(options.inputs)} inputs; give a camera alone")
    try:
        options.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FetalHCError(
            f"{options.output}: cannot be created ({error.strerror}); choose another --output"
        ) from error


def _photos(photos: Photos, options: argparse.Namespace, model_path: Path, n_threads: int) -> Iterator[PhotoResult]:
    """The results of all inputs that are photos."""
    pictures = None if options.no_pictures else options.output / PICTURE_FOLDER
    work = PhotoWork(model_path, n_threads, options.min_score, pictures)
    return predict_photos(photos, work, options.workers, progress=True)


def _look_at_video(given: str, model: FaceModel, options: argparse.Namespace, results: list[PhotoResult]) -> None:
    """Adds the results of a video or camera; Ctrl-C ends a camera, and a video with what it has shown so far."""
    stem = f"{CAMERA_NAME}{given}" if is_camera(given) else Path(given).name.rpartition(".")[0]
    output = None if options.no_pictures else options.output / PICTURE_FOLDER / f"{stem}.mp4"
    how = VideoOptions(options.min_score, options.every, options.max_frames, output, progress=True)
    try:
        for result in predict_video(given, model, how):
            results.append(result)  # what was seen before Ctrl-C stays
    except KeyboardInterrupt:
        if not is_camera(given):
            raise


def _report(results: Sequence[PhotoResult], table: Path, coco: Path) -> int:
    """Prints what was found; returns the exit code."""
    failed = [result for result in results if not isinstance(result.status, PhotoStatus)]
    for result in failed[:_SHOWN_FAILURES]:
        print(f"warning: {result.file_name}: {result.status}: {result.reason}", file=sys.stderr)
    if len(failed) > _SHOWN_FAILURES:
        print(f"warning: {len(failed) - _SHOWN_FAILURES} more in {table}", file=sys.stderr)
    counts: dict[str, int] = {}
    for result in results:
        for face in result.faces:
            counts[face.class_name] = counts.get(face.class_name, 0) + 1
    what = "frames" if any(result.frame is not None for result in results) else "photos"
    found = ", ".join(f"{count} {name}" for name, count in counts.items()) or "nothing"
    print(f"{len(results) - len(failed)} {what}: {found}; {len(failed)} could not be read")
    print(f"written: {table}, {coco}")
    print(DISCLAIMER)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
