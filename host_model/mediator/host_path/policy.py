"""What happens to each register that the host's driver has of its own."""

from __future__ import annotations

from functools import cache

import pvinfo.registers  # declares every block
from pvinfo.register import declared_blocks

from ...device.handlers import SHARED
from ...device.mmio.handling import Handlers, handlers_of
from ...device.mmio.policy import MmioPolicy, build_policy
from ..client_handlers import CLIENT
from ..unshadowed.handlers import UNSHADOWED
from .handlers import OF_HOST

__all__ = ("policy_for",)

assert pvinfo.registers.__name__


@cache
def policy_for(platform: str) -> MmioPolicy:
    """The tables for the platform called ``platform``. Where the host's device has a handler of its own, it stands before the one
    that every device has; a declared register without a handler is modelled by being stored."""
    common, own = handlers_of(platform, SHARED, CLIENT), handlers_of(platform, UNSHADOWED, OF_HOST)
    handlers = Handlers(
        {**common.reads, **own.reads}, {**common.writes, **own.writes}, common.zero_filled | own.zero_filled, common.whole - own.writes.keys() | own.whole
    )
    declared = [offset for block in declared_blocks() for register in block.registers for offset in register.offsets()]
    return build_policy(platform, handlers, known=declared)
