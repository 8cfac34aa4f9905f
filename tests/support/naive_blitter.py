"""The 2D engine once more, written from the manual's rules and without regard for speed: pixel by pixel, byte by byte.

It reads its commands as bare dwords and shares no code with the model, so that what both agree on is what the rules say.
Source and destination that share memory: scan lines in the order that the manual gives, each read before it is written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol


class Bytes(Protocol):
    """Graphics memory, a byte at a time."""

    def get(self, address: int) -> int: ...

    def put(self, address: int, value: int) -> None: ...


def signed(value: int, bits: int = 16) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def bit(value: int, number: int) -> int:
    return value >> number & 1


# ---- where a byte of a surface is ----

# Each letter is an address bit above the lowest four, lowest first; x bits count 16-byte columns there, y bits rows.
YF_BITS = {1: "yyyyyxyx", 2: "yyyxyxyx", 4: "yyyxyxyx", 8: "yyxxyxyx", 16: "yyxxyxyx"}


def bit_tile(order: str, x: int, y: int) -> tuple[int, int, int]:
    """(offset in the tile, tile width in bytes, tile height) for a byte at x, y."""
    width_bits = 4 + order.count("x")
    height_bits = order.count("y")
    column = x % (1 << width_bits)
    row = y % (1 << height_bits)
    offset = column & 15
    column >>= 4
    for number, letter in enumerate(order):
        if letter == "x":
            offset |= (column & 1) << 4 + number
            column >>= 1
        else:
            offset |= (row & 1) << 4 + number
            row >>= 1
    return offset, 1 << width_bits, 1 << height_bits


@dataclass(frozen=True)
class NaiveSurface:
    base: int
    pitch: int
    """In bytes."""
    tiling: str
    """linear, X, Y, Yf or Ys."""

    def address(self, x: int, y: int, size: int) -> int:
        """Of the byte at byte column ``x``; ``size`` is that of a pixel."""
        if self.tiling == "linear":
            return self.base + y * self.pitch + x
        if self.tiling == "X":
            offset, width, height = (y % 8) * 512 + x % 512, 512, 8
        elif self.tiling == "Y":
            offset, width, height = x % 128 // 16 * 512 + y % 32 * 16 + x % 16, 128, 32
        else:
            offset, width, height = bit_tile(YF_BITS[size] + ("yxyx" if self.tiling == "Ys" else ""), x, y)
        return self.base + y // height * height * self.pitch + x // width * (width * height) + offset


# ---- one drawing ----

Operand = Callable[[int, int], "tuple[int, bool]"]
"""Gives, for a pixel of the destination, the operand and whether it lets the pixel be written."""

CHANNELS = {0: [(0, 8)], 1: [(11, 5), (5, 6), (0, 5)], 2: [(10, 5), (5, 5), (0, 5)], 3: [(16, 8), (8, 8), (0, 8)]}
ALPHA = {2: (15, 1), 3: (24, 8)}
SIZES = {0: 1, 1: 2, 2: 2, 3: 4}


def in_range(depth: int, alpha: bool, low: int, high: int, pixel: int) -> bool:
    channels = CHANNELS[depth] + ([ALPHA[depth]] if alpha and depth in ALPHA else [])
    for shift, width in channels:
        mask = (1 << width) - 1
        if not (low >> shift & mask) <= (pixel >> shift & mask) <= (high >> shift & mask):
            return False
    return True


def raster(code: int, pattern: int, source: int, destination: int, bits: int) -> int:
    """Each bit of the code says what comes of one combination of pattern, source and destination."""
    result = 0
    for combination in range(8):
        if bit(code, combination):
            result |= (
                (pattern if bit(combination, 2) else ~pattern)
                & (source if bit(combination, 1) else ~source)
                & (destination if bit(combination, 0) else ~destination)
            )
    return result & (1 << bits) - 1


@dataclass
class NaiveState:
    """What the setup commands leave behind."""

    control: int = 0
    byte_mask: int = 0
    clip: tuple[int, int, int, int] = (0, 0, 0, 0)
    destination: int = 0
    background: int = 0
    foreground: int = 0
    pattern_address: int = 0
    mono: bool = False
    pattern_data: bytes = bytes(8)


@dataclass
class Draw:
    surface: NaiveSurface
    rectangle: tuple[int, int, int, int]
    depth: int
    code: int
    byte_mask: int = 3
    clip: tuple[int, int, int, int] | None = None
    pattern: Operand | None = None
    mono_source: Operand | None = None
    color_source: tuple[NaiveSurface, int, int] | None = None
    key: tuple[int, int, int] = (0, 0, 0)
    size: int = 0


FIXED = {
    0: "........ ........ ........ ######## ........ ........ ........ ........",
    1: "....#... " * 8,
    2: "#....... .#...... ..#..... ...#.... ....#... .....#.. ......#. .......#",
    3: ".......# ......#. .....#.. ....#... ...#.... ..#..... .#...... #.......",
    4: "....#... ....#... ....#... ######## ....#... ....#... ....#... ....#...",
    5: "#......# .#....#. ..#..#.. ...##... ...##... ..#..#.. .#....#. #......#",
    8: ".#.#.#.# #.#.#.#. " * 4,
    9: "##..##.. ..##..## " * 4,
    10: "#...#... .#...#.. ..#...#. ...#...# " * 2,
    11: ".###.### #.###.## ##.###.# ###.###. " * 2,
}


def fixed_pattern(number: int) -> bytes:
    return bytes(int(line.replace(".", "0").replace("#", "1"), 2) for line in FIXED[number].split())


@dataclass
class NaiveBlitter:
    memory: Bytes
    swctrl: int = 0
    state: NaiveState = field(default_factory=NaiveState)

    def pixel(self, surface: NaiveSurface, x: int, y: int, size: int) -> int:
        return sum(self.memory.get(surface.address(x * size + number, y, size)) << 8 * number for number in range(size))

    def draw(self, draw: Draw) -> None:
        left, top, right, bottom = draw.rectangle
        x_start, y_start = max(left, 0), max(top, 0)
        if draw.color_source is not None:
            _, source_x, source_y = draw.color_source
            if source_x < 0:
                x_start = max(x_start, left - source_x)
            if source_y < 0:
                y_start = max(y_start, top - source_y)
        if draw.clip is not None:
            x_start, y_start = max(x_start, draw.clip[0]), max(y_start, draw.clip[1])
            right, bottom = min(right, draw.clip[2]), min(bottom, draw.clip[3])
        size = draw.size or SIZES[draw.depth]
        rows = list(range(y_start, bottom))
        if draw.color_source is not None:
            surface, source_x, source_y = draw.color_source
            if surface.base == draw.surface.base and source_y < top:
                rows.reverse()
        for y in rows:
            fetched = {}
            if draw.color_source is not None:
                surface, source_x, source_y = draw.color_source
                for x in range(x_start, right):
                    fetched[x] = self.pixel(surface, x - left + source_x, y - top + source_y, size)
            for x in range(x_start, right):
                self._pixel(draw, x, y, size, fetched.get(x, 0))

    def _pixel(self, draw: Draw, x: int, y: int, size: int, source: int) -> None:
        written = True
        pattern = 0
        if draw.pattern is not None:
            pattern, enabled = draw.pattern(x, y)
            written = written and enabled
        if draw.mono_source is not None:
            source, enabled = draw.mono_source(x, y)
            written = written and enabled
        destination = self.pixel(draw.surface, x, y, size)
        mode, low, high = draw.key
        if mode in (1, 3):
            written = written and not in_range(draw.depth, mode == 3, low, high, source)
        if mode in (5, 7):
            written = written and in_range(draw.depth, mode == 5, low, high, destination)
        if not written:
            return
        result = raster(draw.code, pattern, source, destination, 8 * size)
        for number in range(size):
            if draw.depth == 3 and not draw.size and not bit(draw.byte_mask, 1 if number == 3 else 0):
                continue
            self.memory.put(draw.surface.address(x * size + number, y, size), result >> 8 * number & 0xFF)

    # ---- operands ----

    def solid(self, color: int) -> Operand:
        return lambda x, y: (color, True)

    def mono_pattern(self, data: bytes, background: int, foreground: int, seeds: tuple[int, int], transparent: bool) -> Operand:
        def operand(x: int, y: int) -> tuple[int, bool]:
            one = bit(data[(y + seeds[1]) % 8], 7 - (x + seeds[0]) % 8)
            return (foreground if one else background), bool(one) or not transparent

        return operand

    def color_pattern(self, data: Callable[[int], int], seeds: tuple[int, int], size: int) -> Operand:
        def operand(x: int, y: int) -> tuple[int, bool]:
            number = ((y + seeds[1]) % 8 * 8 + (x + seeds[0]) % 8) * size
            return sum(data(number + k) << 8 * k for k in range(size)), True

        return operand

    def mono_source(
        self, data: Callable[[int], int], left: int, top: int, start: int, stride: int, background: int, foreground: int, transparent: bool
    ) -> Operand:
        def operand(x: int, y: int) -> tuple[int, bool]:
            number = (y - top) * stride + start + x - left
            one = bit(data(number // 8), 7 - number % 8)
            return (foreground if one else background), bool(one) or not transparent

        return operand

    def at(self, address: int) -> Callable[[int], int]:
        return lambda offset: self.memory.get(address + offset)

    # ---- commands ----

    def surface(self, base: int, pitch: int, tiled: int, y_bit: int) -> NaiveSurface:
        if not tiled:
            return NaiveSurface(base, signed(pitch), "linear")
        return NaiveSurface(base, signed(pitch) * 4, "Y" if bit(self.swctrl, y_bit) else "X")

    def _target(self, d: list[int], base: int) -> Draw:
        header, control = d[0], d[1]
        return Draw(
            self.surface(base, control, bit(header, 11), 1), corners(d[2], d[3]), control >> 24 & 3, control >> 16 & 0xFF,
            byte_mask=header >> 20 & 3, clip=self.state.clip if bit(control, 30) else None,
        )  # fmt: skip

    def execute(self, d: list[int]) -> None:
        opcode = d[0] >> 22 & 0x7F
        if opcode in (0x01, 0x11, 0x03):
            self._setup(opcode, d)
        elif opcode in (0x24, 0x25, 0x26, 0x31):
            self._by_setup(opcode, d)
        elif opcode in (0x40, 0x43):
            self._linear(opcode, d)
        elif opcode == 0x42:
            self._fast_copy(d)
        else:
            self._stateless(opcode, d)

    def _setup(self, opcode: int, d: list[int]) -> None:
        if opcode == 0x03:
            self.state.clip = clip(d[1], d[2])
            return
        self.state = NaiveState(
            control=d[1], byte_mask=d[0] >> 20 & 3, clip=clip(d[2], d[3]), destination=quad(d, 4), background=d[6], foreground=d[7],
            mono=opcode == 0x11, pattern_address=quad(d, 8) & ~63 if opcode == 0x01 else 0,
            pattern_data=dwords(d[8:10]) if opcode == 0x11 else bytes(8),
        )  # fmt: skip

    def _by_setup(self, opcode: int, d: list[int]) -> None:
        state = self.state
        control = state.control
        depth = control >> 24 & 3
        if opcode == 0x24:
            x, y = signed(d[1]), signed(d[1] >> 16)
            rectangle = (x, y, x + 1, y + 1)
        else:
            rectangle = corners(d[1], d[2])
        draw = Draw(
            self.surface(state.destination, control, bit(d[0], 11), 1), rectangle, depth, control >> 16 & 0xFF,
            byte_mask=state.byte_mask, clip=state.clip if bit(control, 30) else None,
        )  # fmt: skip
        left, top, right, _ = rectangle
        if opcode == 0x24:
            draw.pattern = self.solid(state.background)
        elif opcode == 0x25:
            seeds = (d[0] >> 12 & 7, d[0] >> 8 & 7)
            if not state.mono:
                draw.pattern = self.color_pattern(self.at(state.pattern_address), seeds, SIZES[depth])
            elif bit(control, 31):
                if bit(control, 28):
                    return
                draw.pattern = self.solid(state.background)
            else:
                draw.pattern = self.mono_pattern(state.pattern_data, state.background, state.foreground, seeds, bool(bit(control, 28)))
        else:
            data = self.at(quad(d, 3)) if opcode == 0x26 else dwords(d[3:]).__getitem__
            width = right - left
            stride = (width + 7) // 8 * 8 if bit(d[0], 16) else width
            draw.mono_source = self.mono_source(data, left, top, 0, stride, state.background, state.foreground, bool(bit(control, 29)))
        self.draw(draw)

    def _linear(self, opcode: int, d: list[int]) -> None:
        control = d[1]
        depth = control >> 24 & 3
        size = SIZES[depth]
        width, height = (d[2] & 0xFFFF), d[2] >> 16
        destination = quad(d, 3)
        pitch = signed(control)
        draw = Draw(NaiveSurface(destination, pitch, "linear"), (0, 0, width // size, height), depth, control >> 16 & 0xFF, d[0] >> 20 & 3)
        if opcode == 0x40:
            draw.pattern = self.solid(d[5])
        else:
            source = quad(d, 6)
            if bit(control, 30):
                source -= width - 1
                draw.surface = replace(draw.surface, base=destination - (width - 1))
            draw.color_source = (NaiveSurface(source, signed(d[5]), "linear"), 0, 0)
        self.draw(draw)

    def _fast_copy(self, d: list[int]) -> None:
        size = {0: 1, 1: 2, 3: 4, 4: 8, 5: 16}[d[1] >> 24 & 7]

        def surface(base: int, pitch: int, tiling: int, new: int) -> NaiveSurface:
            name = ("linear", "X", "Yf" if new else "Y", "Ys")[tiling]
            return NaiveSurface(base, signed(pitch) * (1 if name == "linear" else 4), name)

        target = surface(quad(d, 4), d[1], d[0] >> 13 & 3, bit(d[1], 30))
        source = surface(quad(d, 8), d[7], d[0] >> 20 & 3, bit(d[1], 31))
        self.draw(Draw(target, corners(d[2], d[3]), 3, 0xCC, size=size, color_source=(source, signed(d[6]), signed(d[6] >> 16))))

    def _stateless(self, opcode: int, d: list[int]) -> None:
        header, control = d[0], d[1]
        draw = self._target(d, quad(d, 4))
        size = SIZES[draw.depth]
        left, top, right, _ = draw.rectangle
        seeds = (header >> 12 & 7, header >> 8 & 7)
        no_pixels = bool(bit(control, 31) and bit(control, 28))
        word_stride = ((header >> 17 & 7) + right - left + 15) // 16 * 16

        def mono(data: Callable[[int], int], background: int, foreground: int) -> Operand:
            return self.mono_source(data, left, top, header >> 17 & 7, word_stride, background, foreground, bool(bit(control, 29)))

        def mono_pattern(background: int, foreground: int, data: bytes) -> Operand:
            if bit(control, 31):
                return self.solid(background)
            return self.mono_pattern(data, background, foreground, seeds, bool(bit(control, 28)))

        if opcode == 0x50:
            draw.pattern = self.solid(d[6])
        elif opcode in (0x51, 0x76):
            draw.pattern = self.color_pattern(self.at(quad(d, 6) & ~63), seeds, size)
            if opcode == 0x76:
                draw.key = (header >> 17 & 7, d[8], d[9])
        elif opcode == 0x72:
            draw.pattern = self.color_pattern(dwords(d[6:]).__getitem__, seeds, size)
        elif opcode == 0x77:
            draw.pattern = self.color_pattern(dwords(d[8:]).__getitem__, seeds, size)
            draw.key = (header >> 17 & 7, d[6], d[7])
        elif opcode == 0x52:
            draw.pattern = self.mono_pattern(dwords(d[8:10]), d[6], d[7], seeds, bool(bit(control, 28)))
        elif opcode == 0x59:
            draw.pattern = self.mono_pattern(fixed_pattern(header >> 15 & 15), d[6], d[7], seeds, bool(bit(control, 28)))
        elif opcode in (0x53, 0x73):
            source = self.surface(quad(d, 8), d[7], bit(header, 15), 0)
            draw.color_source = (source, signed(d[6]), signed(d[6] >> 16))
            if opcode == 0x73:
                draw.key = (header >> 17 & 7, d[10], d[11])
        elif opcode == 0x54:
            draw.mono_source = mono(self.at(quad(d, 6)), d[8], d[9])
        elif opcode == 0x71:
            draw.mono_source = mono(dwords(d[8:]).__getitem__, d[6], d[7])
        elif opcode in (0x55, 0x74, 0x57):
            source = self.surface(quad(d, 8), d[6], bit(header, 15), 0)
            draw.color_source = (source, signed(d[7]), signed(d[7] >> 16))
            if opcode == 0x55:
                draw.pattern = self.color_pattern(self.at(quad(d, 10) & ~63), seeds, size)
            elif opcode == 0x74:
                draw.pattern = self.color_pattern(dwords(d[10:]).__getitem__, seeds, size)
            elif no_pixels:
                return
            else:
                draw.pattern = mono_pattern(d[10], d[11], dwords(d[12:14]))
        elif opcode in (0x56, 0x75):
            draw.mono_source = mono(self.at(quad(d, 6)), d[8], d[9])
            data = self.at(quad(d, 10) & ~63) if opcode == 0x56 else dwords(d[10:]).__getitem__
            draw.pattern = self.color_pattern(data, seeds, size)
        elif opcode == 0x58:
            if no_pixels:
                return
            draw.mono_source = mono(self.at(quad(d, 6)), d[8], d[9])
            draw.pattern = mono_pattern(d[10], d[11], dwords(d[12:14]))
        else:
            raise AssertionError(f"no such command: {opcode:#x}")
        self.draw(draw)


def corners(first: int, second: int) -> tuple[int, int, int, int]:
    return signed(first), signed(first >> 16), signed(second), signed(second >> 16)


def clip(first: int, second: int) -> tuple[int, int, int, int]:
    return first & 0x7FFF, first >> 16 & 0x7FFF, second & 0x7FFF, second >> 16 & 0x7FFF


def quad(d: list[int], at: int) -> int:
    return (d[at] | d[at + 1] << 32) & (1 << 48) - 1


def dwords(values: list[int]) -> bytes:
    return b"".join(value.to_bytes(4, "little") for value in values)
