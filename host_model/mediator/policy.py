"""What happens to each register that a guest accesses."""

from __future__ import annotations

from functools import cache

from ..device.handlers import SHARED
from ..device.mmio.handling import Handlers, handlers_of
from ..device.mmio.policy import MmioPolicy, build_policy
from .client_handlers import CLIENT
from .handlers import MEDIATED

__all__ = ("handlers_for", "policy_for")


def handlers_for(platform: str) -> Handlers:
    """The handlers of a vGPU on the platform called ``platform``."""
    return handlers_of(platform, SHARED, CLIENT, MEDIATED)


@cache
def policy_for(platform: str) -> MmioPolicy:
    """The tables of a vGPU on the platform called ``platform``."""
    return build_policy(platform, handlers_for(platform))
