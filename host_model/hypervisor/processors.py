"""A virtual machine's processors, as far as an interrupt cares: which of them can take one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

__all__ = ("MSI_ADDRESS", "Processors", "message")

MSI_ADDRESS: Final = 0xFEE00000
"""Where a message goes that is an interrupt; bits 19:12 name the processor."""

_FIRST_VECTOR: Final = 0x20
"""Lower ones are the processor's own exceptions."""


def message(processor: int, vector: int) -> tuple[int, int]:
    """Address and data of the message that interrupts ``processor``."""
    return MSI_ADDRESS | processor << 12, vector


@final
class Processors:
    """``count`` processors that stand still while a device answers them.

    An interrupt goes to one that does not stand still, and waits for one where all do: the guest has it routed to any
    (lowest priority), and whoever waits for a device cannot take it.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._waiting = [False] * count
        self._handlers: dict[int, Callable[[], None]] = {}
        self._pending: list[int] = []

    def install(self, handler: Callable[[], None]) -> int:
        """The guest handles a vector; returns which."""
        vector = next(vector for vector in range(_FIRST_VECTOR, 256) if vector not in self._handlers)
        self._handlers[vector] = handler
        return vector

    def remove(self, vector: int) -> None:
        """The guest handles a vector no longer."""
        self._handlers.pop(vector, None)
        self._pending = [pending for pending in self._pending if pending != vector]

    def stop(self) -> int | None:
        """The processor that runs stops for a device's answer; None where all stand still already."""
        try:
            number = self._waiting.index(False)
        except ValueError:
            return None
        self._waiting[number] = True
        return number

    def resume(self, number: int) -> None:
        """A processor has its answer, and takes what interrupts wait for one."""
        self._waiting[number] = False
        while self._pending and not all(self._waiting):
            self._take(self._pending.pop(0))

    def interrupt(self, address: int, data: int) -> bool:
        """A message arrives; False where it is no interrupt that the guest handles."""
        vector = data & 0xFF
        if address >> 20 != MSI_ADDRESS >> 20 or vector not in self._handlers:
            return False
        if all(self._waiting):
            # A vector that is pending stays so: a local APIC has one bit for it.
            if vector not in self._pending:
                self._pending.append(vector)
        else:
            self._take(vector)
        return True

    def _take(self, vector: int) -> None:
        handler = self._handlers.get(vector)
        if handler is not None:
            handler()
