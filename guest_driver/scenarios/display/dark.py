"""Going dark: by the driver's own doing, at its unload, and at a reset; and coming back."""

from __future__ import annotations

from ..catalogue import scenario
from ..stage import Stage
from .acts import check_dark, check_quiet, check_shown, lit, show_card


@scenario()
def switched_off(stage: Stage) -> None:
    """A monitor that is switched off shows nothing, and its pipe counts no frames and interrupts nobody; on again, it does."""
    stage.step("the driver shows a picture")
    driver, screen = lit(stage)
    _, card = show_card(stage, screen, "on")

    stage.step("it switches the monitor off")
    output, mode = screen.output, screen.mode
    driver.display.switch_off(screen)
    stage.guest.wait(int(mode.period_ns))  # what a server has sent may still be under way
    before, received = screen.frames, driver.interrupts.received
    stage.guest.wait(int(mode.period_ns * 5))
    stage.check("frames counted meanwhile", screen.frames - before, 0)
    stage.check("interrupts meanwhile", driver.interrupts.received - received, 0)
    check_dark(stage)

    stage.step("and on again")
    screen = driver.display.set_mode(output, mode)
    assert screen.framebuffer is not None, "a mode set shows one"
    screen.framebuffer.draw(card)
    check_shown(stage, "on again", card)
    check_quiet(stage, driver)


@scenario()
def unloaded_while_showing(stage: Stage) -> None:
    """A driver that is unloaded switches its monitor off first; the next one finds it as it was."""
    stage.step("a driver shows a picture")
    driver, screen = lit(stage)
    mode = screen.mode

    stage.step("it is unloaded")
    driver.unload()
    check_dark(stage)
    check_quiet(stage, driver)

    stage.step("another one shows a picture")
    driver, screen = lit(stage)
    stage.check("the mode", screen.mode, mode)
    show_card(stage, screen, "the second driver's picture")
    check_quiet(stage, driver)


@scenario()
def reset_while_showing(stage: Stage) -> None:
    """A function-level reset while a picture is shown leaves the monitor dark and plugged in, and nothing interrupts any more."""
    stage.step("a driver shows a picture, and waits for vertical blanks")
    driver, screen = lit(stage)
    screen.vblanks.get()
    screen.wait_for_vblank(2)

    stage.step("the device is reset")
    stage.guest.machine.gpu.reset()
    stage.guest.wait(int(screen.mode.period_ns))
    received = driver.interrupts.received
    stage.guest.wait(int(screen.mode.period_ns * 5))
    stage.check("interrupts after it", driver.interrupts.received - received, 0)
    check_dark(stage)
    stage.guest.machine.gpu.on_interrupt(None)

    stage.step("a new driver shows a picture")
    driver, screen = lit(stage)
    show_card(stage, screen, "after the reset")
    check_quiet(stage, driver)


@scenario()
def engines_reset_while_showing(stage: Stage) -> None:
    """A reset of the engines is none of the display: the picture stays, and flips go on without missing a frame."""
    stage.step("the driver shows a picture")
    driver, screen = lit(stage)
    shown, card = show_card(stage, screen, "before")

    stage.step("the GT is reset")
    stage.check("the reset succeeds", driver.gt.reset(), True)
    check_shown(stage, "after", card)
    begin = screen.wait_for_vblank()
    flips = []
    for _ in range(3):
        flip = screen.flip(shown)
        flip.wait()
        flips.append((flip.frame or 0) - begin)
    if stage.sees_host:
        stage.check("frames at which flips were done", flips, [1, 2, 3])
    check_quiet(stage, driver)
