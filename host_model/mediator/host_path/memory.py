"""The host's memory as its own driver has it: the RAM of its machine, all of which its GPU may reach.

It ends where the memory begins that firmware keeps for the GPU.
"""

from __future__ import annotations

import errno
from typing import Final, Protocol, final

from pvinfo.errors import PeerError, UsageError
from pvinfo.units import PAGE_MASK, BusAddress, format_range, format_size
from pvinfo.vfio_user import DmaMap

from ...gpu.config_image import STOLEN_BASE
from ...hypervisor.local import Ram
from ...hypervisor.vfio_user import MonitoredRam
from ...isolation import Pinned
from ...memory import HostMemory

__all__ = ("HOST_RAM_END", "HostPort", "HostRam", "SharedHostRam")

HOST_RAM_END: Final = STOLEN_BASE
"""Where RAM of the host's own machine ends at the latest."""


class HostPort(Pinned, Protocol):
    """The way to the RAM of the host's own machine."""

    def close(self) -> None:
        """The GPU finds nothing there any more."""


@final
class HostRam:
    """RAM of this process whose bus addresses are the driver's own physical addresses; a :class:`HostPort` of which all is pinned.

    Raises: UsageError for RAM that is no whole number of pages, or reaches into what firmware keeps for the GPU.
    """

    def __init__(self, size: int, memory: HostMemory) -> None:
        if not 0 < size <= HOST_RAM_END or size & PAGE_MASK:
            raise UsageError(f"{size} bytes of RAM for the host: whole pages, up to {format_size(HOST_RAM_END)}, where firmware's begin")
        self.ram = Ram(size)
        self._memory = memory
        memory.attach_ram(self.ram)

    def pins(self, address: BusAddress) -> int:
        return 1 if address < self.ram.size else 0

    def close(self) -> None:
        self._memory.detach_ram()


@final
class SharedHostRam(MonitoredRam):
    """RAM that the monitor of a machine in another process shares, likewise; a :class:`HostPort`. ``close`` is the last."""

    def __init__(self, memory: HostMemory) -> None:
        super().__init__()
        self.ram.on_revoke = memory.revoke
        self._memory = memory
        memory.attach_ram(self.ram)

    def map(self, request: DmaMap, fd: int | None) -> None:
        """See :meth:`~host_model.hypervisor.guest_ram.GuestRam.map`; RAM that reaches too far is refused as well."""
        end = request.address + request.size
        if fd is not None and request.flags.writable and end > HOST_RAM_END:
            raise PeerError(
                errno.EINVAL, f"DMA_MAP of {format_range(request.address, end)}: RAM of the host's own machine ends at {HOST_RAM_END:#x}, where firmware's begins"
            )
        super().map(request, fd)

    def pins(self, address: BusAddress) -> int:
        """All there can be, be there something or not."""
        return 1 if address < HOST_RAM_END else 0

    def close(self) -> None:
        self.disconnect()
        self._memory.detach_ram()
