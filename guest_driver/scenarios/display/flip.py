"""Page flips: each takes effect at a vertical blank, none sooner, none later."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from host_model.mediator.vgpu import Vgpu
from pvinfo.registers import Pipe

from ...display import Framebuffer, Screen
from ...driver import GuestDriver
from ..catalogue import scenario
from ..needs import Needs
from ..stage import Stage
from .acts import check_quiet, check_shown, lit, test_card

_FLIPS: Final = 60


def _second(driver: GuestDriver, screen: Screen) -> tuple[Framebuffer, Framebuffer]:
    """The screen's frame buffer and another of its size."""
    first = screen.framebuffer
    assert first is not None, "a mode set shows one"
    return first, driver.display.create_framebuffer(first.width, first.height, name="second picture")


def _off_by(vgpu: Vgpu, pipe: str, took_ns: int) -> Fraction:
    """How far a time is from that of the flips, by what the pipe was programmed to."""
    mode = vgpu.display.pipes.mode(pipe)
    return abs(took_ns - mode.period_ns * _FLIPS) if mode is not None else Fraction(took_ns)


@scenario()
def flips_at_the_refresh_rate(stage: Stage) -> None:
    """Sixty flips, each waited for, take sixty frames, neither one more nor one less."""
    stage.step("the driver sets a mode, with two pictures at hand")
    driver, screen = lit(stage)
    pictures = _second(driver, screen)
    cards = [test_card(stage, screen.mode.hdisplay, screen.mode.vdisplay) for _ in pictures]
    for picture, card in zip(pictures, cards, strict=True):
        picture.draw(card)

    stage.step("it waits for a vertical blank")
    begin = screen.wait_for_vblank()
    begin_ns = screen.vblanks.time_ns

    stage.step(f"it flips {_FLIPS} times")
    flips = []
    for number in range(_FLIPS):
        flip = screen.flip(pictures[(number + 1) % 2])
        flip.wait()
        flips.append(flip)
    if stage.sees_host:
        stage.check("frames counted at each", [flip.frame for flip in flips], list(range(begin + 1, begin + 1 + _FLIPS)))
        took = (flips[-1].done_ns or 0) - begin_ns
        stage.check(f"the last is {_FLIPS} of the mode's frames later, to 10 us", abs(took - screen.mode.period_ns * _FLIPS) < 10_000, True)
        stage.host_view(f"and {_FLIPS} of the pipe's frames, to 2 ns", lambda vgpu: _off_by(vgpu, screen.pipe, took) <= 2, True)
        stage.check("flips that the pipe has counted", Pipe(stage.guest.mmio, screen.pipe).flipcount, _FLIPS + 1)
    else:
        stage.check("at least a frame for each", (flips[-1].frame or 0) - begin >= _FLIPS, True)
    check_shown(stage, "after the last", cards[0] if _FLIPS % 2 == 0 else cards[1])
    check_quiet(stage, driver)


@scenario(needs=Needs(in_process=True), varies="when within a frame it flips, and when one looks")
def flip_waits_for_vblank(stage: Stage) -> None:
    """Until the vertical blank a flip shows nothing of the new picture, and from then on nothing of the old."""
    stage.step("the driver sets a mode, with two pictures at hand")
    driver, screen = lit(stage)
    pictures = _second(driver, screen)
    cards = [test_card(stage, screen.mode.hdisplay, screen.mode.vdisplay) for _ in pictures]
    for picture, card in zip(pictures, cards, strict=True):
        picture.draw(card)
    screen.wait_for_vblank()

    first, second = stage.random.uniform(0.1, 0.45), stage.random.uniform(0.1, 0.45)
    stage.step("it flips, less than half a frame after a vertical blank")
    stage.guest.wait(int(screen.mode.period_ns * first))
    flip = screen.flip(pictures[1])
    stage.check("the plane shows", screen.plane.live_address, pictures[0].address)
    check_shown(stage, "still the old picture", cards[0])

    stage.step("a little later")
    stage.guest.wait(int(screen.mode.period_ns * second))
    stage.check("the flip is done", flip.done, False)
    check_shown(stage, "still the old one", cards[0])

    stage.step("after the vertical blank")
    stage.guest.wait(int(screen.mode.period_ns * (1.25 - first - second)))
    stage.check("the flip is done", flip.done, True)
    stage.check("the plane shows", screen.plane.live_address, pictures[1].address)
    check_shown(stage, "the new picture", cards[1])
    check_quiet(stage, driver)


@scenario()
def flip_at_once(stage: Stage) -> None:
    """An asynchronous flip does not wait for the vertical blank, and tells by an interrupt of its own that it is done."""
    stage.step("the driver sets a mode, with two pictures at hand")
    driver, screen = lit(stage)
    pictures = _second(driver, screen)
    card = test_card(stage, screen.mode.hdisplay, screen.mode.vdisplay)
    pictures[1].draw(card)
    screen.wait_for_vblank()

    stage.step("it flips at once")
    before = screen.frames
    flip = screen.flip(pictures[1], asynchronous=True)
    flip.wait()
    stage.check("finished flips that interrupted", screen.vblanks.flips_heard, 1)
    if stage.sees_host:
        stage.check("frames that went by", (flip.frame or 0) - before, 0)
    stage.check("the plane shows", screen.plane.live_address, pictures[1].address)
    check_shown(stage, "the new picture", card)

    stage.step("it flips back, at the vertical blank")
    screen.flip(pictures[0]).wait()
    stage.check("the plane shows", screen.plane.live_address, pictures[0].address)
    check_quiet(stage, driver)


@scenario()
def vblank_count(stage: Stage) -> None:
    """The pipe counts every frame, whether somebody listens or not, and interrupts only while somebody does."""
    stage.step("the driver sets a mode")
    driver, screen = lit(stage)
    screen.wait_for_vblank()
    stage.guest.wait(int(screen.mode.period_ns / 2))
    start, heard, received = screen.frames, screen.vblanks.heard, driver.interrupts.received

    stage.step("ten frames go by unheard")
    stage.guest.wait(int(screen.mode.period_ns * 10))
    if stage.sees_host:
        stage.check("frames counted", screen.frames - start, 10)
    stage.check("vertical blanks heard of", screen.vblanks.heard - heard, 0)
    stage.check("interrupts", driver.interrupts.received - received, 0)

    stage.step("ten more are waited for")
    before = screen.frames
    after = screen.wait_for_vblank(10)
    stage.check("vertical blanks heard of", screen.vblanks.heard - heard, 10)
    if stage.sees_host:
        stage.check("frames counted", after - before, 10)
        stage.check("interrupts", driver.interrupts.received - received, 10)
    check_quiet(stage, driver)
