"""Commands of the 2D engine: fills, copies, pixels, scan lines, text.

A surface is a :class:`BlitSurface`, a rectangle of it a :class:`Rectangle` of pixels. Whether tiles are X or Y tiles a
register says, for all commands but the fast copy (see :meth:`BlitterCommands.blitter_tiling`).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from pvinfo.commands.blt import (
    COLOR_BLT,
    SRC_COPY_BLT,
    XY_COLOR_BLT,
    XY_FAST_COPY_BLT,
    XY_PIXEL_BLT,
    XY_SCANLINES_BLT,
    XY_SETUP_BLT,
    XY_SETUP_CLIP_BLT,
    XY_SETUP_MONO_PATTERN_SL_BLT,
    XY_SRC_COPY_BLT,
    XY_TEXT_BLT,
    XY_TEXT_IMMEDIATE_BLT,
    ClipCorner,
    ColorBlt,
    ColorDepth,
    Control,
    Corner,
    FastControl,
    FastCopyDepth,
    FastCopyTiling,
    LinearCopyControl,
    Pitch,
    Size,
    SrcCopyBlt,
    XyColorBlt,
    XyFastCopyBlt,
    XyPixelBlt,
    XyScanlinesBlt,
    XySetupBlt,
    XySetupClipBlt,
    XySetupMonoPatternSlBlt,
    XySrcCopyBlt,
    XyTextBlt,
    XyTextImmediateBlt,
)
from pvinfo.errors import UsageError
from pvinfo.register import masked_bits
from pvinfo.registers import BlitterRegisters, BlitterTiling

from .buffer import place
from .flush import FlushCommands
from .registers import RegisterCommands

__all__ = ("COPY", "FILL", "BlitSurface", "BlitterCommands", "Rectangle", "blit_control", "channels", "corner", "immediate_bits")

FILL: Final = 0xF0
"""The raster operation that takes the pattern, or the colour of a fill."""
COPY: Final = 0xCC
"""The raster operation that takes the source."""

_DEPTHS: Final = {8: ColorDepth.BPP_8, 16: ColorDepth.BPP_16_565, 32: ColorDepth.BPP_32}
_FAST_DEPTHS: Final = {8: FastCopyDepth.BPP_8, 16: FastCopyDepth.BPP_16, 32: FastCopyDepth.BPP_32, 64: FastCopyDepth.BPP_64, 128: FastCopyDepth.BPP_128}
_PITCHES: Final = range(-0x8000, 0x8000)
_PLACES: Final = range(-0x8000, 0x8000)


class BlitSurface(NamedTuple):
    """A surface that the blitter draws on or reads."""

    address: int
    pitch: int
    """Bytes from one row to the next."""
    bits_per_pixel: int = 32
    tiled: bool = False

    @property
    def counted_pitch(self) -> int:
        """The pitch as commands carry it: dwords where there are tiles. Raises: UsageError when none can carry it."""
        pitch = self.pitch // 4 if self.tiled else self.pitch
        if pitch not in _PITCHES or (self.tiled and self.pitch % 4):
            raise UsageError(f"a pitch of {self.pitch} bytes: commands of the blitter have 16 bits for it, signed, in dwords where there are tiles")
        return pitch & 0xFFFF


class Rectangle(NamedTuple):
    """Pixels of a surface: the upper left corner, how many in a row, and how many rows."""

    x: int
    y: int
    width: int
    height: int

    @property
    def top_left(self) -> Corner:
        """The first pixel."""
        return corner(self.x, self.y)

    @property
    def bottom_right(self) -> Corner:
        """The pixel behind the last."""
        return corner(self.x + self.width, self.y + self.height)


def corner(x: int, y: int) -> Corner:
    """A pixel, perhaps left of or above the surface. Raises: UsageError for coordinates that no command can carry."""
    if x not in _PLACES or y not in _PLACES:
        raise UsageError(f"pixel {x}, {y}: coordinates have 16 bits, signed")
    return Corner.of(x=x & 0xFFFF, y=y & 0xFFFF)


def blit_control(
    surface: BlitSurface, raster_operation: int, *, clipping: bool = False, transparent: bool = False, pattern_transparent: bool = False, solid: bool = False
) -> Control:
    """How a rectangle of ``surface`` is drawn. Raises: UsageError for a depth or raster operation that there is not."""
    if surface.bits_per_pixel not in _DEPTHS or not 0 <= raster_operation <= 0xFF:
        raise UsageError(f"{surface.bits_per_pixel} bits to a pixel, raster operation {raster_operation:#x}: there are 8, 16 and 32 bits, and 256 operations")
    return Control.of(
        pitch=surface.counted_pitch, depth=_DEPTHS[surface.bits_per_pixel], raster_operation=raster_operation, clipping=clipping,
        mono_source_transparent=transparent, mono_pattern_transparent=pattern_transparent, solid_pattern=solid,
    )  # fmt: skip


def channels(surface: BlitSurface) -> dict[str, int]:
    """All channels of 32-bit pixels are written."""
    return {"write_rgb": 1, "write_alpha": 1} if surface.bits_per_pixel == 32 else {}


def immediate_bits(bits: bytes) -> bytes:
    """``bits`` as they stand in a command: whole quadwords."""
    return bits + bytes(-len(bits) % 8)


def _clip(area: Rectangle | None) -> tuple[ClipCorner, ClipCorner]:
    if area is None:
        return ClipCorner(0), ClipCorner(0)
    return ClipCorner.of(x=area.x, y=area.y), ClipCorner.of(x=area.x + area.width, y=area.y + area.height)


class BlitterCommands(FlushCommands, RegisterCommands):
    """The commands of everyday use. Copy engine only."""

    def blitter_tiling(self, *, destination_y: bool = False, source_y: bool = False) -> None:
        """Have the commands that follow take the tiles of tiled surfaces for Y tiles, or for X tiles as when the context was
        new. (What comes before is finished first, then a register is loaded.)"""
        value = BlitterTiling.of(destination_y=destination_y, source_y=source_y)
        both = BlitterTiling.destination_y.mask | BlitterTiling.source_y.mask
        self.flush_dw()
        self.load_register_imm((BlitterRegisters.software_control.at(), masked_bits(both, False) | value))

    # ---- fills and copies ----

    def xy_color_blt(self, target: BlitSurface, area: Rectangle, color: int, *, raster_operation: int = FILL, clipping: bool = False) -> None:
        """XY_COLOR_BLT: fill ``area`` with ``color``."""
        header = XY_COLOR_BLT.header(destination_tiled=target.tiled, **channels(target))
        self.add(
            XY_COLOR_BLT.build(
                XyColorBlt(header, blit_control(target, raster_operation, clipping=clipping), area.top_left, area.bottom_right, place(target.address, 1), color)
            )
        )

    def xy_src_copy_blt(
        self, target: BlitSurface, area: Rectangle, source: BlitSurface, x: int, y: int, *, raster_operation: int = COPY, clipping: bool = False
    ) -> None:
        """XY_SRC_COPY_BLT: copy the pixels of ``source`` from ``x``, ``y`` on to ``area``. The two may overlap."""
        header = XY_SRC_COPY_BLT.header(destination_tiled=target.tiled, source_tiled=source.tiled, **channels(target))
        self.add(
            XY_SRC_COPY_BLT.build(
                XySrcCopyBlt(
                    header, blit_control(target, raster_operation, clipping=clipping), area.top_left, area.bottom_right, place(target.address, 1),
                    corner(x, y), Pitch.of(pitch=source.counted_pitch), place(source.address, 1),
                )  # fmt: skip
            )
        )

    def xy_fast_copy_blt(
        self, target: BlitSurface, area: Rectangle, source: BlitSurface, x: int, y: int,
        *, target_tiling: FastCopyTiling = FastCopyTiling.LINEAR, source_tiling: FastCopyTiling = FastCopyTiling.LINEAR,
    ) -> None:  # fmt: skip
        """XY_FAST_COPY_BLT: copy the pixels of ``source`` from ``x``, ``y`` on to ``area``, gen9. Columns begin at multiples of 16
        bytes, and the two may not overlap. The kind of tiles is said here; pixels may also have 64 or 128 bits."""
        if target.bits_per_pixel not in _FAST_DEPTHS:
            raise UsageError(f"{target.bits_per_pixel} bits to a pixel: there are {', '.join(map(str, _FAST_DEPTHS))}")
        header = XY_FAST_COPY_BLT.header(destination_tiling=target_tiling, source_tiling=source_tiling)
        control = FastControl.of(pitch=target.counted_pitch, depth=_FAST_DEPTHS[target.bits_per_pixel])
        self.add(
            XY_FAST_COPY_BLT.build(
                XyFastCopyBlt(
                    header, control, area.top_left, area.bottom_right, place(target.address, 1),
                    corner(x, y), Pitch.of(pitch=source.counted_pitch), place(source.address, 1),
                )  # fmt: skip
            )
        )

    def color_blt(self, target: BlitSurface, width_bytes: int, rows: int, color: int, *, raster_operation: int = FILL) -> None:
        """COLOR_BLT: fill ``rows`` rows of ``width_bytes`` bytes, linear."""
        size = Size.of(width=width_bytes, height=rows)
        self.add(COLOR_BLT.build(ColorBlt(COLOR_BLT.header(**channels(target)), blit_control(target, raster_operation), size, place(target.address, 1), color)))

    def src_copy_blt(
        self, target: BlitSurface, width_bytes: int, rows: int, source: BlitSurface, *, raster_operation: int = COPY, backwards: bool = False
    ) -> None:
        """SRC_COPY_BLT: copy ``rows`` rows of ``width_bytes`` bytes, linear; ``backwards``: from right to left."""
        control = LinearCopyControl.of(
            pitch=target.counted_pitch, depth=_DEPTHS[target.bits_per_pixel], raster_operation=raster_operation, backwards=backwards
        )
        size = Size.of(width=width_bytes, height=rows)
        record = SrcCopyBlt(
            SRC_COPY_BLT.header(**channels(target)), control, size, place(target.address, 1),
            Pitch.of(pitch=source.counted_pitch), place(source.address, 1),
        )  # fmt: skip
        self.add(SRC_COPY_BLT.build(record))

    # ---- drawing after a setup ----

    def xy_setup_blt(
        self, target: BlitSurface, *, foreground: int = 0, background: int = 0, pattern: int = 0, clip: Rectangle | None = None,
        raster_operation: int = FILL, transparent: bool = False,
    ) -> None:  # fmt: skip
        """XY_SETUP_BLT: what :meth:`xy_pixel_blt`, :meth:`xy_scanlines_blt` and :meth:`xy_text_blt` draw with. ``pattern`` is the
        address of 8 by 8 pixels; ``transparent``: text bits that are 0 draw nothing."""
        control = blit_control(target, raster_operation, clipping=clip is not None, transparent=transparent)
        header = XY_SETUP_BLT.header(destination_tiled=target.tiled, **channels(target))
        record = XySetupBlt(header, control, *_clip(clip), place(target.address, 1), background, foreground, place(pattern, 1))
        self.add(XY_SETUP_BLT.build(record))

    def xy_setup_mono_pattern_sl_blt(
        self, target: BlitSurface, pattern: int, *, foreground: int = 0, background: int = 0, clip: Rectangle | None = None,
        raster_operation: int = FILL, transparent: bool = False,
    ) -> None:  # fmt: skip
        """XY_SETUP_MONO_PATTERN_SL_BLT: what scan lines are drawn with, with ``pattern``, 8 by 8 bits as they are."""
        control = blit_control(target, raster_operation, clipping=clip is not None, pattern_transparent=transparent)
        header = XY_SETUP_MONO_PATTERN_SL_BLT.header(destination_tiled=target.tiled, **channels(target))
        record = XySetupMonoPatternSlBlt(header, control, *_clip(clip), place(target.address, 1), background, foreground, pattern)
        self.add(XY_SETUP_MONO_PATTERN_SL_BLT.build(record))

    def xy_setup_clip_blt(self, clip: Rectangle) -> None:
        """XY_SETUP_CLIP_BLT: another clipping rectangle."""
        self.add(XY_SETUP_CLIP_BLT.build(XySetupClipBlt(XY_SETUP_CLIP_BLT.header(), *_clip(clip))))

    def xy_pixel_blt(self, x: int, y: int, *, tiled: bool = False) -> None:
        """XY_PIXEL_BLT: draw one pixel of the foreground colour."""
        self.add(XY_PIXEL_BLT.build(XyPixelBlt(XY_PIXEL_BLT.header(destination_tiled=tiled), corner(x, y))))

    def xy_scanlines_blt(self, area: Rectangle, *, tiled: bool = False, seed: tuple[int, int] = (0, 0)) -> None:
        """XY_SCANLINES_BLT: draw scan lines of the pattern, whose column and row ``seed`` are at the surface's corner."""
        header = XY_SCANLINES_BLT.header(destination_tiled=tiled, pattern_seed_x=seed[0], pattern_seed_y=seed[1])
        self.add(XY_SCANLINES_BLT.build(XyScanlinesBlt(header, area.top_left, area.bottom_right)))

    def xy_text_blt(self, area: Rectangle, source: int, *, tiled: bool = False, byte_packed: bool = False) -> None:
        """XY_TEXT_BLT: draw the bits at ``source`` in the two colours."""
        header = XY_TEXT_BLT.header(destination_tiled=tiled, byte_packed=byte_packed)
        self.add(XY_TEXT_BLT.build(XyTextBlt(header, area.top_left, area.bottom_right, place(source, 1))))

    def xy_text_immediate_blt(self, area: Rectangle, bits: bytes, *, tiled: bool = False, byte_packed: bool = False) -> None:
        """XY_TEXT_IMMEDIATE_BLT: draw ``bits`` in the two colours."""
        header = XY_TEXT_IMMEDIATE_BLT.header(3, destination_tiled=tiled, byte_packed=byte_packed)
        self.add(XY_TEXT_IMMEDIATE_BLT.build(XyTextImmediateBlt(header, area.top_left, area.bottom_right), immediate_bits(bits)))

