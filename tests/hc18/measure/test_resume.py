"""Batches that end early continue where they were, and give the files of a batch that was never interrupted."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fetal_hc.batch import batch
from fetal_hc.batch.checkpoint.checkpoint_directory import CheckpointDirectory
from fetal_hc.batch.checkpoint.job_results import TaskResult
from fetal_hc.batch.summary import BatchSummary
from fetal_hc.errors import ConfigError, DatasetError, FetalHCError
from fetal_hc.model.checksum import file_sha256
from hc18.measure import result_files, worker
from hc18.measure.scoring import BatchInterrupted, BatchSettings, score_folder
from tests.synthetic_heads import HeadFolder, write_head_folder
from tests.synthetic_model import head_spec, write_bright_object_model

N_IMAGES = 8


@dataclass
class Runs:
    """Runs of one batch that end in the same files."""

    heads: HeadFolder
    model: Path
    output: Path
    expected: tuple[bytes, bytes]

    def run(self, **changes: object) -> BatchSummary:
        settings = BatchSettings(**{"model": self.model, "runner": "serial", **changes})  # type: ignore[arg-type]
        return score_folder(
            self.heads.images, self.heads.pixel_sizes, self.output / "s.csv", self.output / "d.csv", settings
        )

    @property
    def parts(self) -> Path:
        return self.output / "s.csv.parts"

    def check(self) -> None:
        assert ((self.output / "s.csv").read_bytes(), (self.output / "d.csv").read_bytes()) == self.expected
        assert not self.parts.exists()


@pytest.fixture
def runs(tmp_path: Path, bright_model: Path) -> Runs:
    """A batch of eight images, one of them broken, that was run without interruption elsewhere."""
    heads = write_head_folder(tmp_path / "data", N_IMAGES)
    (heads.images / "004_HC.png").write_bytes(b"broken")
    reference = Runs(heads, bright_model, tmp_path / "reference", (b"", b""))
    reference.run()
    assert sorted(path.name for path in reference.output.iterdir()) == ["d.csv", "s.csv"]
    expected = (reference.output / "s.csv").read_bytes(), (reference.output / "d.csv").read_bytes()
    assert expected[1].count(b"\n") == N_IMAGES + 1
    return Runs(heads, bright_model, tmp_path / "out", expected)


def _stop_after(
    monkeypatch: pytest.MonkeyPatch, n_results: int, error: BaseException | None = None
) -> Callable[[], None]:
    """Lets Ctrl-C, or another error, come after so many results; returns what ends that."""
    append = batch.ShardWriter.append

    def interrupted(writer: batch.ShardWriter, result: TaskResult) -> None:
        if writer.n_written == n_results:
            raise error or KeyboardInterrupt
        append(writer, result)

    monkeypatch.setattr(batch.ShardWriter, "append", interrupted)
    return lambda: monkeypatch.setattr(batch.ShardWriter, "append", append)


@contextlib.contextmanager
def _counted_reads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The images that are read while the block runs."""
    read, names = worker.read_image_file, list[str]()

    def counted(location: str) -> tuple[bytes, worker.FileStamp]:
        names.append(Path(location).name)
        return read(location)

    with monkeypatch.context() as patch:
        patch.setattr(worker, "read_image_file", counted)
        yield names


@pytest.mark.parametrize("n_results", [1, 3, N_IMAGES - 1])
def test_interrupted_batch_is_continued_and_no_finished_image_is_read_again(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, n_results: int
) -> None:
    proceed = _stop_after(monkeypatch, n_results)
    with pytest.raises(BatchInterrupted, match=f"{n_results} of 8 images are finished and kept in .*--resume"):
        runs.run()
    assert [path.name for path in runs.output.iterdir()] == ["s.csv.parts"]
    proceed()
    with _counted_reads(monkeypatch) as names:
        summary = runs.run(resume=True)
    runs.check()
    assert names == [f"{N_IMAGES - 1 - index:03d}_HC.png" for index in range(n_results, N_IMAGES)]
    assert (summary.n_before, summary.n_images) == (n_results, N_IMAGES)


def test_batch_may_be_interrupted_again_and_again_and_continued_by_others(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    proceed = _stop_after(monkeypatch, 2)
    for _ in range(3):
        with pytest.raises(BatchInterrupted):
            runs.run(resume=True)
    proceed()
    runs.run(resume=True, runner="pool", workers=2)
    runs.check()


def test_resume_of_nothing_begins(runs: Runs) -> None:
    assert runs.run(resume=True).n_before == 0
    runs.check()


def test_finished_batch_is_not_measured_again(runs: Runs) -> None:
    runs.run(resume=True)
    with pytest.raises(ConfigError, match="exists already"):
        runs.run(resume=True)
    runs.check()


def test_unfinished_batch_is_reported_without_resume_and_given_up_with_overwrite(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    proceed = _stop_after(monkeypatch, 3)
    with pytest.raises(BatchInterrupted):
        runs.run()
    proceed()
    with pytest.raises(ConfigError, match=r"unfinished batch; continue it with --resume, or give it up with --over"):
        runs.run()
    with _counted_reads(monkeypatch) as names:
        runs.run(overwrite=True)
    assert len(names) == N_IMAGES
    runs.check()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"min_score": 0.6}, "smallest score: 0.35 in the unfinished batch, 0.6 now"),
        ({"threads": 3}, r"threads per process: \d+ in the unfinished batch, 3 now"),
        ({"model": "another"}, r"model \(SHA-256\): {old} in the unfinished batch, {new} now"),
    ],
)
def test_other_settings_are_refused_with_the_difference(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, changes: dict[str, object], reason: str
) -> None:
    proceed = _stop_after(monkeypatch, 3)
    with pytest.raises(BatchInterrupted):
        runs.run()
    proceed()
    if "model" in changes:
        changes = {"model": write_bright_object_model(tmp_path / "m.onnx", head_spec(min_size=0), score=0.8)}
        reason = reason.format(old=file_sha256(runs.model), new=file_sha256(tmp_path / "m.onnx"))
    with pytest.raises(ConfigError, match=reason):
        runs.run(resume=True, **changes)
    runs.run(resume=True)
    runs.check()


def test_other_library_versions_are_refused(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    proceed = _stop_after(monkeypatch, 3)
    with pytest.raises(BatchInterrupted):
        runs.run()
    proceed()
    header = json.loads((runs.parts / "batch.json").read_text())
    (runs.parts / "batch.json").write_text(json.dumps({**header, "version of onnxruntime": "1.2.3"}))
    with pytest.raises(ConfigError, match=r"version of onnxruntime: 1\.2\.3 in the unfinished batch"):
        runs.run(resume=True)


@pytest.mark.parametrize("kind", ["image", "table", "new image"])
def test_changed_inputs_are_refused_with_the_difference(runs: Runs, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    proceed = _stop_after(monkeypatch, 3)
    with pytest.raises(BatchInterrupted):
        runs.run()
    proceed()
    changed = {"image": runs.heads.images / "007_HC.png", "new image": runs.heads.images / "zzz.png"}
    if kind == "table":
        runs.heads.pixel_sizes.write_text(runs.heads.pixel_sizes.read_text().replace(",0.", ",1."))
    else:
        changed[kind].write_bytes((runs.heads.images / "000_HC.png").read_bytes())
    reason = {
        "image": r"007_HC\.png: was changed after it was measured",
        "table": r"list of images \(SHA-256\): ",
        "new image": "number of images: 8 in the unfinished batch, 9 now",
    }[kind]
    with pytest.raises(FetalHCError, match=reason):
        runs.run(resume=True)


def test_measured_image_may_be_gone(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    proceed = _stop_after(monkeypatch, 3)
    with pytest.raises(BatchInterrupted):
        runs.run()
    proceed()
    (result, *_) = [
        result for part in CheckpointDirectory(str(runs.parts)).list_shards() for result in batch.read_shard(part)
    ]
    listed = list(runs.heads.images.iterdir())
    monkeypatch.setattr(os, "scandir", lambda _folder: contextlib.nullcontext([_Entry(path) for path in listed]))
    Path(str(result.path)).unlink()
    runs.run(resume=True)
    monkeypatch.undo()
    runs.check()


@dataclass
class _Entry:
    """A name in a folder listing that was made before the file was deleted."""

    file: Path

    def is_file(self) -> bool:
        return True

    @property
    def name(self) -> str:
        return self.file.name

    @property
    def path(self) -> str:
        return str(self.file)


@pytest.mark.parametrize("tail", [b"", b"torn {", b"\0" * 512])
def test_power_failure_costs_the_last_results_only(runs: Runs, monkeypatch: pytest.MonkeyPatch, tail: bytes) -> None:
    proceed = _stop_after(monkeypatch, 6)
    with pytest.raises(BatchInterrupted):
        runs.run()
    proceed()
    (part,) = runs.parts.glob("part-*")
    lines = part.read_bytes().splitlines(keepends=True)
    part.write_bytes(b"".join(lines[:4]) + lines[4][:50] + tail)
    with _counted_reads(monkeypatch) as names:
        runs.run(resume=True)
    assert len(names) == N_IMAGES - 4
    runs.check()


def test_damage_in_the_middle_of_a_part_is_measured_again(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    proceed = _stop_after(monkeypatch, 6)
    with pytest.raises(BatchInterrupted):
        runs.run()
    proceed()
    (part,) = runs.parts.glob("part-*")
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    runs.run(resume=True)
    runs.check()


@pytest.mark.parametrize("after", ["the first file", "both files", "the work folder was emptied"])
def test_killed_while_the_results_get_their_names(runs: Runs, monkeypatch: pytest.MonkeyPatch, after: str) -> None:
    _stop_after(monkeypatch, N_IMAGES + 1)
    remove = CheckpointDirectory.remove
    monkeypatch.setattr(CheckpointDirectory, "remove", lambda _folder: (_ for _ in ()).throw(FetalHCError("killed")))
    with pytest.raises(FetalHCError, match="killed"):
        runs.run()
    monkeypatch.setattr(CheckpointDirectory, "remove", remove)
    if after == "the first file":
        (runs.output / "d.csv").unlink()
    if after == "the work folder was emptied":
        (runs.parts / "batch.json").unlink()
        with pytest.raises(ConfigError, match="exists already"):
            runs.run(resume=True)
        runs.run(overwrite=True)
    else:
        runs.run(resume=True)
    runs.check()


def test_foreign_file_in_the_place_of_a_result_is_kept(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CheckpointDirectory, "remove", lambda _folder: (_ for _ in ()).throw(FetalHCError("killed")))
    with pytest.raises(FetalHCError, match="killed"):
        runs.run()
    monkeypatch.undo()
    (runs.output / "d.csv").write_text("mine")
    with pytest.raises(ConfigError, match=r"d\.csv: exists already"):
        runs.run(resume=True)
    assert (runs.output / "d.csv").read_text() == "mine"
    runs.run(resume=True, overwrite=True)
    runs.check()


def test_error_while_the_results_are_merged_keeps_everything(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> list[str]:
        raise FetalHCError("d.csv: cannot be written (No space left on device)")

    with monkeypatch.context() as patch:
        patch.setattr(result_files, "to_details_fields", fail)
        with pytest.raises(FetalHCError, match=r"No space left on device.*\n8 of 8 images are finished"):
            runs.run()
    assert [path.name for path in runs.output.iterdir()] == ["s.csv.parts"]
    with _counted_reads(monkeypatch) as names:
        runs.run(resume=True)
    assert names == []
    runs.check()


def test_missing_part_is_noticed(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch.Batch, "_measure_here", lambda self, _bar: self._begin())
    with pytest.raises(FetalHCError, match="the result of image 1 of 8 is missing"):
        runs.run()


def test_two_runs_do_not_work_on_one_batch(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    proceed = _stop_after(monkeypatch, 3)
    with pytest.raises(BatchInterrupted):
        runs.run()
    proceed()
    with CheckpointDirectory(str(runs.parts)).locked(), pytest.raises(FetalHCError, match="another run is working"):
        runs.run(resume=True)
    runs.run(resume=True)
    runs.check()


def test_files_of_others_in_the_work_folder_are_left_alone(runs: Runs) -> None:
    runs.parts.mkdir(parents=True)
    (runs.parts / "notes.txt").write_text("mine")
    runs.run()
    assert [path.name for path in runs.parts.iterdir()] == ["notes.txt"]


def test_damaged_header_has_a_remedy(runs: Runs) -> None:
    runs.parts.mkdir(parents=True)
    (runs.parts / "batch.json").write_text("{")
    with pytest.raises(DatasetError, match=r"batch\.json: is damaged .* delete .*s\.csv\.parts and start anew"):
        runs.run(resume=True)


def test_work_folder_may_be_elsewhere(runs: Runs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    proceed = _stop_after(monkeypatch, 3)
    with pytest.raises(BatchInterrupted, match="scratch"):
        runs.run(work_folder=str(tmp_path / "scratch"))
    proceed()
    assert list(runs.output.parent.glob("out/*")) == []
    assert runs.run(resume=True, work_folder=str(tmp_path / "scratch")).n_before == 3
    assert not (tmp_path / "scratch").exists()
    runs.check()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
@pytest.mark.parametrize("runner", ["serial", "pool"])
def test_batch_killed_again_and_again_gives_the_same_files(
    runs: Runs, tmp_path: Path, repository_root: Path, runner: str
) -> None:
    paths = {"--images": runs.heads.images, "--pixel-sizes": runs.heads.pixel_sizes, "--model": runs.model}
    options = {**paths, "--output": runs.output / "s.csv", "--details": runs.output / "d.csv", "--runner": runner}
    tool = [sys.executable, str(repository_root / "tools" / "score.py")]
    command = [*tool, *(text for name, value in options.items() for text in (name, str(value)))]
    command += ["--threads", "1", "--workers", "1", "--resume"]
    n_kills = 0
    for n_wanted in (1, 4, 10**9):
        with subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL) as process:
            while process.poll() is None and _n_lines(runs.parts) < n_wanted:
                time.sleep(0.002)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                n_kills += 1
    assert n_kills > 0
    assert process.returncode == 1  # one image is broken
    header = runs.expected[1].splitlines()
    assert (runs.output / "d.csv").read_bytes().splitlines() == header
    runs.check()


def _n_lines(folder: Path) -> int:
    """Whole lines in all parts; 0 while there is no folder, or it is being removed."""
    with contextlib.suppress(FileNotFoundError):
        return sum(path.read_bytes().count(b"\n") for path in folder.glob("part-*"))
    return 0
