"""The hypervisor port: all that the mediator asks of the hypervisor under it.

This is GVT-g's MPT, the small interface by which one mediator served Xen, KVM and others. Ports differ in what they
can do, and say so (``can_track_writes``); the mediator asks the port, never its name.

Who brings a hypervisor of his own implements :class:`VirtualMachine`, whose ``port`` is a :class:`HypervisorPort`, names a
callable that makes one by an entry point (:mod:`.registry`), and has :func:`~.conformance.check_port` look whether it keeps
what is promised here. What holds for all calls: no call waits, none raises for what a guest has done or an address that a
guest chose, and every one may come at any time between two instructions of the guest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol, runtime_checkable

from pvinfo.bus import GuestMemory, PciDevice
from pvinfo.units import BusAddress, GuestAddress

from ..memory import HostMemory

__all__ = ("NO_PAGE", "Hypervisor", "HypervisorPort", "VirtualMachine")

NO_PAGE: Final = BusAddress(0)
"""What stands for the bus address of a page that is not RAM; no page has it."""


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
        """Pin the 4 KiB page that holds ``address`` and give the bus address at which the GPU reaches it; None when it is not writable RAM.

        The bus address is a whole page's, is not 0, and is the same for the same page as long as that is pinned; no page of another
        machine has it. Each success is undone by one :meth:`unmap_guest_page`.
        """

    def unmap_guest_page(self, address: BusAddress) -> None:
        """Undo one :meth:`map_guest_page`. A bus address that is not pinned is passed over."""

    def map_guest_pages(self, addresses: Sequence[int]) -> list[int]:
        """:meth:`map_guest_page` of each page address, in order; :data:`NO_PAGE` where one is not RAM."""

    def unmap_guest_pages(self, addresses: Iterable[int]) -> None:
        """:meth:`unmap_guest_page` of each bus address."""

    @property
    def mapped_pages(self) -> int:
        """Guest pages that are pinned now, each counted once."""

    def pins(self, address: BusAddress) -> int:
        """How often the page at a bus address is pinned; 0: the GPU has no business there."""

    def guest_page(self, address: GuestAddress) -> memoryview | None:
        """The 4 KiB page of RAM at a page address, to be looked at without a copy; None where the GPU could not have it.

        Good until :attr:`memory_revision` changes. The guest may write it at any moment: who needs it to stand still copies it.
        """

    @property
    def memory_revision(self) -> int:
        """Changes whenever a page that :meth:`guest_page` gave may have gone."""

    def watch_page(self, address: GuestAddress, changed: Callable[[], None]) -> None:
        """Call ``changed`` after each write by the guest's processors, or through this port, to the page at a page address.

        Only where :attr:`can_track_writes`. What the GPU writes is not reported. A page may be watched for several reasons.
        """

    def unwatch_page(self, address: GuestAddress, changed: Callable[[], None]) -> None:
        """Undo one :meth:`watch_page`."""

    def connect_msi(self, handler: Callable[[], None] | None) -> None:
        """Deliver message-signalled interrupts to ``handler``, and to nobody else, from now on; None: to nobody."""

    def inject_msi(self) -> bool:
        """Deliver one message-signalled interrupt; False when nobody listens.

        The guest may take it at once, within this call, and go on with the device; or later, when a processor is free to. Interrupts
        that it has not taken yet may become one.
        """


@runtime_checkable
class VirtualMachine(Protocol):
    """A virtual machine of this process without devices: what a hypervisor is asked for."""

    @property
    def port(self) -> HypervisorPort:
        """The mediator's way to it."""

    @property
    def memory(self) -> GuestMemory:
        """Its RAM as its processors reach it. What they store in a watched page is reported to who watches."""

    def plug(self, device: PciDevice) -> PciDevice:
        """Put ``device`` into its slot 00:02.0, once; the device as the guest finds it there.

        Each access of the guest reaches ``device`` once and in order, in pieces where the hypervisor cuts it; interrupts come by
        :attr:`port`, to which ``device`` connects the guest's handler.
        """

    def close(self) -> None:
        """The machine is gone, and its memory with it: the GPU reaches nothing of it any more."""


Hypervisor = Callable[[int, HostMemory], VirtualMachine]
"""Makes machines with so many bytes of RAM, a whole number of pages, from address 0 on, in a window of the host's memory."""
