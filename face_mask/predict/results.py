"""What a prediction writes: a table with one row per face, and COCO JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from face_mask.predict.face_model import Face
from fetal_hc import DISCLAIMER
from fetal_hc.batch.tasks import OK, Failure
from fetal_hc.io.coco import write_coco
from fetal_hc.io.columns import Column, ColumnTable
from fetal_hc.io.records import CocoAnnotation, CocoCategory, CocoDataset, CocoImage
from fetal_hc.io.tables import to_csv_text, write_csv


class PhotoStatus(StrEnum):
    """What became of a photo that could be read."""

    FACES = OK
    NO_FACE = "no_face"


@dataclass(frozen=True, slots=True, eq=False)
class PhotoResult:
    """One photo or frame, and its faces.

    Attributes:
        file_name: of the photo or video in the results.
        status: `PhotoStatus` or `Failure`.
        reason: why there is no face; empty otherwise.
        image_hw: height and width in px; None if it could not be read.
        faces: best score first.
        frame: 0-based number of a video's frame; None for a photo.
        time_s: of that frame since the beginning.
    """

    file_name: str
    status: PhotoStatus | Failure
    reason: str = ""
    image_hw: tuple[int, int] | None = None
    faces: tuple[Face, ...] = ()
    frame: int | None = None
    time_s: float | None = None

    @property
    def name(self) -> str:
        """The file, and the frame of a video."""
        return self.file_name if self.frame is None else f"{self.file_name}#{self.frame:06d}"


def found_in(
    file_name: str,
    image_hw: tuple[int, int],
    faces: Sequence[Face],
    *,
    frame: int | None = None,
    time_s: float | None = None,
) -> PhotoResult:
    """The result of a photo that a model has looked at."""
    status = PhotoStatus.FACES if faces else PhotoStatus.NO_FACE
    reason = "" if faces else "the model finds nothing here that reaches the smallest score"
    return PhotoResult(file_name, status, reason, image_hw, tuple(faces), frame, time_s)


@dataclass(frozen=True, slots=True, eq=False)
class FaceRow:
    """One row of the table: a face, or a photo without any."""

    photo: PhotoResult
    number: int | None
    face: Face | None


def _side(index: int) -> Column[FaceRow]:
    name = ("x0_px", "y0_px", "x1_px", "y1_px")[index]
    return Column(name, float, lambda row: row.face.box_xyxy[index] if row.face and row.face.box_xyxy else None, 1)


def _refuse(_values: object) -> FaceRow:
    raise NotImplementedError("a table of faces is written, never read")


TABLE: ColumnTable[FaceRow] = ColumnTable(
    (
        Column("file_name", str, lambda row: row.photo.file_name),
        Column("frame", int, lambda row: row.photo.frame),
        Column("time_s", float, lambda row: row.photo.time_s, 3),
        Column("face", int, lambda row: row.number),
        Column("class", str, lambda row: row.face.class_name if row.face else ""),
        Column("score", float, lambda row: row.face.score if row.face else None, 4),
        *(_side(index) for index in range(4)),
        Column("mask_px", int, lambda row: row.face.mask_area_px if row.face and row.face.mask_rle else None),
        Column("status", str, lambda row: str(row.photo.status)),
        Column("reason", str, lambda row: row.photo.reason),
    ),
    _refuse,
)


def to_rows(results: Iterable[PhotoResult]) -> list[list[str]]:
    """The cells of the table: one row per face, and one for each photo without any."""
    rows = []
    for photo in results:
        if not photo.faces:
            rows.append(TABLE.to_texts(FaceRow(photo, None, None)))
        rows += [TABLE.to_texts(FaceRow(photo, number, face)) for number, face in enumerate(photo.faces, start=1)]
    return rows


def to_table_text(results: Iterable[PhotoResult]) -> str:
    """The table as CSV text for spreadsheets."""
    return to_csv_text(TABLE.names, to_rows(results), for_spreadsheets=True)


def write_table(path: Path, results: Iterable[PhotoResult]) -> None:
    """Writes the table as CSV, as a whole or not at all.

    Raises:
        FetalHCError: if `path` cannot be written.
    """
    write_csv(path, TABLE.names, to_rows(results))


def write_faces_coco(
    path: Path, results: Sequence[PhotoResult], class_names: Sequence[str], model: str, image_root: str
) -> None:
    """Writes the faces of all photos that could be read as COCO JSON, each with its `score`.

    A class of a whole photo gets the photo as its box, since COCO knows no object without one.

    Args:
        path: file to write.
        results: of all photos.
        class_names: of the model, in label order; their category ids are 1, 2, ...
        model: what found the faces.
        image_root: folder of the photos, relative to the file's own.

    Raises:
        FetalHCError: if `path` cannot be written.
    """
    readable = [result for result in results if result.image_hw is not None]
    images: list[CocoImage] = []
    annotations: list[CocoAnnotation] = []
    for image_id, result in enumerate(readable, start=1):
        assert result.image_hw is not None
        height, width = result.image_hw
        extra = {} if result.frame is None else {"frame": result.frame, "time_s": result.time_s}
        images.append(CocoImage(image_id, result.name, height, width, extra))
        for face in result.faces:
            x0, y0, x1, y1 = face.box_xyxy or (0.0, 0.0, float(width), float(height))
            annotations.append(
                CocoAnnotation(
                    len(annotations) + 1,
                    image_id,
                    list(class_names).index(face.class_name) + 1,
                    (x0, y0, x1 - x0, y1 - y0),
                    float(face.mask_area_px) if face.mask_rle else (x1 - x0) * (y1 - y0),
                    dict(face.mask_rle) if face.mask_rle else None,
                    extra={"score": face.score},
                )
            )
    categories = tuple(CocoCategory(number, name) for number, name in enumerate(class_names, start=1))
    info = {"description": f"faces found by {model}; {DISCLAIMER}", "image_root": image_root}
    write_coco(path, CocoDataset(tuple(images), tuple(annotations), categories, info))
