"""A scheduling policy at work with nothing around it: guests whose work is pieces of time, on a GPU that only counts.

The trial keeps what :class:`~.policy.Policy` says of whoever drives a policy, and writes down what it was answered and who had
what. It does as :mod:`.turn` does, without a mediator, a clock or a processor whose own time counts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, final

from .policy import Choice, Policy

__all__ = ("Answer", "Guest", "Trial", "Wait")


class Answer(NamedTuple):
    """What a policy was asked, and said."""

    now_ns: int
    current: int | None
    """Who has the GPU."""
    ready: frozenset[int]
    """Who has work."""
    here: frozenset[int]
    """Who has come and not left."""
    choice: Choice


class Wait(NamedTuple):
    """From when a guest has work that the GPU is not there for, to when it has the GPU, or no work."""

    vgpu: int
    waited_ns: int
    bound_ns: int | None
    """How long it can be, as the policy said when it began."""


@final
class Guest:
    """Whose work is pieces of so many nanoseconds, done one after the other."""

    def __init__(self, vgpu: int) -> None:
        self.vgpu = vgpu
        self.pieces: list[int] = []
        self.next_piece: Callable[[], int] | None = None
        """Where a guest that always has work has it from."""
        self.is_ready = False
        """The policy was told that it has work."""
        self.had_ns = 0
        """Time that the GPU was its, with work."""
        self.held_ns = 0
        """Time that the GPU was its."""
        self.waits_since_ns: int | None = None
        self.bound_ns: int | None = None

    @property
    def wants(self) -> bool:
        return bool(self.pieces) or self.next_piece is not None

    def take(self) -> int:
        """The next piece."""
        if self.pieces:
            return self.pieces.pop(0)
        assert self.next_piece is not None
        return self.next_piece()


@final
class Trial:
    """A policy, the time, and the guests. ``longest_ns``: no piece of work is longer; ``parts``: in how many the time is told that a
    guest has used."""

    def __init__(self, policy: Policy, longest_ns: int, parts: int = 1) -> None:
        self.policy = policy
        self.now_ns = 0
        self.guests: dict[int, Guest] = {}
        self.answers: list[Answer] = []
        self.waits: list[Wait] = []
        self._longest_ns = longest_ns
        self._parts = parts
        self._current: Guest | None = None
        self._runs_until_ns: int | None = None
        """When the piece that runs is done."""
        self._ask_at_ns: int | None = None

    # ---- what guests do ----

    def come(self, vgpu: int, weight: int) -> Guest:
        """One more, without work."""
        guest = self.guests[vgpu] = Guest(vgpu)
        self.policy.came(vgpu, weight, self.now_ns)
        self.policy.started(vgpu, self.now_ns)
        self._ask()
        return guest

    def want(self, guest: Guest, piece_ns: int) -> None:
        """It has one more piece of work."""
        guest.pieces.append(piece_ns)
        self._notice(guest)
        self._ask()

    def keep_busy(self, guest: Guest, next_piece: Callable[[], int]) -> None:
        """It never runs out of work."""
        guest.next_piece = next_piece
        self._notice(guest)
        self._ask()

    def reset(self, guest: Guest) -> None:
        """All its work is gone; it sets its engines up again."""
        self._drop(guest)
        self.policy.stopped(guest.vgpu, self.now_ns)
        self._ask()
        self.policy.started(guest.vgpu, self.now_ns)
        self._ask()

    def start_again(self, guest: Guest) -> None:
        """It sets its engines up, once more."""
        self.policy.started(guest.vgpu, self.now_ns)
        self._ask()

    def leave(self, guest: Guest) -> None:
        """There is no such guest any more."""
        self._drop(guest)
        if guest is self._current:
            self._give(None)
        del self.guests[guest.vgpu]
        self.policy.left(guest.vgpu, self.now_ns)
        self._ask()

    # ---- time ----

    def run(self, duration_ns: int) -> None:
        """Let time go on."""
        end_ns = self.now_ns + duration_ns
        while True:
            due = [at for at in (self._runs_until_ns, self._ask_at_ns) if at is not None and at <= end_ns]
            if not due:
                break
            self._pass(min(due))
            if self._runs_until_ns == self.now_ns:
                self._runs_until_ns = None
            self._ask()
        self._pass(end_ns)

    def _pass(self, to_ns: int) -> None:
        """Nothing happens up to then; who has the GPU uses it."""
        passed, guest = to_ns - self.now_ns, self._current
        if guest is not None and passed > 0:
            for part in range(self._parts):
                told = passed * (part + 1) // self._parts - passed * part // self._parts
                self.policy.used(guest.vgpu, told, told if guest.is_ready else 0)
            guest.held_ns += passed
            guest.had_ns += passed if guest.is_ready else 0
        self.now_ns = to_ns

    def end_waits(self) -> None:
        """Count waits that have not ended as if they did now."""
        for guest in self.guests.values():
            self._end_wait(guest)

    # ---- who has work, who has the GPU ----

    def _notice(self, guest: Guest) -> None:
        """Tell the policy whether it has work, if that is news."""
        wants = guest.wants or guest is self._current and self._runs_until_ns is not None
        if wants == guest.is_ready:
            return
        guest.is_ready = wants
        if wants:
            self.policy.ready(guest.vgpu, self.now_ns)
            self._begin_wait(guest)
        else:
            self.policy.idle(guest.vgpu, self.now_ns)
            self._end_wait(guest)

    def _drop(self, guest: Guest) -> None:
        guest.pieces.clear()
        guest.next_piece = None
        if guest is self._current:
            self._runs_until_ns = None
        self._notice(guest)

    def _ask(self) -> None:
        """Ask who is next, and do so, unless a piece runs that is not interrupted."""
        if self._current is not None:
            self._notice(self._current)
        choice = self._answer()
        chosen = self.guests.get(choice.vgpu) if choice.vgpu is not None else None
        if chosen is not self._current and self._runs_until_ns is None:
            self._give(chosen)
            choice = self._answer()
        if chosen is self._current and chosen is not None and chosen.wants and self._runs_until_ns is None:
            self._runs_until_ns = self.now_ns + chosen.take()
        # Who wants to be asked at a time that has passed is asked when something happens.
        self._ask_at_ns = choice.until_ns if choice.until_ns is not None and choice.until_ns > self.now_ns else None

    def _answer(self) -> Choice:
        current = self._current.vgpu if self._current is not None else None
        choice = self.policy.choose(current, self.now_ns)
        ready = frozenset(guest.vgpu for guest in self.guests.values() if guest.is_ready)
        self.answers.append(Answer(self.now_ns, current, ready, frozenset(self.guests), choice))
        return choice

    def _give(self, guest: Guest | None) -> None:
        before, self._current = self._current, guest
        self.policy.given(guest.vgpu if guest is not None else None, self.now_ns)
        if before is not None:
            self._begin_wait(before)
        if guest is not None:
            self._end_wait(guest)

    def _begin_wait(self, guest: Guest) -> None:
        if guest.is_ready and guest is not self._current and guest.waits_since_ns is None:
            guest.waits_since_ns = self.now_ns
            guest.bound_ns = self.policy.worst_wait_ns(guest.vgpu, self._longest_ns)

    def _end_wait(self, guest: Guest) -> None:
        if guest.waits_since_ns is not None:
            self.waits.append(Wait(guest.vgpu, self.now_ns - guest.waits_since_ns, guest.bound_ns))
            guest.waits_since_ns = None
