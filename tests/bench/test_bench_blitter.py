"""What the 2D engine costs: a screen of 1920 by 1080 pixels of 32 bits, against the same bytes moved by one slice assignment.

Both sides take another screen each time, of more than a processor's cache holds, as frames come and go: what is compared is
moving memory, whatever the size of the cache. The last figures, without a bar, are of one screen that stays in the cache, and
of scattered pages.
"""

from __future__ import annotations

import random
import time
from itertools import cycle

import pytest
from support.blit_engine import BlitEngine
from support.blit_script import ScatteredMemory, address, corner
from support.figures import Figure, Figures, side_by_side

from pvinfo.units import MIB, PAGE_SIZE

pytestmark = pytest.mark.bench

WIDTH, HEIGHT, PITCH = 1920, 1080, 7680
BYTES = PITCH * HEIGHT
SCREEN = 9 * MIB
SCREENS = 12
"""Half of them are sources."""
X, Y = True, False
ROUNDS = 31
LINEAR_BAR, TILED_BAR = 3.0, 12.0
AGAINST = "a bytearray slice assignment of the same bytes"


class OnePiece(ScatteredMemory):
    """Graphics memory that is one piece of host memory too."""

    def __init__(self, screens: int) -> None:
        self.size = screens * SCREEN
        self._view = memoryview(bytearray(random.Random(1).randbytes(MIB) * (self.size // MIB)))

    def spans(self, address: int, size: int, *, write: bool) -> list[memoryview]:
        return [self._view[address : address + size]]


class Shuffled(OnePiece):
    """Graphics memory of which no two pages are neighbours in host memory."""

    def __init__(self, screens: int) -> None:
        super().__init__(screens)
        numbers = list(range(self.size // PAGE_SIZE))
        random.Random(3).shuffle(numbers)
        self._pages = [self._view[PAGE_SIZE * number : PAGE_SIZE * (number + 1)] for number in numbers]

    def spans(self, address: int, size: int, *, write: bool) -> list[memoryview]:
        first, last = address // PAGE_SIZE, (address + size - 1) // PAGE_SIZE
        views = self._pages[first : last + 1]
        views[-1] = views[-1][: (address + size - 1) % PAGE_SIZE + 1]
        views[0] = views[0][address % PAGE_SIZE :]
        return views


class Work:
    """A command that draws from one screen to another, and what it is held against, each on one pair of screens after the other."""

    def __init__(self, memory: OnePiece, command: list[int], tiling: int) -> None:
        self._engine = BlitEngine(memory, tiling)
        pairs = memory.size // SCREEN // 2
        self._commands = cycle([self._placed(command, 2 * pair * SCREEN, (2 * pair + 1) * SCREEN) for pair in range(pairs)])
        source = random.Random(2).randbytes(MIB) * 8
        self._assignments = cycle([(bytearray(BYTES), bytearray((source + source)[:BYTES])) for _ in range(pairs)])

    @staticmethod
    def _placed(command: list[int], target: int, source: int) -> list[int]:
        placed = list(command)
        placed[4:6] = address(target)
        if len(command) > 7:
            placed[8:10] = address(source)
        return placed

    def execute(self, operations: int) -> None:
        for _ in range(operations):
            assert self._engine.execute(next(self._commands)) is None

    def assign(self, operations: int) -> None:
        for _ in range(operations):
            target, source = next(self._assignments)
            target[:BYTES] = source


def color(tiled: bool) -> list[int]:
    return [2 << 29 | 0x50 << 22 | 3 << 20 | tiled << 11 | 5, 3 << 24 | 0xF0 << 16 | (PITCH // 4 if tiled else PITCH), 0, corner(WIDTH, HEIGHT), 0, 0, 0x00C0FFEE]


def copy(target_tiled: bool, source_tiled: bool, code: int = 0xCC, right: int = 0, down: int = 0) -> list[int]:
    """Copy a screen; its right and lower edges are cut off where it is put further right or down."""
    return [
        2 << 29 | 0x53 << 22 | 3 << 20 | source_tiled << 15 | target_tiled << 11 | 8,
        3 << 24 | code << 16 | (PITCH // 4 if target_tiled else PITCH), corner(right, down), corner(WIDTH, HEIGHT), 0, 0,
        0, PITCH // 4 if source_tiled else PITCH, 0, 0,
    ]  # fmt: skip


LINEAR, X_TILES, Y_TILES, Y_FROM_X, X_FROM_Y = 0, 0, 3, 2, 1
"""What the engine's register says of tiled targets and sources."""

Case = tuple[str, list[int], int, float | None]

FILLS: list[Case] = [("linear fill", color(False), LINEAR, LINEAR_BAR), ("fill of X tiles", color(True), X_TILES, TILED_BAR), ("fill of Y tiles", color(True), Y_TILES, TILED_BAR)]
COPIES: list[Case] = [
    ("linear copy", copy(False, False), LINEAR, LINEAR_BAR),
    ("copy from X tiles to X tiles", copy(True, True), X_TILES, TILED_BAR),
    ("copy from Y tiles to Y tiles", copy(True, True), Y_TILES, TILED_BAR),
    ("copy from linear to X tiles", copy(True, False), X_TILES, TILED_BAR),
    ("copy from X tiles to linear", copy(False, True), X_TILES, TILED_BAR),
    ("copy from linear to Y tiles", copy(True, False), Y_TILES, TILED_BAR),
    ("copy from Y tiles to linear", copy(False, True), Y_TILES, TILED_BAR),
    ("copy from X tiles to Y tiles", copy(True, True), Y_FROM_X, TILED_BAR),
    ("copy from Y tiles to X tiles", copy(True, True), X_FROM_Y, TILED_BAR),
]
SHIFTED: list[Case] = [
    ("copy from X tiles to X tiles, 5 rows down", copy(True, True, down=5), X_TILES, None),
    ("copy from Y tiles to Y tiles, 5 rows down", copy(True, True, down=5), Y_TILES, None),
    ("copy from X tiles to X tiles, 3 pixels right", copy(True, True, right=3), X_TILES, None),
    ("copy from Y tiles to Y tiles, 4 pixels right", copy(True, True, right=4), Y_TILES, None),
    ("copy from Y tiles to Y tiles, 3 pixels right", copy(True, True, right=3), Y_TILES, None),
    ("copy from linear to Y tiles, 3 pixels right, 5 rows down", copy(True, False, right=3, down=5), Y_TILES, None),
    ("linear exclusive or", copy(False, False, 0x66), LINEAR, None),
]


def measure(what: str, memory: OnePiece, command: list[int], tiling: int, bar: float | None, figures: Figures) -> None:
    work = Work(memory, command, tiling)
    ours, least = side_by_side(work.execute, work.assign, 4, ROUNDS, time.thread_time_ns)
    figure = figures.add(Figure(f"{what}, 1920x1080, 32 bits", ours, AGAINST, least, bar))
    assert bar is None or figure.ratio <= bar


@pytest.mark.parametrize(("what", "command", "tiling", "bar"), FILLS + COPIES + SHIFTED)
def test_a_screen_is_drawn_at_the_speed_of_memory(what: str, command: list[int], tiling: int, bar: float | None, figures: Figures) -> None:
    measure(what, OnePiece(SCREENS), command, tiling, bar, figures)


@pytest.mark.parametrize(("what", "command", "tiling"), [case[:3] for case in FILLS + COPIES])
def test_a_screen_in_the_cache(what: str, command: list[int], tiling: int, figures: Figures) -> None:
    measure(f"{what}, in the cache", OnePiece(2), command, tiling, None, figures)


@pytest.mark.parametrize(("what", "command", "tiling"), [case[:3] for case in FILLS + COPIES])
def test_a_screen_of_scattered_pages(what: str, command: list[int], tiling: int, figures: Figures) -> None:
    measure(f"{what}, scattered pages", Shuffled(SCREENS), command, tiling, None, figures)
