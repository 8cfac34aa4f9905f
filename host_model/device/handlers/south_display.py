"""The platform controller hub's part of the display: its resets, transcoders, the link to the analogue port and that port.

Source: linux:drivers/gpu/drm/i915/gvt/handlers.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pvinfo.registers.ddi import DdiPortRegisters, DisplayPortStatus
from pvinfo.registers.south_display import (
    Adpa,
    AnaloguePort,
    FdiPattern,
    FdiReceiver,
    FdiReceiverControl,
    FdiReceiverEvents,
    PchTranscoder,
    PchTranscoderConfig,
    PchUnnamed,
    SouthChicken2,
    SouthDisplay,
)

from . import GEN8, on_read, on_write

if TYPE_CHECKING:
    from ..base import RegisterDevice


@on_write(SouthDisplay.chicken2)
def link_reset_asked(device: RegisterDevice, offset: int, value: SouthChicken2) -> int:
    return SouthChicken2.of(value, phy_reset_status=value.phy_reset)


@on_write(PchTranscoder.conf)
def hub_transcoder_switched(device: RegisterDevice, offset: int, value: PchTranscoderConfig) -> int:
    return PchTranscoderConfig.of(value, state=value.enable)


@on_write(AnaloguePort.adpa, platforms=GEN8)
def analogue_port_written(device: RegisterDevice, offset: int, value: Adpa) -> int:
    """A look for a monitor is over at once, and finds none."""
    return Adpa.of(value, force_trigger=False)


def _train(device: RegisterDevice, receiver: FdiReceiver) -> None:
    """Let the receiver see what it would see by now."""
    control, masked = receiver.ctl, receiver.imr
    if not control.enable:
        return
    seen = FdiReceiverEvents(0)
    if control.pattern == FdiPattern.PATTERN_1:
        seen = FdiReceiverEvents.of(bit_lock=True)
    elif control.pattern == FdiPattern.PATTERN_2:
        seen = FdiReceiverEvents.of(symbol_lock=True)
    receiver.iir = FdiReceiverEvents(receiver.iir | seen & ~masked)
    port = DdiPortRegisters(device.registers, "PORT_E")
    if (
        receiver.base == FdiReceiver.bases["PIPE_A"]
        and control.auto_training
        and port.buf_ctl.enable
        and port.tp_ctl.enable
        and port.tp_ctl.fdi_autotrain
    ):
        port.tp_status = DisplayPortStatus.of(port.tp_status, autotrain_done=True)


@on_write(FdiReceiver.ctl)
def receiver_set(device: RegisterDevice, offset: int, value: FdiReceiverControl) -> int:
    device.registers.write32(offset, value)
    _train(device, FdiReceiver(device.registers, offset - FdiReceiver.ctl.offset))
    return value


@on_write(FdiReceiver.imr)
def receiver_masked(device: RegisterDevice, offset: int, value: FdiReceiverEvents) -> int:
    device.registers.write32(offset, value)
    _train(device, FdiReceiver(device.registers, offset - FdiReceiver.imr.offset))
    return value


@on_write(FdiReceiver.iir)
def receiver_acknowledged(device: RegisterDevice, offset: int, value: FdiReceiverEvents) -> int:
    return device.registers.read32(offset) & ~value


@on_read(PchUnnamed.constant_e651c)
def constant_e651c_read(device: RegisterDevice, offset: int) -> int:
    return PchUnnamed.constant_e651c.reset


@on_read(PchUnnamed.constant_e6c04)
def constant_e6c04_read(device: RegisterDevice, offset: int) -> int:
    return PchUnnamed.constant_e6c04.reset


@on_read(PchUnnamed.constant_e6e1c)
def constant_e6e1c_read(device: RegisterDevice, offset: int) -> int:
    return PchUnnamed.constant_e6e1c.reset
