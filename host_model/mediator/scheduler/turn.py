"""Whose turn it is on some engines: one vGPU has them, all of them, and after a while another one that has work for them.

Who is next, and when, is for the policy to say (:mod:`.policy`). This carries it out: the engines change hands as soon as what
their present vGPU still has there is done; until then that is given nothing new. Under any policy, what does not end is ended:
engines that a waiting vGPU has been kept from for too long are reset, and the vGPU whose work that was finds them hung. So
nobody holds them longer than the policy lets it and ``patience_ns`` more.

Of which engines there are turns, all of them together or each by itself, is said in :mod:`.turns`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Generic, Protocol, TypeVar, final

from pvinfo.errors import StateError
from pvinfo.platform import Engine

from ...clock import HostClock, Timer
from ..cost import HANDING_OVER, HANDING_OVER_REST, ProcessorTime
from .account import Account, Had
from .policy import Choice, Policy
from .timeline import Timeline

__all__ = ("PATIENCE_NS", "Owned", "Sharer", "Turn", "Wanted", "Work")

PATIENCE_NS: Final = 2_000_000_000
"""How long work may keep others waiting after its time is up, before its engine is reset.
The kernel's driver lets a context that does not give way live about as long.
Source: linux:drivers/gpu/drm/i915/Kconfig.profile (heartbeat interval)"""


class Work(Protocol):
    """What somebody wants of some engines."""

    @property
    def has_work(self) -> bool:
        """Something waits for one of them."""

    @property
    def is_running(self) -> bool:
        """One of them has something of it."""

    def dispatch(self) -> None:
        """Give those that are free what there is for them."""

    def give_up_running(self) -> None:
        """Take back what runs there, by a reset of each engine that runs something."""


class Wanted(Protocol):
    """What somebody wants of the GPU."""

    def on(self, engines: Sequence[Engine], /) -> Work:
        """What of it is for these engines, now and ever after."""


class Sharer(Protocol):
    """A vGPU, as far as turns go."""

    @property
    def number(self) -> int:
        """Which vGPU."""

    @property
    def weight(self) -> int:
        """Its share, beside the others' weights."""

    @property
    def submission(self) -> Wanted:
        """What its guest wants."""

    @property
    def time(self) -> ProcessorTime:
        """What is done for it."""


S = TypeVar("S", bound=Sharer)
S_contra = TypeVar("S_contra", contravariant=True)


class Owned(Protocol[S_contra]):
    """The GPU, as far as turns go."""

    def give(self, vgpu: S_contra, engines: Sequence[Engine], /) -> None:
        """The engines are the vGPU's from now on, or still."""

    def set_down(self, vgpu: S_contra) -> None:
        """The vGPU has all that the GPU held of it."""

    def forget(self, vgpu: S_contra) -> None:
        """Nothing of the vGPU stays there."""


@final
class Turn(Generic[S]):
    """The turns of the vGPUs of one GPU on ``engines``. ``by_itself``: it is one engine, and others have turns of their own."""

    def __init__(
        self, engines: Sequence[Engine], clock: HostClock, hardware: Owned[S], policy: Policy, timeline: Timeline,
        patience_ns: int = PATIENCE_NS, *, by_itself: bool = False,
    ) -> None:  # fmt: skip
        self.engines = engines
        self.policy = policy
        self.patience_ns = patience_ns
        self.changes = 0
        """Times the engines have changed hands."""
        self.used_ns = 0
        """Time in which they had work, whoever's."""
        self.contested_ns = 0
        """Time in which all of several had work for them."""
        self._clock = clock
        self._hardware = hardware
        self._timeline = timeline
        self._lane = engines[0] if by_itself else None
        self._handing_over = HANDING_OVER if Engine.RCS0 in engines else HANDING_OVER_REST
        self._sharers: dict[int, S] = {}
        self._works: dict[int, Work] = {}
        """What each wants of the engines."""
        self._accounts: dict[int, Account] = {}
        self._ready: dict[int, None] = {}
        """Whom the policy was told to have work."""
        self._current: S | None = None
        self._holder: S | None = None
        """Whose registers the engines have: where a policy takes them from a vGPU to give them to nobody, those stay."""
        self._settled_ns = clock.now_ns()
        self._was_busy = False
        self._look: Timer | None = None
        self._limit: Timer | None = None

    @property
    def current(self) -> S | None:
        """Who has the engines."""
        return self._current

    def had(self, vgpu: S) -> Had:
        """What ``vgpu`` has had of them so far."""
        now = self._settle()
        return self._accounts.get(vgpu.number, Account()).had(now)

    def worst_wait_ns(self, vgpu: S) -> int | None:
        """How long ``vgpu`` can be kept waiting whatever the others do, by the policy and the patience there is. None: no bound."""
        return self.policy.worst_wait_ns(vgpu.number, self.patience_ns) if vgpu.number in self._sharers else None

    # ---- what vGPUs say ----

    def start(self, vgpu: S) -> None:
        """The guest of ``vgpu`` has its engines take work."""
        now = self._settle()
        number = vgpu.number
        if number not in self._sharers:
            self._sharers[number] = vgpu
            self._works[number] = vgpu.submission.on(self.engines)
            self._accounts[number] = Account()
            self.policy.came(number, vgpu.weight, now)
        self.policy.started(number, now)
        self.work_came(vgpu)

    def stop(self, vgpu: S) -> None:
        """The guest of ``vgpu`` has reset engines: there is no work of it before it starts anew."""
        self._refresh(vgpu, at_once=True)
        self._look_at(self._settled_ns)
        if vgpu.number in self._sharers:
            self.policy.stopped(vgpu.number, self._settled_ns)

    def work_came(self, vgpu: S) -> None:
        """``vgpu`` has something for the engines."""
        self._refresh(vgpu)
        self._look_at(self._settled_ns)

    def work_done(self, vgpu: S) -> None:
        """Something of ``vgpu`` is done, or has been taken back."""
        self._refresh(vgpu)
        self._look_at(self._settled_ns)

    def set_down(self, vgpu: S) -> None:
        """``vgpu`` stands still, and nothing of it runs: there is no work of it before it starts anew, and the turn is nobody's if it was its."""
        self.stop(vgpu)
        if vgpu is self._current:
            self._give_to(None, self._settled_ns)
        if vgpu is self._holder:
            self._holder = None

    def leave(self, vgpu: S) -> None:
        """``vgpu`` is no more; nothing of it runs there."""
        number = vgpu.number
        if self._sharers.pop(number, None) is not None:
            now = self._settle()
            if number in self._ready:
                del self._ready[number]
                self.policy.idle(number, now)
            if vgpu is self._current:
                self._give_to(None, now)
            self.policy.left(number, now)
            del self._accounts[number], self._works[number]
        if vgpu is self._holder:
            self._holder = None
        self._look_at(self._clock.now_ns())

    # ---- time ----

    def _settle(self) -> int:
        """Account for the time up to now. To be called before anything changes."""
        now = self._clock.now_ns()
        passed = now - self._settled_ns
        current = self._current
        if passed > 0 and current is not None:
            number = current.number
            busy = passed if self._was_busy else 0
            self.policy.used(number, passed, busy)
            if busy:
                contested = len(self._ready) == len(self._sharers) > 1
                self.used_ns += busy
                self.contested_ns += busy if contested else 0
                self._accounts[number].use(busy, contested=contested)
                self._timeline.use(number, self._settled_ns, now, self._lane)
        self._settled_ns = now
        return now

    def _refresh(self, vgpu: S, *, at_once: bool = False) -> None:
        """Notice whether ``vgpu`` has work. That who has the GPU has none is told not before somebody else might be given it:
        a guest that is told of the end of one piece of work, and submits the next there and then, never was idle."""
        now = self._settle()
        number = vgpu.number
        if number not in self._sharers:
            return
        work = self._works[number]
        wants = work.has_work or work.is_running
        if vgpu is self._current:
            self._was_busy = wants
            if not wants and not at_once:
                return
        if wants == (number in self._ready):
            return
        if wants:
            self._ready[number] = None
            self.policy.ready(number, now)
            if vgpu is not self._current:
                self._accounts[number].begin_wait(now)
        else:
            del self._ready[number]
            self.policy.idle(number, now)
            self._accounts[number].end_wait(now)

    # ---- looking ----

    def _look_at(self, deadline_ns: int) -> None:
        """Not at once: whoever speaks here may be in the middle of a register access, or of an interrupt."""
        if self._look is not None:
            if self._look.deadline_ns <= deadline_ns:
                return
            self._look.cancel()
        self._look = self._clock.call_at(deadline_ns, self._pass)

    def _pass(self) -> None:
        self._look = None
        if self._current is not None:
            self._refresh(self._current, at_once=True)
        now = self._settle()
        choice = self._choice(now)
        chosen = self._chosen(choice)
        if chosen is not self._current:
            if self._current is not None and self._works[self._current.number].is_running:
                self._limit_running(self._current)
                self._look_again(choice, now)
                return
            self._give_to(chosen, now)
            choice = self._choice(now)
        self._cancel_limit()
        if chosen is not None:
            self._go_on(chosen, now)
        self._look_again(choice, now)

    def _choice(self, now: int) -> Choice:
        """What the policy says, once it knows of everybody whom it names that there still is work."""
        while True:
            choice = self.policy.choose(self._current.number if self._current is not None else None, now)
            chosen = self._chosen(choice)
            if chosen is None or choice.vgpu not in self._ready:
                return choice
            self._refresh(chosen, at_once=True)
            if choice.vgpu in self._ready:
                return choice

    def _chosen(self, choice: Choice) -> S | None:
        if choice.vgpu is None:
            return None
        chosen = self._sharers.get(choice.vgpu)
        if chosen is None:
            raise StateError(f"the scheduler {self.policy.name!r} gives the GPU to vGPU {choice.vgpu}", "not there", "one that came and has not left")
        return chosen

    def _look_again(self, choice: Choice, now: int) -> None:
        if choice.until_ns is not None:
            self._look_at(max(choice.until_ns, now + 1))

    def _give_to(self, following: S | None, now: int) -> None:
        """The turn of who had the GPU is over, and nothing of it runs."""
        before, self._current = self._current, following
        if before is not None and before.number in self._ready:
            self._accounts[before.number].begin_wait(now)
        self.policy.given(following.number if following is not None else None, now)
        if following is not None:
            self._accounts[following.number].begin_turn(now)
        self._was_busy = following is not None and following.number in self._ready

    def _go_on(self, current: S, now: int) -> None:
        work = self._works[current.number]
        if not work.has_work and not work.is_running:
            return
        if current is not self._holder:
            self._holder = current
            self.changes += 1
            current.time.charge(self._handing_over)
        self._hardware.give(current, self.engines)
        work.dispatch()
        if not work.has_work and not work.is_running:
            # All of it was refused.
            self.work_done(current)

    # ---- what does not end ----

    def _limit_running(self, current: S) -> None:
        if not self._somebody_waits(current):
            self._cancel_limit()
        elif self._limit is None:
            self._limit = self._clock.call_after(self.patience_ns, lambda: self._out_of_patience(current))

    def _somebody_waits(self, current: S) -> bool:
        for number in list(self._ready):
            if number != current.number:
                self._refresh(self._sharers[number])
                if number in self._ready:
                    return True
        return False

    def _cancel_limit(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None

    def _out_of_patience(self, vgpu: S) -> None:
        self._limit = None
        if vgpu is self._current:
            self._works[vgpu.number].give_up_running()
            self.work_done(vgpu)
