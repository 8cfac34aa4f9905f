"""Copies: from every tiling to every tiling, checked pixel by pixel."""

from __future__ import annotations

from ...batch import Rectangle
from ...tiling import Tiling
from ..catalogue import scenario
from ..stage import Stage
from . import NEEDS
from .acts import PATIENCE_NS, at_work, check_quiet_end, wait_for_all
from .picture import DEPTHS, Picture, any_part

_SIZE = (192, 64)
_VARIES = "two of the rectangles, and where they go"
_PARTS = (
    (Rectangle(0, 0, 160, 32), (16, 4)),
    (Rectangle(32, 8, 64, 16), (112, 40)),
    (Rectangle(5, 3, 41, 23), (130, 1)),
    (Rectangle(99, 39, 1, 1), (0, 63)),
)
"""What is copied where. The first two begin where even the fast copy can, the others anywhere."""


def _any_copy(stage: Stage) -> tuple[Rectangle, tuple[int, int]]:
    """A part of the source, and a place in the target at which there is room for it."""
    part = any_part(stage, *_SIZE)
    return part, (stage.random.randrange(_SIZE[0] - part.width + 1), stage.random.randrange(_SIZE[1] - part.height + 1))


def _copies(stage: Stage, target_tiling: Tiling) -> None:
    stage.step("the driver starts the engines")
    driver = at_work(stage)
    for source_tiling in Tiling:
        stage.step(f"from {'linear memory' if source_tiling is Tiling.LINEAR else f'{source_tiling.value} tiles'}, at each depth")
        for depth in DEPTHS:
            source = driver.create_surface(*_SIZE, depth, source_tiling, "source")
            target = driver.create_surface(*_SIZE, depth, target_tiling, "target")
            drawn, expected = Picture.noise(stage, source), Picture.noise(stage, target)
            requests = []
            for part, to in (*_PARTS, *(_any_copy(stage) for _ in range(2))):
                requests.append(driver.copy(target, source, part, to))
                expected.copy(drawn, part, to)
            wait_for_all(requests)
            stage.check(f"pixels of {depth} bits that are not as they should be", Picture.of(target).differing(expected), [])
            stage.check("pixels of the source that have changed", Picture.of(source).differing(drawn), [])
    check_quiet_end(stage, driver)


@scenario(needs=NEEDS, varies=_VARIES)
def copy_to_linear(stage: Stage) -> None:
    """Rectangles of surfaces of each tiling and depth are copied to a linear one."""
    _copies(stage, Tiling.LINEAR)


@scenario(needs=NEEDS, varies=_VARIES)
def copy_to_x_tiles(stage: Stage) -> None:
    """Rectangles of surfaces of each tiling and depth are copied to one of X tiles."""
    _copies(stage, Tiling.X)


@scenario(needs=NEEDS, varies=_VARIES)
def copy_to_y_tiles(stage: Stage) -> None:
    """Rectangles of surfaces of each tiling and depth are copied to one of Y tiles."""
    _copies(stage, Tiling.Y)


@scenario(needs=NEEDS, varies="the rectangle, and how far it goes")
def copy_within_surface(stage: Stage) -> None:
    """A rectangle moves by a few pixels within its surface, up, down and sideways, and arrives whole though it overlaps itself."""
    stage.step("the driver starts the engines")
    driver = at_work(stage)
    for tiling in Tiling:
        stage.step(f"tiling {tiling.value}")
        surface = driver.create_surface(160, 64, 32, tiling)
        expected = Picture.noise(stage, surface)
        for right, down in ((3, 0), (-3, 0), (0, 3), (0, -3), (2, 1)):
            farther = stage.random.randrange(1, 4)
            area = Rectangle(10, 10, stage.random.randrange(40, 140), stage.random.randrange(20, 44))
            to = (10 + right * farther, 10 + down * farther)
            driver.copy(surface, surface, area, to).wait(PATIENCE_NS)
            expected.copy(expected, area, to)
            stage.check(f"pixels that are not as they should be, moved to {to}", Picture.of(surface).differing(expected), [])
    check_quiet_end(stage, driver)
