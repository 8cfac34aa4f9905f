"""What happens to each register that a partition has."""

from __future__ import annotations

from functools import cache

from ....device.handlers import SHARED
from ....device.mmio.handling import handlers_of
from ....device.mmio.policy import MmioPolicy, build_policy
from ....mediator.client_handlers import CLIENT
from ....mediator.unshadowed.handlers import UNSHADOWED

__all__ = ("policy_for",)


@cache
def policy_for(platform: str) -> MmioPolicy:
    """The tables for the platform called ``platform``."""
    return build_policy(platform, handlers_of(platform, SHARED, CLIENT, UNSHADOWED))
