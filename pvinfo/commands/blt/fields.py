"""What the dwords of 2D commands hold: headers, how a rectangle is drawn, corners and sizes."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from ...bits import Bits, choice, flag, uint
from ...platform import Engine
from ..command import Client

__all__ = (
    "BLITTER",
    "BLT_MASK",
    "BltHeader",
    "ClipCorner",
    "ColorDepth",
    "Control",
    "Corner",
    "FastControl",
    "FastCopyDepth",
    "FastCopyTiling",
    "FastHeader",
    "FixedHeader",
    "FixedPattern",
    "FullHeader",
    "FullMonoHeader",
    "KeyMode",
    "KeySeedHeader",
    "KeySourceHeader",
    "LinearCopyControl",
    "LinearHeader",
    "MaskedHeader",
    "MonoHeader",
    "Pitch",
    "ScanHeader",
    "SeedHeader",
    "Size",
    "SourceHeader",
    "TextHeader",
    "TiledHeader",
)

PRM: Final = "prm:skl:vol2a"
KEY_SOURCE: Final = "prm:snb:vol1part5"

BLT_MASK: Final = 0xFFC00000
"""The bits that tell one 2D command from another: client and opcode. Source: linux:drivers/gpu/drm/i915/i915_cmd_parser.c"""
BLITTER: Final = frozenset({Engine.BCS0})


class ColorDepth(IntEnum):
    """Bits of a pixel."""

    BPP_8 = 0
    BPP_16_565 = 1
    """5 bits of red, 6 of green, 5 of blue"""
    BPP_16_1555 = 2
    """a bit of alpha and 5 of each colour"""
    BPP_32 = 3


class FastCopyDepth(IntEnum):
    """Bits of a pixel, as the fast copy counts them."""

    BPP_8 = 0
    BPP_16 = 1
    BPP_32 = 3
    BPP_64 = 4
    BPP_128 = 5


class FastCopyTiling(IntEnum):
    """How a surface of the fast copy is tiled."""

    LINEAR = 0
    X = 1
    Y = 2
    """Y, or Yf where the control says so"""
    YS = 3


class KeyMode(IntEnum):
    """Which pixels a colour key leaves out. Even numbers turn it off; alpha counts as a colour where it says so. Source: prm:snb:vol1part5"""

    NONE = 0
    SOURCE = 1
    """those whose source is in the range"""
    SOURCE_AND_ALPHA = 3
    """those whose source is in the range"""
    DESTINATION_AND_ALPHA = 5
    """those whose destination is outside the range"""
    DESTINATION = 7
    """those whose destination is outside the range"""


class FixedPattern(IntEnum):
    """The blitter's own patterns of 8 by 8 bits. Source: prm:snb:vol1part5"""

    HORIZONTAL = 0
    VERTICAL = 1
    FORWARD_DIAGONAL = 2
    BACKWARD_DIAGONAL = 3
    CROSS = 4
    DIAGONAL_CROSS = 5
    SCREEN_DOOR = 8
    WIDE_SCREEN_DOOR = 9
    WALKING_ONE = 10
    WALKING_ZERO = 11


class BltHeader(Bits):
    """Header of a 2D command."""

    length = uint(0, 8, "dwords that follow the second one", unit="dwords", source=PRM)
    opcode = uint(22, 7, "which command", source=PRM)
    client = choice(29, 3, Client, "two: the blitter", source=PRM)


class TiledHeader(BltHeader):
    """Header of a command that draws on a surface."""

    destination_tiled = flag(11, "the surface drawn on is tiled", source=PRM)


class MaskedHeader(TiledHeader):
    """Header of a command that can leave out channels of 32-bit pixels."""

    write_rgb = flag(20, "colour channels are written", source=PRM)
    write_alpha = flag(21, "the alpha channel is written", source=PRM)


class SeedHeader(MaskedHeader):
    """Header of a command with a pattern."""

    pattern_seed_y = uint(8, 3, "the pattern's row at the surface's top", source=PRM)
    pattern_seed_x = uint(12, 3, "the pattern's column at the surface's left edge", source=PRM)


class KeySeedHeader(SeedHeader):
    """Header of a command with a pattern and a colour key."""

    key_mode = choice(17, 3, KeyMode, "which pixels the key leaves out", source=KEY_SOURCE)


class FixedHeader(SeedHeader):
    """Header of a command with one of the blitter's own patterns."""

    fixed_pattern = choice(15, 4, FixedPattern, "the pattern", source=KEY_SOURCE)


class SourceHeader(MaskedHeader):
    """Header of a command that reads a surface."""

    source_tiled = flag(15, "the surface read is tiled", source=PRM)


class KeySourceHeader(SourceHeader):
    """Header of a command that reads a surface and has a colour key."""

    key_mode = choice(17, 3, KeyMode, "which pixels the key leaves out", source=KEY_SOURCE)


class MonoHeader(MaskedHeader):
    """Header of a command that reads bits."""

    first_bit = uint(17, 3, "bits of the first byte of a row that are passed over", source=PRM)


class FullHeader(SeedHeader):
    """Header of a command with source and pattern."""

    source_tiled = flag(15, "the surface read is tiled", source=PRM)


class FullMonoHeader(SeedHeader):
    """Header of a command with a source of bits and a pattern."""

    first_bit = uint(17, 3, "bits of the first byte of a row that are passed over", source=PRM)


class ScanHeader(TiledHeader):
    """Header of a command that draws scan lines."""

    pattern_seed_y = uint(8, 3, "the pattern's row at the surface's top", source=PRM)
    pattern_seed_x = uint(12, 3, "the pattern's column at the surface's left edge", source=PRM)


class TextHeader(TiledHeader):
    """Header of a command that draws text."""

    byte_packed = flag(16, "each row of bits begins at a byte; else at the bit behind the row before it", source=PRM)


class LinearHeader(BltHeader):
    """Header of a command on linear surfaces."""

    write_rgb = flag(20, "colour channels are written", source=PRM)
    write_alpha = flag(21, "the alpha channel is written", source=PRM)


class FastHeader(BltHeader):
    """Header of the fast copy."""

    destination_tiling = choice(13, 2, FastCopyTiling, "tiling of the surface drawn on", source=PRM)
    source_tiling = choice(20, 2, FastCopyTiling, "tiling of the surface read", source=PRM)


class Control(Bits):
    """How a rectangle is drawn; the manual's BR13."""

    pitch = uint(0, 16, "pitch of the destination, signed; bytes of a linear surface, dwords of a tiled one", source=PRM)
    raster_operation = uint(16, 8, "how pattern, source and destination make the result: one of 256", source=PRM)
    depth = choice(24, 2, ColorDepth, "bits of a pixel", source=PRM)
    mono_pattern_transparent = flag(28, "pattern bits that are 0 draw nothing", source=PRM)
    mono_source_transparent = flag(29, "source bits that are 0 draw nothing", source=PRM)
    clipping = flag(30, "only what is in the clipping rectangle is drawn", source=PRM)
    solid_pattern = flag(31, "the pattern is its background colour throughout", source=PRM)


class LinearCopyControl(Bits):
    """How a linear surface is copied."""

    pitch = uint(0, 16, "pitch of the destination, signed", source=PRM)
    raster_operation = uint(16, 8, "how source and destination make the result", source=PRM)
    depth = choice(24, 2, ColorDepth, "bits of a pixel", source=PRM)
    backwards = flag(30, "from right to left", source=PRM)


class FastControl(Bits):
    """How the fast copy copies."""

    pitch = uint(0, 16, "pitch of the destination; bytes of a linear surface, dwords of a tiled one", source=PRM)
    depth = choice(24, 3, FastCopyDepth, "bits of a pixel", source=PRM)
    destination_yf = flag(30, "the destination's Y tiling is the newer Yf", source=PRM)
    source_yf = flag(31, "the source's Y tiling is the newer Yf", source=PRM)


class Corner(Bits):
    """A pixel of a surface."""

    x = uint(0, 16, "column, signed", unit="pixels", source=PRM)
    y = uint(16, 16, "row, signed", unit="pixels", source=PRM)


class ClipCorner(Bits):
    """A corner of the clipping rectangle."""

    x = uint(0, 15, "column", unit="pixels", source=PRM)
    y = uint(16, 15, "row", unit="pixels", source=PRM)


class Pitch(Bits):
    """Distance from row to row."""

    pitch = uint(0, 16, "signed; bytes of a linear surface, dwords of a tiled one", source=PRM)


class Size(Bits):
    """Extent of a linear operation."""

    width = uint(0, 16, "of a row, in bytes", unit="bytes", source=PRM)
    height = uint(16, 16, "rows", unit="rows", source=PRM)
