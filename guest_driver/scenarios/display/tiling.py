"""Tiled pictures: however memory is laid out, the monitor shows the same."""

from __future__ import annotations

from pvinfo.registers import PlaneTiling

from ..catalogue import scenario
from ..stage import Stage
from .acts import check_quiet, check_shown, lit, shows, test_card


@scenario(varies="the colours, and when each picture is shown")
def tiled_equals_linear(stage: Stage) -> None:
    """The same picture in rows and in tiles of every kind that the platform's planes show looks the same."""
    stage.step("the driver shows a picture in rows")
    driver, screen = lit(stage)
    width, height = screen.mode.hdisplay, screen.mode.vdisplay
    card = test_card(stage, width, height)
    screen.flip(shows(driver.display.create_framebuffer(width, height), card)).wait()
    check_shown(stage, "in rows", card)

    kinds = (PlaneTiling.X,) if stage.platform.graphics_version == 8 else (PlaneTiling.X, PlaneTiling.Y, PlaneTiling.YF)
    for tiling in kinds:
        stage.step(f"it shows the same in {tiling.name} tiles")
        tiled = shows(driver.display.create_framebuffer(width, height, tiling, f"{tiling.name} tiles"), card)
        stage.check("memory holds the rows one after the other", tiled.buffer.read(0, 4 * len(card[0])) == b"".join(card[:4]), False)
        stage.dawdle()
        screen.flip(tiled).wait()
        check_shown(stage, f"in {tiling.name} tiles", card)
        black = driver.display.create_framebuffer(width, height)
        screen.flip(black).wait()
        tiled.release()
    check_quiet(stage, driver)
