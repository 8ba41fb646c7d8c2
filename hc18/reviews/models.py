"""The values that the review store takes and returns, and the errors it raises."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NewType

import numpy as np
from numpy.typing import NDArray

from fetal_hc.errors import FetalHCError
from hc18.geometry.ellipse import Ellipse
from hc18.geometry.pixel_size import Calibration
from hc18.measurement.interval_model import Interval, IntervalModel
from hc18.measurement.outline import Quality
from hc18.obstetrics.gestational_age import IndependentAge

CaseId = NewType("CaseId", int)


class StoreError(FetalHCError):
    """A store that cannot be opened, read or written."""


class StoreBusy(StoreError):
    """Another writer has the database; nothing was saved."""


class StoreDamaged(StoreError):
    """A review store whose file, tables or indexes are damaged; it has to be restored from a copy."""


class ReviewRefused(StoreError):
    """An action that is not allowed in the state the case is in, or that lacks something."""


class ReviewConflict(StoreError):
    """Somebody else changed the case since the caller read it; nothing was written."""


class Decision(StrEnum):
    """What the reviewer decided about the model's measurement."""

    UNREVIEWED = "unreviewed"
    ACCEPTED = "accepted"
    CORRECTED = "corrected"
    REJECTED = "rejected"


class ReviewAction(StrEnum):
    """What an event records."""

    MEASURED = "measured"
    ACCEPT = "accept"
    CORRECT = "correct"
    REJECT = "reject"
    SIGN = "sign"
    REOPEN = "reopen"
    CALIBRATE = "calibrate"
    SET_AGE = "set_age"
    WITHDRAW = "withdraw"
    READ = "read"
    ADJUDICATE = "adjudicate"


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """The network that measured.

    Attributes:
        name: of the model file, without folder.
        version: of the model, as its card states it.
        sha256: hex digest of the model file.
    """

    name: str
    version: str
    sha256: str


@dataclass(frozen=True, slots=True)
class ModelMeasurement:
    """What the model found in an image. The circumference follows from the ellipse and the calibration.

    Attributes:
        model: which model it was.
        status: `hc18.measurement.measurement.Status` value.
        reason: why there is no ellipse or no millimetres, without paths and file names.
        ellipse_px: in px of the stored image, pixel centres at integers; None if none was found.
        confidence: score of the detection, 0 to 1.
        flags: `hc18.measurement.measurement.Flag` values.
        quality: of the outline, as the detection stage shows it.
        interval: of the circumference, with the calibration of the measurement; None if there was none.
        interval_model: what the interval follows from, so that another pixel size gives its own; None in records of
            earlier versions and for models without one.
    """

    model: ModelVersion
    status: str
    reason: str = ""
    ellipse_px: Ellipse | None = None
    confidence: float | None = None
    flags: tuple[str, ...] = ()
    quality: Quality = field(default_factory=Quality)
    interval: Interval | None = None
    interval_model: IntervalModel | None = None


@dataclass(frozen=True, slots=True)
class SoftMask:
    """The network's mask, for display.

    Attributes:
        box_xyxy: (4,) float32, corner convention, px of the stored image.
        mask: (M, M) float32 in [0, 1]; the store keeps 8 bits of each value.
    """

    box_xyxy: NDArray[np.float32]
    mask: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class NewCase:
    """An image to review. Nothing in it may name the patient, the examination, a date or a path.

    Attributes:
        image_rgb: (H, W, 3) uint8, only the pixels of the tissue region.
        calibration: millimetres per px and their source.
        measurement: what the model found.
        label: neutral name that the user may choose; empty for `Case N`.
        soft_mask: the network's mask, if there is one.
    """

    image_rgb: NDArray[np.uint8]
    calibration: Calibration
    measurement: ModelMeasurement
    label: str = ""
    soft_mask: SoftMask | None = None


@dataclass(frozen=True, slots=True)
class Registration:
    """A case in the store.

    Attributes:
        case_id: its number.
        is_new: False if the same pixels were registered before; the case then keeps its history.
    """

    case_id: CaseId
    is_new: bool


@dataclass(frozen=True, slots=True)
class Outline:
    """An ellipse with its circumference; both None where there is none.

    Attributes:
        ellipse_px: in px of the stored image, pixel centres at integers.
        hc_mm: its circumference; None without a calibration.
    """

    ellipse_px: Ellipse | None = None
    hc_mm: float | None = None


@dataclass(frozen=True, slots=True)
class ReviewEvent:
    """One row of the record. It is never changed.

    Attributes:
        seq: position in the store, from 1, without gaps.
        image_sha256: of the case's pixels.
        image_hw: height and width of the stored image in px.
        revision: position within the case, from 1, without gaps.
        action: what was done.
        at_utc: when.
        reviewer: who.
        reason: why, in the reviewer's words.
        measurement: what the model found; only for `measured`.
        model: the model behind the case at this time.
        calibration: in force after the event.
        age: independent gestational age known after the event; None if none was given.
        before: outline before the event.
        after: outline after the event.
        mask_sha256: of the stored mask; only for `measured`, empty if none is stored.
        app_version: of this program.
        prev_hash: SHA-256 of the event with the previous `seq`.
        reading: what a second reader drew without seeing any other ellipse; only for `read`.
    """

    seq: int
    image_sha256: str
    image_hw: tuple[int, int]
    revision: int
    action: ReviewAction
    at_utc: datetime
    reviewer: str
    reason: str
    measurement: ModelMeasurement | None
    model: ModelVersion
    calibration: Calibration
    age: IndependentAge | None
    before: Outline
    after: Outline
    mask_sha256: str
    app_version: str
    prev_hash: str
    reading: Outline | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """A blind reading: its reader saw neither the model's ellipse nor another person's.

    Attributes:
        reader: who read.
        ellipse_px: in px of the stored image; None if the reader found nothing to measure.
        reason: why there is no ellipse, or a note.
        at_utc: when.
    """

    reader: str
    ellipse_px: Ellipse | None
    reason: str
    at_utc: datetime


@dataclass(frozen=True, slots=True)
class CaseState:
    """A case as its events leave it.

    Attributes:
        image_sha256: of the case's pixels.
        image_hw: height and width of the stored image in px.
        revision: number of events so far.
        decision: of the last reviewer.
        is_signed: signed off and not reopened since.
        n_signatures: how often it was signed off.
        measurement: what the model found.
        calibration: in force.
        age: independent gestational age; None if none was given.
        model_outline: the model's ellipse with the calibration in force.
        interval: predictive interval of the model's circumference with the calibration in force; None if the model has
            none, or if the record is of an earlier version and its pixel size was changed.
        outline: the ellipse that counts: the model's, the corrected one, or none if rejected.
        flags: what to look at; those of the measurement; an implausible circumference is judged again with the
            pixel size in force.
        reviewer: who decided; empty while unreviewed.
        reason: of the decision.
        signed_by: who signed last; empty if not signed.
        signed_at_utc: when it was signed last; None if not signed.
        measured_at_utc: when the model measured.
        changed_by: who made the last event.
        changed_at_utc: when that was.
        readings: blind readings, oldest first.
        is_adjudicated: whether the decision in force settles all readings that differ from it.
    """

    image_sha256: str
    image_hw: tuple[int, int]
    revision: int
    decision: Decision
    is_signed: bool
    n_signatures: int
    measurement: ModelMeasurement
    calibration: Calibration
    age: IndependentAge | None
    model_outline: Outline
    interval: Interval | None
    outline: Outline
    flags: tuple[str, ...]
    reviewer: str
    reason: str
    signed_by: str
    signed_at_utc: datetime | None
    measured_at_utc: datetime
    changed_by: str
    changed_at_utc: datetime
    readings: tuple[Reading, ...] = ()
    is_adjudicated: bool = False

    @property
    def was_amended(self) -> bool:
        """Whether a signed decision was reopened, so that an earlier report exists that this one replaces."""
        return self.n_signatures > int(self.is_signed)

    @property
    def is_flagged(self) -> bool:
        """Whether it needs attention: a quality flag, no ellipse of the model, or no millimetres."""
        return bool(self.flags) or self.model_outline.hc_mm is None


@dataclass(frozen=True, slots=True)
class ReviewCase:
    """A case with its name.

    Attributes:
        case_id: its number in this store.
        label: neutral name; the only part that can be changed, and no part of the record.
        state: as derived from its events.
    """

    case_id: CaseId
    label: str
    state: CaseState
