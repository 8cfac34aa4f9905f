"""Fills: rectangles of one colour, checked pixel by pixel, and everything around them."""

from __future__ import annotations

from pvinfo.platform import Engine

from ...batch import Batch, BlitSurface, Rectangle
from ...tiling import Tiling
from ..catalogue import scenario
from ..stage import Stage
from . import NEEDS
from .acts import PATIENCE_NS, at_work, check_quiet_end, wait_for_all
from .picture import DEPTHS, Picture, any_part

_XOR = 0x5A
"""The raster operation that inverts, in what is there, the bits of the colour."""
_SIZE = (200, 40)
_VARIES = "three of the rectangles"
_AREAS = (Rectangle(3, 5, 61, 27), Rectangle(0, 33, 1, 1), Rectangle(66, 1, 34, 39), Rectangle(17, 34, 80, 1))


def _fills(stage: Stage, tiling: Tiling) -> None:
    stage.step("the driver starts the engines")
    driver = at_work(stage)
    for depth in DEPTHS:
        stage.step(f"pixels of {depth} bits")
        surface = driver.create_surface(*_SIZE, depth, tiling, f"{depth} bits")
        expected = Picture.noise(stage, surface)
        requests = []
        for area in (*_AREAS, *(any_part(stage, *_SIZE) for _ in range(3))):
            value = stage.random.getrandbits(depth)
            requests.append(driver.fill(surface, value, area))
            expected.fill(area, value)
        wait_for_all(requests)
        stage.check("pixels that are not as they should be", Picture.of(surface).differing(expected), [])

        whole = stage.random.getrandbits(depth)
        driver.fill(surface, whole).wait(PATIENCE_NS)
        expected.fill(Rectangle(0, 0, surface.pitch * 8 // depth, surface.size // surface.pitch), whole)
        stage.check("pixels that are not as they should be after the whole was filled", Picture.of(surface).differing(expected), [])
    check_quiet_end(stage, driver)


@scenario(needs=NEEDS, varies=_VARIES)
def fill_linear(stage: Stage) -> None:
    """Rectangles of a linear surface are filled, at each depth, and nothing around them."""
    _fills(stage, Tiling.LINEAR)


@scenario(needs=NEEDS, varies=_VARIES)
def fill_x_tiles(stage: Stage) -> None:
    """Rectangles of a surface of X tiles are filled, at each depth, and nothing around them."""
    _fills(stage, Tiling.X)


@scenario(needs=NEEDS, varies=_VARIES)
def fill_y_tiles(stage: Stage) -> None:
    """Rectangles of a surface of Y tiles are filled, at each depth, and nothing around them."""
    _fills(stage, Tiling.Y)


@scenario(needs=NEEDS)
def fill_combined(stage: Stage) -> None:
    """A fill that is combined with what is there inverts it, inside its clipping rectangle alone; a second one puts it back."""
    stage.step("the driver starts the engines")
    driver = at_work(stage)
    surface = driver.create_surface(100, 40, 32)
    before, expected = Picture.noise(stage, surface), Picture.of(surface)
    colour = stage.random.getrandbits(32)
    for y in range(10, 30):
        for x in range(20, 70):
            at = 4 * x
            inverted = int.from_bytes(expected.rows[y][at : at + 4], "little") ^ colour
            expected.rows[y][at : at + 4] = inverted.to_bytes(4, "little")
    batch = Batch()
    target = BlitSurface(surface.gpu_address, surface.pitch)
    batch.xy_setup_blt(target, foreground=colour, clip=Rectangle(20, 10, 50, 20), raster_operation=_XOR)
    batch.xy_color_blt(target, Rectangle(0, 0, 100, 40), colour, raster_operation=_XOR, clipping=True)
    for title, picture in (("once", expected), ("twice", before)):
        stage.step(f"everything is inverted {title}, but clipped")
        driver.submit(Engine.BCS0, batch).wait(PATIENCE_NS)
        stage.check("pixels that are not as they should be", Picture.of(surface).differing(picture), [])
    check_quiet_end(stage, driver)
