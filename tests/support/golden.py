"""A physical GPU's state, made for tests: known, small, and with something in every place that has a rule."""

from __future__ import annotations

from typing import Final

from host_model.host import Host
from pvinfo.golden_state import GoldenState
from pvinfo.platform import DEFAULT_PLATFORM, platform_named
from pvinfo.registers.tracked import MMIO_SIZE
from pvinfo.units import MIB

__all__ = ("CONFIG", "MSI", "POWER", "config_image", "golden_state", "made_host")

VENDOR_CAPABILITY: Final = 0x40
MSI: Final = 0xAC
POWER: Final = 0xD0

CONFIG: Final[dict[int, int]] = {
    0x00: 0x1912_8086,
    0x04: 0x0010_0407,  # status: capability list; command: INTx off, master, memory, I/O
    0x08: 0x0300_0006,
    0x10: 0xDE00_0004,  # 64-bit
    0x14: 0x0000_0001,
    0x18: 0xC000_000C,  # 64-bit, prefetchable
    0x20: 0x0000_F001,  # I/O
    0x2C: 0x2212_8086,
    0x30: 0x000C_0001,
    0x34: VENDOR_CAPABILITY,
    0x3C: 0x0000_010B,
    VENDOR_CAPABILITY: 0x010C_0009 | MSI << 8,
    0x50: 0x0000_0AC1,  # GMCH_CTL: stolen memory, 8 MiB of table
    0x5C: 0x8B80_0001,  # BSM
    MSI: 0x0001_0005 | POWER << 8,
    MSI + 4: 0xFEE0_0018,
    MSI + 8: 0x0000_4021,
    POWER: 0x0022_0001,
    0xFC: 0x8AF6_C018,  # ASLS
}
"""Dwords of configuration space that are not 0, as a host's own driver leaves them."""


def config_image() -> bytes:
    """The physical GPU's configuration space."""
    image = bytearray(4096)
    for offset, value in CONFIG.items():
        image[offset : offset + 4] = value.to_bytes(4, "little")
    return bytes(image)


def golden_state(registers: dict[int, int] | None = None) -> GoldenState:
    """A snapshot that holds ``registers`` (by byte offset) and zeros."""
    mmio = bytearray(MMIO_SIZE)
    for offset, value in (registers or {}).items():
        mmio[offset : offset + 4] = value.to_bytes(4, "little")
    return GoldenState(config=config_image(), mmio=bytes(mmio))


def made_host(
    registers: dict[int, int] | None = None, *, platform: str = DEFAULT_PLATFORM, aperture_mib: int = 256
) -> Host:
    """A host whose guests first find exactly ``registers``."""
    platform_named(platform)
    return Host(platform, aperture_size=aperture_mib * MIB, golden=golden_state(registers))
