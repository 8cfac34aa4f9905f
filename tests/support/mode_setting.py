"""A display set up by bare register writes, with the numbers that Linux's driver writes."""

from __future__ import annotations

from typing import Final, Protocol

from host_model.device.mmio.window import MmioWindow
from pvinfo.display_mode import DisplayMode, standard_mode
from pvinfo.platform import Platform

__all__ = ("FULL_HD", "XGA", "DisplayDevice", "light_up", "set_clock", "set_timings", "switch")

FULL_HD: Final = standard_mode("1920x1080@60")
"""60 Hz exactly."""
XGA: Final = standard_mode("1024x768@60")
"""60.004 Hz."""

_HDMI_SKYLAKE: Final = {148500: (0x80400173, 0x3A5), 65000: (0x802AAB7B, 0x7A4)}
"""CFGCR1 and CFGCR2 for a pixel clock in kHz."""
_HDMI_BROADWELL: Final = {148500: 0xB0210614, 65000: 0xB0200E13}
"""WRPLL_CTL."""
_PORT: Final = 1
"""B, which every platform has."""


class DisplayDevice(Protocol):
    """A GPU, physical or mediated."""

    @property
    def platform(self) -> Platform: ...
    @property
    def mmio(self) -> MmioWindow: ...


def set_timings(device: DisplayDevice, mode: DisplayMode, base: int = 0x60000) -> None:
    """Program a transcoder's timings; ``base`` is its first register."""
    write = device.mmio.write32
    write(base + 0x00, mode.htotal - 1 << 16 | mode.hdisplay - 1)
    write(base + 0x04, mode.htotal - 1 << 16 | mode.hdisplay - 1)
    write(base + 0x08, mode.hsync_end - 1 << 16 | mode.hsync_start - 1)
    write(base + 0x0C, mode.vtotal - 1 << 16 | mode.vdisplay - 1)
    write(base + 0x10, mode.vtotal - 1 << 16 | mode.vdisplay - 1)
    write(base + 0x14, mode.vsync_end - 1 << 16 | mode.vsync_start - 1)
    if base != 0x6F000:
        write(base + 0x1C, mode.hdisplay - 1 << 16 | mode.vdisplay - 1)


def set_clock(device: DisplayDevice, mode: DisplayMode, base: int = 0x60000) -> None:
    """Give port B the mode's TMDS clock, and couple a transcoder to it: HDMI."""
    write = device.mmio.write32
    if device.platform.graphics_version == 8:
        write(0x46040, _HDMI_BROADWELL[mode.pixel_clock_khz])
        write(0x46100 + 4 * _PORT, 4 << 29)
    else:
        cfgcr1, cfgcr2 = _HDMI_SKYLAKE[mode.pixel_clock_khz]
        write(0x6C058, 0x845)
        write(0x6C040, cfgcr1)
        write(0x6C044, cfgcr2)
        write(0x46014, 1 << 31)
        write(0x6C05C, 0x60018)
    write(base + 0x400, 1 << 31 | _PORT << 28)


def switch(device: DisplayDevice, on: bool, pipe: int = 0) -> None:
    """Switch the transcoder of pipe A, B or C on or off."""
    device.mmio.write32(0x70008 + 0x1000 * pipe, int(on) << 31)


def light_up(device: DisplayDevice, mode: DisplayMode = FULL_HD, pipe: int = 0) -> None:
    """Let pipe A, B or C (0, 1, 2) send ``mode`` over HDMI."""
    base = 0x60000 + 0x1000 * pipe
    set_timings(device, mode, base)
    set_clock(device, mode, base)
    switch(device, True, pipe)
