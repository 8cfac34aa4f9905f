"""Where the register blocks stand in BAR0, as inline SVG: one lane per chapter."""

from __future__ import annotations

from html import escape
from typing import Final

from .model import BlockDoc, Documentation

__all__ = ("bar0_picture", "block_spans")

_WIDTH: Final = 860
_LABEL: Final = 130
_LANE: Final = 24
_NARROWEST: Final = 3
_SPAN: Final = 0x180000
"""Nothing is declared above this."""
_TICK: Final = 0x20000
_WIDE_GAP: Final = 0x1000


def block_spans(block: BlockDoc) -> list[tuple[str, int, int]]:
    """Name, first and end offset of each instance of ``block``; scattered registers are cut at wide gaps."""
    spans: list[tuple[str, int, int]] = []
    for instance in block.instances:
        offsets = sorted(
            instance.base + register.offset + index * register.stride for register in block.registers for index in range(register.elements)
        )
        if not offsets:
            continue
        start = previous = offsets[0]
        for offset in offsets[1:]:
            if offset - previous > _WIDE_GAP:
                spans.append((instance.name or block.name, start, previous + 4))
                start = offset
            previous = offset
        spans.append((instance.name or block.name, start, previous + 4))
    return spans


def bar0_picture(documentation: Documentation) -> str:
    """Draw the registers of all chapters, each block a link to its place in the documentation."""
    lanes = [chapter for chapter in documentation.chapters if any(section.blocks for section in chapter.sections)]
    scale = _WIDTH / _SPAN
    height = len(lanes) * _LANE
    drawn = []
    for tick in range(0, _SPAN + 1, _TICK):
        x = _LABEL + tick * scale
        drawn.append(f'<line class="tick" x1="{x:g}" y1="16" x2="{x:g}" y2="{height + 20}"/>')
        if tick % (2 * _TICK) == 0:
            drawn.append(f'<text class="b" x="{x:g}" y="11">{tick:#x}</text>')
    for row, chapter in enumerate(lanes):
        y = 20 + row * _LANE
        drawn.append(f'<a href="{chapter.slug}.html"><text class="b s lane" x="0" y="{y + 15}">{escape(chapter.title)}</text></a>')
        drawn.append(f'<line class="lane" x1="{_LABEL}" y1="{y + _LANE}" x2="{_LABEL + _WIDTH}" y2="{y + _LANE}"/>')
        for section in chapter.sections:
            for block in section.blocks:
                for name, start, end in block_spans(block):
                    x, w = _LABEL + start * scale, max((end - start) * scale, _NARROWEST)
                    tip = f"<title>{escape(block.name)} {escape(name)}: {start:#x} to {end - 1:#x}</title>"
                    drawn.append(
                        f'<a href="{chapter.slug}.html#{escape(block.anchor)}"><g>'
                        f'<rect x="{x:.1f}" y="{y + 4}" width="{w:.1f}" height="{_LANE - 8}">{tip}</rect></g></a>'
                    )
    return (
        f'<svg class="bits map" role="img" aria-label="register blocks in BAR0" viewBox="0 0 {_LABEL + _WIDTH + 20} {height + 26}" '
        f'style="max-width:{_LABEL + _WIDTH + 20}px">{"".join(drawn)}</svg>'
    )
