"""The host's memory as its own driver has it: the RAM of its machine, all of which its GPU may reach."""

from __future__ import annotations

from typing import final

from pvinfo.errors import UsageError
from pvinfo.units import PAGE_MASK, BusAddress, format_size

from ...gpu.config_image import STOLEN_BASE
from ...hypervisor.local import Ram
from ...memory import HostMemory

__all__ = ("HostRam",)


@final
class HostRam:
    """RAM whose bus addresses are the driver's own physical addresses; a :class:`~host_model.isolation.Pinned` of which all is pinned.

    Raises: UsageError for RAM that is no whole number of pages, or reaches into what firmware keeps for the GPU.
    """

    def __init__(self, size: int, memory: HostMemory) -> None:
        if not 0 < size <= STOLEN_BASE or size & PAGE_MASK:
            raise UsageError(f"{size} bytes of RAM for the host: whole pages, up to {format_size(STOLEN_BASE)}, where firmware's begin")
        self.ram = Ram(size)
        self._memory = memory
        memory.attach_ram(self.ram)

    def pins(self, address: BusAddress) -> int:
        return 1 if address < self.ram.size else 0

    def close(self) -> None:
        """The GPU finds nothing there any more."""
        self._memory.detach_ram()
