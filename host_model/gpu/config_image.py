"""The physical GPU's PCI configuration space.

Two capabilities stand in it, MSI and power management, where the silicon has them; a list of their own begins with a
vendor-specific one on gen9. The PCI Express capability of gen9 silicon is left out: no driver of the GPU looks at it, and
machine models differ in what they make of one on a root bus.

Source: linux:drivers/gpu/drm/i915/intel_pci_config.h, prm:skl:vol2c
"""

from __future__ import annotations

from typing import Final, NamedTuple

from pvinfo.errors import UsageError
from pvinfo.pci import (
    BSM,
    CLASS_VGA,
    CONFIG_HEADER,
    CONFIG_SIZE,
    GMCH_CTL,
    MSI_CAPABILITY,
    POWER_MANAGEMENT_CAPABILITY,
    VENDOR_INTEL,
    BaseAddress,
    BaseAddressType,
    CapabilityHeader,
    CapabilityId,
    ClassCode,
    Command,
    ConfigHeader,
    GgttSize,
    GmchControl,
    HeaderType,
    IoBaseAddress,
    MsiCapability,
    MsiControl,
    Pmcsr,
    PowerManagementCapabilities,
    PowerManagementCapability,
    RomAddress,
    Status,
)
from pvinfo.platform import Platform
from pvinfo.units import GIB, MIB, format_size

__all__ = ("STOLEN_BASE", "STOLEN_SIZE", "config_image")


class _Places(NamedTuple):
    """Where a generation has its capabilities. 0: it has none of the kind."""

    vendor: int
    msi: int
    power: int


_PLACES: Final = {8: _Places(vendor=0, msi=0x90, power=0xD0), 9: _Places(vendor=0x40, msi=0xAC, power=0xD0)}
"""As ``lspci`` shows them on such parts."""
_VENDOR_LENGTH: Final = 12
_VENDOR_VERSION: Final = 1

_GGTT_SIZES: Final = {1 * GIB: GgttSize.MIB_2, 2 * GIB: GgttSize.MIB_4, 4 * GIB: GgttSize.MIB_8}

_STOLEN_UNITS: Final = 1
"""Stolen memory as common firmware leaves it, in the unit of :class:`~pvinfo.pci.GmchControl`."""
STOLEN_SIZE: Final = _STOLEN_UNITS * 32 * MIB
STOLEN_BASE: Final = 0x7C00_0000
"""Below 2 GiB, at the top of a small machine's memory."""
_LOCKED: Final = 1
"""Firmware has made the register read-only."""


def _memory_bar(prefetchable: bool) -> BaseAddress:
    return BaseAddress.of(type=BaseAddressType.BITS_64, prefetchable=prefetchable)


def config_image(platform: Platform, ggtt_size: int) -> bytes:
    """4096 bytes of configuration space, before any machine has placed the windows.

    Raises: UsageError for a GGTT size that the graphics control register cannot express.
    """
    if ggtt_size not in _GGTT_SIZES:
        raise UsageError(f"a GGTT of {format_size(ggtt_size)}: it covers {', '.join(map(format_size, _GGTT_SIZES))}")
    places = _PLACES[platform.graphics_version]
    image = bytearray(CONFIG_SIZE)
    header = ConfigHeader(
        vendor_id=VENDOR_INTEL,
        device_id=platform.device_id,
        command=Command(0),
        status=Status.of(capabilities=True),
        class_code=ClassCode.of(CLASS_VGA << 8, revision=platform.revision),
        cache_line_size=0,
        latency_timer=0,
        header_type=HeaderType(0),
        bist=0,
        bar0=_memory_bar(prefetchable=False),
        bar1=0,
        bar2=_memory_bar(prefetchable=True),
        bar3=0,
        bar4=IoBaseAddress.of(io=True),
        bar5=0,
        cardbus_cis=0,
        subsystem_vendor_id=VENDOR_INTEL,
        subsystem_id=platform.device_id,
        expansion_rom=RomAddress(0),
        capabilities_pointer=places.vendor or places.msi,
        reserved=bytes(7),
        interrupt_line=0,
        interrupt_pin=1,
        min_grant=0,
        max_latency=0,
    )
    CONFIG_HEADER.pack_into(image, 0, header)
    if places.vendor:
        image[places.vendor : places.vendor + 4] = bytes((CapabilityId.VENDOR, places.msi, _VENDOR_LENGTH, _VENDOR_VERSION))
    MSI_CAPABILITY.pack_into(
        image, places.msi, MsiCapability(CapabilityHeader(CapabilityId.MSI, places.power), MsiControl(0), address=0, data=0)
    )
    POWER_MANAGEMENT_CAPABILITY.pack_into(
        image, places.power,
        PowerManagementCapability(
            CapabilityHeader(CapabilityId.POWER_MANAGEMENT, 0),
            PowerManagementCapabilities.of(version=2, device_specific_init=True), Pmcsr(0), bridge=0, data=0,
        ),
    )  # fmt: skip
    control = GmchControl.of(_LOCKED, ggms=_GGTT_SIZES[ggtt_size], gms=_STOLEN_UNITS)
    image[GMCH_CTL : GMCH_CTL + 2] = control.to_bytes(2, "little")
    image[BSM : BSM + 4] = (STOLEN_BASE | _LOCKED).to_bytes(4, "little")
    return bytes(image)
