"""Frame buffers: pictures in memory that a plane can show, with their place in graphics memory.

Source: linux:drivers/gpu/drm/i915/display/intel_fb.c, linux:drivers/gpu/drm/i915/display/intel_fb_pin.c
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple, final

from pvinfo.errors import StateError, UsageError
from pvinfo.registers import PlaneTiling
from pvinfo.units import KIB, MIB, PAGE_SIZE, GraphicsAddress

from ..buffer import ApertureView, BufferObject
from ..ggtt import Binding
from ..tiling import Tiling

if TYPE_CHECKING:
    from ..driver import GuestDriver

__all__ = ("Framebuffer", "tiled_bytes")

PIXEL_BYTES: Final = 4
"""Blue, green, red, and a byte that means nothing (XRGB8888)."""
_LARGEST_STRIDE: Final = 32 * KIB
_BLITTER: Final = {PlaneTiling.LINEAR: Tiling.LINEAR, PlaneTiling.X: Tiling.X, PlaneTiling.Y: Tiling.Y, PlaneTiling.YF: Tiling.LINEAR}
"""What engines and fences take such memory for. Yf tiles they cannot see as rows."""


class _Tile(NamedTuple):
    """How a tile, which is a page, holds a rectangle of a picture."""

    width: int
    """Bytes of a row."""
    height: int
    run: int
    """Bytes of a row that lie together."""
    place: Callable[[int, int], int]
    """Where in the tile byte x of row y lies."""


def _in_y(x: int, y: int) -> int:
    return (x >> 4) << 9 | y << 4 | x & 15


def _in_yf(x: int, y: int) -> int:
    """Bits of the place, from the lowest: four of x, three of y, then x, y, x, y, x. Source: prm:skl:vol5"""
    return x & 15 | (y & 7) << 4 | (x >> 4 & 1) << 7 | (y >> 3 & 1) << 8 | (x >> 5 & 1) << 9 | (y >> 4 & 1) << 10 | (x >> 6 & 1) << 11


_TILES: Final = {
    PlaneTiling.X: _Tile(512, 8, 512, lambda x, y: y << 9 | x),
    PlaneTiling.Y: _Tile(128, 32, 16, _in_y),
    PlaneTiling.YF: _Tile(128, 32, 16, _in_yf),
}
_ROWS: Final = {
    tiling: tuple(tuple((x, tile.place(x, y)) for x in range(0, tile.width, tile.run)) for y in range(tile.height))
    for tiling, tile in _TILES.items()
}
"""For each row of a tile: where its runs begin, and where they lie."""
_LINEAR_UNIT: Final = 64
_ALIGNMENTS: Final = {PlaneTiling.LINEAR: 256 * KIB, PlaneTiling.X: 256 * KIB, PlaneTiling.Y: MIB, PlaneTiling.YF: MIB}


def _pieces(tiling: PlaneTiling, pitch: int, y: int, length: int) -> Iterator[tuple[int, int, int]]:
    """Where ``length`` bytes of row ``y`` lie: offset in memory, first byte of the row, how many."""
    if tiling is PlaneTiling.LINEAR:
        yield y * pitch, 0, length
        return
    tile = _TILES[tiling]
    down, inside = divmod(y, tile.height)
    page = down * (pitch // tile.width) * PAGE_SIZE
    runs, run = _ROWS[tiling][inside], tile.run
    for left in range(0, length, tile.width):
        for x, place in runs:
            if left + x < length:
                yield page + place, left + x, min(run, length - left - x)
        page += PAGE_SIZE


def tiled_bytes(tiling: PlaneTiling, pitch: int, rows: list[bytes]) -> bytes:
    """Memory that holds ``rows``, the first at its beginning, in tiles."""
    height = len(rows) if tiling is PlaneTiling.LINEAR else -(-len(rows) // _TILES[tiling].height) * _TILES[tiling].height
    memory = bytearray(pitch * height)
    for y, row in enumerate(rows):
        for offset, x, count in _pieces(tiling, pitch, y, len(row)):
            memory[offset : offset + count] = row[x : x + count]
    return bytes(memory)


@final
class Framebuffer:
    """A picture of ``width`` by ``height`` pixels of XRGB8888, bound to the aperture.

    Its ``buffer`` is an ordinary one: engines draw into it, and the processor may, directly or through ``view``.
    """

    def __init__(self, driver: GuestDriver, width: int, height: int, tiling: PlaneTiling = PlaneTiling.LINEAR, name: str = "frame buffer") -> None:
        """Raises: UsageError for a size or tiling that no plane of the platform shows; DriverError without room."""
        shown = (PlaneTiling.LINEAR, PlaneTiling.X) if driver.platform.graphics_version == 8 else tuple(PlaneTiling)
        if tiling not in shown:
            raise UsageError(f"{name}: tiling {tiling.name}; planes of {driver.platform.title} show {', '.join(known.name for known in shown)}")
        unit = _TILES[tiling].width if tiling in _TILES else _LINEAR_UNIT
        lines = _TILES[tiling].height if tiling in _TILES else 1
        self.pitch = -(-width * PIXEL_BYTES // unit) * unit
        """Bytes from one row to the next, or from one row of tiles, divided by their height, to the next."""
        if width <= 0 or height <= 0 or self.pitch > _LARGEST_STRIDE:
            raise UsageError(f"{name}: {width} x {height} pixels; rows have up to {_LARGEST_STRIDE // PIXEL_BYTES}")
        self.width = width
        self.height = height
        self.tiling = tiling
        size = self.pitch * -(-height // lines) * lines
        self.buffer: BufferObject = driver.create_buffer(size, name, tiling=_BLITTER[tiling], pitch=self.pitch, bits_per_pixel=8 * PIXEL_BYTES)
        self._driver = driver
        self._binding: Binding | None = driver.ggtt.bind(self.buffer, mappable=True, alignment=_ALIGNMENTS[tiling])

    def __repr__(self) -> str:
        return f"<Framebuffer {self.buffer.owner}: {self.width}x{self.height}, {self.tiling.name}>"

    @property
    def binding(self) -> Binding:
        """Its place in graphics memory. Raises: StateError after its release."""
        if self._binding is None:
            raise StateError(f"use of {self.buffer.owner}", "released", "not released")
        return self._binding

    @property
    def address(self) -> GraphicsAddress:
        """Graphics address of its first byte. Raises: StateError after its release."""
        return self.binding.address

    @property
    def stride(self) -> int:
        """Its pitch as planes of gen9 count it: in 64 bytes, or in tiles."""
        return self.pitch // (_TILES[self.tiling].width if self.tiling in _TILES else _LINEAR_UNIT)

    @property
    def view(self) -> ApertureView:
        """Its memory through the aperture, as it lies there: with tiling, tile by tile. Raises: StateError after its release."""
        return ApertureView(self._driver.aperture, self.binding)

    # ---- drawing by the processor ----

    def _checked(self, rows: list[bytes]) -> None:
        if len(rows) > self.height or any(len(row) > self.width * PIXEL_BYTES for row in rows):
            raise UsageError(f"{len(rows)} rows of up to {max(map(len, rows), default=0)} bytes, of {self!r}")

    def draw(self, rows: list[bytes], y: int = 0) -> None:
        """Store ``rows`` of pixels from line ``y`` on, the first pixel of each at the left edge. Raises: UsageError for too many or too long ones."""
        self._checked(rows)
        if y + len(rows) > self.height:
            raise UsageError(f"rows {y} to {y + len(rows)} of {self!r}")
        if y == 0 and len(rows) == self.height:
            self.buffer.write(0, tiled_bytes(self.tiling, self.pitch, rows))
            return
        for number, row in enumerate(rows, y):
            for offset, x, count in _pieces(self.tiling, self.pitch, number, len(row)):
                self.buffer.write(offset, row[x : x + count])

    def clear(self, pixel: int = 0) -> None:
        """Make every pixel ``pixel``."""
        self.buffer.write(0, pixel.to_bytes(PIXEL_BYTES, "little") * (self.buffer.size // PIXEL_BYTES))

    def rows(self) -> list[bytes]:
        """The picture, row by row, as memory has it."""
        memory = self.buffer.read(0, self.buffer.size)
        length = self.width * PIXEL_BYTES
        return [
            b"".join(memory[offset : offset + count] for offset, _, count in _pieces(self.tiling, self.pitch, y, length)) for y in range(self.height)
        ]

    def release(self) -> None:
        """Give its memory and its place back. No plane may show it any more. Raises: StateError the second time."""
        binding = self.binding
        self._binding = None
        self._driver.ggtt.unbind(binding)
        self.buffer.release()
