"""Names and sentences of the app."""

import pytest

from fetal_hc_app import wording
from hc18.geometry.pixel_size import CalibrationSource
from hc18.reviews.models import Decision, ReviewAction
from hc18.reviews.queue import QueueFilter


def test_everything_has_a_name() -> None:
    assert set(wording.DECISION_NAMES) == set(Decision)
    assert set(wording.ACTION_NAMES) == set(ReviewAction)
    assert set(wording.SOURCE_NAMES) == set(CalibrationSource)
    assert set(wording.FILTER_NAMES) <= set(QueueFilter)


@pytest.mark.parametrize(
    ("file_name", "shown"),
    [
        ("/home/a/scan.png", "scan.png"),
        ("C:\\scans\\scan.png", "scan.png"),
        ("../../etc/passwd", "passwd"),
        ("a\nb\x00.png", "ab.png"),
        ("", "unnamed file"),
    ],
)
def test_display_name_is_bare_and_printable(file_name: str, shown: str) -> None:
    assert wording.display_name(file_name) == shown


def test_long_name_keeps_beginning_and_suffix() -> None:
    name = wording.display_name("x" * 300 + ".png")
    assert len(name) <= 60
    assert name.endswith(".png")


def test_plain_text_leaves_nothing_to_markdown() -> None:
    assert wording.plain("<b>[x](y)</b> `:red[z]` $1$") == ("\\<b\\>\\[x\\]\\(y\\)\\</b\\> \\`\\:red\\[z\\]\\` \\$1\\$")


def test_sentence_has_capital_and_stop() -> None:
    assert wording.sentence("no name ") == "No name."
    assert wording.sentence("Really?") == "Really?"
