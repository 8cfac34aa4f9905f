"""The same on the physical display: a driver that has the whole GPU, or the host's own beside guests, shows a picture on the monitor
that is plugged into it."""

from __future__ import annotations

from typing import Final

from host_model.scanout import scan_out
from pvinfo.connector import Link

from ..catalogue import scenario
from ..needs import DeviceKind, Needs, PluggedIn
from ..stage import Stage
from .acts import check_quiet, check_shown, lit, test_card

_FLIPS: Final = 10


def _show(stage: Stage) -> None:
    stage.step("the driver sets a mode")
    driver, screen = lit(stage)
    stage.check("the mode", screen.mode.resolution, "1280x1024")

    stage.step(f"it draws, and flips {_FLIPS} times")
    card = test_card(stage, screen.mode.hdisplay, screen.mode.vdisplay)
    other = driver.display.create_framebuffer(screen.mode.hdisplay, screen.mode.vdisplay)
    first = screen.framebuffer
    assert first is not None, "a mode set shows one"
    first.draw(card)
    begin = screen.wait_for_vblank()
    frames = []
    for number in range(_FLIPS):
        flip = screen.flip((other, first)[number % 2])
        flip.wait()
        frames.append((flip.frame or 0) - begin)
    stage.check("frames at which they were done", frames, list(range(1, _FLIPS + 1)))
    check_shown(stage, "on the physical GPU's monitor", card)

    stage.step("it switches the monitor off")
    driver.display.switch_off(screen)
    stage.screen_view("what the monitor shows", scan_out, None)
    check_quiet(stage, driver)


@scenario(needs=Needs(devices=(DeviceKind.PHYSICAL, DeviceKind.HOST), plugged_in=PluggedIn(resolution="1280x1024"), in_process=True))
def picture_of_the_physical_gpu(stage: Stage) -> None:
    """A driver of the physical GPU sets a mode over DisplayPort, flips, and goes dark."""
    _show(stage)


@scenario(needs=Needs(devices=(DeviceKind.PHYSICAL, DeviceKind.HOST), plugged_in=PluggedIn(Link.HDMI, resolution="1280x1024"), in_process=True))
def hdmi_picture_of_the_physical_gpu(stage: Stage) -> None:
    """A driver of the physical GPU does the same over HDMI."""
    _show(stage)
