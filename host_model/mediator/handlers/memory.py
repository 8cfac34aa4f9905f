"""Registers of the way to memory that a guest may write only in part.

Source: linux:drivers/gpu/drm/i915/gvt/handlers.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pvinfo.registers.gtt import AddressWidthControl, GttRegisters, PrivatePat, TiledResourceEnable
from pvinfo.registers.workaround import MemoryBusControl, MemoryWorkarounds

from . import GEN9, on_write

if TYPE_CHECKING:
    from ..vgpu import Vgpu


@on_write(MemoryWorkarounds.mbctl)
def bus_control_written(vgpu: Vgpu, offset: int, value: MemoryBusControl) -> int:
    return MemoryBusControl.of(value, boot_fetch=False)


_ALL_ENGINES: Final = 0xF


@on_write(GttRegisters.gamw_eco_dev_rw_ia)
def page_size_control_written(vgpu: Vgpu, offset: int, value: AddressWidthControl) -> int:
    """64 KiB pages for all engines or for none: the shadow tables cannot tell which engine walks them."""
    if value.enable_64k_ips in (0, _ALL_ENGINES):
        return value
    vgpu.findings.fault(
        "64k-pages-for-some-engines", f"GAMW_ECO_DEV_RW_IA ({offset:#x})",
        "64 KiB pages are enabled for all engines or for none; the write is dropped", value=value,
        nearest=f"{value | _ALL_ENGINES:#x}",
    )  # fmt: skip
    return vgpu.registers.read32(offset)


@on_write(GttRegisters.trtte, platforms=GEN9)
def sparse_table_enabled(vgpu: Vgpu, offset: int, value: TiledResourceEnable) -> int:
    """A table at a physical address would be walked without any shadow."""
    if not value.enable or value.virtual_addressing:
        return value
    vgpu.findings.fault(
        "sparse-table-physical", f"TRTTE ({offset:#x})",
        "the table of sparse resources must have a virtual address; the write is dropped", value=value,
        nearest=f"{TiledResourceEnable.of(value, virtual_addressing=True):#x}",
    )  # fmt: skip
    return vgpu.registers.read32(offset)


_SNOOPED_PAT_LOW: Final = 0x40000040
"""Attributes 0 and 3 snoop the processor's caches, 1 and 2 are uncached."""


@on_write(GttRegisters.private_pat_lo, platforms=("bxt",))
def memory_attributes_written(vgpu: Vgpu, offset: int, value: PrivatePat) -> int:
    """Broxton's GPU shares no cache with its processor; the host's attributes hold for all."""
    return _SNOOPED_PAT_LOW
