"""Do two guest drivers behave alike towards their host? Their traces compared, paravirtual part by part.

Compared are the ordered reads and writes of the PVINFO page (width, offset, value), the ordered writes of fence
registers, and the number of GGTT entries written. Time does not count, and neither does anything else a driver
does: two generations of one driver program different registers and are still the same guest.

Where drivers may differ on purpose, a named rule of :data:`RULES` says so. Each use of a rule is counted and
reported: a comparison that needs one is not silently equal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from .page import PVINFO_BASE, PVINFO_SIZE, PvInfo
from .register_index import describe_access, name_of
from .registers.fence import FENCE_BASE, FENCE_COUNT
from .trace import Op, TraceRow
from .units import PAGE_MASK

__all__ = ("RULES", "Comparison", "Difference", "PvAccess", "PvBehaviour", "Rule", "compare_traces", "format_comparison", "pv_behaviour", "side_that_ends")

_GGTT_ENTRY_SIZE: Final = 8
_CONTEXT: Final = 3
_AHEAD: Final = 4


class PvAccess(NamedTuple):
    """One access of the PVINFO page or of a fence register."""

    op: Op
    size: int
    offset: int
    value: int


class PvBehaviour(NamedTuple):
    """What a trace holds of a guest's paravirtual behaviour."""

    page: tuple[PvAccess, ...]
    fences: tuple[PvAccess, ...]
    ggtt_entries: int


def pv_behaviour(rows: Iterable[TraceRow]) -> PvBehaviour:
    """Pick the paravirtual accesses out of a trace; a row that repeats is so many accesses."""
    page: list[PvAccess] = []
    fences: list[PvAccess] = []
    ggtt_bytes = 0
    for row in rows:
        if row.op is Op.GGTT_WRITE:
            ggtt_bytes += (row.size or _GGTT_ENTRY_SIZE) * row.repeat
        elif row.op in (Op.READ, Op.WRITE):
            access = PvAccess(row.op, row.size, row.offset, row.value)
            if PVINFO_BASE <= row.offset < PVINFO_BASE + PVINFO_SIZE:
                page.extend([access] * row.repeat)
            elif row.op is Op.WRITE and FENCE_BASE <= row.offset < FENCE_BASE + 8 * FENCE_COUNT:
                fences.extend([access] * row.repeat)
    return PvBehaviour(tuple(page), tuple(fences), ggtt_bytes // _GGTT_ENTRY_SIZE)


# ---- rules ----

Match = Callable[[Sequence[PvAccess], Sequence[PvAccess]], "tuple[int, int] | None"]


class Rule(NamedTuple):
    """A difference that is meant.

    ``match`` is handed what is left of both sides, neither empty, where their next accesses differ; it answers how
    many accesses of each side the rule holds to be equal, or None when it has nothing to say.
    """

    name: str
    sentence: str
    match: Match


_ROOTS: Final = range(PvInfo.pdp0_lo.at(), PvInfo.pdp3_hi.at() + 4)


def _same_page_table_root(left: Sequence[PvAccess], right: Sequence[PvAccess]) -> tuple[int, int] | None:
    one, other = left[0], right[0]
    if one[:3] != other[:3] or one.op is not Op.WRITE or one.offset not in _ROOTS:
        return None
    low_half = (one.offset - _ROOTS.start) % 8 == 0
    if low_half and any(access.value == 0 or access.value & PAGE_MASK for access in (one, other)):
        return None
    return 1, 1


def _halves(whole: PvAccess, parts: Sequence[PvAccess]) -> bool:
    """``parts`` begin with the two dwords of the quadword ``whole``."""
    if whole.size != 8 or len(parts) < 2:
        return False
    low, high = parts[0], parts[1]
    return low == PvAccess(whole.op, 4, whole.offset, whole.value & 0xFFFFFFFF) and high == PvAccess(whole.op, 4, whole.offset + 4, whole.value >> 32)


def _same_quadword(left: Sequence[PvAccess], right: Sequence[PvAccess]) -> tuple[int, int] | None:
    if _halves(left[0], right):
        return 1, 2
    if _halves(right[0], left):
        return 2, 1
    return None


RULES: Final = (
    Rule(
        "page-table-root-address",
        "where a guest puts a page table is its own choice: a root written to pdp[] is compared as some page, aligned and not 0",
        _same_page_table_root,
    ),
    Rule(
        "split-quadword",
        "a machine may split an access of 8 bytes: one quadword equals its low and its high dword, in this order",
        _same_quadword,
    ),
)
"""Every intended difference."""


# ---- comparing ----


def side_that_ends(unit: str, left_done: int, left_more: int, right_done: int, right_more: int) -> str | None:
    """Which side has no more to compare, in words, while the other one goes on; None while both do."""
    if not left_more:
        return f"the left side ends after {left_done} {unit}, the right one goes on for {right_more}"
    if not right_more:
        return f"the right side ends after {right_done} {unit}, the left one goes on for {left_more}"
    return None


class Difference(NamedTuple):
    """The first place where one part of the behaviour differs."""

    part: str
    """``PVINFO page``, ``fence registers`` or ``GGTT entries``."""
    summary: str
    equal_accesses: int
    """How many accesses of the left side are equal before it."""
    before: tuple[PvAccess, ...]
    """The last equal ones."""
    left: tuple[PvAccess, ...]
    """What comes next on each side; empty where it has ended."""
    right: tuple[PvAccess, ...]


class Comparison(NamedTuple):
    """What a comparison found."""

    left: PvBehaviour
    right: PvBehaviour
    applied: dict[str, int]
    """How often each rule was needed, by name."""
    differences: tuple[Difference, ...]
    """At most one per part."""

    @property
    def equal(self) -> bool:
        """The drivers behave alike, under the rules."""
        return not self.differences


def _compare(part: str, left: Sequence[PvAccess], right: Sequence[PvAccess], rules: Sequence[Rule], applied: Counter[str]) -> Difference | None:
    i = j = 0
    while i < len(left) and j < len(right):
        if left[i] == right[j]:
            i, j = i + 1, j + 1
            continue
        for rule in rules:
            taken = rule.match(left[i:], right[j:])
            if taken is not None:
                applied[rule.name] += 1
                i, j = i + taken[0], j + taken[1]
                break
        else:
            break
    if i == len(left) and j == len(right):
        return None
    summary = side_that_ends("accesses", i, len(left) - i, j, len(right) - j)
    if summary is None:
        summary = f"access {i + 1} differs"
        if left[i].op is Op.READ and left[i][:3] == right[j][:3]:
            summary += ": the hosts answered differently, and only guests of the same host can be compared"
    return Difference(part, summary, i, tuple(left[max(i - _CONTEXT, 0) : i]), tuple(left[i : i + _AHEAD]), tuple(right[j : j + _AHEAD]))


def compare_traces(left: Iterable[TraceRow], right: Iterable[TraceRow], rules: Sequence[Rule] = RULES) -> Comparison:
    """Compare the paravirtual behaviour of two traces under ``rules``."""
    one, other = pv_behaviour(left), pv_behaviour(right)
    applied: Counter[str] = Counter()
    found = [
        _compare("PVINFO page", one.page, other.page, rules, applied),
        _compare("fence registers", one.fences, other.fences, rules, applied),
    ]
    if one.ggtt_entries != other.ggtt_entries:
        found.append(Difference("GGTT entries", f"{one.ggtt_entries} written on the left side, {other.ggtt_entries} on the right one", 0, (), (), ()))
    counts = {rule.name: applied[rule.name] for rule in rules if applied[rule.name]}
    return Comparison(one, other, counts, tuple(difference for difference in found if difference is not None))


# ---- reporting ----


def _access(access: PvAccess) -> str:
    word = "write" if access.op is Op.WRITE else "read"
    meaning = describe_access(access.offset, access.value, write=access.op is Op.WRITE)
    text = f"{word:<5} {access.size or '-'}  {access.offset:#x} {name_of(access.offset)} = {access.value:#x}"
    return f"{text}  ({meaning})" if meaning else text


def format_comparison(comparison: Comparison, left: str, right: str, rules: Sequence[Rule] = RULES) -> Iterator[str]:
    """The comparison as lines; ``left`` and ``right`` name the sides."""
    one, other = comparison.left, comparison.right
    for difference in comparison.differences:
        yield f"{difference.part}: {difference.summary}"
        yield from (f"    {_access(access)}" for access in difference.before)
        for mark, name, accesses in (("<", left, difference.left), (">", right, difference.right)):
            if difference.left or difference.right:
                yield f"  {mark} {name}"
                yield from (f"  {mark} {_access(access)}" for access in accesses)
                if not accesses:
                    yield f"  {mark} (ends)"
        yield ""
    for rule in rules:
        if rule.name in comparison.applied:
            times = comparison.applied[rule.name]
            yield f"rule {rule.name}, applied {times} {'time' if times == 1 else 'times'}: {rule.sentence}"
    word = "equal" if comparison.equal else "different"
    yield (
        f"{word}: PVINFO accesses {len(one.page)} and {len(other.page)}, "
        f"fence writes {len(one.fences)} and {len(other.fences)}, GGTT entries {one.ggtt_entries} and {other.ggtt_entries}"
    )
