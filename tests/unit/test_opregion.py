"""The OpRegion: the kernel mediator's layout, every set of connectors there and back, and what is refused."""

from __future__ import annotations

import hashlib
import random
from itertools import combinations, product

import pytest

from pvinfo.connector import Connector, Link, Port
from pvinfo.errors import UsageError, WireError
from pvinfo.opregion import OPREGION, OPREGION_SIZE, VBT_OFFSET, ParsedOpRegion, build_vbt, opregion, parse_opregion, parse_vbt
from pvinfo.opregion.vbt import CHILD_DEVICE, VBT_HEADER
from pvinfo.platform import PLATFORMS

SKL = PLATFORMS["skl"]
DP, HDMI = Link.DISPLAYPORT, Link.HDMI
MEDIATORS = tuple(Connector(port, DP) for port in (Port.A, Port.B, Port.C, Port.D))


def u16(data: bytes | bytearray, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "little")


def u32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")


# ---- the layout, by the numbers of linux:drivers/gpu/drm/i915/gvt/opregion.c ----


def test_the_header_announces_the_vbt_and_nothing_else() -> None:
    raw = opregion(MEDIATORS, SKL)
    assert len(raw) == OPREGION_SIZE == 8192
    assert raw[0:16] == b"IntelGraphicsMem"
    assert (u32(raw, 16), u32(raw, 20), u32(raw, 88)) == (8, 0x0200_0000, 8)
    assert raw[0x1AC] == 3
    assert raw[0x400:0x404] == b"$VBT"
    vbt_end = 0x400 + 242
    told = {at for at in range(8192) if raw[at] and not 0x400 <= at < vbt_end}
    assert told <= {*range(24), 88, 0x1AC}


def test_the_vbt_has_its_blocks_and_children_where_the_kernels_mediator_has_them() -> None:
    vbt = build_vbt(MEDIATORS, SKL)
    assert len(vbt) == 242
    assert (u16(vbt, 20), u16(vbt, 22), u16(vbt, 24), u32(vbt, 28)) == (155, 48, 242, 48)
    assert vbt[48:64] == b"BIOS_DATA_BLOCK\0"
    assert (u16(vbt, 64), u16(vbt, 66), u16(vbt, 68)) == (186, 22, 194)
    assert (vbt[70], u16(vbt, 71)) == (1, 7)
    assert (vbt[80], u16(vbt, 81), vbt[87]) == (2, 5 + 4 * 33, 33)
    assert (vbt[220], u16(vbt, 221)) == (12, 19)
    children = [(u16(vbt, at), u16(vbt, at + 2), vbt[at + 16], vbt[at + 25]) for at in (88, 121, 154, 187)]
    assert children == [(0x04, 0x68C6, 10, 0x40), (0x40, 0x68C6, 7, 0x10), (0x20, 0x68C6, 8, 0x20), (0x10, 0x68C6, 9, 0x30)]


def test_the_mediators_connectors_make_the_mediators_vbt_to_the_byte_but_for_the_checksum() -> None:
    """The digest is of what the kernel's own code makes of its own structures."""
    vbt = bytearray(build_vbt(MEDIATORS, SKL))
    assert sum(vbt) % 256 == 0
    vbt[VBT_HEADER.offset_of("vbt_checksum")] = 0
    assert hashlib.sha256(vbt).hexdigest() == "e0ad1aa6b259b69860f8291ad8b42edb0d2ad12226f95d06592d17aff4042a97"


@pytest.mark.parametrize(
    ("path", "offset"),
    [
        ("header.mailboxes", 0x58), ("acpi.drdy", 0x100), ("acpi.didl.0.value", 0x120), ("acpi.clid", 0x1AC), ("acpi.cdck", 0x1B0),
        ("swsci.scic", 0x200), ("swsci.parm", 0x204), ("asle.ardy", 0x300), ("asle.rvda", 0x3BA), ("vbt", 0x400), ("asle_extension.phed", 0x1C00),
    ],
)  # fmt: skip
def test_mailboxes_stand_where_the_driver_looks(path: str, offset: int) -> None:
    assert OPREGION.offset_of(path) == offset


# ---- connectors there and back ----


def all_sets(ports: str, hdmi: str) -> list[tuple[Connector, ...]]:
    sets = []
    for count in range(len(ports) + 1):
        for chosen in combinations(ports, count):
            if {"A", "E"} <= set(chosen):
                continue
            for links in product((DP, HDMI), repeat=count):
                if all(link is DP or port in hdmi for port, link in zip(chosen, links, strict=True)):
                    sets.append(tuple(Connector(Port(port), link) for port, link in zip(chosen, links, strict=True)))
    return sets


@pytest.mark.parametrize("platform", PLATFORMS)
def test_what_is_declared_is_what_a_driver_finds_for_every_set_of_connectors(platform: str) -> None:
    ports, hdmi = ("ABC", "BC") if platform == "bxt" else ("ABCDE", "BCD")
    sets = all_sets(ports, hdmi)
    assert len(sets) == (18 if platform == "bxt" else 81)
    for connectors in sets:
        raw = opregion(connectors, PLATFORMS[platform])
        parsed = parse_opregion(raw)
        assert parsed.connectors == connectors
        assert parsed.vbt is not None and parsed.vbt.checksum_right
        assert len(parsed.vbt.children) == len(connectors)
        assert parsed.vbt.header.vbt_size == 110 + 33 * len(connectors)


@pytest.mark.parametrize(
    ("platform", "pins"),
    [("skl", (5, 4, 6)), ("kbl", (5, 4, 6)), ("bdw", (5, 4, 6)), ("cfl", (1, 2, 3)), ("bxt", (1, 2))],
)
def test_an_hdmi_connector_names_the_pins_of_its_port_in_the_platforms_numbers(platform: str, pins: tuple[int, ...]) -> None:
    connectors = [Connector(port, HDMI) for port in (Port.B, Port.C, Port.D)[: len(pins)]]
    parsed = parse_vbt(build_vbt(connectors, PLATFORMS[platform]))
    assert tuple(child.ddc_pin for child in parsed.children) == pins
    assert [child.dvo_port for child in parsed.children] == [1, 2, 3][: len(pins)]
    for child in parsed.children:
        assert (child.device_type, child.aux_channel) == (0x60D2, 0)
        assert child.flags.hdmi_support and child.flags.tmds_support and not child.flags.dp_support


def test_port_e_takes_the_version_that_first_has_it_and_the_channel_of_a() -> None:
    parsed = parse_vbt(build_vbt([Connector(Port.E, DP)], SKL))
    assert parsed.bdb.version == 193
    assert (parsed.children[0].dvo_port, parsed.children[0].aux_channel) == (11, 0x40)
    assert parse_vbt(build_vbt([Connector(Port.D, DP)], SKL)).bdb.version == 186


@pytest.mark.parametrize(
    ("platform", "connectors", "rule"),
    [
        ("bxt", [Connector(Port.D, DP)], "connector DP-D: Broxton has ports A, B, C"),
        ("skl", [Connector(Port.A, HDMI)], "connector HDMI-A: no HDMI at port A, only at B, C, D"),
        ("bxt", [Connector(Port.A, HDMI)], "connector HDMI-A: no HDMI at port A, only at B, C"),
        ("skl", [Connector(Port.E, HDMI)], "connector HDMI-E: no HDMI at port E, only at B, C, D"),
        ("skl", [Connector(Port.B, DP), Connector(Port.B, HDMI)], "connector HDMI-B: port B is taken by another; a port has one connector"),
        ("skl", [Connector(Port.E, DP), Connector(Port.A, DP)], "connectors at A and E: both would need AUX channel A"),
    ],
)
def test_connectors_that_no_machine_has_are_refused_by_name(platform: str, connectors: list[Connector], rule: str) -> None:
    with pytest.raises(UsageError) as caught:
        opregion(connectors, PLATFORMS[platform])
    assert str(caught.value) == rule


# ---- what other firmware writes ----


def with_bytes(*changes: tuple[int, bytes], connectors: tuple[Connector, ...] = MEDIATORS) -> bytes:
    raw = bytearray(opregion(connectors, SKL))
    for at, data in changes:
        raw[at : at + len(data)] = data
    return bytes(raw)


CHILD = VBT_OFFSET + 88
DEFINITIONS = VBT_OFFSET + 80


def test_a_port_of_both_kinds_gets_both_connectors_and_a_second_entry_for_it_is_passed_over() -> None:
    both = with_bytes((CHILD + 2, b"\xd6\x60"), (CHILD + 16, b"\x07"))
    assert parse_opregion(both).connectors == (
        Connector(Port.B, DP), Connector(Port.B, HDMI), Connector(Port.C, DP), Connector(Port.D, DP),
    )  # fmt: skip


def test_port_a_has_no_hdmi_whatever_the_table_says() -> None:
    assert parse_opregion(with_bytes((CHILD + 2, b"\xd2\x60"), (CHILD + 16, b"\x00"))).connectors == MEDIATORS[1:]


@pytest.mark.parametrize("port", [4, 5, 6, 13, 255])
def test_displays_that_are_at_no_digital_port_make_no_connector(port: int) -> None:
    assert parse_opregion(with_bytes((CHILD + 16, bytes([port])))).connectors == MEDIATORS[1:]


def test_longer_child_devices_are_read_as_far_as_they_are_known_and_empty_ones_left_out() -> None:
    vbt = bytearray(build_vbt([], SKL))
    children = [CHILD_DEVICE.pack(child) + bytes(5) for child in parse_vbt(build_vbt(MEDIATORS, SKL)).children]
    children.insert(1, bytes(38))
    vbt[87] = 38
    vbt[88:88] = b"".join(children)
    for at in (24, 68, 81):
        vbt[at : at + 2] = (u16(vbt, at) + 5 * 38).to_bytes(2, "little")
    assert parse_vbt(bytes(vbt)).connectors == MEDIATORS


def test_a_vbt_elsewhere_is_not_looked_for_here() -> None:
    rvda = OPREGION.offset_of("asle.rvda")
    elsewhere = with_bytes((88, b"\x0c"), (rvda, (0x2000).to_bytes(8, "little") + b"\0\x10"), (VBT_OFFSET, bytes(4)))
    assert parse_opregion(elsewhere) == ParsedOpRegion(OPREGION.parse(elsewhere), None)
    assert parse_opregion(elsewhere).connectors == ()


@pytest.mark.parametrize(
    ("raw", "place", "rule"),
    [
        (bytes(8192), "OpRegion.header.signature at byte 0x0", "there is no OpRegion here"),
        (b"", "OpRegion.header.signature at byte 0x0", "there is no OpRegion here"),
        (with_bytes()[:4096], "OpRegion at byte 0x1000", "4096 bytes given, an OpRegion has 8192"),
        (with_bytes() + b"\0", "OpRegion at byte 0x2000", "8193 bytes given, an OpRegion has 8192"),
        (with_bytes((16, b"\x10")), "OpRegion.header.size at byte 0x10", "16 KiB is not 8 KiB"),
        (with_bytes((20, b"\0\1\2\7")), "OpRegion.header.version at byte 0x14", "version 7.2.1: major versions are 1, 2, 3"),
        (with_bytes((0x400, b"$vbt")), "OpRegion.vbt: VbtHeader.signature at byte 0x400", "b'$vbt' is not b'$VBT': there is no VBT here"),
        (with_bytes((0x418, b"\x01\x1c")), "OpRegion.vbt: VbtHeader.vbt_size at byte 0x418", "7169 bytes do not fit into the 7168 that there are"),
        (
            with_bytes((88, b"\x18"), (0x418, b"\x01\x18")),
            "OpRegion.vbt: VbtHeader.vbt_size at byte 0x418", "6145 bytes do not fit into the 6144 that there are",
        ),
        (with_bytes((0x41C, b"\xdd")), "OpRegion.vbt: VbtHeader.bdb_offset at byte 0x41c", "a header at 0xdd leaves the VBT of 242 bytes"),
        (with_bytes((0x430, b"X")), "OpRegion.vbt: BdbHeader.signature at byte 0x430", "does not begin with b'BIOS_DATA_BLOCK'"),
        (with_bytes((0x442, b"\x15")), "OpRegion.vbt: BdbHeader.header_size at byte 0x442", "21 bytes: the header has 22 at least"),
        (with_bytes((0x444, b"\xc3")), "OpRegion.vbt: BdbHeader.bdb_size at byte 0x444", "195 bytes from 0x30 on leave the VBT of 242 bytes"),
        (
            with_bytes((DEFINITIONS + 1, b"\xa0\0")),
            "OpRegion.vbt: Vbt.block 2 at byte 0x450", "block 2 has 160 bytes, but only 159 are left of the data blocks",
        ),
        (with_bytes((DEFINITIONS + 1, b"\4\0"), (DEFINITIONS + 7, b"\0\x98\0")), "OpRegion.vbt: Vbt.block 2 at byte 0x453", "4 bytes: block 2 has 5 before its child devices"),
        (
            with_bytes((DEFINITIONS + 7, b"\x1b")),
            "OpRegion.vbt: GeneralDefinitions.child_dev_size at byte 0x457", "27 bytes: a child device has 33 at least",
        ),
    ],
)  # fmt: skip
def test_what_no_driver_would_take_is_refused_with_its_place_and_rule(raw: bytes, place: str, rule: str) -> None:
    with pytest.raises(WireError) as caught:
        parse_opregion(raw)
    text = str(caught.value)
    assert text.startswith(f"{place}: ") and text.endswith(rule)


def test_damaged_tables_are_told_or_refused_and_never_more_connectors_than_children() -> None:
    generator = random.Random(5)
    fresh = opregion(MEDIATORS, SKL)
    refused = 0
    for _ in range(3000):
        raw = bytearray(fresh)
        for _ in range(generator.randint(1, 6)):
            raw[generator.choice((generator.randrange(96), VBT_OFFSET + generator.randrange(242)))] = generator.randrange(256)
        try:
            parsed = parse_opregion(bytes(raw))
        except WireError as error:
            refused += 1
            assert 0 <= error.offset < OPREGION_SIZE
            continue
        assert parsed.vbt is None or len(parsed.connectors) <= 2 * len(parsed.vbt.children)
    assert 0 < refused < 3000
