"""What the 2D engine costs: a screen of 1920 by 1080 pixels of 32 bits, against the same bytes moved by one slice assignment."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from support.blit_engine import BlitEngine
from support.blit_script import ScatteredMemory, address, corner
from support.figures import Figure, Figures, side_by_side

from pvinfo.units import MIB

pytestmark = pytest.mark.bench

WIDTH, HEIGHT, PITCH = 1920, 1080, 7680
BYTES = PITCH * HEIGHT
TARGET, SOURCE = 0, 16 * MIB
X_TILES, Y_TILES = 8, 32
"""Rows of a tile."""
ROUNDS = 15
LINEAR_BAR, TILED_BAR = 3.0, 12.0


class OnePiece(ScatteredMemory):
    """Graphics memory that is one piece of host memory too."""

    def __init__(self) -> None:
        self._view = memoryview(bytearray(random.Random(1).randbytes(MIB) * 32))

    def spans(self, address: int, size: int, *, write: bool) -> list[memoryview]:
        return [self._view[address : address + size]]


def against_slice_assignment(engine: BlitEngine, command: list[int]) -> tuple[float, float]:
    """Nanoseconds of the command, and of a ``bytearray`` slice assignment of as many bytes."""
    target, source = bytearray(BYTES), bytearray(random.Random(2).randbytes(MIB) * 8)[:BYTES]
    source.extend(bytes(BYTES - len(source)))

    def assign(operations: int) -> None:
        for _ in range(operations):
            target[:BYTES] = source

    def execute(operations: int) -> None:
        for _ in range(operations):
            assert engine.execute(command) is None

    return side_by_side(execute, assign, 4, ROUNDS)


def color(tiled: bool, code: int = 0xF0) -> list[int]:
    pitch = PITCH // 4 if tiled else PITCH
    return [2 << 29 | 0x50 << 22 | 3 << 20 | tiled << 11 | 5, 3 << 24 | code << 16 | pitch, 0, corner(WIDTH, HEIGHT), *address(TARGET), 0x00C0FFEE]


def copy(target_tiled: bool, source_tiled: bool, code: int = 0xCC) -> list[int]:
    return [
        2 << 29 | 0x53 << 22 | 3 << 20 | source_tiled << 15 | target_tiled << 11 | 8,
        3 << 24 | code << 16 | (PITCH // 4 if target_tiled else PITCH), 0, corner(WIDTH, HEIGHT), *address(TARGET),
        0, PITCH // 4 if source_tiled else PITCH, *address(SOURCE),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("what", "command", "tiling", "bar"),
    [
        ("linear fill", color(False), 0, LINEAR_BAR),
        ("linear copy", copy(False, False), 0, LINEAR_BAR),
        ("fill of X tiles", color(True), 0, TILED_BAR),
        ("fill of Y tiles", color(True), 3, TILED_BAR),
        ("copy from X tiles to X tiles", copy(True, True), 0, TILED_BAR),
        ("copy from Y tiles to Y tiles", copy(True, True), 3, TILED_BAR),
        ("copy from linear to X tiles", copy(True, False), 0, TILED_BAR),
        ("copy from X tiles to linear", copy(False, True), 0, TILED_BAR),
        ("copy from linear to Y tiles", copy(True, False), 3, None),
        ("copy from Y tiles to linear", copy(False, True), 3, None),
        ("copy from X tiles to Y tiles", copy(True, True), 2, None),
        ("linear exclusive or", copy(False, False, 0x66), 0, None),
    ],
)
def test_a_screen_is_drawn_at_the_speed_of_memory(what: str, command: list[int], tiling: int, bar: float | None, figures: Figures) -> None:
    engine = BlitEngine(OnePiece(), tiling)
    ours, least = against_slice_assignment(engine, command)
    figure = figures.add(Figure(f"{what}, 1920x1080, 32 bits", ours, "a bytearray slice assignment of the same bytes", least, bar))
    assert bar is None or figure.ratio <= bar
