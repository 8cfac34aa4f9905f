"""Fills: a colour, or a pattern of eight by eight pixels, combined with what is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pvinfo.commands.blt import (
    XY_COLOR_BLT,
    XY_MONO_PAT_BLT,
    XY_MONO_PAT_FIXED_BLT,
    XY_PAT_BLT,
    XY_PAT_BLT_IMMEDIATE,
    XY_PAT_CHROMA_BLT,
    XY_PAT_CHROMA_BLT_IMMEDIATE,
    XyColorBlt,
    XyMonoPatBlt,
    XyMonoPatFixedBlt,
    XyPatBlt,
    XyPatBltImmediate,
    XyPatChromaBlt,
    XyPatChromaBltImmediate,
)

from .drawing import Drawing
from .execution import draws
from .frame import IllegalBlit
from .pattern import FIXED_PATTERNS, mono_pattern, solid_pattern
from .reading import color_key, drawing_frame, pattern_of_command, pattern_of_memory

if TYPE_CHECKING:
    from ..engine_state import EngineState

__all__ = ()


@draws(XY_COLOR_BLT, XyColorBlt)
def color(engine: EngineState, command: XyColorBlt, immediate: bytes) -> Drawing | None:
    """Fill with a colour."""
    header, control, top_left, bottom_right, destination, value = command
    frame = drawing_frame(engine, header, control, top_left, bottom_right, destination)
    return frame.draw(pattern=solid_pattern(frame.depth, value))


@draws(XY_PAT_BLT, XyPatBlt)
def pattern(engine: EngineState, command: XyPatBlt, immediate: bytes) -> Drawing | None:
    """Fill with a colour pattern in memory."""
    header, control, top_left, bottom_right, destination, address = command
    frame = drawing_frame(engine, header, control, top_left, bottom_right, destination)
    return frame.draw(pattern=pattern_of_memory(engine, frame, address, header.pattern_seed_x, header.pattern_seed_y))


@draws(XY_PAT_BLT_IMMEDIATE, XyPatBltImmediate)
def pattern_immediate(engine: EngineState, command: XyPatBltImmediate, immediate: bytes) -> Drawing | None:
    """Fill with a colour pattern that the command carries."""
    header, control, top_left, bottom_right, destination = command
    frame = drawing_frame(engine, header, control, top_left, bottom_right, destination)
    return frame.draw(pattern=pattern_of_command(frame, immediate, header.pattern_seed_x, header.pattern_seed_y))


@draws(XY_PAT_CHROMA_BLT, XyPatChromaBlt)
def pattern_chroma(engine: EngineState, command: XyPatChromaBlt, immediate: bytes) -> Drawing | None:
    """Fill pixels of a range of colours with a colour pattern in memory."""
    header, control, top_left, bottom_right, destination, address, low, high = command
    frame = drawing_frame(engine, header, control, top_left, bottom_right, destination)
    key = color_key(frame.depth, header.key_mode, low, high, has_source=False)
    return frame.draw(pattern=pattern_of_memory(engine, frame, address, header.pattern_seed_x, header.pattern_seed_y), key=key)


@draws(XY_PAT_CHROMA_BLT_IMMEDIATE, XyPatChromaBltImmediate)
def pattern_chroma_immediate(engine: EngineState, command: XyPatChromaBltImmediate, immediate: bytes) -> Drawing | None:
    """Fill pixels of a range of colours with a colour pattern that the command carries."""
    header, control, top_left, bottom_right, destination, low, high = command
    frame = drawing_frame(engine, header, control, top_left, bottom_right, destination)
    key = color_key(frame.depth, header.key_mode, low, high, has_source=False)
    return frame.draw(pattern=pattern_of_command(frame, immediate, header.pattern_seed_x, header.pattern_seed_y), key=key)


@draws(XY_MONO_PAT_BLT, XyMonoPatBlt)
def mono(engine: EngineState, command: XyMonoPatBlt, immediate: bytes) -> Drawing | None:
    """Fill with a pattern of two colours."""
    header, control, top_left, bottom_right, destination, background, foreground, bits = command
    frame = drawing_frame(engine, header, control, top_left, bottom_right, destination)
    return frame.draw(
        pattern=mono_pattern(
            frame.depth, bits.to_bytes(8, "little"), background, foreground, header.pattern_seed_x, header.pattern_seed_y,
            transparent=control.mono_pattern_transparent,
        )
    )  # fmt: skip


@draws(XY_MONO_PAT_FIXED_BLT, XyMonoPatFixedBlt)
def mono_fixed(engine: EngineState, command: XyMonoPatFixedBlt, immediate: bytes) -> Drawing | None:
    """Fill with one of the engine's own patterns, in two colours."""
    header, control, top_left, bottom_right, destination, background, foreground = command
    frame = drawing_frame(engine, header, control, top_left, bottom_right, destination)
    bits = FIXED_PATTERNS.get(header.fixed_pattern)
    if bits is None:
        known = ", ".join(f"{number:#x}" for number in FIXED_PATTERNS)
        raise IllegalBlit("blt-fixed-pattern", f"pattern {header.fixed_pattern:#x}: there are {known}")
    return frame.draw(
        pattern=mono_pattern(
            frame.depth, bits, background, foreground, header.pattern_seed_x, header.pattern_seed_y,
            transparent=control.mono_pattern_transparent,
        )
    )  # fmt: skip
