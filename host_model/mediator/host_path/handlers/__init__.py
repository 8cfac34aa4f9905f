"""Registers that the host's driver has of its own and that are served in their own way, one module per idea."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ....device.mmio.handling import HandlerSet

if TYPE_CHECKING:
    from ..device import HostDevice

__all__ = ("OF_HOST", "on_read", "on_write")

OF_HOST: HandlerSet[HostDevice] = HandlerSet(__name__)
on_read = OF_HOST.on_read
on_write = OF_HOST.on_write
