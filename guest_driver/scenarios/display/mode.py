"""Mode sets: from a dark monitor to a picture, on every type of vGPU, over either kind of cable."""

from __future__ import annotations

from fractions import Fraction

from pvinfo.connector import Link
from pvinfo.registers import DdiPortRegisters, PlaneTiling, TranscoderSwitch

from ...display import Screen
from ..catalogue import scenario
from ..needs import Needs, PluggedIn
from ..stage import Stage
from .acts import check_dark, check_quiet, check_shown, lit, ready, show_card, test_card


def _show_card(stage: Stage, screen: Screen, caption: str) -> list[bytes]:
    """Draw a picture, and have it seen."""
    _, card = show_card(stage, screen, caption)
    return card


def _refresh(stage: Stage, screen: Screen) -> None:
    """The pipe sends frames as long as the mode says, to a thousandth."""
    expected = screen.mode.period_ns

    def off_by(period: Fraction | None) -> bool:
        return period is not None and abs(period - expected) * 1000 < expected

    stage.host_view(
        "the pipe's frames last as long as the mode's", lambda vgpu: off_by(mode.period_ns if (mode := vgpu.display.pipes.mode(screen.pipe)) else None), True
    )


@scenario()
def mode_set(stage: Stage) -> None:
    """The driver finds a monitor, reads what it says of itself, and shows a picture on it; then it goes dark in the reverse order."""
    stage.step("the driver comes to rest; nothing is shown")
    driver = ready(stage)
    check_dark(stage)

    stage.step("it looks for monitors")
    found = driver.display.detect()
    stage.check("outputs with a monitor", [output.connector.link for output in found], [Link.DISPLAYPORT])
    (output,) = found
    stage.check("the monitor says what it is", bool(output.edid and output.edid.name), True)
    stage.host_view("its description, bytes", lambda vgpu: vgpu.display.monitor.edid if vgpu.display.monitor is not None else b"", output.edid_bytes)

    stage.step("it sets the mode that the monitor prefers")
    screen = driver.display.set_mode(output)
    stage.check("the mode", screen.mode, output.preferred)
    stage.check("the link was trained", screen.link is not None, True)
    _refresh(stage, screen)
    check_shown(stage, "after the mode set", [bytes(4 * screen.mode.hdisplay)] * screen.mode.vdisplay)

    stage.step("it draws a picture")
    _show_card(stage, screen, "a picture")

    stage.step("it switches the monitor off")
    registers = stage.guest.mmio
    driver.display.switch_off(screen)
    stage.check("the transcoder runs", TranscoderSwitch(registers, "TRANSCODER_A").conf.state, False)
    stage.check("the port is quiet", DdiPortRegisters(registers, f"PORT_{output.connector.port.value}").buf_ctl.idle, True)
    check_dark(stage)
    check_quiet(stage, driver)


def _of_type(stage: Stage) -> None:
    stage.step("the driver sets a mode")
    driver, screen = lit(stage)
    stage.host_view("resolution of the type", lambda vgpu: vgpu.type.resolution, screen.mode.resolution)
    _refresh(stage, screen)

    stage.step("it draws a picture")
    _show_card(stage, screen, f"{screen.mode}")
    stage.check("frames that went by meanwhile", screen.wait_for_vblank(3) > 0, True)
    check_quiet(stage, driver)


@scenario(needs=Needs(type_suffix="8", in_process=True))
def mode_set_type_8(stage: Stage) -> None:
    """An eighth of the GPU shows a picture of its resolution."""
    _of_type(stage)


@scenario(needs=Needs(type_suffix="4", in_process=True))
def mode_set_type_4(stage: Stage) -> None:
    """A quarter of the GPU shows a picture of its resolution."""
    _of_type(stage)


@scenario(needs=Needs(type_suffix="2", in_process=True))
def mode_set_type_2(stage: Stage) -> None:
    """Half of the GPU shows a picture of its resolution."""
    _of_type(stage)


@scenario(needs=Needs(type_suffix="1", in_process=True))
def mode_set_type_1(stage: Stage) -> None:
    """The largest share of the GPU shows a picture of its resolution."""
    _of_type(stage)


@scenario(needs=Needs(plugged_in=PluggedIn(link=Link.HDMI), in_process=True))
def hdmi_mode_set(stage: Stage) -> None:
    """A monitor on an HDMI cable is asked over the I2C controller, and its pixel clock is made by a loop of the port's own."""
    stage.step("the driver sets a mode")
    driver, screen = lit(stage)
    stage.check("the cable", screen.output.connector.link, Link.HDMI)
    stage.check("a link was trained", screen.link is not None, False)
    _refresh(stage, screen)

    stage.step("it draws a picture")
    _show_card(stage, screen, "over HDMI")

    stage.step("it switches the monitor off")
    driver.display.switch_off(screen)
    check_dark(stage)
    check_quiet(stage, driver)


@scenario()
def mode_switch(stage: Stage) -> None:
    """The driver sets one mode after the other, and each has its own rate and size."""
    stage.step("the driver sets the mode that the monitor prefers")
    driver, screen = lit(stage)
    modes = [mode for mode in screen.output.modes if mode != screen.mode][:2]
    if not modes:
        stage.skip("the monitor has one mode only")
    for mode in (*modes, screen.mode):
        stage.step(f"it sets {mode}")
        screen = driver.display.set_mode(screen.output, mode)
        _refresh(stage, screen)
        _show_card(stage, screen, f"{mode}")
    check_quiet(stage, driver)


@scenario()
def larger_than_the_screen(stage: Stage) -> None:
    """Of a frame buffer that is larger than the mode the monitor shows the upper left part."""
    stage.step("the driver sets a mode")
    driver, screen = lit(stage)
    width, height = screen.mode.hdisplay, screen.mode.vdisplay

    stage.step("it shows a larger picture")
    card = test_card(stage, width + 64, height + 8)
    large = driver.display.create_framebuffer(width + 64, height + 8, PlaneTiling.LINEAR, "large picture")
    large.draw(card)
    screen.flip(large).wait()
    check_shown(stage, "its upper left part", [row[: 4 * width] for row in card[:height]])
    check_quiet(stage, driver)
