"""What drawing commands have in common, read from their dwords."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pvinfo.commands.blt import ClipCorner, Control, Corner, MaskedHeader
from pvinfo.registers.blitter import BlitterRegisters, BlitterTiling

from ..surface.rectangle import Rectangle, signed16
from ..surface.surface import Surface
from ..surface.tiling import TILE_X, TILE_Y, Buffer, Tiling
from .color_key import ColorKey, KeyMode
from .depth import DEPTHS, Depth
from .frame import ADDRESS_MASK, Frame, IllegalBlit, channels_of, surface_of
from .pattern import Pattern, color_pattern, mono_pattern, solid_pattern
from .raster_operation import OPERATIONS
from .source import MonoSource
from .state import setup_state

if TYPE_CHECKING:
    from ..engine_state import EngineState

__all__ = (
    "BitReader",
    "bits_of_command",
    "bits_of_memory",
    "clip_rectangle",
    "color_key",
    "corners",
    "drawing_frame",
    "mono_source",
    "one_bit_pattern",
    "pattern_of_command",
    "pattern_of_memory",
    "source_surface",
    "target_tiling",
)

BitReader = Callable[[int, int], Buffer]
"""Gives bytes of a monochrome source, from the first up to the second offset."""

_TILING_REGISTER: Final = BlitterRegisters.software_control.offset >> 2
_SOURCE_Y: Final = BlitterTiling.source_y.mask
_TARGET_Y: Final = BlitterTiling.destination_y.mask
_PATTERN_ALIGNMENT: Final = 64
_LINE_BITS: Final = 16
"""Lines of a monochrome source that is not text begin at a word. Source: prm:skl:vol11 (Monochrome Source Data)"""


def corners(top_left: Corner, bottom_right: Corner) -> Rectangle:
    """A rectangle of the destination, whose coordinates are signed."""
    return Rectangle(signed16(top_left.x), signed16(top_left.y), signed16(bottom_right.x), signed16(bottom_right.y))


def clip_rectangle(top_left: int, bottom_right: int) -> Rectangle:
    """The clipping rectangle, whose coordinates are positive."""
    first, second = ClipCorner(top_left), ClipCorner(bottom_right)
    return Rectangle(first.x, first.y, second.x, second.y)


def target_tiling(engine: EngineState, *, tiled: bool) -> Tiling | None:
    """The form of the destination's tiles, which a register of the context decides."""
    return (TILE_Y if engine.registers[_TILING_REGISTER] & _TARGET_Y else TILE_X) if tiled else None


def source_surface(engine: EngineState, base: int, pitch: int, *, tiled: bool) -> Surface:
    """The source of a copy. Raises: IllegalBlit."""
    y_tiles = engine.registers[_TILING_REGISTER] & _SOURCE_Y
    return surface_of("source", base, pitch, (TILE_Y if y_tiles else TILE_X) if tiled else None)


def drawing_frame(
    engine: EngineState, header: MaskedHeader, control: Control, top_left: Corner, bottom_right: Corner, destination: int
) -> Frame:
    """The destination of a command that says all of it itself, but for the clipping rectangle. Raises: IllegalBlit."""
    depth = DEPTHS[control.depth]
    state = setup_state(engine)
    return Frame(
        surface_of("destination", destination, control.pitch, target_tiling(engine, tiled=header.destination_tiled)),
        corners(top_left, bottom_right),
        clip_rectangle(state.clip_top_left, state.clip_bottom_right) if control.clipping else None,
        depth,
        control.raster_operation,
        channels_of(depth, rgb=header.write_rgb, alpha=header.write_alpha),
    )


# ---- patterns ----


def pattern_of_memory(engine: EngineState, frame: Frame, address: int, seed_x: int, seed_y: int) -> Pattern | None:
    """A colour pattern in memory; None where the raster operation reads none."""
    if not OPERATIONS[frame.code].needs_pattern:
        return None
    size = 64 * frame.depth.bytes_per_pixel
    data = engine.ppgtt.read(address & ADDRESS_MASK & -_PATTERN_ALIGNMENT, size)
    return color_pattern(frame.depth, data, seed_x, seed_y)


def pattern_of_command(frame: Frame, data: bytes, seed_x: int, seed_y: int) -> Pattern:
    """A colour pattern that the command carries. Raises: IllegalBlit when it does not fill the pattern."""
    size = 64 * frame.depth.bytes_per_pixel
    if len(data) < size:
        raise IllegalBlit("blt-immediate", f"{len(data)} bytes of pattern: one of {frame.depth.name} has {size}")
    return color_pattern(frame.depth, data, seed_x, seed_y)


def one_bit_pattern(
    depth: Depth, control: Control, background: int, foreground: int, pattern: int, seed_x: int, seed_y: int
) -> Pattern | None:
    """A pattern of one bit a pixel, or its background alone; None where the two say that no pixel is drawn.

    Source: prm:snb:vol1part5 (XY_FULL_MONO_PATTERN_BLT)
    """
    transparent = control.mono_pattern_transparent
    if control.solid_pattern:
        return None if transparent else solid_pattern(depth, background)
    return mono_pattern(depth, pattern.to_bytes(8, "little"), background, foreground, seed_x, seed_y, transparent=transparent)


def color_key(depth: Depth, mode: int, low: int, high: int, *, has_source: bool) -> ColorKey | None:
    """The colour key of a command; None where it compares nothing.

    Raises: IllegalBlit for a comparison with a source where there is none.
    """
    if not mode & 1:
        return None
    key = ColorKey(KeyMode(mode), low, high, depth)
    if key.of_source and not has_source:
        raise IllegalBlit("blt-key-mode", f"transparency mode {mode} compares the source's colours, and there is no source")
    return key


# ---- monochrome sources ----


def bits_of_memory(engine: EngineState, address: int) -> BitReader:
    """A monochrome source in memory."""
    base = address & ADDRESS_MASK
    return lambda first, last: engine.ppgtt.read(base + first, last - first)


def bits_of_command(data: bytes, lines: int, stride: int, start: int, width: int) -> BitReader:
    """A monochrome source that the command carries.

    Raises: IllegalBlit when it is not whole quadwords, or too little: the engine would wait for more for ever.
    """
    if len(data) % 8:
        raise IllegalBlit("blt-immediate", f"{len(data) // 4} dwords of pixels: the engine takes an even number")
    needed = (lines - 1) * stride + start + width + 7 >> 3 if lines > 0 and width > 0 else 0
    if len(data) < needed:
        raise IllegalBlit("blt-immediate", f"{len(data)} bytes of pixels: the rectangle takes {needed}")
    return lambda first, last: data[first:last]


def mono_source(
    frame: Frame, control: Control, background: int, foreground: int, start: int, source: BitReader | bytes
) -> MonoSource:
    """A monochrome source whose lines begin at words, in memory or in the command. Raises: IllegalBlit."""
    frame.refuse_negative_pitch()
    area = frame.rectangle
    stride = -(-(start + area.width) // _LINE_BITS) * _LINE_BITS
    if isinstance(source, bytes):
        source = bits_of_command(source, area.height, stride, start, area.width)
    pixel = frame.depth.pixel
    return MonoSource(
        source, area.left, area.top, start, stride, pixel(background), pixel(foreground), control.mono_source_transparent
    )  # fmt: skip
