"""What a part of a vGPU is to those who save and restore it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from .cursor import Cursor

if TYPE_CHECKING:
    from ..vgpu import Vgpu

__all__ = ("Apply", "Section", "Shape")

Apply = Callable[["Vgpu"], None]
"""Put what was read into a vGPU that is as new. Raises: ResourceExhausted."""


class Shape(NamedTuple):
    """What of the vGPU to be made decides whether a part fits."""

    platform: str
    low: range
    high: range
    fences: int


class Section(NamedTuple):
    """One part: how it is saved, and read again. Reading checks all that can be checked without a vGPU."""

    name: str
    version: int
    required: bool
    save: Callable[[Vgpu], bytes]
    load: Callable[[Cursor, Shape], Apply]
    """Raises: RestoreRefused, WireError."""
