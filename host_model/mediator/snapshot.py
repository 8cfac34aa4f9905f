"""The golden snapshot: what every vGPU's registers hold when its guest first looks.

Taken from the physical GPU after its own driver has programmed it, restricted to the registers that the mediator tracks,
with a few values that a guest must find differently.

Source: linux:drivers/gpu/drm/i915/gvt/firmware.c, linux:drivers/gpu/drm/i915/gvt/mmio.c (intel_vgpu_reset_mmio)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pvinfo.golden_state import GoldenState
from pvinfo.pci import ASLS, BAR0, BAR4, BSM, COMMAND, GMCH_CTL, EXPANSION_ROM
from pvinfo.registers.cursor import Cursor, CursorControl
from pvinfo.registers.ddi import DdiBufferControl, DdiPortRegisters
from pvinfo.registers.plane import Plane, PlaneControl
from pvinfo.registers.tracked import MMIO_SIZE, tracked_runs
from pvinfo.registers.transcoder import DdiFunctionControl, Transcoder, TranscoderConfig, TranscoderSwitch

from ..device.config_space import CAPABILITY_MSI, capabilities
from ..device.mmio.registers import RegisterPage

if TYPE_CHECKING:
    from ..gpu.device import PhysicalGpu

__all__ = ("GT_REGISTERS_END", "guest_config", "show_to_guest", "take_snapshot")


def take_snapshot(gpu: PhysicalGpu) -> GoldenState:
    """Read the tracked registers and the configuration space of ``gpu``."""
    mmio = bytearray(MMIO_SIZE)
    for run in tracked_runs(gpu.platform.name):
        mmio[run.offset : run.offset + run.size] = gpu.registers.bytes[run.offset : run.offset + run.size]
    return GoldenState(config=gpu.config_image(), mmio=bytes(mmio))


GT_REGISTERS_END: Final = 0x44200
"""A reset of the whole GT restores the registers below; interrupts and display, above, survive it."""

_CLEARED: Final = (0x13805C, 0x138060)
"""Residency counters of the host's own power saving."""
_DISPLAY_OFF: Final = {
    **dict.fromkeys(TranscoderSwitch.conf.offsets(), TranscoderConfig.enable.mask | TranscoderConfig.state.mask),
    **dict.fromkeys(Transcoder.ddi_func_ctl.offsets(), DdiFunctionControl.enable.mask),
    **dict.fromkeys(Plane.ctl.offsets(), PlaneControl.enable.mask),
    **dict.fromkeys(Cursor.ctl.offsets(), CursorControl.mode.mask),
    **dict.fromkeys(DdiPortRegisters.buf_ctl.offsets(), DdiBufferControl.enable.mask),
}
"""Bits by which the host shows a picture of its own. Source: linux:drivers/gpu/drm/i915/gvt/display.c (emulate_monitor_status_change)"""
_GUC_STATUS: Final = 0xC000
_GUC_IN_RESET: Final = 1


def show_to_guest(golden: GoldenState, registers: RegisterPage, end: int = MMIO_SIZE) -> None:
    """Put the snapshot's registers ``[0, end)`` in front of a guest. Whatever the host shows, the guest's display is off."""
    registers.load(golden.mmio, 0, end)
    registers.write32(_GUC_STATUS, registers.read32(_GUC_STATUS) | _GUC_IN_RESET)
    for offset in _CLEARED:
        if offset < end:
            registers.write32(offset, 0)
    for offset, bits in _DISPLAY_OFF.items():
        if offset < end and registers.read32(offset) & bits:
            registers.write32(offset, registers.read32(offset) & ~bits)
    for offset in DdiPortRegisters.buf_ctl.offsets():
        if offset < end:
            registers.write32(offset, registers.read32(offset) | DdiBufferControl.idle.mask)


_KEPT_TYPE_BITS: Final = 0xF


def guest_config(golden: GoldenState) -> bytes:
    """The snapshot's configuration space as a guest finds it: no stolen memory, no I/O window, nothing placed or enabled.

    Source: linux:drivers/gpu/drm/i915/gvt/cfg_space.c (intel_vgpu_init_cfg_space)
    """
    image = bytearray(golden.config)
    image[GMCH_CTL + 1] = 0
    image[BSM : BSM + 4] = bytes(4)
    image[COMMAND : COMMAND + 2] = bytes(2)
    for window in range(BAR0, BAR4, 8):
        image[window : window + 8] = bytes([image[window] & _KEPT_TYPE_BITS]) + bytes(7)
    image[BAR4 : BAR4 + 8] = bytes(8)
    image[EXPANSION_ROM : EXPANSION_ROM + 4] = bytes(4)
    image[ASLS : ASLS + 4] = bytes(4)
    msi = capabilities(image).get(CAPABILITY_MSI)
    if msi is not None:
        image[msi + 2 : msi + 10] = bytes(8)
    return bytes(image)
