"""What registers show of a plugged-in monitor: that the port exists, that something is there now, and that this has changed.

Whether something is there shows the state register of the interrupt group in which the port's hot-plug event stands. A change
is latched as a long pulse and told by an interrupt, if software has the port watched.

Source: linux:drivers/gpu/drm/i915/gvt/display.c (intel_vgpu_emulate_hotplug), linux:drivers/gpu/drm/i915/display/intel_hotplug_irq.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, final

from pvinfo.bits import Flag
from pvinfo.connector import Port, connectors_of
from pvinfo.platform import Platform
from pvinfo.registers.clock import DisplayFuses, SouthFuseStrap
from pvinfo.registers.ddi import DdiBufferControl, DdiPortRegisters
from pvinfo.registers.hotplug import DigitalPortHotplug, Hotplug, HotplugPulse, PchHotplug
from pvinfo.registers.interrupt import InterruptGroup

from ..interrupts import Event, event_places

if TYPE_CHECKING:
    from ..base import RegisterDevice

__all__ = ("Presence",)


class _Watch(NamedTuple):
    """Where a port is watched."""

    register: int
    enable: int
    long_pulse: int


def _watch(register: int, enable: Flag, pulse_mask: int) -> _Watch:
    return _Watch(register, enable.mask, HotplugPulse.LONG * (pulse_mask & -pulse_mask))


_PCH: Final = Hotplug.pch.at()
_WATCHES: Final = {
    Port.A: _watch(_PCH, PchHotplug.port_a_enable, PchHotplug.port_a.mask),
    Port.B: _watch(_PCH, PchHotplug.port_b_enable, PchHotplug.port_b.mask),
    Port.C: _watch(_PCH, PchHotplug.port_c_enable, PchHotplug.port_c.mask),
    Port.D: _watch(_PCH, PchHotplug.port_d_enable, PchHotplug.port_d.mask),
}
_GEN8_PORT_A: Final = _watch(Hotplug.digital_port.at(), DigitalPortHotplug.port_a_enable, DigitalPortHotplug.port_a.mask)
_EVENTS: Final = {Port.A: Event.HOTPLUG_A, Port.B: Event.HOTPLUG_B, Port.C: Event.HOTPLUG_C, Port.D: Event.HOTPLUG_D}
_STRAPS: Final = {
    Port.B: SouthFuseStrap.ddi_b_detected.mask,
    Port.C: SouthFuseStrap.ddi_c_detected.mask,
    Port.D: SouthFuseStrap.ddi_d_detected.mask,
}


class _Place(NamedTuple):
    """All that concerns one port."""

    event: Event
    state_register: int
    state: int
    watch: _Watch


def _places(platform: Platform) -> dict[Port, _Place]:
    places = event_places(platform)
    found = {}
    for port in dict.fromkeys(connector.port for connector in connectors_of(platform)):
        event = _EVENTS[port]
        watch = _GEN8_PORT_A if platform.graphics_version == 8 and port is Port.A else _WATCHES[port]
        found[port] = _Place(event, InterruptGroup.isr.at(places[event].group), 1 << places[event].bit, watch)
    return found


@final
class Presence:
    """What the registers of one device show of the monitor at each port."""

    def __init__(self, device: RegisterDevice) -> None:
        self._device = device
        self._places = _places(device.platform)
        self.wired: set[Port] = set()
        """Ports that the board has, because something was plugged in there."""

    def show(self, port: Port | None) -> None:
        """Let state registers and straps say that a monitor is at ``port`` and nowhere else, without an event."""
        registers = self._device.registers
        for other, place in self._places.items():
            old = registers.read32(place.state_register)
            registers.write32(place.state_register, old | place.state if other is port else old & ~place.state)
        if port is not None:
            self.wired.add(port)
        for wired in self.wired:
            self._wire(wired)

    def _wire(self, port: Port) -> None:
        """The board has this port: it stays when the monitor goes."""
        registers = self._device.registers
        if port in _STRAPS:
            straps = DisplayFuses.sfuse_strap.at()
            registers.write32(straps, registers.read32(straps) | _STRAPS[port])
        elif self._device.platform.graphics_version == 8:
            output = DdiPortRegisters(registers, "PORT_A")
            output.buf_ctl = DdiBufferControl.of(output.buf_ctl, detected=True)

    def tell(self, port: Port) -> None:
        """Something was plugged into or out of ``port``: tell software, if it has the port watched."""
        registers = self._device.registers
        place = self._places[port]
        watched = registers.read32(place.watch.register)
        if watched & place.watch.enable:
            registers.write32(place.watch.register, watched | place.watch.long_pulse)
            self._device.interrupts.raise_event(place.event)
