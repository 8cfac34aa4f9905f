"""Digital ports: their buffers are busy or idle at once, and training patterns are sent at once.

Source: linux:drivers/gpu/drm/i915/gvt/handlers.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pvinfo.registers.ddi import DdiBufferControl, DdiPortRegisters, DisplayPortControl, DisplayPortStatus, TrainingPattern

from . import on_write

if TYPE_CHECKING:
    from ..base import RegisterDevice


@on_write(DdiPortRegisters.buf_ctl)
def output_switched(device: RegisterDevice, offset: int, value: DdiBufferControl) -> int:
    if not value.enable and offset == DdiPortRegisters.buf_ctl.at("PORT_E"):
        analogue = DdiPortRegisters(device.registers, "PORT_E")
        analogue.tp_status = DisplayPortStatus.of(analogue.tp_status, autotrain_done=False)
    return DdiBufferControl.of(value, idle=not value.enable)


@on_write(DdiPortRegisters.tp_ctl)
def pattern_chosen(device: RegisterDevice, offset: int, value: DisplayPortControl) -> int:
    if value.link_train == TrainingPattern.IDLE:
        port = DdiPortRegisters(device.registers, offset - DdiPortRegisters.tp_ctl.offset)
        port.tp_status = DisplayPortStatus.of(port.tp_status, idle_done=True)
    return value


_LATCHED: Final = DisplayPortStatus.act_sent.mask | DisplayPortStatus.latched_26.mask | DisplayPortStatus.latched_27.mask


@on_write(DdiPortRegisters.tp_status)
def status_acknowledged(device: RegisterDevice, offset: int, value: DisplayPortStatus) -> int:
    """The latched bits are cleared by writing 1; the others are kept as written."""
    return value & ~_LATCHED | device.registers.read32(offset) & ~value & _LATCHED
