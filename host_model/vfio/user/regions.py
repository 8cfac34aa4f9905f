"""The regions of a served device, and the accesses that make up nearly all of a connection.

An aligned dword is most of what a guest ever reads or writes, and a copy out of graphics memory is one read for each byte
or qword. A message that asks for such a one is answered from its bytes alone (:meth:`DeviceRegions.answer`), with two
flat structures and no object in between. Everything else takes the long way, to the same effect.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol, final

from pvinfo.bus import ConfigSpace, PciDevice, PlainPages, Region
from pvinfo.errors import PeerError
from pvinfo.pci import CONFIG_SIZE, EXPANSION_ROM
from pvinfo.units import PAGE_MASK, PAGE_SHIFT, format_range
from pvinfo.vfio_user import (
    FIRST_TYPED_REGION,
    HEADER,
    REGION_ACCESS,
    WRITE_MULTI_ENTRY,
    Command,
    MessageType,
    RegionFlags,
    RegionIndex,
    TypedRegion,
)

__all__ = ("READ_SIZE", "DeviceRegions", "ReadOnlyRegion", "SpecificRegion")

_HEADER_FORMAT: Final = "<HHIII"
_READ: Final = struct.Struct(_HEADER_FORMAT + "QII")
_DWORD_REPLY: Final = struct.Struct(_HEADER_FORMAT + "QIII")
_WRITE_DWORD: Final = struct.Struct(_HEADER_FORMAT + "QIII")
_WRITE_QWORD: Final = struct.Struct(_HEADER_FORMAT + "QIIQ")
_WRITE_REPLY: Final = struct.Struct(_HEADER_FORMAT + "QII")
_ENTRY: Final = struct.Struct("<QIIQ")
READ_SIZE: Final = HEADER.size + REGION_ACCESS.size
"""Length of a REGION_READ."""
_NO_REPLY: Final = 0x10
_REGION_READ: Final = int(Command.REGION_READ)
_REGION_WRITE: Final = int(Command.REGION_WRITE)
_REPLY: Final = int(MessageType.REPLY)
_OTHER_WIDTHS: Final = (1, 2, 8)
_WORDS: Final = (4, 8)
_NOWHERE: Final = memoryview(b"")

_ROM_END: Final = EXPANSION_ROM + 4


class SpecificRegion(Protocol):
    """A device-specific region."""

    @property
    def type(self) -> TypedRegion:
        """What it is for."""

    @property
    def size(self) -> int:
        """Its length in bytes, which never changes."""

    def read(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes, 1 or more, which are all inside. Raises: PeerError where they cannot be read."""

    @property
    def write(self) -> Callable[[int, bytes], None] | None:
        """Stores bytes, 1 or more, which are all inside; None where the region can only be read. It raises PeerError, with nothing changed."""

    def client_gone(self) -> None:
        """The client has gone: what was kept for it is not needed any more."""


class ReadOnlyRegion(NamedTuple):
    """A device-specific region that never changes."""

    type: TypedRegion
    """What it is for."""
    content: bytes

    @property
    def size(self) -> int:
        return len(self.content)

    def read(self, offset: int, length: int) -> bytes:
        return self.content[offset : offset + length]

    @property
    def write(self) -> None:
        return None

    def client_gone(self) -> None:
        """Nothing is kept for a client."""


@final
class _RomlessConfig:
    """Configuration space of a device without a ROM: its base address reads 0, whatever was written to size it."""

    def __init__(self, config: ConfigSpace) -> None:
        self._config = config
        self.size = CONFIG_SIZE

    def read(self, offset: int, size: int) -> int:
        value = self._config.read(offset, size)
        if offset < _ROM_END and offset + size > EXPANSION_ROM:
            for byte in range(max(offset, EXPANSION_ROM), min(offset + size, _ROM_END)):
                value &= ~(0xFF << (byte - offset) * 8)
        return value

    def write(self, offset: int, size: int, value: int) -> None:
        self._config.write(offset, size, value)

    def read32(self, offset: int, /) -> int:
        return self.read(offset, 4)

    def write32(self, offset: int, value: int, /) -> None:
        self._config.write(offset, 4, value)


class _Window(NamedTuple):
    """A region with its methods at hand."""

    size: int
    widest: int
    """Bytes that one access may have."""
    read: Callable[[int, int], int]
    write: Callable[[int, int, int], None]
    read32: Callable[[int], int]
    write32: Callable[[int, int], None]
    drawn: PlainPages | None
    """The region, if pages of it may be memory."""


def _window(region: Region | _RomlessConfig, widest: int) -> _Window:
    drawn = region if isinstance(region, PlainPages) else None
    return _Window(region.size, widest, region.read, region.write, region.read32, region.write32, drawn)


def _pieces(offset: int, length: int, widest: int) -> list[tuple[int, int]]:
    """The accesses that an access is made of: itself where a machine has one of that width, else aligned ones."""
    if length in (1, 2, 4, 8) and length <= widest:
        return [(offset, length)]
    pieces = []
    end = offset + length
    while offset < end:
        width = widest
        while offset % width or offset + width > end:
            width //= 2
        pieces.append((offset, width))
        offset += width
    return pieces


@final
class DeviceRegions:
    """Base address registers 0 to 5 and configuration space, by VFIO's numbers; then ``typed``, in order."""

    def __init__(self, device: PciDevice, typed: Sequence[SpecificRegion] = ()) -> None:
        self._windows: dict[int, _Window] = {}
        self._typed = dict(enumerate(typed, FIRST_TYPED_REGION))
        self.count = FIRST_TYPED_REGION + len(typed)
        """Regions there are, numbered from 0; some may be empty."""
        for index in range(RegionIndex.BAR0, RegionIndex.BAR5 + 1):
            region = device.bar(index)
            if region is not None:
                self._windows[index] = _window(region, 8)
        self._windows[RegionIndex.CONFIG] = _window(_RomlessConfig(device.config), 4)
        self.answer = self._make_answer()
        """The reply to a whole REGION_READ of an aligned dword, or REGION_WRITE of an aligned dword or qword, from its
        bytes; of a base address register, a read of any width that a machine has. Empty when it must not be answered;
        None when the message is anything else, or wrong, and nothing has happened."""

    def describe(self, index: int) -> tuple[RegionFlags, int]:
        """What region ``index`` allows, and its size. Raises: PeerError for a number that is no region."""
        if index >= self.count:
            raise PeerError(errno.EINVAL, f"region {index}: regions are 0 to {self.count - 1}")
        typed = self._typed.get(index)
        if typed is not None:
            return RegionFlags.of(read=True, write=typed.write is not None, caps=True), typed.size
        window = self._windows.get(index)
        if window is None:
            return RegionFlags(0), 0
        return RegionFlags.of(read=True, write=True), window.size

    def type_of(self, index: int) -> TypedRegion | None:
        """What the device-specific region ``index`` is for; None for any other."""
        typed = self._typed.get(index)
        return None if typed is None else typed.type

    def client_gone(self) -> None:
        """The client has gone."""
        for typed in self._typed.values():
            typed.client_gone()

    def _check(self, index: int, offset: int, length: int) -> None:
        """Raises: PeerError when the bytes are not all inside region ``index``."""
        _, size = self.describe(index)
        if not size or offset + length > size:
            accessed = format_range(offset, offset + length)
            raise PeerError(errno.EINVAL, f"access to {accessed} of region {index}, which has {size:#x} bytes")

    def read(self, index: int, offset: int, length: int) -> bytes:
        """``length`` bytes of region ``index``. Raises: PeerError when they are not all inside."""
        self._check(index, offset, length)
        if not length:
            return b""
        typed = self._typed.get(index)
        if typed is not None:
            return typed.read(offset, length)
        window = self._windows[index]
        return b"".join(window.read(at, width).to_bytes(width, "little") for at, width in _pieces(offset, length, window.widest))

    def write(self, index: int, offset: int, data: bytes) -> None:
        """Store ``data`` in region ``index``. Raises: PeerError, with nothing written, when it is not all inside."""
        self._check(index, offset, len(data))
        typed = self._typed.get(index)
        if typed is not None and typed.write is None:
            raise PeerError(errno.EINVAL, f"write to region {index}: it can only be read")
        if not data:
            return
        if typed is not None and typed.write is not None:
            typed.write(offset, data)
            return
        window = self._windows[index]
        for at, width in _pieces(offset, len(data), window.widest):
            start = at - offset
            window.write(at, width, int.from_bytes(data[start : start + width], "little"))

    def write_multi(self, entries: bytes) -> tuple[int, PeerError | None]:
        """Do the writes of a REGION_WRITE_MULTI in order, up to the first wrong one: how many were done, what was wrong."""
        writes: list[tuple[int, int, int, int]] = list(_ENTRY.iter_unpack(entries))
        done = 0
        while (done := done + self._store(writes[done:] if done else writes)) < len(writes):
            offset, index, length, value = writes[done]
            try:
                if length > 8:
                    raise PeerError(errno.EINVAL, f"REGION_WRITE_MULTI: write {done} has {length} bytes, 8 at most")
                self.write(index, offset, value.to_bytes(8, "little")[:length])
            except PeerError as error:
                return done, error
            done += 1
        return done, None

    def store_posted(self, data: bytes, start: int) -> int:
        """Do the writes that stand in ``data`` from ``start`` on, one message after the other: whole REGION_WRITEs of an aligned
        dword or qword that must not be answered. Returns where the first message of another kind begins, or the end."""
        unpack = _WRITE_QWORD.unpack_from
        last = len(data) - _WRITE_QWORD.size
        writes, ends, at = [], [start], start
        while at <= last:
            _, command, length, flags, _, offset, index, count, value = unpack(data, at)
            if command != _REGION_WRITE or flags != _NO_REPLY or length != READ_SIZE + count or count not in _WORDS:
                break
            at += length
            writes.append((offset, index, count, value))
            ends.append(at)
        return ends[self._store(writes)]

    def _store(self, writes: Sequence[tuple[int, int, int, int]]) -> int:
        """Do writes of aligned dwords and qwords, given as (offset, region, length, value), up to the first that is none: how
        many were done. Those that follow one another into the same page of plain memory are stored in it directly."""
        windows = self._windows
        region = page = -1
        dwords = qwords = _NOWHERE
        region_drawn: PlainPages | None = None
        done = direct = 0
        for offset, index, length, value in writes:
            if index == region and offset >> PAGE_SHIFT == page and not offset & length - 1:
                if length == 4:
                    dwords[(offset & PAGE_MASK) >> 2] = value & 0xFFFF_FFFF
                    done, direct = done + 1, direct + 1
                    continue
                if length == 8:
                    qwords[(offset & PAGE_MASK) >> 3] = value
                    done, direct = done + 1, direct + 1
                    continue
            window = windows.get(index)
            if window is None or offset & length - 1 or offset + length > window.size:
                break
            if length == 4:
                window.write32(offset, value & 0xFFFF_FFFF)
            elif length == 8 == window.widest:
                window.write(offset, 8, value)
            else:
                break
            done += 1
            region = -1
            if direct and region_drawn is not None:
                region_drawn.count_writes(direct)
            direct, region_drawn = 0, window.drawn
            if region_drawn is not None:
                memory = region_drawn.plain_page(offset)
                if memory is not None:
                    region, page = index, offset >> PAGE_SHIFT
                    dwords, qwords = memory.cast("I"), memory.cast("Q")
        if direct and region_drawn is not None:
            region_drawn.count_writes(direct)
        return done

    def _make_answer(self) -> Callable[[bytes], bytes | None]:
        """:attr:`answer`, with everything it needs at hand: what a guest waits for is worth that."""
        ends = {index: window.size - 4 for index, window in self._windows.items()}
        reads = {index: window.read32 for index, window in self._windows.items()}
        writes = {index: window.write32 for index, window in self._windows.items()}
        wide = {index: window.write for index, window in self._windows.items() if window.widest == 8}
        reads_of_width = {index: window.read for index, window in self._windows.items() if window.widest == 8}
        unpack_read, pack_value, pack_header = _READ.unpack, _DWORD_REPLY.pack, _WRITE_REPLY.pack

        def answer(message: bytes) -> bytes | None:
            size = len(message)
            if size == READ_SIZE:
                number, command, length, flags, _, offset, index, count = unpack_read(message)
                if command != _REGION_READ or flags or length != READ_SIZE or index not in ends:
                    return None
                if count != 4:
                    if count not in _OTHER_WIDTHS or index not in wide or offset & count - 1 or offset + count > ends[index] + 4:
                        return None
                    header = pack_header(number, _REGION_READ, READ_SIZE + count, _REPLY, 0, offset, index, count)
                    return header + reads_of_width[index](offset, count).to_bytes(count, "little")
                if offset & 3 or offset > ends[index]:
                    return None
                return pack_value(number, _REGION_READ, _DWORD_REPLY.size, _REPLY, 0, offset, index, 4, reads[index](offset))
            if size == READ_SIZE + 4:
                number, command, length, flags, _, offset, index, count, value = _WRITE_DWORD.unpack(message)
                if command != _REGION_WRITE or count != 4 or flags & ~_NO_REPLY or length != size or offset & 3:
                    return None
                if index not in ends or offset > ends[index]:
                    return None
                writes[index](offset, value)
            elif size == READ_SIZE + 8:
                number, command, length, flags, _, offset, index, count, value = _WRITE_QWORD.unpack(message)
                if command != _REGION_WRITE or count != 8 or flags & ~_NO_REPLY or length != size or offset & 7:
                    return None
                if index not in wide or offset > ends[index] - 4:
                    return None
                wide[index](offset, 8, value)
            else:
                return None
            return b"" if flags else _WRITE_REPLY.pack(number, _REGION_WRITE, READ_SIZE, _REPLY, 0, offset, index, count)

        return answer


assert _ENTRY.size == WRITE_MULTI_ENTRY.size
