"""The clock of the host: one heap of timers, and who decides what time it is.

In process time is virtual: it moves only when somebody waits, so that the same seed gives the same trace. Served, the
same timers run on real time, and the server's loop asks when to wake up. Nothing in the core sleeps.
"""

from __future__ import annotations

import heapq
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import final

__all__ = ("HostClock", "RealClock", "Timer", "VirtualClock")


@final
class Timer:
    """A call that is due at ``deadline_ns``, unless cancelled before."""

    __slots__ = ("callback", "deadline_ns")

    def __init__(self, deadline_ns: int, callback: Callable[[], None]) -> None:
        self.deadline_ns = deadline_ns
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Never call it. Harmless when it was called already."""
        self.callback = None


class HostClock(ABC):
    """Nanoseconds since the host was made, and the timers on them."""

    def __init__(self) -> None:
        self._timers: list[tuple[int, int, Timer]] = []
        """A heap, by deadline and then by the order in which they were set."""
        self._made = 0

    @abstractmethod
    def now_ns(self) -> int:
        """The time."""

    def call_at(self, deadline_ns: int, callback: Callable[[], None]) -> Timer:
        """Call ``callback`` once at ``deadline_ns``; equal deadlines keep the order in which they were set."""
        self._made += 1
        timer = Timer(deadline_ns, callback)
        heapq.heappush(self._timers, (deadline_ns, self._made, timer))
        return timer

    def call_after(self, delay_ns: int, callback: Callable[[], None]) -> Timer:
        """Call ``callback`` once, ``delay_ns`` from now."""
        return self.call_at(self.now_ns() + delay_ns, callback)

    def wait_for(self, condition: Callable[[], bool], patience_ns: int) -> bool:
        """Let timers run until ``condition`` holds, which only they can make hold; False when it does not in time."""
        end = self.now_ns() + patience_ns
        while not condition():
            if self.now_ns() >= end:
                return False
            self._go_on(end)
        return True

    def _go_on(self, end_ns: int) -> None:
        """Call what is due next, if that is before ``end_ns``. Where time moves by itself: what is due."""
        self.run_due()

    @property
    def timers(self) -> int:
        """How many are set, and neither called nor cancelled."""
        return sum(timer.callback is not None for _, _, timer in self._timers)

    def next_deadline_ns(self) -> int | None:
        """When the next timer is due, or None without one."""
        while self._timers and self._timers[0][2].callback is None:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def run_due(self) -> int:
        """Call what is due by now; timers set meanwhile wait for the next call. Returns how many were called."""
        now = self.now_ns()
        due = []
        while self._timers and self._timers[0][0] <= now:
            due.append(heapq.heappop(self._timers)[2])
        called = 0
        for timer in due:
            if timer.callback is not None:
                callback, timer.callback = timer.callback, None
                callback()
                called += 1
        return called


@final
class VirtualClock(HostClock):
    """Time that moves only while somebody waits."""

    def __init__(self) -> None:
        super().__init__()
        self._now_ns = 0

    def now_ns(self) -> int:
        return self._now_ns

    def wait_ns(self, duration_ns: int) -> None:
        """Move time on by ``duration_ns``, calling each timer at its own instant."""
        end = self._now_ns + max(duration_ns, 0)
        while True:
            deadline = self.next_deadline_ns()
            if deadline is None or deadline > end:
                break
            self._now_ns = max(self._now_ns, deadline)
            self.run_due()
        self._now_ns = max(self._now_ns, end)  # a callback may itself have waited past it

    def _go_on(self, end_ns: int) -> None:
        deadline = self.next_deadline_ns()
        self._now_ns = max(self._now_ns, end_ns if deadline is None else min(deadline, end_ns))
        self.run_due()


@final
class RealClock(HostClock):
    """Time as the machine's monotonic clock has it, from 0 when made."""

    def __init__(self) -> None:
        super().__init__()
        self._start_ns = time.monotonic_ns()

    def now_ns(self) -> int:
        return time.monotonic_ns() - self._start_ns
