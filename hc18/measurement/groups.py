"""Several pictures of one head as one result: the frames of a clip, or the images of an examination.

Two frames of one examination differ by more than a measurement errs, so the choice of the frame matters most. Frames
are ranked by how sure the plane is and by how sharp they are; the median of the best ones is the result. A clip most of
whose frames are doubtful is named once, instead of by a flag in each row.
"""

from __future__ import annotations

import csv
import math
import re
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray

from fetal_hc.batch.manifest import read_manifest_column
from fetal_hc.batch.summary import MessageLog
from fetal_hc.errors import FetalHCError
from fetal_hc.io.atomic import atomic_path
from fetal_hc.io.columns import Column, ColumnTable
from hc18.dataset.labelled_image import examination_of
from hc18.geometry.ellipse import Ellipse
from hc18.measurement.flags import flag_text
from hc18.measurement.rows import MeasurementRow, RowStatus

N_BEST_FRAMES = 5
# Correlation of the errors of two images of one examination: 0.05 in the five folds (`experiments.examinations`), 0.16
# on images of HC18 that are not public. The larger one gives the wider interval.
ERROR_CORRELATION = 0.16
_FRAME_NUMBER = re.compile(r"#\d+$")
DOUBTFUL_SHARE = 0.5  # of the frames; more than that and the clip is named
_SECTORS, _PIECES, _SAMPLES, _REACH_PX = 16, 16, 1024, 10  # of the outline whose sharpness is judged, pieces per sector
_SIGMAS_BY_CHANCE = 2.5  # the steepest of 20 slopes of noise
_DECODED = frozenset({RowStatus.OK, RowStatus.NO_PIXEL_SIZE, RowStatus.NO_HEAD, RowStatus.FIT_FAILED})


class GroupBy(StrEnum):
    """What the pictures of a group have in common."""

    CLIP = "clip"
    EXAMINATION = "examination"


@dataclass(frozen=True, slots=True)
class GroupResult:
    """One head circumference from several pictures; what does not apply is None.

    Attributes:
        name: of the group.
        n_images: pictures in it.
        n_measured: those with millimetres.
        best_images: names of those that count, the one to look at first.
        hc_median_mm: median circumference of these.
        low_mm: lower end of its interval; None without a calibrated model.
        high_mm: upper end.
        spread_mm: largest minus smallest circumference of those that count.
        smallest_mm: smallest circumference of all that were measured.
        largest_mm: largest of all.
        n_flagged: measured pictures with a flag.
        flags: those that at least half of the pictures that count have, the most frequent first.
    """

    name: str
    n_images: int
    n_measured: int
    best_images: tuple[str, ...] = ()
    hc_median_mm: float | None = None
    low_mm: float | None = None
    high_mm: float | None = None
    spread_mm: float | None = None
    smallest_mm: float | None = None
    largest_mm: float | None = None
    n_flagged: int = 0
    flags: tuple[str, ...] = ()


def sharpness(image_grey: NDArray[np.uint8], ellipse_px: Ellipse) -> float:
    """How sharp the skull is in a picture: the steepest slope across its outline over the spread of the grey values.

    The slope is averaged along each sixteenth of the outline, and what noise alone would give is taken off, so noise
    does not pass for sharpness. It compares frames of one clip, not pictures of different machines.

    Args:
        image_grey: uint8 (H, W).
        ellipse_px: in px of the image; sectors that leave the image do not count.
    """
    height, width = image_grey.shape
    rim_xy = ellipse_px.outline(_SAMPLES)
    along_xy = np.roll(rim_xy, -1, axis=0) - np.roll(rim_xy, 1, axis=0)
    normals_xy = along_xy[:, ::-1] * (1.0, -1.0) / np.linalg.norm(along_xy, axis=1, keepdims=True)
    reach_px = np.arange(-_REACH_PX, _REACH_PX + 1.0)
    x, y = (rim_xy[:, [axis]] + normals_xy[:, [axis]] * reach_px for axis in (0, 1))
    is_inside = ((x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)).reshape(_SECTORS, -1).all(axis=1)
    if not is_inside.any():
        return 0.0
    grey = cv2.remap(image_grey, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR).astype(np.float32)
    pieces = grey.reshape(_SECTORS, _PIECES, -1, reach_px.size)[is_inside].mean(axis=2)
    slopes = np.diff(pieces, axis=2)
    by_chance = np.sqrt((np.diff(slopes, axis=1) ** 2).mean(axis=1) / (2.0 * _PIECES))  # from neighbours: noise alone
    edges = np.maximum(np.abs(slopes.mean(axis=1)) - _SIGMAS_BY_CHANCE * by_chance, 0.0).max(axis=1)
    return float(edges.mean() / (grey.std() + 1.0))


def group_name(file_name: str, by: GroupBy) -> str:
    """The group of a picture, from its name in the results.

    The frames of a file belong to the clip of its name, single pictures to the clip of their folder. The examination is
    what stands before the first underscore of the name, as in HC18.
    """
    bare = _FRAME_NUMBER.sub("", file_name)
    if by is GroupBy.EXAMINATION:
        return examination_of(bare)
    return bare if bare != file_name else str(PurePosixPath(bare).parent)


def examination_column(manifest: str, by: GroupBy) -> Callable[[str], str] | None:
    """The group of a picture by a manifest's column `examination` (or `clip`); None if it has none.

    Raises:
        DatasetError: if the manifest cannot be read.
    """
    found = read_manifest_column(manifest, by.value)
    if not found:
        return None
    return lambda name: found.get(_FRAME_NUMBER.sub("", name)) or group_name(name, by)


def summarize_groups(
    rows: Iterable[MeasurementRow], by: GroupBy, name_of: Callable[[str], str] | None = None
) -> Iterator[GroupResult]:
    """One result per group, in the order in which the groups appear.

    Args:
        rows: of a batch.
        by: what the pictures of a group have in common.
        name_of: group of a picture by its name in the results; `group_name` if None.
    """
    groups: dict[str, list[MeasurementRow]] = {}
    for row in rows:
        name = group_name(row.file_name, by) if name_of is None else name_of(row.file_name)
        groups.setdefault(name, []).append(row)
    for name, members in groups.items():
        yield summarize_group(name, members, by)


def summarize_group(name: str, rows: Sequence[MeasurementRow], by: GroupBy) -> GroupResult:
    """The result of one group.

    Of a clip the `N_BEST_FRAMES` best frames count, of an examination all images; those without a flag go before those
    with one, which count only if there are no others.

    Args:
        name: of the group.
        rows: its pictures.
        by: what they have in common.
    """
    measured = [row for row in rows if row.status is RowStatus.OK and row.hc_mm is not None]
    if not measured:
        return GroupResult(name, len(rows), 0)
    sound = [row for row in measured if not row.flags] or measured
    largest = max(row.sharpness or 0.0 for row in sound) or 1.0
    ranked = sorted(sound, key=lambda row: _plane_score(row) * (row.sharpness or 0.0) / largest, reverse=True)
    best = ranked[:N_BEST_FRAMES] if by is GroupBy.CLIP else ranked
    values = [row.hc_mm for row in best if row.hc_mm is not None]
    every = [row.hc_mm for row in measured if row.hc_mm is not None]
    middle = statistics.median(values)
    low_mm, high_mm = _interval(best, middle, by)
    raised = Counter(str(flag) for row in best for flag in row.flags)
    return GroupResult(
        name=name,
        n_images=len(rows),
        n_measured=len(measured),
        best_images=tuple(row.file_name for row in best),
        hc_median_mm=middle,
        low_mm=low_mm,
        high_mm=high_mm,
        spread_mm=max(values) - min(values),
        smallest_mm=min(every),
        largest_mm=max(every),
        n_flagged=sum(bool(row.flags) for row in measured),
        flags=tuple(flag for flag, count in raised.most_common() if 2 * count >= len(best)),
    )


def intervals_apart(rows: Iterable[MeasurementRow]) -> bool:
    """Whether the intervals of two pictures do not overlap, so that they may not show the same head at one time."""
    known = [row.interval for row in rows if row.interval is not None]
    return bool(known) and max(each.low_mm for each in known) > min(each.high_mm for each in known)


def _plane_score(row: MeasurementRow) -> float:
    """How sure the plane is, 0 to 1: of the check of the plane, else of the detection."""
    score = row.quality.plane_score
    return score if score is not None else row.confidence or 0.0


def _interval(rows: Sequence[MeasurementRow], middle_mm: float, by: GroupBy) -> tuple[float | None, float | None]:
    """Interval of a median of measurements, from theirs.

    The errors of images of an examination are nearly independent, so their median errs less than one of them. Those of
    the frames of a clip are not: the interval stays that of one frame.
    """
    reaches = [
        (row.hc_mm - row.interval.low_mm, row.interval.high_mm - row.hc_mm)
        for row in rows
        if row.interval is not None and row.hc_mm is not None
    ]
    if len(reaches) < len(rows):
        return None, None
    correlation = 1.0 if by is GroupBy.CLIP else ERROR_CORRELATION
    shrink = math.sqrt(correlation + (1.0 - correlation) / len(rows))
    below, above = (statistics.median(side) for side in zip(*reaches, strict=True))
    return middle_mm - shrink * below, middle_mm + shrink * above


def _number(name: str, attribute: str) -> Column[GroupResult]:
    return Column(name, float, lambda group: getattr(group, attribute), 4)


GROUP_COLUMNS: tuple[Column[GroupResult], ...] = (
    Column("group", str, lambda group: group.name),
    _number("hc_median_mm", "hc_median_mm"),
    _number("hc_low_mm", "low_mm"),
    _number("hc_high_mm", "high_mm"),
    _number("hc_spread_mm", "spread_mm"),
    Column("look_at", str, lambda group: group.best_images[0] if group.best_images else ""),
    Column("flags", str, lambda group: ";".join(group.flags)),
    Column("n_images", int, lambda group: group.n_images),
    Column("n_measured", int, lambda group: group.n_measured),
    Column("n_used", int, lambda group: len(group.best_images)),
    Column("n_flagged", int, lambda group: group.n_flagged),
    _number("hc_smallest_mm", "smallest_mm"),
    _number("hc_largest_mm", "largest_mm"),
    Column("used_images", str, lambda group: ";".join(group.best_images)),
)


def write_groups(groups: Iterable[GroupResult], path: Path) -> int:
    """Writes a CSV file with a row for every group, as a whole or not at all; returns their number.

    Raises:
        FetalHCError: if it cannot be written.
    """
    table = ColumnTable(GROUP_COLUMNS, lambda values: GroupResult(**values))
    n_groups = 0
    try:
        with atomic_path(path) as new, new.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream:
            lines = csv.writer(stream, lineterminator="\n")
            lines.writerow(table.names)
            for group in groups:
                lines.writerow(table.to_texts(group))
                n_groups += 1
    except OSError as error:
        raise FetalHCError(
            f"{path}: cannot be written ({error.strerror or error}); expected a writable folder; choose another path"
        ) from error
    return n_groups


class ClipTally:
    """Counts the doubtful frames of one clip."""

    def __init__(self) -> None:
        self.n_frames = self.n_doubtful = 0
        self.flags: Counter[str] = Counter()

    def add(self, flags: Iterable[str], *, has_ellipse: bool) -> None:
        """Counts a frame that could be decoded."""
        found = set(flags)
        self.n_frames += 1
        self.n_doubtful += bool(found) or not has_ellipse
        self.flags.update(found)

    def warning(self, name: str) -> str:
        """One sentence on the clip of this name; empty if it is not a clip or most of its frames are fine."""
        if self.n_frames < 2 or self.n_doubtful <= DOUBTFUL_SHARE * self.n_frames:
            return ""
        said = ", ".join(f"{flag_text(flag).name} {count}" for flag, count in self.flags.most_common(3))
        return (
            f"{name}: {self.n_doubtful} of {self.n_frames} frames are flagged or show no head"
            f"{f' ({said})' if said else ''}; the clip may not show the plane of a fetal head, so check it before you "
            "use any of its frames"
        )


class ClipWatch:
    """Collects the rows of one clip after the other; memory does not grow with their number."""

    def __init__(self, log: MessageLog) -> None:
        """Begins without a clip.

        Args:
            log: gets the warnings of single images, and either one for a doubtful clip or those of its frames.
        """
        self._log = log
        self._begin("")

    def add(self, row: MeasurementRow, warnings: Sequence[str] = ()) -> None:
        """Takes the next row of a batch, in the order of its frames, with what is wrong with it."""
        frame = _FRAME_NUMBER.search(row.file_name)
        name = row.file_name[: frame.start()] if frame else ""
        if name != self._name:
            self.close()
            self._begin(name)
        for warning in warnings:
            self._warnings.add(warning)
        if row.status in _DECODED:
            self._tally.add(row.flags, has_ellipse=row.ellipse_px is not None)

    def close(self) -> None:
        """Ends the clip that was collected."""
        warning = self._tally.warning(self._name) if self._name else ""
        if warning:
            self._log.add(warning)
        else:
            self._log.extend(self._warnings)
        self._begin("")

    def _begin(self, name: str) -> None:
        self._name, self._warnings, self._tally = name, MessageLog(), ClipTally()
