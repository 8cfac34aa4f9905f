"""What happens to each register of a platform: one attribute byte per dword.

The kernel's tracked table says which dwords exist, which bits are read-only and which registers are masked; the handlers
say which ones are served by code. Together they give the attribute byte, and from it two tables indexed by byte offset
that tell the fast path when it may not be taken.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntFlag
from functools import cache
from typing import Final, NamedTuple

from pvinfo.registers.tracked import MMIO_SIZE, TrackedAttribute, tracked_offsets, tracked_runs

from .handling import NO_HANDLERS, Handlers

__all__ = ("ALWAYS_SLOW", "Attribute", "MmioPolicy", "build_policy", "storage_policy")


class Attribute(IntFlag):
    """Why an access leaves the fast path."""

    READ_HANDLED = 1 << 0
    WRITE_HANDLED = 1 << 1
    MODE_MASK = 1 << 2
    READ_ONLY_BITS = 1 << 3
    UNTRACKED = 1 << 4
    UNALIGNED = 1 << 5
    """May be read at any byte: nothing to remark."""
    ZERO_FILLED = 1 << 6
    """Bytes that a narrow write leaves out count as zero."""


# As plain integers: there are a hundred and fifty thousand tracked dwords, and a host cannot be asked anything before.
_TRACKED: Final = 0xFF & ~int(Attribute.UNTRACKED)
_READ_ONLY_BITS: Final = int(Attribute.READ_ONLY_BITS)
_READ_HANDLED: Final = int(Attribute.READ_HANDLED)
_WRITE_HANDLED: Final = int(Attribute.WRITE_HANDLED)
_SLOW_READ: Final = Attribute.READ_HANDLED | Attribute.UNTRACKED
_SLOW_WRITE: Final = Attribute.WRITE_HANDLED | Attribute.MODE_MASK | Attribute.READ_ONLY_BITS | Attribute.UNTRACKED

ALWAYS_SLOW: Final = b"\1" * MMIO_SIZE
"""A table that sends every access the slow way: while a trace is taken."""


class MmioPolicy(NamedTuple):
    """The tables of one platform."""

    attributes: bytes
    """One :class:`Attribute` byte per dword."""
    slow_reads: bytes
    """By byte offset: non-zero where a dword read must take the slow path (unaligned offsets among them)."""
    slow_writes: bytes
    read_only: dict[int, int]
    """Bits a guest cannot write, by byte offset."""
    handlers: Handlers


def _by_byte(attributes: bytes, slow: int) -> bytes:
    """Spread ``attributes & slow`` over byte offsets; offsets inside a dword are always slow."""
    table = bytearray(ALWAYS_SLOW)
    table[0::4] = attributes.translate(bytes(1 if value & slow else 0 for value in range(256)))
    return bytes(table)


def _of_run(attributes: TrackedAttribute) -> int:
    """What the tracked table says of each dword of a run."""
    attribute = 0
    if attributes & TrackedAttribute.MODE_MASK:
        attribute |= Attribute.MODE_MASK
    if attributes & TrackedAttribute.UNALIGNED:
        attribute |= Attribute.UNALIGNED
    return attribute


def build_policy(platform: str, handlers: Handlers, *, known: Iterable[int] = ()) -> MmioPolicy:
    """The tables of the platform called ``platform``, from the tracked table and the handlers.

    ``known`` are byte offsets of registers outside the tracked table that are modelled by being stored.
    """
    attributes = bytearray([Attribute.UNTRACKED]) * (MMIO_SIZE // 4)
    read_only: dict[int, int] = {}
    of_run = {words: _of_run(words) for words in {run.attributes for run in tracked_runs(platform)}}
    for offset, run in tracked_offsets(platform):
        attribute = of_run[run.attributes]
        if run.read_only and offset not in handlers.whole:
            attribute |= _READ_ONLY_BITS
            read_only[offset] = run.read_only
        attributes[offset >> 2] = attribute
    for offset in known:
        attributes[offset >> 2] &= _TRACKED
    for offset in handlers.reads:
        attributes[offset >> 2] = attributes[offset >> 2] & _TRACKED | _READ_HANDLED
    for offset in handlers.writes:
        attributes[offset >> 2] = attributes[offset >> 2] & _TRACKED | _WRITE_HANDLED
    for offset in handlers.zero_filled:
        attributes[offset >> 2] |= Attribute.ZERO_FILLED
    frozen = bytes(attributes)
    return MmioPolicy(frozen, _by_byte(frozen, _SLOW_READ), _by_byte(frozen, _SLOW_WRITE), read_only, handlers)


@cache
def storage_policy() -> MmioPolicy:
    """Every register is plain storage: what a vGPU in failsafe mode gets."""
    nothing = bytes(MMIO_SIZE // 4)
    plain = _by_byte(nothing, 0)
    return MmioPolicy(nothing, plain, plain, {}, NO_HANDLERS)
