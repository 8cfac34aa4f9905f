"""Registers that clients without a shadow have in common, one module per idea. Importing a module enters its handlers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ....device.mmio.handling import HandlerSet

if TYPE_CHECKING:
    from ...client import Client

__all__ = ("UNSHADOWED", "on_write", "on_write_range")

UNSHADOWED: HandlerSet[Client] = HandlerSet(__name__)
on_write = UNSHADOWED.on_write
on_write_range = UNSHADOWED.on_write_range
