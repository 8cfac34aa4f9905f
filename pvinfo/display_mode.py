"""Display modes: the timings of a picture, and those that VESA and CTA have given a standard form.

A mode is counted in pixels along a line and in lines down a frame: what is shown, then a pause in which the
synchronisation pulse lies, up to the total. How long a frame lasts follows from the totals and the pixel clock.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import cache
from typing import Final, NamedTuple

from .errors import UsageError

__all__ = ("STANDARD_MODES", "DisplayMode", "standard_mode")


class DisplayMode(NamedTuple):
    """The timings of a picture, progressive."""

    pixel_clock_khz: int
    hdisplay: int
    hsync_start: int
    hsync_end: int
    htotal: int
    vdisplay: int
    vsync_start: int
    vsync_end: int
    vtotal: int
    hsync_positive: bool
    vsync_positive: bool

    @property
    def period_ns(self) -> Fraction:
        """How long one frame lasts, exactly."""
        return Fraction(self.htotal * self.vtotal * 1_000_000, self.pixel_clock_khz)

    @property
    def line_ns(self) -> Fraction:
        """How long one line lasts, exactly."""
        return Fraction(self.htotal * 1_000_000, self.pixel_clock_khz)

    @property
    def refresh_mhz(self) -> int:
        """Frames per second, in thousandths (60 Hz is 60000), rounded."""
        return round(1_000_000_000_000 / self.period_ns)

    @property
    def resolution(self) -> str:
        """Width and height as people write them: ``1024x768``."""
        return f"{self.hdisplay}x{self.vdisplay}"

    def __str__(self) -> str:
        return f"{self.resolution}@{round(self.refresh_mhz / 1000)}"


def _mode(clock: int, horizontal: str, vertical: str, pulses: str) -> DisplayMode:
    """A row of the table: clock in kHz; shown, pulse start, pulse end, total; polarity of both pulses."""
    h, v = [int(number) for number in horizontal.split()], [int(number) for number in vertical.split()]
    return DisplayMode(clock, h[0], h[1], h[2], h[3], v[0], v[1], v[2], v[3], pulses[0] == "+", pulses[1] == "+")


STANDARD_MODES: Final = (
    _mode(25175, "640 656 752 800", "480 490 492 525", "--"),
    _mode(31500, "640 656 720 840", "480 481 484 500", "--"),
    _mode(40000, "800 840 968 1056", "600 601 605 628", "++"),
    _mode(49500, "800 816 896 1056", "600 601 604 625", "++"),
    _mode(65000, "1024 1048 1184 1344", "768 771 777 806", "--"),
    _mode(75000, "1024 1048 1184 1328", "768 771 777 806", "--"),
    _mode(78750, "1024 1040 1136 1312", "768 769 772 800", "++"),
    _mode(108000, "1152 1216 1344 1600", "864 865 868 900", "++"),
    _mode(74250, "1280 1390 1430 1650", "720 725 730 750", "++"),
    _mode(71000, "1280 1328 1360 1440", "800 803 809 823", "+-"),
    _mode(108000, "1280 1376 1488 1800", "960 961 964 1000", "++"),
    _mode(108000, "1280 1328 1440 1688", "1024 1025 1028 1066", "++"),
    _mode(135000, "1280 1296 1440 1688", "1024 1025 1028 1066", "++"),
    _mode(85500, "1360 1424 1536 1792", "768 771 777 795", "++"),
    _mode(85500, "1366 1436 1579 1792", "768 771 774 798", "++"),
    _mode(101000, "1400 1448 1480 1560", "1050 1053 1057 1080", "+-"),
    _mode(88750, "1440 1488 1520 1600", "900 903 909 926", "+-"),
    _mode(108000, "1600 1624 1704 1800", "900 901 904 1000", "++"),
    _mode(162000, "1600 1664 1856 2160", "1200 1201 1204 1250", "++"),
    _mode(119000, "1680 1728 1760 1840", "1050 1053 1059 1080", "+-"),
    _mode(148500, "1920 2008 2052 2200", "1080 1084 1089 1125", "++"),
    _mode(148500, "1920 2448 2492 2640", "1080 1084 1089 1125", "++"),
    _mode(74250, "1920 2008 2052 2200", "1080 1084 1089 1125", "++"),
    _mode(74250, "1920 2558 2602 2750", "1080 1084 1089 1125", "++"),
    _mode(154000, "1920 1968 2000 2080", "1200 1203 1209 1235", "+-"),
    _mode(162000, "2048 2074 2154 2250", "1152 1153 1156 1200", "++"),
    _mode(241500, "2560 2608 2640 2720", "1440 1443 1448 1481", "+-"),
    _mode(268500, "2560 2608 2640 2720", "1600 1603 1609 1646", "+-"),
    _mode(533250, "3840 3888 3920 4000", "2160 2163 2168 2222", "+-"),
    _mode(297000, "3840 4016 4104 4400", "2160 2168 2178 2250", "++"),
)
"""Modes with a standard form, the usual rate of a resolution first.

Source: VESA Display Monitor Timings 1.13 (up to 2560x1600; reduced blanking where a resolution has it), CTA-861 (the
timings of 1280x720, 1920x1080 and 3840x2160 at 30 Hz), VESA Coordinated Video Timings with reduced blanking (2560x1440, 3840x2160)."""

_TEXT: Final = re.compile(r"([1-9][0-9]{2,4})x([1-9][0-9]{2,4})(?:@([1-9][0-9]{0,2}))?")


@cache
def standard_mode(text: str) -> DisplayMode:
    """The standard mode that ``text`` names, as ``1024x768`` or, with a rate, ``1920x1080@50``.

    Raises: UsageError when it names none; the message lists those there are.
    """
    match = _TEXT.fullmatch(text)
    if match:
        width, height, rate = (int(group) if group else None for group in match.groups())
        for mode in STANDARD_MODES:
            if (mode.hdisplay, mode.vdisplay) == (width, height) and (rate is None or rate == round(mode.refresh_mhz / 1000)):
                return mode
    raise UsageError(f"{text!r} names no standard mode; there are {_names()}")


@cache
def _names() -> str:
    """Asked for again and again where texts are tried out."""
    return ", ".join(map(str, STANDARD_MODES))
