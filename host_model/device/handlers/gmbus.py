"""The I2C controller and its bare pins. An HDMI monitor answers at its port's pins; everywhere else a transfer ends in a NAK at once.

The controller is where it can stall a guest for seconds, so it never makes one wait: after a command, bytes are there, or the
target has not answered and the bus is free; the driver then resets the controller and gives up after one more try. The bare pins,
which it tries next, read as the pull-ups leave them unless the guest itself pulls one low: nobody answers there, as whoever can
has answered the controller.

Source: linux:drivers/gpu/drm/i915/gvt/edid.c, linux:drivers/gpu/drm/i915/display/intel_gmbus.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pvinfo.connector import Port
from pvinfo.platform import Platform
from pvinfo.registers.gmbus import Gmbus, GmbusCommand, GmbusCycle, GmbusInterruptEnable, GmbusPin, GmbusSelect, GmbusStatus, GpioPins

from ..interrupts import Event
from . import on_read, on_write

if TYPE_CHECKING:
    from ..base import RegisterDevice
    from ..display.ddc import EdidMemory

_READY: Final = GmbusStatus.of(hardware_ready=True)
_NO_ANSWER: Final = GmbusStatus.of(hardware_ready=True, nak=True)
_LONGEST_COUNT: Final = GmbusStatus.byte_count.mask
_OVERRIDE: Final = 256
"""What the override of the byte count adds to it."""

_PINS: Final = {int(GmbusPin.PORT_B): Port.B, int(GmbusPin.PORT_C): Port.C, int(GmbusPin.PORT_D): Port.D}
_LATER_PINS: Final = {"bxt": {1: Port.B, 2: Port.C}, "cfl": {1: Port.B, 2: Port.C, 4: Port.D}}
"""Where pins are counted anew: Broxton, and Cannon Point hubs. Source: linux:drivers/gpu/drm/i915/display/intel_hdmi.c (intel_hdmi_default_ddc_pin)"""


def _port(platform: Platform, pin: int) -> Port | None:
    return _LATER_PINS.get(platform.name, _PINS).get(pin)


def _target(device: RegisterDevice) -> EdidMemory | None:
    """Who is at the chosen pins."""
    port = _port(device.platform, Gmbus(device.registers).gmbus0.pin)
    return device.display.memory_at(port) if port is not None else None


def _settle(device: RegisterDevice, status: GmbusStatus) -> None:
    """Show ``status``, and interrupt for it if that is wanted; who uses the controller is not for it to say."""
    bus = Gmbus(device.registers)
    before = bus.gmbus2
    bus.gmbus2 = GmbusStatus.of(status, in_use=before.in_use)
    _interrupt(device, went_idle=before.active and not status.active)


def _interrupt(device: RegisterDevice, *, went_idle: bool = False) -> None:
    """Interrupt if something is as it was waited for."""
    bus = Gmbus(device.registers)
    status = bus.gmbus2
    wanted = bus.gmbus4 & GmbusInterruptEnable.of(
        hardware_ready=status.active and status.hardware_ready, wait_phase=status.wait_phase, idle=went_idle, nak=status.nak
    )
    if wanted:
        bus.gmbus2 = GmbusStatus.of(status, interrupt=True)
        device.interrupts.raise_event(Event.GMBUS)


def _show_transfer(device: RegisterDevice) -> None:
    transfer = device.display.transfer
    if not transfer.active:
        _settle(device, _READY)
        return
    over = not transfer.left
    count = min(transfer.left, _LONGEST_COUNT)
    _settle(device, GmbusStatus.of(hardware_ready=True, active=True, byte_count=count, wait_phase=over and transfer.waits))


def _begin(device: RegisterDevice, command: GmbusCommand) -> None:
    bus = Gmbus(device.registers)
    target = _target(device)
    wide = bus.gmbus5
    index = b""
    if wide.enable:
        index = wide.index.to_bytes(2, "big")
    elif command.cycle & GmbusCycle.INDEX:
        index = bytes((command.index,))
    count = command.byte_count
    if bus.gmbus0.byte_count_override and device.platform.graphics_version >= 9:
        count += _OVERRIDE
    transfer = device.display.transfer
    if target is None:
        transfer.stop()
    answered = target is not None and transfer.begin(
        target, command.address, index, count,
        reading=command.read, stops=bool(command.cycle & GmbusCycle.STOP), waits=bool(command.cycle & GmbusCycle.WAIT),
    )  # fmt: skip
    if not answered:
        _settle(device, _NO_ANSWER)
        return
    if not command.read:
        transfer.write(bus.gmbus3)
    _show_transfer(device)


@on_write(Gmbus.gmbus0)
def pins_selected(device: RegisterDevice, offset: int, value: GmbusSelect) -> int:
    """Choosing pins asks nobody yet; letting go of them leaves the controller at rest. The rest may change in the middle of a transfer."""
    if device.display.transfer.active and value.pin == Gmbus(device.registers).gmbus0.pin:
        return value
    device.registers.write32(offset, value)
    device.display.transfer.stop()
    _settle(device, _READY)
    return device.registers.read32(offset)


@on_write(Gmbus.gmbus1)
def command_written(device: RegisterDevice, offset: int, value: GmbusCommand) -> int:
    bus = Gmbus(device.registers)
    reset = value.clear_interrupt or bus.gmbus1.clear_interrupt
    bus.gmbus1 = GmbusCommand.of(value, software_ready=False)
    if reset:
        device.display.transfer.stop()
        _settle(device, _READY)
    elif value.software_ready and bus.gmbus0.pin != GmbusPin.NONE:
        if value.cycle == GmbusCycle.STOP:
            if device.display.transfer.active:
                device.display.transfer.stop()
                _settle(device, _READY)
        elif value.cycle != GmbusCycle.NONE:
            _begin(device, value)
    return bus.gmbus1


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


@on_read(Gmbus.gmbus3)
def data_read(device: RegisterDevice, offset: int) -> int:
    """The next bytes; what was there last, when there are none."""
    transfer = device.display.transfer
    if transfer.active and transfer.reading and transfer.left:
        device.registers.write32(offset, transfer.read())
        value = device.registers.read32(offset)
        _show_transfer(device)
        return value
    return device.registers.read32(offset)


@on_write(Gmbus.gmbus3)
def data_written(device: RegisterDevice, offset: int, value: int) -> int:
    """The first bytes are written before their command, the others while it is carried out."""
    device.registers.write32(offset, value)
    transfer = device.display.transfer
    if transfer.active and not transfer.reading and transfer.left:
        transfer.write(value)
        _show_transfer(device)
    return device.registers.read32(offset)


@on_write(Gmbus.gmbus4)
def interrupts_chosen(device: RegisterDevice, offset: int, value: GmbusInterruptEnable) -> int:
    """What is so already interrupts at once; only the bus must become idle anew."""
    device.registers.write32(offset, value)
    _interrupt(device)
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
