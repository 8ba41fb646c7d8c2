"""A real Ray cluster of two nodes gives the files of a process pool, also when it loses a worker or a node."""

import functools
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest

from fetal_hc.batch.checkpoint.checkpoint_directory import MODEL_NAME, CheckpointDirectory
from fetal_hc.batch.checkpoint.parquet_shards import read_parquet_shard
from fetal_hc.batch.checkpoint.shards import read_extent
from fetal_hc.batch.ray_runner import ShardWorker, cut_tasks, write_tasks
from fetal_hc.batch.settings import computing_versions
from fetal_hc.batch.tasks import ImageTask, TaskResult
from fetal_hc.errors import ConfigError, FetalHCError
from fetal_hc.io.extras import import_scale_library
from fetal_hc.io.storage import list_names
from hc18.measurement.batches import MeasureSettings, measure_batch, measure_files
from hc18.measurement.pixel_size_rules import open_source
from hc18.measurement.rows import MEASUREMENT_TABLE, MeasurementRow
from hc18.measurement.worker import HeadTask, MeasureWork
from tests.synthetic_heads import HeadFolder, write_head_folder

# A cluster of two nodes with one processor each, until its standard input ends; prints its address. "lose" ends a node.
CLUSTER = """
import sys
from ray.cluster_utils import Cluster

node = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
cluster = Cluster(initialize_head=True, head_node_args=node)
second = cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20)
cluster.wait_for_nodes()
print(cluster.address, flush=True)
for line in sys.stdin:
    cluster.remove_node(second, allow_graceful=False)
    print("lost", flush=True)
cluster.shutdown()
"""
ENVIRONMENT = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0", "OMP_NUM_THREADS": "1"}


class _Cluster:
    """The cluster of `CLUSTER` in a process of its own."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CLUSTER],
            env=ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.address = self._line()

    def lose_a_node(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("lose\n")
        self.process.stdin.flush()
        assert self._line() == "lost"

    def close(self) -> None:
        self.process.communicate(timeout=120)

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


@pytest.fixture(scope="module")
def cluster() -> Iterator[_Cluster]:
    started = _Cluster()
    yield started
    started.close()


@pytest.fixture
def heads(tmp_path: Path) -> HeadFolder:
    """Six images; a manifest `m.csv` next to them names them 40 times each, one of them broken."""
    heads = write_head_folder(tmp_path / "data", 6)
    (heads.images / "003_HC.png").write_bytes(b"broken")
    names = list(heads.ellipses_px)
    rows = "".join(f"{names[row % 6]},{row},{heads.pixel_sizes_mm[names[row % 6]]}\n" for row in range(240))
    (heads.images / "m.csv").write_text("path,id,pixel_size_mm\n" + rows)
    return heads


def _start(heads: HeadFolder, model: Path, output: Path, *options: str) -> subprocess.Popen[str]:
    tool = Path(__file__).parents[3] / "tools" / "score.py"
    command = [sys.executable, str(tool), "--manifest", str(heads.images / "m.csv"), "--model", str(model)]
    command += ["--output", str(output / "s.csv"), "--runner", "ray", "--workers", "2", *options]
    return subprocess.Popen(
        command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=heads.images
    )


def _wait_for_parts(batch: subprocess.Popen[str], output: Path, count: int) -> None:
    while len(list(output.glob("s.csv.parts/shard-*"))) < count:
        assert batch.poll() is None, batch.communicate()
        time.sleep(0.01)


def _actor_pids() -> list[int]:
    """Process numbers of the actors that measure."""
    pids = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                name = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if name.startswith(b"ray::") and b"ShardWorker" in name:
                pids.append(int(folder.name))
    return pids


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="finds the actors in /proc")
def test_cluster_that_loses_a_worker_and_a_node_gives_the_rows_of_a_pool(
    cluster: _Cluster, heads: HeadFolder, bright_model: Path, tmp_path: Path
) -> None:
    settings = MeasureSettings(model=bright_model, runner="pool", workers=2, threads=1)
    (tmp_path / "pool").mkdir()
    measure_batch(
        open_source(heads.images / "m.csv"), tmp_path / "pool/s.csv", tmp_path / "pool/s_details.csv", settings
    )
    with _start(heads, bright_model, tmp_path / "ray", "--ray-address", cluster.address) as batch:
        _wait_for_parts(batch, tmp_path / "ray", 1)
        os.kill(_actor_pids()[0], signal.SIGKILL)
        _wait_for_parts(batch, tmp_path / "ray", 8)
        cluster.lose_a_node()
        output, errors = batch.communicate(timeout=600)
    assert batch.returncode == 1, errors  # one image is broken
    assert "measured 200 of 240 images" in output
    for name in ("s.csv", "s_details.csv"):
        assert (tmp_path / "ray" / name).read_bytes() == (tmp_path / "pool" / name).read_bytes()
    assert not (tmp_path / "ray/s.csv.parts").exists()


def test_tasks_are_cut_where_numbers_are_left_out() -> None:
    tasks = [ImageTask(index, str(index), None, None) for index in (0, 1, 2, 3, 7, 8, 20)]
    assert [[task.index for task in shard] for shard in cut_tasks(tasks, 3)] == [[0, 1, 2], [3], [7, 8], [20]]


def test_missing_ray_has_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray.data", None)
    with pytest.raises(ConfigError, match=r"--runner ray needs the library ray.*fetal-hc\[scale\]"):
        import_scale_library("ray.data", "--runner ray")


def test_rows_without_files_are_for_the_runners_of_this_machine(heads: HeadFolder, bright_model: Path) -> None:
    with pytest.raises(ConfigError, match="writes files"):
        next(measure_files(heads.images / "m.csv", settings=MeasureSettings(model=bright_model, runner="ray")))


class _KillingWork(MeasureWork):
    """Work whose process dies at image 3."""

    def __call__(self) -> Callable[[Iterable[HeadTask]], Iterator[TaskResult[MeasurementRow]]]:
        return functools.partial(_until_image_3, super().__call__())


def _until_image_3(
    measure: Callable[[Iterable[HeadTask]], Iterator[TaskResult[MeasurementRow]]], jobs: Iterable[HeadTask]
) -> Iterator[TaskResult[MeasurementRow]]:
    for result in measure(jobs):
        if result.index == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        yield result


@pytest.fixture
def shard(heads: HeadFolder, bright_model: Path, tmp_path: Path) -> Path:
    """A checkpoint directory with the model and a shard of five tasks."""
    folder = tmp_path / "s.csv.parts"
    CheckpointDirectory(str(folder), MEASUREMENT_TABLE).create({"kept": "this"})
    (folder / MODEL_NAME).write_bytes(bright_model.read_bytes())
    write_tasks(str(folder), list(itertools.islice(open_source(heads.images / "m.csv").tasks(), 5)))
    return folder


def _worker(folder: Path, work: MeasureWork, **changes: object) -> ShardWorker:
    header = (folder / "batch.json").read_bytes()
    arguments = {"header": header, "work": work, "versions": computing_versions(), "last_read": None, **changes}
    return ShardWorker(str(folder), **arguments)  # type: ignore[arg-type]


def _do(worker: ShardWorker) -> int:
    return int(worker({"first": np.array([0])})["n_tasks"][0])


def _statuses(folder: Path) -> list[str]:
    (part,) = folder.glob("shard-*.parquet")
    return [result.rows[0].status.value for result in read_parquet_shard(str(part), MEASUREMENT_TABLE)]


def test_shard_is_measured_once(shard: Path) -> None:
    worker = _worker(shard, MeasureWork(Path("of another machine.onnx"), 1, 0.5))
    assert _do(worker) == 5
    assert _statuses(shard) == ["ok", "ok", "unreadable", "ok", "ok"]
    (part,) = shard.glob("shard-*")
    written = part.stat().st_mtime_ns
    assert _do(worker) == 5
    assert part.stat().st_mtime_ns == written


def test_image_that_kills_its_process_is_found_at_the_second_attempt(shard: Path) -> None:
    (shard / "attempt-000000000000.json").touch()  # the first attempt killed its actor
    assert _do(_worker(shard, _KillingWork(Path("m.onnx"), 1, 0.5))) == 5
    assert _statuses(shard) == ["ok", "ok", "unreadable", "internal_error", "ok"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"header": b"another"}, "is not the same folder on the machine .* name one with --work-folder"),
        ({"versions": {"version of numpy": "1.0"}}, "expected .*version of numpy.*install the same versions"),
    ],
)
def test_machine_that_cannot_be_used_says_why(shard: Path, changes: dict[str, object], reason: str) -> None:
    with pytest.raises(FetalHCError, match=reason):
        _do(_worker(shard, MeasureWork(Path("m.onnx"), 1, 0.5), **changes))


def test_shard_on_remote_storage(shard: Path) -> None:
    memory = fsspec.filesystem("memory")
    try:
        for path in shard.iterdir():
            memory.pipe_file(f"/bucket/{path.name}", path.read_bytes())
        header = (shard / "batch.json").read_bytes()
        work = MeasureWork(Path("m.onnx"), 1, 0.5)
        assert _do(ShardWorker("memory://bucket", header, work, computing_versions(), None)) == 5
        checkpoint = CheckpointDirectory("memory://bucket", MEASUREMENT_TABLE)
        (written,) = checkpoint.list_shards()
        part = read_extent(written, MEASUREMENT_TABLE, lambda _result: None)
        assert (part.n_tasks, part.n_rows) == (5, 5)
        checkpoint.remove()
        assert list_names("memory://bucket") == []
    finally:
        memory.store.clear()
