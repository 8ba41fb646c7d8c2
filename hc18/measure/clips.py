"""Says once for a whole clip that most of its frames are doubtful, instead of leaving it to a flag in each row."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from fetal_hc.batch.message_log import MessageLog
from hc18.measure.flags import flag_text
from hc18.measure.rows import MeasurementRow, RowStatus

DOUBTFUL_SHARE = 0.5  # of the frames; more than that and the clip is named
_FRAME_NUMBER = re.compile(r"#\d+$")
_DECODED = frozenset({RowStatus.OK, RowStatus.NO_PIXEL_SIZE, RowStatus.NO_HEAD, RowStatus.FIT_FAILED})


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
            self._n_frames += 1
            self._n_doubtful += bool(row.flags) or row.ellipse_px is None
            self._flags.update(row.flags)

    def close(self) -> None:
        """Ends the clip that was collected."""
        if self._name and self._n_frames > 1 and self._n_doubtful > DOUBTFUL_SHARE * self._n_frames:
            self._log.add(clip_warning(self._name, self._n_doubtful, self._n_frames, self._flags))
        else:
            self._log.extend(self._warnings)
        self._begin("")

    def _begin(self, name: str) -> None:
        self._name, self._warnings = name, MessageLog()
        self._n_frames = self._n_doubtful = 0
        self._flags: Counter[str] = Counter()


def clip_warning(name: str, n_doubtful: int, n_frames: int, flags: Counter[str]) -> str:
    """One sentence on a clip.

    Args:
        name: of the file.
        n_doubtful: frames that are flagged or show no head.
        n_frames: all that could be decoded.
        flags: number of frames with each flag.
    """
    said = ", ".join(f"{flag_text(flag).name} {count}" for flag, count in flags.most_common(3))
    return (
        f"{name}: {n_doubtful} of {n_frames} frames are flagged or show no head{f' ({said})' if said else ''}; "
        "the clip may not show the plane of a fetal head, so check it before you use any of its frames"
    )
