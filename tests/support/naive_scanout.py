"""Scan-out once more, written from the manual's and the kernel's rules and without regard for speed: pixel by pixel, byte by byte.

It reads registers as bare dwords and memory as bare bytes, and shares no code with the model, so that what both agree on is what
the rules say. Only what can be shown is decoded: a format or tiling without meaning is a KeyError.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ("Color", "NaiveDisplay")

Color = tuple[int, int, int]
"""Red, green, blue."""
Drawn = tuple[int, int, int, int]
"""The same, and alpha."""


def bits(value: int, high: int, low: int) -> int:
    return value >> low & (1 << high - low + 1) - 1


def clip(value: float) -> int:
    return max(0, min(255, int(value + 0.5))) if value > 0 else 0


def half_float(value: int) -> float:
    sign, exponent, fraction = value >> 15, bits(value, 14, 10), bits(value, 9, 0)
    if exponent == 31:
        magnitude = float("nan") if fraction else float("inf")
    elif exponent:
        magnitude = 2.0 ** (exponent - 15) * (1 + fraction / 1024)
    else:
        magnitude = 2.0**-14 * fraction / 1024
    return -magnitude if sign else magnitude


def float_to_8_bits(value: int) -> int:
    number = half_float(value)
    if number != number or number <= 0:
        return 0
    return 255 if number >= 1 else clip(number * 255)


# Tiles: bytes of a row, rows. Letters: address bits above the lowest four, lowest first.
YF_LETTERS = {1: "yyyyyxyx", 2: "yyyxyxyx", 4: "yyyxyxyx", 8: "yyxxyxyx"}


def tile_size(tiling: str, size: int) -> tuple[int, int]:
    if tiling == "X":
        return 512, 8
    if tiling == "Y":
        return 128, 32
    letters = YF_LETTERS[size]
    return 16 << letters.count("x"), 1 << letters.count("y")


def place_in_tile(tiling: str, size: int, x: int, y: int) -> int:
    """Of the byte at column ``x`` of row ``y``."""
    if tiling == "X":
        return 512 * y + x
    if tiling == "Y":
        return x // 16 * 512 + y * 16 + x % 16
    place, column, row = x % 16, x // 16, y
    for number, letter in enumerate(YF_LETTERS[size]):
        if letter == "x":
            place |= (column & 1) << 4 + number
            column >>= 1
        else:
            place |= (row & 1) << 4 + number
            row >>= 1
    return place


SIZES = {"C8": 1, "RGB565": 2, "XRGB": 4, "XBGR": 4, "XRGB10": 4, "XBGR10": 4, "XRGBF": 8, "XBGRF": 8, "YUYV": 2, "UYVY": 2, "YVYU": 2, "VYUY": 2}
SKYLAKE = {0x2: ("XRGB10", "XBGR10"), 0x4: ("XRGB", "XBGR"), 0x6: ("XRGBF", "XBGRF"), 0xC: ("C8", "C8"), 0xE: ("RGB565", "")}
BROADWELL = {0x2: "C8", 0x5: "RGB565", 0x6: "XRGB", 0x8: "XBGR10", 0xA: "XRGB10", 0xC: "XBGRF", 0xE: "XBGR"}
SPRITE = {1: ("XRGB10", "XBGR10"), 2: ("XRGB", "XBGR"), 3: ("XRGBF", "XBGRF")}
YUV = ("YUYV", "UYVY", "YVYU", "VYUY")
TILINGS = {0: "linear", 1: "X", 4: "Y", 5: "Yf"}


@dataclass
class NaivePlane:
    address: int
    kind: str
    tiling: str
    stride: int
    """In bytes; of a surface that is mapped turned, in tiles."""
    offset: tuple[int, int]
    place: tuple[int, int]
    size: tuple[int, int]
    rotation: int = 0
    """Quarters, clockwise."""
    alpha: int = 0
    """0 none, 2 multiplied already, 3 not yet."""
    key: tuple[int, int, int] | None = None
    """Colour, mask, 1 of the plane itself or 2 of what is below."""
    gamma: bool = False
    bt709: bool = False
    full_range: bool = False


class NaiveDisplay:
    """A display with the registers that ``read`` gives and the graphics memory that ``byte`` gives."""

    def __init__(self, generation: int, read: Callable[[int], int], byte: Callable[[int], int], pipe: int = 0) -> None:
        self.generation = generation
        self.read = read
        self.byte = byte
        self.pipe = pipe
        self.palette = [read(0x4A000 + 0x800 * pipe + 4 * number) for number in range(256)]
        source = read(0x6001C + 0x1000 * pipe)
        self.width, self.height = bits(source, 28, 16) + 1, bits(source, 11, 0) + 1

    # ---- registers ----

    def planes(self) -> list[NaivePlane]:
        found = [self.skylake(number) for number in range(4)] if self.generation == 9 else [self.primary(), self.sprite()]
        return [plane for plane in [*found, self.cursor()] if plane is not None]

    def skylake(self, number: int) -> NaivePlane | None:
        base = 0x70180 + 0x1000 * self.pipe + 0x100 * number
        control, size, place, offset = (self.read(base + at) for at in (0, 0x10, 0xC, 0x24))
        if not control >> 31:
            return None
        code = bits(control, 27, 24)
        kind = YUV[bits(control, 17, 16)] if code == 0 else SKYLAKE[code][bits(control, 20, 20)]
        tiling, rotation = TILINGS[bits(control, 12, 10)], bits(control, 1, 0)
        stride = bits(self.read(base + 8), 11, 0)
        if rotation % 2 == 0:
            stride *= 64 if tiling == "linear" else tile_size(tiling, SIZES[kind])[0]
        keyed = bits(control, 22, 21)
        return NaivePlane(
            self.read(base + 0x2C) & ~0xFFF, kind, tiling, stride,
            (bits(offset, 12, 0), bits(offset, 27, 16)), (bits(place, 12, 0), bits(place, 27, 16)), (bits(size, 12, 0) + 1, bits(size, 27, 16) + 1),
            rotation, bits(control, 5, 4) if kind in ("XRGB", "XBGR", "XRGBF", "XBGRF") else 0,
            (self.read(base + 0x14), self.read(base + 0x18), keyed) if keyed in (1, 2) else None,
            bool(bits(control, 30, 30)) and kind != "C8", bool(bits(control, 18, 18)), bool(bits(control, 28, 28)),
        )  # fmt: skip

    def primary(self) -> NaivePlane | None:
        base = 0x70180 + 0x1000 * self.pipe
        control, offset = self.read(base), self.read(base + 0x24)
        if not control >> 31:
            return None
        kind = BROADWELL[bits(control, 29, 26)]
        return NaivePlane(
            self.read(base + 0x2C) & ~0xFFF, kind, "X" if bits(control, 10, 10) else "linear", self.read(base + 8) & 0xFFC0,
            (bits(offset, 12, 0), bits(offset, 27, 16)), (0, 0), (self.width, self.height), 2 * bits(control, 15, 15),
            gamma=bool(bits(control, 30, 30)) and kind != "C8",
        )  # fmt: skip

    def sprite(self) -> NaivePlane | None:
        base = 0x70280 + 0x1000 * self.pipe
        control, size, place, offset = (self.read(base + at) for at in (0, 0x10, 0xC, 0x24))
        if not control >> 31:
            return None
        code = bits(control, 27, 25)
        keyed = 2 if bits(control, 2, 2) else bits(control, 22, 22)
        return NaivePlane(
            self.read(base + 0x2C) & ~0xFFF, YUV[bits(control, 17, 16)] if code == 0 else SPRITE[code][bits(control, 20, 20)],
            "X" if bits(control, 10, 10) else "linear", self.read(base + 8) & 0xFFC0,
            (bits(offset, 12, 0), bits(offset, 27, 16)), (bits(place, 12, 0), bits(place, 27, 16)), (bits(size, 12, 0) + 1, bits(size, 27, 16) + 1),
            2 * bits(control, 15, 15), 0, (self.read(base + 0x14), self.read(base + 0x18), keyed) if keyed else None,
            bool(bits(control, 30, 30)), bool(bits(control, 18, 18)), bool(bits(control, 28, 28)),
        )  # fmt: skip

    def cursor(self) -> NaivePlane | None:
        base = 0x70080 + 0x1000 * self.pipe
        control, place = self.read(base), self.read(base + 8)
        mode = control & 0x27
        if not mode:
            return None
        size = {0x07: 64, 0x02: 128, 0x03: 256}[mode & 7]
        turned = bits(control, 15, 15)
        lines = self.read(base + 0x20)
        height = min(size, (lines & 0xFF) + 1) if lines >> 31 and not turned else size
        x, y = bits(place, 14, 0), bits(place, 30, 16)
        return NaivePlane(
            self.read(base + 0x2C) & ~0xFFF, "XRGB", "linear", 4 * size, (0, 0),
            (-x if bits(place, 15, 15) else x, -y if bits(place, 31, 31) else y), (size, height), 2 * turned, 2 * bits(mode, 5, 5),
            gamma=bool(bits(control, 26, 26)),
        )  # fmt: skip

    # ---- memory ----

    def fetch(self, plane: NaivePlane, column: int, row: int) -> list[int]:
        """The bytes of the pixel at ``column``, ``row`` of the surface; of YUV, of the pair that it belongs to."""
        size = SIZES[plane.kind]
        if plane.rotation % 2:
            width, height = tile_size(plane.tiling, size)
            across, down = height, width // size
            tile = row // down * plane.stride + column // across
            inside_x, inside_y = row % down, across - 1 - column % across
            start = plane.address + 4096 * tile
            return [self.byte(start + place_in_tile(plane.tiling, size, size * inside_x + at, inside_y)) for at in range(size)]
        if plane.kind in YUV:
            column, size = column // 2, 4
        return [self.byte(self.place(plane, size * column + at, row)) for at in range(size)]

    def place(self, plane: NaivePlane, x: int, y: int) -> int:
        """Of the byte at byte column ``x``."""
        if plane.tiling == "linear":
            return plane.address + y * plane.stride + x
        width, height = tile_size(plane.tiling, SIZES[plane.kind])
        start = plane.address + y // height * height * plane.stride + x // width * width * height
        return start + place_in_tile(plane.tiling, SIZES[plane.kind], x % width, y % height)

    # ---- colours ----

    def color(self, plane: NaivePlane, column: int, row: int) -> Drawn:
        data = self.fetch(plane, column, row)
        value = int.from_bytes(bytes(data), "little")
        kind = plane.kind
        if kind == "C8":
            entry = self.palette[value]
            return bits(entry, 23, 16), bits(entry, 15, 8), bits(entry, 7, 0), 255
        if kind == "RGB565":
            red, green, blue = bits(value, 15, 11), bits(value, 10, 5), bits(value, 4, 0)
            return red * 8 + red // 4, green * 4 + green // 16, blue * 8 + blue // 4, 255
        if kind in YUV:
            return (*self.yuv(plane, data, column % 2), 255)
        if kind.endswith("10"):
            parts = [bits(value, 29, 22), bits(value, 19, 12), bits(value, 9, 2), 255]
        elif kind.endswith("F"):
            parts = [float_to_8_bits(bits(value, 16 * number + 15, 16 * number)) for number in (2, 1, 0, 3)]
        else:
            parts = [data[2], data[1], data[0], data[3]]
        red, green, blue, alpha = parts
        return (blue, green, red, alpha) if "BGR" in kind else (red, green, blue, alpha)

    def yuv(self, plane: NaivePlane, data: list[int], second: int) -> Color:
        order = plane.kind
        y = data[[at for at, letter in enumerate(order) if letter == "Y"][second]]
        u, v = data[order.index("U")], data[order.index("V")]
        if plane.full_range:
            light, pb, pr = y / 255, (u - 128) / 255, (v - 128) / 255
        else:
            light, pb, pr = (y - 16) / 219, (u - 128) / 224, (v - 128) / 224
        kr, kb = (0.2126, 0.0722) if plane.bt709 else (0.299, 0.114)
        red = light + 2 * (1 - kr) * pr
        blue = light + 2 * (1 - kb) * pb
        green = (light - kr * red - kb * blue) / (1 - kr - kb)
        return clip(255 * red), clip(255 * green), clip(255 * blue)

    # ---- the picture ----

    def background(self) -> Color:
        if self.generation < 9:
            return 0, 0, 0
        color = self.read(0x70034 + 0x1000 * self.pipe)
        return bits(color, 29, 22), bits(color, 19, 12), bits(color, 9, 2)

    def pixel(self, planes: list[NaivePlane], x: int, y: int) -> Color:
        seen = self.background()
        for plane in planes:
            column, row = x - plane.place[0], y - plane.place[1]
            width, height = plane.size
            if not (0 <= column < width and 0 <= row < height):
                continue
            if plane.rotation >= 2:
                column, row = width - 1 - column, height - 1 - row
            seen = self.over(plane, self.color(plane, plane.offset[0] + column, plane.offset[1] + row), seen)
        return seen

    def over(self, plane: NaivePlane, drawn: Drawn, below: Color) -> Color:
        red, green, blue, alpha = drawn
        if plane.gamma:
            red, green, blue = bits(self.palette[red], 23, 16), bits(self.palette[green], 15, 8), bits(self.palette[blue], 7, 0)
        own = red, green, blue
        if plane.alpha == 3:
            red, green, blue = ((part * alpha + 127) // 255 for part in (red, green, blue))
        if plane.alpha in (2, 3):
            shining = [(part * (255 - alpha) + 127) // 255 for part in below]
            red, green, blue = (min(part + more, 255) for part, more in zip((red, green, blue), shining, strict=True))
        if plane.key is not None:
            color, mask, which = plane.key
            judged = below if which == 2 else own
            matches = not ((judged[0] << 16 | judged[1] << 8 | judged[2]) ^ color) & mask & 0xFFFFFF
            if matches != (which == 2):
                return below
        return red, green, blue

    def picture(self) -> list[list[Color]]:
        planes = self.planes()
        return [[self.pixel(planes, x, y) for x in range(self.width)] for y in range(self.height)]
