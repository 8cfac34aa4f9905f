"""Shares by weight, and nothing left unused: weighted fair queueing of whole GPU time.

Each vGPU has a virtual time, which goes on while the GPU works for it: the slower, the greater its weight. Whoever is furthest
behind is next. So vGPUs that always have work get time in proportion to their weights, whatever length their pieces of work
have: one that outstays its slice waits for the others to catch up. A vGPU without work takes nothing, and what it does not
take is the others'. It saves up nothing either: when it comes back it stands where the hindmost of those with work stands,
and a little before it, so that a guest which seldom wants anything gets it soon.

Source: S. J. Golestani, "A self-clocked fair queueing scheme for broadband applications", INFOCOM 1994 (virtual time)
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Final, final

from .policy import Choice

__all__ = ("Fair",)

PERIOD_NS: Final = 16_000_000
"""In which everybody has a slice, as long as there are few: a frame of a monitor."""
LEAST_SLICE_NS: Final = 1_000_000
"""No slice is shorter: twenty-five times what changing hands costs. So with many vGPUs the period is longer."""
CREDIT_NS: Final = 1_000_000
"""GPU time by which a vGPU that comes back is let in front of the others."""
_SCALE: Final = 1 << 24
"""Virtual time goes on by so much in a nanosecond, divided by the weight: rounding adds up to less than a nanosecond in a year."""
_LONGEST_LINE: Final = 64
"""Entries that are out of date are cleared away where there are more than so many."""


@final
class _Member:
    """One vGPU."""

    __slots__ = ("is_ready", "stamp", "virtual", "weight")

    def __init__(self, weight: int, virtual: int) -> None:
        self.weight = weight
        self.virtual = virtual
        self.is_ready = False
        self.stamp = 0
        """Of its newest entry in the line; older ones mean nothing."""


@final
class Fair:
    """Weighted fair queueing.

    While others wait a vGPU keeps the GPU for its slice: its share, by weight among those that have work, of ``period_ns``, and
    at least ``least_slice_ns``, and beyond it until it is no longer behind all of them. Somebody who comes back while it has the
    GPU, and who is behind it, may cut its slice down to ``least_slice_ns``.
    """

    def __init__(
        self, *, period_ns: int = PERIOD_NS, least_slice_ns: int = LEAST_SLICE_NS, credit_ns: int = CREDIT_NS
    ) -> None:
        self._period_ns = period_ns
        self._least_slice_ns = least_slice_ns
        self._credit_ns = credit_ns
        self._members: dict[int, _Member] = {}
        self._line: list[tuple[int, int, int]] = []
        """A heap of those who wait: virtual time, stamp, number. Entries that are out of date are passed over when they come up."""
        self._stamps = 0
        self._ready_weight = 0
        self._floor = 0
        """Virtual time of the hindmost with work: it never goes back."""
        self._current: int | None = None
        self._had_ns = 0
        """What of the GPU's time the present turn has taken."""
        self._is_cut = False

    @property
    def name(self) -> str:
        return "fair"

    # ---- what it is told ----

    def came(self, vgpu: int, weight: int, now_ns: int) -> None:
        self._members[vgpu] = _Member(max(weight, 1), self._present_floor())

    def left(self, vgpu: int, now_ns: int) -> None:
        self.idle(vgpu, now_ns)
        if vgpu == self._current:
            self._current = None
        del self._members[vgpu]

    def started(self, vgpu: int, now_ns: int) -> None:
        """Nothing is forgotten of what it owes."""

    def stopped(self, vgpu: int, now_ns: int) -> None:
        """Nothing changes beyond its being idle."""

    def ready(self, vgpu: int, now_ns: int) -> None:
        member = self._members[vgpu]
        member.virtual = max(member.virtual, self._present_floor() - self._credit_ns * _SCALE // member.weight)
        member.is_ready = True
        self._ready_weight += member.weight
        if vgpu != self._current:
            self._line_up(vgpu, member)
            current = self._members.get(self._current) if self._current is not None else None
            if current is not None and member.virtual < current.virtual:
                self._is_cut = True

    def idle(self, vgpu: int, now_ns: int) -> None:
        member = self._members[vgpu]
        if member.is_ready:
            self._present_floor()
            member.is_ready = False
            member.stamp = 0
            self._ready_weight -= member.weight

    def given(self, vgpu: int | None, now_ns: int) -> None:
        before = self._members.get(self._current) if self._current is not None else None
        if before is not None and before.is_ready and self._current is not None:
            self._line_up(self._current, before)
        self._current, self._had_ns, self._is_cut = vgpu, 0, False
        if vgpu is not None:
            self._members[vgpu].stamp = 0

    def used(self, vgpu: int, held_ns: int, busy_ns: int) -> None:
        member = self._members[vgpu]
        member.virtual += busy_ns * _SCALE // member.weight
        if vgpu == self._current:
            self._had_ns += busy_ns

    # ---- what it is asked ----

    def choose(self, current: int | None, now_ns: int) -> Choice:
        following = self._first()
        if following is None:
            return Choice(current)
        member = self._members.get(current) if current is not None else None
        if member is None or not member.is_ready:
            return Choice(following)
        left_ns = (self._least_slice_ns if self._is_cut else self._slice_ns(member)) - self._had_ns
        behind_ns = (self._members[following].virtual - member.virtual) * member.weight // _SCALE
        left_ns = max(left_ns, behind_ns)
        return Choice(current, now_ns + left_ns) if left_ns > 0 else Choice(following)

    def worst_wait_ns(self, vgpu: int, longest_ns: int) -> int | None:
        """Each other vGPU catches up with what this one took in its own last turn, has the credit of one that comes back, and
        then one turn more."""
        own = self._members[vgpu]
        others = [member.weight for number, member in self._members.items() if number != vgpu]
        if not others:
            return 0
        own_ns = self._most_ns(own.weight, min(others)) + longest_ns
        return sum(
            -(-own_ns * weight // own.weight) + self._credit_ns + self._most_ns(weight, own.weight) + longest_ns for weight in others
        )

    # ---- the line ----

    def _slice_ns(self, member: _Member) -> int:
        return max(self._least_slice_ns, self._period_ns * member.weight // self._ready_weight)

    def _most_ns(self, weight: int, other: int) -> int:
        """The slice of one of this weight, while at least one of the other weight has work."""
        return max(self._least_slice_ns, self._period_ns * weight // (weight + other))

    def _line_up(self, vgpu: int, member: _Member) -> None:
        if len(self._line) > _LONGEST_LINE + 2 * len(self._members):
            self._line = sorted(entry for entry in self._line if entry[2] in self._members and self._members[entry[2]].stamp == entry[1])
        self._stamps += 1
        member.stamp = self._stamps
        heappush(self._line, (member.virtual, member.stamp, vgpu))

    def _first(self) -> int | None:
        """The hindmost of those who wait."""
        line = self._line
        while line:
            _, stamp, vgpu = line[0]
            member = self._members.get(vgpu)
            if member is not None and member.stamp == stamp:
                return vgpu
            heappop(line)
        return None

    def _present_floor(self) -> int:
        first = self._first()
        behind = [] if first is None else [self._members[first].virtual]
        if self._current is not None and self._members[self._current].is_ready:
            behind.append(self._members[self._current].virtual)
        if behind:
            self._floor = max(self._floor, min(behind))
        return self._floor
