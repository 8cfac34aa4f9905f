"""KVM's side: memory slots that come, move and go; frames that are tracked; interrupts by eventfd."""

from __future__ import annotations

import pytest

from host_model.hypervisor.kvm import EventFd, GuestSlots, KvmPort, MemorySlot, PageTrack
from host_model.hypervisor.local import Ram
from host_model.memory import HostMemory
from pvinfo.errors import UsageError
from pvinfo.units import PAGE_SIZE, BusAddress, GuestAddress

LOW = MemorySlot(0, 0, 4, 0)
HIGH = MemorySlot(1, 0x100, 4, 8 * PAGE_SIZE)


@pytest.fixture
def slots() -> GuestSlots:
    slots = GuestSlots(Ram(16 * PAGE_SIZE), PageTrack())
    slots.set(LOW)
    slots.set(HIGH)
    return slots


@pytest.fixture
def host_memory() -> HostMemory:
    return HostMemory()


@pytest.fixture
def port(slots: GuestSlots, host_memory: HostMemory) -> KvmPort:
    return KvmPort(slots, host_memory)


def test_frames_are_found_by_their_slot_and_holes_are_no_memory(slots: GuestSlots, port: KvmPort) -> None:
    slots.write(GuestAddress(0x100FFE), b"high")
    assert slots.monitor.read(GuestAddress(8 * PAGE_SIZE + 0xFFE), 4) == b"high"
    assert [slots.find(gfn) for gfn in (0, 3, 4, 0xFF, 0x100, 0x103, 0x104)] == [LOW, LOW, None, None, HIGH, HIGH, None]
    assert port.read_guest(GuestAddress(0x3FFE), 4) is None and not port.write_guest(GuestAddress(0x103FFE), b"over")
    with pytest.raises(IndexError, match="4 bytes at 0x3ffe: no memory slot holds them"):
        slots.read(GuestAddress(0x3FFE), 4)
    assert slots.size == 0x104000


def test_slots_that_lie_side_by_side_are_one_piece_to_who_reads_across(slots: GuestSlots, port: KvmPort) -> None:
    slots.set(MemorySlot(2, 4, 1, 15 * PAGE_SIZE))
    assert port.write_guest(GuestAddress(0x3FFE), b"both")
    assert slots.monitor.read(GuestAddress(0x3FFE), 2) == b"bo" and slots.monitor.read(GuestAddress(15 * PAGE_SIZE), 2) == b"th"


def test_each_change_of_slots_is_a_generation_and_only_loss_revokes(slots: GuestSlots, port: KvmPort) -> None:
    before, revision = slots.generation, port.memory_revision
    slots.set(MemorySlot(2, 0x200, 1, 0))
    assert (slots.generation, port.memory_revision) == (before + 1, revision)
    slots.set(MemorySlot(2, 0x300, 1, 0))
    assert (slots.generation, port.memory_revision) == (before + 2, revision + 1)
    slots.set(MemorySlot(2, 0, 0, 0))
    assert (slots.generation, port.memory_revision) == (before + 3, revision + 2)
    assert slots.find(0x200) is None and slots.find(0x300) is None


@pytest.mark.parametrize(
    ("slot", "said"),
    [
        (MemorySlot(2, 3, 2, 0), "slot 0 has frames of it"),
        (MemorySlot(2, 8, 1, 16 * PAGE_SIZE), "no whole pages of it"),
        (MemorySlot(2, 8, 1, 5), "no whole pages of it"),
        (MemorySlot(7, 0, 0, 0), "memory slot 7 is to go: there is none"),
    ],
)
def test_a_slot_that_cannot_be_is_refused_and_nothing_has_changed(slots: GuestSlots, slot: MemorySlot, said: str) -> None:
    before = slots.generation
    with pytest.raises(UsageError, match=said):
        slots.set(slot)
    assert slots.generation == before and slots.find(0) == LOW


def test_a_pinned_page_outlives_its_slot(slots: GuestSlots, port: KvmPort, host_memory: HostMemory) -> None:
    bus = port.map_guest_page(GuestAddress(0x101000))
    assert bus is not None
    slots.write(GuestAddress(0x101000), b"kept")
    revision = host_memory.revision
    slots.set(MemorySlot(1, 0, 0, 0))
    page = host_memory.page(bus)
    assert host_memory.revision != revision and port.pins(bus) == 1
    assert page is not None and bytes(page[:4]) == b"kept"
    assert port.map_guest_page(GuestAddress(0x101000)) is None and port.guest_page(GuestAddress(0x101000)) is None
    port.unmap_guest_page(bus)
    assert port.mapped_pages == 0


def test_one_page_of_the_monitor_in_two_slots_is_one_page_to_the_gpu(slots: GuestSlots, port: KvmPort) -> None:
    slots.set(MemorySlot(2, 0x200, 4, 0))
    first, second = port.map_guest_pages((0x1000, 0x201000))
    assert first == second and port.pins(BusAddress(first)) == 2


def test_read_only_memory_is_read_but_neither_written_nor_given_to_the_gpu(slots: GuestSlots, port: KvmPort) -> None:
    slots.monitor.write(GuestAddress(15 * PAGE_SIZE), b"ROM!")
    slots.set(MemorySlot(2, 0x400, 1, 15 * PAGE_SIZE, read_only=True))
    slots.write(GuestAddress(0x400000), b"RAM?")
    assert not port.write_guest(GuestAddress(0x400000), b"RAM?")
    assert port.read_guest(GuestAddress(0x400000), 4) == b"ROM!"
    assert port.map_guest_page(GuestAddress(0x400000)) is None and port.guest_page(GuestAddress(0x400000)) is None


def test_a_frame_is_tracked_while_somebody_watches_it_and_once(slots: GuestSlots, port: KvmPort) -> None:
    heard: list[int] = []
    calls = [lambda: heard.append(0), lambda: heard.append(1)]
    for call in calls:
        port.watch_page(GuestAddress(0x1000), call)
    assert slots.page_track.tracked == 1
    port.unwatch_page(GuestAddress(0x1000), calls[0])
    slots.write(GuestAddress(0x1008), bytes(8))
    assert slots.page_track.tracked == 1 and heard == [1]
    port.unwatch_page(GuestAddress(0x1000), calls[1])
    assert slots.page_track.tracked == 0


def test_who_watches_frames_of_a_slot_that_goes_is_forgotten(slots: GuestSlots, port: KvmPort) -> None:
    heard: list[str] = []

    def changed() -> None:
        heard.append("write")

    port.watch_page(GuestAddress(0x101000), changed)
    port.watch_page(GuestAddress(0x1000), changed)
    slots.set(MemorySlot(1, 0x200, 4, 8 * PAGE_SIZE))
    assert slots.page_track.tracked == 1
    slots.set(HIGH)
    slots.write(GuestAddress(0x101000), b"unheard")
    port.unwatch_page(GuestAddress(0x101000), changed)
    assert heard == [] and slots.page_track.tracked == 1
    port.watch_page(GuestAddress(0x900000), changed)
    assert slots.page_track.tracked == 1, "where no slot is, nothing is tracked"


def test_an_eventfd_counts_and_an_irqfd_makes_one_interrupt_of_it(port: KvmPort) -> None:
    plain = EventFd()
    plain.signal()
    plain.signal()
    assert (plain.read(), plain.read()) == (2, 0)
    heard: list[str] = []
    port.connect_msi(lambda: heard.append("interrupt"))
    trigger = port.msi_trigger
    assert trigger is not None and port.inject_msi() and heard == ["interrupt"]
    assert trigger.count == 0, "the irqfd has taken it"
    trigger.count = 5
    trigger.signal()
    assert heard == ["interrupt"] * 2
    port.connect_msi(None)
    assert not port.inject_msi() and port.msi_trigger is None
