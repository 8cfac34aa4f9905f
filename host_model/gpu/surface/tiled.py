"""Windows onto tiled surfaces."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import Final, NamedTuple, final

from .rectangle import Rectangle
from .stretch import Stretch, copy_pieces
from .surface import Space, Surface
from .tiling import Buffer, Matrix, Tiling

__all__ = ("TiledWindow",)

_RUNS_AT_ONCE: Final = 1 << 16
"""Of a tiling that is put together block by block; more are taken one by one."""


class _Part(NamedTuple):
    """The part of a window that is in one row of tiles."""

    memory: Stretch
    """The row of tiles from the window's first unit of columns to its last."""
    top: int
    """First row of the part, counted in the tiles."""
    bottom: int
    start: int
    """First row of the part, counted in the window."""


@final
class TiledWindow:
    """Rows of ``area``, columns counted in bytes, of a surface with ``tiling``.

    ``steady`` promises that nothing is stored in the memory of the window while it is read.

    Raises: what the space raises for an address that leads nowhere.
    """

    def __init__(self, space: Space, surface: Surface, tiling: Tiling, area: Rectangle, *, write: bool, steady: bool = False) -> None:
        self._steady = steady
        self._kept: tuple[Stretch, bytes] | None = None
        self._tiling = tiling
        self._width = area.width
        unit = tiling.unit * tiling.run
        first_column = area.left // unit * tiling.unit
        self._columns = -(-area.right // unit) * tiling.unit - first_column
        self._left = area.left - first_column * tiling.run
        """Where the area begins in its first column of runs."""
        size = self._columns * tiling.run * tiling.height
        begin = surface.base + tiling.offset(first_column, 0)
        self._parts: list[_Part] = []
        numbers = range(area.top // tiling.height, -(-area.bottom // tiling.height))
        step = surface.pitch * tiling.height
        begin += numbers.start * step
        together = _Cutter(space.spans(begin, size * len(numbers), write=write)) if step == size else None
        for number in numbers:
            if together is not None:
                memory = together.take(size)
            else:
                memory = space.spans(begin, size, write=write)
                begin += step
            top = number * tiling.height
            self._parts.append(
                _Part(
                    Stretch(memory), max(area.top - top, 0), min(area.bottom - top, tiling.height), max(top - area.top, 0)
                )
            )
        run = tiling.run
        # Columns that the area covers whole; those at its sides are stored piece by piece.
        self._first_whole = -(-self._left // run)
        self._last_whole = (self._left + self._width) // run
        self._all_whole = self._last_whole - self._first_whole == self._columns
        self._at_once = tiling.transposed or self._columns * tiling.height <= _RUNS_AT_ONCE

    @cached_property
    def _tile(self) -> Callable[[Iterable[Buffer]], bytes]:
        return self._tiling.tiler(self._columns)

    @cached_property
    def _untile(self) -> Callable[[Iterable[Buffer]], bytes]:
        return self._tiling.untiler(self._columns)

    def _within(self, first: int, last: int) -> Iterator[_Part]:
        """The parts that rows ``first`` up to ``last`` are in, cut to them."""
        height = self._tiling.height
        skipped = self._parts[0].top
        for part in self._parts[(first + skipped) // height : -(-(last + skipped) // height)]:
            end = part.start + part.bottom - part.top
            if part.start >= first and end <= last:
                yield part
            else:
                yield part._replace(
                    top=part.top + max(first - part.start, 0), bottom=part.bottom - max(end - last, 0), start=max(part.start, first)
                )

    def read(self, first: int, last: int) -> Buffer:
        tiling, width = self._tiling, self._width
        stride = self._columns * tiling.run
        found: list[Buffer] = []
        for part in self._within(first, last):
            if not self._at_once or (not tiling.transposed and 4 * (part.bottom - part.top) < tiling.height):
                found += self._read_runs(part)
                continue
            rows = self._rows_of(part.memory)
            if stride == width:
                found.append(rows if part.bottom - part.top == tiling.height else memoryview(rows)[part.top * stride : part.bottom * stride])
            else:
                begin = memoryview(rows)[self._left :]
                found += [begin[start : start + width] for start in range(part.top * stride, part.bottom * stride, stride)]
        return found[0] if len(found) == 1 else b"".join(found)

    def _rows_of(self, memory: Stretch) -> bytes:
        """A row of tiles as rows. Two reads often meet in one: what the first has put together is kept for the second."""
        if self._steady and self._kept is not None and self._kept[0] is memory:
            return self._kept[1]
        rows = self._untile(memory.pieces(0, memory.size))
        self._kept = memory, rows
        return rows

    def _runs(self, left: int, right: int) -> Iterator[tuple[int, int, int]]:
        """The runs that columns ``left`` up to ``right`` touch, counted in bytes of the window: column, place in row 0, length."""
        tiling = self._tiling
        while left < right:
            column, inside = divmod(self._left + left, tiling.run)
            length = min(tiling.run - inside, right - left)
            yield left, tiling.offset(column, 0) + inside, length
            left += length

    def _read_runs(self, part: _Part) -> list[Buffer]:
        read, offsets = part.memory.read, self._tiling.row_offsets
        runs = list(self._runs(0, self._width))
        return [read(place + offsets[row], length) for row in range(part.top, part.bottom) for _, place, length in runs]

    def write(self, first: int, last: int, data: Buffer) -> None:
        width = self._width
        rows = memoryview(data)
        for part in self._within(first, last):
            self._write_part(part, rows[(part.start - first) * width : (part.start - first + part.bottom - part.top) * width])

    def _write_part(self, part: _Part, rows: memoryview) -> None:
        tiling = self._tiling
        height = part.bottom - part.top
        if self._all_whole and self._at_once and height == tiling.height:
            part.memory.write(0, self._tile((rows,)))
        elif not tiling.transposed or self._last_whole <= self._first_whole:
            self._write_runs(part, rows, 0, self._width)
        else:
            left = self._first_whole * tiling.run - self._left
            right = self._last_whole * tiling.run - self._left
            self._write_runs(part, rows, 0, left)
            self._write_columns(part, rows, left, right)
            self._write_runs(part, rows, right, self._width)

    def _write_columns(self, part: _Part, rows: memoryview, left: int, right: int) -> None:
        """Store whole columns, of any number of rows, into tiles whose columns lie together."""
        tiling, height = self._tiling, part.bottom - part.top
        width, columns = self._width, self._last_whole - self._first_whole
        pieces = [rows] if right - left == width else [rows[start + left : start + right] for start in range(0, height * width, width)]
        transposed = memoryview(Matrix(height, columns, tiling.run).transposed(pieces))
        column_size = tiling.height * tiling.run
        start = self._first_whole * column_size + part.top * tiling.run
        if height == tiling.height:
            part.memory.write(start, transposed)
            return
        size = height * tiling.run
        memory = part.memory.single()
        for at in range(0, columns * size, size):
            column = transposed[at : at + size]
            if memory is not None:
                memory[start : start + size] = column
            else:
                part.memory.write(start, column)
            start += column_size

    def _write_runs(self, part: _Part, rows: memoryview, left: int, right: int) -> None:
        """Store columns ``left`` up to ``right``, counted in bytes of the window, run by run."""
        write, width = part.memory.write, self._width
        offsets = self._tiling.row_offsets[part.top : part.bottom]
        for at, place, length in self._runs(left, right):
            for offset in offsets:
                write(place + offset, rows[at : at + length])
                at += width

    def fill(self, pixel: bytes) -> None:
        tiling = self._tiling
        for part in self._parts:
            height = part.bottom - part.top
            if self._all_whole and height == tiling.height:
                part.memory.fill(0, part.memory.size, pixel)
            elif not tiling.transposed or not self._all_whole:
                self._write_part(part, memoryview(pixel * (self._width // len(pixel) * height)))
            else:
                column = pixel * (height * tiling.run // len(pixel))
                column_size = tiling.height * tiling.run
                start = part.top * tiling.run
                for at in range(start, start + self._columns * column_size, column_size):
                    part.memory.write(at, column)

    def aligned_with(self, other: TiledWindow) -> bool:
        """Whether both windows lie alike in their tiles, so that whole pieces of memory can be copied."""
        return (
            self._tiling is other._tiling
            and self._left == other._left
            and self._width == other._width
            and [part[1:] for part in self._parts] == [part[1:] for part in other._parts]
        )

    def copy_from(self, source: TiledWindow) -> None:
        """Take over all rows of a window that is aligned with this one and shares no byte with it."""
        tiling = self._tiling
        for part, other in zip(self._parts, source._parts, strict=True):
            height = part.bottom - part.top
            if self._all_whole and height == tiling.height:
                copy_pieces(part.memory.pieces(0, part.memory.size), other.memory.pieces(0, other.memory.size))
            elif self._all_whole and tiling.transposed:
                size, column_size = height * tiling.run, tiling.height * tiling.run
                start = part.top * tiling.run
                for at in range(start, start + self._columns * column_size, column_size):
                    part.memory.write(at, other.memory.read(at, size))
            else:
                self._write_part(part, memoryview(source.read(part.start, part.start + height)))


@final
class _Cutter:
    """Takes views of given sizes from the front of a list of views."""

    def __init__(self, views: list[memoryview]) -> None:
        self._views = views
        self._number = 0
        self._at = 0

    def take(self, size: int) -> list[memoryview]:
        found = []
        while size:
            view = self._views[self._number]
            piece = view[self._at : self._at + size]
            found.append(piece)
            size -= len(piece)
            self._at += len(piece)
            if self._at == len(view):
                self._number += 1
                self._at = 0
        return found
