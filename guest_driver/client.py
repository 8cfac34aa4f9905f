"""Clients: whoever has the driver's device node open. Each has an address space of its own.

Source: linux:drivers/gpu/drm/i915/gem/i915_gem_context.c
"""

from __future__ import annotations

from types import TracebackType
from typing import final

from pvinfo.errors import StateError

from .gt import Gt
from .ppgtt import Ppgtt

__all__ = ("Client",)


@final
class Client:
    """One open device node. A context manager: leaving it closes the client."""

    def __init__(self, gt: Gt, name: str, open_clients: list[Client]) -> None:
        """Open it and enter it in ``open_clients``; the host hears of its address space (``i915_gem_context_open``).

        Raises: DriverError when memory is used up.
        """
        self.name = name
        self._open_clients = open_clients
        self.vm: Ppgtt = gt.create_vm(f"client {name}")
        open_clients.append(self)

    @property
    def is_open(self) -> bool:
        """False once it was closed."""
        return self.vm.alive

    def close(self) -> None:
        """Close it; the host hears that its address space is going. Raises: StateError the second time."""
        if not self.is_open:
            raise StateError(f"close client {self.name}", "closed", "open")
        self._open_clients.remove(self)
        self.vm.release()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.is_open:
            self.close()
