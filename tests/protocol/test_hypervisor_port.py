"""The mediator's port to a machine behind a socket, and memory that is shared in name only."""

from __future__ import annotations

import errno
import os

import pytest

from host_model.hypervisor.vfio_user import VfioUserPort
from host_model.memory import WINDOW_SHIFT, HostMemory
from pvinfo.errors import StateError
from pvinfo.units import MIB, BusAddress, GuestAddress
from pvinfo.vfio_user import Command, DmaMap, DmaMapFlags
from support.vfio_wire import INVALID, Peer, dma_map, memfd, refusal, region_read, region_read_reply, reply


def plugged(port: VfioUserPort, address: int, size: int, fd: int, *, flags: int = 3) -> None:
    port.map(DmaMap(32, DmaMapFlags(flags), 0, address, size), fd)


def test_the_gpu_reaches_a_page_only_while_it_is_pinned() -> None:
    fd = memfd(0x4000, b"pinned", at=0x2000)
    memory = HostMemory()
    port = VfioUserPort(memory)
    plugged(port, 0x10000, 0x4000, fd)
    assert port.map_guest_page(GuestAddress(0)) is None
    bus = port.map_guest_page(GuestAddress(0x12345))
    assert bus is not None and bus & 0xFFF == 0
    page = memory.page(BusAddress(bus + 0x345))
    assert page is not None and bytes(page[:6]) == b"pinned"
    assert memory.page(BusAddress(bus + 0x1000)) is None
    assert port.map_guest_page(GuestAddress(0x12000)) == bus and port.mapped_pages == 1
    port.unmap_guest_page(bus)
    assert memory.page(bus) is not None
    port.unmap_guest_page(bus)
    assert memory.page(bus) is None and port.mapped_pages == 0
    port.unmap_guest_page(bus)
    os.close(fd)


def test_a_pinned_page_comes_back_with_its_range_but_not_with_another_client() -> None:
    fd = memfd(0x1000)
    memory = HostMemory()
    port = VfioUserPort(memory)
    plugged(port, 0, 0x1000, fd)
    bus = port.map_guest_page(GuestAddress(0))
    assert bus is not None
    port.unmap(0, 0x1000)
    assert memory.page(bus) is None and port.mapped_pages == 1
    plugged(port, 0, 0x1000, fd)
    assert memory.page(bus) is not None
    port.disconnect()
    assert port.mapped_pages == 0
    plugged(port, 0, 0x1000, fd)
    assert memory.page(bus) is None
    port.close()
    os.close(fd)


def test_read_only_memory_cannot_be_pinned_and_a_pinned_page_that_becomes_it_is_out_of_reach() -> None:
    fd = memfd(0x1000, b"rom")
    memory = HostMemory()
    port = VfioUserPort(memory)
    plugged(port, 0xC0000, 0x1000, fd, flags=1)
    assert port.map_guest_page(GuestAddress(0xC0000)) is None
    assert port.read_guest(GuestAddress(0xC0000), 3) == b"rom" and not port.write_guest(GuestAddress(0xC0000), b"x")
    port.unmap(0xC0000, 0x1000)
    plugged(port, 0xC0000, 0x1000, fd)
    bus = port.map_guest_page(GuestAddress(0xC0000))
    assert bus is not None and memory.page(bus) is not None
    port.unmap(0xC0000, 0x1000)
    plugged(port, 0xC0000, 0x1000, fd, flags=1)
    assert memory.page(bus) is None
    port.close()
    os.close(fd)


def test_the_port_reads_and_writes_guest_memory_and_passes_interrupts_on() -> None:
    fd = memfd(0x2000)
    port = VfioUserPort(HostMemory())
    assert not port.can_track_writes
    plugged(port, 0, 0x2000, fd)
    assert port.write_guest(GuestAddress(0xFFE), b"abcd") and port.read_guest(GuestAddress(0xFFE), 4) == b"abcd"
    assert port.read_guest(GuestAddress(0x1FFE), 4) is None and not port.write_guest(GuestAddress(0x1FFE), b"abcd")
    heard: list[str] = []
    assert not port.inject_msi()
    port.connect_msi(lambda: heard.append("msi"))
    assert port.inject_msi() and heard == ["msi"]
    port.connect_msi(None)
    assert not port.inject_msi()
    port.close()
    os.close(fd)


def test_many_pages_are_mapped_at_a_time_each_where_it_is_memory_that_the_gpu_may_write() -> None:
    fd = memfd(0x4000)
    memory = HostMemory()
    port = VfioUserPort(memory)
    plugged(port, 0, 0x2000, fd)
    plugged(port, 0x8000, 0x1000, fd, flags=1)
    plugged(port, 0x10000, 0x2000, fd)
    base = 1 << WINDOW_SHIFT
    assert port.map_guest_pages((0x1000, 0x2000, 0x11000, 0x8000, 0x1000, 0x12000)) == [base + 0x1000, 0, base + 0x11000, 0, base + 0x1000, 0]
    assert [port.pins(BusAddress(base + page)) for page in (0x1000, 0x1FFF, 0x11000, 0, 0x8000)] == [2, 2, 1, 0, 0]
    assert port.mapped_pages == 2 and port.pins(BusAddress(0x1000)) == 0
    assert port.map_guest_pages(range(0x10000, 0x12000, 0x1000)) == [base + 0x10000, base + 0x11000]
    revision = memory.revision
    port.unmap_guest_pages((base + 0x1000, base + 0x11000))
    assert memory.revision == revision, "all are pinned still"
    port.unmap_guest_pages((base + 0x1000, base + 0x11000, base + 0x10000))
    assert memory.revision == revision + 1 and port.mapped_pages == 0
    port.close()
    os.close(fd)


def test_memory_beyond_the_machines_window_is_not_taken_for_another_machines() -> None:
    fd = memfd(0x2000, b"far")
    memory = HostMemory()
    port, other = VfioUserPort(memory), VfioUserPort(memory)
    far = 1 << WINDOW_SHIFT
    plugged(port, far - 0x1000, 0x2000, fd)
    plugged(other, 0, 0x1000, fd)
    assert other.map_guest_page(GuestAddress(0)) == 2 * far
    assert port.map_guest_page(GuestAddress(far)) is None
    assert port.map_guest_pages((far - 0x1000, far)) == [2 * far - 0x1000, 0]
    assert (port.mapped_pages, port.pins(BusAddress(2 * far))) == (1, 0)
    assert port.read_guest(GuestAddress(far - 0x1000), 3) == b"far", "the mediator itself reaches it"
    port.close()
    other.close()
    os.close(fd)


def test_a_page_to_look_at_is_good_until_the_revision_changes_with_a_range_that_goes() -> None:
    fd = memfd(0x2000, b"look")
    port = VfioUserPort(HostMemory())
    plugged(port, 0, 0x1000, fd)
    revision = port.memory_revision
    page = port.guest_page(GuestAddress(0))
    assert page is not None and bytes(page[:4]) == b"look" and len(page) == 0x1000
    os.pwrite(fd, b"seen", 0)
    assert bytes(page[:4]) == b"seen"
    assert port.guest_page(GuestAddress(0x1000)) is None
    plugged(port, 0x1000, 0x1000, fd)
    assert port.memory_revision == revision, "a range that comes takes nothing away"
    port.unmap(0x1000, 0x1000)
    assert port.memory_revision != revision and port.guest_page(GuestAddress(0x1000)) is None
    revision = port.memory_revision
    port.disconnect()
    assert port.memory_revision != revision and port.guest_page(GuestAddress(0)) is None
    port.close()
    os.close(fd)


def test_writes_of_another_process_cannot_be_watched() -> None:
    port = VfioUserPort(HostMemory())
    with pytest.raises(StateError, match="a machine in another process"):
        port.watch_page(GuestAddress(0), lambda: None)
    with pytest.raises(StateError):
        port.unwatch_page(GuestAddress(0), lambda: None)
    port.close()


# ---- memory that is shared in name only ----


def firmware_machine(peer: Peer, content: bytes) -> int:
    """A machine with flash, whose RAM as we see it begins with ``content``."""
    fd = memfd(MIB, content)
    peer.ask(dma_map(0, MIB), (fd,))
    peer.ask(dma_map(0xFFFC0000, 0x40000, flags=1))
    return fd


def test_ram_of_a_running_machine_that_reads_zero_is_doubted() -> None:
    peer = Peer()
    fd = firmware_machine(peer, b"")
    assert peer.server.page_to_check() is None, "the guest has not let the device access memory yet"
    peer.device.config.write(4, 2, 4)
    assert peer.server.page_to_check() == 0
    assert peer.server.page_to_check() is None, "once is enough"
    os.close(fd)


@pytest.mark.parametrize(("answer", "noticed"), [(bytes(4095) + b"\x01", 1), (bytes(4096), 0), (None, 0)])
def test_doubted_memory_is_noticed_when_the_client_sees_something_else_in_it(answer: bytes | None, noticed: int) -> None:
    peer = Peer()
    peer.server.page_checked(0, answer)
    assert len(peer.findings.of_rule("guest-ram-private")) == noticed


def test_ram_that_shows_a_machines_traces_or_belongs_to_no_machine_with_firmware_is_not_doubted() -> None:
    peer = Peer()
    fd = firmware_machine(peer, b"interrupt vectors")
    peer.device.config.write(4, 2, 4)
    assert peer.server.page_to_check() is None
    bare = Peer()
    empty = memfd(MIB)
    bare.ask(dma_map(0, MIB), (empty,))
    bare.device.config.write(4, 2, 4)
    assert bare.server.page_to_check() is None
    for opened in (fd, empty):
        os.close(opened)


def test_guest_memory_is_asked_for_by_message_and_the_answer_taken_between_requests() -> None:
    peer = Peer()
    peer.connection.read_memory(0x1000, 4)
    access = (0x1000).to_bytes(8, "little") + (4).to_bytes(8, "little")
    assert peer.connection.data_to_send() == bytes.fromhex("0000 0b00 20000000 00000000 00000000") + access
    assert peer.ask(region_read(0, 0, 4) + reply(Command.DMA_READ, access + b"data")) == region_read_reply(0, 0, bytes(4))
    assert peer.told == [(0x1000, b"data")]


@pytest.mark.parametrize("tail", [b"dat", b"data!", b""])
def test_an_answer_of_another_length_than_asked_for_is_refused(tail: bytes) -> None:
    peer = Peer()
    peer.connection.read_memory(0x1000, 4)
    peer.connection.data_to_send()
    access = (0x1000).to_bytes(8, "little") + (4).to_bytes(8, "little")
    assert peer.ask(reply(Command.DMA_READ, access + tail)) == refusal(Command.DMA_READ, INVALID)
    assert peer.told == []


def test_a_client_that_refuses_to_tell_is_taken_at_that() -> None:
    peer = Peer()
    peer.connection.read_memory(0x1000, 4)
    peer.connection.data_to_send()
    assert peer.ask(refusal(Command.DMA_READ, errno.ENODEV)) == b""
    assert peer.told == [(0x1000, None)]
