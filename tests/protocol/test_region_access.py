"""Reads and writes of regions: every width, every edge, many at once."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

import pytest

from host_model.vfio.user.regions import DeviceRegions
from pvinfo.vfio_user import WRITE_MULTI, WRITE_MULTI_ENTRY, Command, WriteMulti, WriteMultiEntry
from support.plain_device import PlainDevice, StorageRegion
from support.vfio_wire import (
    INVALID,
    NO_REPLY,
    Peer,
    message,
    refusal,
    region_read,
    region_read_reply,
    region_write,
    region_write_reply,
    reply,
)

BAR0_SIZE = 64 * 1024


def recorded(device: PlainDevice, bar: int = 0) -> list[tuple[str, int, int, int]]:
    accesses: list[tuple[str, int, int, int]] = []
    device.bars[bar].accesses = accesses
    return accesses


@pytest.mark.parametrize("width", [1, 2, 4, 8])
@pytest.mark.parametrize("offset", [0, 1, 3, 0xFFF])
def test_a_width_that_a_machine_has_reaches_the_device_as_it_is(width: int, offset: int) -> None:
    peer = Peer()
    accesses = recorded(peer.device)
    data = bytes(range(0x11, 0x11 + width))
    value = int.from_bytes(data, "little")
    assert peer.ask(region_write(0, offset, data)) == region_write_reply(0, offset, width)
    assert peer.ask(region_read(0, offset, width)) == region_read_reply(0, offset, data)
    assert accesses == [("write", offset, width, value), ("read", offset, width, value)]


@pytest.mark.parametrize(
    ("offset", "length", "pieces"),
    [
        (0, 3, [(0, 2), (2, 1)]),
        (1, 3, [(1, 1), (2, 2)]),
        (0, 5, [(0, 4), (4, 1)]),
        (0, 6, [(0, 4), (4, 2)]),
        (1, 7, [(1, 1), (2, 2), (4, 4)]),
        (7, 10, [(7, 1), (8, 8), (16, 1)]),
        (4, 16, [(4, 4), (8, 8), (16, 4)]),
    ],
)
def test_any_other_length_is_made_of_aligned_pieces(offset: int, length: int, pieces: list[tuple[int, int]]) -> None:
    peer = Peer()
    data = random.Random(length).randbytes(length)
    accesses = recorded(peer.device)
    assert peer.ask(region_write(0, offset, data)) == region_write_reply(0, offset, length)
    assert peer.ask(region_read(0, offset, length)) == region_read_reply(0, offset, data)
    assert [(at, width) for kind, at, width, _ in accesses if kind == "write"] == pieces
    assert [(at, width) for kind, at, width, _ in accesses if kind == "read"] == pieces


@pytest.mark.parametrize("region", [0, 2, 7])
@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 8, 9])
def test_an_access_up_to_the_last_byte_is_done_and_one_beyond_is_refused(region: int, length: int) -> None:
    peer = Peer()
    size = {0: BAR0_SIZE, 2: 1024 * 1024, 7: 4096}[region]
    last = size - length
    assert peer.ask(region_read(region, last, length)) == region_read_reply(region, last, bytes(length))
    assert peer.ask(region_write(region, last, bytes(length))) == region_write_reply(region, last, length)
    for offset in (last + 1, size - 1 + (length == 1), size, size + 4096, 1 << 32, (1 << 64) - length, (1 << 64) - 1):
        assert peer.ask(region_read(region, offset, length)) == refusal(Command.REGION_READ, INVALID)
        assert peer.ask(region_write(region, offset, b"\xff" * length)) == refusal(Command.REGION_WRITE, INVALID)
        assert peer.ask(region_write(region, offset, b"\xff" * length, flags=NO_REPLY)) == b""
    assert peer.ask(region_read(region, last, length)) == region_read_reply(region, last, bytes(length))


def test_a_refused_access_says_what_it_wanted_and_what_there_is() -> None:
    peer = Peer()
    peer.ask(region_read(0, 0xFFFE, 4))
    assert peer.errors[0].rule == "access to [0xfffe, 0x10002) (4 bytes) of region 0, which has 0x10000 bytes"


@pytest.mark.parametrize("region", [1, 3, 4, 5, 6, 8, 9, 0xFFFF_FFFF])
def test_a_region_that_is_not_there_cannot_be_accessed(region: int) -> None:
    peer = Peer()
    for length in (0, 1, 4, 8):
        assert peer.ask(region_read(region, 0, length)) == refusal(Command.REGION_READ, INVALID)
        assert peer.ask(region_write(region, 0, bytes(length))) == refusal(Command.REGION_WRITE, INVALID)


def test_an_access_of_no_bytes_does_nothing_inside_a_region_and_is_refused_outside() -> None:
    peer = Peer()
    accesses = recorded(peer.device)
    assert peer.ask(region_read(0, BAR0_SIZE, 0)) == region_read_reply(0, BAR0_SIZE, b"")
    assert peer.ask(region_write(0, 4, b"")) == region_write_reply(0, 4, 0)
    assert peer.ask(region_read(0, BAR0_SIZE + 1, 0)) == refusal(Command.REGION_READ, INVALID)
    assert accesses == []


# ---- configuration space ----


def test_configuration_space_is_read_whole_in_dwords_of_the_device() -> None:
    peer = Peer()
    expected = bytes(peer.device.config.bytes)
    assert peer.ask(region_read(7, 0, 4096)) == region_read_reply(7, 0, expected)


def test_configuration_space_is_accessed_in_four_bytes_at_most() -> None:
    peer = Peer()
    peer.ask(region_write(7, 0x10, b"\xff" * 8))
    assert peer.ask(region_read(7, 0x10, 8)) == region_read_reply(7, 0x10, b"\x04\x00\xff\xff" + b"\xff" * 4)


def test_the_rom_reads_zero_whatever_a_firmware_wrote_to_size_it() -> None:
    peer = Peer()
    for pattern in (b"\x00\xf8\xff\xff", b"\xfe\xff\xff\xff"):
        assert peer.ask(region_write(7, 0x30, pattern)) == region_write_reply(7, 0x30, 4)
        assert peer.ask(region_read(7, 0x30, 4)) == region_read_reply(7, 0x30, bytes(4))
    assert peer.device.config.read(0x30, 4) == 0xFFFFFFFE
    for offset, length in ((0x2E, 4), (0x2E, 2), (0x30, 1), (0x33, 1), (0x33, 2), (0x2C, 12)):
        expected = bytearray(peer.device.config.bytes[offset : offset + length])
        for byte in range(max(offset, 0x30), min(offset + length, 0x34)):
            expected[byte - offset] = 0
        assert peer.ask(region_read(7, offset, length)) == region_read_reply(7, offset, bytes(expected))


# ---- posted and multiple writes ----


def test_a_posted_write_is_done_before_the_next_read_is_answered() -> None:
    peer = Peer()
    assert peer.ask(region_write(0, 0, b"abcd", flags=NO_REPLY) + region_read(0, 0, 4)) == region_read_reply(0, 0, b"abcd")


def multi(*entries: WriteMultiEntry, flags: int = 0, count: int | None = None) -> bytes:
    body = WRITE_MULTI.pack(WriteMulti(len(entries) if count is None else count))
    return message(Command.REGION_WRITE_MULTI, body + b"".join(map(WRITE_MULTI_ENTRY.pack, entries)), flags=flags)


def done(count: int) -> bytes:
    return reply(Command.REGION_WRITE_MULTI, WRITE_MULTI.pack(WriteMulti(count)))


def test_several_writes_in_one_message_are_done_in_order() -> None:
    peer = Peer()
    accesses = recorded(peer.device)
    entries = [
        WriteMultiEntry(0x10, 0, 4, b"\x01\x02\x03\x04junk"),
        WriteMultiEntry(0x18, 0, 8, b"abcdefgh"),
        WriteMultiEntry(0x10, 0, 1, b"\x99junkjun"),
        WriteMultiEntry(0x21, 0, 2, b"\x01\x02junkju"),
        WriteMultiEntry(0x21, 0, 3, b"\x03\x04\x05junkj"),
        WriteMultiEntry(0x04, 7, 2, b"\x06\x00junkju"),
        WriteMultiEntry(0x00, 0, 0, b"junkjunk"),
    ]
    assert peer.ask(multi(*entries)) == done(7)
    assert accesses == [
        ("write", 0x10, 4, 0x04030201),
        ("write", 0x18, 8, int.from_bytes(b"abcdefgh", "little")),
        ("write", 0x10, 1, 0x99),
        ("write", 0x21, 2, 0x0201),
        ("write", 0x21, 1, 0x03),
        ("write", 0x22, 2, 0x0504),
    ]
    assert peer.device.config.read(4, 2) == 6


def test_several_writes_that_forbid_an_answer_get_none() -> None:
    peer = Peer()
    assert peer.ask(multi(WriteMultiEntry(0, 0, 4, b"abcdefgh"), flags=NO_REPLY)) == b""
    assert bytes(peer.device.bars[0].bytes[:8]) == b"abcd\0\0\0\0"


def test_no_writes_in_one_message_are_none_done() -> None:
    assert Peer().ask(multi()) == done(0)


@pytest.mark.parametrize(
    "wrong",
    [
        WriteMultiEntry(BAR0_SIZE - 2, 0, 4, bytes(8)),
        WriteMultiEntry((1 << 64) - 4, 0, 4, bytes(8)),
        WriteMultiEntry(0, 1, 4, bytes(8)),
        WriteMultiEntry(0, 9, 8, bytes(8)),
        WriteMultiEntry(0, 0, 9, bytes(8)),
        WriteMultiEntry(0, 0, 0xFFFF_FFFF, bytes(8)),
    ],
)
def test_of_several_writes_those_before_a_wrong_one_are_done_and_counted(wrong: WriteMultiEntry) -> None:
    good, late = WriteMultiEntry(0, 0, 4, b"goodgood"), WriteMultiEntry(8, 0, 4, b"latelate")
    peer = Peer()
    assert peer.ask(multi(wrong, late)) == refusal(Command.REGION_WRITE_MULTI, INVALID)
    assert peer.ask(multi(good, wrong, late)) == done(1)
    assert bytes(peer.device.bars[0].bytes[:12]) == b"good" + bytes(8)
    assert len(peer.findings.of_rule("vfio-user-write-multi")) == 1


@pytest.mark.parametrize("count", [0, 2, 1 << 32, (1 << 64) - 1])
def test_a_count_of_writes_that_is_not_theirs_is_refused(count: int) -> None:
    peer = Peer()
    assert peer.ask(multi(WriteMultiEntry(0, 0, 4, b"abcdefgh"), count=count)) == refusal(Command.REGION_WRITE_MULTI, INVALID)
    assert bytes(peer.device.bars[0].bytes[:4]) == bytes(4)


# ---- the short way and the long way ----


def both_ways(make: Callable[[], PlainDevice], request: bytes) -> tuple[bytes | None, bytes, PlainDevice, PlainDevice]:
    short, long = make(), Peer(make())
    return DeviceRegions(short).answer(request), long.ask(request), short, long.device


def random_access(chance: random.Random) -> bytes:
    edge = chance.choice([0, 4, 8, 0x30, BAR0_SIZE - 8, BAR0_SIZE - 4, BAR0_SIZE, 4096 - 8, 4096, 1 << 32, (1 << 64) - 8])
    offset = (edge + chance.choice([0, 0, 0, 0, -4, 4, 1, -1, 2])) % (1 << 64)
    region = chance.choice([0, 0, 0, 2, 7, 7, 1, 9, 0xFFFF_FFFF])
    number = chance.randrange(1 << 16)
    if chance.random() < 0.5:
        return region_read(region, offset, chance.choice([4, 4, 4, 1, 2, 8]), number=number)
    data = chance.randbytes(chance.choice([4, 4, 8, 8, 1, 2, 3]))
    return region_write(region, offset, data, number=number, flags=chance.choice([0, NO_REPLY]))


def test_an_access_answered_from_its_bytes_equals_one_that_took_the_long_way() -> None:
    chance = random.Random(20)
    answered = 0
    for _ in range(3000):
        request = random_access(chance)
        if chance.random() < 0.2:
            damaged = bytearray(request)
            damaged[chance.choice([2, 3, 4, 8, 12])] ^= 1 << chance.randrange(8)
            request = bytes(damaged)
        contents = chance.randbytes(64)

        def make(contents: bytes = contents) -> PlainDevice:
            device = PlainDevice(bar2_size=BAR0_SIZE)
            device.bars[2] = StorageRegion(BAR0_SIZE)
            for region in device.bars.values():
                region.bytes[:32] = contents[:32]
                region.bytes[-32:] = contents[32:]
            return device

        if struct.unpack_from("<I", request, 4)[0] != len(request):
            assert DeviceRegions(make()).answer(request) is None
            continue
        short, long, short_device, long_device = both_ways(make, request)
        if short is None:
            continue
        answered += 1
        assert short == long
        assert short_device.bars[0].bytes == long_device.bars[0].bytes
        assert short_device.config.bytes == long_device.config.bytes
    assert answered > 300


@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_a_word_of_graphics_memory_is_answered_from_its_bytes_whatever_its_width(width: int) -> None:
    """A driver's copy out of the aperture is nothing else, and so is its picture of an engine that hangs."""
    device, data = PlainDevice(bar2_size=BAR0_SIZE), bytes(range(0x21, 0x21 + width))
    device.bars[2] = StorageRegion(BAR0_SIZE)
    device.bars[2].bytes[-width:] = data
    regions = DeviceRegions(device)
    assert regions.answer(region_read(2, BAR0_SIZE - width, width)) == region_read_reply(2, BAR0_SIZE - width, data)
    assert regions.answer(region_read(2, BAR0_SIZE, width)) is None
    assert width == 1 or regions.answer(region_read(2, 1, width)) is None
