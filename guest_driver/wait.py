"""Waiting for a register: reads it, lets the machine's time pass, reads again. Nothing ever sleeps by itself."""

from __future__ import annotations

from typing import Final, TypeVar

from pvinfo.bus import Clock
from pvinfo.errors import WaitTimeout
from pvinfo.register import Register, RegisterBus

__all__ = ("wait_for",)

V = TypeVar("V", bound=int)

_FIRST_PAUSE_NS: Final = 1_000
_LONGEST_PAUSE_NS: Final = 1_000_000


def wait_for(
    bus: RegisterBus, clock: Clock, register: Register[V], base: str, mask: int, value: int, timeout_ns: int
) -> V:
    """Read ``register`` (of the block instance ``base``) until its bits ``mask`` equal ``value``; return what was read last.

    The register is read once at the start and once after the last pause, so that a device that answers at once
    costs one access. Pauses begin at 1 us and double up to 1 ms.

    Raises: WaitTimeout when ``timeout_ns`` have passed and the bits still differ.
    """
    offset = register.at(base)
    deadline = clock.now_ns() + timeout_ns
    pause = _FIRST_PAUSE_NS
    while True:
        read = bus.read32(offset)
        if read & mask == value:
            return register.value_type(read)
        left = deadline - clock.now_ns()
        if left <= 0:
            place = f"{register.title} of {base} at {offset:#x}" if base else f"{register.title} at {offset:#x}"
            raise WaitTimeout(f"{place}, bits {mask:#x}", read & mask, value, timeout_ns)
        clock.wait_ns(min(pause, left))
        pause = min(2 * pause, _LONGEST_PAUSE_NS)
