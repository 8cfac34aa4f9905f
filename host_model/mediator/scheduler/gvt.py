"""The kernel mediator's own order: time by weight, handed out ten times a second, used or not.

Once in a millisecond, and when work comes, the vGPU that has been without the GPU longest is looked for among those that have
work and time left. Every 100 ms each vGPU whose guest has set its engines up is handed its share of these 100 ms: by its weight
among all of them, idle or not. What it has not used is kept; once in ten times all that is kept or owed is forgotten.

Habits that are the kernel's and not ours:

* The share of a vGPU that is idle is nobody's. One that is busy and has had its own waits, and the GPU with it.
* Time counts while a vGPU has the GPU, work or not.
* A guest that sets its engines up goes before everybody else for two seconds, whatever it has used. As it can do so again and
  again, there is no bound on how long others wait.

Source: linux:drivers/gpu/drm/i915/gvt/sched_policy.c
"""

from __future__ import annotations

from typing import Final, final

from .policy import Choice

__all__ = ("Gvt",)

TICK_NS: Final = 1_000_000
BALANCE_NS: Final = 100_000_000
STAGES: Final = 10
PRIORITY_NS: Final = 2_000_000_000


@final
class _Member:
    """One vGPU."""

    __slots__ = ("allocated_ns", "is_ready", "left_ns", "priority_until_ns", "unpaid_ns", "weight")

    def __init__(self, weight: int) -> None:
        self.weight = weight
        self.is_ready = False
        self.allocated_ns = 0
        self.left_ns = 0
        self.unpaid_ns = 0
        """Used since the last look; only a look takes it off."""
        self.priority_until_ns: int | None = None


@final
class Gvt:
    """The time-based policy of linux:drivers/gpu/drm/i915/gvt."""

    def __init__(self) -> None:
        self._members: dict[int, _Member] = {}
        self._queue: list[int] = []
        """Those that were started, the one that has been without the GPU longest first."""
        self._next_tick_ns: int | None = None
        self._balance_at_ns: int | None = None
        self._stage = 0
        self._look_now = False
        """Something has happened that makes the mediator look who is next: a tick, or new work."""
        self._is_switching = False
        self._target: int | None = None
        """Who is next, once that was decided and until it has the GPU: meanwhile nobody else is looked for."""
        self._current: int | None = None

    @property
    def name(self) -> str:
        return "gvt"

    # ---- what it is told ----

    def came(self, vgpu: int, weight: int, now_ns: int) -> None:
        self._members[vgpu] = _Member(weight)

    def left(self, vgpu: int, now_ns: int) -> None:
        self.stopped(vgpu, now_ns)
        if self._current == vgpu:
            self._current = None
        del self._members[vgpu]

    def started(self, vgpu: int, now_ns: int) -> None:
        if vgpu in self._queue:
            return
        if self._next_tick_ns is None:
            self._next_tick_ns = now_ns + TICK_NS
        self._catch_up(now_ns)
        self._queue.insert(0, vgpu)
        self._members[vgpu].priority_until_ns = now_ns + PRIORITY_NS

    def stopped(self, vgpu: int, now_ns: int) -> None:
        if vgpu not in self._queue:
            return
        self._catch_up(now_ns)
        self._queue.remove(vgpu)
        if self._is_switching and self._target == vgpu:
            self._is_switching = False

    def ready(self, vgpu: int, now_ns: int) -> None:
        self._members[vgpu].is_ready = True
        self._look_now = True

    def idle(self, vgpu: int, now_ns: int) -> None:
        self._members[vgpu].is_ready = False

    def given(self, vgpu: int | None, now_ns: int) -> None:
        self._charge()
        self._current = vgpu
        self._is_switching = False

    def used(self, vgpu: int, held_ns: int, busy_ns: int) -> None:
        self._members[vgpu].unpaid_ns += held_ns

    # ---- what it is asked ----

    def choose(self, current: int | None, now_ns: int) -> Choice:
        self._catch_up(now_ns)
        if self._look_now:
            self._look_now = False
            self._charge()
            if not self._is_switching:
                self._target = self._pick(now_ns)
                self._is_switching = self._target != current
        anything = current is not None or any(self._members[vgpu].is_ready for vgpu in self._queue)
        return Choice(self._target if self._is_switching else current, self._next_tick_ns if anything else None)

    def worst_wait_ns(self, vgpu: int, longest_ns: int) -> int | None:
        return None

    # ---- ticks ----

    def _charge(self) -> None:
        if self._current is not None:
            member = self._members[self._current]
            member.left_ns -= member.unpaid_ns
            member.unpaid_ns = 0

    def _catch_up(self, now_ns: int) -> None:
        """All ticks up to now: while nobody has work, nobody asks at each."""
        tick = self._next_tick_ns
        if tick is None or now_ns < tick:
            return
        self._look_now = True
        last = tick + (now_ns - tick) // TICK_NS * TICK_NS
        self._next_tick_ns = last + TICK_NS
        if self._balance_at_ns is None:
            self._balance_at_ns = tick
        if last >= self._balance_at_ns:
            times = (last - self._balance_at_ns) // BALANCE_NS + 1
            self._balance_at_ns += times * BALANCE_NS
            # Every tenth forgets what was before it.
            forgotten = max(times // STAGES - 1, 0) * STAGES
            for _ in range(times - forgotten):
                self._balance()

    def _balance(self) -> None:
        members = [self._members[vgpu] for vgpu in self._queue]
        if self._stage % STAGES == 0:
            total = sum(member.weight for member in members)
            for member in members:
                member.allocated_ns = member.left_ns = BALANCE_NS // total * member.weight
        else:
            for member in members:
                member.left_ns += member.allocated_ns
        self._stage += 1

    def _pick(self, now_ns: int) -> int | None:
        for vgpu in self._queue:
            member = self._members[vgpu]
            if not member.is_ready:
                continue
            if member.priority_until_ns is not None:
                if now_ns < member.priority_until_ns:
                    return vgpu
                member.priority_until_ns = None
            if member.left_ns > 0:
                self._queue.remove(vgpu)
                self._queue.append(vgpu)
                return vgpu
        return None
