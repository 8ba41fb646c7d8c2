"""Says once for a whole clip that most of its frames are doubtful, instead of leaving it to a flag in each row."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from fetal_hc.batch.summary import MessageLog
from hc18.measurement.flags import flag_text
from hc18.measurement.rows import MeasurementRow, RowStatus

DOUBTFUL_SHARE = 0.5  # of the frames; more than that and the clip is named
_FRAME_NUMBER = re.compile(r"#\d+$")
_DECODED = frozenset({RowStatus.OK, RowStatus.NO_PIXEL_SIZE, RowStatus.NO_HEAD, RowStatus.FIT_FAILED})


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
