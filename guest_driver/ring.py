"""A ring: where the commands of one context stand, request after request, until the engine has fetched them.

Source: linux:drivers/gpu/drm/i915/gt/intel_ring.c
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, final

from pvinfo.errors import UsageError

from .ggtt import Binding

__all__ = ("Ring",)

_GAP: Final = 64
"""Bytes that stay free, so that a full ring does not look like an empty one. Source: linux:drivers/gpu/drm/i915/gt/intel_ring.h"""


@final
class Ring:
    """The ring in one binding, whose length is a power of two."""

    def __init__(self, binding: Binding) -> None:
        self.binding = binding
        self.size = binding.size
        self._mask = self.size - 1
        self.emit = 0
        """Where the next command is written."""
        self.tail = 0
        """Up to where the engine was told to fetch."""
        self.head = 0
        """Up to where the engine has certainly fetched: the end of the last retired request."""
        self.space = 0
        self.update_space()

    # ---- room ----

    def update_space(self) -> int:
        """Bytes that can be written now."""
        self.space = self._space_after(self.head)
        return self.space

    def _space_after(self, head: int) -> int:
        return (head - self.emit - _GAP) & self._mask

    def space_once_at(self, head: int) -> int:
        """Bytes that could be written once everything before ``head`` was fetched."""
        return self._space_after(head)

    def needed(self, dwords: int, reserved: int) -> tuple[int, int | None]:
        """Bytes that must be free to write ``dwords`` in one piece, with ``reserved`` bytes to spare for the end of the
        request; and, where the piece does not fit before the ring's end, how many of them are lost there.

        Raises: UsageError for a piece that no ring of this size holds, or an odd number of dwords.
        """
        if dwords & 1:
            raise UsageError(f"{dwords} dwords for a ring: pieces are whole quadwords")
        piece = 4 * dwords
        total = piece + reserved
        if total > self.size - _GAP:
            raise UsageError(f"{piece} bytes, and {reserved} to end the request: a ring of {self.size} bytes does not hold them")
        remaining = self.size - self.emit
        if total <= remaining:
            return total, None
        if piece > remaining:
            return total + remaining, remaining
        return reserved + remaining, None

    # ---- writing ----

    def wrap(self, lost: int) -> None:
        """Fill ``lost`` bytes up to the end with no-operations and go on at the start."""
        self.binding.buffer.write(self.emit, bytes(lost))
        self.space -= lost
        self.emit = 0

    def append(self, words: Sequence[int]) -> int:
        """Write ``words``, for which there is room; returns where they begin."""
        start = self.emit
        self.rewrite(start, words)
        self.emit += 4 * len(words)
        self.space -= 4 * len(words)
        return start

    def skip(self, dwords: int) -> int:
        """Leave room for ``dwords`` that are written later; returns where they begin."""
        start = self.emit
        self.emit += 4 * dwords
        self.space -= 4 * dwords
        return start

    def rewrite(self, start: int, words: Sequence[int]) -> None:
        """Write ``words`` at ``start``, over whatever stands there."""
        self.binding.buffer.write(start, struct.pack(f"<{len(words)}I", *words))

    def clear(self, start: int, end: int) -> None:
        """Fill from ``start`` to ``end``, perhaps around the ring's end, with no-operations (``__i915_request_fill``)."""
        if end < start:
            self.binding.buffer.write(start, bytes(self.size - start))
            start = 0
        self.binding.buffer.write(start, bytes(end - start))

    # ---- positions ----

    def wrapped(self, offset: int) -> int:
        """``offset`` as one of the ring: its end is its start."""
        return offset & self._mask

    def direction(self, new: int, old: int) -> int:
        """How far ``new`` lies ahead of ``old``, by the shorter way round; negative: behind (``intel_ring_direction``)."""
        distance = (new - old) & self._mask
        return distance - self.size if distance >= self.size // 2 else distance

    def reset(self, position: int) -> None:
        """Nothing is in it: everything begins at ``position`` (``intel_ring_reset``)."""
        self.tail = self.head = self.emit = self.wrapped(position)
        self.update_space()
