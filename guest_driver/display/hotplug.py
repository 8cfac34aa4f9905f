"""Hot plug: hearing that something was plugged in or out, and looking again some time later.

Source: linux:drivers/gpu/drm/i915/display/intel_hotplug_irq.c, linux:drivers/gpu/drm/i915/display/intel_hotplug.c
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, final

from pvinfo.connector import Port
from pvinfo.registers import Hotplug, HotplugPulse, PchHotplug

from ..interrupts import Interrupts
from ..uncore import Uncore
from .output import hotplug_bits

__all__ = ("HotplugWatch",)

_FILTER_500_US: Final = 0x1D9


@final
class HotplugWatch:
    """Watches ports. ``notice`` is told of each that something was plugged into or out of; of short pulses nobody is."""

    def __init__(self, uncore: Uncore, interrupts: Interrupts, ports: Iterable[Port], notice: Callable[[Port], None]) -> None:
        self._uncore = uncore
        self._interrupts = interrupts
        self._notice = notice
        self._bits: dict[str, dict[int, Port]] = {}
        for port in ports:
            group, bit = hotplug_bits(uncore.platform, port)
            self._bits.setdefault(group, {})[bit] = port

    def start(self) -> None:
        """Listen, unmask and enable, in that order (``intel_hpd_irq_setup``)."""
        for group, ports in self._bits.items():
            self._interrupts.listen_to_display(group, lambda events, group=group: self._heard(group, events))  # type: ignore[misc]
            if group == "SDE" and self._uncore.platform.name == "cfl":
                self._uncore.write(Hotplug.filter_count, _FILTER_500_US)
            self._interrupts.mask_group(group, sum(ports), masked=False)
        self._enable(True)

    def stop(self) -> None:
        """Hear no more."""
        self._enable(False)
        for group, ports in self._bits.items():
            self._interrupts.mask_group(group, sum(ports), masked=True)
            self._interrupts.listen_to_display(group, None)

    def _enable(self, on: bool) -> None:
        enables = 0
        for ports in self._bits.values():
            for port in ports.values():
                enables |= getattr(PchHotplug, f"port_{port.value.lower()}_enable").mask
        if enables:
            self._uncore.modify(Hotplug.pch, enables, enables if on else 0)

    def _heard(self, group: str, events: int) -> None:
        """What kind of pulse it was is in a register that is cleared by writing back what it holds (``spt_irq_handler``)."""
        ports = [port for bit, port in self._bits[group].items() if events & bit]
        if not ports:
            return
        pulses = PchHotplug(self._uncore.read(Hotplug.pch))
        self._uncore.write(Hotplug.pch, pulses)
        for port in ports:
            pulse: int = getattr(pulses, f"port_{port.value.lower()}")
            if pulse & HotplugPulse.LONG:
                self._notice(port)
            else:
                self._uncore.log.debug("short-pulse", f"the monitor at port {port.value} wants to be asked")
