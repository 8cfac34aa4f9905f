"""A guest that is at work, and knows what all its work should have left."""

from __future__ import annotations

from typing import final

from pvinfo.units import PAGE_SIZE

from ...batch import Rectangle
from ...driver import GuestDriver
from ...request import Request
from ...tiling import Tiling
from ..stage import Stage
from ..work.acts import mix, mixed, wait_for_all
from ..work.picture import Picture

__all__ = ("Painter",)

_AREA = Rectangle(5, 3, 90, 40)


@final
class Painter:
    """A guest with a picture of its own, and a pattern that it draws there; nothing is waited for before it checks."""

    def __init__(self, stage: Stage, driver: GuestDriver, tiling: Tiling) -> None:
        self._stage = stage
        self.driver = driver
        self._canvas = driver.create_surface(128, 64, 32, tiling, "canvas")
        self._copy = driver.create_surface(128, 64, 32, Tiling.LINEAR, "copy")
        self._expected, self._copied = Picture.noise(stage, self._canvas), Picture.of(self._copy)
        self._sums = driver.create_buffer(PAGE_SIZE, "sums")
        self._numbers: dict[int, list[int]] = {place: [] for place in range(len(driver.platform.engines))}
        self._requests: list[Request] = []

    def fill(self) -> None:
        """Fill a part of the canvas."""
        colour, left, top = self._stage.random.getrandbits(32), self._stage.random.randrange(64), self._stage.random.randrange(32)
        area = Rectangle(left, top, self._stage.random.randrange(1, 64), self._stage.random.randrange(1, 32))
        self._requests.append(self.driver.fill(self._canvas, colour, area))
        self._expected.fill(area, colour)

    def copy(self) -> None:
        """Copy a part of the canvas elsewhere."""
        to = (self._stage.random.randrange(32), self._stage.random.randrange(16))
        self._requests.append(self.driver.copy(self._copy, self._canvas, _AREA, to))
        self._copied.copy(self._expected, _AREA, to)

    def sum(self) -> None:
        """Have one engine do a sum."""
        place, number = self._stage.random.randrange(len(self._numbers)), self._stage.random.getrandbits(32)
        self._requests.append(self.driver.submit(self.driver.platform.engines[place], mix(self._sums.gpu_address + 64 * place, number)))
        self._numbers[place].append(number)

    def draw(self) -> None:
        """Fill a part, copy it elsewhere, and have engines do sums."""
        self.fill()
        self.copy()
        for _ in self._numbers:
            self.sum()

    def check(self) -> None:
        """All is done, and looks as it should."""
        wait_for_all(self._requests)
        self._requests.clear()
        self._stage.check("pixels of its canvas that are not as they should be", Picture.of(self._canvas).differing(self._expected), [])
        self._stage.check("pixels of its copy that are not", Picture.of(self._copy).differing(self._copied), [])
        sums = [self._sums.read_dword(64 * place) for place in self._numbers]
        self._stage.check("its sums", sums, [mixed(numbers) for numbers in self._numbers.values()])
