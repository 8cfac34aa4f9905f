"""KVM under the mediator: memory slots, write tracking by page-track callbacks, and interrupts by eventfd.

The machine's memory is its monitor's: slots show ranges of it to the guest, and may be added, moved and taken away while it runs.
What the mediator pins are pages of the monitor, which stay when the slot goes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from typing import NamedTuple, final

from pvinfo.bus import PciDevice
from pvinfo.errors import UsageError
from pvinfo.units import PAGE_MASK, PAGE_SHIFT, PAGE_SIZE, BusAddress, GuestAddress, format_range

from ..memory import WINDOW_SHIFT, HostMemory
from .local import Ram
from .pins import PinnedByBus, add_pins
from .watches import Watches, pages_of

__all__ = ("EventFd", "GuestSlots", "KvmMachine", "KvmPort", "MemorySlot", "PageTrack")


class MemorySlot(NamedTuple):
    """A range of guest frames, and where in the monitor's memory it lies."""

    number: int
    base_gfn: int
    npages: int
    userspace_addr: int
    """Byte offset in the monitor's memory."""
    read_only: bool = False

    @property
    def end_gfn(self) -> int:
        """The first frame after it."""
        return self.base_gfn + self.npages


@final
class PageTrack:
    """Who hears of the guest's writes to write-protected frames, and of slots that go.

    A frame is tracked as often as it was added. Source: linux:arch/x86/kvm/mmu/page_track.c
    """

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self.track_write: Callable[[int, int], None] | None = None
        """Called after a store of so many bytes at a guest-physical address that touches a tracked frame."""
        self.track_remove_region: Callable[[int, int], None] | None = None
        """Called before so many frames go."""

    def add(self, gfn: int) -> None:
        """Protect a frame against writes, once more."""
        self._counts[gfn] = self._counts.get(gfn, 0) + 1

    def remove(self, gfn: int) -> None:
        """Undo one :meth:`add`; a frame whose slot went meanwhile is none any more."""
        left = self._counts.get(gfn, 1) - 1
        if left:
            self._counts[gfn] = left
        else:
            self._counts.pop(gfn, None)

    @property
    def tracked(self) -> int:
        """Frames that are protected."""
        return len(self._counts)

    def written(self, address: int, size: int) -> None:
        """The guest has stored."""
        if self._counts and self.track_write is not None and any(page in self._counts for page in pages_of(address, size)):
            self.track_write(address, size)

    def region_goes(self, slot: MemorySlot) -> None:
        """A slot is about to go."""
        for gfn in [gfn for gfn in self._counts if slot.base_gfn <= gfn < slot.end_gfn]:
            del self._counts[gfn]
        if self.track_remove_region is not None:
            self.track_remove_region(slot.base_gfn, slot.npages)


@final
class GuestSlots:
    """The guest's memory by its slots; a :class:`~pvinfo.bus.GuestMemory`."""

    def __init__(self, monitor: Ram, page_track: PageTrack) -> None:
        self.monitor = monitor
        self.page_track = page_track
        self._slots: list[MemorySlot] = []
        """By first frame."""
        self.generation = 0
        """Counts changes: who has looked up a slot looks it up anew when this has moved."""
        self.on_revoke: Callable[[], None] | None = None
        """Called when frames have gone."""

    # ---- what the monitor does ----

    def set(self, slot: MemorySlot) -> None:
        """Add a slot, or move the one of the same number; ``npages`` of 0 takes it away.

        Raises: UsageError for frames that another slot has, memory that the monitor has not, or a number that names no slot to take away.
        """
        old = next((known for known in self._slots if known.number == slot.number), None)
        others = [known for known in self._slots if known is not old]
        if slot.npages:
            self._check(slot, others)
            others.append(slot)
        elif old is None:
            raise UsageError(f"memory slot {slot.number} is to go: there is none")
        if old is not None:
            self.page_track.region_goes(old)
        self._slots = sorted(others, key=lambda known: known.base_gfn)
        self.generation += 1
        if old is not None and self.on_revoke is not None:
            self.on_revoke()

    def _check(self, slot: MemorySlot, others: Iterable[MemorySlot]) -> None:
        where = format_range(slot.base_gfn << PAGE_SHIFT, slot.end_gfn << PAGE_SHIFT)
        if slot.userspace_addr & PAGE_MASK or slot.userspace_addr < 0 or slot.userspace_addr + (slot.npages << PAGE_SHIFT) > self.monitor.size:
            raise UsageError(f"memory slot {slot.number}, {where}, of the monitor's memory at {slot.userspace_addr:#x}: no whole pages of it")
        for other in others:
            if slot.base_gfn < other.end_gfn and other.base_gfn < slot.end_gfn:
                raise UsageError(f"memory slot {slot.number}, {where}: slot {other.number} has frames of it")

    # ---- what a processor does ----

    @property
    def size(self) -> int:
        return max((slot.end_gfn for slot in self._slots), default=0) << PAGE_SHIFT

    def read(self, address: GuestAddress, size: int) -> bytes:
        pieces = self.pieces(address, size)
        if pieces is None:
            raise IndexError(f"{size} bytes at {address:#x}: no memory slot holds them")
        return b"".join(self.monitor.read(GuestAddress(at), length) for _, at, length in pieces)

    def write(self, address: GuestAddress, data: bytes | bytearray | memoryview) -> None:
        pieces = self.pieces(address, len(data))
        if pieces is None:
            raise IndexError(f"{len(data)} bytes at {address:#x}: no memory slot holds them")
        self.store(pieces, data)
        self.page_track.written(address, len(data))

    # ---- what both rest on ----

    def find(self, gfn: int) -> MemorySlot | None:
        """The slot that holds a frame."""
        index = bisect_right(self._slots, gfn, key=lambda slot: slot.base_gfn) - 1
        if index < 0:
            return None
        slot = self._slots[index]
        return slot if gfn < slot.end_gfn else None

    def pieces(self, address: int, size: int) -> list[tuple[MemorySlot, int, int]] | None:
        """The slots that hold ``size`` bytes, each with where in the monitor's memory and how many; None where one is missing."""
        found: list[tuple[MemorySlot, int, int]] = []
        end = address + size
        while address < end:
            slot = self.find(address >> PAGE_SHIFT) if address >= 0 else None
            if slot is None:
                return None
            length = min(end, slot.end_gfn << PAGE_SHIFT) - address
            found.append((slot, slot.userspace_addr + address - (slot.base_gfn << PAGE_SHIFT), length))
            address += length
        return found

    def store(self, pieces: Iterable[tuple[MemorySlot, int, int]], data: bytes | bytearray | memoryview) -> None:
        """Store into pieces of slots; what goes to a read-only one is dropped."""
        done = 0
        for slot, at, length in pieces:
            if not slot.read_only:
                self.monitor.write(GuestAddress(at), data[done : done + length])
            done += length


@final
class EventFd:
    """A counter that somebody is told of; what an interrupt travels by."""

    def __init__(self) -> None:
        self.count = 0
        self.wake: Callable[[], None] | None = None
        """Called after each signal."""

    def signal(self) -> None:
        """Count one more."""
        self.count += 1
        if self.wake is not None:
            self.wake()

    def read(self) -> int:
        """What was counted since the last time."""
        count, self.count = self.count, 0
        return count


@final
class KvmPort(PinnedByBus):
    """The mediator's way to a :class:`KvmMachine`, as kvmgt's was before VFIO had all of it."""

    can_track_writes = True

    def __init__(self, slots: GuestSlots, host_memory: HostMemory) -> None:
        self.memory_revision = 0
        self._slots = slots
        self._host_memory = host_memory
        self._base = host_memory.attach(slots.monitor)
        super().__init__()
        self._protected = Watches()
        self.msi_trigger: EventFd | None = None
        """What the monitor has set for the device's interrupt."""
        slots.on_revoke = self._revoke
        slots.page_track.track_write = self._track_write
        slots.page_track.track_remove_region = self._protected.forget

    def _revoke(self) -> None:
        self.memory_revision += 1
        self._host_memory.revoke()

    def read_guest(self, address: GuestAddress, size: int) -> bytes | None:
        return self._slots.read(address, size) if self._slots.pieces(address, size) is not None else None

    def write_guest(self, address: GuestAddress, data: bytes) -> bool:
        pieces = self._slots.pieces(address, len(data))
        if pieces is None or any(slot.read_only for slot, _, _ in pieces):
            return False
        self._slots.store(pieces, data)
        # KVM tells of what its guest writes, not of what the host does.
        self._track_write(address, len(data))
        return True

    def _userspace(self, address: int) -> int | None:
        """Where in the monitor's memory the writable page at ``address`` is."""
        slot = self._slots.find(address >> PAGE_SHIFT) if address >= 0 else None
        if slot is None or slot.read_only:
            return None
        return slot.userspace_addr + (address & ~PAGE_MASK) - (slot.base_gfn << PAGE_SHIFT)

    def map_guest_page(self, address: GuestAddress) -> BusAddress | None:
        userspace = self._userspace(address)
        if userspace is None or userspace >> WINDOW_SHIFT:
            return None
        bus = BusAddress(self._base + userspace)
        add_pins(self._pins, (bus,))
        return bus

    def guest_page(self, address: GuestAddress) -> memoryview | None:
        userspace = self._userspace(address)
        return self._slots.monitor.page(userspace) if userspace is not None else None

    def watch_page(self, address: GuestAddress, changed: Callable[[], None]) -> None:
        if self._slots.find(address >> PAGE_SHIFT) is not None and self._protected.add(address, changed):
            self._slots.page_track.add(address >> PAGE_SHIFT)

    def unwatch_page(self, address: GuestAddress, changed: Callable[[], None]) -> None:
        if self._protected.remove(address, changed):
            self._slots.page_track.remove(address >> PAGE_SHIFT)

    def _track_write(self, address: int, size: int) -> None:
        self._protected.written(address, size)

    def connect_msi(self, handler: Callable[[], None] | None) -> None:
        if handler is None:
            self.msi_trigger = None
            return
        trigger = EventFd()

        def wake() -> None:
            # An irqfd is edge triggered: however often it was signalled, one interrupt is raised.
            if trigger.read():
                handler()

        trigger.wake = wake
        self.msi_trigger = trigger

    def inject_msi(self) -> bool:
        if self.msi_trigger is None:
            return False
        self.msi_trigger.signal()
        return True

    def close(self) -> None:
        """The machine is gone: its memory leaves the GPU's bus."""
        self._pins.clear()
        self._host_memory.detach(self._base)


@final
class KvmMachine:
    """A machine of KVM's: one slot of RAM from address 0, to which its monitor may add others."""

    def __init__(self, ram_size: int, host_memory: HostMemory) -> None:
        self.memory = GuestSlots(Ram(ram_size), PageTrack())
        self.port = KvmPort(self.memory, host_memory)
        self.memory.set(MemorySlot(0, 0, ram_size // PAGE_SIZE, 0))

    def plug(self, device: PciDevice) -> PciDevice:
        """The device as the guest finds it: VFIO hands each exit on as it is."""
        return device

    def close(self) -> None:
        """The machine is gone."""
        self.port.close()

