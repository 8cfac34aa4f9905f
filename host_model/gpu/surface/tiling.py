"""Tiling: how the bytes of a surface's rows are strewn over memory.

A tile is a piece of memory, of one or sixteen pages, that holds a rectangle of the surface. Inside it some bits of a byte's
address count columns and the others rows; a tiling is the order of these bits. All tilings keep *runs* of a row together,
the columns that the lowest address bits count: 512 bytes in an X tile, 16 in all others.

In X tiles and in Y tiles of the older kind, each column of runs is one piece of memory. A row of such tiles is then the
matrix of its runs, transposed, and is tiled and untiled as a whole. Tiles of the newer kinds mix the bits further: only some
rows of a few columns lie together, as a *block*. Blocks that hold the same rows are brought together, and are such a matrix then.

Source: prm:bdw:vol5 (Address Tiling Function), gmmlib:Source/GmmLib/Utility/CpuSwizzleBlt/CpuSwizzleBlt.c
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable
from functools import lru_cache
from operator import itemgetter
from typing import Final, final

from pvinfo.errors import LayoutError

__all__ = ("TILE_X", "TILE_Y", "TILE_YF", "TILE_YS", "Buffer", "Matrix", "Tiling")

Buffer = bytes | bytearray | memoryview


_ELEMENTS: Final[dict[int, type[ctypes.Structure]]] = {
    run: type(f"Run{run}", (ctypes.Structure,), {"_fields_": [("bytes", ctypes.c_char * run)]}) for run in (16, 512)
}
"""Runs as elements of a matrix."""


@lru_cache(maxsize=256)
def _matrix(rows: int, columns: int, run: int) -> type[ctypes.Array[ctypes.Array[ctypes.Structure]]]:
    return _ELEMENTS[run] * columns * rows


@final
class Matrix:
    """Room for a matrix of runs, which is given row by row and taken column by column.

    The interpreter has one loop that moves elements of any size over two strides: the one that makes a matrix contiguous
    in the other order. A ctypes array is what gives elements of 16 and of 512 bytes to it. That loop waits for each element,
    so what it reads is first brought near the processor in one go: that is what the room is for.
    """

    def __init__(self, rows: int, columns: int, run: int) -> None:
        self._bytes = memoryview(bytearray(rows * columns * run))
        self._cells = memoryview(_matrix(rows, columns, run).from_buffer(self._bytes))

    def transposed(self, pieces: Iterable[Buffer]) -> bytes:
        """The matrix whose bytes are ``pieces``, in order, column by column."""
        room, at = self._bytes, 0
        for piece in pieces:
            end = at + len(piece)
            room[at:end] = piece
            at = end
        return self._cells.tobytes("F")


def _deposit(value: int, positions: list[int]) -> int:
    return sum(1 << position for bit, position in enumerate(positions) if value >> bit & 1)


@final
class Tiling:
    """The order of the address bits inside a tile, highest first: X counts bytes of a row, Y counts rows.

    Raises: LayoutError when the lowest four bits do not all count columns, or the runs are of a length not foreseen.
    """

    def __init__(self, name: str, order: str) -> None:
        self.name = name
        lowest_first = order[::-1]
        columns = [position for position, bit in enumerate(lowest_first) if bit == "X"]
        rows = [position for position, bit in enumerate(lowest_first) if bit == "Y"]
        run_bits = lowest_first.find("Y")
        if len(columns) + len(rows) != len(order) or 1 << run_bits not in _ELEMENTS:
            raise LayoutError(f"tiling {name}: {order} does not begin with runs of 16 or 512 bytes")
        self.width = 1 << len(columns)
        """Bytes of a row."""
        self.height = 1 << len(rows)
        self.size = self.width * self.height
        self.run = 1 << run_bits
        """Bytes of a row that lie together."""
        self.columns = self.width // self.run
        """Runs of a row."""
        self.column_offsets = tuple(_deposit(column, columns[run_bits:]) for column in range(self.columns))
        """Offset in the tile of each column of runs."""
        self.row_offsets = tuple(_deposit(row, rows) for row in range(self.height))
        """Offset in the tile of each row."""
        self.transposed = rows == list(range(run_bits, run_bits + len(rows)))
        """Each column of runs lies together."""
        self.unit = 1 if self.transposed else self.columns
        """Columns that are tiled and untiled together."""
        row_bits = lowest_first.find("X", run_bits) - run_bits if not self.transposed else len(rows)
        self.block_rows = 1 << row_bits
        """Rows of a block."""
        next_row = lowest_first.find("Y", run_bits + row_bits)
        self.block_columns = 1 if next_row < 0 else 1 << next_row - run_bits - row_bits
        """Runs of each of its rows."""

    def __repr__(self) -> str:
        return f"<tiling {self.name}>"

    def tiler(self, columns: int) -> Callable[[Iterable[Buffer]], bytes]:
        """Makes of a tile's height of rows, in pieces, the memory of ``columns`` columns of runs, whole units."""
        if self.transposed:
            return Matrix(self.height, columns, self.run).transposed
        scatter = _scatter(self, columns // self.columns)
        matrix = Matrix(self.block_rows, columns, self.run)
        size = self.block_rows * columns * self.run

        def tile(rows: Iterable[Buffer]) -> bytes:
            whole = memoryview(b"".join(rows))
            return b"".join(scatter(b"".join([matrix.transposed((whole[at : at + size],)) for at in range(0, len(whole), size)])))

        return tile

    def untiler(self, columns: int) -> Callable[[Iterable[Buffer]], bytes]:
        """Makes rows of memory, the reverse of :meth:`tiler`."""
        if self.transposed:
            return Matrix(columns, self.height, self.run).transposed
        gather = _gather(self, columns // self.columns)
        matrix = Matrix(columns, self.block_rows, self.run)
        size = self.block_rows * columns * self.run

        def untile(memory: Iterable[Buffer]) -> bytes:
            blocks = memoryview(b"".join(gather(b"".join(memory))))
            return b"".join([matrix.transposed((blocks[at : at + size],)) for at in range(0, len(blocks), size)])

        return untile

    def offset(self, column: int, row: int) -> int:
        """Offset of a run in a row of tiles, from its first tile."""
        tile, inside = divmod(column, self.columns)
        return tile * self.size + self.column_offsets[inside] + self.row_offsets[row]


def _blocks(tiling: Tiling, tiles: int) -> list[int]:
    """Offsets of all blocks of a row of tiles, those of the same rows together, from left to right."""
    rows, columns = range(0, tiling.height, tiling.block_rows), range(0, tiles * tiling.columns, tiling.block_columns)
    return [tiling.offset(column, row) for row in rows for column in columns]


@lru_cache(maxsize=8)
def _gather(tiling: Tiling, tiles: int) -> Callable[[bytes], tuple[bytes, ...]]:
    """Takes the blocks of a row of tiles out of its memory, those of the same rows together."""
    size = tiling.run * tiling.block_rows * tiling.block_columns
    return itemgetter(*(slice(place, place + size) for place in _blocks(tiling, tiles)))


@lru_cache(maxsize=8)
def _scatter(tiling: Tiling, tiles: int) -> Callable[[bytes], tuple[bytes, ...]]:
    """Takes the blocks out of where those of the same rows are together, in the order of memory."""
    size = tiling.run * tiling.block_rows * tiling.block_columns
    order = sorted((place, number) for number, place in enumerate(_blocks(tiling, tiles)))
    return itemgetter(*(slice(number * size, (number + 1) * size) for _, number in order))


TILE_X: Final = Tiling("X", "YYYXXXXXXXXX")
TILE_Y: Final = Tiling("Y", "XXXYYYYYXXXX")

_YF_ORDERS: Final = {1: "XYXYYYYYXXXX", 2: "XYXYXYYYXXXX", 4: "XYXYXYYYXXXX", 8: "XYXYXXYYXXXX", 16: "XYXYXXYYXXXX"}

TILE_YF: Final = {size: Tiling(f"Yf, {8 * size} bits per pixel", order) for size, order in _YF_ORDERS.items()}
"""By bytes per pixel. A tile is one page."""

TILE_YS: Final = {size: Tiling(f"Ys, {8 * size} bits per pixel", "XYXY" + order) for size, order in _YF_ORDERS.items()}
"""By bytes per pixel. A tile is sixteen pages."""
