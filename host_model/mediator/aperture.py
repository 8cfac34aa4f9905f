"""BAR2 as the guest sees it: graphics memory below the aperture's end, through the GGTT.

The window has the host's full length, but only the vGPU's own slice of it answers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from pvinfo.trace import Op, TraceWriter
from pvinfo.units import PAGE_MASK, PAGE_SHIFT, PAGE_SIZE, BusAddress, format_range

if TYPE_CHECKING:
    from .vgpu import Vgpu

__all__ = ("ApertureWindow",)

_FRAME: Final = ((1 << 46) - 1) & ~PAGE_MASK


@final
class ApertureWindow:
    """A :class:`~pvinfo.bus.Region` onto the vGPU's low graphics memory."""

    def __init__(self, vgpu: Vgpu, size: int) -> None:
        self._vgpu = vgpu
        self.size = size
        self.reads = 0
        self.writes = 0
        self.trace: TraceWriter | None = None

    def read32(self, offset: int, /) -> int:
        return self.read(offset, 4)

    def write32(self, offset: int, value: int, /) -> None:
        self.write(offset, 4, value)

    def read(self, offset: int, size: int) -> int:
        self.reads += 1
        value = int.from_bytes(self._copy_out(offset, size), "little")
        self._record(Op.APERTURE_READ, offset, size, value)
        return value

    def write(self, offset: int, size: int, value: int) -> None:
        self.writes += 1
        value &= (1 << 8 * size) - 1
        self._record(Op.APERTURE_WRITE, offset, size, value)
        self._copy_in(offset, value.to_bytes(size, "little"))

    def _record(self, op: Op, offset: int, size: int, value: int) -> None:
        if self.trace is not None:
            self.trace.add(self._vgpu.clock.now_ns() // 1_000_000, op, size, offset, value)

    def _page(self, offset: int, what: str) -> memoryview | None:
        """The memory behind aperture page ``offset``, or None with a finding."""
        vgpu = self._vgpu
        if offset not in vgpu.resources.low:
            low = vgpu.resources.low
            vgpu.findings.fault(
                "aperture-outside-slice", f"BAR2+{offset & ~PAGE_MASK:#x}",
                f"a {what} outside the vGPU's part of the aperture; reads all ones, writes are dropped",
                nearest=format_range(low.start, low.stop),
            )  # fmt: skip
            return None
        return vgpu.gpu.memory.page(BusAddress(vgpu.gpu.ggtt[offset >> PAGE_SHIFT] & _FRAME))

    def _copy_out(self, offset: int, size: int) -> bytes:
        data = bytearray(b"\xff" * size)
        at = 0
        while at < size:
            start = (offset + at) & PAGE_MASK
            length = min(size - at, PAGE_SIZE - start)
            page = self._page(offset + at, "read")
            if page is not None:
                data[at : at + length] = page[start : start + length]
            at += length
        return bytes(data)

    def _copy_in(self, offset: int, data: bytes) -> None:
        at = 0
        while at < len(data):
            start = (offset + at) & PAGE_MASK
            length = min(len(data) - at, PAGE_SIZE - start)
            page = self._page(offset + at, "write")
            if page is not None and not page.readonly:
                page[start : start + length] = data[at : at + length]
            at += length
