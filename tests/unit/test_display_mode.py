"""Modes by name, and what follows from their numbers."""

from __future__ import annotations

from fractions import Fraction

import pytest

from pvinfo.display_mode import STANDARD_MODES, DisplayMode, standard_mode
from pvinfo.edid import rule_against
from pvinfo.errors import UsageError


@pytest.mark.parametrize(
    ("text", "clock", "totals", "refresh_mhz"),
    [
        ("640x480", 25_175, (800, 525), 59_940),
        ("1024x768", 65_000, (1344, 806), 60_004),
        ("1024x768@75", 78_750, (1312, 800), 75_029),
        ("1920x1080", 148_500, (2200, 1125), 60_000),
        ("1920x1080@24", 74_250, (2750, 1125), 24_000),
        ("1920x1200", 154_000, (2080, 1235), 59_950),
        ("2560x1600@60", 268_500, (2720, 1646), 59_972),
    ],
)
def test_a_standard_mode_has_the_timings_of_the_standard(text: str, clock: int, totals: tuple[int, int], refresh_mhz: int) -> None:
    mode = standard_mode(text)
    assert (mode.pixel_clock_khz, (mode.htotal, mode.vtotal), mode.refresh_mhz) == (clock, totals, refresh_mhz)


def test_a_frame_lasts_exactly_as_long_as_its_pixels() -> None:
    mode = standard_mode("1024x768")
    assert mode.period_ns == Fraction(1344 * 806 * 1_000_000, 65_000)
    assert mode.line_ns * mode.vtotal == mode.period_ns
    assert standard_mode("1920x1080").period_ns == Fraction(50_000_000, 3)


@pytest.mark.parametrize("text", ["1024x769", "1024x768@61", "1024", "1024*768", "x768", "1024x768@", "01024x768", ""])
def test_a_text_that_names_no_standard_mode_is_refused_with_the_list(text: str) -> None:
    with pytest.raises(UsageError, match=r"names no standard mode; there are 640x480@60, .*1920x1200@60"):
        standard_mode(text)


@pytest.mark.parametrize("mode", STANDARD_MODES, ids=str)
def test_every_standard_mode_has_a_name_of_its_own_and_can_be_shown(mode: DisplayMode) -> None:
    assert standard_mode(str(mode)) == mode
    assert rule_against(mode) == ""
