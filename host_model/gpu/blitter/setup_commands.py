"""The setup commands, and the commands that draw by what they left: pixels, scan lines, text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pvinfo.commands.blt import (
    XY_PIXEL_BLT,
    XY_SCANLINES_BLT,
    XY_SETUP_BLT,
    XY_SETUP_CLIP_BLT,
    XY_SETUP_MONO_PATTERN_SL_BLT,
    XY_TEXT_BLT,
    XY_TEXT_IMMEDIATE_BLT,
    Control,
    MaskedHeader,
    TextHeader,
    XyPixelBlt,
    XyScanlinesBlt,
    XySetupBlt,
    XySetupClipBlt,
    XySetupMonoPatternSlBlt,
    XyTextBlt,
    XyTextImmediateBlt,
)

from ..surface.rectangle import Rectangle, signed16
from .depth import DEPTHS
from .drawing import Drawing
from .execution import draws
from .frame import Frame, channels_of, surface_of
from .pattern import Pattern, solid_pattern
from .reading import BitReader, bits_of_command, bits_of_memory, clip_rectangle, corners, one_bit_pattern, pattern_of_memory, target_tiling
from .source import MonoSource
from .state import SetupState, setup_state

if TYPE_CHECKING:
    from ..engine_state import EngineState

__all__ = ()

_MONO: Final = XySetupMonoPatternSlBlt().header.opcode


@draws(XY_SETUP_BLT, XySetupBlt)
def setup(engine: EngineState, command: XySetupBlt, immediate: bytes) -> Drawing | None:
    """Keep everything, with a colour pattern."""
    setup_state(engine).take(
        SetupState(
            command.header, command.control, command.background, command.foreground, command.pattern, command.destination,
            0, command.clip_top_left, command.clip_bottom_right,
        )
    )  # fmt: skip
    return None


@draws(XY_SETUP_MONO_PATTERN_SL_BLT, XySetupMonoPatternSlBlt)
def setup_mono_pattern(engine: EngineState, command: XySetupMonoPatternSlBlt, immediate: bytes) -> Drawing | None:
    """Keep everything, with a monochrome pattern."""
    setup_state(engine).take(
        SetupState(
            command.header, command.control, command.background, command.foreground, 0, command.destination,
            command.pattern, command.clip_top_left, command.clip_bottom_right,
        )
    )  # fmt: skip
    return None


@draws(XY_SETUP_CLIP_BLT, XySetupClipBlt)
def setup_clip(engine: EngineState, command: XySetupClipBlt, immediate: bytes) -> Drawing | None:
    """Keep the clipping rectangle."""
    state = setup_state(engine)
    state.clip_top_left = command.clip_top_left
    state.clip_bottom_right = command.clip_bottom_right
    return None


def _frame(engine: EngineState, rectangle: Rectangle, *, tiled: bool) -> Frame:
    state = setup_state(engine)
    header, control = MaskedHeader(state.header), Control(state.control)
    depth = DEPTHS[control.depth]
    return Frame(
        surface_of("destination", state.destination, control.pitch, target_tiling(engine, tiled=tiled)),
        rectangle,
        clip_rectangle(state.clip_top_left, state.clip_bottom_right) if control.clipping else None,
        depth,
        control.raster_operation,
        channels_of(depth, rgb=header.write_rgb, alpha=header.write_alpha),
    )


@draws(XY_PIXEL_BLT, XyPixelBlt)
def pixel(engine: EngineState, command: XyPixelBlt, immediate: bytes) -> Drawing | None:
    """Draw one pixel; its colour is the background."""
    x, y = signed16(command.top_left.x), signed16(command.top_left.y)
    frame = _frame(engine, Rectangle(x, y, x + 1, y + 1), tiled=command.header.destination_tiled)
    frame.refuse_negative_pitch()
    return frame.draw(pattern=solid_pattern(frame.depth, setup_state(engine).background))


@draws(XY_SCANLINES_BLT, XyScanlinesBlt)
def scanlines(engine: EngineState, command: XyScanlinesBlt, immediate: bytes) -> Drawing | None:
    """Draw a rectangle with the pattern."""
    header, state = command.header, setup_state(engine)
    frame = _frame(engine, corners(command.top_left, command.bottom_right), tiled=header.destination_tiled)
    pattern: Pattern | None
    if MaskedHeader(state.header).opcode == _MONO:
        pattern = one_bit_pattern(
            frame.depth, Control(state.control), state.background, state.foreground, state.mono_pattern,
            header.pattern_seed_x, header.pattern_seed_y,
        )  # fmt: skip
        if pattern is None:
            return None
    else:
        pattern = pattern_of_memory(engine, frame, state.pattern, header.pattern_seed_x, header.pattern_seed_y)
    return frame.draw(pattern=pattern)


def _text(engine: EngineState, header: TextHeader, rectangle: Rectangle, source: BitReader | bytes) -> Drawing:
    """Lines of text follow each other without a gap, or each begins at a byte."""
    state = setup_state(engine)
    frame = _frame(engine, rectangle, tiled=header.destination_tiled)
    frame.refuse_negative_pitch()
    width = rectangle.width
    stride = -(-width // 8) * 8 if header.byte_packed else width
    if isinstance(source, bytes):
        source = bits_of_command(source, rectangle.height, stride, 0, width)
    zero, one = frame.depth.pixel(state.background), frame.depth.pixel(state.foreground)
    transparent = Control(state.control).mono_source_transparent
    return frame.draw(source=MonoSource(source, rectangle.left, rectangle.top, 0, stride, zero, one, transparent))


@draws(XY_TEXT_BLT, XyTextBlt)
def text(engine: EngineState, command: XyTextBlt, immediate: bytes) -> Drawing | None:
    """Draw glyphs from memory."""
    return _text(engine, command.header, corners(command.top_left, command.bottom_right), bits_of_memory(engine, command.source))


@draws(XY_TEXT_IMMEDIATE_BLT, XyTextImmediateBlt)
def text_immediate(engine: EngineState, command: XyTextImmediateBlt, immediate: bytes) -> Drawing | None:
    """Draw glyphs that the command carries."""
    return _text(engine, command.header, corners(command.top_left, command.bottom_right), immediate)
