"""What happens to each register of the physical GPU."""

from __future__ import annotations

from functools import cache

import pvinfo.registers  # declares every block
from pvinfo.register import declared_blocks

from ..device.handlers import SHARED
from ..device.mmio.handling import handlers_of
from ..device.mmio.policy import MmioPolicy, build_policy
from .handlers import PHYSICAL

__all__ = ("policy_for",)

assert pvinfo.registers.__name__


@cache
def policy_for(platform: str) -> MmioPolicy:
    """The tables of the GPU called ``platform``: a declared register without a handler is modelled by being stored."""
    declared = [offset for block in declared_blocks() for register in block.registers for offset in register.offsets()]
    return build_policy(platform, handlers_of(platform, SHARED, PHYSICAL), known=declared)
