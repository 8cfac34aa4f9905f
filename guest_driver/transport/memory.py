"""Guest RAM that another process can map."""

from __future__ import annotations

import fcntl
import mmap
import os
from typing import final

from pvinfo.errors import UsageError
from pvinfo.system_limits import naming_what_ran_out
from pvinfo.units import PAGE_SIZE, GuestAddress, format_range

__all__ = ("SharedRam",)


@final
class SharedRam:
    """RAM from address 0, in an anonymous file of this process; a :class:`~pvinfo.bus.GuestMemory`.

    Raises: UsageError for a size that is no positive number of pages; ResourceExhausted when the system has no memory for it.
    """

    def __init__(self, size: int) -> None:
        if size <= 0 or size % PAGE_SIZE:
            raise UsageError(f"{size} bytes of RAM: it is a positive number of {PAGE_SIZE}-byte pages")
        self.size = size
        with naming_what_ran_out(size):
            self.fd = os.memfd_create("guest-ram", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            try:
                os.ftruncate(self.fd, size)
                # Whoever maps it need not fear that it shrinks.
                fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
                self._memory = mmap.mmap(self.fd, size)
            except BaseException:
                os.close(self.fd)
                raise

    def _check(self, address: int, size: int) -> None:
        if address < 0 or size < 0 or address + size > self.size:
            raise IndexError(f"{size} bytes at {address:#x}: RAM is {format_range(0, self.size)}")

    def read(self, address: GuestAddress, size: int) -> bytes:
        self._check(address, size)
        return self._memory[address : address + size]

    def write(self, address: GuestAddress, data: bytes | bytearray | memoryview) -> None:
        self._check(address, len(data))
        self._memory[address : address + len(data)] = bytes(data)

    def close(self) -> None:
        """Let the memory go; who has mapped it keeps it."""
        self._memory.close()
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
