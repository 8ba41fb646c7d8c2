"""Signals as requests."""

import signal

import pytest

from fetal_hc.io.interruption import StopRequest


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_within_the_block_is_remembered(number: signal.Signals) -> None:
    stop = StopRequest()
    with stop.listening():
        signal.raise_signal(number)
    assert stop.signal_number == number


def test_second_interrupt_stops_at_once() -> None:
    stop = StopRequest()
    with stop.listening():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_second_termination_changes_nothing() -> None:
    stop = StopRequest()
    with stop.listening():
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
    assert stop.signal_number == signal.SIGTERM


def test_handlers_return_after_the_block() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with StopRequest().listening():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before
