"""The commands of the 2D engine, the blitter.

Most of them draw a rectangle of a surface: the raster operation combines what is there with a pattern and with a source.
The ``XY_`` commands count in pixels from the surface's corner; the two others in bytes. Addresses are of the context's own
page tables. What ends in ``IMMEDIATE`` is followed by its bits or pattern, dword by dword.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

from ...bits import Bits
from ..command import Audit, Command, Form, counted
from .fields import (
    BLITTER,
    BLT_MASK,
    BltHeader,
    ClipCorner,
    ColorDepth,
    Control,
    Corner,
    FastControl,
    FastCopyDepth,
    FastCopyTiling,
    FastHeader,
    FixedHeader,
    FixedPattern,
    FullHeader,
    FullMonoHeader,
    KeyMode,
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
from .records import (
    BltDword,
    ColorBlt,
    SrcCopyBlt,
    XyColorBlt,
    XyFastCopyBlt,
    XyFullBlt,
    XyFullImmediatePatternBlt,
    XyFullMonoPatternBlt,
    XyFullMonoPatternMonoSrcBlt,
    XyFullMonoSrcBlt,
    XyFullMonoSrcImmediatePatternBlt,
    XyMonoPatBlt,
    XyMonoPatFixedBlt,
    XyMonoSrcCopyBlt,
    XyMonoSrcCopyImmediateBlt,
    XyPatBlt,
    XyPatBltImmediate,
    XyPatChromaBlt,
    XyPatChromaBltImmediate,
    XyPixelBlt,
    XyScanlinesBlt,
    XySetupBlt,
    XySetupClipBlt,
    XySetupMonoPatternSlBlt,
    XySrcCopyBlt,
    XySrcCopyChromaBlt,
    XyTextBlt,
    XyTextImmediateBlt,
)

__all__ = (
    "BLITTER",
    "BLT_COMMANDS",
    "BLT_MASK",
    "COLOR_BLT",
    "SRC_COPY_BLT",
    "XY_COLOR_BLT",
    "XY_FAST_COPY_BLT",
    "XY_FULL_BLT",
    "XY_FULL_IMMEDIATE_PATTERN_BLT",
    "XY_FULL_MONO_PATTERN_BLT",
    "XY_FULL_MONO_PATTERN_MONO_SRC_BLT",
    "XY_FULL_MONO_SRC_BLT",
    "XY_FULL_MONO_SRC_IMMEDIATE_PATTERN_BLT",
    "XY_MONO_PAT_BLT",
    "XY_MONO_PAT_FIXED_BLT",
    "XY_MONO_SRC_COPY_BLT",
    "XY_MONO_SRC_COPY_IMMEDIATE_BLT",
    "XY_PAT_BLT",
    "XY_PAT_BLT_IMMEDIATE",
    "XY_PAT_CHROMA_BLT",
    "XY_PAT_CHROMA_BLT_IMMEDIATE",
    "XY_PIXEL_BLT",
    "XY_SCANLINES_BLT",
    "XY_SETUP_BLT",
    "XY_SETUP_CLIP_BLT",
    "XY_SETUP_MONO_PATTERN_SL_BLT",
    "XY_SRC_COPY_BLT",
    "XY_SRC_COPY_CHROMA_BLT",
    "XY_TEXT_BLT",
    "XY_TEXT_IMMEDIATE_BLT",
    "BltDword",
    "BltHeader",
    "ClipCorner",
    "ColorBlt",
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
    "SrcCopyBlt",
    "TextHeader",
    "TiledHeader",
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

H = TypeVar("H", bound=Bits)


def _command(
    name: str, record: type[tuple[Any, ...]], header: H, doc: str, *, tail: type[tuple[Any, ...]] | None = None, audit: Audit = Audit.PASSED, since: int = 8
) -> Command[H]:
    return Command(
        name, int(header) & BLT_MASK, BLT_MASK, type(header), doc, engines=BLITTER, length=counted(8),
        forms=(Form(record, tail=tail, source=PRM),), audit=audit, since=since, source=PRM,
    )  # fmt: skip


XY_SETUP_BLT: Final = _command("XY_SETUP_BLT", XySetupBlt, XySetupBlt().header, "Sets what pixels, scan lines and text are drawn with.")
XY_SETUP_MONO_PATTERN_SL_BLT: Final = _command("XY_SETUP_MONO_PATTERN_SL_BLT", XySetupMonoPatternSlBlt, XySetupMonoPatternSlBlt().header, "Sets what scan lines are drawn with, with a pattern of bits.")
XY_SETUP_CLIP_BLT: Final = _command("XY_SETUP_CLIP_BLT", XySetupClipBlt, XySetupClipBlt().header, "Sets the clipping rectangle alone.")
XY_PIXEL_BLT: Final = _command("XY_PIXEL_BLT", XyPixelBlt, XyPixelBlt().header, "Draws one pixel of the background colour that was set up.")
XY_SCANLINES_BLT: Final = _command("XY_SCANLINES_BLT", XyScanlinesBlt, XyScanlinesBlt().header, "Draws scan lines of the pattern that was set up.")
XY_TEXT_BLT: Final = _command("XY_TEXT_BLT", XyTextBlt, XyTextBlt().header, "Draws bits in memory in the two colours that were set up.")
XY_TEXT_IMMEDIATE_BLT: Final = _command("XY_TEXT_IMMEDIATE_BLT", XyTextImmediateBlt, XyTextImmediateBlt().header, "Draws bits that follow in the command in the two colours that were set up.", tail=BltDword)
XY_COLOR_BLT: Final = _command("XY_COLOR_BLT", XyColorBlt, XyColorBlt().header, "Fills a rectangle with a colour.")
XY_PAT_BLT: Final = _command("XY_PAT_BLT", XyPatBlt, XyPatBlt().header, "Fills a rectangle with a coloured 8 by 8 pattern in memory.")
XY_MONO_PAT_BLT: Final = _command("XY_MONO_PAT_BLT", XyMonoPatBlt, XyMonoPatBlt().header, "Fills a rectangle with an 8 by 8 pattern of bits, in two colours.")
XY_SRC_COPY_BLT: Final = _command("XY_SRC_COPY_BLT", XySrcCopyBlt, XySrcCopyBlt().header, "Copies a rectangle from one surface to another, or within one.")
XY_MONO_SRC_COPY_BLT: Final = _command("XY_MONO_SRC_COPY_BLT", XyMonoSrcCopyBlt, XyMonoSrcCopyBlt().header, "Draws bits in memory in two colours.")
XY_FULL_BLT: Final = _command("XY_FULL_BLT", XyFullBlt, XyFullBlt().header, "Combines source, coloured pattern and destination.")
XY_FULL_MONO_SRC_BLT: Final = _command("XY_FULL_MONO_SRC_BLT", XyFullMonoSrcBlt, XyFullMonoSrcBlt().header, "Combines bits in memory, a coloured pattern and the destination.")
XY_FULL_MONO_PATTERN_BLT: Final = _command("XY_FULL_MONO_PATTERN_BLT", XyFullMonoPatternBlt, XyFullMonoPatternBlt().header, "Combines source, a pattern of bits and the destination.")
XY_FULL_MONO_PATTERN_MONO_SRC_BLT: Final = _command("XY_FULL_MONO_PATTERN_MONO_SRC_BLT", XyFullMonoPatternMonoSrcBlt, XyFullMonoPatternMonoSrcBlt().header, "Combines bits in memory, a pattern of bits and the destination.")
XY_MONO_PAT_FIXED_BLT: Final = _command("XY_MONO_PAT_FIXED_BLT", XyMonoPatFixedBlt, XyMonoPatFixedBlt().header, "Fills a rectangle with one of the blitter's own patterns, in two colours.")
XY_MONO_SRC_COPY_IMMEDIATE_BLT: Final = _command("XY_MONO_SRC_COPY_IMMEDIATE_BLT", XyMonoSrcCopyImmediateBlt, XyMonoSrcCopyImmediateBlt().header, "Draws bits that follow in the command in two colours.", tail=BltDword)
XY_PAT_BLT_IMMEDIATE: Final = _command("XY_PAT_BLT_IMMEDIATE", XyPatBltImmediate, XyPatBltImmediate().header, "Fills a rectangle with a coloured pattern that follows in the command.", tail=BltDword)
XY_SRC_COPY_CHROMA_BLT: Final = _command("XY_SRC_COPY_CHROMA_BLT", XySrcCopyChromaBlt, XySrcCopyChromaBlt().header, "Copies a rectangle, but for the pixels that a colour key leaves out.")
XY_FULL_IMMEDIATE_PATTERN_BLT: Final = _command("XY_FULL_IMMEDIATE_PATTERN_BLT", XyFullImmediatePatternBlt, XyFullImmediatePatternBlt().header, "Combines source, a coloured pattern that follows in the command, and destination.", tail=BltDword)
XY_FULL_MONO_SRC_IMMEDIATE_PATTERN_BLT: Final = _command("XY_FULL_MONO_SRC_IMMEDIATE_PATTERN_BLT", XyFullMonoSrcImmediatePatternBlt, XyFullMonoSrcImmediatePatternBlt().header, "Combines bits in memory, a coloured pattern that follows in the command, and the destination.", tail=BltDword)
XY_PAT_CHROMA_BLT: Final = _command("XY_PAT_CHROMA_BLT", XyPatChromaBlt, XyPatChromaBlt().header, "Fills a rectangle with a coloured pattern, but for the pixels that a colour key leaves out.")
XY_PAT_CHROMA_BLT_IMMEDIATE: Final = _command("XY_PAT_CHROMA_BLT_IMMEDIATE", XyPatChromaBltImmediate, XyPatChromaBltImmediate().header, "Fills a rectangle with a pattern that follows in the command, but for the pixels that a colour key leaves out.", tail=BltDword)
COLOR_BLT: Final = _command("COLOR_BLT", ColorBlt, ColorBlt().header, "Fills a linear surface with a colour; the size is in bytes and rows. The manual of gen8 says that it is gone.", audit=Audit.ABSENT)
SRC_COPY_BLT: Final = _command("SRC_COPY_BLT", SrcCopyBlt, SrcCopyBlt().header, "Copies between linear surfaces; the size is in bytes and rows. The manual of gen8 says that it is gone.", audit=Audit.ABSENT)
XY_FAST_COPY_BLT: Final = _command("XY_FAST_COPY_BLT", XyFastCopyBlt, XyFastCopyBlt().header, "Copies a rectangle without any raster operation; what the kernel moves memory with.", audit=Audit.ABSENT, since=9)

BLT_COMMANDS: Final[tuple[Command[Any], ...]] = (
    XY_SETUP_BLT,
    XY_SETUP_CLIP_BLT,
    XY_SETUP_MONO_PATTERN_SL_BLT,
    XY_PIXEL_BLT,
    XY_SCANLINES_BLT,
    XY_TEXT_BLT,
    XY_TEXT_IMMEDIATE_BLT,
    COLOR_BLT,
    XY_FAST_COPY_BLT,
    SRC_COPY_BLT,
    XY_COLOR_BLT,
    XY_PAT_BLT,
    XY_MONO_PAT_BLT,
    XY_SRC_COPY_BLT,
    XY_MONO_SRC_COPY_BLT,
    XY_FULL_BLT,
    XY_FULL_MONO_SRC_BLT,
    XY_FULL_MONO_PATTERN_BLT,
    XY_FULL_MONO_PATTERN_MONO_SRC_BLT,
    XY_MONO_PAT_FIXED_BLT,
    XY_MONO_SRC_COPY_IMMEDIATE_BLT,
    XY_PAT_BLT_IMMEDIATE,
    XY_SRC_COPY_CHROMA_BLT,
    XY_FULL_IMMEDIATE_PATTERN_BLT,
    XY_FULL_MONO_SRC_IMMEDIATE_PATTERN_BLT,
    XY_PAT_CHROMA_BLT,
    XY_PAT_CHROMA_BLT_IMMEDIATE,
)
"""All of them, by opcode."""
