"""A message-signalled interrupt that is a call, for ports between which and the guest there is nothing to signal."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ("CalledMsi",)


class CalledMsi:
    """The part of a port that interrupts the guest."""

    _msi_handler: Callable[[], None] | None = None

    def connect_msi(self, handler: Callable[[], None] | None) -> None:
        self._msi_handler = handler

    def inject_msi(self) -> bool:
        if self._msi_handler is None:
            return False
        self._msi_handler()
        return True
