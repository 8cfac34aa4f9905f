"""Signals of a server: what they ask for is done by its loop, between two turns, and never in the middle of one."""

from __future__ import annotations

import os
import selectors
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType
from typing import Final

__all__ = ("on_signal", "until_signal")

_WISHES_AT_ONCE: Final = 64
"""Signals that are answered by doing it once."""
_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def _waking(selector: selectors.BaseSelector, woken: Callable[[], None]) -> Iterator[Callable[[], None]]:
    """What a signal's handler calls, so that the loop calls ``woken``."""
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def wake() -> None:
        with suppress(BlockingIOError):
            os.write(writer, b"!")

    def ready(events: int) -> None:
        os.read(reader, _WISHES_AT_ONCE)
        woken()

    selector.register(reader, selectors.EVENT_READ, ready)
    try:
        yield wake
    finally:
        selector.unregister(reader)
        os.close(reader)
        os.close(writer)


@contextmanager
def _handling(number: signal.Signals, act: Callable[[], None]) -> Iterator[None]:
    def handler(number: int, frame: FrameType | None) -> None:
        act()

    previous = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, previous)


@contextmanager
def on_signal(number: signal.Signals, selector: selectors.BaseSelector, act: Callable[[], None]) -> Iterator[None]:
    """Has ``act`` called after signal ``number``."""
    with _waking(selector, act) as wake, _handling(number, wake):
        yield


@contextmanager
def until_signal(selector: selectors.BaseSelector) -> Iterator[Callable[[], bool]]:
    """Whether one of the signals has come that end a server: Ctrl-C, SIGTERM, SIGHUP. It wakes the loop, which then ends by itself.

    The second one does not wait for the loop: KeyboardInterrupt, wherever it is. What is ignored, as a shell has it for what runs
    in the background, stays ignored.
    """
    asked = False

    def ask() -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        wake()

    with _waking(selector, lambda: None) as wake, ExitStack() as handled:
        for number in _ENDING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                handled.enter_context(_handling(number, ask))
        yield lambda: asked
