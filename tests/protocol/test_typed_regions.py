"""Device-specific regions: how a client finds the OpRegion, and that it can only read it."""

from __future__ import annotations

import pytest

from host_model.vfio.user.device_server import DeviceServer
from host_model.vfio.user.regions import ReadOnlyRegion
from pvinfo.connector import Connector, Link, Port
from pvinfo.opregion import OPREGION_SIZE, opregion
from pvinfo.platform import PLATFORMS
from pvinfo.units import format_range
from pvinfo.vfio_user import (
    DEVICE_INFO,
    OPREGION_TYPE,
    REGION_INFO,
    REGION_IO_FDS,
    WRITE_MULTI,
    WRITE_MULTI_ENTRY,
    Command,
    DeviceFlags,
    DeviceInfo,
    RegionFlags,
    RegionInfo,
    RegionIoFds,
    WriteMulti,
    WriteMultiEntry,
)
from support.vfio_wire import INVALID, Peer, message, refusal, region_read, region_read_reply, region_write, reply

CONTENT = opregion([Connector(Port.D, Link.DISPLAYPORT)], PLATFORMS["skl"])
READ_ONLY = RegionFlags.of(read=True, caps=True)


@pytest.fixture
def peer() -> Peer:
    """A plain device with an OpRegion as region 9."""
    peer = Peer()
    peer.server = DeviceServer(peer.device, peer.ram, peer.watch, peer.findings, [ReadOnlyRegion(OPREGION_TYPE, CONTENT)])
    return peer


def region_info(region: int, argsz: int) -> bytes:
    return message(Command.DEVICE_GET_REGION_INFO, REGION_INFO.pack(RegionInfo(argsz, RegionFlags(0), region, 0, 0, 0)))


def test_the_device_has_one_region_more(peer: Peer) -> None:
    asked = message(Command.DEVICE_GET_INFO, DEVICE_INFO.pack(DeviceInfo(16, DeviceFlags(0), 0, 0)))
    expected = DeviceInfo(16, DeviceFlags.of(reset=True, pci=True), 10, 5)
    assert peer.ask(asked) == reply(Command.DEVICE_GET_INFO, DEVICE_INFO.pack(expected))


@pytest.mark.parametrize("argsz", [48, 49, 0xFFFF_FFFF])
def test_its_capability_says_that_it_is_intels_opregion(peer: Peer, argsz: int) -> None:
    """Type: bit 31 and Intel's vendor id; subtype 1. Source: linux:include/uapi/linux/vfio.h"""
    capability = bytes.fromhex("0200 0100 00000000") + bytes.fromhex("86800080 01000000")
    told = REGION_INFO.pack(RegionInfo(48, READ_ONLY, 9, 32, OPREGION_SIZE, 0))
    assert peer.ask(region_info(9, argsz)) == reply(Command.DEVICE_GET_REGION_INFO, told + capability)


@pytest.mark.parametrize("argsz", [32, 47])
def test_who_has_no_room_for_the_capability_learns_how_much_it_needs(peer: Peer, argsz: int) -> None:
    told = REGION_INFO.pack(RegionInfo(48, READ_ONLY, 9, 0, OPREGION_SIZE, 0))
    assert peer.ask(region_info(9, argsz)) == reply(Command.DEVICE_GET_REGION_INFO, told)


def test_the_other_regions_are_as_they_were(peer: Peer) -> None:
    told = REGION_INFO.pack(RegionInfo(32, RegionFlags.of(read=True, write=True), 7, 0, 4096, 0))
    assert peer.ask(region_info(7, 80)) == reply(Command.DEVICE_GET_REGION_INFO, told)
    assert peer.ask(region_info(10, 80)) == refusal(Command.DEVICE_GET_REGION_INFO, INVALID)
    assert peer.errors[0].rule == "region 10: regions are 0 to 9"


@pytest.mark.parametrize(("offset", "length"), [(0, 8192), (0, 16), (0x400, 242), (0x1AC, 1), (3, 4), (8188, 4), (0x402, 8)])
def test_any_part_of_it_is_read_in_one_piece(peer: Peer, offset: int, length: int) -> None:
    assert peer.ask(region_read(9, offset, length)) == region_read_reply(9, offset, CONTENT[offset : offset + length])


@pytest.mark.parametrize(("offset", "length"), [(8189, 4), (8192, 1), (0, 8193)])
def test_nothing_behind_it_is(peer: Peer, offset: int, length: int) -> None:
    assert peer.ask(region_read(9, offset, length)) == refusal(Command.REGION_READ, INVALID)
    assert peer.errors[0].rule == f"access to {format_range(offset, offset + length)} of region 9, which has 0x2000 bytes"


@pytest.mark.parametrize("data", [b"\xff", bytes(4), bytes(8), bytes(8192)])
def test_it_cannot_be_written(peer: Peer, data: bytes) -> None:
    assert peer.ask(region_write(9, 0, data)) == refusal(Command.REGION_WRITE, INVALID)
    assert peer.errors[0].rule == "write to region 9: it can only be read"
    assert peer.ask(region_read(9, 0, 16)) == region_read_reply(9, 0, b"IntelGraphicsMem")


def test_nor_among_other_writes(peer: Peer) -> None:
    entries = [WriteMultiEntry(0x10, 0, 4, bytes(8)), WriteMultiEntry(0, 9, 4, bytes(8))]
    body = WRITE_MULTI.pack(WriteMulti(2)) + b"".join(WRITE_MULTI_ENTRY.pack(entry) for entry in entries)
    assert peer.ask(message(Command.REGION_WRITE_MULTI, body)) == reply(Command.REGION_WRITE_MULTI, WRITE_MULTI.pack(WriteMulti(1)))


def test_its_accesses_have_no_way_around_the_client(peer: Peer) -> None:
    asked = REGION_IO_FDS.pack(RegionIoFds(16, 0, 9, 0))
    assert peer.ask(message(Command.DEVICE_GET_REGION_IO_FDS, asked)) == reply(Command.DEVICE_GET_REGION_IO_FDS, asked)
