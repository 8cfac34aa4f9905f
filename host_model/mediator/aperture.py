"""BAR2 as a client's driver sees it: graphics memory below the aperture's end, through the GGTT.

The window has the host's full length, but only the client's own slice of it answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, final

from pvinfo.trace import Op, TraceWriter
from pvinfo.units import PAGE_MASK, PAGE_SIZE, format_range

if TYPE_CHECKING:
    from .client import Client

__all__ = ("ApertureWindow",)


@final
class ApertureWindow:
    """A :class:`~pvinfo.bus.Region` onto the client's low graphics memory."""

    def __init__(self, client: Client, size: int) -> None:
        self._client = client
        self._hardware = client.gpu.aperture
        self._low = client.resources.low
        self.size = size
        self.reads = 0
        self.writes = 0
        self.trace: TraceWriter | None = None

    def read32(self, offset: int, /) -> int:
        return self.read(offset, 4)

    def write32(self, offset: int, value: int, /) -> None:
        self.write(offset, 4, value)

    def plain_page(self, offset: int, /) -> memoryview | None:
        return self._hardware.kept_page(offset) if self.trace is None and offset in self._low else None

    def count_writes(self, count: int, /) -> None:
        self.writes += count

    def read(self, offset: int, size: int) -> int:
        self.reads += 1
        start = offset & PAGE_MASK
        if start + size <= PAGE_SIZE:
            page = self.plain_page(offset)
            if page is not None:
                return int.from_bytes(page[start : start + size], "little")
        value = int.from_bytes(self._copy_out(offset, size), "little")
        self._record(Op.APERTURE_READ, offset, size, value)
        return value

    def write(self, offset: int, size: int, value: int) -> None:
        self.writes += 1
        value &= (1 << 8 * size) - 1
        start = offset & PAGE_MASK
        if start + size <= PAGE_SIZE:
            page = self.plain_page(offset)
            if page is not None:
                page[start : start + size] = value.to_bytes(size, "little")
                return
        self._record(Op.APERTURE_WRITE, offset, size, value)
        self._copy_in(offset, value.to_bytes(size, "little"))

    def _record(self, op: Op, offset: int, size: int, value: int) -> None:
        if self.trace is not None:
            self.trace.add(self._client.clock.now_ns() // 1_000_000, op, size, offset, value)

    def _owned(self, offset: int, what: str) -> bool:
        """The aperture page at ``offset`` is the vGPU's own; else a finding."""
        low = self._low
        if offset in low:
            return True
        self._client.findings.fault(
            "aperture-outside-slice", f"BAR2+{offset & ~PAGE_MASK:#x}",
            f"a {what} outside its own part of the aperture; reads all ones, writes are dropped",
            nearest=format_range(low.start, low.stop),
        )  # fmt: skip
        return False

    def _copy_out(self, offset: int, size: int) -> bytes:
        hardware = self._hardware
        with self._client.mediator.guard.on_behalf_of(self._client.number):
            if (offset & PAGE_MASK) + size <= PAGE_SIZE and offset in self._low:
                return hardware.copy_out(offset, size)
            return b"".join(
                hardware.copy_out(at, length) if self._owned(at, "read") else b"\xff" * length for at, length in _by_page(offset, size)
            )

    def _copy_in(self, offset: int, data: bytes) -> None:
        with self._client.mediator.guard.on_behalf_of(self._client.number):
            for at, length in _by_page(offset, len(data)):
                if self._owned(at, "write"):
                    self._hardware.copy_in(at, data[at - offset : at - offset + length])


def _by_page(offset: int, size: int) -> Iterator[tuple[int, int]]:
    """Cut an access at page borders."""
    end = offset + size
    while offset < end:
        length = min(end - offset, PAGE_SIZE - (offset & PAGE_MASK))
        yield offset, length
        offset += length
