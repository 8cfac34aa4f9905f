"""The guest's memory: page frames of the machine's RAM that the driver hands to the GPU."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, TypeVar, final

from pvinfo.bus import GuestMemory
from pvinfo.errors import DriverError
from pvinfo.units import MIB, PAGE_MASK, PAGE_SIZE, GuestAddress, format_size

from .address_space import AddressSpace, Node, Placement

__all__ = ("Buffer", "GuestPages")

_FIRST_FRAME: Final = 1 * MIB
"""Below it a PC keeps its firmware's tables and the VGA window."""


class Buffer:
    """Memory of the guest that the GPU can be pointed at: whole pages, known one by one.

    Offsets are from the buffer's first byte; the pages need not adjoin in RAM.
    """

    def __init__(self, ram: GuestMemory, node: Node, owner: str) -> None:
        self._ram = ram
        self.node = node
        self.owner = owner
        """What it is for, in words."""
        self.pages: tuple[GuestAddress, ...] = tuple(GuestAddress(address) for address in range(node.start, node.end, PAGE_SIZE))
        """Guest-physical address of each page."""

    @property
    def size(self) -> int:
        """Bytes, a multiple of the page size."""
        return len(self.pages) * PAGE_SIZE

    @property
    def address(self) -> GuestAddress:
        """Guest-physical address of the first page."""
        return self.pages[0]

    @property
    def contiguous(self) -> bool:
        """Its pages adjoin in RAM, in order."""
        return self.pages[-1] - self.pages[0] == self.size - PAGE_SIZE

    def _check(self, offset: int, length: int) -> None:
        if offset < 0 or offset + length > self.size:
            raise DriverError(f"{self.owner}: bytes {offset:#x} to {offset + length:#x} of a buffer of {format_size(self.size)}")

    def read(self, offset: int, length: int) -> bytes:
        """A copy of ``length`` bytes. Raises: DriverError outside the buffer."""
        self._check(offset, length)
        if self.contiguous:
            return self._ram.read(GuestAddress(self.pages[0] + offset), length)
        parts = bytearray()
        while length:
            inside = offset & PAGE_MASK
            count = min(length, PAGE_SIZE - inside)
            parts += self._ram.read(GuestAddress(self.pages[offset // PAGE_SIZE] + inside), count)
            offset += count
            length -= count
        return bytes(parts)

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Store ``data``. Raises: DriverError outside the buffer."""
        self._check(offset, len(data))
        if self.contiguous:
            self._ram.write(GuestAddress(self.pages[0] + offset), data)
            return
        view = memoryview(data)
        while view:
            inside = offset & PAGE_MASK
            count = min(len(view), PAGE_SIZE - inside)
            self._ram.write(GuestAddress(self.pages[offset // PAGE_SIZE] + inside), view[:count])
            offset += count
            view = view[count:]

    def read_dword(self, offset: int) -> int:
        """One little-endian dword. Raises: DriverError outside the buffer."""
        return int.from_bytes(self.read(offset, 4), "little")

    def write_dword(self, offset: int, value: int) -> None:
        """Store one little-endian dword. Raises: DriverError outside the buffer."""
        self.write(offset, value.to_bytes(4, "little"))

    def write_dwords(self, offset: int, values: Sequence[int]) -> None:
        """Store little-endian dwords. Raises: DriverError outside the buffer."""
        self.write(offset, struct.pack(f"<{len(values)}I", *values))

    def fill_entries(self, entry: int) -> None:
        """Make every quadword of the buffer ``entry``, as a table of 64-bit entries is initialised."""
        page = entry.to_bytes(8, "little") * (PAGE_SIZE // 8)
        for address in self.pages:
            self._ram.write(address, page)


B = TypeVar("B", bound=Buffer)


@final
class GuestPages:
    """Hands out page frames of the machine's RAM, zeroed, and takes them back."""

    def __init__(self, ram: GuestMemory) -> None:
        self._ram = ram
        size = ram.size & ~PAGE_MASK
        if size <= _FIRST_FRAME:
            raise DriverError(f"the machine has {format_size(ram.size)} of RAM; the driver needs pages above {format_size(_FIRST_FRAME)}")
        self._frames = AddressSpace("guest memory", size)
        self._frames.reserve(0, _FIRST_FRAME, "firmware")

    @property
    def in_use(self) -> int:
        """Bytes handed out and not yet given back."""
        return self._frames.reserved - _FIRST_FRAME

    def allocate(self, pages: int, owner: str, *, alignment: int = PAGE_SIZE) -> Buffer:
        """A zeroed buffer of ``pages`` pages whose first lies at a multiple of ``alignment``.

        Raises: DriverError when RAM is used up.
        """
        return self.allocate_as(Buffer, pages, owner, alignment=alignment)

    def allocate_as(self, kind: type[B], pages: int, owner: str, *, alignment: int = PAGE_SIZE) -> B:
        """The same, as a ``kind`` of buffer that can do more."""
        node = self._frames.insert(pages * PAGE_SIZE, owner, Placement.LOW, alignment=alignment)
        buffer = kind(self._ram, node, owner)
        self._ram.write(buffer.address, bytes(buffer.size))
        return buffer

    def release(self, buffer: Buffer) -> None:
        """Take ``buffer`` back. Nothing of the GPU may point at it any more. Raises: DriverError when it was not handed out."""
        self._frames.remove(buffer.node)
