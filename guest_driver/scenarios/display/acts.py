"""What many of these stories do or look at."""

from __future__ import annotations

from typing import Final

from host_model.scanout import Frame, scan_out
from host_model.scanout.planes import ScannedDevice
from pvinfo.display_mode import DisplayMode

from ...display import Framebuffer, Screen
from ...driver import GuestDriver
from ..guest import Guest
from ..stage import Stage
from ..vgpu.acts import probed

__all__ = ("PIXEL", "check_dark", "check_quiet", "check_shown", "differing", "lit", "ready", "show_card", "shows", "test_card", "visible_rows")

PIXEL: Final = 4
_BARS: Final = 16


def ready(stage: Stage, guest: Guest | None = None) -> GuestDriver:
    """A driver of ``guest``, by default of the first, that has come to rest."""
    return probed(stage, guest)


def lit(stage: Stage, guest: Guest | None = None, mode: DisplayMode | None = None) -> tuple[GuestDriver, Screen]:
    """A driver whose monitor shows a black picture, in the mode that the monitor prefers unless another is named."""
    guest = guest if guest is not None else stage.guest
    driver = ready(stage, guest)
    stage.check(f"monitors of {guest.name}", len(driver.display.detect()), 1)
    screen = driver.display.set_mode(mode=mode)
    stage.check(f"the screen of {guest.name} is on", screen.on, True)
    return driver, screen


def test_card(stage: Stage, width: int, height: int) -> list[bytes]:
    """A picture in which no two neighbouring lines are alike, nor two pieces of a line: bars of chance colours that lean, and a
    frame around them. What is shown in the wrong place shows."""
    colors = [stage.random.randrange(0x20_0000, 0x100_0000).to_bytes(PIXEL, "little") for _ in range(_BARS)]
    bars = b"".join(color * (2 + number) for number, color in enumerate(colors))
    line = bars * (2 * width * PIXEL // len(bars) + 2)
    white = b"\xff\xff\xff\0"
    rows = [line[start : start + width * PIXEL] for start in (y * PIXEL % len(bars) for y in range(height))]
    rows = [white + row[PIXEL:-PIXEL] + white for row in rows]
    rows[0] = rows[-1] = white * width
    return rows


def visible_rows(frame: Frame) -> list[bytes]:
    """A frame as rows, without the byte that means nothing."""
    pixels = bytearray(frame.pixels)
    pixels[3::PIXEL] = bytes(len(pixels) // PIXEL)
    return [bytes(pixels[at : at + frame.width * PIXEL]) for at in range(0, frame.height * frame.pitch, frame.pitch)]


def differing(frame: Frame | None, rows: list[bytes]) -> str:
    """How ``frame`` differs from ``rows``, in words; empty when it does not."""
    if frame is None:
        return "nothing is shown"
    shown = visible_rows(frame)
    if len(shown) != len(rows) or len(shown[0]) != len(rows[0]):
        return f"{frame.width} x {frame.height} pixels are shown"
    wrong = [y for y, pair in enumerate(zip(shown, rows, strict=True)) if pair[0] != pair[1]]
    if not wrong:
        return ""
    y = wrong[0]
    x = next(at for at in range(0, len(rows[y]), PIXEL) if shown[y][at : at + PIXEL] != rows[y][at : at + PIXEL])
    return f"{len(wrong)} rows are different, the first in pixel {x // PIXEL} of row {y}: {shown[y][x : x + PIXEL].hex()}, not {rows[y][x : x + PIXEL].hex()}"


def check_shown(stage: Stage, caption: str, rows: list[bytes], *, guest: int = 0) -> None:
    """The monitor must show exactly ``rows``, and the report shows it."""
    stage.picture(caption, guest=guest)

    def look(device: ScannedDevice) -> str:
        return differing(scan_out(device), rows)

    stage.screen_view(f"{caption}: pixels that are different", look, "", guest=guest)


def show_card(stage: Stage, screen: Screen, caption: str) -> tuple[Framebuffer, list[bytes]]:
    """Draw a test card into what ``screen`` shows, which must then be on the monitor. The frame buffer and the card."""
    card = test_card(stage, screen.mode.hdisplay, screen.mode.vdisplay)
    framebuffer = screen.framebuffer
    assert framebuffer is not None, "a mode set shows one"
    framebuffer.draw(card)
    check_shown(stage, caption, card)
    return framebuffer, card


def check_dark(stage: Stage, *, guest: int = 0) -> None:
    """No pipe of the guest may run, nor keep the host busy."""
    stage.host_view("pipes that run", lambda vgpu: list(vgpu.display.pipes.running), [], guest=guest)
    stage.host_view("what the monitor shows", lambda vgpu: scan_out(vgpu), None, guest=guest)


def check_quiet(stage: Stage, driver: GuestDriver) -> None:
    """The driver had nothing to complain of."""
    stage.check("what the driver complains of", [line.text for line in driver.log.complaints()], [])


def shows(framebuffer: Framebuffer, rows: list[bytes]) -> Framebuffer:
    """``framebuffer`` with ``rows`` drawn into it."""
    framebuffer.draw(rows)
    return framebuffer


