"""Random commands for the 2D engine, as bare dwords, and memory to run them on.

Graphics memory is a few regions whose pages are scattered over host memory: surfaces, patterns, glyphs. Every command is
one that hardware executes; coordinates reach over all edges, yet no byte is touched outside of the regions.
"""

from __future__ import annotations

import random
from typing import Final, NamedTuple

from pvinfo.units import KIB, PAGE_SIZE

SURFACE_SIZE: Final = 64 * KIB
SURFACES: Final = (0x0010_0000, 0x0020_0000, 0x0800_0000_0000)
"""Where the surfaces begin in graphics memory; the last has an address of more than 32 bits."""
OPERANDS: Final = 0x0200_0000
"""Patterns and monochrome sources, which no command writes."""
OPERAND_SIZE: Final = 16 * KIB

SIZES: Final = {0: 1, 1: 2, 2: 2, 3: 4}


class ScatteredMemory:
    """Pages of host memory in random order behind the regions; an address outside of them is an error of the test."""

    def __init__(self, rng: random.Random) -> None:
        regions = [(base, SURFACE_SIZE) for base in SURFACES] + [(OPERANDS, OPERAND_SIZE)]
        pages = [base + offset for base, size in regions for offset in range(0, size, PAGE_SIZE)]
        places = list(range(len(pages)))
        if rng.random() < 0.7:
            rng.shuffle(places)
        self.data = bytearray(rng.randbytes(len(pages) * PAGE_SIZE))
        self._places = {page: place * PAGE_SIZE for page, place in zip(pages, places, strict=True)}

    def _place(self, address: int) -> int:
        return self._places[address & ~(PAGE_SIZE - 1)] + address % PAGE_SIZE

    def get(self, address: int) -> int:
        return self.data[self._place(address)]

    def put(self, address: int, value: int) -> None:
        self.data[self._place(address)] = value

    def spans(self, address: int, size: int, *, write: bool) -> list[memoryview]:
        """Views of the memory behind a range; neighbours in host memory are one."""
        places: list[list[int]] = []
        while size:
            length = min(size, PAGE_SIZE - address % PAGE_SIZE)
            place = self._place(address)
            if places and places[-1][1] == place:
                places[-1][1] += length
            else:
                places.append([place, place + length])
            address += length
            size -= length
        return [memoryview(self.data)[start:end] for start, end in places]


class SurfaceChoice(NamedTuple):
    base: int
    pitch: int
    """As a command has it: bytes, or dwords of a tiled surface."""
    tiled: bool
    width: int
    """Pixels."""
    height: int


def corner(x: int, y: int) -> int:
    return (y & 0xFFFF) << 16 | x & 0xFFFF


def address(value: int) -> list[int]:
    return [value & 0xFFFFFFFF, value >> 32]


class BlitScript:
    """Makes one command after the other from a seed."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.swctrl = rng.randrange(4)
        self._setup_surface: SurfaceChoice | None = None

    # ---- parts ----

    def surface(self, size: int, y_tiled: bool, *, tiled: bool | None = None, region: int | None = None) -> SurfaceChoice:
        rng = self.rng
        base = rng.choice(SURFACES[:2] if region is None else SURFACES[region : region + 1])
        if rng.random() < 0.5 if tiled is None else tiled:
            unit, rows = (128, 32) if y_tiled else (512, 8)
            across = rng.randint(1, 4 if y_tiled else 3)
            down = SURFACE_SIZE // (unit * rows * across)
            return SurfaceChoice(base, unit * across // 4, True, unit * across // size, min(down * rows, 60))
        pitch = rng.choice((rng.randint(4, 60) * 4, 128, 256))
        offset = rng.randrange(0, 1024, size)
        height = min((SURFACE_SIZE - offset) // pitch, 60)
        if rng.random() < 0.15:
            return SurfaceChoice(base + offset + (height - 1) * pitch, -pitch & 0xFFFF, False, pitch // size, height)
        return SurfaceChoice(base + offset, pitch, False, pitch // size, height)

    def rectangle(self, surface: SurfaceChoice, *, spill: int = 9) -> tuple[int, int, int, int]:
        """Mostly inside the surface; what is left or above of it is clipped away by the engine."""
        rng = self.rng
        width = rng.randint(1, min(surface.width, 40))
        height = rng.randint(1, min(surface.height, 24))
        left = rng.randint(-spill if rng.random() < 0.2 else 0, surface.width - width)
        top = rng.randint(-spill if rng.random() < 0.2 else 0, surface.height - height)
        if rng.random() < 0.05:
            width = 0
        if rng.random() < 0.1:
            left, width = 0, min(surface.width, 160)
        return left, top, left + width, top + height

    def control(self, surface: SurfaceChoice, depth: int, *, extra: int = 0, code: int | None = None) -> int:
        rng = self.rng
        if code is None:
            code = rng.choice((0xF0, 0xCC, 0x5A, 0x00, 0xFF, 0x66, 0xB8, 0xAA, 0x55, rng.randrange(256), rng.randrange(256)))
        clipped = rng.random() < 0.4
        return extra | clipped << 30 | depth << 24 | code << 16 | surface.pitch

    def header(self, opcode: int, length: int, *, depth: int, tiled: bool = False, fields: int = 0) -> int:
        rng = self.rng
        mask = rng.choice((3, 3, 3, 1, 2, 0)) if depth == 3 else rng.randrange(4)
        return 2 << 29 | opcode << 22 | mask << 20 | tiled << 11 | fields | length - 2

    def seeds(self) -> int:
        return self.rng.randrange(8) << 12 | self.rng.randrange(8) << 8

    def colours(self, count: int) -> list[int]:
        return [self.rng.choice((0, 0xFFFFFFFF, self.rng.getrandbits(32), self.rng.getrandbits(32))) for _ in range(count)]

    def pattern(self) -> list[int]:
        """Address of a colour pattern; the bits below the alignment mean nothing."""
        return address(OPERANDS + self.rng.randrange(0, 4096, 64) + self.rng.randrange(64))

    def immediate(self, count: int) -> list[int]:
        return [self.rng.getrandbits(32) for _ in range(count)]

    def key(self) -> list[int]:
        rng = self.rng
        low = rng.getrandbits(32) & 0x3F3F3F3F if rng.random() < 0.7 else rng.getrandbits(32)
        return [low, low | rng.getrandbits(32) | 0x90909090]

    def mono(self) -> int:
        return OPERANDS + 8192 + self.rng.randrange(0, 2048)

    @staticmethod
    def mono_dwords(rectangle: tuple[int, int, int, int], start: int) -> int:
        """Dwords of word-aligned lines, an even number."""
        left, top, right, bottom = rectangle
        stride = (start + max(right - left, 0) + 15) // 16 * 2
        return (stride * (bottom - top) + 7) // 8 * 2

    # ---- commands ----

    def next(self) -> list[int]:
        """The next command; the first is one that sets up."""
        rng = self.rng
        opcode = 0x01 if self._setup_surface is None else rng.choice((
            0x01, 0x11, 0x03, 0x24, 0x25, 0x25, 0x26, 0x31, 0x40, 0x43, 0x42, 0x42, 0x50, 0x50, 0x51, 0x52, 0x53, 0x53, 0x53, 0x54, 0x55, 0x56,
            0x57, 0x58, 0x59, 0x71, 0x72, 0x73, 0x74, 0x75, 0x76, 0x77,
        ))  # fmt: skip
        if opcode in (0x01, 0x11, 0x03):
            return self._setup(opcode)
        if opcode in (0x24, 0x25, 0x26, 0x31):
            return self._by_setup(opcode)
        if opcode in (0x40, 0x43):
            return self._linear(opcode)
        if opcode == 0x42:
            return self._fast_copy()
        return self._stateless(opcode)

    def _clip(self) -> list[int]:
        rng = self.rng
        left, top = rng.randrange(30), rng.randrange(20)
        return [corner(left, top), corner(left + rng.randrange(60), top + rng.randrange(40))]

    def _setup(self, opcode: int) -> list[int]:
        rng = self.rng
        if opcode == 0x03:
            return [self.header(opcode, 3, depth=0), *self._clip()]
        depth = rng.randrange(4)
        surface = self.surface(SIZES[depth], self.swctrl >> 1 & 1 == 1)
        while surface.pitch & 0x8000:  # text and pixels allow no negative pitch
            surface = self.surface(SIZES[depth], self.swctrl >> 1 & 1 == 1)
        self._setup_surface = surface
        extra = (rng.randrange(2) << 29) if opcode == 0x01 else rng.randrange(2) << 31 | rng.randrange(2) << 28
        return [
            self.header(opcode, 10, depth=depth, tiled=surface.tiled), self.control(surface, depth, extra=extra), *self._clip(),
            *address(surface.base), *self.colours(2), *(self.pattern() if opcode == 0x01 else self.immediate(2)),
        ]  # fmt: skip

    def _by_setup(self, opcode: int) -> list[int]:
        rng = self.rng
        surface = self._setup_surface
        assert surface is not None
        rectangle = self.rectangle(surface)
        left, top, right, bottom = rectangle
        tiled = surface.tiled << 11
        if opcode == 0x24:
            return [2 << 29 | opcode << 22 | tiled, corner(left, top)]
        corners = [corner(left, top), corner(right, bottom)]
        if opcode == 0x25:
            return [2 << 29 | opcode << 22 | tiled | self.seeds() | 1, *corners]
        packed = rng.randrange(2)
        header = 2 << 29 | opcode << 22 | packed << 16 | tiled
        if opcode == 0x26:
            return [header | 3, *corners, *address(self.mono())]
        width = max(right - left, 0)
        stride = (width + 7) // 8 * 8 if packed else width
        count = max((stride * (bottom - top) + 63) // 64 * 2, 2)
        return [header | count + 1, *corners, *self.immediate(count)]

    def _linear(self, opcode: int) -> list[int]:
        rng = self.rng
        depth = rng.randrange(4)
        size = SIZES[depth]
        width, height = rng.randint(0, 40) * size, rng.randint(0, 20)
        base = rng.choice(SURFACES[:2]) + 8192 + rng.randrange(0, 512, size)
        pitch = rng.choice((width + rng.randrange(0, 40, 4), -(width + rng.randrange(0, 40, 4)), 160)) or 160
        backwards = opcode == 0x43 and width > 0 and rng.random() < 0.3
        control = self.control(SurfaceChoice(0, pitch & 0xFFFF, False, 0, 0), depth) & ~(1 << 30) | backwards << 30
        start = [height << 16 | width, *address(base + (width - 1 if backwards else 0))]
        if opcode == 0x40:
            return [self.header(opcode, 6, depth=depth), control, *start, *self.colours(1)]
        near = rng.random() < 0.3
        source = base if near else rng.choice(SURFACES) + 8192 + rng.randrange(0, 512, size)
        source += rng.randrange(-64, 64, 4) if near else 0
        source_pitch = pitch if near else rng.choice((width + rng.randrange(0, 40, 4), -(width + 8), 160)) or 160
        return [
            self.header(opcode, 8, depth=depth), control, *start, source_pitch & 0xFFFF, *address(source + (width - 1 if backwards else 0)),
        ]  # fmt: skip

    def _fast_copy(self) -> list[int]:
        rng = self.rng
        depth, size = rng.choice(((0, 1), (1, 2), (3, 4), (4, 8), (5, 16)))

        def surface() -> tuple[SurfaceChoice, int, int]:
            tiling = rng.randrange(4)
            if not tiling:
                pitch = rng.randint(2, 30) * 16
                return SurfaceChoice(rng.choice(SURFACES), pitch, False, pitch // size, min(SURFACE_SIZE // pitch, 60)), 0, 0
            new = rng.randrange(2) if tiling == 2 else 0
            if tiling == 1:
                width, rows = 512, 8
            elif tiling == 2 and not new:
                width, rows = 128, 32
            else:
                width, rows = {1: (64, 64), 2: (128, 32), 4: (128, 32), 8: (256, 16), 16: (256, 16)}[size]
            if tiling == 3:
                width, rows = width * 4, rows * 4
            across = rng.randint(1, max(SURFACE_SIZE // (width * rows) // 2, 1))
            down = min(SURFACE_SIZE // (width * rows * across), 3)
            return SurfaceChoice(rng.choice(SURFACES), width * across // 4, True, width * across // size, down * rows), tiling, new

        (target, target_tiling, target_new), (source, source_tiling, source_new) = surface(), surface()
        width, height = min(rng.randint(1, 40), target.width, source.width), min(rng.randint(1, 40), target.height, source.height)
        left, top = rng.randint(0, target.width - width), rng.randint(0, target.height - height)
        source_left, source_top = rng.randint(0, source.width - width), rng.randint(0, source.height - height)
        return [
            2 << 29 | 0x42 << 22 | source_tiling << 20 | target_tiling << 13 | 8,
            source_new << 31 | target_new << 30 | depth << 24 | target.pitch, corner(left, top), corner(left + width, top + height),
            *address(target.base), corner(source_left, source_top), source.pitch, *address(source.base),
        ]  # fmt: skip

    def _source(self, target: SurfaceChoice, rectangle: tuple[int, int, int, int], size: int) -> tuple[SurfaceChoice, int, int]:
        """A source surface and the coordinates in it: another surface, the target itself, or one that overlaps it."""
        rng = self.rng
        width, height = max(rectangle[2] - rectangle[0], 1), max(rectangle[3] - rectangle[1], 1)
        for _ in range(50):
            kind = rng.random()
            if kind < 0.35:
                source = target
            elif kind < 0.45 and not target.tiled:
                source = target._replace(base=target.base + rng.randrange(0, 400, size), height=target.height - 8)
            else:
                source = self.surface(size, self.swctrl & 1 == 1)
            if source.tiled and target.tiled and source is target and self.swctrl in (1, 2):
                continue  # the same surface, but seen as X by one side and as Y by the other
            if width <= source.width and height <= source.height:
                left = rng.randint(-4 if rng.random() < 0.15 else 0, source.width - width)
                top = rng.randint(-4 if rng.random() < 0.15 else 0, source.height - height)
                if source.base + 66 * abs((source.pitch ^ 0x8000) - 0x8000) < source.base + SURFACE_SIZE or source.tiled:
                    return source, left, top
        return SurfaceChoice(SURFACES[2], 256, False, 256 // size, 60), 0, 0

    def _stateless(self, opcode: int) -> list[int]:
        rng = self.rng
        depth = rng.randrange(4)
        size = SIZES[depth]
        mono_source = opcode in (0x54, 0x71, 0x56, 0x58, 0x75)
        surface = self.surface(size, self.swctrl >> 1 & 1 == 1)
        while mono_source and surface.pitch & 0x8000:
            surface = self.surface(size, self.swctrl >> 1 & 1 == 1)
        rectangle = self.rectangle(surface)
        corners = [corner(*rectangle[:2]), corner(*rectangle[2:])]
        start = rng.randrange(8)
        fields = self.seeds() if opcode not in (0x50, 0x53, 0x54, 0x71, 0x73) else 0
        extra = 0
        if mono_source:
            fields |= start << 17
            extra |= rng.randrange(2) << 29
        if opcode in (0x52, 0x57, 0x58, 0x59):
            extra |= rng.randrange(2) << 28
        if opcode in (0x57, 0x58):
            extra |= (rng.random() < 0.3) << 31
        if opcode == 0x59:
            fields |= rng.choice((0, 1, 2, 3, 4, 5, 8, 9, 10, 11)) << 15
        if opcode in (0x76, 0x77):
            fields |= rng.choice((0, 2, 4, 5, 5, 7, 7)) << 17
        if opcode == 0x73:
            fields |= rng.choice((0, 1, 1, 3, 3, 5, 5, 6, 7, 7)) << 17
        pattern_dwords = 16 * size
        if opcode in (0x53, 0x73, 0x55, 0x57, 0x74):
            source, left, top = self._source(surface, rectangle, size)
            fields |= source.tiled << 15
        else:
            source, left, top = surface, 0, 0
        body: list[int]
        if opcode == 0x50:
            body = self.colours(1)
        elif opcode == 0x51:
            body = self.pattern()
        elif opcode == 0x76:
            body = [*self.pattern(), *self.key()]
        elif opcode == 0x72:
            body = self.immediate(pattern_dwords)
        elif opcode == 0x77:
            body = [*self.key(), *self.immediate(pattern_dwords)]
        elif opcode == 0x52:
            body = [*self.colours(2), *self.immediate(2)]
        elif opcode == 0x59:
            body = self.colours(2)
        elif opcode in (0x53, 0x73):
            body = [corner(left, top), source.pitch, *address(source.base), *(self.key() if opcode == 0x73 else [])]
        elif opcode == 0x54:
            body = [*address(self.mono()), *self.colours(2)]
        elif opcode == 0x71:
            body = [*self.colours(2), *self.immediate(max(self.mono_dwords(rectangle, start), 2))]
        elif opcode in (0x55, 0x74, 0x57):
            body = [source.pitch, corner(left, top), *address(source.base)]
            if opcode == 0x55:
                body += self.pattern()
            elif opcode == 0x74:
                body += self.immediate(pattern_dwords)
            else:
                body += [*self.colours(2), *self.immediate(2)]
        else:
            body = [*address(self.mono()), *self.colours(2)]
            if opcode == 0x56:
                body += self.pattern()
            elif opcode == 0x75:
                body += self.immediate(pattern_dwords)
            else:
                body += [*self.colours(2), *self.immediate(2)]
        head = [self.control(surface, depth, extra=extra), *corners, *address(surface.base)]
        return [self.header(opcode, 1 + len(head) + len(body), depth=depth, tiled=surface.tiled, fields=fields), *head, *body]
