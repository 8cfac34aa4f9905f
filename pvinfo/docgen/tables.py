"""Declared data as text in rows and columns: a dictionary or tuple of rows, or of plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Final

from .attribute_docs import ModuleText
from .model import TableDoc
from .source_links import take_sources

__all__ = ("table_of",)

_SMALL: Final = 0xFF
"""A column whose numbers all fit a byte is shown in decimal, any other in hexadecimal."""


def _numbers(value: object) -> list[int]:
    if isinstance(value, Enum):
        return []
    if isinstance(value, int):
        return [value]
    if isinstance(value, Mapping):
        return [number for inner in value.values() for number in _numbers(inner)]
    if isinstance(value, (tuple, list)):
        return [number for inner in value for number in _numbers(inner)]
    return []


def _word(value: object, hexadecimal: bool) -> str:
    if isinstance(value, Enum):
        return str(value.name)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:#x}" if hexadecimal else str(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{_word(key, hexadecimal)} {_word(inner, hexadecimal)}" for key, inner in value.items())
    if isinstance(value, (frozenset, set)):
        return ", ".join(sorted(_word(inner, hexadecimal) for inner in value))
    if isinstance(value, (tuple, list)):
        return ", ".join(_word(inner, hexadecimal) for inner in value)
    return str(value)


def _is_plain(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(_is_plain(inner) for both in value.items() for inner in both)
    return isinstance(value, (int, str, Enum)) or (isinstance(value, (tuple, list, frozenset, set)) and all(_is_plain(inner) for inner in value))


def _columns(rows: Sequence[Sequence[object]]) -> tuple[tuple[str, ...], ...]:
    wide = [any(number > _SMALL for row in rows for number in _numbers(row[index])) for index in range(len(rows[0]))]
    return tuple(tuple(_word(value, wide[index]) for index, value in enumerate(row)) for row in rows)


def table_of(anchor: str, name: str, doc: str, value: object, texts: Mapping[str, ModuleText]) -> TableDoc | None:
    """``value`` as a table; None when it is no data worth one (a codec, a text, a table of what enum members mean)."""
    keys: list[object] = []
    if isinstance(value, Mapping):
        keys, rows = list(value), list(value.values())
    elif isinstance(value, tuple) and not hasattr(value, "_fields"):
        rows = list(value)
    else:
        return None
    if not rows:
        return None
    row_class = type(rows[0])
    text, _ = take_sources(doc)
    fields: tuple[str, ...] = getattr(row_class, "_fields", ())
    if fields and all(type(row) is row_class and _is_plain(row) for row in rows):
        header = tuple(field.replace("_", " ") for field in fields)
        told = texts.get(row_class.__module__)
        meanings = [(field, told.docs.get(f"{row_class.__name__}.{field}", "")) for field in fields] if told else []
        text = "\n\n".join([text, *(f"``{field.replace('_', ' ')}``: {meaning}" for field, meaning in meanings if meaning)]).strip()
        cells = [list(row) for row in rows]
        if keys and all(isinstance(key, Enum) for key in keys):
            header = ("name", *header)
            cells = [[key, *row] for key, row in zip(keys, cells, strict=True)]
        return TableDoc(anchor, name, text, header, _columns(cells))
    if keys and all(_is_plain(key) for key in keys) and all(_is_plain(row) for row in rows):
        if all(isinstance(key, Enum) for key in keys) and all(isinstance(row, str) for row in rows):
            return None
        return TableDoc(anchor, name, text, ("name", "value"), _columns([[key, row] for key, row in zip(keys, rows, strict=True)]))
    return None
