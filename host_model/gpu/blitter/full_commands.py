"""Drawings with all three operands: pattern, source and destination."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pvinfo.commands.blt import (
    XY_FULL_BLT,
    XY_FULL_IMMEDIATE_PATTERN_BLT,
    XY_FULL_MONO_PATTERN_BLT,
    XY_FULL_MONO_PATTERN_MONO_SRC_BLT,
    XY_FULL_MONO_SRC_BLT,
    XY_FULL_MONO_SRC_IMMEDIATE_PATTERN_BLT,
    XyFullBlt,
    XyFullImmediatePatternBlt,
    XyFullMonoPatternBlt,
    XyFullMonoPatternMonoSrcBlt,
    XyFullMonoSrcBlt,
    XyFullMonoSrcImmediatePatternBlt,
)

from ..surface.rectangle import signed16
from .drawing import Drawing
from .execution import draws
from .reading import (
    bits_of_memory,
    drawing_frame,
    mono_source,
    one_bit_pattern,
    pattern_of_command,
    pattern_of_memory,
    source_surface,
)

if TYPE_CHECKING:
    from ..engine_state import EngineState

__all__ = ()


@draws(XY_FULL_BLT, XyFullBlt)
def full(engine: EngineState, command: XyFullBlt, immediate: bytes) -> Drawing | None:
    """Both operands in memory."""
    header, control, top_left, bottom_right, destination, pitch, source_corner, base, address = command
    frame = drawing_frame(engine, header, control, top_left, bottom_right, destination)
    source = source_surface(engine, base, pitch.pitch, tiled=header.source_tiled)
    pattern = pattern_of_memory(engine, frame, address, header.pattern_seed_x, header.pattern_seed_y)
    return frame.copy(source, signed16(source_corner.x), signed16(source_corner.y), pattern=pattern)


@draws(XY_FULL_IMMEDIATE_PATTERN_BLT, XyFullImmediatePatternBlt)
def full_immediate_pattern(engine: EngineState, command: XyFullImmediatePatternBlt, immediate: bytes) -> Drawing | None:
    """The command carries the pattern."""
    header, control, top_left, bottom_right, destination, pitch, source_corner, base = command
    frame = drawing_frame(engine, header, control, top_left, bottom_right, destination)
    source = source_surface(engine, base, pitch.pitch, tiled=header.source_tiled)
    pattern = pattern_of_command(frame, immediate, header.pattern_seed_x, header.pattern_seed_y)
    return frame.copy(source, signed16(source_corner.x), signed16(source_corner.y), pattern=pattern)


@draws(XY_FULL_MONO_PATTERN_BLT, XyFullMonoPatternBlt)
def full_mono_pattern(engine: EngineState, command: XyFullMonoPatternBlt, immediate: bytes) -> Drawing | None:
    """The pattern has two colours."""
    header, control, top_left, bottom_right, destination, pitch, source_corner, base, background, foreground, bits = command
    frame = drawing_frame(engine, header, control, top_left, bottom_right, destination)
    source = source_surface(engine, base, pitch.pitch, tiled=header.source_tiled)
    pattern = one_bit_pattern(frame.depth, control, background, foreground, bits, header.pattern_seed_x, header.pattern_seed_y)
    if pattern is None:
        return None
    return frame.copy(source, signed16(source_corner.x), signed16(source_corner.y), pattern=pattern)


@draws(XY_FULL_MONO_SRC_BLT, XyFullMonoSrcBlt)
def full_mono_source(engine: EngineState, command: XyFullMonoSrcBlt, immediate: bytes) -> Drawing | None:
    """The source has two colours."""
    header, control, top_left, bottom_right, destination, bits, background, foreground, address = command
    frame = drawing_frame(engine, header, control, top_left, bottom_right, destination)
    source = mono_source(frame, control, background, foreground, header.first_bit, bits_of_memory(engine, bits))
    pattern = pattern_of_memory(engine, frame, address, header.pattern_seed_x, header.pattern_seed_y)
    return frame.draw(pattern=pattern, source=source)


@draws(XY_FULL_MONO_SRC_IMMEDIATE_PATTERN_BLT, XyFullMonoSrcImmediatePatternBlt)
def full_mono_source_immediate_pattern(
    engine: EngineState, command: XyFullMonoSrcImmediatePatternBlt, immediate: bytes
) -> Drawing | None:
    """The source has two colours, and the command carries the pattern."""
    header, control, top_left, bottom_right, destination, bits, background, foreground = command
    frame = drawing_frame(engine, header, control, top_left, bottom_right, destination)
    source = mono_source(frame, control, background, foreground, header.first_bit, bits_of_memory(engine, bits))
    pattern = pattern_of_command(frame, immediate, header.pattern_seed_x, header.pattern_seed_y)
    return frame.draw(pattern=pattern, source=source)


@draws(XY_FULL_MONO_PATTERN_MONO_SRC_BLT, XyFullMonoPatternMonoSrcBlt)
def full_mono_both(engine: EngineState, command: XyFullMonoPatternMonoSrcBlt, immediate: bytes) -> Drawing | None:
    """Pattern and source have two colours each; a pixel is written where neither says no."""
    (
        header, control, top_left, bottom_right, destination, bits, background, foreground,
        pattern_background, pattern_foreground, pattern_bits,
    ) = command  # fmt: skip
    frame = drawing_frame(engine, header, control, top_left, bottom_right, destination)
    source = mono_source(frame, control, background, foreground, header.first_bit, bits_of_memory(engine, bits))
    pattern = one_bit_pattern(
        frame.depth, control, pattern_background, pattern_foreground, pattern_bits, header.pattern_seed_x, header.pattern_seed_y
    )  # fmt: skip
    return frame.draw(pattern=pattern, source=source) if pattern is not None else None
