"""Records as inline SVG: four bytes to a row, long spans folded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Final, NamedTuple

from .model import FieldDoc, RecordDoc

__all__ = ("record_picture",)

_BYTES: Final = 4
_BYTE_WIDTH: Final = 96
_LABEL: Final = 62
_ROW: Final = 25
_FOLDED_ROWS: Final = 2
_CHARACTER: Final = 6.7
_HEAD: Final = 20
_GAP: Final = 40


class _Piece(NamedTuple):
    """A rectangle of a field: whole rows, or a part of one."""

    field: FieldDoc
    offset: int
    size: int
    rows: int
    """Rows drawn; fewer than the bytes need where the span is folded."""
    named: bool


def _pieces(field: FieldDoc) -> Iterator[_Piece]:
    if field.offset % _BYTES == 0 and field.size % _BYTES == 0:
        yield _Piece(field, field.offset, field.size, min(field.size // _BYTES, _FOLDED_ROWS), True)
        return
    spans = []
    offset, end = field.offset, field.offset + field.size
    while offset < end:
        row_end = offset - offset % _BYTES + _BYTES
        whole = (end - offset) // _BYTES * _BYTES if offset % _BYTES == 0 else 0
        size = whole or min(end, row_end) - offset
        spans.append((offset, size))
        offset += size
    widest = max(spans, key=lambda span: span[1])
    for offset, size in spans:
        yield _Piece(field, offset, size, min(max(size // _BYTES, 1), _FOLDED_ROWS), (offset, size) == widest)


def _label(text: str, width: float) -> str:
    longest = int((width - 8) / _CHARACTER)
    return text if len(text) <= longest else "…" + text[-(longest - 1) :]


def _column(fields: Sequence[FieldDoc], left: float, title: str, base: int) -> tuple[str, float]:
    """One column of the picture, and how high it is."""
    drawn = [f'<text class="b s" x="{left:g}" y="12">{escape(title)}</text>'] if title else []
    for byte in range(_BYTES):
        drawn.append(f'<text class="b" x="{left + _LABEL + (byte + 0.5) * _BYTE_WIDTH:g}" y="12">+{byte}</text>')
    y = float(_HEAD)
    shade = 0
    for field in fields:
        reserved = field.kind == "reserved"
        shade = shade if reserved else (shade + 1) % 4
        for piece in _pieces(field):
            column = piece.offset % _BYTES
            x = left + _LABEL + column * _BYTE_WIDTH
            width = min(piece.size, _BYTES) * _BYTE_WIDTH
            height = piece.rows * _ROW
            if column == 0:
                drawn.append(f'<text class="b s" x="{left:g}" y="{y + 16:g}">{base + piece.offset:#05x}</text>')
            label = field.path if not reserved else f"{field.path.rpartition('.')[2]}: {field.size} bytes" if field.size > 2 else ""
            if field.kind == "raw" and field.size > 2 * _BYTES:
                label = f"{field.path}: {field.size} bytes"
            tip = f"<title>{base + field.offset:#x} {escape(field.path)} ({field.size} bytes): {escape(field.doc)}</title>"
            name = f'<text class="n" x="{x + width / 2:g}" y="{y + height / 2 + 4:g}">{escape(_label(label, width))}</text>' if piece.named else ""
            rect = f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height}">{tip}</rect>'
            group = f'<g class="{"r" if reserved else f"f{shade}"}">{rect}{name}</g>'
            drawn.append(group if reserved else f'<a href="#{escape(field.anchor)}">{group}</a>')
            if column + piece.size >= _BYTES:
                y += height
    if fields and (fields[-1].offset + fields[-1].size) % _BYTES:
        y += _ROW
    return "".join(drawn), y


def record_picture(record: RecordDoc) -> str:
    """Draw ``record``, in two columns where it is declared to have two halves."""
    groups: list[tuple[list[FieldDoc], str]]
    if record.split:
        lower = [field for field in record.fields if field.offset < record.split]
        upper = [field for field in record.fields if field.offset >= record.split]
        groups = [(lower, "host → guest"), (upper, "guest → host")]
    else:
        groups = [(list(record.fields), "")]
    drawn, highest, left = [], 0.0, 0.0
    for fields, title in groups:
        body, height = _column(fields, left, "", 0)
        if title:
            body += f'<text class="cap" x="{left + _LABEL + _BYTES * _BYTE_WIDTH / 2:g}" y="{height + 18:g}">{title}</text>'
            height += 26
        drawn.append(body)
        highest = max(highest, height)
        left += _LABEL + _BYTES * _BYTE_WIDTH + _GAP
    width = left - _GAP
    return (
        f'<svg class="bits record" role="img" aria-label="layout of {escape(record.name)}" viewBox="-1 0 {width + 9:g} {highest + 4:g}" '
        f'style="max-width:{width + 9:g}px">{"".join(drawn)}</svg>'
    )
