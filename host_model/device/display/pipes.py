"""The pipes: frames, vertical blanks and flips."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from ..base import RegisterDevice

__all__ = ("Pipes",)


@final
class Pipes:
    """All pipes of one device."""

    def __init__(self, device: RegisterDevice) -> None:
        self._device = device

    def reset(self) -> None:
        """The registers were reset: nothing is shown."""

    def close(self) -> None:
        """The device goes away: no timer is left."""
