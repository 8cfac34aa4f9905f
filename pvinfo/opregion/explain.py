"""An OpRegion in words: each field that says something, and what a display driver would make of it.

Source: linux:drivers/gpu/drm/i915/display/intel_opregion.c, linux:drivers/gpu/drm/i915/display/intel_bios.c
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from ..bits import Bits
from ..explain import FieldExplanation, Verdict
from ..wire import Codec, WireField
from .parse import ParsedOpRegion, Vbt, connectors_of_child, parse_opregion
from .region import OPREGION, VBT_OFFSET, LidState
from .vbt import (
    BDB_HEADER,
    BLOCK_HEADER,
    CHILD_DEVICE,
    DRIVER_FEATURES,
    GENERAL_DEFINITIONS,
    GENERAL_FEATURES,
    VBT_HEADER,
    AuxChannel,
    BlockId,
    ChildDevice,
    DvoPort,
)

__all__ = ("OpRegionExplanation", "explain_opregion")

_ALWAYS: Final = {"header.signature", "header.size", "header.version", "header.mailboxes"}
"""Fields that are shown even when they are zero."""
_VERSION_SIZES: Final = ((256, 40), (216, 39), (196, 38), (195, 37), (111, 33))
"""From which version on child devices have which length. Source: linux:drivers/gpu/drm/i915/display/intel_bios.c"""
_LAST_KNOWN_VERSION: Final = 256


class OpRegionExplanation(NamedTuple):
    """An OpRegion, explained."""

    parsed: ParsedOpRegion
    fields: tuple[FieldExplanation, ...]
    """In order of offset, those that are zero left out; then the VBT's headers and blocks, with child devices one by one."""
    verdicts: tuple[Verdict, ...]

    @property
    def accepted(self) -> bool:
        """A driver finds nothing to complain of."""
        return all(verdict.accepted for verdict in self.verdicts)


# ---- fields ----


def _words(field: WireField, value: int) -> str:
    """A number's meaning: the names of its bits, or what the field is."""
    kind = field.value_type
    if issubclass(kind, Bits):
        bits = kind(value)
        found = []
        for bit in kind.bit_fields:
            part = (value & bit.mask) >> bit.low
            if part:
                chosen = bit.choices
                name = next((member.name for member in chosen if member == part), str(part)) if chosen else str(part)
                found.append(bit.name if bit.mask >> bit.low == 1 else f"{bit.name} {name}")
        rest = int(bits) & ~sum(bit.mask for bit in kind.bit_fields)
        return ", ".join([*found, *([f"other bits {rest:#x}"] if rest else [])]) or "nothing set"
    if field.unit:
        return f"{value} {field.unit}: {field.doc}"
    return field.doc


def _text(content: bytes) -> str:
    """Bytes as text if they are some, else how many of them say something."""
    stripped = content.rstrip(b"\0 ")
    if stripped and all(0x20 <= byte < 0x7F for byte in stripped):
        return repr(stripped.decode("ascii"))
    return f"{sum(1 for byte in content if byte)} bytes of {len(content)}"


def _of_record(codec: Codec[Any], data: bytes, base: int, prefix: str, *, everything: bool) -> Iterator[FieldExplanation]:
    for field in codec.fields:
        content = data[field.offset : field.offset + field.size]
        if not everything and not any(content) and field.path not in _ALWAYS:
            continue
        if field.kind == "integer":
            value = int.from_bytes(content, "little")
            yield FieldExplanation(base + field.offset, field.size, prefix + field.path, f"{value:#x}", _words(field, value))
        elif any(content):
            yield FieldExplanation(base + field.offset, field.size, prefix + field.path, _text(content), field.doc)


def _child_words(child: ChildDevice) -> str:
    found = connectors_of_child(child)
    names = " and ".join(map(str, found)) if found else "no connector"
    ways = []
    if child.device_type.displayport:
        ways.append(f"AUX channel {_named(AuxChannel, child.aux_channel)}")
    if child.device_type.tmds:
        ways.append(f"DDC pin {child.ddc_pin}" if child.ddc_pin else "DDC pin by the driver's choice")
    return ", ".join([names, f"port {_named(DvoPort, child.dvo_port)}", *ways])


def _named(kind: type[AuxChannel] | type[DvoPort], value: int) -> str:
    return next((member.name for member in kind if member == value), f"{value:#x}")


def _of_vbt(raw: bytes, vbt: Vbt) -> Iterator[FieldExplanation]:
    table = raw[VBT_OFFSET:]
    yield from _of_record(VBT_HEADER, table[: VBT_HEADER.size], VBT_OFFSET, "vbt.", everything=False)
    place = vbt.header.bdb_offset
    yield from _of_record(BDB_HEADER, table[place : place + BDB_HEADER.size], VBT_OFFSET + place, "bdb.", everything=True)
    known: dict[int, tuple[str, Codec[Any]]] = {
        BlockId.GENERAL_FEATURES: ("general_features.", GENERAL_FEATURES),
        BlockId.GENERAL_DEFINITIONS: ("general_definitions.", GENERAL_DEFINITIONS),
        BlockId.DRIVER_FEATURES: ("driver_features.", DRIVER_FEATURES),
    }
    for block in vbt.blocks:
        name = next((member.name for member in BlockId if member == block.id), "unknown")
        at = VBT_OFFSET + block.offset
        yield FieldExplanation(at - BLOCK_HEADER.size, BLOCK_HEADER.size, f"block {block.id}", f"{len(block.data)} bytes", name)
        if block.id in known and vbt.block(block.id) == block:
            prefix, codec = known[block.id]
            yield from _of_record(codec, block.data[: codec.size].ljust(codec.size, b"\0"), at, prefix, everything=False)
        if block.id == BlockId.GENERAL_DEFINITIONS and vbt.general_definitions is not None and vbt.block(block.id) == block:
            size = vbt.general_definitions.child_dev_size
            places = range(GENERAL_DEFINITIONS.size, len(block.data) - size + 1, size)
            for number, start in enumerate(places):
                child = CHILD_DEVICE.unpack_from(block.data, start)
                words = _child_words(child) if child.device_type else "empty"
                yield FieldExplanation(at + start, size, f"child {number}", f"{int(child.device_type):#06x}", words)


def _fields(raw: bytes, parsed: ParsedOpRegion) -> Iterator[FieldExplanation]:
    for field in _of_record(OPREGION, raw, 0, "", everything=False):
        if field.path == "acpi.clid":
            state = parsed.region.acpi.clid
            meaning = next((f"lid {member.name}" for member in LidState if member == state), f"lid state {state}")
            yield field._replace(meaning=meaning)
        elif field.path == "vbt" and parsed.vbt is not None:
            yield from _of_vbt(raw, parsed.vbt)
        else:
            yield field


# ---- verdicts ----


def _judge_vbt(vbt: Vbt) -> Iterator[Verdict]:
    version = vbt.bdb.version
    if not vbt.checksum_right:
        yield Verdict("checksum", True, "the bytes of the VBT do not add up to a multiple of 256; no driver looks, other software may")
    definitions = vbt.general_definitions
    if definitions is None:
        yield Verdict("no-definitions", False, "block 2 is missing: the driver makes no connector")
        return
    expected = next((size for first, size in _VERSION_SIZES if version >= first), None)
    if version <= _LAST_KNOWN_VERSION and expected is not None and definitions.child_dev_size != expected:
        text = f"child devices of {definitions.child_dev_size} bytes, version {version} has {expected}: the driver says so and goes on"
        yield Verdict("child-size", False, text)
    made = vbt.connectors
    wanted = [connector for child in vbt.children for connector in connectors_of_child(child)]
    for connector in dict.fromkeys(wanted):
        if connector not in made or wanted.count(connector) > 1:
            yield Verdict("port-twice", False, f"{connector}: port {connector.port.value} is named by two child devices; the first has it")
    if made:
        yield Verdict("connectors", True, f"the driver makes {', '.join(map(str, made))} and no other connector")
    else:
        yield Verdict("connectors", True, "the driver makes no connector")


def _judge(parsed: ParsedOpRegion) -> Iterator[Verdict]:
    header = parsed.region.header
    version = header.version
    yield Verdict("version", True, f"OpRegion {version.major}.{version.minor}.{version.revision}")
    if header.mailboxes.swsci and version.major >= 3:
        yield Verdict("swsci", False, "mailbox 2 with version 3 or later: the driver says that it ignores it")
    if parsed.vbt is None:
        where = "at" if not version.minor and version.major == 2 else "behind the OpRegion, at"
        asle = parsed.region.asle
        yield Verdict("vbt-elsewhere", True, f"the VBT, {asle.rvds} bytes, is {where} {asle.rvda:#x}: it is not in this dump")
    else:
        yield from _judge_vbt(parsed.vbt)


def explain_opregion(data: bytes) -> OpRegionExplanation:
    """Explain an OpRegion. Raises: WireError as :func:`~pvinfo.opregion.parse.parse_opregion`."""
    parsed = parse_opregion(data)
    return OpRegionExplanation(parsed, tuple(_fields(data, parsed)), tuple(_judge(parsed)))
