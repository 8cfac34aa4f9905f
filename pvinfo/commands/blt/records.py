"""The dwords of each 2D command."""

from __future__ import annotations

from typing import Annotated, Final, NamedTuple

from ...wire import u32, u64
from ..command import Client
from .fields import (
    ClipCorner,
    Control,
    Corner,
    FastControl,
    FastHeader,
    FixedHeader,
    FullHeader,
    FullMonoHeader,
    KeySeedHeader,
    KeySourceHeader,
    LinearCopyControl,
    LinearHeader,
    MaskedHeader,
    MonoHeader,
    Pitch,
    ScanHeader,
    SeedHeader,
    Size,
    SourceHeader,
    TextHeader,
    TiledHeader,
)

__all__ = (
    "BltDword",
    "ColorBlt",
    "SrcCopyBlt",
    "XyColorBlt",
    "XyFastCopyBlt",
    "XyFullBlt",
    "XyFullImmediatePatternBlt",
    "XyFullMonoPatternBlt",
    "XyFullMonoPatternMonoSrcBlt",
    "XyFullMonoSrcBlt",
    "XyFullMonoSrcImmediatePatternBlt",
    "XyMonoPatBlt",
    "XyMonoPatFixedBlt",
    "XyMonoSrcCopyBlt",
    "XyMonoSrcCopyImmediateBlt",
    "XyPatBlt",
    "XyPatBltImmediate",
    "XyPatChromaBlt",
    "XyPatChromaBltImmediate",
    "XyPixelBlt",
    "XyScanlinesBlt",
    "XySetupBlt",
    "XySetupClipBlt",
    "XySetupMonoPatternSlBlt",
    "XySrcCopyBlt",
    "XySrcCopyChromaBlt",
    "XyTextBlt",
    "XyTextImmediateBlt",
)

PRM: Final = "prm:skl:vol2a"


def _header(opcode: int, dwords: int) -> int:
    return Client.BLITTER << 29 | opcode << 22 | dwords - 2


class BltDword(NamedTuple):
    """A dword of the bits or of the pattern that follow a command."""

    value: Annotated[int, u32("bits, or part of a pattern", source=PRM)]


_Control = Annotated[Control, u32("how it is drawn: pitch of the destination, raster operation, depth, clipping", source=PRM)]
_LinearCopyControl = Annotated[LinearCopyControl, u32("how it is copied: pitch of the destination, raster operation, depth, direction", source=PRM)]
_FastControl = Annotated[FastControl, u32("how it is copied: pitch of the destination, depth, the newer tilings", source=PRM)]
_ClipTopLeft = Annotated[ClipCorner, u32("the first pixel that clipping lets through", source=PRM)]
_ClipBottomRight = Annotated[ClipCorner, u32("the pixel behind the last that clipping lets through", source=PRM)]
_TopLeft = Annotated[Corner, u32("the first pixel of the rectangle", source=PRM)]
_BottomRight = Annotated[Corner, u32("the pixel behind the last of the rectangle", source=PRM)]
_Destination = Annotated[int, u64("address of the surface that is drawn on", unit="bytes", source=PRM)]
_Source = Annotated[int, u64("address of the surface or of the bits that are read", unit="bytes", source=PRM)]
_SourceTopLeft = Annotated[Corner, u32("the first pixel that is read", source=PRM)]
_SourcePitch = Annotated[Pitch, u32("pitch of the surface that is read", source=PRM)]
_Background = Annotated[int, u32("the colour of bits that are 0", source=PRM)]
_Foreground = Annotated[int, u32("the colour of bits that are 1", source=PRM)]
_PatternBackground = Annotated[int, u32("the colour of pattern bits that are 0", source=PRM)]
_PatternForeground = Annotated[int, u32("the colour of pattern bits that are 1", source=PRM)]
_Pattern = Annotated[int, u64("address of the 8 by 8 pattern", unit="bytes", source=PRM)]
_PatternBits = Annotated[int, u64("the 8 by 8 pattern itself: a byte a row, the top row first", source=PRM)]
_Color = Annotated[int, u32("the colour that is filled in", source=PRM)]
_KeyLow = Annotated[int, u32("the lowest colour that the key takes", source=PRM)]
_KeyHigh = Annotated[int, u32("the highest colour that the key takes", source=PRM)]
_Size = Annotated[Size, u32("how much is drawn", source=PRM)]


class XySetupBlt(NamedTuple):
    """Sets what pixels, scan lines and text are drawn with."""

    header: Annotated[MaskedHeader, u32("the command", source=PRM)] = MaskedHeader(_header(0x01, 10))
    control: _Control = Control(0)
    clip_top_left: _ClipTopLeft = ClipCorner(0)
    clip_bottom_right: _ClipBottomRight = ClipCorner(0)
    destination: _Destination = 0
    background: _Background = 0
    foreground: _Foreground = 0
    pattern: _Pattern = 0


class XySetupMonoPatternSlBlt(NamedTuple):
    """Sets what scan lines are drawn with, with a pattern of bits."""

    header: Annotated[MaskedHeader, u32("the command", source=PRM)] = MaskedHeader(_header(0x11, 10))
    control: _Control = Control(0)
    clip_top_left: _ClipTopLeft = ClipCorner(0)
    clip_bottom_right: _ClipBottomRight = ClipCorner(0)
    destination: _Destination = 0
    background: _Background = 0
    foreground: _Foreground = 0
    pattern: _PatternBits = 0


class XySetupClipBlt(NamedTuple):
    """Sets the clipping rectangle alone."""

    header: Annotated[TiledHeader, u32("the command", source=PRM)] = TiledHeader(_header(0x03, 3))
    clip_top_left: _ClipTopLeft = ClipCorner(0)
    clip_bottom_right: _ClipBottomRight = ClipCorner(0)


class XyPixelBlt(NamedTuple):
    """Draws one pixel of the background colour that was set up."""

    header: Annotated[TiledHeader, u32("the command", source=PRM)] = TiledHeader(_header(0x24, 2))
    top_left: _TopLeft = Corner(0)


class XyScanlinesBlt(NamedTuple):
    """Draws scan lines of the pattern that was set up."""

    header: Annotated[ScanHeader, u32("the command", source=PRM)] = ScanHeader(_header(0x25, 3))
    top_left: _TopLeft = Corner(0)
    bottom_right: _BottomRight = Corner(0)


class XyTextBlt(NamedTuple):
    """Draws bits in memory in the two colours that were set up."""

    header: Annotated[TextHeader, u32("the command", source=PRM)] = TextHeader(_header(0x26, 5))
    top_left: _TopLeft = Corner(0)
    bottom_right: _BottomRight = Corner(0)
    source: _Source = 0


class XyTextImmediateBlt(NamedTuple):
    """Draws bits that follow in the command in the two colours that were set up."""

    header: Annotated[TextHeader, u32("the command", source=PRM)] = TextHeader(_header(0x31, 3))
    top_left: _TopLeft = Corner(0)
    bottom_right: _BottomRight = Corner(0)


class XyColorBlt(NamedTuple):
    """Fills a rectangle with a colour."""

    header: Annotated[MaskedHeader, u32("the command", source=PRM)] = MaskedHeader(_header(0x50, 7))
    control: _Control = Control(0)
    top_left: _TopLeft = Corner(0)
    bottom_right: _BottomRight = Corner(0)
    destination: _Destination = 0
    color: _Color = 0


class XyPatBlt(NamedTuple):
    """Fills a rectangle with a coloured 8 by 8 pattern in memory."""

    header: Annotated[SeedHeader, u32("the command", source=PRM)] = SeedHeader(_header(0x51, 8))
    control: _Control = Control(0)
    top_left: _TopLeft = Corner(0)
    bottom_right: _BottomRight = Corner(0)
    destination: _Destination = 0
    pattern: _Pattern = 0


class XyMonoPatBlt(NamedTuple):
    """Fills a rectangle with an 8 by 8 pattern of bits, in two colours."""

    header: Annotated[SeedHeader, u32("the command", source=PRM)] = SeedHeader(_header(0x52, 10))
    control: _Control = Control(0)
    top_left: _TopLeft = Corner(0)
    bottom_right: _BottomRight = Corner(0)
    destination: _Destination = 0
    background: _Background = 0
    foreground: _Foreground = 0
    pattern: _PatternBits = 0


class XySrcCopyBlt(NamedTuple):
    """Copies a rectangle from one surface to another, or within one."""

    header: Annotated[SourceHeader, u32("the command", source=PRM)] = SourceHeader(_header(0x53, 10))
    control: _Control = Control(0)
    top_left: _TopLeft = Corner(0)
    bottom_right: _BottomRight = Corner(0)
    destination: _Destination = 0
    source_top_left: _SourceTopLeft = Corner(0)
    source_pitch: _SourcePitch = Pitch(0)
    source: _Source = 0


class XyMonoSrcCopyBlt(NamedTuple):
    """Draws bits in memory in two colours."""

    header: Annotated[MonoHeader, u32("the command", source=PRM)] = MonoHeader(_header(0x54, 10))
    control: _Control = Control(0)
    top_left: _TopLeft = Corner(0)
    bottom_right: _BottomRight = Corner(0)
    destination: _Destination = 0
    source: _Source = 0
    background: _Background = 0
    foreground: _Foreground = 0


class XyFullBlt(NamedTuple):
    """Combines source, coloured pattern and destination."""

    header: Annotated[FullHeader, u32("the command", source=PRM)] = FullHeader(_header(0x55, 12))
    control: _Control = Control(0)
    top_left: _TopLeft = Corner(0)
    bottom_right: _BottomRight = Corner(0)
    destination: _Destination = 0
    source_pitch: _SourcePitch = Pitch(0)
    source_top_left: _SourceTopLeft = Corner(0)
    source: _Source = 0
    pattern: _Pattern = 0


class XyFullMonoSrcBlt(NamedTuple):
    """Combines bits in memory, a coloured pattern and the destination."""

    header: Annotated[FullMonoHeader, u32("the command", source=PRM)] = FullMonoHeader(_header(0x56, 12))
    control: _Control = Control(0)
    top_left: _TopLeft = Corner(0)
    bottom_right: _BottomRight = Corner(0)
    destination: _Destination = 0
    source: _Source = 0
    background: _Background = 0
    foreground: _Foreground = 0
    pattern: _Pattern = 0


class XyFullMonoPatternBlt(NamedTuple):
    """Combines source, a pattern of bits and the destination."""

    header: Annotated[FullHeader, u32("the command", source=PRM)] = FullHeader(_header(0x57, 14))
    control: _Control = Control(0)
    top_left: _TopLeft = Corner(0)
    bottom_right: _BottomRight = Corner(0)
    destination: _Destination = 0
    source_pitch: _SourcePitch = Pitch(0)
    source_top_left: _SourceTopLeft = Corner(0)
    source: _Source = 0
    pattern_background: _PatternBackground = 0
    pattern_foreground: _PatternForeground = 0
    pattern: _PatternBits = 0


class XyFullMonoPatternMonoSrcBlt(NamedTuple):
    """Combines bits in memory, a pattern of bits and the destination."""

    header: Annotated[FullMonoHeader, u32("the command", source=PRM)] = FullMonoHeader(_header(0x58, 14))
    control: _Control = Control(0)
    top_left: _TopLeft = Corner(0)
    bottom_right: _BottomRight = Corner(0)
    destination: _Destination = 0
    source: _Source = 0
    background: _Background = 0
    foreground: _Foreground = 0
    pattern_background: _PatternBackground = 0
    pattern_foreground: _PatternForeground = 0
    pattern: _PatternBits = 0


class XyMonoPatFixedBlt(NamedTuple):
    """Fills a rectangle with one of the blitter's own patterns, in two colours."""

    header: Annotated[FixedHeader, u32("the command", source=PRM)] = FixedHeader(_header(0x59, 8))
    control: _Control = Control(0)
    top_left: _TopLeft = Corner(0)
    bottom_right: _BottomRight = Corner(0)
    destination: _Destination = 0
    background: _Background = 0
    foreground: _Foreground = 0


class XyMonoSrcCopyImmediateBlt(NamedTuple):
    """Draws bits that follow in the command in two colours."""

    header: Annotated[MonoHeader, u32("the command", source=PRM)] = MonoHeader(_header(0x71, 8))
    control: _Control = Control(0)
    top_left: _TopLeft = Corner(0)
    bottom_right: _BottomRight = Corner(0)
    destination: _Destination = 0
    background: _Background = 0
    foreground: _Foreground = 0


class XyPatBltImmediate(NamedTuple):
    """Fills a rectangle with a coloured pattern that follows in the command."""

    header: Annotated[SeedHeader, u32("the command", source=PRM)] = SeedHeader(_header(0x72, 6))
    control: _Control = Control(0)
    top_left: _TopLeft = Corner(0)
    bottom_right: _BottomRight = Corner(0)
    destination: _Destination = 0


class XySrcCopyChromaBlt(NamedTuple):
    """Copies a rectangle, but for the pixels that a colour key leaves out."""

    header: Annotated[KeySourceHeader, u32("the command", source=PRM)] = KeySourceHeader(_header(0x73, 12))
    control: _Control = Control(0)
    top_left: _TopLeft = Corner(0)
    bottom_right: _BottomRight = Corner(0)
    destination: _Destination = 0
    source_top_left: _SourceTopLeft = Corner(0)
    source_pitch: _SourcePitch = Pitch(0)
    source: _Source = 0
    key_low: _KeyLow = 0
    key_high: _KeyHigh = 0


class XyFullImmediatePatternBlt(NamedTuple):
    """Combines source, a coloured pattern that follows in the command, and destination."""

    header: Annotated[FullHeader, u32("the command", source=PRM)] = FullHeader(_header(0x74, 10))
    control: _Control = Control(0)
    top_left: _TopLeft = Corner(0)
    bottom_right: _BottomRight = Corner(0)
    destination: _Destination = 0
    source_pitch: _SourcePitch = Pitch(0)
    source_top_left: _SourceTopLeft = Corner(0)
    source: _Source = 0


class XyFullMonoSrcImmediatePatternBlt(NamedTuple):
    """Combines bits in memory, a coloured pattern that follows in the command, and the destination."""

    header: Annotated[FullMonoHeader, u32("the command", source=PRM)] = FullMonoHeader(_header(0x75, 10))
    control: _Control = Control(0)
    top_left: _TopLeft = Corner(0)
    bottom_right: _BottomRight = Corner(0)
    destination: _Destination = 0
    source: _Source = 0
    background: _Background = 0
    foreground: _Foreground = 0


class XyPatChromaBlt(NamedTuple):
    """Fills a rectangle with a coloured pattern, but for the pixels that a colour key leaves out."""

    header: Annotated[KeySeedHeader, u32("the command", source=PRM)] = KeySeedHeader(_header(0x76, 10))
    control: _Control = Control(0)
    top_left: _TopLeft = Corner(0)
    bottom_right: _BottomRight = Corner(0)
    destination: _Destination = 0
    pattern: _Pattern = 0
    key_low: _KeyLow = 0
    key_high: _KeyHigh = 0


class XyPatChromaBltImmediate(NamedTuple):
    """Fills a rectangle with a pattern that follows in the command, but for the pixels that a colour key leaves out."""

    header: Annotated[KeySeedHeader, u32("the command", source=PRM)] = KeySeedHeader(_header(0x77, 8))
    control: _Control = Control(0)
    top_left: _TopLeft = Corner(0)
    bottom_right: _BottomRight = Corner(0)
    destination: _Destination = 0
    key_low: _KeyLow = 0
    key_high: _KeyHigh = 0


class ColorBlt(NamedTuple):
    """Fills a linear surface with a colour; the size is in bytes and rows."""

    header: Annotated[LinearHeader, u32("the command", source=PRM)] = LinearHeader(_header(0x40, 6))
    control: _Control = Control(0)
    size: _Size = Size(0)
    destination: _Destination = 0
    color: _Color = 0


class SrcCopyBlt(NamedTuple):
    """Copies between linear surfaces; the size is in bytes and rows."""

    header: Annotated[LinearHeader, u32("the command", source=PRM)] = LinearHeader(_header(0x43, 8))
    control: _LinearCopyControl = LinearCopyControl(0)
    size: _Size = Size(0)
    destination: _Destination = 0
    source_pitch: _SourcePitch = Pitch(0)
    source: _Source = 0


class XyFastCopyBlt(NamedTuple):
    """Copies a rectangle without any raster operation; what the kernel moves memory with."""

    header: Annotated[FastHeader, u32("the command", source=PRM)] = FastHeader(_header(0x42, 10))
    control: _FastControl = FastControl(0)
    top_left: _TopLeft = Corner(0)
    bottom_right: _BottomRight = Corner(0)
    destination: _Destination = 0
    source_top_left: _SourceTopLeft = Corner(0)
    source_pitch: _SourcePitch = Pitch(0)
    source: _Source = 0
