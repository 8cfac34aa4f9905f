"""Sections in bytes: put together, and taken apart with every doubt.

Nothing is believed before its checksum fits, no length before it is compared with what is there, and nothing is inflated beyond
the length that was promised, or that any section can have.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Final, NamedTuple

from pvinfo.errors import RestoreRefused, WireError
from pvinfo.units import MIB

from .layout import (
    FORMAT_VERSION,
    MAGIC,
    NEEDS,
    SAVED_HEADER,
    SECTION_ENTRY,
    Needs,
    SavedHeader,
    SectionEntry,
    SectionFlags,
    name_bytes,
    name_text,
)

__all__ = ("Contents", "SavedSection", "pack", "unpack")

_LARGEST_SECTION: Final = 64 * MIB
"""The table of a GPU with 4 GiB of graphics memory takes 9."""
_NAME_SIZE: Final = SECTION_ENTRY.field("name").size
_LEVEL: Final = 1
"""Most of a vGPU is zeros: the fastest way of deflating makes as little of them as the slowest."""


class SavedSection(NamedTuple):
    """One section, inflated."""

    name: str
    version: int
    required: bool
    data: bytes


class Contents(NamedTuple):
    """A saved vGPU taken apart."""

    needs: Needs
    sections: tuple[SavedSection, ...]


def _checksum(header: SavedHeader, rest: bytes) -> int:
    return zlib.crc32(rest, zlib.crc32(SAVED_HEADER.pack(header._replace(checksum=0))))


def pack(contents: Contents) -> bytes:
    """The bytes of a saved vGPU."""
    deflated = [zlib.compress(section.data, _LEVEL) for section in contents.sections]
    entries = b"".join(
        SECTION_ENTRY.pack(
            SectionEntry(
                name_bytes(section.name, _NAME_SIZE), section.version, SectionFlags.of(required=section.required),
                len(section.data), len(stored), zlib.crc32(stored),
            )  # fmt: skip
        )
        for section, stored in zip(contents.sections, deflated, strict=True)
    )
    rest = NEEDS.pack(contents.needs) + entries
    length = SAVED_HEADER.size + len(rest) + sum(map(len, deflated))
    header = SavedHeader(MAGIC, FORMAT_VERSION, len(deflated), 0, length)
    return b"".join((SAVED_HEADER.pack(header._replace(checksum=_checksum(header, rest))), rest, *deflated))


def unpack(data: bytes) -> Contents:
    """Take a saved vGPU apart. Raises: RestoreRefused for anything but the whole and unchanged bytes of one."""
    header = _header(data)
    table_at = SAVED_HEADER.size + NEEDS.size
    first = table_at + header.sections * SECTION_ENTRY.size
    if first > len(data) or _checksum(header, data[SAVED_HEADER.size : first]) != header.checksum:
        raise RestoreRefused("corrupt", "the checksum of the header", f"{header.checksum:#010x}", "that of the bytes which are there")
    entries = _entries(data, table_at, header.sections)
    if first + sum(entry.stored for entry in entries) != len(data):
        raise RestoreRefused("corrupt", "the length of all sections", sum(entry.stored for entry in entries), f"{len(data) - first} bytes")
    sections = []
    for entry in entries:
        sections.append(_section(entry, data[first : first + entry.stored]))
        first += entry.stored
    return Contents(NEEDS.unpack_from(data, SAVED_HEADER.size), tuple(sections))


def _header(data: bytes) -> SavedHeader:
    if data[: len(MAGIC)] != MAGIC[: len(data)]:
        raise RestoreRefused("magic", "the beginning", data[: len(MAGIC)].hex(" "), f"{MAGIC.hex(' ')}, as of a saved vGPU")
    if len(data) < SAVED_HEADER.size:
        raise RestoreRefused("truncated", "the length", len(data), f"{SAVED_HEADER.size} bytes at least")
    header = SAVED_HEADER.unpack_from(data)
    if header.version != FORMAT_VERSION:
        raise RestoreRefused("version", "the format's version", header.version, f"{FORMAT_VERSION}")
    if header.length != len(data):
        rule = "truncated" if header.length > len(data) else "corrupt"
        raise RestoreRefused(rule, "the length", len(data), f"{header.length} bytes, as the header says")
    return header


def _entries(data: bytes, start: int, count: int) -> Sequence[SectionEntry]:
    try:
        return [SECTION_ENTRY.unpack_from(data, start + number * SECTION_ENTRY.size) for number in range(count)]
    except WireError as error:
        raise RestoreRefused("corrupt", "the table of sections", str(error), "well-formed") from None


def _section(entry: SectionEntry, stored: bytes) -> SavedSection:
    name = name_text(entry.name)
    if zlib.crc32(stored) != entry.checksum:
        raise RestoreRefused("corrupt", f"the checksum of section {name!r}", f"{entry.checksum:#010x}", "that of the bytes which are there")
    if entry.size > _LARGEST_SECTION:
        raise RestoreRefused("corrupt", f"the size of section {name!r}", entry.size, f"at most {_LARGEST_SECTION} bytes")
    inflater = zlib.decompressobj()
    try:
        contents = inflater.decompress(stored, entry.size + 1)
    except zlib.error as error:
        raise RestoreRefused("corrupt", f"section {name!r}", str(error), "deflated") from None
    if len(contents) != entry.size or not inflater.eof or inflater.unused_data:
        raise RestoreRefused("corrupt", f"section {name!r} inflated", f"{len(contents)} bytes or more", f"{entry.size} bytes")
    return SavedSection(name, entry.version, bool(entry.flags.required), contents)
