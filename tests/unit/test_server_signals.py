"""Signals of a server: they are acted upon by its loop, not where they strike."""

from __future__ import annotations

import os
import selectors
import signal
import threading
from collections.abc import Iterator

import pytest

from host_model.serving.signals import on_signal, until_signal


@pytest.fixture
def selector() -> Iterator[selectors.BaseSelector]:
    before = sorted(os.listdir("/proc/self/fd"))
    with selectors.DefaultSelector() as made:
        yield made
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_a_signal_is_acted_upon_by_the_loop_and_not_where_it_strikes(selector: selectors.BaseSelector) -> None:
    acted: list[int] = []
    before = signal.getsignal(signal.SIGUSR1)
    with on_signal(signal.SIGUSR1, selector, lambda: acted.append(1)):
        for _ in range(200):
            signal.raise_signal(signal.SIGUSR1)
        assert acted == []
        while ready := selector.select(0):
            for key, events in ready:
                key.data(events)
        assert 1 <= len(acted) <= 4
    assert signal.getsignal(signal.SIGUSR1) is before
    assert not selector.get_map()


def test_a_signal_wakes_a_loop_that_waits(selector: selectors.BaseSelector) -> None:
    acted: list[int] = []
    with on_signal(signal.SIGUSR1, selector, lambda: acted.append(1)):
        main = threading.main_thread().ident
        assert main is not None
        thread = threading.Timer(0.05, signal.pthread_kill, (main, signal.SIGUSR1))
        thread.start()
        for key, events in selector.select(30):
            key.data(events)
        thread.join()
    assert acted == [1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_ends_a_server_lets_its_loop_come_to_the_end_of_a_turn(selector: selectors.BaseSelector, number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with until_signal(selector) as is_to_end:
        assert not is_to_end()
        signal.raise_signal(number)
        assert is_to_end()
        assert selector.select(30), "a loop that waits is woken"
    assert signal.getsignal(number) is before
    assert not selector.get_map()


def test_the_second_one_waits_for_no_loop(selector: selectors.BaseSelector) -> None:
    with until_signal(selector):
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert not selector.get_map()


def test_what_is_ignored_stays_ignored(selector: selectors.BaseSelector) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with until_signal(selector) as is_to_end:
            signal.raise_signal(signal.SIGINT)
            assert not is_to_end()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
