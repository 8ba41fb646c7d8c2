"""What the decoders say about untidy files stays off the screen and the log, in every thread."""

import logging
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import pydicom.config
import pytest
from pydicom.valuerep import validate_value

from fetal_hc.io.quiet import quiet_decoders


def complain() -> None:
    """Lets pydicom warn and log, as it does for an untidy file."""
    validate_value("DA", "Identitas^Planta", pydicom.config.WARN)


def test_remarks_reach_neither_screen_nor_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), quiet_decoders():
        complain()
        logging.getLogger("pydicom").warning("Identitas^Planta")
    assert caplog.text == ""


def test_remarks_are_heard_again_afterwards(caplog: pytest.LogCaptureFixture) -> None:
    with quiet_decoders():
        pass
    with pytest.warns(UserWarning, match="Invalid value"):
        complain()
    assert "Invalid value" in caplog.text


def test_warnings_of_others_are_heard() -> None:
    with quiet_decoders(), pytest.warns(UserWarning, match="of the caller"):
        warnings.warn("of the caller", UserWarning, stacklevel=1)


def test_threads_read_at_the_same_time_and_leave_the_filters_as_they_were() -> None:
    before, both_are_reading = list(warnings.filters), threading.Barrier(2, timeout=10)

    def read(_: int) -> None:
        with quiet_decoders():
            both_are_reading.wait()
            complain()

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(read, range(2)))
    assert list(warnings.filters) == before
