"""Drawing into what is shown: by the copy engine, and by the processor through the aperture."""

from __future__ import annotations

from pvinfo.registers import PlaneTiling

from ...batch import Rectangle
from ..catalogue import scenario
from ..stage import Stage
from .acts import PIXEL, check_quiet, check_shown, lit

_PATIENCE_NS = 30_000_000_000


@scenario(varies="what is drawn, and when")
def drawn_by_the_copy_engine(stage: Stage) -> None:
    """What the copy engine draws into a frame buffer is on the monitor, in rows and in X tiles alike."""
    stage.step("the driver sets a mode")
    driver, screen = lit(stage)
    width, height = screen.mode.hdisplay, screen.mode.vdisplay
    for tiling in (PlaneTiling.LINEAR, PlaneTiling.X):
        stage.step(f"the engine draws rectangles, {tiling.name}")
        canvas = driver.display.create_framebuffer(width, height, tiling, "canvas")
        rows = [bytearray(PIXEL * width) for _ in range(height)]
        requests = []
        for _ in range(12):
            x, y = stage.random.randrange(width - 64), stage.random.randrange(height - 64)
            area = Rectangle(x, y, stage.random.randrange(16, width - x), stage.random.randrange(16, height - y))
            color = stage.random.randrange(1 << 24)
            stage.dawdle()
            requests.append(driver.fill(canvas.buffer, color, area))
            for row in rows[area.y : area.y + area.height]:
                row[area.x * PIXEL : (area.x + area.width) * PIXEL] = color.to_bytes(PIXEL, "little") * area.width
        for request in requests:
            request.wait(_PATIENCE_NS)
        screen.flip(canvas).wait()
        check_shown(stage, f"rectangles, {tiling.name}", [bytes(row) for row in rows])
    check_quiet(stage, driver)


@scenario(varies="where the square is, and what is in it")
def drawn_through_the_aperture(stage: Stage) -> None:
    """What the processor writes through the aperture into the frame buffer that is shown is on the monitor without any flip."""
    stage.step("the driver sets a mode")
    driver, screen = lit(stage)
    width, height = screen.mode.hdisplay, screen.mode.vdisplay
    framebuffer = screen.framebuffer
    assert framebuffer is not None, "a mode set shows one"
    rows = [bytearray(PIXEL * width) for _ in range(height)]

    stage.step("the processor writes a square")
    size = 32
    left, top = stage.random.randrange(width - size), stage.random.randrange(height - size)
    view = framebuffer.view
    for y in range(top, top + size):
        line = b"".join((stage.random.randrange(1 << 24)).to_bytes(PIXEL, "little") for _ in range(size))
        view.write(y * framebuffer.pitch + left * PIXEL, line)
        rows[y][left * PIXEL : (left + size) * PIXEL] = line
    check_shown(stage, "a square, written through the aperture", [bytes(row) for row in rows])
    check_quiet(stage, driver)
