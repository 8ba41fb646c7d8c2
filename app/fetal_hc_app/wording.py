"""Texts of the app: flags, statuses, decisions and actions in a clinician's words."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from fetal_hc_app.texts import text
from hc18.geometry.pixel_size import Calibration, CalibrationSource
from hc18.measurement.flags import Status, flag_text
from hc18.reviews.models import CaseState, Decision, ReviewAction
from hc18.reviews.queue import QueueFilter, QueueRow

STATUS_SENTENCES: dict[str, str] = {
    Status.NO_HEAD: "The model found no head in this image. Draw the ellipse by hand, or reject the image.",
    Status.FIT_FAILED: "No ellipse fits the outline that the model found. Draw one by hand, or reject the image.",
}
DECISION_NAMES = {
    Decision.UNREVIEWED: "Not reviewed",
    Decision.ACCEPTED: "Accepted",
    Decision.CORRECTED: "Corrected",
    Decision.REJECTED: "Rejected",
}
ACTION_NAMES = {
    ReviewAction.MEASURED: "measured by the model",
    ReviewAction.ACCEPT: "accepted",
    ReviewAction.CORRECT: "corrected",
    ReviewAction.REJECT: "rejected",
    ReviewAction.SIGN: "signed",
    ReviewAction.REOPEN: "reopened",
    ReviewAction.CALIBRATE: "pixel size entered",
    ReviewAction.SET_AGE: "independent age entered",
    ReviewAction.WITHDRAW: "decision withdrawn",
    ReviewAction.READ: "read a second time, blind",
    ReviewAction.ADJUDICATE: "disagreement settled",
}
SOURCE_NAMES = {
    CalibrationSource.CSV: "table",
    CalibrationSource.DICOM_REGION: "DICOM ultrasound region",
    CalibrationSource.DICOM_PIXEL_SPACING: "DICOM pixel spacing",
    CalibrationSource.USER: "typed by hand",
    CalibrationSource.NONE: "unknown",
}
FILTER_NAMES = {
    QueueFilter.UNREVIEWED: "To review",
    QueueFilter.FLAGGED: "Flagged",
    QueueFilter.TO_SIGN: "To sign",
    QueueFilter.SIGNED: "Signed",
    QueueFilter.CORRECTED: "Corrected",
    QueueFilter.REJECTED: "Rejected",
    QueueFilter.ALL: "All",
}
REJECT_REASONS = (
    "Not the transthalamic plane",
    "Head cut off or in shadow",
    "Image quality too poor",
    "No fetal head in the image",
    "Other",
)


def state_name(state: CaseState | QueueRow) -> str:
    """Decision and signature in two words."""
    if state.is_signed:
        words = "{decision}, signed again" if state.n_signatures > 1 else "{decision}, signed"
        return text(words, decision=text(DECISION_NAMES[state.decision]))
    return text(DECISION_NAMES[state.decision])


def attention(row: QueueRow) -> str:
    """Why a case needs a look, in a few words; empty if it does not."""
    names = [text(flag_text(flag).name) for flag in row.flags]
    if row.status in (Status.NO_HEAD, Status.FIT_FAILED):
        names.insert(0, text("No ellipse"))
    elif row.model_hc_mm is None:
        names.insert(0, text("No pixel size"))
    return ", ".join(names)


def other_sizes(offers: Sequence[Calibration]) -> str:
    """Why a person has to choose among the pixel size in force and those that the files of the session give."""
    if any(offer.pixel_size_xy_mm is not None for offer in offers):
        return text(
            "The files of this session give another pixel size for this ellipse than the one in force. Choose one."
        )
    return text(
        "The uploaded file gives no pixel size for this ellipse. The one in force comes from another file. Choose."
    )


def utc(moment: datetime) -> str:
    """A moment for readers."""
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def sentence(message: str) -> str:
    """A message as a sentence: capital letter, full stop."""
    words = message.strip()
    words = words[:1].upper() + words[1:]
    return words if words.endswith((".", "!", "?")) else f"{words}."


def count(number: int, noun: str) -> str:
    """Such as "1 image" or "3 images"."""
    return f"{number:,} " + text(noun if number == 1 else f"{noun}s")


def listed(names: Sequence[str], limit: int = 5) -> str:
    """Names separated by commas, the rest counted."""
    shown = ", ".join(names[:limit])
    return text("{names} and {count} more", names=shown, count=len(names) - limit) if len(names) > limit else shown


def display_name(file_name: str) -> str:
    """The bare name of an uploaded file, printable and short; shown in this session, never stored."""
    bare = file_name.replace("\\", "/").rpartition("/")[2]
    printable = "".join(character for character in bare if character.isprintable()).strip() or "unnamed file"
    return printable if len(printable) <= 60 else f"{printable[:40]}…{printable[-15:]}"


def plain(words: str) -> str:
    """`words` for Streamlit's Markdown, where nothing in it is taken for a format, a link or HTML."""
    return "".join(f"\\{character}" if character in r"\`*_{}[]()<>#+-.!|~$:&" else character for character in words)
