"""Guests beside each other: each monitor shows its own guest's picture, and nothing of another's, whatever a guest aims at."""

from __future__ import annotations

from host_model.mediator.vgpu import Vgpu
from host_model.scanout import scan_out
from pvinfo.units import PAGE_SIZE

from ..catalogue import scenario
from ..needs import Needs
from ..stage import Stage
from .acts import check_quiet, check_shown, lit, test_card, visible_rows


def _rows(vgpu: Vgpu) -> list[bytes]:
    """What its monitor shows, row by row."""
    frame = scan_out(vgpu)
    return visible_rows(frame) if frame is not None else []


@scenario(needs=Needs(vgpus=2), varies="how often and when the first flips")
def two_guests_two_pictures(stage: Stage) -> None:
    """Two guests show different pictures at the same time; flips of the one are none of the other."""
    stage.step("both set a mode")
    drivers, screens, cards = [], [], []
    for guest in stage.guests:
        driver, screen = lit(stage, guest)
        drivers.append(driver)
        screens.append(screen)
        cards.append(test_card(stage, screen.mode.hdisplay, screen.mode.vdisplay))

    stage.step("each draws a picture of its own")
    for screen, card in zip(screens, cards, strict=True):
        assert screen.framebuffer is not None, "a mode set shows one"
        screen.framebuffer.draw(card)
    for number, card in enumerate(cards):
        check_shown(stage, f"{stage.guests[number].name}'s picture", card, guest=number)

    flips = stage.random.randrange(2, 9)
    stage.step(f"the first flips {flips} times")
    counted = [screen.vblanks.heard for screen in screens]
    black = drivers[0].display.create_framebuffer(screens[0].mode.hdisplay, screens[0].mode.vdisplay)
    for _ in range(flips):
        stage.dawdle()
        screens[0].flip(black).wait()
    stage.check("vertical blanks that each has heard of", [screen.vblanks.heard - before for screen, before in zip(screens, counted, strict=True)], [flips, 0])
    check_shown(stage, "the first guest's picture now", [bytes(4 * screens[0].mode.hdisplay)] * screens[0].mode.vdisplay, guest=0)
    check_shown(stage, "the second guest's, as before", cards[1], guest=1)
    for driver in drivers:
        check_quiet(stage, driver)


@scenario(needs=Needs(vgpus=2, in_process=True))
def plane_outside_the_slice(stage: Stage) -> None:
    """A guest that aims its plane at its neighbour's frame buffer, or across the edge of its slice, shows black and is found out."""
    stage.step("both guests show a picture")
    (spy, screen), (_, neighbour) = [lit(stage, guest) for guest in stage.guests]
    width, height = screen.mode.hdisplay, screen.mode.vdisplay
    secret = test_card(stage, width, height)
    assert neighbour.framebuffer is not None and screen.framebuffer is not None, "a mode set shows one"
    neighbour.framebuffer.draw(secret)
    own = test_card(stage, width, height)
    screen.framebuffer.draw(own)
    check_shown(stage, "the neighbour's picture", secret, guest=1)
    slice_end = spy.resources.mappable.base + spy.resources.mappable.size

    black = [bytes(4 * width)] * height
    for address, what in (
        (neighbour.framebuffer.address, "its neighbour's picture"),
        (slice_end - 16 * PAGE_SIZE, "the end of its slice and beyond"),
        (0, "the host's own part"),
    ):
        stage.step(f"the first guest aims at {what}")
        screen.aim_plane(address)
        screen.wait_for_vblank()
        check_shown(stage, f"aimed at {what}", black)
    stage.expect_finding("plane-outside-slice")
    stage.host_view("rows of its neighbour's picture that it shows", lambda vgpu: len(set(_rows(vgpu)) & set(secret)), 0)
    check_shown(stage, "the neighbour's picture, untouched", secret, guest=1)

    stage.step("it shows its own picture again")
    screen.flip(screen.framebuffer).wait()
    check_shown(stage, "its own picture", own)
    check_quiet(stage, spy)
