"""Batches that end early continue where they were, and give the files of a batch that was never interrupted."""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fetal_hc.batch.batch import BatchInterrupted
from fetal_hc.batch.checkpoint.checkpoint_directory import CheckpointDirectory
from fetal_hc.batch.sources import ImageSource
from fetal_hc.batch.summary import BatchSummary
from fetal_hc.batch.tasks import ImageTask
from fetal_hc.errors import ConfigError, DatasetError, FetalHCError
from fetal_hc.model.checksum import file_sha256
from hc18.measurement.batches import MeasureSettings, measure_batch
from hc18.measurement.pixel_size_rules import TablePixelSize, open_source
from hc18.measurement.rows import MEASUREMENT_TABLE
from tests.synthetic_heads import write_head_folder
from tests.synthetic_model import head_spec, write_bright_object_model

N_IMAGES = 8


@dataclass
class Runs:
    """Runs of one batch that end in the same files."""

    images: Path
    model: Path
    output: Path
    expected: tuple[bytes, bytes]

    def run(self, *, stop_after: int | None = None, **changes: object) -> BatchSummary:
        """One run; Ctrl-C comes when so many results are finished."""
        source = open_source(self.images / "m.csv")
        if stop_after is not None:
            source = _interrupted(source, stop_after)
        settings = MeasureSettings(**{"model": self.model, "runner": "serial", **changes})  # type: ignore[arg-type]
        return measure_batch(source, self.output / "s.csv", self.output / "d.csv", settings)

    def interrupt(self, n_results: int, **changes: object) -> None:
        """A run that ends early."""
        with pytest.raises(BatchInterrupted, match=f"{n_results} of 8 images are finished and kept in .*--resume"):
            self.run(stop_after=n_results, **changes)

    @property
    def checkpoint(self) -> Path:
        return self.output / "s.csv.parts"

    @property
    def shard(self) -> Path:
        (shard,) = self.checkpoint.glob("shard-*")
        return shard

    def check(self) -> None:
        assert ((self.output / "s.csv").read_bytes(), (self.output / "d.csv").read_bytes()) == self.expected
        assert sorted(path.name for path in self.output.iterdir()) == ["d.csv", "s.csv"]


def _interrupted(source: ImageSource[TablePixelSize], n_results: int) -> ImageSource[TablePixelSize]:
    """The source with Ctrl-C in its stream; a file is read ahead of the results."""

    def tasks() -> Iterator[ImageTask[TablePixelSize]]:
        for task in source.tasks():
            if task.index == n_results + 1:
                raise KeyboardInterrupt
            yield task

    return replace(source, tasks=tasks)


@pytest.fixture
def runs(tmp_path: Path, bright_model: Path) -> Runs:
    """A batch of eight images, one of them broken, that was run without interruption elsewhere."""
    heads = write_head_folder(tmp_path / "data", N_IMAGES)
    (heads.images / "004_HC.png").write_bytes(b"broken")
    rows = "".join(f"{name},{size}\n" for name, size in heads.pixel_sizes_mm.items())
    (heads.images / "m.csv").write_text("path,pixel_size_mm\n" + rows)
    reference = Runs(heads.images, bright_model, tmp_path / "reference", (b"", b""))
    reference.run()
    expected = (reference.output / "s.csv").read_bytes(), (reference.output / "d.csv").read_bytes()
    assert expected[1].count(b"\n") == N_IMAGES + 1
    return Runs(heads.images, bright_model, tmp_path / "out", expected)


@pytest.mark.parametrize("n_results", [1, 3, N_IMAGES - 2])
def test_interrupted_batch_is_continued_and_no_finished_image_is_read_again(runs: Runs, n_results: int) -> None:
    runs.interrupt(n_results)
    assert [path.name for path in runs.output.iterdir()] == ["s.csv.parts"]
    for index in range(n_results):
        (runs.images / f"{N_IMAGES - 1 - index:03d}_HC.png").unlink()
    summary = runs.run(resume=True)
    runs.check()
    assert (summary.n_before, summary.n_images) == (n_results, N_IMAGES)


def test_batch_may_be_interrupted_again_and_again_and_continued_by_others(runs: Runs) -> None:
    for n_results in (2, 3, 5):
        runs.interrupt(n_results, resume=True)
    runs.run(resume=True, runner="pool", workers=2)
    runs.check()


def test_resume_of_nothing_begins(runs: Runs) -> None:
    assert runs.run(resume=True).n_before == 0
    runs.check()


def test_finished_batch_is_complete_already_and_is_not_measured_again(runs: Runs) -> None:
    first = runs.run()
    summary = runs.run(resume=True)
    assert "this batch is complete already; nothing was changed" in summary.to_text()
    assert (summary.n_before, summary.tally.to_json()) == (N_IMAGES, first.tally.to_json())
    runs.check()


def _measure_others(runs: Runs) -> None:
    """Other pictures of the same names and shape, older than the results."""
    for name in ("000_HC.png", "003_HC.png"):
        path = runs.images / name
        state = path.stat()
        path.write_bytes((runs.images / "006_HC.png").read_bytes())
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def _edit(name: str, old: str, new: str, count: int = 1) -> Callable[[Runs], None]:
    """Replaces a text in a result file or in the manifest."""

    def edit(runs: Runs) -> None:
        path = runs.images / name if name == "m.csv" else runs.output / name
        text = re.sub(old, new, path.read_text(), count=count)
        assert text != path.read_text()
        path.write_text(text)

    return edit


OTHER_BATCHES: dict[str, Callable[[Runs], None]] = {
    "an image more": _edit("m.csv", "(000_HC.png)(,.*\n)", r"\1\2another.png\2"),
    "an image less": _edit("m.csv", "001_HC.png,.*\n", ""),
    "another order": _edit("m.csv", "(002_HC.png,.*\n)(001_HC.png,.*\n)", r"\2\1"),
    "another pixel size": _edit("m.csv", "(005_HC.png),.*", r"\1,0.123"),
    "a newer image": lambda runs: (runs.images / "001_HC.png").touch(),
    "other pictures": _measure_others,
    "a row of the details less": _edit("d.csv", "007_HC.png,.*\n", ""),
    "a row of the submission less": _edit("s.csv", "001_HC.png,.*\n", ""),
    "a row of the submission more": _edit("s.csv", "$", "another.png,1,1,1,1,1\n"),
    "another ellipse in the submission": _edit("s.csv", r"(001_HC.png,)\d", r"\g<1>1"),
    "a file that is not a table": lambda runs: (runs.output / "d.csv").write_bytes(b"\xff\0") and None,
}


@pytest.mark.parametrize("change", OTHER_BATCHES.values(), ids=OTHER_BATCHES)
def test_results_of_another_batch_are_not_taken_for_this_one(runs: Runs, change: Callable[[Runs], None]) -> None:
    runs.run()
    change(runs)
    before = [(runs.output / name).read_bytes() for name in ("s.csv", "d.csv")]
    with pytest.raises(ConfigError, match="exists already"):
        runs.run(resume=True)
    assert [(runs.output / name).read_bytes() for name in ("s.csv", "d.csv")] == before


def test_results_of_another_model_are_not_taken_for_this_batch(runs: Runs, tmp_path: Path) -> None:
    runs.run()
    other = write_bright_object_model(tmp_path / "m.onnx", head_spec(min_size=0), score=0.8)
    with pytest.raises(
        ConfigError, match=r"with other results than those of this batch: '.*' was measured with another"
    ):
        runs.run(resume=True, model=other)
    runs.check()


@pytest.mark.parametrize("min_score", [0.4, 0.85])
def test_finished_batch_with_a_smallest_score_is_complete_already(runs: Runs, min_score: float) -> None:
    Image.fromarray(np.zeros((112, 160), np.uint8)).save(runs.images / "000_HC.png")  # no head, for a reason
    runs.run(min_score=min_score)
    files = [(runs.output / name).read_bytes() for name in ("s.csv", "d.csv")]
    summary = runs.run(resume=True, min_score=min_score)
    assert "this batch is complete already; nothing was changed" in summary.to_text()
    assert [(runs.output / name).read_bytes() for name in ("s.csv", "d.csv")] == files


@pytest.mark.parametrize(("first", "second"), [(0.4, 0.3), (0.4, None), (None, 0.4), (0.4, 0.95)])
def test_results_of_another_smallest_score_are_named_as_such(
    runs: Runs, first: float | None, second: float | None
) -> None:
    Image.fromarray(np.zeros((112, 160), np.uint8)).save(runs.images / "000_HC.png")
    runs.run(min_score=first)
    with pytest.raises(
        ConfigError, match=r"'\d+_HC\.png' was measured with another smallest score than 0\.\d+; choose"
    ):
        runs.run(resume=True, min_score=second)


def test_unfinished_batch_is_reported_without_resume_and_given_up_with_overwrite(runs: Runs) -> None:
    runs.interrupt(3)
    with pytest.raises(ConfigError, match=r"unfinished batch; continue it with --resume, or give it up with --over"):
        runs.run()
    assert runs.run(overwrite=True).n_before == 0
    runs.check()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"min_score": 0.6}, "smallest score: of the model in the unfinished batch, 0.6 now"),
        ({"threads": 3}, r"threads per process: \d+ in the unfinished batch, 3 now"),
        ({"model": "another"}, r"model \(SHA-256\): {old} in the unfinished batch, {new} now"),
    ],
)
def test_other_settings_are_refused_with_the_difference(
    runs: Runs, tmp_path: Path, changes: dict[str, object], reason: str
) -> None:
    runs.interrupt(3)
    if "model" in changes:
        changes = {"model": write_bright_object_model(tmp_path / "m.onnx", head_spec(min_size=0), score=0.8)}
        reason = reason.format(old=file_sha256(runs.model), new=file_sha256(tmp_path / "m.onnx"))
    with pytest.raises(ConfigError, match=reason):
        runs.run(resume=True, **changes)
    runs.run(resume=True)
    runs.check()


def _change_header(runs: Runs, **settings: object) -> None:
    header = json.loads((runs.checkpoint / "batch.json").read_text())
    header["settings"] |= settings
    (runs.checkpoint / "batch.json").write_text(json.dumps(header))


def test_other_library_versions_are_refused(runs: Runs) -> None:
    runs.interrupt(3)
    _change_header(runs, **{"version of onnxruntime": "1.2.3"})
    with pytest.raises(ConfigError, match=r"version of onnxruntime: 1\.2\.3 in the unfinished batch"):
        runs.run(resume=True)


@pytest.mark.parametrize("kind", ["image", "pixel size", "new image"])
def test_changed_inputs_are_refused_with_the_difference(runs: Runs, kind: str) -> None:
    runs.interrupt(3)
    manifest = runs.images / "m.csv"
    if kind == "image":
        shutil.copy(runs.images / "000_HC.png", runs.images / "007_HC.png")
    elif kind == "pixel size":
        manifest.write_text(manifest.read_text().replace(",0.", ",1."))
    else:
        manifest.write_text(manifest.read_text() + "zzz.png,0.2\n")
    reason = {
        "image": r"007_HC\.png: was changed after it was measured",
        "pixel size": r"manifest \(SHA-256\): ",
        "new image": "number of images: 8 in the unfinished batch, 9 now",
    }[kind]
    with pytest.raises(FetalHCError, match=reason):
        runs.run(resume=True)


@pytest.mark.parametrize("tail", [b"", b"torn {", b"\0" * 512])
def test_power_failure_costs_the_last_results_only(runs: Runs, tail: bytes) -> None:
    runs.interrupt(6)
    lines = runs.shard.read_bytes().splitlines(keepends=True)
    runs.shard.write_bytes(b"".join(lines[:4]) + lines[4][:50] + tail)
    assert runs.run(resume=True).n_before == 4
    runs.check()


def test_damage_in_the_middle_of_a_shard_is_measured_again(runs: Runs) -> None:
    runs.interrupt(6)
    content = bytearray(runs.shard.read_bytes())
    content[len(content) // 2] ^= 1
    runs.shard.write_bytes(content)
    runs.run(resume=True)
    runs.check()


def _finish_checkpoint(runs: Runs) -> None:
    """A batch whose results are all in its checkpoint directory, before any result file was written."""
    (runs.output / "d.csv").mkdir(parents=True)
    with pytest.raises(FetalHCError, match=r"a folder has this name(.|\n)*\n8 of 8 images are finished and kept"):
        runs.run(overwrite=True)
    (runs.output / "d.csv").rmdir()


def test_result_files_with_the_same_content_are_taken_for_those_of_a_killed_run(runs: Runs) -> None:
    _finish_checkpoint(runs)
    (runs.output / "d.csv").write_bytes(runs.expected[1])
    runs.run(resume=True)
    runs.check()


def test_foreign_file_in_the_place_of_a_result_is_kept(runs: Runs) -> None:
    _finish_checkpoint(runs)
    (runs.output / "d.csv").write_text("mine")
    with pytest.raises(ConfigError, match=r"d\.csv: exists already"):
        runs.run(resume=True)
    assert (runs.output / "d.csv").read_text() == "mine"
    runs.run(resume=True, overwrite=True)
    runs.check()


def test_error_while_the_results_are_merged_keeps_everything(runs: Runs) -> None:
    _finish_checkpoint(runs)
    assert [path.name for path in runs.output.iterdir()] == ["s.csv.parts"]
    assert runs.run(resume=True).n_before == N_IMAGES
    runs.check()


def test_images_of_a_deleted_shard_are_measured_again(runs: Runs) -> None:
    _finish_checkpoint(runs)
    lines = runs.shard.read_bytes().splitlines(keepends=True)
    (runs.checkpoint / "shard-000000000003.jsonl").write_bytes(b"".join(lines[3:]))
    (runs.checkpoint / "shard-000000000000.jsonl").unlink()
    assert runs.run(resume=True).n_before == N_IMAGES - 3
    runs.check()


def test_two_runs_do_not_work_on_one_batch(runs: Runs) -> None:
    runs.interrupt(3)
    checkpoint = CheckpointDirectory(str(runs.checkpoint), MEASUREMENT_TABLE)
    with checkpoint.locked(), pytest.raises(FetalHCError, match="another run is working"):
        runs.run(resume=True)
    runs.run(resume=True)
    runs.check()


def test_files_of_others_in_the_checkpoint_directory_are_left_alone(runs: Runs) -> None:
    runs.checkpoint.mkdir(parents=True)
    (runs.checkpoint / "notes.txt").write_text("mine")
    runs.run()
    assert [path.name for path in runs.checkpoint.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[1]",
        "7",
        '{"format": 2}',
        '{"format": 2, "settings": [1]}',
        '{"format": 2, "settings": {"a": 1}}',
        '{"format": 2, "settings": {}, "outcome": 3}',
        "[" * 5000,
        '{"format": ' + "9" * 6000 + "}",
        '{"format": 2, "settings": {"threads per process": "many"}}',
        '{"format": 2, "settings": {"threads per process": "99999999"}}',
    ],
)
def test_damaged_header_has_a_remedy(runs: Runs, content: str) -> None:
    runs.checkpoint.mkdir(parents=True)
    (runs.checkpoint / "batch.json").write_text(content)
    with pytest.raises(DatasetError, match=r"s\.csv\.parts.* start again with --overwrite"):
        runs.run(resume=True)
    runs.run(overwrite=True)
    runs.check()


def test_unfinished_batch_of_an_older_version_is_refused_and_given_up_with_overwrite(runs: Runs) -> None:
    runs.checkpoint.mkdir(parents=True)
    (runs.checkpoint / "batch.json").write_text('{"model (SHA-256)": "abc", "threads per process": "1"}')
    (runs.checkpoint / "part-000000000000.jsonl").write_text("")
    with pytest.raises(ConfigError, match="unfinished batch of another version of this program; finish it with that"):
        runs.run(resume=True)
    runs.run(overwrite=True)
    runs.check()


def test_checkpoint_directory_may_be_elsewhere(runs: Runs, tmp_path: Path) -> None:
    runs.interrupt(3, checkpoint=str(tmp_path / "scratch"))
    assert list(runs.output.parent.glob("out/*")) == []
    assert runs.run(resume=True, checkpoint=str(tmp_path / "scratch")).n_before == 3
    assert not (tmp_path / "scratch").exists()
    runs.check()
