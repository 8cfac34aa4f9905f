"""Screens that show one colour: a pipe without any plane, whose background is to be seen. Gen9 only."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pvinfo.registers.pipe import Pipe
from pvinfo.registers.transcoder import Transcoder, TranscoderSwitch

__all__ = ("dark", "light", "lit_by", "paint")

_SWITCH = 1 << 31
_SWITCH_AT = TranscoderSwitch.conf.at("TRANSCODER_A")
_COLOR_AT = Pipe.bottom_color.at("PIPE_A")
_SIZES = {
    Transcoder.htotal.at("TRANSCODER_A"): (1343, 1023),
    Transcoder.vtotal.at("TRANSCODER_A"): (805, 767),
}

Write = Callable[[int, int], None]
"""Writes a register: offset and value."""


def lit_by(width: int, height: int, color: int) -> Iterator[tuple[int, int]]:
    """The register writes that have ``width`` by ``height`` pixels show ``color`` (red, green, blue)."""
    for offset, (total, active) in _SIZES.items():
        yield offset, total << 16 | active
    yield Transcoder.pipesrc.at("TRANSCODER_A"), width - 1 << 16 | height - 1
    yield _COLOR_AT, _ten_bits(color)
    yield _SWITCH_AT, _SWITCH


def light(write: Write, width: int = 64, height: int = 48, color: int = 0x3366FC) -> None:
    """Switch a screen on."""
    for offset, value in lit_by(width, height, color):
        write(offset, value)


def paint(write: Write, color: int) -> None:
    """Have it show another colour."""
    write(_COLOR_AT, _ten_bits(color))


def dark(write: Write) -> None:
    """Switch it off."""
    write(_SWITCH_AT, 0)


def _ten_bits(color: int) -> int:
    """A colour in ten bits each, of which eight are seen: red in the highest."""
    red, green, blue = color >> 16, color >> 8 & 0xFF, color & 0xFF
    return red << 22 | green << 12 | blue << 2
