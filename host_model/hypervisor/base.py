"""The hypervisor port: all that the mediator asks of the hypervisor under it.

This is GVT-g's MPT, the small interface by which one mediator served Xen, KVM and others. Ports differ in what they
can do, and say so (``can_track_writes``); the mediator asks the port, never its name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from pvinfo.units import BusAddress, GuestAddress

__all__ = ("HypervisorPort",)


class HypervisorPort(Protocol):
    """One virtual machine, as the mediator of its vGPU needs it."""

    @property
    def can_track_writes(self) -> bool:
        """The port can report a guest's writes to a page (else shadow tables re-synchronise at submission)."""

    def read_guest(self, address: GuestAddress, size: int) -> bytes | None:
        """A copy of guest memory, or None when any byte of it is not RAM."""

    def write_guest(self, address: GuestAddress, data: bytes) -> bool:
        """Store into guest memory; False, with nothing stored, when any byte of it is not writable RAM."""

    def map_guest_page(self, address: GuestAddress) -> BusAddress | None:
        """Pin the 4 KiB page and give the bus address at which the GPU reaches it; None when it is not RAM.

        Each success is undone by one :meth:`unmap_guest_page`.
        """

    def unmap_guest_page(self, address: BusAddress) -> None:
        """Undo one :meth:`map_guest_page`."""

    @property
    def mapped_pages(self) -> int:
        """Guest pages that are pinned now, each counted once."""

    def connect_msi(self, handler: Callable[[], None] | None) -> None:
        """Deliver message-signalled interrupts to ``handler`` from now on; None: to nobody."""

    def inject_msi(self) -> bool:
        """Deliver one message-signalled interrupt; False when nobody listens."""
