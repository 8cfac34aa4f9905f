"""The Protocols at which the two sides meet.

A guest driver is handed a :class:`Machine`: the virtual PC it runs on, with the GPU plugged in. In process
the machine is made by ``host_model``; over a socket by a vfio-user client; a test may make its own. The
driver sees nothing else of the host.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from .units import GuestAddress

__all__ = ("Clock", "ConfigSpace", "GuestMemory", "Machine", "PciDevice", "PlainPages", "Region")


class ConfigSpace(Protocol):
    """PCI configuration space of one function, accessed in 1, 2 or 4 bytes."""

    def read(self, offset: int, size: int) -> int:
        """``size`` bytes at ``offset`` as a little-endian number."""

    def write(self, offset: int, size: int, value: int) -> None:
        """Store the low ``size`` bytes of ``value`` at ``offset``, as far as the device lets them in."""


class Region(Protocol):
    """A base address register's window, by offset: the device does not care where it is mapped.

    Reads answer as hardware does: an access that nothing serves reads all ones, a write to it is dropped.
    ``read32`` and ``write32`` are the fast path for aligned dwords.
    """

    @property
    def size(self) -> int:
        """Length in bytes, a power of two."""

    def read(self, offset: int, size: int) -> int:
        """1, 2, 4 or 8 bytes at ``offset`` as a little-endian number."""

    def write(self, offset: int, size: int, value: int) -> None:
        """Store 1, 2, 4 or 8 bytes at ``offset``."""

    def read32(self, offset: int, /) -> int:
        """The dword at ``offset``."""

    def write32(self, offset: int, value: int, /) -> None:
        """Store the dword at ``offset``."""


@runtime_checkable
class PlainPages(Protocol):
    """A :class:`Region` of which some pages are nothing but memory: whoever stores many words in one may do it himself."""

    def plain_page(self, offset: int, /) -> memoryview | None:
        """The page at ``offset`` to store words in, for as long as nothing else happens to the device; None where a store is
        more than that, or must be seen."""

    def count_writes(self, count: int, /) -> None:
        """So many words were stored that way."""


class PciDevice(Protocol):
    """A PCI function as the machine it is plugged into sees it."""

    @property
    def config(self) -> ConfigSpace:
        """Configuration space."""

    def bar(self, index: int) -> Region | None:
        """The window of base address register ``index`` (0 to 5), or None where there is none."""

    def reset(self) -> None:
        """Function-level reset: everything as after power-on."""

    def on_interrupt(self, handler: Callable[[], None] | None) -> None:
        """Call ``handler`` for each message-signalled interrupt from now on; None disconnects it."""


class GuestMemory(Protocol):
    """The machine's RAM, by guest-physical address.

    Raises: IndexError for an address where there is no RAM, from every method.
    """

    @property
    def size(self) -> int:
        """Bytes of RAM, from address 0."""

    def read(self, address: GuestAddress, size: int) -> bytes:
        """A copy of ``size`` bytes."""

    def write(self, address: GuestAddress, data: bytes | bytearray | memoryview) -> None:
        """Store ``data``."""


class Clock(Protocol):
    """Time as this side counts it: virtual in process, real behind a socket."""

    def now_ns(self) -> int:
        """Nanoseconds since the machine was made."""

    def wait_ns(self, duration_ns: int) -> None:
        """Let time pass; whatever is due on either side happens meanwhile."""


class Machine(Protocol):
    """A virtual PC with the GPU in slot 00:02.0."""

    @property
    def gpu(self) -> PciDevice:
        """The vGPU (or, without a PVINFO page, the physical GPU)."""

    @property
    def memory(self) -> GuestMemory:
        """RAM that the GPU reaches by DMA."""

    @property
    def clock(self) -> Clock:
        """The machine's time."""
