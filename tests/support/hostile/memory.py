"""Memory behind the bus of a GPU that is not trusted: windows, holes between them, and a watch on everything handed out.

Every window stands between two guard pages of the same piece of memory, which hold a secret. Memory that is unplugged is
filled with the secret too and kept: whoever still writes there changes it, whoever still reads there carries it elsewhere,
and whoever still holds a view of it keeps it from being resized.
"""

from __future__ import annotations

from typing import Final, final

from pvinfo.gtt_entry import FRAME_MASK_4K
from pvinfo.units import PAGE_SIZE, BusAddress

__all__ = ("SECRET", "GuardedMemory", "Trespass", "Window")

SECRET: Final = bytes.fromhex("d7b15e0f c4a99263")
_SECRET_PAGE: Final = SECRET * (PAGE_SIZE // len(SECRET))
_GHOSTS: Final = 4


class Trespass(AssertionError):
    """The device used memory that was not, or no longer, mapped to it, or asked for what is no address."""


@final
class Window:
    """Memory at a range of bus addresses. ``plugged`` is None while it is taken away."""

    def __init__(self, base: int, pages: int, *, readonly: bool = False) -> None:
        self.base = base
        self.size = pages * PAGE_SIZE
        self.readonly = readonly
        self._whole = bytearray()
        self.plugged: memoryview | None = None
        """What the processor sees."""
        self.device_view: memoryview | None = None
        self.plug()

    def plug(self) -> None:
        """Put fresh memory there."""
        self._whole = bytearray(_SECRET_PAGE) + bytearray(self.size) + bytearray(_SECRET_PAGE)
        self.plugged = memoryview(self._whole)[PAGE_SIZE : PAGE_SIZE + self.size]
        self.device_view = self.plugged.toreadonly() if self.readonly else self.plugged

    def unplug(self) -> bytearray:
        """Take the memory away; what is left of it."""
        self.check()
        self.plugged = self.device_view = None
        ghost, self._whole = self._whole, bytearray()
        ghost[:] = SECRET * (len(ghost) // len(SECRET))
        return ghost

    def check(self) -> None:
        """Raises: Trespass when a guard page was written."""
        if self._whole and (self._whole[:PAGE_SIZE] != _SECRET_PAGE or self._whole[-PAGE_SIZE:] != _SECRET_PAGE):
            raise Trespass(f"a page beside the window at {self.base:#x} was written")


@final
class GuardedMemory:
    """A :class:`~host_model.memory.BusMemory` of some windows that counts what the device asks for."""

    def __init__(self, *windows: Window) -> None:
        self.windows = windows
        self.revision = 0
        self.asked = 0
        """Pages and spans asked for."""
        self.handed_out = 0
        """Bytes handed out."""
        self._ghosts: list[bytearray] = []

    # ---- BusMemory ----

    def page(self, address: BusAddress, /) -> memoryview | None:
        self.asked += 1
        if not 0 <= address <= FRAME_MASK_4K + PAGE_SIZE - 1:
            raise Trespass(f"the device asks for the page at {address:#x}, which is no bus address")
        return self._view(address & ~(PAGE_SIZE - 1), PAGE_SIZE)

    def span(self, address: BusAddress, size: int, /) -> memoryview | None:
        self.asked += 1
        if address < 0 or size <= 0 or address + size > FRAME_MASK_4K + (1 << 31):
            raise Trespass(f"the device asks for {size} bytes at {address:#x}, which is no range of bus addresses")
        return self._view(address, size)

    def _view(self, address: int, size: int) -> memoryview | None:
        for window in self.windows:
            offset = address - window.base
            if 0 <= offset < window.size:
                view = window.device_view
                if view is None or offset + size > window.size:
                    return None
                self.handed_out += size
                return view[offset : offset + size]
        return None

    # ---- the world ----

    def unplug(self, window: Window) -> None:
        """Take a window's memory away, if it is there. Raises: Trespass."""
        if window.plugged is not None:
            self._ghosts.append(window.unplug())
            self.revision += 1
            if len(self._ghosts) > _GHOSTS:
                _check_ghost(self._ghosts.pop(0))

    def poke(self, address: int, data: bytes) -> None:
        """Store as the processor does; where there is no memory, nothing happens."""
        for window in self.windows:
            offset = address - window.base
            if window.plugged is not None and 0 <= offset and offset + len(data) <= window.size:
                window.plugged[offset : offset + len(data)] = data

    def peek(self, address: int, size: int) -> bytes:
        """Read as the processor does; nothing where there is no memory."""
        for window in self.windows:
            offset = address - window.base
            if window.plugged is not None and 0 <= offset and offset + size <= window.size:
                return bytes(window.plugged[offset : offset + size])
        return b""

    def check(self) -> None:
        """Raises: Trespass when anything was written, or has been read, that was not mapped."""
        for ghost in self._ghosts:
            _check_ghost(ghost)
        for window in self.windows:
            window.check()
            if window.plugged is not None and SECRET in bytes(window.plugged):
                raise Trespass(f"in the window at {window.base:#x} stands what only unmapped memory held")

    def check_let_go(self) -> None:
        """Raises: Trespass when somebody holds on to memory that was unplugged."""
        for ghost in self._ghosts:
            try:
                ghost.append(0)
            except BufferError:
                raise Trespass("the device holds on to memory that was unplugged, though it was reset") from None
            del ghost[-1]


def _check_ghost(ghost: bytearray) -> None:
    if ghost != SECRET * (len(ghost) // len(SECRET)):
        raise Trespass("memory was written after it had been unplugged")
