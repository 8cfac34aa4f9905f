"""The records of a saved vGPU, but for those of its parts.

::

    SavedHeader     what this is, and how long
    Needs           what the vGPU needs of a host
    SectionEntry    one for each section: its name, length, checksum and place in the order
    …               the sections' bytes, each deflated, one after the other
"""

from __future__ import annotations

from typing import Annotated, Final, NamedTuple

from pvinfo.bits import Bits, flag
from pvinfo.wire import Codec, raw, u16, u32, u64

__all__ = (
    "FORMAT_VERSION",
    "MAGIC",
    "NEEDS",
    "SAVED_HEADER",
    "SECTION_ENTRY",
    "Needs",
    "SavedHeader",
    "SectionEntry",
    "SectionFlags",
    "name_bytes",
    "name_text",
)

MAGIC: Final = b"\x89vGPU\r\n\n"
"""Not text, and broken by what breaks texts on their way."""
FORMAT_VERSION: Final = 1
"""Of header, needs and entries; sections have versions of their own."""


class SavedHeader(NamedTuple):
    """What this is, and how long."""

    magic: Annotated[bytes, raw(8, "what tells a saved vGPU from anything else")]
    version: Annotated[int, u16("version of everything but the sections' contents")]
    sections: Annotated[int, u16("how many sections there are")]
    checksum: Annotated[int, u32("CRC-32 of all up to the sections' bytes, with 0 in its own place")]
    length: Annotated[int, u64("length of the whole", unit="bytes")]


class Needs(NamedTuple):
    """What a vGPU needs of a host that is to go on with it, and what its guest was told."""

    platform: Annotated[bytes, raw(8, "name of the GPU's platform, padded with zeros")]
    type_name: Annotated[bytes, raw(32, "name of the vGPU's type")]
    resolution: Annotated[bytes, raw(16, "largest mode of the type's monitor")]
    weight: Annotated[int, u32("share of GPU time, of 16")]
    fences: Annotated[int, u32("fence registers")]
    low_at: Annotated[int, u64("where its aperture begins", unit="bytes")]
    low_size: Annotated[int, u64("length of its aperture", unit="bytes")]
    high_at: Annotated[int, u64("where its graphics memory outside the aperture begins", unit="bytes")]
    high_size: Annotated[int, u64("length of that", unit="bytes")]
    aperture: Annotated[int, u64("length of the GPU's whole aperture, which the guest finds behind BAR2", unit="bytes")]
    graphics_memory: Annotated[int, u64("what the GPU's table translates", unit="bytes")]
    golden: Annotated[bytes, raw(32, "SHA-256 of the registers and the configuration space that the host shows after a reset")]
    magic: Annotated[int, u64("what the guest reads as the PVINFO page's magic")]
    version_major: Annotated[int, u16("the version that was announced to it")]
    version_minor: Annotated[int, u16("its minor part")]
    capabilities: Annotated[int, u32("the features that were announced to it")]


class SectionFlags(Bits):
    """How a section is to be taken."""

    required = flag(0, "who does not know it cannot restore the vGPU; else it is left out")


class SectionEntry(NamedTuple):
    """One section."""

    name: Annotated[bytes, raw(12, "its name, padded with zeros")]
    version: Annotated[int, u16("version of its contents")]
    flags: Annotated[SectionFlags, u16("how it is to be taken")]
    size: Annotated[int, u32("length of its contents", unit="bytes")]
    stored: Annotated[int, u32("length of its contents deflated", unit="bytes")]
    checksum: Annotated[int, u32("CRC-32 of its contents deflated")]


SAVED_HEADER: Final = Codec(SavedHeader, doc="the beginning of a saved vGPU", size=24)
NEEDS: Final = Codec(Needs, doc="what a saved vGPU needs of a host", size=160)
SECTION_ENTRY: Final = Codec(SectionEntry, doc="one section of a saved vGPU", size=28)


def name_bytes(text: str, size: int) -> bytes:
    """``text`` in a field of ``size`` bytes. Raises: ValueError when it does not fit."""
    data = text.encode("ascii")
    if len(data) > size:
        raise ValueError(f"{text!r} has {len(data)} bytes, the field {size}")
    return data.ljust(size, b"\0")


def name_text(field: bytes) -> str:
    """The text in a field."""
    return field.rstrip(b"\0").decode("ascii", "backslashreplace")
