"""The cursor: above everything, half transparent where it says so, and with a pixel that points."""

from __future__ import annotations

from typing import Final

from host_model.scanout.frame import hot_spot

from ..catalogue import scenario
from ..needs import Needs
from ..stage import Stage
from .acts import PIXEL, check_quiet, check_shown, lit, test_card

_SIZE: Final = 64
_HOT_SPOT: Final = (5, 9)
_OPAQUE: Final = b"\x20\xc0\xf0\xff"
_CLEAR: Final = bytes(PIXEL)


def _arrow() -> list[bytes]:
    """A triangle that is opaque, on nothing."""
    return [_OPAQUE * min(y + 1, _SIZE) + _CLEAR * max(_SIZE - y - 1, 0) for y in range(_SIZE)]


def _with_arrow(rows: list[bytes], corner: tuple[int, int]) -> list[bytes]:
    """``rows`` with the triangle above them; parts outside are not there."""
    seen = [bytearray(row) for row in rows]
    width = len(rows[0]) // PIXEL
    for y in range(_SIZE):
        if 0 <= corner[1] + y < len(rows):
            first, last = max(corner[0], 0), min(corner[0] + y + 1, width)
            if first < last:
                seen[corner[1] + y][first * PIXEL : last * PIXEL] = (_OPAQUE[:3] + b"\0") * (last - first)
    return [bytes(row) for row in seen]


@scenario(varies="three of the places to which it moves")
def cursor_with_hot_spot(stage: Stage) -> None:
    """The cursor is shown above the picture, where its hot spot points at the place it was moved to, and the host is told of the spot."""
    stage.step("the driver shows a picture")
    driver, screen = lit(stage)
    width, height = screen.mode.hdisplay, screen.mode.vdisplay
    card = test_card(stage, width, height)
    framebuffer = screen.framebuffer
    assert framebuffer is not None, "a mode set shows one"
    framebuffer.draw(card)

    stage.step("it shows a cursor in the middle")
    screen.cursor.show(_arrow(), _HOT_SPOT, at=(width // 2, height // 2))
    screen.wait_for_vblank()
    stage.check("its corner", screen.cursor.corner, (width // 2 - _HOT_SPOT[0], height // 2 - _HOT_SPOT[1]))
    check_shown(stage, "a cursor in the middle", _with_arrow(card, screen.cursor.corner))
    stage.host_view("the hot spot that it has been told", lambda vgpu: hot_spot(vgpu.registers), _HOT_SPOT)

    anywhere = [(stage.random.randrange(width), stage.random.randrange(height), "somewhere") for _ in range(3)]
    edges = ((0, 0, "to the upper left edge"), (width - 1, height - 1, "to the lower right edge"), (3, height // 3, "to the left edge"))
    for x, y, where in (*edges, *anywhere):
        stage.step(f"it moves {where}")
        screen.cursor.move(x, y)
        screen.wait_for_vblank()
        check_shown(stage, f"moved {where}", _with_arrow(card, screen.cursor.corner))

    stage.step("it hides the cursor")
    screen.cursor.hide()
    screen.wait_for_vblank()
    check_shown(stage, "without the cursor", card)
    check_quiet(stage, driver)


@scenario(needs=Needs(in_process=True), varies="how often it is moved, and where to")
def cursor_moves_at_vblank(stage: Stage) -> None:
    """A cursor that is moved many times within a frame is seen where it was last, and never in between."""
    stage.step("the driver shows a cursor")
    driver, screen = lit(stage)
    black = [bytes(PIXEL * screen.mode.hdisplay)] * screen.mode.vdisplay
    screen.cursor.show(_arrow(), at=(100, 100))
    screen.wait_for_vblank()

    stage.step("it moves within a frame")
    places = [
        (stage.random.randrange(screen.mode.hdisplay), stage.random.randrange(screen.mode.vdisplay)) for _ in range(stage.random.randrange(2, 20))
    ]  # fmt: skip
    for place in places:
        screen.cursor.move(*place)
    count = screen.wait_for_vblank()
    stage.check("frames", screen.frames - count, 0)
    check_shown(stage, "where it was moved last", _with_arrow(black, places[-1]))
    check_quiet(stage, driver)
