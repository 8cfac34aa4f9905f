"""Commands of the 2D engine: interim."""

from __future__ import annotations

from .buffer import CommandBuffer, place

__all__ = ("BlitterCommands",)

_DEPTH = {8: 0, 16: 1, 32: 3}


class BlitterCommands(CommandBuffer):
    """Fills and copies of rectangles."""

    def xy_color_blt(self, address: int, pitch: int, x1: int, y1: int, x2: int, y2: int, color: int, *, bits_per_pixel: int = 32, tiled: bool = False, raster: int = 0xF0) -> None:
        where = place(address, 1)
        head = 0x54000005 | (3 << 20 if bits_per_pixel == 32 else 0) | (1 << 11 if tiled else 0)
        self.raw((head, _DEPTH[bits_per_pixel] << 24 | raster << 16 | pitch, y1 << 16 | x1, y2 << 16 | x2, where & 0xFFFFFFFF, where >> 32, color))

    def xy_src_copy_blt(self, destination: int, destination_pitch: int, x1: int, y1: int, x2: int, y2: int, source: int, source_pitch: int, source_x: int, source_y: int, *, bits_per_pixel: int = 32, destination_tiled: bool = False, source_tiled: bool = False, raster: int = 0xCC) -> None:
        d, s = place(destination, 1), place(source, 1)
        head = 0x54C00008 | (3 << 20 if bits_per_pixel == 32 else 0) | (1 << 11 if destination_tiled else 0) | (1 << 15 if source_tiled else 0)
        self.raw((head, _DEPTH[bits_per_pixel] << 24 | raster << 16 | destination_pitch, y1 << 16 | x1, y2 << 16 | x2, d & 0xFFFFFFFF, d >> 32, source_y << 16 | source_x, source_pitch, s & 0xFFFFFFFF, s >> 32))
