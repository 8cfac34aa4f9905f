"""Drawing: what one command stores, strip by strip.

A drawing of any size is done in *strips*, which are what an engine does in one go: a strip is translated whole before any
of it is stored, so that an address that leads nowhere leaves it untouched. Inside a strip the work goes band by band, a
band being rows enough to be worth a call and few enough to stay near the processor.

Source and destination may share memory. Scan lines are drawn from the last to the first where both surfaces have the same
base and the source lies above the destination, else from the first to the last; a scan line is read before it is stored.
Where they share memory without lying alike, each scan line sees what the ones before it have stored.

Source: prm:skl:vol11 (When the Source and Destination Locations Overlap, 2D (XY) BLT Instructions)
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, final

from ..surface.linear import LinearWindow
from ..surface.rectangle import Rectangle
from ..surface.surface import Space, Surface, Window
from ..surface.tiled import TiledWindow
from ..surface.tiling import Tiling
from ..surface.window import open_window
from .color_key import ColorKey
from .depth import Depth
from .pattern import Pattern
from .raster_operation import COPY_SOURCE, OPERATIONS
from .source import MonoSource, SurfaceSource

__all__ = ("Drawing",)

_STRIP_BYTES: Final = 1 << 24
_SLOW_STRIP_BYTES: Final = 1 << 22
_RUN_STRIP_BYTES: Final = 1 << 20
"""Where the bits of tiles are mixed."""
_PIECEMEAL_STRIP_BYTES: Final = 1 << 17
"""Where pixels are moved a row, or a run of 16 bytes, at a time: some tens of milliseconds of our own time."""
_STRIP_ROWS: Final = 1 << 12
_SLOW_STRIP_ROWS: Final = 1 << 9
_BAND_BYTES: Final = 1 << 18
_ROW_STEP: Final = 32
"""Strips and bands begin at multiples of this many rows where they can: a whole number of X and Y tiles."""


@lru_cache(maxsize=16)
def _ones(size: int) -> int:
    return (1 << 8 * size) - 1


def _cut(first: int, rows: int, top: int, height: int) -> int:
    """Where a piece ends that begins at row ``first`` and has about ``rows`` rows, of a rectangle that begins at ``top``."""
    last = first + rows
    if last >= height:
        return height
    return last if rows < _ROW_STEP else (top + last) // _ROW_STEP * _ROW_STEP - top


@final
class Drawing:
    """A rectangle of a surface, and what every pixel of it becomes.

    ``area`` is what clipping has left. ``channels`` are the bits of a pixel that are written; None: all.
    """

    def __init__(
        self, surface: Surface, area: Rectangle, depth: Depth, code: int,
        *, pattern: Pattern | None = None, source: SurfaceSource | MonoSource | None = None, key: ColorKey | None = None,
        channels: int | None = None,
    ) -> None:  # fmt: skip
        operation = OPERATIONS[code]
        if source is None:
            operation = operation.without_source()
        if pattern is None:
            operation = operation.without_pattern()
        self._surface = surface
        self._area = area if channels != 0 else area._replace(bottom=area.top)
        self._pixel = depth.bytes_per_pixel
        self._operation = operation
        self._pattern = pattern
        self._source = source
        self._key = key
        whole = _ones(self._pixel)
        self._channels = channels.to_bytes(self._pixel, "little") if channels is not None and channels != whole else None
        transparent = isinstance(source, MonoSource) and source.transparent
        masked = self._channels is not None or key is not None or transparent or (pattern is not None and pattern.masks is not None)
        self._needs_destination = operation.needs_destination or masked
        self._fill: bytes | None = None
        if not self._needs_destination and not operation.needs_source:
            if not operation.needs_pattern:
                self._fill = operation.apply(0, 0, 0, whole).to_bytes(self._pixel, "little")
            elif pattern is not None and pattern.solid is not None:
                color = int.from_bytes(pattern.solid, "little")
                self._fill = operation.apply(color, 0, 0, whole).to_bytes(self._pixel, "little")
        self._reads_source = operation.needs_source or (key is not None and key.of_source)
        self._copies = operation.code == COPY_SOURCE and not masked and isinstance(source, SurfaceSource)
        tilings = [surface.tiling, source.surface.tiling if isinstance(source, SurfaceSource) else None]
        self._operands: dict[tuple[str, int, int], int] = {}
        self._decide_order()
        self._strip_bytes = _STRIP_BYTES if self._fill is not None or self._copies else _SLOW_STRIP_BYTES
        for tiling in tilings:
            if tiling is not None:
                self._strip_bytes = min(self._strip_bytes, self._most_of(tiling))
        self._drawn = 0
        """Rows that are done, from whichever end."""

    def _most_of(self, tiling: Tiling) -> int:
        """How much of a surface with ``tiling`` is drawn in one go."""
        if self._row_by_row:
            return _PIECEMEAL_STRIP_BYTES
        if tiling.transposed:
            return _STRIP_BYTES
        return _RUN_STRIP_BYTES if self._area.width * self._pixel * tiling.height <= _RUN_STRIP_BYTES else _PIECEMEAL_STRIP_BYTES

    # ---- order ----

    def _bytes_of(self, area: Rectangle) -> Rectangle:
        return Rectangle(area.left * self._pixel, area.top, area.right * self._pixel, area.bottom)

    def _decide_order(self) -> None:
        target = self._surface
        area = self._bytes_of(self._area)
        self._backwards = False
        self._shares_memory = False
        self._row_by_row = not self._area.empty and target.rows_overlap(area)
        source = self._source
        if self._area.empty or not isinstance(source, SurfaceSource) or not self._reads_source:
            return
        same_base = source.surface.base == target.base
        self._backwards = same_base and source.shift_y < 0
        self._shares_memory = target.extent(area).meets(source.surface.extent(self._bytes_of(source.area(self._area))))
        if self._shares_memory and source.surface != target:
            self._row_by_row = True

    @property
    def done(self) -> bool:
        """Whether all strips are drawn."""
        return self._area.empty or self._drawn >= self._area.height

    def step(self, space: Space) -> int:
        """Draw the next strip; returns how many bytes of memory were read or written.

        Raises: what the space raises for an address that leads nowhere; the strip is left as it was.
        """
        area = self._area
        row_bytes = area.width * self._pixel
        rows = min(max(self._strip_bytes // row_bytes, 1), _SLOW_STRIP_ROWS if self._row_by_row else _STRIP_ROWS)
        if self._backwards:
            last = area.height - self._drawn
            first = max(last - rows, 0)
        else:
            first = self._drawn
            last = _cut(first, rows, area.top, area.height)
        self._drawn += last - first
        return self._draw(space, area.rows(first, last))

    # ---- one strip ----

    def _draw(self, space: Space, area: Rectangle) -> int:
        size = area.width * area.height * self._pixel
        target = open_window(space, self._surface, self._bytes_of(area), write=True)
        if self._fill is not None:
            target.fill(self._fill)
            return size
        source = self._source
        window: Window | None = None
        if isinstance(source, SurfaceSource) and self._reads_source:
            alone = not self._shares_memory and not self._row_by_row
            window = open_window(space, source.surface, self._bytes_of(source.area(area)), write=False, steady=alone)
            if self._copies:
                self._copy(target, window, area)
                return 2 * size
        for first, last in self._bands(area):
            self._combine(target, window, area.rows(first, last), first, last)
        return size + (size if self._needs_destination else 0) + self._source_size(area, size)

    def _source_size(self, area: Rectangle, size: int) -> int:
        if isinstance(self._source, MonoSource):
            return area.width * area.height + 7 >> 3
        return size if self._reads_source else 0

    def _bands(self, area: Rectangle) -> list[tuple[int, int]]:
        rows = 1 if self._row_by_row else max(_BAND_BYTES // (area.width * self._pixel), _ROW_STEP)
        bands: list[tuple[int, int]] = []
        first = 0
        while first < area.height:
            last = _cut(first, rows, area.top, area.height)
            bands.append((first, last))
            first = last
        return bands[::-1] if self._backwards else bands

    def _copy(self, target: Window, source: Window, area: Rectangle) -> None:
        if not self._shares_memory and not self._row_by_row:
            if isinstance(target, LinearWindow) and isinstance(source, LinearWindow):
                target.copy_from(source)
                return
            if isinstance(target, TiledWindow) and isinstance(source, TiledWindow) and target.aligned_with(source):
                target.copy_from(source)
                return
        for first, last in self._bands(area):
            rows = source.read(first, last)
            target.write(first, last, bytes(rows) if self._shares_memory else rows)

    def _combine(self, target: Window, window: Window | None, area: Rectangle, first: int, last: int) -> None:
        """Draw one band: rows ``first`` up to ``last`` of the strip's windows, which are ``area``."""
        size = area.width * area.height * self._pixel
        ones = _ones(size)
        pattern, source, key, operation = self._pattern, self._source, self._key, self._operation
        p = s = d = 0
        mask = ones
        old = target.read(first, last) if self._needs_destination else b""
        if self._needs_destination:
            d = int.from_bytes(old, "little")
        if pattern is not None:
            if operation.needs_pattern:
                p = self._pattern_operand("pattern", pattern, pattern.lines, area)
            if pattern.masks is not None:
                mask &= self._pattern_operand("mask", pattern, pattern.masks, area)
        if window is not None:
            pixels = window.read(first, last)
            s = int.from_bytes(pixels, "little")
            if key is not None and key.of_source:
                mask &= key.writable(pixels)
        elif isinstance(source, MonoSource):
            if operation.needs_source:
                s = int.from_bytes(source.rows(area, source.zero, source.one), "little")
            if source.transparent:
                mask &= int.from_bytes(source.rows(area, bytes(self._pixel), b"\xff" * self._pixel), "little")
        if key is not None and not key.of_source:
            mask &= key.writable(old)
        if self._channels is not None:
            mask &= self._channel_operand(self._channels, size)
        result = operation.apply(p, s, d, ones)
        if mask != ones:
            result = d ^ (d ^ result) & mask
        target.write(first, last, result.to_bytes(size, "little"))

    def _pattern_operand(self, kind: str, pattern: Pattern, lines: tuple[bytes, ...], area: Rectangle) -> int:
        """The pattern, or its mask, over a band; the same for all bands that begin at the same line of it."""
        place = kind, area.height, area.top % 8 if len(lines) > 1 else 0
        known = self._operands.get(place)
        if known is None:
            known = self._operands[place] = int.from_bytes(pattern.rows(area, lines), "little")
        return known

    def _channel_operand(self, channels: bytes, size: int) -> int:
        place = "channels", size, 0
        known = self._operands.get(place)
        if known is None:
            known = self._operands[place] = int.from_bytes(channels * (size // self._pixel), "little")
        return known
