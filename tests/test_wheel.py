"""The wheel, installed into a folder of its own and used from elsewhere, as people do who have no checkout."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PACKAGES = {"fetal_hc", "hc18", "face_mask", "fetal_hc_app", "fetal_hc_cli"}
SOURCES = (
    "pyproject.toml",
    "requirements.txt",
    "README.md",
    "LICENSE",
    "fetal_hc",
    "hc18",
    "face_mask",
    "app",
    "tools",
)
START_SECONDS = 120.0  # of the app on a busy machine; it takes a few


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory, repository_root: Path) -> Path:
    folder, source = tmp_path_factory.mktemp("wheel"), tmp_path_factory.mktemp("source")
    for name in SOURCES:  # a copy, so that neither old nor new build folders meet the checkout
        path = repository_root / name
        (shutil.copytree if path.is_dir() else shutil.copy)(path, source / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder)]
    subprocess.run([*command, str(source)], check=True)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """The folder the wheel is installed into; its requirements come from the environment of the tests."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder)]
    subprocess.run([*command, str(wheel)], check=True)
    return folder


def environment_of(installed: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}


def run(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(installed / "bin" / "fetal-hc"), *arguments]
    environment = environment_of(installed)
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_nothing_generic_is_installed(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        top = {name.partition("/")[0] for name in archive.namelist()}
    assert {name for name in top if not name.endswith(".dist-info")} == PACKAGES


def test_measuring_works_from_another_folder(installed: Path, tmp_path: Path) -> None:
    assert run(installed, tmp_path, "phantoms", "--output", "p", "--count", "3").returncode == 0
    table = "p/training_set_pixel_size_and_HC.csv"
    scored = run(
        installed, tmp_path, "score", "--images", "p/training_set", "--pixel-sizes", table, "--output", "s.csv"
    )
    assert (scored.returncode, scored.stderr) == (0, "")
    evaluated = run(installed, tmp_path, "evaluate", "--submission", "s.csv", "--root", "p")
    assert (evaluated.returncode, evaluated.stderr) == (0, "")
    checked = run(installed, tmp_path, "check", "--submission", "s.csv", "--table", table)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_record_of_a_store_is_verified(installed: Path, tmp_path: Path) -> None:
    code = "from hc18.reviews.store import ReviewStore; ReviewStore('reviews.db').close()"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment_of(installed), check=True)
    verified = run(installed, tmp_path, "verify", "--store", "reviews.db")
    assert (verified.returncode, verified.stderr) == (0, "")


def test_app_starts_and_stops(installed: Path, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(installed / "bin" / "fetal-hc"), "app", "--port", str(port)]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=tmp_path, env=environment_of(installed), stdout=log, stderr=subprocess.STDOUT
        )
    try:
        assert wait_until_healthy(process, f"http://127.0.0.1:{port}/_stcore/health"), (tmp_path / "log").read_text()
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
    assert "127.0.0.1" in (tmp_path / "log").read_text()  # the settings inside the package were found


def wait_until_healthy(process: subprocess.Popen[bytes], url: str) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    return False
