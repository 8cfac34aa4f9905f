"""What an open device needs of its way to memory."""

from __future__ import annotations

from typing import Protocol

from .dma.access import Access

__all__ = ("DeviceMemory",)


class DeviceMemory(Protocol):
    """A device's memory: none before it is bound, and none after it was closed."""

    def connect(self, access: Access) -> None:
        """Use ``access``, whose callback is :meth:`unmapped`. Raises: StateError when there is one."""

    def disconnect(self) -> None:
        """Every pin is let go; there is no memory any more."""

    def unmapped(self, iova: int, size: int) -> None:
        """A range is taken back: its pages are let go now."""
