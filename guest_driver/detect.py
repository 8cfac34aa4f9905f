"""Is there a GVT-g host behind this GPU? The driver asks before it touches anything else of BAR0.

Source: linux:drivers/gpu/drm/i915/i915_vgpu.c
"""

from __future__ import annotations

from typing import NamedTuple

from pvinfo.bus import Region
from pvinfo.page import PVINFO_BASE, PVINFO_SIZE, VGT_IF, VGT_MAGIC, VGT_VERSION_MAJOR, Capability

from .log import DriverLog
from .refusal import Refusal, refuse

__all__ = ("VgpuInterface", "check_capabilities", "detect_vgpu")


class VgpuInterface(NamedTuple):
    """What the page says of its host."""

    version_major: int
    capabilities: Capability

    @property
    def full_ppgtt(self) -> bool:
        """The host shadows 4-level per-process tables."""
        return Capability.FULL_PPGTT in self.capabilities

    @property
    def hwsp_emulation(self) -> bool:
        """The host writes execlist status into the hardware status page."""
        return Capability.HWSP_EMULATION in self.capabilities

    @property
    def huge_gtt(self) -> bool:
        """The host shadows entries for more than 4 KiB."""
        return Capability.HUGE_GTT in self.capabilities


def _read(regs: Region, field: str) -> int:
    place = VGT_IF.field(field)
    return regs.read(PVINFO_BASE + place.offset, place.size)


def detect_vgpu(regs: Region, log: DriverLog) -> VgpuInterface | None:
    """Look for the PVINFO page (``intel_vgpu_detect``): the magic as one quadword, the version as a word, the
    capabilities as a dword, and nothing more once one of them says no. None when there is no page.

    Raises: HostRefused for a version that means nothing.
    """
    if regs.size < PVINFO_BASE + PVINFO_SIZE:
        log.error("bar0-short", f"BAR0 of {regs.size:#x} bytes ends before the PVINFO page at {PVINFO_BASE:#x}")
        return None
    magic = _read(regs, "magic")
    if magic != VGT_MAGIC:
        log.debug("no-page", f"{magic:#018x} at {PVINFO_BASE:#x} is not the magic: no vGPU")
        return None
    version = _read(regs, "version_major")
    if version < VGT_VERSION_MAJOR:
        refuse(Refusal.VERSION, f"version {version} at {PVINFO_BASE + VGT_IF.offset_of('version_major'):#x}")
    capabilities = Capability(_read(regs, "vgt_caps"))
    log.info("vgpu-detected", f"this is a vGPU: interface version {version}, capabilities {int(capabilities):#x}")
    return VgpuInterface(version, capabilities)


def check_capabilities(interface: VgpuInterface) -> None:
    """Insist on what no driver of this age can do without (``i915_driver_hw_probe``).

    Raises: HostRefused naming the missing capability.
    """
    place = f"capabilities {int(interface.capabilities):#x} at {PVINFO_BASE + VGT_IF.offset_of('vgt_caps'):#x}"
    if not interface.full_ppgtt:
        refuse(Refusal.NO_FULL_PPGTT, place)
    if not interface.hwsp_emulation:
        refuse(Refusal.NO_HWSP_EMULATION, place)
