"""A hypervisor port that counts what is looked at, read and mapped, and fails where it is told to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from host_model.hypervisor.base import NO_PAGE, HypervisorPort
from pvinfo.units import BusAddress, GuestAddress

__all__ = ("UnreliablePort",)


class UnreliablePort:
    """In front of another port."""

    def __init__(self, inner: HypervisorPort) -> None:
        self.inner = inner
        self.tried = 0
        """Pages that were to be mapped."""
        self.looks = 0
        """Pages that were looked at."""
        self.reads = 0
        """Pieces of memory that were read."""
        self.failing: set[int] = set()
        """Which pages cannot be mapped, by number from 0 on."""
        self.unseen: set[int] = set()
        """Which looks find nothing."""
        self.unread: set[int] = set()
        """Which pieces cannot be read."""
        self.failed: list[int] = []
        """Addresses where it has failed."""

    @property
    def can_track_writes(self) -> bool:
        return self.inner.can_track_writes

    @property
    def mapped_pages(self) -> int:
        return self.inner.mapped_pages

    @property
    def memory_revision(self) -> int:
        return self.inner.memory_revision

    def read_guest(self, address: GuestAddress, size: int) -> bytes | None:
        self.reads += 1
        if self.reads - 1 in self.unread:
            self.failed.append(address)
            return None
        return self.inner.read_guest(address, size)

    def write_guest(self, address: GuestAddress, data: bytes) -> bool:
        return self.inner.write_guest(address, data)

    def map_guest_page(self, address: GuestAddress) -> BusAddress | None:
        (bus,) = self.map_guest_pages((address,))
        return BusAddress(bus) if bus else None

    def map_guest_pages(self, addresses: Sequence[int]) -> list[int]:
        numbers = range(self.tried, self.tried + len(addresses))
        self.tried += len(addresses)
        if self.failing.isdisjoint(numbers):
            return self.inner.map_guest_pages(addresses)
        self.failed += [address for number, address in zip(numbers, addresses, strict=True) if number in self.failing]
        return [NO_PAGE if number in self.failing else self.inner.map_guest_pages((address,))[0] for number, address in zip(numbers, addresses, strict=True)]

    def unmap_guest_page(self, address: BusAddress) -> None:
        self.unmap_guest_pages((address,))

    def unmap_guest_pages(self, addresses: Iterable[int]) -> None:
        self.inner.unmap_guest_pages(addresses)

    def pins(self, address: BusAddress) -> int:
        return self.inner.pins(address)

    def guest_page(self, address: GuestAddress) -> memoryview | None:
        self.looks += 1
        if self.looks - 1 in self.unseen:
            self.failed.append(address)
            return None
        return self.inner.guest_page(address)

    def watch_page(self, address: GuestAddress, changed: Callable[[], None]) -> None:
        self.inner.watch_page(address, changed)

    def unwatch_page(self, address: GuestAddress, changed: Callable[[], None]) -> None:
        self.inner.unwatch_page(address, changed)

    def connect_msi(self, handler: Callable[[], None] | None) -> None:
        self.inner.connect_msi(handler)

    def inject_msi(self) -> bool:
        return self.inner.inject_msi()
