"""Bit boxes in plain text, for Markdown and terminals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from .model import BitFieldDoc

__all__ = ("text_box",)

_LONGEST: Final = 110


def _cells(layout: Sequence[BitFieldDoc]) -> Iterator[tuple[str, str]]:
    """Bit numbers and name of each field, highest first."""
    for field in reversed(layout):
        numbers = f"{field.high}..{field.low}" if field.width > 1 else str(field.low)
        yield numbers, field.name or "-"


def _row(cells: Sequence[tuple[str, str]]) -> str:
    widths = [max(len(numbers), len(name)) + 2 for numbers, name in cells]
    edge = "+" + "+".join("-" * width for width in widths) + "+"
    top = " " + " ".join(numbers.center(width) for (numbers, _), width in zip(cells, widths, strict=True))
    names = "|" + "|".join(name.center(width) for (_, name), width in zip(cells, widths, strict=True)) + "|"
    return "\n".join((top.rstrip(), edge, names, edge))


def text_box(layout: Sequence[BitFieldDoc]) -> str:
    """``layout`` (all bits, lowest first), highest bit on the left, in as many rows as its names need."""
    rows: list[list[tuple[str, str]]] = [[]]
    used = 0
    for cell in _cells(layout):
        width = max(map(len, cell)) + 3
        if rows[-1] and used + width > _LONGEST:
            rows.append([])
            used = 0
        rows[-1].append(cell)
        used += width
    return "\n".join(_row(row) for row in rows)
