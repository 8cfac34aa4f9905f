"""Registers that a mediator serves alike for all its clients: vGPUs, the host's own driver, and partitions. Importing a module enters its handlers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...device.mmio.handling import HandlerSet

if TYPE_CHECKING:
    from ..client import Client

__all__ = ("CLIENT", "on_read", "on_read_range", "on_write", "on_write_range")

CLIENT: HandlerSet[Client] = HandlerSet(__name__)
on_read = CLIENT.on_read
on_read_range = CLIENT.on_read_range
on_write = CLIENT.on_write
on_write_range = CLIENT.on_write_range
