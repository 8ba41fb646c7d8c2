"""From received DICOM objects to cases in the review store, by the same rules as uploads.

The order of the steps makes every moment a safe one to be killed: the case is written first (the same pixels are the
same case), then the row of the object, then its file is removed. A step that was done is not done twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from fetal_hc.errors import FetalHCError, ModelError
from hc18.measurement.flags import Status
from hc18.measurement.groups import GroupBy, summarize_group
from hc18.measurement.rows import frame_number
from hc18.pacs.inbox import Inbox
from hc18.pacs.inbox_tables import Finished, InstanceState
from hc18.pacs.spool import Arrival
from hc18.reviews import worklist
from hc18.reviews.images import DicomToPrepare, StillImage, clip_code, clip_frames, open_dicom, still_of
from hc18.reviews.measuring import Model, Sizes, measure_clip, measure_still
from hc18.reviews.models import CaseId, NewCase
from hc18.reviews.store import ReviewStore
from hc18.reviews.worklist import CaseTags

RECEIVER = "DICOM receiver"  # who registers the cases in the record
MOST_ATTEMPTS = 5
_AT_ONCE = 8
_NO_SIZES = Sizes({}, None, "")
_NEEDS_REGION = (
    "The file does not say where the ultrasound picture lies, so a name may be burned into it. Open it and choose the "
    "part that may be shown."
)
_NEEDS_FRAME = "No frame of the clip has a head with millimetres. Open it and choose a frame."
_GAVE_UP = (
    f"The measurement ended unfinished {MOST_ATTEMPTS} times, as if the program was killed by this object. Look at it "
    "with another program, then try again."
)


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of the objects of one step.

    Attributes:
        n_measured: objects that became cases.
        n_waiting: objects that wait for a person.
        n_failed: objects that cannot be read.
        n_repeated: objects that had come before.
    """

    n_measured: int = 0
    n_waiting: int = 0
    n_failed: int = 0
    n_repeated: int = 0

    @property
    def n_objects(self) -> int:
        """All of them."""
        return self.n_measured + self.n_waiting + self.n_failed + self.n_repeated

    def __add__(self, other: Taken) -> Taken:
        """The sum of two steps."""
        return Taken(
            self.n_measured + other.n_measured,
            self.n_waiting + other.n_waiting,
            self.n_failed + other.n_failed,
            self.n_repeated + other.n_repeated,
        )


@dataclass(frozen=True, slots=True)
class _Measured:
    """The cases of an object that wait for their transaction, or why there are none."""

    arrival: Arrival
    cases: tuple[NewCase, ...] = ()
    frame_numbers: tuple[int | None, ...] = ()
    state: InstanceState = InstanceState.MEASURED
    reason: str = ""
    tags: CaseTags | None = None


def take_in(inbox: Inbox, store: ReviewStore, model: Model, pool: ThreadPoolExecutor) -> Taken:
    """Measures the next objects of the spool and puts them into the store; nothing if none waits.

    Args:
        inbox: with its spool.
        store: to add the cases to.
        model: whose network uses one thread for an image.
        pool: that measures images side by side.

    Raises:
        ConfigError: if the key is not the one that the spool was written with.
        StoreError: if a database cannot be written; everything is tried again by the next call.
    """
    spool = inbox.spool
    found = [spool.read(key) for key in _next_keys(inbox)]
    begun = inbox.begin([arrival for arrival in found if arrival is not None])
    for key in begun.keep:
        spool.keep(key)
    for key in begun.remove:
        spool.remove(key)
    measured = list(pool.map(lambda due: _measure(model, *due), begun.due))
    finished = inbox.finish(_register(store, measured))
    for result in finished:
        spool.keep(result.arrival.key) if result.is_kept else spool.remove(result.arrival.key)
    states = [result.state for result in finished]
    return Taken(
        states.count(InstanceState.MEASURED),
        states.count(InstanceState.WAITS) + len(begun.keep),
        states.count(InstanceState.FAILED),
        len(begun.remove),
    )


def _next_keys(inbox: Inbox) -> list[str]:
    """The objects of the next step: new ones first, one that was begun twice in vain by itself and last."""
    waiting = list(dict.fromkeys([*inbox.spool.waiting(), *inbox.to_repeat()]))[: 20 * _AT_ONCE]
    attempts = inbox.attempts(waiting)
    fresh = [key for key in waiting if attempts[key] < 2]
    return fresh[:_AT_ONCE] or sorted(waiting, key=lambda key: attempts[key])[:1]


def _measure(model: Model, arrival: Arrival, attempt: int) -> _Measured:
    """The cases of an object; never raises for its content."""
    if attempt > MOST_ATTEMPTS:
        return _Measured(arrival, state=InstanceState.FAILED, reason=_GAVE_UP)
    try:
        item = open_dicom("object", arrival.content)
        if isinstance(item, StillImage):
            return _measure_one(model, arrival, item)
        if item.needs_region:
            return _Measured(arrival, state=InstanceState.WAITS, reason=_NEEDS_REGION)
        return _measure_best_frames(model, arrival, item)
    except ModelError as error:
        return _Measured(arrival, state=InstanceState.FAILED, reason=f"The model could not measure it: {error}")
    except FetalHCError as error:
        return _Measured(arrival, state=InstanceState.FAILED, reason=str(error))


def _measure_one(model: Model, arrival: Arrival, still: StillImage) -> _Measured:
    case = measure_still(model, still, _NO_SIZES)
    if case.measurement.status == Status.NO_PIXEL_SIZE:
        return _Measured(arrival, (case,), (None,), InstanceState.WAITS, case.calibration.detail)
    return _Measured(arrival, (case,), (None,))


def _measure_best_frames(model: Model, arrival: Arrival, clip: DicomToPrepare) -> _Measured:
    """The best frames of a clip as cases of one examination, as the upload page proposes them."""
    rows = list(measure_clip(model, clip, None, clip_frames(clip.dicom.n_frames), _NO_SIZES))
    best = sorted(map(frame_number, summarize_group(clip.name, rows, GroupBy.CLIP).best_images))
    if not best:
        return _Measured(arrival, state=InstanceState.WAITS, reason=_NEEDS_FRAME)
    cases = tuple(measure_still(model, still_of(clip, number - 1, None), _NO_SIZES) for number in best)
    return _Measured(arrival, cases, tuple(best), tags=CaseTags(clip_code(clip)))


def _register(store: ReviewStore, measured: Sequence[_Measured]) -> list[Finished]:
    """Puts all new cases into the store in one transaction."""
    new = [case for each in measured for case in each.cases]
    registered = iter(store.register_cases(new, RECEIVER) if new else ())
    finished = []
    for each in measured:
        case_ids = [next(registered).case_id for _ in each.cases]
        if each.tags is not None:
            _note_tags(store, case_ids, each.tags)
        frames: dict[CaseId, int | None] = dict(zip(case_ids, each.frame_numbers, strict=True))
        finished.append(Finished(each.arrival, each.state, each.reason, frames))
    return finished


def _note_tags(store: ReviewStore, case_ids: Sequence[CaseId], tags: CaseTags) -> None:
    """Notes the code of a clip for those of its cases that have none."""
    with store.writer() as connection:
        bare = [case_id for case_id in case_ids if worklist.read_tags(connection, case_id) == CaseTags()]
        worklist.write_tags(connection, bare, tags)
