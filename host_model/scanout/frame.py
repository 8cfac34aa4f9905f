"""The picture that a pipe shows: its planes one above the other, the cursor on top."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Final, NamedTuple, final

from pvinfo.errors import UsageError
from pvinfo.page import PVINFO_BASE, VGT_MAGIC, PvInfo
from pvinfo.registers.pipe import PIPE_BASES
from pvinfo.registers.plane import PlaneRotation

from ..device.mmio.registers import RegisterPage
from ..gpu.surface.rectangle import Rectangle
from ..gpu.surface.tiling import Buffer
from ..gpu.surface.window import open_window
from .blending import blended
from .cursor import cursor_view
from .memory import DisplayFetch, ForeignMemory
from .pixels import ColorTables, bytes_per_pixel, corrected, is_slow, is_yuv, to_xrgb
from .planes import Blend, PipeSize, PlaneView, ScannedDevice, Unshown, background, pipe_gamma, pipe_size, plane_views

__all__ = ("PIXEL_SIZE", "Frame", "HotSpot", "hot_spot", "scan_out")

PIXEL_SIZE: Final = 4
_BAND: Final = 1 << 20
"""Bytes of a surface that are converted at once."""
_SLOW_PIXELS: Final = 1 << 23
"""Pixels of a picture that are blended, or converted one by one: as many as a screen of 3840 by 2160 has. The device serves nobody
meanwhile, and no guest may make that longer."""
_GREY: Final = b"\x80\x80\x80\x00"
_BLACK: Final = bytes(PIXEL_SIZE)
_UNSET: Final = 0xFFFFFFFF
_TURNED: Final = (PlaneRotation.DEGREES_180, PlaneRotation.DEGREES_270)


class HotSpot(NamedTuple):
    """The point of the cursor that points, from its upper left corner."""

    x: int
    y: int


class Frame(NamedTuple):
    """One picture. A pixel is four bytes: blue, green, red, and one that means nothing (``XR24``)."""

    width: int
    height: int
    pitch: int
    """Bytes from a row to the next."""
    pixels: bytearray
    pipe: str = "PIPE_A"
    cursor: Rectangle | None = None
    """Where the cursor is, which is in the picture already; it may lie outside."""
    hot_spot: HotSpot | None = None
    """As the guest has told it; None where it never did."""


def scan_out(device: ScannedDevice, pipe: str | None = None) -> Frame | None:
    """What ``pipe`` shows now, or the first pipe that runs; None where none does, or that one does not.

    Whatever the registers say, this gives a picture: what a guest did wrong is a finding.

    Raises: UsageError for a name that is none of a pipe.
    """
    if pipe is not None and pipe not in PIPE_BASES:
        raise UsageError(f"pipe {pipe!r}: a pipe is one of {', '.join(PIPE_BASES)}")
    pipes = device.display.pipes
    pipes.settle()
    running = pipes.running if pipe is None else (pipe,) if pipe in pipes.running else ()
    if not running:
        return None
    shown = running[0]
    size = pipe_size(device.registers, shown)
    picture = _Picture(device, shown, size)
    for view in plane_views(device, shown):
        picture.show(view)
    cursor = cursor_view(device, shown)
    if cursor is not None:
        picture.show(cursor)
    return Frame(
        size.width, size.height, size.width * PIXEL_SIZE, picture.finished(), shown, cursor.area if cursor is not None else None,
        hot_spot(device.registers),
    )  # fmt: skip


def hot_spot(registers: RegisterPage) -> HotSpot | None:
    """The cursor's hot spot, as a guest tells it in the PVINFO page; None where there is no such page, or nothing was told."""
    if registers.read32(PVINFO_BASE) != VGT_MAGIC & 0xFFFFFFFF:
        return None
    page = PvInfo(registers)
    x, y = page.cursor_x_hot, page.cursor_y_hot
    return None if _UNSET in (x, y) else HotSpot(x, y)


@final
class _Picture:
    """A picture that is being put together."""

    def __init__(self, device: ScannedDevice, pipe: str, size: PipeSize) -> None:
        self._device = device
        self._pipe = pipe
        self._screen = Rectangle(0, 0, size.width, size.height)
        self._pitch = size.width * PIXEL_SIZE
        self._pixels: bytearray | None = None
        """None: nothing has been drawn."""
        self._slow_left = _SLOW_PIXELS
        self._gamma: ColorTables | None = None
        self._gamma_known = False

    def finished(self) -> bytearray:
        """The pixels."""
        return self._canvas()

    def _canvas(self) -> bytearray:
        if self._pixels is None:
            pixel, count = background(self._device, self._pipe), self._screen.width * self._screen.height
            self._pixels = bytearray(count * PIXEL_SIZE) if not any(pixel) else bytearray(pixel * count)
        return self._pixels

    # ---- one plane ----

    def show(self, view: PlaneView | Unshown) -> None:
        """Put a plane above all others."""
        visible = view.area.clipped(self._screen)
        if isinstance(view, Unshown):
            self._device.findings.not_modelled(view.rule, view.name, f"{view.why}; a grey rectangle is shown in its place", value=view.value)
            self._fill(visible, _GREY)
            return
        if visible.empty:
            return
        if view.blend is not Blend.OPAQUE or is_slow(view.pixel_format):
            count = visible.width * visible.height
            if count > self._slow_left:
                self._device.findings.not_modelled(
                    "plane-too-large", view.name,
                    f"with it, more than {_SLOW_PIXELS} pixels would be blended or converted one by one; a grey rectangle is shown in its place", value=count,
                )  # fmt: skip
                self._fill(visible, _GREY)
                return
            self._slow_left -= count
        fetch = DisplayFetch(self._device.display_memory)
        try:
            self._draw(view, visible, fetch)
        except ForeignMemory as foreign:
            self._device.findings.fault(
                "plane-outside-slice", view.name,
                f"it shows graphics memory at {foreign.address:#x}, {foreign.size:#x} bytes, which is not the vGPU's; it is black",
                value=view.surface.base, nearest=foreign.owned,
            )  # fmt: skip
            if view.blend is Blend.OPAQUE:
                self._fill(visible, _BLACK)
        if fetch.hole is not None:
            self._device.findings.fault(
                "plane-not-mapped", view.name, "part of its surface has no memory in the GGTT; it is black there", value=fetch.hole
            )

    def _draw(self, view: PlaneView, visible: Rectangle, fetch: DisplayFetch) -> None:
        left, top = visible.left - view.x, visible.top - view.y
        part = Rectangle(left, top, left + visible.width, top + visible.height)
        turned = view.rotation in _TURNED
        if turned:
            part = Rectangle(view.width - part.right, view.height - part.bottom, view.width - part.left, view.height - part.top)
        x, y = view.offset_x, view.offset_y
        source = Rectangle(part.left + x, part.top + y, part.right + x, part.bottom + y)
        bands = _turned_tiles(view, source, fetch) if view.mapped_turned else _bands(view, source, fetch)
        tables = self._gamma_of_pipe() if view.gamma else None
        if tables is not None:
            bands = (corrected(band, tables) for band in bands)
        if turned:
            bands = reversed([_reversed(band) for band in bands])
        if self._pixels is None and visible == self._screen and view.blend is Blend.OPAQUE and view.key is None:
            self._pixels = bytearray().join(bands)
            return
        row = visible.top
        for band in bands:
            row = self._put(view, visible, row, band)

    def _gamma_of_pipe(self) -> ColorTables | None:
        if not self._gamma_known:
            self._gamma = pipe_gamma(self._device, self._pipe)
            self._gamma_known = True
        return self._gamma

    # ---- pixels ----

    def _put(self, view: PlaneView, visible: Rectangle, row: int, band: Buffer) -> int:
        """Put rows there from ``row`` on; the row that comes next."""
        canvas = memoryview(self._canvas())
        rows = memoryview(band).cast("B")
        length = visible.width * PIXEL_SIZE
        start = row * self._pitch + visible.left * PIXEL_SIZE
        for at in range(0, len(rows), length):
            own = rows[at : at + length]
            place = canvas[start : start + length]
            seen: Buffer = own
            if view.blend is not Blend.OPAQUE:
                seen = blended(place, own, straight=view.blend is Blend.STRAIGHT)
            if view.key is not None:
                seen = view.key.applied(place, seen, own)
            place[:] = seen
            start += self._pitch
        return row + len(rows) // length

    def _fill(self, area: Rectangle, pixel: bytes) -> None:
        if area.empty:
            return
        canvas = memoryview(self._canvas())
        row = pixel * area.width
        for start in range(area.top * self._pitch + area.left * PIXEL_SIZE, area.bottom * self._pitch, self._pitch):
            canvas[start : start + len(row)] = row


# ---- what is fetched ----


def _bands(view: PlaneView, source: Rectangle, fetch: DisplayFetch) -> Iterator[Buffer]:
    """Pixels of a rectangle of the surface, some rows at a time."""
    size, tiling = bytes_per_pixel(view.pixel_format), view.surface.tiling
    left, right = source.left, source.right
    if is_yuv(view.pixel_format):
        left, right = left & ~1, right + 1 & ~1
    window = open_window(fetch, view.surface, Rectangle(left * size, source.top, right * size, source.bottom), write=False, steady=True)
    step = max(_BAND // ((right - left) * size), 1)
    if tiling is not None:
        step = -(-step // tiling.height) * tiling.height
    first = 0
    while first < source.height:
        # Bands begin where rows of tiles do.
        last = min(first + step - (source.top + first) % (tiling.height if tiling is not None else 1), source.height)
        band = to_xrgb(view.pixel_format, window.read(first, last), view.colors)
        if right - left != source.width:
            stride = (right - left) * PIXEL_SIZE
            skip, length = (source.left - left) * PIXEL_SIZE, source.width * PIXEL_SIZE
            pixels = memoryview(band)
            band = b"".join([pixels[at : at + length] for at in range(skip, len(pixels), stride)])
        yield band
        first = last


def _turned_tiles(view: PlaneView, source: Rectangle, fetch: DisplayFetch) -> Iterator[Buffer]:
    """Pixels of a rectangle of a surface that is turned clockwise: its tiles are in turned order, each upright in itself."""
    size, tiling = bytes_per_pixel(view.pixel_format), view.surface.tiling
    assert tiling is not None
    across, down = tiling.height, tiling.width // size
    """Size of a tile on the turned surface."""
    first_tile, last_tile = source.left // across, -(-source.right // across)
    tiles = last_tile - first_tile
    skip = source.left - first_tile * across
    for tile_row in range(source.top // down, -(-source.bottom // down)):
        area = Rectangle(first_tile * tiling.width, tile_row * across, last_tile * tiling.width, (tile_row + 1) * across)
        window = open_window(fetch, view.surface, area, write=False)
        upright = array("I", bytes(to_xrgb(view.pixel_format, window.read(0, across), view.colors)))
        stride = tiles * down
        lowest = (across - 1) * stride
        band = array("I")
        for row in range(max(source.top - tile_row * down, 0), min(source.bottom - tile_row * down, down)):
            line = array("I")
            for tile in range(tiles):
                line += upright[lowest + tile * down + row :: -stride]
            band += line[skip : skip + source.width]
        yield memoryview(band).cast("B")


def _reversed(band: Buffer) -> Buffer:
    """All pixels from the last to the first: the rows turned by half."""
    pixels = array("I", bytes(band))
    pixels.reverse()
    return memoryview(pixels).cast("B")
