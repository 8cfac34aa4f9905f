"""Reading an OpRegion: what a driver would make of it, with an error where a driver would find no VBT.

Source: linux:drivers/gpu/drm/i915/display/intel_opregion.c (intel_opregion_setup), intel_bios.c
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from ..connector import Connector, Link, Port
from ..errors import WireError
from ..wire import Codec
from .region import OPREGION, OPREGION_SIGNATURE, OPREGION_SIZE, VBT_OFFSET, OpRegion
from .vbt import (
    BDB_HEADER,
    BDB_SIGNATURE,
    BLOCK_HEADER,
    CHILD_DEVICE,
    DRIVER_FEATURES,
    GENERAL_DEFINITIONS,
    GENERAL_FEATURES,
    VBT_HEADER,
    VBT_SIGNATURE,
    BdbHeader,
    BlockId,
    ChildDevice,
    DriverFeatures,
    DvoPort,
    GeneralDefinitions,
    GeneralFeatures,
    VbtHeader,
)

__all__ = ("Block", "ParsedOpRegion", "Vbt", "connectors_of_child", "parse_opregion", "parse_vbt")

_KNOWN_MAJOR_VERSIONS: Final = (1, 2, 3)
_MAILBOX_END: Final = OPREGION.offset_of("asle_extension.phed")
_LONG_LENGTH_VERSION: Final = 3

_PORTS: Final = {
    DvoPort.HDMI_A: Port.A, DvoPort.HDMI_B: Port.B, DvoPort.HDMI_C: Port.C, DvoPort.HDMI_D: Port.D, DvoPort.HDMI_E: Port.E,
    DvoPort.DP_A: Port.A, DvoPort.DP_B: Port.B, DvoPort.DP_C: Port.C, DvoPort.DP_D: Port.D, DvoPort.DP_E: Port.E,
}  # fmt: skip
"""Either kind of name does for either kind of signal. Source: linux:drivers/gpu/drm/i915/display/intel_bios.c (dvo_port_to_port)"""


class Block(NamedTuple):
    """One data block of a VBT."""

    id: int
    offset: int
    """Where its data begins, from the start of the VBT."""
    data: bytes


class Vbt(NamedTuple):
    """A VBT, taken apart."""

    header: VbtHeader
    bdb: BdbHeader
    blocks: tuple[Block, ...]
    general_features: GeneralFeatures | None
    general_definitions: GeneralDefinitions | None
    children: tuple[ChildDevice, ...]
    """The child devices, empty entries left out. Of longer ones, what a version of 33 bytes has."""
    driver_features: DriverFeatures | None
    checksum_right: bool
    """The bytes add up to a multiple of 256. No driver insists."""

    @property
    def connectors(self) -> tuple[Connector, ...]:
        """The connectors that a driver makes, in order. A port belongs to the first child device that names it."""
        found: dict[Port, tuple[Connector, ...]] = {}
        for child in self.children:
            made = connectors_of_child(child)
            if made:
                found.setdefault(made[0].port, made)
        return tuple(connector for made in found.values() for connector in made)

    def block(self, number: int) -> Block | None:
        """The first block of that number, the one that counts; None without one."""
        return next((block for block in self.blocks if block.id == number), None)


class ParsedOpRegion(NamedTuple):
    """An OpRegion, taken apart."""

    region: OpRegion
    vbt: Vbt | None
    """None: mailbox 3 says that the VBT is elsewhere in memory."""

    @property
    def connectors(self) -> tuple[Connector, ...]:
        """The connectors that a driver makes; empty where the VBT is elsewhere."""
        return () if self.vbt is None else self.vbt.connectors


def connectors_of_child(child: ChildDevice) -> tuple[Connector, ...]:
    """The connectors that a driver makes for ``child``: none, one, or two for a port that does both.

    A built-in DisplayPort panel counts as DisplayPort.
    """
    try:
        port = _PORTS[DvoPort(child.dvo_port)]
    except (KeyError, ValueError):
        return ()
    links = []
    if child.device_type.displayport:
        links.append(Link.DISPLAYPORT)
    if child.device_type.tmds and port is not Port.A:
        links.append(Link.HDMI)
    return tuple(Connector(port, link) for link in links)


def _blocks(data: bytes, begin: int, end: int) -> Iterator[Block]:
    """The data blocks in ``data[begin:end]``. Raises: WireError for one that is longer than the rest."""
    at = begin
    while at + BLOCK_HEADER.size < end:
        number, size = BLOCK_HEADER.unpack_from(data, at)
        at += BLOCK_HEADER.size
        if number == BlockId.MIPI_SEQUENCE and data[at] >= _LONG_LENGTH_VERSION and at + 5 <= end:
            size = 5 + int.from_bytes(data[at + 1 : at + 5], "little")
        if at + size > end:
            rule = f"block {number} has {size} bytes, but only {end - at} are left of the data blocks"
            raise WireError("Vbt", f"block {number}", at - BLOCK_HEADER.size, rule)
        yield Block(number, at, data[at : at + size])
        at += size


def _record(codec: Codec[Any], block: Block | None) -> Any:
    """The record that a block begins with; what an older, shorter block lacks is zero, as the driver has it."""
    return None if block is None else codec.unpack_from(block.data[: codec.size].ljust(codec.size, b"\0"))


def _children(block: Block, definitions: GeneralDefinitions) -> Iterator[ChildDevice]:
    size = definitions.child_dev_size
    if size < CHILD_DEVICE.size:
        place = block.offset + GENERAL_DEFINITIONS.offset_of("child_dev_size")
        raise WireError("GeneralDefinitions", "child_dev_size", place, f"{size} bytes: a child device has {CHILD_DEVICE.size} at least")
    for at in range(GENERAL_DEFINITIONS.size, len(block.data) - size + 1, size):
        child = CHILD_DEVICE.unpack_from(block.data, at)
        if child.device_type:
            yield child


def parse_vbt(raw: bytes) -> Vbt:
    """Take a VBT apart; bytes behind its end are passed over.

    Raises: WireError where the driver would take it for none, and where a block or its child devices do not fit.
    """
    header = VBT_HEADER.unpack_from(raw)
    if not header.signature.startswith(VBT_SIGNATURE):
        raise WireError("VbtHeader", "signature", 0, f"{header.signature[:4]!r} is not {VBT_SIGNATURE!r}: there is no VBT here")
    size = header.vbt_size
    if size > len(raw):
        raise WireError("VbtHeader", "vbt_size", VBT_HEADER.offset_of("vbt_size"), f"{size} bytes do not fit into the {len(raw)} that there are")
    place = header.bdb_offset
    if place + BDB_HEADER.size > size:
        raise WireError("VbtHeader", "bdb_offset", VBT_HEADER.offset_of("bdb_offset"), f"a header at {place:#x} leaves the VBT of {size} bytes")
    bdb = BDB_HEADER.unpack_from(raw, place)
    if not bdb.signature.startswith(BDB_SIGNATURE):
        raise WireError("BdbHeader", "signature", place, f"{bdb.signature!r} does not begin with {BDB_SIGNATURE!r}")
    if place + bdb.bdb_size > size:
        rule = f"{bdb.bdb_size} bytes from {place:#x} on leave the VBT of {size} bytes"
        raise WireError("BdbHeader", "bdb_size", place + BDB_HEADER.offset_of("bdb_size"), rule)
    if bdb.header_size < BDB_HEADER.size:
        rule = f"{bdb.header_size} bytes: the header has {BDB_HEADER.size} at least"
        raise WireError("BdbHeader", "header_size", place + BDB_HEADER.offset_of("header_size"), rule)
    blocks = tuple(_blocks(raw, place + bdb.header_size, place + bdb.bdb_size))
    first = {block.id: block for block in reversed(blocks)}
    definitions_block = first.get(BlockId.GENERAL_DEFINITIONS)
    if definitions_block is not None and len(definitions_block.data) < GENERAL_DEFINITIONS.size:
        rule = f"{len(definitions_block.data)} bytes: block 2 has {GENERAL_DEFINITIONS.size} before its child devices"
        raise WireError("Vbt", "block 2", definitions_block.offset, rule)
    definitions: GeneralDefinitions | None = _record(GENERAL_DEFINITIONS, definitions_block)
    children: tuple[ChildDevice, ...] = ()
    if definitions_block is not None and definitions is not None:
        children = tuple(_children(definitions_block, definitions))
    return Vbt(
        header=header,
        bdb=bdb,
        blocks=blocks,
        general_features=_record(GENERAL_FEATURES, first.get(BlockId.GENERAL_FEATURES)),
        general_definitions=definitions,
        children=children,
        driver_features=_record(DRIVER_FEATURES, first.get(BlockId.DRIVER_FEATURES)),
        checksum_right=sum(raw[:size]) & 0xFF == 0,
    )


def parse_opregion(raw: bytes) -> ParsedOpRegion:
    """Take an OpRegion apart.

    Raises: WireError when ``raw`` is no OpRegion of 8192 bytes and a known version, or has no VBT that a driver would take.
    """
    if not raw.startswith(OPREGION_SIGNATURE):
        rule = f"{raw[: len(OPREGION_SIGNATURE)]!r} is not {OPREGION_SIGNATURE!r}: there is no OpRegion here"
        raise WireError("OpRegion", "header.signature", 0, rule)
    if len(raw) != OPREGION_SIZE:
        raise WireError("OpRegion", "", min(len(raw), OPREGION_SIZE), f"{len(raw)} bytes given, an OpRegion has {OPREGION_SIZE}")
    region = OPREGION.unpack_from(raw)
    header = region.header
    if header.size * 1024 != OPREGION_SIZE:
        raise WireError("OpRegion", "header.size", OPREGION.offset_of("header.size"), f"{header.size} KiB is not {OPREGION_SIZE // 1024} KiB")
    version = header.version
    if version.major not in _KNOWN_MAJOR_VERSIONS:
        rule = f"version {version.major}.{version.minor}.{version.revision}: major versions are {', '.join(map(str, _KNOWN_MAJOR_VERSIONS))}"
        raise WireError("OpRegion", "header.version", OPREGION.offset_of("header.version"), rule)
    if version.major >= 2 and header.mailboxes.asle and region.asle.rvda and region.asle.rvds:
        return ParsedOpRegion(region, None)
    end = _MAILBOX_END if header.mailboxes.asle_extension else OPREGION_SIZE
    try:
        return ParsedOpRegion(region, parse_vbt(raw[VBT_OFFSET:end]))
    except WireError as error:
        raise WireError(f"OpRegion.vbt: {error.record}", error.field, VBT_OFFSET + error.offset, error.rule) from None
