"""fetal-hc score killed at any moment, or stopped by an impatient person: the next run finishes and tidies up."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.bad_names import write_odd_entries
from tests.faults.processes import descendants, is_running
from tests.synthetic_heads import write_head_folder

N_IMAGES = 4
N_RANDOM_KILLS = 3
CRASH_POINTS = Path(__file__).with_name("crash_points.py")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")


@dataclass
class Command:
    """One batch by fetal-hc score, with an undisturbed run of it elsewhere."""

    options: list[str]
    output: Path
    expected: dict[str, bytes]
    root: Path

    def run(self, *more: str, prefix: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.line(*more, prefix=prefix), env=self.environment, capture_output=True, text=True, check=False
        )

    def line(self, *more: str, prefix: Sequence[str] = ()) -> list[str]:
        tool = [str(self.root / "tools" / "score.py")]
        return [sys.executable, *(prefix or tool), *self.options, "--output", str(self.output / "s.csv"), *more]

    @property
    def environment(self) -> dict[str, str]:
        paths = os.pathsep.join(str(self.root / name) for name in (".", "tools"))
        return {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}

    def check(self) -> None:
        """The results are those of the undisturbed run, and nothing else is left."""
        assert {path.name: path.read_bytes() for path in self.output.iterdir()} == self.expected


def command_on(folder: Path, model: Path, root: Path, expected: dict[str, bytes]) -> Command:
    """A batch of the heads in `folder`, with results in `folder`/out."""
    images, pixel_sizes = folder / "data" / "images", folder / "data" / "pixel_sizes.csv"
    options = ["--images", str(images), "--pixel-sizes", str(pixel_sizes), "--model", str(model)]
    (folder / "out").mkdir()
    return Command([*options, "--runner", "serial", "--threads", "1"], folder / "out", expected, root)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, bright_model: Path, repository_root: Path) -> Command:
    """A batch that ran once, only to be read."""
    folder = tmp_path_factory.mktemp("undisturbed")
    heads = write_head_folder(folder / "data", N_IMAGES)
    assert (heads.images, heads.pixel_sizes) == (folder / "data" / "images", folder / "data" / "pixel_sizes.csv")
    command = command_on(folder, bright_model, repository_root, {})
    assert command.run().returncode == 0
    command.expected.update({path.name: path.read_bytes() for path in command.output.iterdir()})
    assert sorted(command.expected) == ["s.csv", "s_details.csv"]
    return command


@pytest.fixture
def command(undisturbed: Command, tmp_path: Path, bright_model: Path, repository_root: Path) -> Command:
    shutil.copytree(undisturbed.output.with_name("data"), tmp_path / "data")
    return command_on(tmp_path, bright_model, repository_root, undisturbed.expected)


@pytest.mark.slow
def test_batch_killed_before_each_of_its_changes_of_the_disk_is_finished_by_the_next_run(command: Command) -> None:
    prefix = [str(CRASH_POINTS), "fetal_hc_cli.score", str(command.output)]
    undisturbed, *failures = command.run("--resume", prefix=prefix).stderr.splitlines()
    assert failures == []
    assert undisturbed.startswith("undisturbed: exit code 0, ")
    assert int(undisturbed.split()[-2]) > 10
    command.check()


@pytest.mark.slow
def test_batch_killed_at_random_moments_is_finished_by_the_next_run(command: Command) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    moments = random.Random(seed)
    for _ in range(N_RANDOM_KILLS):
        with subprocess.Popen(command.line("--resume"), env=command.environment, start_new_session=True) as process:
            try:
                process.wait(timeout=moments.uniform(0.5, 4.0))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
        if {path.name for path in command.output.iterdir()} == set(command.expected):
            break  # it was finished, and nothing is left to resume
        if process.returncode == -signal.SIGKILL:
            continue
        assert process.returncode == 0
    else:
        assert command.run("--resume").returncode == 0
    command.check()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads process states from /proc")
@pytest.mark.parametrize("n_signals", [1, 3])
def test_impatient_person_gets_the_prompt_back_and_no_process_sleeps_on(command: Command, n_signals: int) -> None:
    manifest = command.output.with_name("data") / "images" / "long.csv"
    names = sorted(path.name for path in manifest.parent.glob("*.png"))
    manifest.write_text("path,id,pixel_size_mm\n" + "".join(f"{names[n % 4]},{n},0.5\n" for n in range(20_000)))
    line = [*command.line(), "--runner", "pool", "--workers", "2"]
    line[2:6] = ["--manifest", str(manifest)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(line, env=command.environment, text=True, start_new_session=True, **pipes) as process:  # type: ignore[call-overload]
        shards = command.output / "s.csv.parts"
        while not list(shards.glob("shard-*")):
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        workers = descendants(process.pid)
        for _ in range(n_signals):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)  # what a terminal does: all processes get it
                time.sleep(0.1)
        _, errors = process.communicate(timeout=60)
    assert process.returncode in (130, -signal.SIGINT)  # the second if the signal meets a process that is just ending
    assert "Traceback" not in errors
    assert "Warning" not in errors
    deadline = time.monotonic() + 30
    while any(map(is_running, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_running, workers))


def test_folder_with_odd_entries_gets_a_row_for_each(command: Command) -> None:
    images = Path(command.options[1])
    odd = write_odd_entries(images)
    result = command.run()
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert f"measured {N_IMAGES} of {N_IMAGES + len(odd)} images" in result.stdout
    assert (command.output / "s.csv").read_bytes() == command.expected["s.csv"]


def test_temporary_files_of_a_killed_run_are_removed_by_the_next(command: Command) -> None:
    for name in (".s.123-0123abcd.part.csv", ".s_details.123-0123abcd.part.csv"):
        (command.output / name).write_text("half")
    (command.output / ".s.mine.csv").write_text("not ours")
    assert command.run().returncode == 0
    (command.output / ".s.mine.csv").unlink()
    command.check()


@pytest.mark.slow
def test_results_that_are_deleted_in_mid_run_are_missed_at_once(command: Command) -> None:
    images = Path(command.options[1])
    manifest = images / "long.csv"
    names = sorted(path.name for path in images.glob("*.png"))
    manifest.write_text("path,id,pixel_size_mm\n" + "".join(f"{names[n % 4]},{n},0.5\n" for n in range(20_000)))
    line = command.line()
    line[2:6] = ["--manifest", str(manifest)]
    with subprocess.Popen(line, env=command.environment, stderr=subprocess.PIPE, text=True) as process:
        checkpoint = command.output / "s.csv.parts"
        while not list(checkpoint.glob("shard-*")):
            assert process.poll() is None
            time.sleep(0.02)
        checkpoint.rename(command.output / "elsewhere")
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "was deleted or moved while the batch was running" in errors
    assert "are finished and kept" not in errors
