"""Bit boxes as inline SVG: the fields of a register drawn to scale, highest bit on the left."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

from .model import BitFieldDoc

__all__ = ("bit_picture", "wrap_name")

_ROW_BITS: Final = 32
_CELL: Final = {8: 60, 16: 48, 32: 27}
_CHARACTER: Final = 6.7
"""Width of a character of the picture's monospaced type, in user units."""
_LINE: Final = 13
_LINE_BOX: Final = 24
_LOW_BOX: Final = 34
_HIGH_BOX: Final = 150
_NUMBERS: Final = 16


def wrap_name(name: str, width: float) -> list[str]:
    """``name`` in lines no longer than ``width`` user units, broken after underscores and at blanks; a piece
    that is too long by itself stays whole."""
    lines: list[str] = []
    for piece in name.replace("_", "_\0").replace(" ", " \0").split("\0"):
        if lines and (len(lines[-1]) + len(piece)) * _CHARACTER <= width:
            lines[-1] += piece
        else:
            lines.append(piece)
    return [line.strip() for line in lines]


def _fits(lines: Sequence[str], width: float, height: float) -> bool:
    return all(len(line) * _CHARACTER + 4 <= width for line in lines) and len(lines) * _LINE + 4 <= height


def _upright(lines: Sequence[str], x: float, y: float) -> str:
    first = y - (len(lines) - 1) * _LINE / 2 + 4
    return "".join(
        f'<text class="n" x="{x:g}" y="{first + index * _LINE:g}">{escape(line)}</text>' for index, line in enumerate(lines)
    )


def _turned(name: str, x: float, y: float, height: float) -> str:
    """The name from bottom to top: on one line, or on two where it is long."""
    longest = int((height - 8) / _CHARACTER)
    lines = [name] if len(name) <= longest else wrap_name(name, height - 8)
    if len(lines) > 2 or any(len(line) > longest for line in lines):
        lines = [name[: longest - 1] + "…"]
    first = x + 4 - (len(lines) - 1) * (_LINE - 2) / 2
    return "".join(
        f'<text class="n" transform="translate({first + index * (_LINE - 2):g} {y:g}) rotate(-90)">{escape(line)}</text>' for index, line in enumerate(lines)
    )


def _box_height(parts: Sequence[tuple[BitFieldDoc, int, int]], cell: int) -> int:
    """How high a row must be: for one line of text, or for the names that have to be turned."""
    plain = all(_fits([field.name], (high - low + 1) * cell, _LINE_BOX) for field, high, low in parts)
    height = _LINE_BOX if plain else _LOW_BOX
    for field, high, low in parts:
        width = (high - low + 1) * cell
        if field.name and not _fits(wrap_name(field.name, width - 4), width, _LOW_BOX):
            height = max(height, min(_HIGH_BOX, int(len(field.name) * _CHARACTER) + 14))
    return height


def bit_picture(title: str, layout: Sequence[BitFieldDoc], width: int, anchor: str = "") -> str:
    """Draw ``layout`` (all bits, lowest first). ``anchor`` makes each field a link to ``#anchor.field``."""
    row_bits = min(width, _ROW_BITS)
    cell = _CELL.get(row_bits, _CELL[32])
    total = row_bits * cell
    drawn: list[str] = []
    top = 0.0
    shade = {field.low: index % 4 for index, field in enumerate(field for field in layout if field.name)}
    for row_low in range(width - row_bits, -1, -row_bits):
        row_high = row_low + row_bits - 1
        parts = [
            (field, min(field.high, row_high), max(field.low, row_low))
            for field in reversed(layout)
            if field.low <= row_high and field.high >= row_low
        ]
        height = _box_height(parts, cell)
        box = top + _NUMBERS
        for field, high, low in parts:
            x, w = (row_high - high) * cell, (high - low + 1) * cell
            middle = x + w / 2
            numbers = (
                f'<text class="b" x="{middle:g}" y="{top + 11:g}">{high}</text>'
                if high == low
                else f'<text class="b s" x="{x + 3:g}" y="{top + 11:g}">{high}</text><text class="b e" x="{x + w - 3:g}" y="{top + 11:g}">{low}</text>'
            )
            if not field.name:
                drawn.append(f'{numbers}<rect class="r" x="{x:g}" y="{box:g}" width="{w:g}" height="{height}"><title>reserved</title></rect>')
                continue
            lines = wrap_name(field.name, w - 4)
            middle_y = box + height / 2
            name = _upright(lines, middle, middle_y) if _fits(lines, w, height) else _turned(field.name, middle, middle_y, height)
            bits = f"{field.high}:{field.low}" if field.width > 1 else f"{field.low}"
            tip = f"<title>{bits} {escape(field.name)}: {escape(field.doc)}</title>"
            rect = f'<rect x="{x:g}" y="{box:g}" width="{w:g}" height="{height}">{tip}</rect>'
            group = f'<g class="f{shade[field.low]}" data-low="{field.low}" data-width="{field.width}">{rect}{name}</g>'
            if anchor and " " not in field.name:
                group = f'<a href="#{escape(anchor)}.{escape(field.name)}">{group}</a>'
            drawn.append(numbers + group)
        top = box + height + 6
    return (
        f'<svg class="bits" role="img" aria-label="bits of {escape(title)}" viewBox="-1 0 {total + 2} {top:g}" '
        f'style="max-width:{total + 2}px">{"".join(drawn)}</svg>'
    )
