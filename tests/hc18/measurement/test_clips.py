"""A clip whose frames are doubtful is named once."""

import pytest

from fetal_hc.batch.summary import MessageLog
from hc18.geometry.ellipse import Ellipse
from hc18.measurement.groups import ClipWatch
from hc18.measurement.rows import MeasurementRow, RowStatus

ELLIPSE = Ellipse(80.0, 54.0, 32.0, 24.0, 0.5)


def row(name: str, *flags: str, status: RowStatus = RowStatus.OK) -> MeasurementRow:
    ellipse_px = ELLIPSE if status is RowStatus.OK else None
    return MeasurementRow(name, status, "", ellipse_px=ellipse_px, flags=flags)


def watch(*rows: MeasurementRow) -> list[str]:
    """What is said about rows of which each flagged one has a warning of its own."""
    log = MessageLog()
    clips = ClipWatch(log)
    for item in rows:
        clips.add(item, [f"{item.file_name} is odd"] if item.flags else [])
    clips.close()
    return log.first


def test_clip_with_mostly_flagged_frames_is_named_once() -> None:
    flags = ("implausible_hc", "uncertain")
    (said,) = watch(*(row(f"a.dcm#{number}", *flags) for number in range(1, 40)), row("a.dcm#40"))
    assert said.startswith("a.dcm: 39 of 40 frames are flagged or show no head")
    assert "Unusual size or shape 39" in said


def test_frames_without_a_head_count_as_doubtful() -> None:
    frames = [row(f"a#{number}", status=RowStatus.NO_HEAD) for number in (1, 2, 3)]
    assert len(watch(*frames, row("a#4"))) == 1


@pytest.mark.parametrize("n_flagged", [0, 1, 2])
def test_good_clip_keeps_the_warnings_of_its_frames(n_flagged: int) -> None:
    frames = [row(f"a#{number}", *(["uncertain"] if number <= n_flagged else [])) for number in (1, 2, 3, 4)]
    assert watch(*frames) == [f"a#{number} is odd" for number in range(1, n_flagged + 1)]


def test_clips_are_judged_one_by_one_and_images_are_not_clips() -> None:
    said = watch(
        row("a#1", "uncertain"), row("a#2", "uncertain"), row("b#1"), row("b#2"), row("x.png", "uncertain"),
        row("y.png", "uncertain"),
    )  # fmt: skip
    assert [message.split()[0] for message in said] == ["a:", "x.png", "y.png"]
