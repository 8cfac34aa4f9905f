"""Registers of the platform controller hub behind the side-band interface: a device's own, as it wrote them."""

from __future__ import annotations

from typing import Final, final

__all__ = ("SidebandRegisters",)

_LIMIT: Final = 256
"""Registers kept; a driver of the display writes about ten."""


@final
class SidebandRegisters:
    """What has been written, by unit of the hub and register number; everything else reads 0."""

    def __init__(self) -> None:
        self._values: dict[tuple[int, int], int] = {}

    def read(self, destination: int, register: int) -> int:
        """The value last written."""
        return self._values.get((destination, register), 0)

    def write(self, destination: int, register: int, value: int) -> None:
        """Keep ``value``, unless a hostile guest has filled the store."""
        if (destination, register) in self._values or len(self._values) < _LIMIT:
            self._values[destination, register] = value

    @property
    def values(self) -> dict[tuple[int, int], int]:
        """All that was written."""
        return dict(self._values)

    def clear(self) -> None:
        """As at power-on."""
        self._values.clear()
