"""Registers that hardware and mediator serve alike, one module per idea. Importing a module enters its handlers."""

from __future__ import annotations

from ..base import RegisterDevice
from ..mmio.handling import GEN8, GEN9, HandlerSet

__all__ = ("GEN8", "GEN9", "SHARED", "on_read", "on_read_range", "on_write", "on_write_range")

SHARED: HandlerSet[RegisterDevice] = HandlerSet(__name__)
on_read = SHARED.on_read
on_read_range = SHARED.on_read_range
on_write = SHARED.on_write
on_write_range = SHARED.on_write_range
