"""Commands of the 2D engine with patterns, with bits for pixels, with colour keys, and with everything at once.

A pattern has 8 by 8 pixels, or as many bits where it is *mono*. It is either somewhere in memory or in the command.
"""

from __future__ import annotations

from pvinfo.commands.blt import (
    XY_FULL_BLT,
    XY_FULL_IMMEDIATE_PATTERN_BLT,
    XY_FULL_MONO_PATTERN_BLT,
    XY_FULL_MONO_PATTERN_MONO_SRC_BLT,
    XY_FULL_MONO_SRC_BLT,
    XY_FULL_MONO_SRC_IMMEDIATE_PATTERN_BLT,
    XY_MONO_PAT_BLT,
    XY_MONO_PAT_FIXED_BLT,
    XY_MONO_SRC_COPY_BLT,
    XY_MONO_SRC_COPY_IMMEDIATE_BLT,
    XY_PAT_BLT,
    XY_PAT_BLT_IMMEDIATE,
    XY_PAT_CHROMA_BLT,
    XY_PAT_CHROMA_BLT_IMMEDIATE,
    XY_SRC_COPY_CHROMA_BLT,
    Pitch,
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
    XySrcCopyChromaBlt,
)

from .blitter import COPY, FILL, BlitSurface, Rectangle, blit_control, channels, corner, immediate_bits
from .buffer import CommandBuffer, place

__all__ = ("MASK_BLEND", "PatternCommands")

MASK_BLEND = 0xCA
"""The raster operation that takes the source where the pattern is 1, and what is there where it is 0."""


class PatternCommands(CommandBuffer):
    """The less usual commands of the copy engine. ``seed`` is the column and row of the pattern at the surface's corner."""

    # ---- patterns ----

    def xy_pat_blt(self, target: BlitSurface, area: Rectangle, pattern: int, *, seed: tuple[int, int] = (0, 0), raster_operation: int = FILL, clipping: bool = False) -> None:
        """XY_PAT_BLT: fill ``area`` with the coloured pattern at ``pattern``."""
        header = XY_PAT_BLT.header(destination_tiled=target.tiled, pattern_seed_x=seed[0], pattern_seed_y=seed[1], **channels(target))
        control = blit_control(target, raster_operation, clipping=clipping)
        self.add(XY_PAT_BLT.build(XyPatBlt(header, control, area.top_left, area.bottom_right, place(target.address, 1), place(pattern, 64))))

    def xy_pat_blt_immediate(self, target: BlitSurface, area: Rectangle, pattern: bytes, *, seed: tuple[int, int] = (0, 0), raster_operation: int = FILL, clipping: bool = False) -> None:
        """XY_PAT_BLT_IMMEDIATE: fill ``area`` with the coloured ``pattern``, row by row."""
        header = XY_PAT_BLT_IMMEDIATE.header(6, destination_tiled=target.tiled, pattern_seed_x=seed[0], pattern_seed_y=seed[1], **channels(target))
        record = XyPatBltImmediate(header, blit_control(target, raster_operation, clipping=clipping), area.top_left, area.bottom_right, place(target.address, 1))
        self.add(XY_PAT_BLT_IMMEDIATE.build(record, immediate_bits(pattern)))

    def xy_pat_chroma_blt(
        self, target: BlitSurface, area: Rectangle, pattern: int, key: tuple[int, int], key_mode: int,
        *, seed: tuple[int, int] = (0, 0), raster_operation: int = FILL, clipping: bool = False,
    ) -> None:  # fmt: skip
        """XY_PAT_CHROMA_BLT: the same, but for the pixels that the ``key``, a range of colours, leaves out by ``key_mode``."""
        header = XY_PAT_CHROMA_BLT.header(destination_tiled=target.tiled, pattern_seed_x=seed[0], pattern_seed_y=seed[1], key_mode=key_mode, **channels(target))
        control = blit_control(target, raster_operation, clipping=clipping)
        record = XyPatChromaBlt(header, control, area.top_left, area.bottom_right, place(target.address, 1), place(pattern, 64), *key)
        self.add(XY_PAT_CHROMA_BLT.build(record))

    def xy_pat_chroma_blt_immediate(
        self, target: BlitSurface, area: Rectangle, pattern: bytes, key: tuple[int, int], key_mode: int,
        *, seed: tuple[int, int] = (0, 0), raster_operation: int = FILL, clipping: bool = False,
    ) -> None:  # fmt: skip
        """XY_PAT_CHROMA_BLT_IMMEDIATE: the same, with the pattern in the command."""
        header = XY_PAT_CHROMA_BLT_IMMEDIATE.header(
            8, destination_tiled=target.tiled, pattern_seed_x=seed[0], pattern_seed_y=seed[1], key_mode=key_mode, **channels(target)
        )
        control = blit_control(target, raster_operation, clipping=clipping)
        record = XyPatChromaBltImmediate(header, control, area.top_left, area.bottom_right, place(target.address, 1), *key)
        self.add(XY_PAT_CHROMA_BLT_IMMEDIATE.build(record, immediate_bits(pattern)))

    def xy_mono_pat_blt(
        self, target: BlitSurface, area: Rectangle, pattern: int, foreground: int, background: int,
        *, seed: tuple[int, int] = (0, 0), raster_operation: int = FILL, transparent: bool = False, clipping: bool = False,
    ) -> None:  # fmt: skip
        """XY_MONO_PAT_BLT: fill ``area`` with the 64 bits of ``pattern`` in two colours; ``transparent``: 0 draws nothing."""
        header = XY_MONO_PAT_BLT.header(destination_tiled=target.tiled, pattern_seed_x=seed[0], pattern_seed_y=seed[1], **channels(target))
        control = blit_control(target, raster_operation, clipping=clipping, pattern_transparent=transparent)
        record = XyMonoPatBlt(header, control, area.top_left, area.bottom_right, place(target.address, 1), background, foreground, pattern)
        self.add(XY_MONO_PAT_BLT.build(record))

    def xy_mono_pat_fixed_blt(
        self, target: BlitSurface, area: Rectangle, number: int, foreground: int, background: int,
        *, seed: tuple[int, int] = (0, 0), raster_operation: int = FILL, transparent: bool = False, clipping: bool = False,
    ) -> None:  # fmt: skip
        """XY_MONO_PAT_FIXED_BLT: fill ``area`` with pattern ``number`` of the blitter's own, in two colours."""
        header = XY_MONO_PAT_FIXED_BLT.header(
            destination_tiled=target.tiled, pattern_seed_x=seed[0], pattern_seed_y=seed[1], fixed_pattern=number, **channels(target)
        )
        control = blit_control(target, raster_operation, clipping=clipping, pattern_transparent=transparent)
        record = XyMonoPatFixedBlt(header, control, area.top_left, area.bottom_right, place(target.address, 1), background, foreground)
        self.add(XY_MONO_PAT_FIXED_BLT.build(record))

    # ---- bits, and keys ----

    def xy_mono_src_copy_blt(
        self, target: BlitSurface, area: Rectangle, source: int, foreground: int, background: int,
        *, first_bit: int = 0, raster_operation: int = COPY, transparent: bool = False, clipping: bool = False,
    ) -> None:  # fmt: skip
        """XY_MONO_SRC_COPY_BLT: draw the bits at ``source`` in two colours. ``first_bit``: bits of each row's first byte that are
        passed over; ``transparent``: 0 draws nothing."""
        header = XY_MONO_SRC_COPY_BLT.header(destination_tiled=target.tiled, first_bit=first_bit, **channels(target))
        control = blit_control(target, raster_operation, clipping=clipping, transparent=transparent)
        record = XyMonoSrcCopyBlt(header, control, area.top_left, area.bottom_right, place(target.address, 1), place(source, 1), background, foreground)
        self.add(XY_MONO_SRC_COPY_BLT.build(record))

    def xy_mono_src_copy_immediate_blt(
        self, target: BlitSurface, area: Rectangle, bits: bytes, foreground: int, background: int,
        *, first_bit: int = 0, raster_operation: int = COPY, transparent: bool = False, clipping: bool = False,
    ) -> None:  # fmt: skip
        """XY_MONO_SRC_COPY_IMMEDIATE_BLT: draw ``bits`` in two colours."""
        header = XY_MONO_SRC_COPY_IMMEDIATE_BLT.header(8, destination_tiled=target.tiled, first_bit=first_bit, **channels(target))
        control = blit_control(target, raster_operation, clipping=clipping, transparent=transparent)
        record = XyMonoSrcCopyImmediateBlt(header, control, area.top_left, area.bottom_right, place(target.address, 1), background, foreground)
        self.add(XY_MONO_SRC_COPY_IMMEDIATE_BLT.build(record, immediate_bits(bits)))

    def xy_src_copy_chroma_blt(
        self, target: BlitSurface, area: Rectangle, source: BlitSurface, x: int, y: int, key: tuple[int, int], key_mode: int,
        *, raster_operation: int = COPY, clipping: bool = False,
    ) -> None:  # fmt: skip
        """XY_SRC_COPY_CHROMA_BLT: copy, but for the pixels that the ``key``, a range of colours, leaves out by ``key_mode``."""
        header = XY_SRC_COPY_CHROMA_BLT.header(destination_tiled=target.tiled, source_tiled=source.tiled, key_mode=key_mode, **channels(target))
        control = blit_control(target, raster_operation, clipping=clipping)
        record = XySrcCopyChromaBlt(
            header, control, area.top_left, area.bottom_right, place(target.address, 1),
            corner(x, y), Pitch.of(pitch=source.counted_pitch), place(source.address, 1), *key,
        )  # fmt: skip
        self.add(XY_SRC_COPY_CHROMA_BLT.build(record))

    # ---- source, pattern and destination ----

    def xy_full_blt(
        self, target: BlitSurface, area: Rectangle, source: BlitSurface, x: int, y: int, pattern: int, raster_operation: int,
        *, seed: tuple[int, int] = (0, 0), clipping: bool = False,
    ) -> None:  # fmt: skip
        """XY_FULL_BLT: combine ``source``, the coloured pattern at ``pattern``, and what is there."""
        header = XY_FULL_BLT.header(destination_tiled=target.tiled, source_tiled=source.tiled, pattern_seed_x=seed[0], pattern_seed_y=seed[1], **channels(target))
        record = XyFullBlt(
            header, blit_control(target, raster_operation, clipping=clipping), area.top_left, area.bottom_right, place(target.address, 1),
            Pitch.of(pitch=source.counted_pitch), corner(x, y), place(source.address, 1), place(pattern, 64),
        )  # fmt: skip
        self.add(XY_FULL_BLT.build(record))

    def xy_full_immediate_pattern_blt(
        self, target: BlitSurface, area: Rectangle, source: BlitSurface, x: int, y: int, pattern: bytes, raster_operation: int,
        *, seed: tuple[int, int] = (0, 0), clipping: bool = False,
    ) -> None:  # fmt: skip
        """XY_FULL_IMMEDIATE_PATTERN_BLT: the same, with the pattern in the command."""
        header = XY_FULL_IMMEDIATE_PATTERN_BLT.header(
            10, destination_tiled=target.tiled, source_tiled=source.tiled, pattern_seed_x=seed[0], pattern_seed_y=seed[1], **channels(target)
        )
        record = XyFullImmediatePatternBlt(
            header, blit_control(target, raster_operation, clipping=clipping), area.top_left, area.bottom_right, place(target.address, 1),
            Pitch.of(pitch=source.counted_pitch), corner(x, y), place(source.address, 1),
        )  # fmt: skip
        self.add(XY_FULL_IMMEDIATE_PATTERN_BLT.build(record, immediate_bits(pattern)))

    def xy_full_mono_pattern_blt(
        self, target: BlitSurface, area: Rectangle, source: BlitSurface, x: int, y: int, pattern: int, foreground: int, background: int,
        raster_operation: int, *, seed: tuple[int, int] = (0, 0), transparent: bool = False, clipping: bool = False,
    ) -> None:  # fmt: skip
        """XY_FULL_MONO_PATTERN_BLT: combine ``source``, the 64 bits of ``pattern`` in two colours, and what is there."""
        header = XY_FULL_MONO_PATTERN_BLT.header(
            destination_tiled=target.tiled, source_tiled=source.tiled, pattern_seed_x=seed[0], pattern_seed_y=seed[1], **channels(target)
        )
        record = XyFullMonoPatternBlt(
            header, blit_control(target, raster_operation, clipping=clipping, pattern_transparent=transparent), area.top_left, area.bottom_right,
            place(target.address, 1), Pitch.of(pitch=source.counted_pitch), corner(x, y), place(source.address, 1), background, foreground, pattern,
        )  # fmt: skip
        self.add(XY_FULL_MONO_PATTERN_BLT.build(record))

    def xy_full_mono_src_blt(
        self, target: BlitSurface, area: Rectangle, source: int, foreground: int, background: int, pattern: int, raster_operation: int,
        *, first_bit: int = 0, seed: tuple[int, int] = (0, 0), transparent: bool = False, clipping: bool = False,
    ) -> None:  # fmt: skip
        """XY_FULL_MONO_SRC_BLT: combine the bits at ``source``, the coloured pattern at ``pattern``, and what is there."""
        header = XY_FULL_MONO_SRC_BLT.header(
            destination_tiled=target.tiled, first_bit=first_bit, pattern_seed_x=seed[0], pattern_seed_y=seed[1], **channels(target)
        )
        record = XyFullMonoSrcBlt(
            header, blit_control(target, raster_operation, clipping=clipping, transparent=transparent), area.top_left, area.bottom_right,
            place(target.address, 1), place(source, 1), background, foreground, place(pattern, 64),
        )  # fmt: skip
        self.add(XY_FULL_MONO_SRC_BLT.build(record))

    def xy_full_mono_src_immediate_pattern_blt(
        self, target: BlitSurface, area: Rectangle, source: int, foreground: int, background: int, pattern: bytes, raster_operation: int,
        *, first_bit: int = 0, seed: tuple[int, int] = (0, 0), transparent: bool = False, clipping: bool = False,
    ) -> None:  # fmt: skip
        """XY_FULL_MONO_SRC_IMMEDIATE_PATTERN_BLT: the same, with the pattern in the command."""
        header = XY_FULL_MONO_SRC_IMMEDIATE_PATTERN_BLT.header(
            10, destination_tiled=target.tiled, first_bit=first_bit, pattern_seed_x=seed[0], pattern_seed_y=seed[1], **channels(target)
        )
        record = XyFullMonoSrcImmediatePatternBlt(
            header, blit_control(target, raster_operation, clipping=clipping, transparent=transparent), area.top_left, area.bottom_right,
            place(target.address, 1), place(source, 1), background, foreground,
        )  # fmt: skip
        self.add(XY_FULL_MONO_SRC_IMMEDIATE_PATTERN_BLT.build(record, immediate_bits(pattern)))

    def xy_full_mono_pattern_mono_src_blt(
        self, target: BlitSurface, area: Rectangle, source: int, foreground: int, background: int,
        pattern: int, pattern_foreground: int, pattern_background: int, raster_operation: int,
        *, first_bit: int = 0, seed: tuple[int, int] = (0, 0), transparent: bool = False, pattern_transparent: bool = False, clipping: bool = False,
    ) -> None:  # fmt: skip
        """XY_FULL_MONO_PATTERN_MONO_SRC_BLT: combine the bits at ``source``, the 64 bits of ``pattern``, and what is there."""
        header = XY_FULL_MONO_PATTERN_MONO_SRC_BLT.header(
            destination_tiled=target.tiled, first_bit=first_bit, pattern_seed_x=seed[0], pattern_seed_y=seed[1], **channels(target)
        )
        control = blit_control(target, raster_operation, clipping=clipping, transparent=transparent, pattern_transparent=pattern_transparent)
        record = XyFullMonoPatternMonoSrcBlt(
            header, control, area.top_left, area.bottom_right, place(target.address, 1), place(source, 1), background, foreground,
            pattern_background, pattern_foreground, pattern,
        )  # fmt: skip
        self.add(XY_FULL_MONO_PATTERN_MONO_SRC_BLT.build(record))
