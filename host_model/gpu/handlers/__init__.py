"""Registers that only the hardware serves in its own way, one module per idea. Importing a module enters its handlers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...device.mmio.handling import GEN8, GEN9, HandlerSet

if TYPE_CHECKING:
    from ..device import PhysicalGpu

__all__ = ("GEN8", "GEN9", "PHYSICAL", "on_read", "on_read_range", "on_write", "on_write_range")

PHYSICAL: HandlerSet[PhysicalGpu] = HandlerSet(__name__)
on_read = PHYSICAL.on_read
on_read_range = PHYSICAL.on_read_range
on_write = PHYSICAL.on_write
on_write_range = PHYSICAL.on_write_range
