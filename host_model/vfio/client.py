"""A VFIO device as the PCI device that its user's driver drives: a vGPU without a virtual machine, in one process."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from pvinfo.bus import Region
from pvinfo.vfio_user import IrqIndex, RegionIndex

from .device import VfioDevice

__all__ = ("VfioPciDevice",)


class _DeviceRegion:
    """A region, every access through the device's interface."""

    def __init__(self, device: VfioDevice, number: int, size: int) -> None:
        self._device = device
        self._number = number
        self.size = size

    def read(self, offset: int, size: int) -> int:
        return int.from_bytes(self._device.read(self._number, offset, size), "little")

    def write(self, offset: int, size: int, value: int) -> None:
        self._device.write(self._number, offset, (value & (1 << 8 * size) - 1).to_bytes(size, "little"))

    def read32(self, offset: int, /) -> int:
        return self.read(offset, 4)

    def write32(self, offset: int, value: int, /) -> None:
        self.write(offset, 4, value)


@final
class VfioPciDevice:
    """A :class:`~pvinfo.bus.PciDevice` by the interface of a bound device. Raises: StateError when the device is not bound."""

    def __init__(self, device: VfioDevice) -> None:
        self._device = device
        self.config = _DeviceRegion(device, RegionIndex.CONFIG, device.region(RegionIndex.CONFIG).size)
        """Configuration space."""
        sizes = {number: device.region(number).size for number in range(RegionIndex.BAR0, RegionIndex.BAR5 + 1)}
        self._bars = {number: _DeviceRegion(device, number, size) for number, size in sizes.items() if size}

    def bar(self, index: int) -> Region | None:
        return self._bars.get(index)

    def reset(self) -> None:
        """See :class:`~pvinfo.bus.PciDevice`."""
        self._device.reset()

    def on_interrupt(self, handler: Callable[[], None] | None) -> None:
        """See :class:`~pvinfo.bus.PciDevice`: messages, not the pin."""
        self._device.connect_irq(IrqIndex.MSI, [handler] if handler is not None else [])
