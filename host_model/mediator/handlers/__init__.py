"""Registers that a mediator serves in its own way, one module per idea. Importing a module enters its handlers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...device.mmio.handling import GEN8, GEN9, HandlerSet

if TYPE_CHECKING:
    from ..vgpu import Vgpu

__all__ = ("GEN8", "GEN9", "MEDIATED", "on_read", "on_read_range", "on_write", "on_write_range")

MEDIATED: HandlerSet[Vgpu] = HandlerSet(__name__)
on_read = MEDIATED.on_read
on_read_range = MEDIATED.on_read_range
on_write = MEDIATED.on_write
on_write_range = MEDIATED.on_write_range
