"""Faces in a video file or in what a camera sees, frame by frame, and the annotated video."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from face_mask.predict.face_model import FaceModel
from face_mask.predict.pictures import draw_faces
from face_mask.predict.results import PhotoResult, found_in
from fetal_hc.batch.tasks import Failure
from fetal_hc.errors import DatasetError, FetalHCError

VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg"})
CAMERA_NAME = "camera"

_CODEC = "mp4v"
_ASSUMED_FPS = 25.0  # where neither file nor camera says


@dataclass(frozen=True, slots=True)
class VideoOptions:
    """How a video is looked at.

    Attributes:
        min_score: smallest score of a face that counts.
        every: of so many frames, one is looked at; the annotated video shows these alone.
        max_frames: frames to look at; None for all, which a camera has no end of.
        output: annotated video (.mp4) to write; None for none.
        progress: show a progress bar if the error output is a terminal.
    """

    min_score: float
    every: int = 1
    max_frames: int | None = None
    output: Path | None = None
    progress: bool = False


def is_video(given: str) -> bool:
    """Whether an input is a video file by its name, or the number of a camera."""
    return is_camera(given) or Path(given).suffix.lower() in VIDEO_SUFFIXES


def is_camera(given: str) -> bool:
    """Whether an input is the number of a camera, and no file of that name exists."""
    return given.isdecimal() and not Path(given).exists()


def predict_video(given: str, model: FaceModel, options: VideoOptions) -> Iterator[PhotoResult]:
    """The result of each frame; one with a reason if the video cannot be read, or ends before it should.

    Ctrl-C ends a camera in order: it raises `KeyboardInterrupt` after the annotated video was closed.

    Args:
        given: path of a video file, or number of a camera.
        model: finds the faces.
        options: how.

    Raises:
        DatasetError: if a camera cannot be opened.
        FetalHCError: if the annotated video cannot be written.
    """
    name = f"{CAMERA_NAME}{given}" if is_camera(given) else Path(given).name
    with _opened(given) as capture:
        if not capture.isOpened():
            if is_camera(given):
                raise DatasetError(f"camera {given}: cannot be opened; expected a camera with this number; try another")
            yield PhotoResult(name, *_unreadable(given))
            return
        fps = _positive(capture.get(cv2.CAP_PROP_FPS), _ASSUMED_FPS)
        expected = int(_positive(capture.get(cv2.CAP_PROP_FRAME_COUNT), 0))
        n_read = 0
        with _writer(options.output, fps / options.every) as write:
            for number, frame_rgb in _frames(capture, options, expected, name):
                n_read = number + 1
                faces = model.predict(frame_rgb, options.min_score)
                write(frame_rgb, faces, model)
                image_hw = (frame_rgb.shape[0], frame_rgb.shape[1])
                yield found_in(name, image_hw, faces, frame=number, time_s=number / fps)
        if n_read == 0:
            yield PhotoResult(name, Failure.UNREADABLE, f"{given}: holds no frame that can be decoded; export it again")


def _unreadable(given: str) -> tuple[Failure, str]:
    """Why a video file cannot be opened."""
    if not Path(given).is_file():
        return Failure.MISSING_FILE, f"{given}: does not exist; expected a video file; check the path"
    return Failure.UNREADABLE, f"{given}: is no video that can be decoded; expected a complete file; export it again"


@contextmanager
def _opened(given: str) -> Iterator[cv2.VideoCapture]:
    """A video or camera that is closed at the end of the block; OpenCV says nothing on the error output."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    capture = cv2.VideoCapture(int(given)) if is_camera(given) else cv2.VideoCapture(given)
    try:
        yield capture
    finally:
        capture.release()
        cv2.utils.logging.setLogLevel(level)


def _frames(
    capture: cv2.VideoCapture, options: VideoOptions, expected: int, name: str
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Number and RGB pixels of the frames to look at."""
    total = math.ceil(expected / options.every) if expected else None
    if options.max_frames is not None:
        total = min(total or options.max_frames, options.max_frames)
    number, n_taken = 0, 0
    with tqdm(desc=name, total=total, unit="frame", disable=None if options.progress else True) as bar:
        while options.max_frames is None or n_taken < options.max_frames:
            if number % options.every:
                if not capture.grab():
                    return
                number += 1
                continue
            found, frame = capture.read()
            if not found:
                return
            yield number, np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), dtype=np.uint8)
            bar.update()
            number, n_taken = number + 1, n_taken + 1


class _VideoWriter:
    """Writes annotated frames; the file is opened with the first, whose size it takes."""

    def __init__(self, path: Path | None, fps: float) -> None:
        self._path, self._fps = path, fps
        self._writer: cv2.VideoWriter | None = None

    def __call__(self, frame_rgb: NDArray[np.uint8], faces: list, model: FaceModel) -> None:  # type: ignore[type-arg]
        if self._path is None:
            return
        if self._writer is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            size_wh = (frame_rgb.shape[1], frame_rgb.shape[0])
            fourcc = cv2.VideoWriter.fourcc(*_CODEC)
            self._writer = cv2.VideoWriter(str(self._path), fourcc, self._fps, size_wh)
            if not self._writer.isOpened():
                raise FetalHCError(f"{self._path}: cannot be written; choose another --output or add --no-pictures")
        drawn = draw_faces(frame_rgb, faces, model.spec.class_names)
        self._writer.write(cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        if self._writer is not None:
            self._writer.release()


@contextmanager
def _writer(path: Path | None, fps: float) -> Iterator[_VideoWriter]:
    """A writer that is closed at the end of the block."""
    writer = _VideoWriter(path, fps)
    try:
        yield writer
    finally:
        writer.close()


def _positive(value: float, otherwise: float) -> float:
    """A number that a container states, or another if it states none."""
    return value if math.isfinite(value) and value > 0 else otherwise
