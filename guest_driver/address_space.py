"""Ranges of an address space: what is reserved, what is allocated, where there is a hole.

The driver's counterpart of the kernel's ``drm_mm``, with the three ways of choosing a hole that the driver
uses. It knows nothing of what the addresses mean: the graphics address space and the machine's page frames are
both handed out by it.

One simplification, without effect while nothing was freed: the kernel, asked for the highest place, tries a
single hole (which one depends on the shape of its search tree) before it takes the best fit; here the highest
hole that is large enough wins.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from enum import Enum
from typing import final

from pvinfo.errors import DriverError, UsageError
from pvinfo.units import PAGE_MASK, PAGE_SIZE, format_range, format_size

__all__ = ("AddressSpace", "Node", "Placement")


class Placement(Enum):
    """Which hole to take, and which end of it."""

    HIGH = "high"
    """The upper end of the highest hole: what the processor never touches."""
    LOW = "low"
    """The lower end of the lowest hole: what must be reached through the aperture."""
    BEST = "best"
    """The lower end of the smallest hole that is large enough."""


@final
class Node:
    """A range that is taken."""

    __slots__ = ("end", "owner", "size", "start")

    def __init__(self, start: int, size: int, owner: str) -> None:
        self.start = start
        self.size = size
        self.end = start + size
        self.owner = owner
        """Whose it is, in words, for messages and pictures."""

    def __repr__(self) -> str:
        return f"<Node {format_range(self.start, self.end)} {self.owner}>"

    def __contains__(self, address: int) -> bool:
        return self.start <= address < self.end


@final
class AddressSpace:
    """The range from 0 to ``size``, in pages, and the nodes in it, none of which overlap."""

    def __init__(self, name: str, size: int) -> None:
        if size <= 0 or size & PAGE_MASK:
            raise UsageError(f"{name}: an address space of {size:#x} bytes; it is a positive number of whole pages")
        self.name = name
        self.size = size
        self._starts: list[int] = []
        self._nodes: list[Node] = []

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Every range that is taken, lowest first."""
        return tuple(self._nodes)

    @property
    def reserved(self) -> int:
        """Bytes that are taken."""
        return sum(node.size for node in self._nodes)

    def _holes_from_top(self) -> Iterator[tuple[int, int]]:
        top = self.size
        for node in reversed(self._nodes):
            if node.end < top:
                yield node.end, top
            top = node.start
        if top > 0:
            yield 0, top

    def holes(self) -> Iterator[tuple[int, int]]:
        """Start and end of every free range, lowest first."""
        at = 0
        for node in self._nodes:
            if node.start > at:
                yield at, node.start
            at = node.end
        if at < self.size:
            yield at, self.size

    def node_at(self, address: int) -> Node | None:
        """What covers ``address``, or None in a hole."""
        index = bisect_right(self._starts, address) - 1
        if index >= 0 and address < self._nodes[index].end:
            return self._nodes[index]
        return None

    def reserve(self, start: int, size: int, owner: str) -> Node:
        """Take exactly ``[start, start + size)``.

        Raises: UsageError for a range that is empty, unaligned or outside; DriverError when part of it is taken.
        """
        if size <= 0 or (start | size) & PAGE_MASK or start < 0 or start + size > self.size:
            raise UsageError(
                f"{self.name}: {format_range(start, start + size)} for {owner} is not a range of whole pages below {self.size:#x}"
            )
        index = bisect_left(self._starts, start)
        below = self._nodes[index - 1] if index else None
        above = self._nodes[index] if index < len(self._nodes) else None
        for neighbour in (below, above):
            if neighbour is not None and neighbour.start < start + size and start < neighbour.end:
                raise DriverError(
                    f"{self.name}: {format_range(start, start + size)} for {owner} overlaps"
                    f" {format_range(neighbour.start, neighbour.end)} of {neighbour.owner}"
                )
        node = Node(start, size, owner)
        self._nodes.insert(index, node)
        self._starts.insert(index, start)
        return node

    def insert(
        self, size: int, owner: str, placement: Placement,
        *, alignment: int = PAGE_SIZE, start: int = 0, end: int | None = None,
    ) -> Node:  # fmt: skip
        """Take ``size`` bytes of a hole between ``start`` and ``end`` (the end of the space by default).

        Raises: UsageError for a size or alignment that no range can have; DriverError when there is no such hole.
        """
        limit = self.size if end is None else min(end, self.size)
        if size <= 0 or size & PAGE_MASK:
            raise UsageError(f"{self.name}: {size:#x} bytes for {owner}; a size is a positive number of whole pages")
        if alignment < PAGE_SIZE or alignment & (alignment - 1):
            raise UsageError(f"{self.name}: alignment {alignment:#x} for {owner}; it is a power of two of at least a page")
        place = self._find(size, placement, alignment, start, limit)
        if place is None:
            largest = max((min(top, limit) - max(bottom, start) for bottom, top in self.holes()), default=0)
            raise DriverError(
                f"{self.name}: no room for {format_size(size)} of {owner} in {format_range(start, limit)};"
                f" the largest hole there has {format_size(max(largest, 0))}"
            )
        return self.reserve(place, size, owner)

    def _find(self, size: int, placement: Placement, alignment: int, start: int, limit: int) -> int | None:
        best: tuple[int, int] | None = None
        for bottom, top in self._holes_from_top() if placement is Placement.HIGH else self.holes():
            low, high = max(bottom, start), min(top, limit)
            if placement is Placement.HIGH:
                at = (high - size) & -alignment
                if at >= low:
                    return at
                continue
            at = (low + alignment - 1) & -alignment
            if at + size > high:
                continue
            if placement is Placement.LOW:
                return at
            if best is None or top - bottom < best[0]:
                best = top - bottom, at
        return best[1] if best else None

    def remove(self, node: Node) -> None:
        """Give ``node`` back. Raises: DriverError when it is not taken here."""
        index = bisect_left(self._starts, node.start)
        if index == len(self._nodes) or self._nodes[index] is not node:
            raise DriverError(f"{self.name}: {node!r} is not allocated here")
        del self._nodes[index]
        del self._starts[index]
