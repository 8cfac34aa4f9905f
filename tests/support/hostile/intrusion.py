"""Commands that reach by way of the global table, and are legal in rings and privileged batches: nothing but its address keeps any of them back."""

from __future__ import annotations

import random

from pvinfo.platform import Engine

__all__ = ("WAYS", "global_command")

WAYS = 4


def global_command(way: int, rng: random.Random, engine: Engine, address: int) -> list[int]:
    """One that writes at graphics address ``address``, in one of :data:`WAYS`."""
    value, quadword = rng.getrandbits(32), address & ~7
    if way == 0:
        return [0x10400002, address & ~3, 0, value]
    if way == 1:
        return [0x10600003, quadword, 0, value, value]
    if way == 2:
        return [0x17C00501, address & ~3, 0]
    return [0x7A000004, 0x0110_4000, quadword, 0, value, value] if engine is Engine.RCS0 else [0x13004003, quadword | 4, 0, value, value]
