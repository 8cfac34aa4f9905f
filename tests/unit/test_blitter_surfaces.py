"""Surfaces of the 2D engine: where a byte of a row lies in memory, and that nothing beside a rectangle is touched."""

from __future__ import annotations

import random

import pytest
from support.naive_blitter import NaiveSurface

from host_model.gpu.blitter.depth import DEPTHS, Depth
from host_model.gpu.blitter.drawing import Drawing
from host_model.gpu.surface.linear import LinearWindow
from host_model.gpu.blitter.raster_operation import COPY_SOURCE
from host_model.gpu.surface.rectangle import Rectangle, signed16
from host_model.gpu.blitter.source import SurfaceSource
from host_model.gpu.surface.stretch import Stretch, copy_pieces
from host_model.gpu.surface.surface import Surface, Window
from host_model.gpu.surface.tiled import TiledWindow
from host_model.gpu.surface.tiling import TILE_X, TILE_Y, TILE_YF, TILE_YS, Matrix, Tiling
from pvinfo.errors import LayoutError
from pvinfo.units import KIB, PAGE_SIZE

SIZE = 512 * KIB
ALL_TILINGS = {"X": TILE_X, "Y": TILE_Y, "Yf": TILE_YF[4], "Ys": TILE_YS[4], "Yf of 8 bits": TILE_YF[1], "Yf of 128 bits": TILE_YF[16]}
NAIVE = {"X": ("X", 4), "Y": ("Y", 4), "Yf": ("Yf", 4), "Ys": ("Ys", 4), "Yf of 8 bits": ("Yf", 1), "Yf of 128 bits": ("Yf", 16)}


class Pages:
    """Graphics memory whose pages lie apart from each other, as views of at most ``together`` pages."""

    def __init__(self, rng: random.Random, together: int = 1) -> None:
        self.memory = bytearray(rng.randbytes(SIZE))
        self.asked: list[tuple[int, int]] = []
        count = SIZE // PAGE_SIZE // together
        places = list(range(count))
        rng.shuffle(places)
        self._run = together * PAGE_SIZE
        self._places = places

    def host_offset(self, address: int) -> int:
        return self._places[address // self._run] * self._run + address % self._run

    def spans(self, address: int, size: int, *, write: bool) -> list[memoryview]:
        self.asked.append((address, size))
        views = []
        while size:
            length = min(size, self._run - address % self._run)
            start = self.host_offset(address)
            views.append(memoryview(self.memory)[start : start + length])
            address += length
            size -= length
        return views

    def byte(self, address: int) -> int:
        return self.memory[self.host_offset(address)]


def window(space: Pages, surface: Surface, area: Rectangle) -> Window:
    if surface.tiling is None:
        return LinearWindow(space, surface, area, write=True)
    return TiledWindow(space, surface, surface.tiling, area, write=True)


@pytest.mark.parametrize(
    ("tiling", "width", "height", "column", "row", "offset"),
    [
        (TILE_X, 512, 8, 511, 0, 511),
        (TILE_X, 512, 8, 3, 7, 7 * 512 + 3),
        (TILE_Y, 128, 32, 15, 0, 15),
        (TILE_Y, 128, 32, 16, 0, 512),
        (TILE_Y, 128, 32, 17, 31, 512 + 31 * 16 + 1),
        (TILE_YF[4], 128, 32, 16, 0, 128),
        (TILE_YF[4], 128, 32, 0, 8, 256),
        (TILE_YF[4], 128, 32, 127, 31, 4095),
        (TILE_YF[1], 64, 64, 16, 1, 512 + 16),
        (TILE_YF[16], 256, 16, 16, 0, 64),
        (TILE_YS[4], 512, 128, 128, 32, 3 * 4096),
    ],
)
def test_a_byte_of_a_tile_is_where_the_order_of_address_bits_puts_it(
    tiling: Tiling, width: int, height: int, column: int, row: int, offset: int
) -> None:
    assert (tiling.width, tiling.height) == (width, height)
    assert tiling.offset(column // tiling.run, row) + column % tiling.run == offset


@pytest.mark.parametrize("name", ALL_TILINGS)
def test_rows_tiled_and_untiled_are_the_same_rows(name: str) -> None:
    tiling, rng = ALL_TILINGS[name], random.Random(1)
    for tiles in (1, 2, 5):
        rows = rng.randbytes(tiles * tiling.size)
        memory = tiling.tiler(tiles * tiling.columns)([rows])
        assert tiling.untiler(tiles * tiling.columns)([memory[:100], memory[100:]]) == rows
        stride = tiles * tiling.width
        for _ in range(200):
            column, row = rng.randrange(stride), rng.randrange(tiling.height)
            assert memory[tiling.offset(column // tiling.run, row) + column % tiling.run] == rows[row * stride + column]


def test_a_tiling_without_runs_of_a_known_length_is_refused() -> None:
    with pytest.raises(LayoutError, match="YYYYYYYYYXXX does not begin with runs of 16 or 512 bytes"):
        Tiling("narrow", "YYYYYYYYYXXX")


def test_a_matrix_is_transposed_again_and_again_whatever_holds_it() -> None:
    matrix = Matrix(2, 3, 16)
    for start in (0, 6):
        data = b"".join(bytes((number,)) * 16 for number in range(start, start + 6))
        expected = b"".join(bytes((start + number,)) * 16 for number in (0, 3, 1, 4, 2, 5))
        for holder in (data, bytearray(data), memoryview(data), memoryview(bytearray(data))):
            assert matrix.transposed([holder]) == expected
            assert matrix.transposed([holder[:7], holder[7:60], b"", holder[60:]]) == expected


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 5), (5, 1), (32, 480)])
def test_a_matrix_transposed_twice_is_as_before(rows: int, columns: int) -> None:
    data = random.Random(rows).randbytes(rows * columns * 16)
    turned = Matrix(rows, columns, 16).transposed([data])
    assert [turned[16 * rows * column : 16 * rows * column + 16] for column in range(columns)] == [data[16 * column : 16 * column + 16] for column in range(columns)]
    assert Matrix(columns, rows, 16).transposed([turned]) == data


@pytest.mark.parametrize("together", [1, 4, 128])
@pytest.mark.parametrize("name", ["linear", *ALL_TILINGS])
def test_a_window_reads_and_stores_the_bytes_of_its_rectangle_and_no_other(name: str, together: int) -> None:
    rng = random.Random(f"{name} {together}")
    for _ in range(12):
        space = Pages(rng, together)
        tiling = ALL_TILINGS.get(name)
        kind, pixel = NAIVE.get(name, ("linear", 4))
        pitch = (tiling.width if tiling else 4) * rng.randint(1, 6 if tiling else 200)
        base = rng.randrange(4) * tiling.size if tiling else rng.randrange(9000)
        left = rng.randrange(max(min(pitch - 1, 200), 1))
        width = rng.choice((rng.randint(1, pitch - left), pitch - left, min(16, pitch - left)))
        top, height = rng.randrange(70), rng.choice((1, 3, rng.randint(1, 70)))
        if rng.random() < 0.2 and tiling is None:
            base, pitch = base + (top + height) * pitch, -pitch
        if rng.random() < 0.3:
            left, width, top = 0, abs(pitch), 0
        surface, area = Surface(base, pitch, tiling), Rectangle(left, top, left + width, top + height)
        naive = NaiveSurface(base, pitch, kind)
        places = [[naive.address(x, y, pixel) for x in range(left, left + width)] for y in range(top, top + height)]
        if max(map(max, places)) >= SIZE:
            continue
        seen = window(space, surface, area)
        first = rng.randrange(height)
        last = rng.randint(first + 1, height)
        expected = bytes(space.byte(address) for row in places[first:last] for address in row)
        assert bytes(seen.read(first, last)) == expected
        extent = surface.extent(area)
        assert extent.start <= min(map(min, places)) and max(map(max, places)) < extent.end
        before = bytes(space.memory)
        data = rng.randbytes((last - first) * width)
        seen.write(first, last, data)
        after = bytearray(before)
        for row, addresses in enumerate(places[first:last]):
            for column, address in enumerate(addresses):
                after[space.host_offset(address)] = data[row * width + column]
        assert space.memory == after
        colour = rng.randbytes(1)
        seen.fill(colour)
        for row_addresses in places:
            for address in row_addresses:
                after[space.host_offset(address)] = colour[0]
        assert space.memory == after


def test_a_fill_keeps_its_phase_from_page_to_page() -> None:
    space = Pages(random.Random(3))
    LinearWindow(space, Surface(2, 160_000, None), Rectangle(0, 0, 160_000, 1), write=True).fill(b"ABCD")
    assert bytes(space.byte(address) for address in range(2, 160_002)) == b"ABCD" * 40_000
    space = Pages(random.Random(3))
    LinearWindow(space, Surface(1, 160_000, None), Rectangle(0, 0, 160_000, 1), write=True).fill(b"ABCD")
    assert bytes(space.byte(address) for address in range(1, 160_001)) == b"ABCD" * 40_000


def test_pages_between_rows_that_lie_far_apart_are_never_translated() -> None:
    space = Pages(random.Random(4))
    LinearWindow(space, Surface(0x100, 3 * PAGE_SIZE, None), Rectangle(0, 0, 16, 4), write=False)
    assert space.asked == [(0x100 + row * 3 * PAGE_SIZE, 16) for row in range(4)]


def test_rows_of_pitch_zero_are_one_row() -> None:
    space = Pages(random.Random(5))
    rows = LinearWindow(space, Surface(0x40, 0, None), Rectangle(0, 0, 2, 3), write=True)
    rows.write(0, 3, b"aabbcc")
    assert bytes((space.byte(0x40), space.byte(0x41))) == b"cc"
    assert bytes(rows.read(0, 3)) == b"cccccc"


def test_rows_and_tile_rows_share_memory_where_the_pitch_is_too_short() -> None:
    assert Surface(0, 100, None).rows_overlap(Rectangle(0, 0, 101, 2))
    assert not Surface(0, -100, None).rows_overlap(Rectangle(0, 0, 100, 2))
    assert not Surface(0, 0, None).rows_overlap(Rectangle(0, 0, 100, 1))
    assert Surface(0, 512, TILE_X).rows_overlap(Rectangle(500, 0, 520, 9))
    assert not Surface(0, 512, TILE_X).rows_overlap(Rectangle(500, 0, 520, 8))
    assert not Surface(0, 1024, TILE_X).rows_overlap(Rectangle(500, 0, 520, 80))


def test_a_stretch_reads_and_stores_across_its_views() -> None:
    memory = bytearray(b"0123456789")
    view = memoryview(memory)
    stretch = Stretch([view[5:8], view[0:2], view[8:10]])
    assert stretch.size == 7
    assert bytes(stretch.read(0, 7)) == b"5670189"
    assert bytes(stretch.read(2, 3)) == b"701"
    stretch.write(1, b"abcde")
    assert memory == b"cd2345" + b"ab" + b"e9"
    assert stretch.pieces(7, 0) == []


def test_pieces_are_copied_whatever_their_borders() -> None:
    memory = bytearray(9)
    view = memoryview(memory)
    copy_pieces([view[6:9], view[0:4], view[4:6]], [b"ab", b"cdefg", b"hi"])
    assert memory == b"defghiabc"


@pytest.mark.parametrize(("value", "number"), [(0, 0), (0x7FFF, 32767), (0x8000, -32768), (0xFFFF, -1), (0x12345, 0x2345)])
def test_coordinates_are_signed_16_bit_numbers(value: int, number: int) -> None:
    assert signed16(value) == number


class MemoryEverywhere:
    """The same bytes behind every address."""

    def __init__(self) -> None:
        self._memory = memoryview(bytearray(32 << 20))

    def spans(self, address: int, size: int, *, write: bool) -> list[memoryview]:
        return [self._memory[:size]]


@pytest.mark.parametrize(
    ("tilings", "pixel", "width", "most"),
    [
        ((TILE_YS[16], TILE_YS[16]), 16, 0x7FFF, 0x7FFF * 16),
        ((TILE_YS[16], None), 16, 2048, 1 << 17),
        ((None, TILE_YS[1]), 1, 0x7FFF, 1 << 17),
        ((TILE_YS[4], TILE_YS[4]), 4, 1920, 1 << 20),
        ((TILE_Y, TILE_Y), 4, 1920, 1 << 24),
    ],
)
def test_a_copy_does_less_in_one_go_the_more_it_is_torn_to_pieces(
    tilings: tuple[Tiling | None, Tiling | None], pixel: int, width: int, most: int
) -> None:
    pitch = -(-width * pixel // 4096) * 4096
    target, source = (Surface(number << 40, pitch, tiling) for number, tiling in enumerate(tilings))
    copy = Drawing(target, Rectangle(0, 0, width, 0x7FFF), Depth("pixels", pixel, (), None), COPY_SOURCE, source=SurfaceSource(source, 0, 0))
    assert 0 < copy.step(MemoryEverywhere()) <= 2 * most
    assert not copy.done


def test_rows_that_overlap_are_drawn_a_few_in_one_go() -> None:
    surface = Surface(0, 512, TILE_X)
    copy = Drawing(surface, Rectangle(0, 0, 4096, 0x7FFF), DEPTHS[3], COPY_SOURCE, source=SurfaceSource(surface, 0, 0))
    assert 0 < copy.step(MemoryEverywhere()) <= 2 << 17
