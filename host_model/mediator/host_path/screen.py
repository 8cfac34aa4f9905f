"""What the host shows: the physical display, whoever's turn it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from ...gpu.display_memory import HardwareDisplayMemory
from ...scanout.memory import ForeignMemory, HeldPages

if TYPE_CHECKING:
    from .device import HostDevice

__all__ = ("HostScreen",)


@final
class _HostDisplayMemory:
    """The host's part of graphics memory; a :class:`~host_model.scanout.memory.DisplayMemory`."""

    def __init__(self, device: HostDevice) -> None:
        self._device = device
        self._hardware = HardwareDisplayMemory(device.gpu)

    def _check(self, address: int, size: int) -> None:
        if not self._device.ggtt.owns(address, size):
            raise ForeignMemory(address, size, self._device.resources.owned)

    def spans(self, address: int, size: int, *, write: bool = False) -> list[memoryview]:
        self._check(address, size)
        with self._device.mediator.guard.on_behalf_of(self._device.number):
            return self._hardware.spans(address, size, write=write)

    def hold(self, address: int, size: int) -> HeldPages:
        self._check(address, size)
        return _HeldPages(self._device, self._hardware.hold(address, size))


@final
class _HeldPages:
    """Nothing keeps the driver from using its memory for something else, as on hardware."""

    def __init__(self, device: HostDevice, pages: HeldPages) -> None:
        self._device = device
        self._pages = pages
        self.bus_addresses = pages.bus_addresses

    def views(self) -> list[memoryview] | None:
        with self._device.mediator.guard.on_behalf_of(self._device.number):
            return self._pages.views()

    def release(self) -> None:
        self._pages.release()


@final
class HostScreen:
    """The host's screen, to be scanned out; a :class:`~host_model.scanout.planes.ScannedDevice`."""

    def __init__(self, device: HostDevice) -> None:
        self.clock = device.clock
        self.platform = device.platform
        self.registers = device.gpu.registers
        self.findings = device.findings
        self.display = device.gpu.display
        self.display_memory = _HostDisplayMemory(device)
