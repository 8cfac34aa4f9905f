"""Interrupt registers: masks, acknowledgements, and the master enable.

A message may be sent while a write is being served, and a guest of this process answers it before the write returns: so what
a register holds afterwards is what stands in it then, not what was written.

Source: linux:drivers/gpu/drm/i915/gvt/interrupt.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pvinfo.registers.engine import EngineRegisters
from pvinfo.registers.interrupt import InterruptGroup, MasterControl, MasterInterrupt, PsrInterruptRegisters
from pvinfo.registers.pipe import PIPE_BASES

from . import on_read, on_write

if TYPE_CHECKING:
    from ..base import RegisterDevice


_PIPES: Final = {InterruptGroup.imr.at(pipe): pipe for pipe in PIPE_BASES}
_IDENTITIES: Final = {InterruptGroup.iir.at(group): group for group in InterruptGroup.bases}


@on_write(InterruptGroup.imr)
def mask_written(device: RegisterDevice, offset: int, value: int) -> int:
    """May open the way for something pending. What a pipe has had to tell until now, it tells by the mask that was."""
    pipe = _PIPES.get(offset)
    if pipe is None:
        return enable_written(device, offset, value)
    device.display.pipes.catch_up(pipe)
    device.registers.write32(offset, value)
    device.display.pipes.masks_changed(pipe)
    device.interrupts.check_pending()
    return device.registers.read32(offset)


@on_write(InterruptGroup.ier)
def enable_written(device: RegisterDevice, offset: int, value: int) -> int:
    """May open the way for something pending."""
    device.registers.write32(offset, value)
    device.interrupts.check_pending()
    return device.registers.read32(offset)


on_write(EngineRegisters.imr)(enable_written)


@on_read(InterruptGroup.iir)
def identity_read(device: RegisterDevice, offset: int) -> int:
    return device.interrupts.read_identity(_IDENTITIES[offset])


@on_write(InterruptGroup.iir)
def events_acknowledged(device: RegisterDevice, offset: int, value: int) -> int:
    device.interrupts.acknowledge(_IDENTITIES[offset], value)
    return device.registers.read32(offset)


@on_write(MasterInterrupt.control)
def master_written(device: RegisterDevice, offset: int, value: MasterControl) -> int:
    """Only the enable can be written. What is pending at that moment is sent now, even if it was sent before."""
    master = MasterInterrupt(device.registers)
    master.control = MasterControl.of(master.control, enable=value.enable)
    device.interrupts.check_pending()
    return master.control


@on_write(PsrInterruptRegisters.imr)
def panel_self_refresh_written(device: RegisterDevice, offset: int, value: int) -> int:
    """No panel, no events, nothing masked: both registers stay 0."""
    return 0


on_write(PsrInterruptRegisters.iir)(panel_self_refresh_written)
