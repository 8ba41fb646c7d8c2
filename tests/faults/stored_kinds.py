"""Damaged files that commands and the app take over: models, results to review, review stores, data sets, drawings."""

import io
import json
import shutil
import sqlite3
import struct
import zipfile
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from fetal_hc.errors import FetalHCError
from hc18.geometry.ellipse import Ellipse
from tests.faults.damage import HOSTILE_TEXTS, FaultKind, damaged_bytes, damaged_text
from tests.synthetic_heads import draw_head, write_head_folder
from tests.synthetic_model import head_spec, write_bright_object_model

_MEMBER_NAMES = ("../outside.onnx", "/tmp/outside.onnx", "a/b.onnx", "detector.yaml", "refiner.onnx", "x" * 5_000)
_HUGE = 3_000_000_000  # bytes that a member claims to have


@cache
def _good_bundle() -> bytes:
    """A bundle of a detector with a calibration and a smallest score."""
    from fetal_hc.model.bundle import DETECTOR, INTERVALS, ModelBundle
    from hc18.measurement.interval_model import IntervalModel

    intervals = IntervalModel(0.5, {"log_hc": 1.0}, 2.0, 0.9, 100.0, 160).to_section()
    with TemporaryDirectory() as name:
        network = write_bright_object_model(Path(name) / "d.onnx", head_spec(min_size=0)).read_bytes()
        sections = {INTERVALS: intervals, "measurement": {"min_score": 0.5}, "training": {"n_images": 3}}
        ModelBundle("heads", "1.0", head_spec(min_size=0), {DETECTOR: network}, sections).write(Path(name) / "m.zip")
        return (Path(name) / "m.zip").read_bytes()


def _members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _packed(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def model_file(rng: np.random.Generator) -> bytes:
    """A bundle with flipped bits, a hostile manifest, wrong members or one that unfolds; or a damaged ONNX file."""
    whole = _good_bundle()
    members = _members(whole)
    way = int(rng.integers(7))
    if way == 0:
        return damaged_bytes(whole, rng)
    if way == 1:
        return _packed({**members, "model.json": damaged_text(members["model.json"].decode(), rng)})
    if way == 2:
        manifest = json.loads(members["model.json"])
        _replace_value(manifest, rng)
        return _packed({**members, "model.json": json.dumps(manifest).encode()})
    if way == 3:
        name = _MEMBER_NAMES[int(rng.integers(len(_MEMBER_NAMES)))]
        manifest = json.loads(members["model.json"])
        manifest["sha256"][name] = manifest["sha256"]["detector.onnx"]
        more = {"model.json": json.dumps(manifest).encode(), name: members["detector.onnx"]}
        return _packed({**members, **more})
    if way == 4:
        unfolding = sorted(members)[int(rng.integers(len(members)))]
        return _packed({**members, unfolding: bytes(40_000_000)}, zipfile.ZIP_DEFLATED)
    return _with_false_sizes(whole, rng) if way == 5 else damaged_bytes(members["detector.onnx"], rng)


def _replace_value(document: object, rng: np.random.Generator) -> None:
    """Puts something hostile in the place of one value of a JSON document, at any depth."""
    hostile = ("x", -1, 0, 1e308, -0.5, None, [], {}, True, 10**25, *HOSTILE_TEXTS)
    while isinstance(document, dict) and document:
        key = sorted(document)[int(rng.integers(len(document)))]
        if not isinstance(document[key], dict) or rng.random() < 0.3:
            document[key] = hostile[int(rng.integers(len(hostile)))]
            return
        document = document[key]


def _with_false_sizes(data: bytes, rng: np.random.Generator) -> bytes:
    """A zip file whose directory claims another size of a member, or another way of compression."""
    changed = bytearray(data)
    places = [place for place in range(len(data) - 46) if data[place : place + 4] == b"PK\x01\x02"]
    place = places[int(rng.integers(len(places)))]
    if rng.random() < 0.5:
        struct.pack_into("<I", changed, place + 20 + 4 * int(rng.integers(2)), _HUGE)
    else:
        struct.pack_into("<H", changed, place + 10, (8, 12, 14, 93, 99)[int(rng.integers(5))])
    return bytes(changed)


def read_model(data: bytes, folder: Path) -> str:
    """The file as a model that measures a head."""
    from hc18 import load_model, measure

    (folder / "m.zip").write_bytes(data)
    if not (folder / "head.png").exists():
        Image.fromarray(draw_head(Ellipse(80.0, 56.0, 40.0, 30.0, 0.4))).save(folder / "head.png")
    measure(folder / "head.png", load_model(folder / "m.zip"), pixel_size_mm=0.5)
    return "read"


@cache
def _good_external_table() -> str:
    header = "filename,patient,height_px,width_px,center_x_px,center_y_px,semi_axis_a_px,semi_axis_b_px,angle_rad"
    rows = "".join(f"{n:03}_HC.png,P{n},112,160,80,56,3{n},2{n}.5,0.{n},0.1,\n" for n in range(4))
    return f"{header},pixel_size_mm,hc_mm\n{rows}"


def external_table(rng: np.random.Generator) -> bytes:
    """A table of ellipses of another hospital."""
    return damaged_text(_good_external_table(), rng)


def convert_external(data: bytes, folder: Path) -> str:
    """`fetal-hc convert-external`."""
    from fetal_hc_cli.convert_external_heads import main

    if not (folder / "heads").exists():
        write_head_folder(folder / "heads", 4)
    (folder / "table.csv").write_bytes(data)
    line = ["--table", str(folder / "table.csv"), "--images", str(folder / "heads" / "images")]
    return _outcome_of(main, [*line, "--output", str(folder / "external.json"), "--overwrite"])


@cache
def _good_hc18_files() -> dict[str, bytes]:
    """The files of a small HC18 folder with a submission."""
    from hc18.phantoms.folder import write_phantom_folder

    with TemporaryDirectory() as name:
        root = Path(name) / "hc18"
        write_phantom_folder(root, 1, 1, 5)
        files = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    header = "filename,center_x_mm,center_y_mm,semi_axes_a_mm,semi_axes_b_mm,angle_rad\n"
    return {**files, "submission.csv": f"{header}000_HC.png,50.5,40.25,45.1,36.2,0.5\n".encode()}


def hc18_file(rng: np.random.Generator) -> bytes:
    """Name and content of one damaged file of an HC18 folder."""
    files = _good_hc18_files()
    name = sorted(files)[int(rng.integers(len(files)))]
    is_table = name.endswith(".csv")
    content = damaged_text(files[name].decode(), rng) if is_table else damaged_bytes(files[name], rng)
    return name.encode() + b"\n" + content


def check_hc18(data: bytes, folder: Path) -> str:
    """`fetal-hc check` of a folder with the damaged file."""
    from fetal_hc_cli.check_hc18 import main

    shutil.rmtree(folder / "hc18", ignore_errors=True)
    damaged, _, content = data.partition(b"\n")
    for name, good in {**_good_hc18_files(), damaged.decode(): content}.items():
        (folder / "hc18" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "hc18" / name).write_bytes(good)
    root = str(folder / "hc18")
    return _outcome_of(main, ["--root", root, "--submission", f"{root}/submission.csv"])


def _outcome_of(main: Callable[[list[str]], int], line: list[str]) -> str:
    """What a command made of a file; it must end with an exit code of the contract and a message."""
    text = io.StringIO()
    with redirect_stdout(text), redirect_stderr(text):
        code = main(line)
    assert code in (0, 1, 2), f"exit code {code}"
    assert "Traceback" not in text.getvalue(), text.getvalue()[-300:]
    assert code == 0 or text.getvalue().strip(), "a refusal without a sentence"
    return "read" if code == 0 else "refused"


@cache
def _good_details() -> str:
    """The details of a batch of four images."""
    from hc18.measurement.batches import MeasureSettings, measure_files
    from hc18.measurement.rows import MEASUREMENT_TABLE

    with TemporaryDirectory() as name:
        heads = write_head_folder(Path(name) / "heads", 4)
        model = write_bright_object_model(Path(name) / "bright.onnx", head_spec(min_size=0))
        settings = MeasureSettings(model=model, runner="serial")
        rows = [
            MEASUREMENT_TABLE.to_texts(row) for row in measure_files(heads.images, heads.pixel_sizes, settings=settings)
        ]
    return "".join(",".join(cells) + "\n" for cells in [list(MEASUREMENT_TABLE.names), *rows])


def details_table(rng: np.random.Generator) -> bytes:
    """A details table of a measured batch."""
    return damaged_text(_good_details(), rng)


def import_details(data: bytes, folder: Path) -> str:
    """The table as a batch that is taken into a review store, which stays intact and grows by what was told."""
    from hc18.reviews.batch_import import import_batch
    from hc18.reviews.store import ReviewStore

    if not (folder / "heads").exists():
        write_head_folder(folder / "heads", 4)
    (folder / "details.csv").write_bytes(data)
    with TemporaryDirectory(dir=folder) as name, ReviewStore(f"{name}/reviews.db") as store:
        try:
            rows = list(import_batch(store, folder / "details.csv", folder / "heads" / "images", "ann"))
        finally:
            assert store.verify().problems == (), store.verify().problems
        assert all((row.registration is None) == bool(row.problem) for row in rows)
        cases = {row.registration.case_id for row in rows if row.registration}
        assert store.progress().n_cases == len(cases)
        for case_id in cases:
            assert store.case(case_id).case_id == case_id
    return "partly refused" if any(row.problem for row in rows) else "read"


@cache
def _good_store() -> bytes:
    """A store with cases, decisions and a draft, as one SQLite file."""
    from hc18.reviews.models import ReviewAction
    from hc18.reviews.store import ReviewStore
    from tests.hc18.reviews.cases import CORRECTED, new_case

    with TemporaryDirectory() as name:
        with ReviewStore(f"{name}/reviews.db") as store:
            for number in (1, 2, 3):
                store.register_case(new_case(number), "ann")
            store.append(1, 1, ReviewAction.ACCEPT, "ann")
            store.append(2, 1, ReviewAction.CORRECT, "bob", ellipse_px=CORRECTED)
            store.keep_draft(3, "bob", 1, CORRECTED)
        with sqlite3.connect(f"{name}/reviews.db") as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.execute("PRAGMA journal_mode=DELETE")
        connection.close()
        return (Path(name) / "reviews.db").read_bytes()


def store_file(rng: np.random.Generator) -> bytes:
    """The SQLite file of a review store."""
    return damaged_bytes(_good_store(), rng)


def verify_store(data: bytes, folder: Path) -> str:
    """`fetal-hc verify`, and what the app reads: the queue, a case, its picture, a draft."""
    from fetal_hc_cli.verify_reviews import main
    from hc18.reviews.store import ReviewStore

    with TemporaryDirectory(dir=folder) as name:
        path = Path(name) / "reviews.db"
        path.write_bytes(data)
        outcome = _outcome_of(main, ["--store", str(path)])
        with ReviewStore(str(path)) as store:
            for read in (store.queue, store.progress, lambda: store.case(2), lambda: store.image(3)):
                try:
                    read()
                except FetalHCError:
                    outcome = "partly refused"
            store.draft(3, "bob")
    return outcome


def browser_message(rng: np.random.Generator) -> bytes:
    """What a changed browser sends as an edit of an ellipse, as JSON."""
    ellipse = {"center_x": 40.0, "center_y": 30.0, "semi_axis_a": 20.0, "semi_axis_b": 15.0, "angle_rad": 0.3}
    message = {"ellipse": ellipse, "seq": 3, "session": "abc", "resent": False, "shown": True}
    for _ in range(int(rng.integers(1, 4))):
        _replace_value(message, rng)
    numbers = (float("nan"), float("inf"), -float("inf"), 1e300, 1e-300, -5.0, 0.0, 99_999.0)
    if rng.random() < 0.5 and isinstance(message["ellipse"], dict):
        name = sorted(ellipse)[int(rng.integers(len(ellipse)))]
        message["ellipse"][name] = numbers[int(rng.integers(len(numbers)))]
    return json.dumps(message).encode()


def keep_drawing(data: bytes, folder: Path) -> str:
    """The message as a drawing that is kept as a draft, comes back, and is saved as a correction or refused."""
    from fetal_hc_app.editor import from_payload
    from hc18.reviews.models import ReviewAction
    from hc18.reviews.store import ReviewStore
    from hc18.reviews.validation import ellipse_problem
    from tests.hc18.reviews.cases import IMAGE_HW, new_case

    edit = from_payload(json.loads(data))
    if edit is None:
        return "refused"
    with TemporaryDirectory(dir=folder) as name, ReviewStore(f"{name}/reviews.db") as store:
        store.register_case(new_case(1), "ann")
        store.keep_draft(1, "ann", 1, edit.ellipse)
        kept = store.draft(1, "ann")
        assert kept is not None, "the draft is lost"
        assert kept.ellipse_px == edit.ellipse, "the draft has changed"
        problem = ellipse_problem(edit.ellipse, IMAGE_HW)
        try:
            store.append(1, 1, ReviewAction.CORRECT, "ann", ellipse_px=edit.ellipse)
        except FetalHCError:
            return "partly refused"
        finally:
            assert store.verify().problems == ()
    assert not problem, f"saved although {problem}"
    return "read"


STORED_KINDS = (
    FaultKind("model bundle", model_file, read_model),
    FaultKind("table of other hospitals", external_table, convert_external),
    FaultKind("HC18 folder", hc18_file, check_hc18),
    FaultKind("results to review", details_table, import_details),
    FaultKind("review store", store_file, verify_store),
    FaultKind("drawing from a browser", browser_message, keep_drawing),
)
