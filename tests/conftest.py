"""Shared fixtures: the real HC18 folder when it is at hand, one thread per test, marks of slow tests, skips."""

import importlib.util
import os
import shutil
import signal
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples in every run: a change must not fail for an example that it has nothing to do with.
settings.register_profile("repeatable", derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

# One thread in every numerical library (torch included), set before any of them is imported.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

# A shell starts background jobs with Ctrl-C ignored, and children inherit that; tests of Ctrl-C need the default.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

REPOSITORY_ROOT = Path(__file__).resolve().parents[1]
DATA_VARIABLE = "FETAL_HC_DATA"
# A test that needs a browser, a server of the app or of PostgreSQL, a Ray cluster or a whole training takes seconds.
SLOW_FIXTURES = frozenset(
    {"browser", "server", "postgres_server", "postgres_url", "cluster", "trained", "exported", "two_process_output"}
)


def _data_root() -> Path | None:
    """Folder that holds `hc18/`: the one FETAL_HC_DATA names, else `../shared/data`, else None."""
    named = os.environ.get(DATA_VARIABLE)
    root = Path(named) if named else REPOSITORY_ROOT.parent / "shared" / "data"
    return root if root.is_dir() else None


@pytest.fixture(scope="session")
def repository_root() -> Path:
    """Root of the checkout."""
    return REPOSITORY_ROOT


@pytest.fixture(scope="session")
def real_data_root() -> Path:
    """Folder of the public datasets; skips the test when there is none."""
    root = _data_root()
    if root is None:
        pytest.skip(f"no real data: set {DATA_VARIABLE} to the folder that holds hc18/")
    return root


@pytest.fixture(scope="session")
def real_hc18_root(real_data_root: Path) -> Path:
    """The real HC18 folder (training_set, its CSV, test_set, its CSV); skips the test when there is none."""
    root = real_data_root / "hc18"
    if not (root / "training_set").is_dir():
        pytest.skip(f"no HC18 data under {real_data_root}: set {DATA_VARIABLE} to the folder that holds hc18/")
    return root


@pytest.hookimpl(tryfirst=True)  # before `-m` selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks slow tests by what they need; skips `gpu` and `detectron2` tests where hardware or package is missing."""
    gpu_present = shutil.which("nvidia-smi") is not None
    detectron2_present = importlib.util.find_spec("detectron2") is not None
    for item in items:
        parameters = getattr(getattr(item, "callspec", None), "params", {})
        if parameters.get("store_url") == "postgresql" or SLOW_FIXTURES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)
        if item.get_closest_marker("gpu") and not gpu_present:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))
        if item.get_closest_marker("detectron2") and not detectron2_present:
            item.add_marker(pytest.mark.skip(reason="detectron2 is not installed"))


@pytest.fixture(scope="session")
def bright_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ONNX file that finds the bright ellipses of `tests.synthetic_heads`, at their own resolution."""
    from tests.synthetic_model import head_spec, write_bright_object_model  # not every test has onnx

    return write_bright_object_model(tmp_path_factory.mktemp("model") / "bright.onnx", head_spec(min_size=0))
