"""The I2C controller and its bare pins, with nothing wired to them: every transfer ends in a NAK at once.

The controller is where it can stall a guest for seconds, so it is never busy: a command to a target that does not answer
leaves ready and NAK set and the bus free; the driver resets the controller and gives up after one more try. The bare pins,
which it tries next, read as the pull-ups leave them unless the guest itself pulls one low.

Source: linux:drivers/gpu/drm/i915/gvt/edid.c, linux:drivers/gpu/drm/i915/display/intel_gmbus.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pvinfo.registers.gmbus import Gmbus, GmbusCommand, GmbusCycle, GmbusPin, GmbusSelect, GmbusStatus, GpioPins

from . import on_read, on_write

if TYPE_CHECKING:
    from ..base import RegisterDevice

_READY: Final = GmbusStatus.of(hardware_ready=True)
_NO_ANSWER: Final = GmbusStatus.of(hardware_ready=True, nak=True)


def _settle(device: RegisterDevice, status: GmbusStatus) -> None:
    """Show ``status``; who uses the controller is not for it to say."""
    bus = Gmbus(device.registers)
    bus.gmbus2 = GmbusStatus.of(status, in_use=bus.gmbus2.in_use)


@on_write(Gmbus.gmbus0)
def pins_selected(device: RegisterDevice, offset: int, value: GmbusSelect) -> int:
    """Choosing pins asks nobody yet; letting go of them leaves the controller at rest."""
    _settle(device, _READY)
    return value


@on_write(Gmbus.gmbus1)
def command_written(device: RegisterDevice, offset: int, value: GmbusCommand) -> int:
    bus = Gmbus(device.registers)
    if value.clear_interrupt or bus.gmbus1.clear_interrupt:
        _settle(device, _READY)
        return GmbusCommand.of(value, software_ready=False)
    if value.software_ready and bus.gmbus0.pin != GmbusPin.NONE and value.cycle not in (GmbusCycle.NONE, GmbusCycle.STOP):
        _settle(device, _NO_ANSWER)
    return GmbusCommand.of(value, software_ready=False)


@on_read(Gmbus.gmbus2)
def status_read(device: RegisterDevice, offset: int) -> int:
    """Reading takes the controller into use: whoever finds it free has it."""
    bus = Gmbus(device.registers)
    status = bus.gmbus2
    bus.gmbus2 = GmbusStatus.of(status, in_use=True)
    return status


@on_write(Gmbus.gmbus2)
def status_written(device: RegisterDevice, offset: int, value: GmbusStatus) -> int:
    """Only the use of the controller can be written, to give it up."""
    status = Gmbus(device.registers).gmbus2
    return GmbusStatus.of(status, in_use=status.in_use and not value.in_use)


@on_write(Gmbus.gmbus3)
def data_written(device: RegisterDevice, offset: int, value: int) -> int:
    """There is nobody to take it."""
    return device.registers.read32(offset)


@on_write(Gmbus.gpio)
def pins_driven(device: RegisterDevice, offset: int, value: GpioPins) -> int:
    """Both lines are pulled high; driving one low is all that shows."""
    old = GpioPins(device.registers.read32(offset))
    clock_out = value.clock_direction_out if value.clock_direction_mask else old.clock_direction_out
    clock_level = value.clock_value_out if value.clock_value_mask else old.clock_value_out
    data_out = value.data_direction_out if value.data_direction_mask else old.data_direction_out
    data_level = value.data_value_out if value.data_value_mask else old.data_value_out
    return GpioPins.of(
        clock_direction_out=clock_out,
        clock_value_out=clock_level,
        clock_value_in=clock_level or not clock_out,
        clock_pullup_disable=value.clock_pullup_disable,
        data_direction_out=data_out,
        data_value_out=data_level,
        data_value_in=data_level or not data_out,
        data_pullup_disable=value.data_pullup_disable,
    )
