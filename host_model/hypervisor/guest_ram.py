"""RAM of a virtual machine in another process, as its monitor shares it: ranges of guest-physical addresses, by file descriptors.

The monitor tells which ranges exist (:meth:`GuestRam.map`), takes them away and brings them back all through the firmware's
boot. So nothing here is resolved early: an address is looked up when it is used.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import stat
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Final, NamedTuple, final

from pvinfo.errors import PeerError
from pvinfo.system_limits import what_ran_out
from pvinfo.units import PAGE_MASK, PAGE_SIZE, GuestAddress, format_range
from pvinfo.vfio_user import MAX_DMA_MAPS, DmaMap

__all__ = ("GuestRam",)

_ADDRESS_END: Final = 1 << 64
_CONVENTIONAL_MEMORY: Final = 640 << 10
"""Where a PC's firmware keeps its interrupt vectors and data."""


class _FileKey(NamedTuple):
    device: int
    inode: int
    writable: bool


@final
class _SharedFile:
    """A whole file of guest RAM, mapped once however many ranges show parts of it."""

    def __init__(self, fd: int, size: int, *, writable: bool) -> None:
        self.mapping = mmap.mmap(fd, size, prot=mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0))
        self.view = memoryview(self.mapping)
        self.users = 0

    def close(self) -> None:
        self.view.release()
        # A view that somebody still holds keeps the pages until it goes; nobody reaches them by address any more.
        with suppress(BufferError):
            self.mapping.close()


class _Range(NamedTuple):
    """A range of guest-physical addresses."""

    start: int
    end: int
    readable: bool
    writable: bool
    key: _FileKey | None
    """The file behind it; None: known, but out of our reach."""
    view: memoryview | None


def _inspect(fd: int) -> tuple[_FileKey, int]:
    """What is behind a file descriptor that came with a map. Raises: PeerError for anything but a regular file."""
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise PeerError(errno.EINVAL, "DMA_MAP: the file descriptor is of no regular file or memfd")
    mode = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE
    if mode == os.O_WRONLY:
        raise PeerError(errno.EINVAL, "DMA_MAP: the file descriptor cannot be read")
    # RAM that shrinks would kill whoever touches what is gone. A file that cannot be sealed has to be trusted.
    with suppress(OSError):
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    return _FileKey(status.st_dev, status.st_ino, mode == os.O_RDWR), os.fstat(fd).st_size


@final
class GuestRam:
    """The guest's memory by guest-physical address, as far as its monitor shares it.

    As the memory behind a GPU's bus (:class:`~host_model.memory.Backing`) it shows every page of writable RAM.
    """

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ranges: list[_Range] = []
        self._files: dict[_FileKey, _SharedFile] = {}
        self.on_revoke: Callable[[], None] | None = None
        """Called when ranges have gone, so that nobody goes on using pages of them."""
        self.revision = 0
        """Changes when ranges have gone."""

    # ---- what the monitor does ----

    def map(self, request: DmaMap, fd: int | None) -> None:
        """Add a range. ``fd`` stays the caller's, and is not needed afterwards.

        Raises: PeerError with the errno to answer with; nothing has changed then.
        """
        start, end, flags = request.address, request.address + request.size, request.flags
        if not request.size or (start | request.size | request.offset) & PAGE_MASK:
            raise PeerError(errno.EINVAL, f"DMA_MAP of {format_range(start, end)}, file offset {request.offset:#x}: not whole pages")
        if end > _ADDRESS_END:
            raise PeerError(errno.EINVAL, f"DMA_MAP of {format_range(start, end)}: beyond the last address")
        if not (flags.readable or flags.writable) or flags >> 4:
            raise PeerError(errno.EINVAL, f"DMA_MAP flags {int(flags):#x}: unknown bits, or neither readable nor writable")
        if (flags.mmap and flags.file_io) or (fd is None and (flags.mmap or flags.file_io)):
            raise PeerError(errno.EINVAL, f"DMA_MAP flags {int(flags):#x}: one way of access, and a file descriptor for it")
        index = bisect_right(self._starts, start)
        neighbours = self._ranges[max(index - 1, 0) : index + 1]
        overlapping = next((other for other in neighbours if other.start < end and start < other.end), None)
        if overlapping is not None:
            known = format_range(overlapping.start, overlapping.end)
            raise PeerError(errno.EEXIST, f"DMA_MAP of {format_range(start, end)}: overlaps {known}")
        if len(self._ranges) >= MAX_DMA_MAPS:
            raise PeerError(errno.ENOSPC, f"DMA_MAP of {format_range(start, end)}: {MAX_DMA_MAPS} ranges are mapped")
        added = self._open(request, fd) if fd is not None else _Range(start, end, flags.readable, flags.writable, None, None)
        self._starts.insert(index, start)
        self._ranges.insert(index, added)

    def _open(self, request: DmaMap, fd: int) -> _Range:
        key, size = _inspect(fd)
        flags = request.flags
        if flags.writable and not key.writable:
            raise PeerError(errno.EACCES, "DMA_MAP of writable memory by a file descriptor that cannot be written")
        if request.offset + request.size > size:
            raise PeerError(errno.EINVAL, f"DMA_MAP of {format_range(request.offset, request.offset + request.size)} of a file of {size} bytes")
        file = self._files.get(key)
        if file is None or len(file.view) < request.offset + request.size:
            try:
                grown = _SharedFile(fd, size, writable=key.writable)
            except (OSError, ValueError, OverflowError) as error:
                number = error.errno if isinstance(error, OSError) and error.errno else errno.ENOMEM
                raise PeerError(number, f"DMA_MAP: {size} bytes of file cannot be mapped: {what_ran_out(error, size) or error}") from None
            if file is not None:
                # The file was extended since. Ranges that show the old mapping keep it alive.
                grown.users = file.users
                file.close()
            file = self._files[key] = grown
        file.users += 1
        view = file.view[request.offset : request.offset + request.size]
        start = request.address
        return _Range(
            start, start + request.size, flags.readable, flags.writable, key, view if flags.writable else view.toreadonly()
        )

    def unmap(self, address: int, size: int) -> None:
        """Take away exactly one earlier range; no reference to it is kept.

        Raises: PeerError with the errno to answer with.
        """
        index = bisect_right(self._starts, address) - 1
        if index < 0 or (self._ranges[index].start, self._ranges[index].end) != (address, address + size):
            raise PeerError(errno.ENOENT, f"DMA_UNMAP of {format_range(address, address + size)}: no such range is mapped")
        gone = self._ranges.pop(index)
        del self._starts[index]
        self._release(gone)
        self._revoke()

    def unmap_all(self) -> None:
        """Take away every range."""
        ranges, self._ranges, self._starts = self._ranges, [], []
        for gone in ranges:
            self._release(gone)
        if ranges:
            self._revoke()

    def _revoke(self) -> None:
        self.revision += 1
        if self.on_revoke is not None:
            self.on_revoke()

    def disconnect(self) -> None:
        """The monitor has gone, and its memory with it."""
        self.unmap_all()

    def _release(self, gone: _Range) -> None:
        if gone.view is not None:
            with suppress(BufferError):
                gone.view.release()
        if gone.key is None:
            return
        file = self._files[gone.key]
        file.users -= 1
        if not file.users:
            del self._files[gone.key]
            file.close()

    # ---- what the device does ----

    def _pieces(self, address: int, size: int) -> Iterator[tuple[_Range, int, int]]:
        """The ranges that hold ``size`` bytes at ``address``, each with the slice of it; stops where there is a gap."""
        while size > 0:
            found = self._at(address)
            if found is None:
                return
            taken = min(size, found.end - address)
            yield found, address - found.start, address - found.start + taken
            address += taken
            size -= taken

    def _at(self, address: int) -> _Range | None:
        index = bisect_right(self._starts, address) - 1
        if index < 0:
            return None
        found = self._ranges[index]
        return found if address < found.end else None

    def read(self, address: int, size: int) -> bytes | None:
        """A copy of ``size`` bytes, or None when any of them is not shared RAM."""
        found = self._at(address)
        if found is not None and address + size <= found.end:
            if found.view is None or not found.readable:
                return None
            offset = address - found.start
            return bytes(found.view[offset : offset + size])
        copy = bytearray()
        for piece, first, last in self._pieces(address, size):
            if piece.view is None or not piece.readable:
                return None
            copy += piece.view[first:last]
        return bytes(copy) if len(copy) == size else None

    def write(self, address: int, data: bytes) -> bool:
        """Store ``data``; False, with nothing stored, when any byte of it would go elsewhere than to shared, writable RAM."""
        pieces = list(self._pieces(address, len(data)))
        if sum(last - first for _, first, last in pieces) != len(data):
            return False
        targets = [piece.view[first:last] for piece, first, last in pieces if piece.view is not None and piece.writable]
        if len(targets) != len(pieces):
            return False
        done = 0
        for target in targets:
            target[:] = data[done : done + len(target)]
            done += len(target)
        return True

    def page(self, offset: int, /) -> memoryview | None:
        """The page at guest-physical ``offset``; None where there is no shared RAM that the device may write.

        A page is asked for to be pinned, and who pins one may write it: firmware in read-only memory is no place for a GPU.
        """
        found = self._at(offset)
        if found is None or found.view is None or not found.writable:
            return None
        start = (offset & ~PAGE_MASK) - found.start
        return found.view[start : start + PAGE_SIZE]

    def pages_to_pin(self, addresses: Sequence[int], limit: int) -> list[bool]:
        """Of each page address, whether it is below ``limit`` and :meth:`page` has a page there."""
        answers: list[bool] = []
        start, end, answer = 0, 0, False
        for address in addresses:
            if not start <= address < end:
                found = self._at(address)
                start, end, answer = address, address + 1, False
                if found is not None:
                    start, end, answer = found.start, found.end, found.view is not None and found.writable
            answers.append(answer and address < limit)
        return answers

    def span(self, offset: int, size: int, /) -> memoryview | None:
        """``size`` bytes at guest-physical ``offset``, where one range of shared RAM holds them all."""
        found = self._at(offset)
        if found is None or found.view is None or offset + size > found.end:
            return None
        return found.view[offset - found.start : offset - found.start + size]

    def doubtful_page(self) -> GuestAddress | None:
        """A page that the firmware of a PC has written and that reads zero here; None where memory looks as it should.

        A monitor may show us a file whose pages it has copied for itself: then we see it as it was in the beginning.
        Only a machine with firmware, which comes as read-only memory out of our reach, is judged.
        """
        if all(known.writable or known.view is not None for known in self._ranges):
            return None
        low = self._at(0)
        if low is None or low.view is None:
            return None
        shown = bytes(low.view[: min(len(low.view), _CONVENTIONAL_MEMORY)])
        return GuestAddress(0) if shown.count(0) == len(shown) else None

    def ranges(self) -> Iterator[tuple[int, int, bool]]:
        """Every range: first address, end, and whether it is RAM that we reach."""
        for known in self._ranges:
            yield known.start, known.end, known.view is not None
