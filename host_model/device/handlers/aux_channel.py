"""AUX channels: a message is answered at once, or times out at once where no DisplayPort monitor is; the channel is never left busy.

Where this differs from the kernel's mediator, on purpose: a write that sends nothing acknowledges the bits it sets, as on
hardware (the kernel clears the whole register).

Source: linux:drivers/gpu/drm/i915/gvt/handlers.c (dp_aux_ch_ctl_mmio_write), linux:drivers/gpu/drm/i915/display/intel_dp_aux.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from pvinfo.connector import Port
from pvinfo.registers.aux_channel import AuxChannel, AuxControl, PchAuxChannel

from ..interrupts import Event
from . import GEN8, GEN9, on_write, on_write_range

if TYPE_CHECKING:
    from ..base import RegisterDevice


class _Channel(NamedTuple):
    port: Port
    event: Event
    data: int
    """First of its data registers."""


_CHANNELS: Final = {"AUX_A": (Port.A, Event.AUX_A), "AUX_B": (Port.B, Event.AUX_B), "AUX_C": (Port.C, Event.AUX_C), "AUX_D": (Port.D, Event.AUX_D)}
_CHANNEL_AT: Final = {
    block.control.at(name): _Channel(*_CHANNELS[name], block.data.at(name)) for block in (AuxChannel, PchAuxChannel) for name in block.bases
}
_ACKNOWLEDGED: Final = AuxControl.done.mask | AuxControl.timeout_error.mask | AuxControl.receive_error.mask
_DATA_DWORDS: Final = AuxChannel.data.count
_LONGEST: Final = 4 * _DATA_DWORDS


def _exchange(device: RegisterDevice, channel: _Channel, size: int) -> int:
    """Send ``size`` bytes of the data registers; the answer comes into them. Its length; 0 when nobody answers."""
    sink = device.display.sink_at(channel.port)
    if sink is None or size > _LONGEST:
        return 0
    registers = device.registers
    places = range(channel.data, channel.data + _LONGEST, 4)
    message = b"".join(registers.read32(place).to_bytes(4, "big") for place in places)[:size]
    reply = sink.answer(message)
    padded = reply.ljust(_LONGEST, b"\0")
    for number in range((len(reply) + 3) // 4):
        registers.write32(places[number], int.from_bytes(padded[4 * number : 4 * number + 4], "big"))
    return len(reply)


def control_written(device: RegisterDevice, offset: int, value: int) -> int:
    control = AuxControl(value)
    if not control.busy:
        latched = device.registers.read32(offset) & _ACKNOWLEDGED
        return control & ~_ACKNOWLEDGED | latched & ~control
    channel = _CHANNEL_AT[offset]
    size = _exchange(device, channel, control.message_size)
    over = AuxControl.of(control, busy=False, done=True, timeout_error=not size, receive_error=False)
    device.registers.write32(offset, AuxControl.of(over, message_size=size) if size else over)
    if control.interrupt:
        device.interrupts.raise_event(channel.event)
    return device.registers.read32(offset)


on_write(AuxChannel.control, platforms=GEN9)(control_written)
on_write_range((AuxChannel.control.at("AUX_A"),), platforms=GEN8)(control_written)
on_write(PchAuxChannel.control, platforms=GEN8)(control_written)
