"""Values as people read them in checks: numbers in hexadecimal, enumerations by name, containers inside out."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, Flag
from typing import Final

from pvinfo.page import GraphicsRange
from pvinfo.units import format_range

__all__ = ("in_words",)

_LONG: Final = 12
"""Elements of a sequence that are shown before it is cut."""


def _number(value: int) -> str:
    return str(value) if -100 < value < 100 else f"{value:#x} ({value})" if value < 1 << 20 else f"{value:#x}"


def in_words(value: object) -> str:
    """``value`` in a line."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "nothing"}[value]
    if isinstance(value, Enum) and not isinstance(value, Flag):
        return str(value.value) if isinstance(value.value, str) else value.name
    if isinstance(value, Flag) and value.name:
        return value.name
    if isinstance(value, int):
        return _number(value)
    if isinstance(value, GraphicsRange):
        return format_range(value.base, value.base + value.size)
    if isinstance(value, range) and value.step == 1:
        return format_range(value.start, value.stop)
    if isinstance(value, str):
        return value or "(empty)"
    if isinstance(value, bytes):
        return f"{value[:16].hex(' ')}{' …' if len(value) > 16 else ''} ({len(value)} bytes)"
    if isinstance(value, Mapping):
        shown = [f"{in_words(key)}: {in_words(element)}" for key, element in value.items()]
        return _list(shown)
    if isinstance(value, tuple):
        return f"({', '.join(map(in_words, value))})"
    if isinstance(value, list):
        return _list([in_words(element) for element in value])
    if isinstance(value, (set, frozenset)):
        return _list(sorted(in_words(element) for element in value))
    return repr(value)


def _list(shown: list[str]) -> str:
    if not shown:
        return "none"
    if len(shown) > _LONG:
        shown = [*shown[:_LONG], f"… {len(shown)} in all"]
    return ", ".join(shown) if len(shown) == 1 else f"[{', '.join(shown)}]"
