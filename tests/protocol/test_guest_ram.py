"""Guest memory by file descriptor: maps, overlaps, unmaps, churn, and what a device sees of it."""

from __future__ import annotations

import errno
import fcntl
import os
import random
import socket
from pathlib import Path

import pytest

from host_model.hypervisor.guest_ram import GuestRam
from pvinfo.errors import PeerError
from pvinfo.units import MIB, PAGE_SIZE
from pvinfo.vfio_user import Command, DmaMap, DmaMapFlags
from support.vfio_wire import INVALID, Peer, dma_map, dma_unmap, memfd, open_fds, refusal, reply

MAPPED = reply(Command.DMA_MAP)


def unmapped(address: int, size: int) -> bytes:
    return reply(Command.DMA_UNMAP, dma_unmap(address, size)[16:])


def plugged(ram: GuestRam, address: int, size: int, fd: int | None, *, offset: int = 0, flags: int = 3) -> None:
    ram.map(DmaMap(32, DmaMapFlags(flags), offset, address, size), fd)


# ---- messages ----


def test_a_map_is_answered_by_a_header_and_keeps_no_descriptor_of_the_message() -> None:
    peer = Peer()
    ram = memfd(MIB, b"hello", at=0x1234)
    before = open_fds()
    assert peer.ask(dma_map(0, MIB), (ram,)) == MAPPED
    assert peer.ram.read(0x1234, 5) == b"hello"
    assert open_fds() == before + 1, "the mapping itself holds one"
    assert peer.ask(dma_unmap(0, MIB)) == unmapped(0, MIB)
    assert peer.ram.read(0x1234, 5) is None
    assert open_fds() == before
    os.close(ram)


@pytest.mark.parametrize(
    ("address", "size"),
    [(0x4000, 0x4000), (0x3000, 0x2000), (0x7000, 0x2000), (0x5000, 0x1000), (0x3000, 0x6000), (0, 1 << 63), (0x4000, 0x1000)],
)
def test_a_map_that_overlaps_another_is_refused_with_eexist(address: int, size: int) -> None:
    peer = Peer()
    assert peer.ask(dma_map(0x4000, 0x4000, flags=1)) == MAPPED
    assert peer.ask(dma_map(address, size, flags=1)) == refusal(Command.DMA_MAP, errno.EEXIST)
    assert list(peer.ram.ranges()) == [(0x4000, 0x8000, False)]


def test_maps_that_only_touch_are_accepted_in_any_order() -> None:
    peer = Peer()
    for page in (5, 3, 4, 9, 0):
        assert peer.ask(dma_map(page << 12, 0x1000, flags=1)) == MAPPED
    assert [start >> 12 for start, _, _ in peer.ram.ranges()] == [0, 3, 4, 5, 9]


@pytest.mark.parametrize(
    "wrong",
    [
        dma_map(0, 0),
        dma_map(0x800, 0x1000),
        dma_map(0, 0x1800),
        dma_map(0, 0x1000, offset=0x10),
        dma_map((1 << 64) - 0x1000, 0x2000),
        dma_map(0, (1 << 64) - 0x1000 + 0x800),
        dma_map(0, 0x1000, flags=0),
        dma_map(0, 0x1000, flags=4),
        dma_map(0, 0x1000, flags=3 | 4),
        dma_map(0, 0x1000, flags=3 | 8),
        dma_map(0, 0x1000, flags=3 | 16),
        dma_map(0, 0x1000, flags=0x8000_0003),
        dma_map(0, 0x1000, argsz=31),
    ],
)
def test_a_map_that_means_nothing_is_refused(wrong: bytes) -> None:
    peer = Peer()
    assert peer.ask(wrong) == refusal(Command.DMA_MAP, INVALID)
    assert list(peer.ram.ranges()) == []


def test_the_last_page_of_the_address_space_can_be_mapped() -> None:
    peer = Peer()
    assert peer.ask(dma_map((1 << 64) - 0x1000, 0x1000, flags=1)) == MAPPED
    assert peer.ask(dma_unmap((1 << 64) - 0x1000, 0x1000)) == unmapped((1 << 64) - 0x1000, 0x1000)


@pytest.mark.parametrize("kind", ["pipe", "event", "socket", "folder", "device", "closed for reading", "short", "offset"])
def test_a_descriptor_that_is_no_guest_memory_is_refused_and_closed(kind: str, tmp_path: Path) -> None:
    offset = 0
    others: list[int] = []
    if kind == "pipe":
        fd, other = os.pipe()
        others.append(other)
    elif kind == "event":
        fd = os.eventfd(0)
    elif kind == "socket":
        fd = socket.socket().detach()
    elif kind == "folder":
        fd = os.open(tmp_path, os.O_RDONLY)
    elif kind == "device":
        fd = os.open("/dev/zero", os.O_RDWR)
    elif kind == "closed for reading":
        (tmp_path / "ram").write_bytes(bytes(0x1000))
        fd = os.open(tmp_path / "ram", os.O_WRONLY)
    elif kind == "short":
        fd = memfd(0xFFF)
    else:
        fd, offset = memfd(0x2000), 0x2000
    peer = Peer()
    before = open_fds()
    assert peer.ask(dma_map(0, 0x1000, offset=offset), (fd,)) == refusal(Command.DMA_MAP, INVALID)
    assert open_fds() == before
    for opened in (fd, *others):
        os.close(opened)


def test_writable_memory_by_a_read_only_descriptor_is_refused_and_read_only_memory_accepted(tmp_path: Path) -> None:
    (tmp_path / "rom").write_bytes(b"firmware".ljust(0x1000, b"\0"))
    fd = os.open(tmp_path / "rom", os.O_RDONLY)
    peer = Peer()
    assert peer.ask(dma_map(0, 0x1000, flags=3), (fd,)) == refusal(Command.DMA_MAP, errno.EACCES)
    assert peer.ask(dma_map(0, 0x1000, flags=1), (fd,)) == MAPPED
    assert peer.ram.read(0, 8) == b"firmware"
    assert not peer.ram.write(0, b"x")
    assert peer.ram.page(0) is None
    os.close(fd)


def test_two_descriptors_with_one_map_are_refused_and_closed() -> None:
    peer = Peer()
    ram = memfd(0x1000)
    before = open_fds()
    assert peer.ask(dma_map(0, 0x1000), (ram, ram)) == refusal(Command.DMA_MAP, INVALID)
    assert open_fds() == before
    os.close(ram)


@pytest.mark.parametrize(("address", "size"), [(0x4000, 0x1000), (0x5000, 0x1000), (0x4000, 0x4000), (0x3000, 0x2000), (0, 0), (0x8000, 0x2000)])
def test_an_unmap_that_is_not_exactly_a_map_is_refused_with_enoent(address: int, size: int) -> None:
    peer = Peer()
    peer.ask(dma_map(0x4000, 0x2000, flags=1))
    assert peer.ask(dma_unmap(address, size)) == refusal(Command.DMA_UNMAP, errno.ENOENT)
    assert list(peer.ram.ranges()) == [(0x4000, 0x6000, False)]


def test_an_unmap_of_everything_takes_address_and_size_zero_and_no_other_flag() -> None:
    peer = Peer()
    for page in range(3):
        peer.ask(dma_map(page * 0x2000, 0x1000, flags=1))
    for wrong in (dma_unmap(0, 0x1000, flags=2), dma_unmap(0, 0, flags=3), dma_unmap(0, 0x1000, flags=1), dma_unmap(0, 0, flags=4)):
        assert peer.ask(wrong) == refusal(Command.DMA_UNMAP, INVALID)
    assert len(list(peer.ram.ranges())) == 3
    assert peer.ask(dma_unmap(0, 0, flags=2)) == reply(Command.DMA_UNMAP, dma_unmap(0, 0, flags=2)[16:])
    assert list(peer.ram.ranges()) == []


def test_there_is_an_end_to_the_number_of_maps() -> None:
    ram = GuestRam()
    for page in range(65535):
        plugged(ram, page << 13, 0x1000, None, flags=1)
    with pytest.raises(PeerError, match="65535 ranges are mapped") as caught:
        plugged(ram, 65535 << 13, 0x1000, None, flags=1)
    assert caught.value.errno == errno.ENOSPC
    ram.unmap(0, 0x1000)
    plugged(ram, 65535 << 13, 0x1000, None, flags=1)


# ---- what is noticed ----


def test_ram_without_a_descriptor_is_noticed_once_for_all_of_it() -> None:
    peer = Peer()
    peer.ask(dma_map(0, 0xC0000))
    peer.ask(dma_map(0x100000, MIB))
    (finding,) = peer.findings.of_rule("guest-ram-not-shared")
    assert finding.occurrences == 2 and finding.value == 0
    assert "memory-backend-memfd,share=on" in finding.text


def test_flash_and_roms_without_a_descriptor_are_nothing_to_notice() -> None:
    peer = Peer()
    peer.ask(dma_map(0xFFFC0000, 0x40000, flags=1))
    assert len(peer.findings) == 0


def test_a_window_of_the_device_that_comes_back_as_memory_is_known_and_not_noticed() -> None:
    peer = Peer()
    peer.device.config.write(0x18, 4, 0xC0000000)
    peer.device.config.write(0x04, 2, 2)
    assert peer.ask(dma_map(0xC0000000, MIB)) == MAPPED
    assert peer.ask(dma_map(0x1_C000_0000, MIB)) == MAPPED
    (finding,) = peer.findings.of_rule("guest-ram-not-shared")
    assert finding.value == 0x1_C000_0000
    assert peer.ram.read(0xC0000000, 4) is None
    assert peer.ask(dma_unmap(0xC0000000, MIB)) == unmapped(0xC0000000, MIB)


# ---- the device's view ----


def test_accesses_go_through_ranges_that_adjoin_and_stop_at_gaps() -> None:
    low, high = memfd(0x2000), memfd(0x1000)
    ram = GuestRam()
    plugged(ram, 0x0000, 0x2000, low)
    plugged(ram, 0x2000, 0x1000, high)
    plugged(ram, 0x4000, 0x1000, None)
    plugged(ram, 0x5000, 0x1000, low, flags=1)
    assert ram.write(0x1FFE, b"abcd")
    assert os.pread(low, 2, 0x1FFE) == b"ab" and os.pread(high, 2, 0) == b"cd"
    assert ram.read(0x1FFE, 4) == b"abcd"
    assert ram.read(0x2FFE, 4) is None and not ram.write(0x2FFE, b"abcd")
    assert ram.read(0x3FFF, 2) is None and ram.read(0x4000, 1) is None
    assert not ram.write(0x4FFF, b"ab") and not ram.write(0x5000, b"a")
    assert os.pread(high, 4, 0xFFC) == bytes(4), "nothing is stored when not all can be"
    assert ram.read(0x2FFF, 1) == b"\0" and ram.read(1 << 64, 1) is None
    assert ram.read(0x0, 0) == b""
    for fd in (low, high):
        os.close(fd)


def test_parts_of_one_file_show_the_same_memory_and_are_mapped_once() -> None:
    fd = memfd(5 * MIB)
    before = open_fds()
    ram = GuestRam()
    plugged(ram, 0, 2 * MIB, fd)
    plugged(ram, 1 << 32, 3 * MIB, fd, offset=2 * MIB)
    plugged(ram, 1 << 40, MIB, os.dup(fd), offset=2 * MIB)
    assert open_fds() == before + 2, "one descriptor of the mapping, one of this test"
    assert ram.write(1 << 32, b"shared")
    assert ram.read(1 << 40, 6) == b"shared" == os.pread(fd, 6, 2 * MIB)
    ram.unmap_all()
    assert open_fds() == before + 1


def test_memory_that_was_shared_can_no_longer_be_cut_off() -> None:
    fd = memfd(0x2000)
    ram = GuestRam()
    plugged(ram, 0, 0x2000, fd)
    assert fcntl.fcntl(fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK
    with pytest.raises(PermissionError):
        os.ftruncate(fd, 0)
    os.close(fd)


def test_a_file_that_has_grown_can_be_mapped_further_and_earlier_ranges_stay() -> None:
    fd = memfd(0x1000, b"old")
    ram = GuestRam()
    plugged(ram, 0, 0x1000, fd)
    os.ftruncate(fd, 0x3000)
    os.pwrite(fd, b"new", 0x2000)
    plugged(ram, 0x10000, 0x1000, fd, offset=0x2000)
    assert ram.read(0, 3) == b"old" and ram.read(0x10000, 3) == b"new"
    before = open_fds()
    ram.unmap(0, 0x1000)
    ram.unmap(0x10000, 0x1000)
    assert open_fds() < before
    os.close(fd)


def test_a_view_that_the_device_still_holds_does_not_stop_an_unmap() -> None:
    fd = memfd(0x2000)
    before = open_fds()
    ram = GuestRam()
    plugged(ram, 0, 0x2000, fd)
    page = ram.page(0x1234)
    assert page is not None and len(page) == PAGE_SIZE
    ram.unmap(0, 0x2000)
    assert ram.page(0x1234) is None
    page[0] = 7
    assert os.pread(fd, 1, 0x1000) == b"\x07"
    del page
    assert open_fds() == before
    os.close(fd)


def test_the_churn_of_a_firmware_leaves_what_it_should_and_no_descriptor() -> None:
    peer = Peer()
    ram = memfd(16 * MIB, b"vectors")
    before = open_fds()
    whole, low, hole = (0, 16 * MIB), (0, 0xC0000), (0xC0000, 0x40000)
    rest = (MIB, 15 * MIB)
    for _ in range(50):
        assert peer.ask(dma_map(*whole), (ram,)) == MAPPED
        assert peer.ask(dma_unmap(*whole)) == unmapped(*whole)
        stream = dma_map(*low) + dma_map(*hole, flags=1)
        assert peer.ask(stream[:48], (ram,)) + peer.ask(stream[48:]) == MAPPED * 2
        assert peer.ask(dma_map(*rest, offset=MIB), (ram,)) == MAPPED
        assert peer.ram.read(0, 7) == b"vectors"
        assert list(peer.ram.ranges()) == [(0, 0xC0000, True), (0xC0000, MIB, False), (MIB, 16 * MIB, True)]
        assert peer.ask(dma_unmap(*low) + dma_unmap(*hole) + dma_unmap(*rest)) == unmapped(*low) + unmapped(*hole) + unmapped(*rest)
    assert open_fds() == before
    assert list(peer.ram.ranges()) == []
    os.close(ram)


def test_random_maps_and_unmaps_equal_a_table_that_is_searched_from_end_to_end() -> None:
    chance = random.Random(7)
    fd = memfd(64 * PAGE_SIZE)
    for page in range(64):
        os.pwrite(fd, bytes([page]), page * PAGE_SIZE)
    ram = GuestRam()
    known: dict[tuple[int, int], int] = {}
    for _ in range(2000):
        first, length = chance.randrange(64), chance.randrange(1, 9)
        if chance.random() < 0.6:
            offset = chance.randrange(64 - length + 1)
            clash = any(first < other + size and other < first + length for other, size in known)
            try:
                plugged(ram, first * PAGE_SIZE, length * PAGE_SIZE, fd, offset=offset * PAGE_SIZE)
            except PeerError as error:
                assert clash and error.errno == errno.EEXIST
            else:
                assert not clash
                known[first, length] = offset
        else:
            if known and chance.random() < 0.8:
                first, length = chance.choice(list(known))
            try:
                ram.unmap(first * PAGE_SIZE, length * PAGE_SIZE)
            except PeerError as error:
                assert (first, length) not in known and error.errno == errno.ENOENT
            else:
                del known[first, length]
        page = chance.randrange(72)
        behind = [offset + page - other for (other, size), offset in known.items() if other <= page < other + size]
        assert ram.read(page * PAGE_SIZE, 1) == (bytes(behind) if behind else None)
    ram.unmap_all()
    os.close(fd)
