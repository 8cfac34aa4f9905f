"""Work that is put off: what follows an interrupt, what workers do, and what comes when its time has come.

The driver has no threads. What the kernel leaves to tasklets runs here as soon as nothing more urgent does: after the
interrupt handler, and at the end of whatever the driver was asked for. What it leaves to workers and timers runs while
the driver waits, when it is due. Nothing here runs inside itself.
Source: linux:kernel/softirq.c, linux:kernel/workqueue.c
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Final, final

from pvinfo.bus import Clock

__all__ = ("Alarm", "PutOff", "Work")

_FIRST_PAUSE_NS: Final = 1_000
_LONGEST_PAUSE_NS: Final = 1_000_000


@final
class PutOff:
    """An act that is due at ``deadline_ns``, unless it is cancelled before."""

    __slots__ = ("_order", "act", "deadline_ns")

    def __init__(self, deadline_ns: int, order: int, act: Callable[[], None]) -> None:
        self.deadline_ns = deadline_ns
        self.act: Callable[[], None] | None = act
        self._order = order

    @property
    def pending(self) -> bool:
        """It is still to come."""
        return self.act is not None

    def cancel(self) -> None:
        """It will not come. Harmless when it has."""
        self.act = None

    def __lt__(self, other: PutOff) -> bool:
        return (self.deadline_ns, self._order) < (other.deadline_ns, other._order)


@final
class Work:
    """What one driver has put off."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._urgent: dict[Callable[[], None], None] = {}
        self._tasklets: dict[Callable[[], None], None] = {}
        self._timers: list[PutOff] = []
        self._made = 0
        self._in_tasklet = False
        self._in_timer = False

    # ---- tasklets ----

    def signal(self, act: Callable[[], None]) -> None:
        """Run ``act`` before any tasklet; once, however often it is asked for until then (``irq_work_queue``)."""
        self._urgent[act] = None

    def schedule(self, tasklet: Callable[[], None]) -> None:
        """Run ``tasklet`` soon; once, however often it is asked for until then (``tasklet_hi_schedule``)."""
        self._tasklets[tasklet] = None

    def run_tasklets(self) -> None:
        """Run what was scheduled, and what that schedules. Inside a tasklet nothing happens: its end is soon enough."""
        if self._in_tasklet:
            return
        self._in_tasklet = True
        try:
            while True:
                queue = self._urgent or self._tasklets
                act = next(iter(queue), None)
                if act is None:
                    return
                del queue[act]
                act()
        finally:
            self._in_tasklet = False

    # ---- timers and workers ----

    def after(self, delay_ns: int, act: Callable[[], None]) -> PutOff:
        """Run ``act`` once ``delay_ns`` have passed, while the driver waits."""
        self._made += 1
        timer = PutOff(self._clock.now_ns() + delay_ns, self._made, act)
        heapq.heappush(self._timers, timer)
        return timer

    def _next_deadline_ns(self) -> int | None:
        while self._timers and self._timers[0].act is None:
            heapq.heappop(self._timers)
        return self._timers[0].deadline_ns if self._timers else None

    def run(self) -> None:
        """Run everything that is due now."""
        self.run_tasklets()
        if self._in_timer or self._in_tasklet:
            return
        self._in_timer = True
        try:
            while True:
                deadline = self._next_deadline_ns()
                if deadline is None or deadline > self._clock.now_ns():
                    return
                timer = heapq.heappop(self._timers)
                act, timer.act = timer.act, None
                if act is not None:
                    act()
                    self.run_tasklets()
        finally:
            self._in_timer = False

    # ---- waiting ----

    def wait_until(self, done: Callable[[], bool], timeout_ns: int) -> bool:
        """Let time pass until ``done``, running what comes due; False when ``timeout_ns`` were not enough.

        Pauses begin at 1 us and double up to 1 ms, so that what ends soon is seen soon.
        """
        end = self._clock.now_ns() + timeout_ns
        pause = _FIRST_PAUSE_NS
        while True:
            self.run()
            if done():
                self.run_tasklets()
                return True
            now = self._clock.now_ns()
            if now >= end:
                return False
            until = min(now + pause, end)
            deadline = None if self._in_timer else self._next_deadline_ns()
            if deadline is not None and now < deadline < until:
                until = deadline
            self._clock.wait_ns(until - now)
            pause = min(2 * pause, _LONGEST_PAUSE_NS)

    def wait(self, duration_ns: int) -> None:
        """Let ``duration_ns`` pass, running what comes due."""
        self.wait_until(lambda: False, duration_ns)


@final
class Alarm:
    """A timer that schedules a tasklet, and can be asked whether it is set, and whether it went off."""

    def __init__(self, work: Work, tasklet: Callable[[], None]) -> None:
        self._work = work
        self._tasklet = tasklet
        self._timer: PutOff | None = None

    @property
    def is_set(self) -> bool:
        """It was set and not cancelled since, whether or not it went off."""
        return self._timer is not None

    @property
    def went_off(self) -> bool:
        """Its time has come."""
        return self._timer is not None and not self._timer.pending

    def set(self, delay_ns: int) -> None:
        """Let it go off in ``delay_ns``, and no earlier."""
        self.cancel()
        self._timer = self._work.after(delay_ns, self._tasklet)

    def cancel(self) -> None:
        """It will not go off, and did not."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
