"""AUX channels with no monitor behind them: every message times out at once, and never leaves the channel busy.

Where this differs from the kernel's mediator, on purpose: a write that sends nothing acknowledges the bits it sets, as on
hardware (the kernel clears the whole register).

Source: linux:drivers/gpu/drm/i915/gvt/handlers.c (dp_aux_ch_ctl_mmio_write), linux:drivers/gpu/drm/i915/display/intel_dp_aux.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pvinfo.registers.aux_channel import AuxChannel, AuxControl, PchAuxChannel

from ..interrupts import Event
from . import GEN8, GEN9, on_write, on_write_range

if TYPE_CHECKING:
    from ..base import RegisterDevice

_EVENTS: Final = {"AUX_A": Event.AUX_A, "AUX_B": Event.AUX_B, "AUX_C": Event.AUX_C, "AUX_D": Event.AUX_D}
_EVENT_AT: Final = {
    block.control.at(name): _EVENTS[name] for block in (AuxChannel, PchAuxChannel) for name in block.bases
}
_ACKNOWLEDGED: Final = AuxControl.done.mask | AuxControl.timeout_error.mask | AuxControl.receive_error.mask


def control_written(device: RegisterDevice, offset: int, value: int) -> int:
    control = AuxControl(value)
    if not control.busy:
        latched = device.registers.read32(offset) & _ACKNOWLEDGED
        return control & ~_ACKNOWLEDGED | latched & ~control
    device.registers.write32(offset, AuxControl.of(control, busy=False, done=True, timeout_error=True, receive_error=False))
    if control.interrupt:
        device.interrupts.raise_event(_EVENT_AT[offset])
    return device.registers.read32(offset)


on_write(AuxChannel.control, platforms=GEN9)(control_written)
on_write_range((AuxChannel.control.at("AUX_A"),), platforms=GEN8)(control_written)
on_write(PchAuxChannel.control, platforms=GEN8)(control_written)
