"""A DisplayPort link: how many lanes at what rate a mode needs, and the ratios by which the port makes pixels of symbols.

Source: linux:drivers/gpu/drm/i915/display/intel_dp.c, linux:drivers/gpu/drm/i915/display/intel_display.c
"""

from __future__ import annotations

from typing import Final, NamedTuple

from pvinfo.display_mode import DisplayMode
from pvinfo.errors import DriverError
from pvinfo.registers import LinkRatio

__all__ = ("BITS_PER_PIXEL", "LINK_RATES", "LinkChoice", "LinkRatios", "choose_link", "link_ratios")

BITS_PER_PIXEL: Final = 24
"""On the cable: three components of eight bits."""
LINK_RATES: Final = (162_000, 270_000, 540_000)
"""Rates of a lane that both the source and every monitor with that much know, in thousands of symbols per second."""
_LANES: Final = (1, 2, 4)
_TRANSFER_UNIT: Final = 64
_DATA_N: Final = 0x800_0000
_LINK_N: Final = 0x8_0000
"""The N that firmware always takes; monitors are fussy about large ones."""
_LARGEST: Final = 0xFF_FFFF


class LinkChoice(NamedTuple):
    """What a link is trained for."""

    rate_khz: int
    """Symbols per second of a lane, in thousands."""
    lanes: int


class LinkRatios(NamedTuple):
    """Two fractions: of the data in a transfer unit, and of the pixel clock in the link's."""

    data_m: int
    data_n: int
    link_m: int
    link_n: int

    @property
    def data_m_register(self) -> LinkRatio:
        """The first number with the length of a transfer unit, as the register has it."""
        return LinkRatio.of(value=self.data_m, transfer_unit=_TRANSFER_UNIT - 1)


def _data_rate(pixel_clock_khz: int) -> int:
    """Thousands of bytes per second."""
    return -(-pixel_clock_khz * BITS_PER_PIXEL // 8)


def choose_link(mode: DisplayMode, highest_rate_khz: int, most_lanes: int) -> LinkChoice:
    """The slowest rate, and with it the fewest lanes, that carry ``mode`` (``intel_dp_compute_link_config_wide``).

    Raises: DriverError when not even the fastest does.
    """
    needed = _data_rate(mode.pixel_clock_khz)
    for rate in LINK_RATES:
        for lanes in _LANES:
            if rate <= highest_rate_khz and lanes <= most_lanes and needed <= rate * lanes:
                return LinkChoice(rate, lanes)
    raise DriverError(
        f"{mode} needs {needed} kB/s, and a link of {most_lanes} lanes of {highest_rate_khz} kHz carries {highest_rate_khz * most_lanes}"
    )


def _ratio(numerator: int, denominator: int, n: int) -> tuple[int, int]:
    m = numerator * n // denominator
    while m > _LARGEST or n > _LARGEST:
        m >>= 1
        n >>= 1
    return m, n


def link_ratios(pixel_clock_khz: int, link: LinkChoice) -> LinkRatios:
    """The ratios of a picture with that pixel clock on ``link`` (``intel_link_compute_m_n``)."""
    data = _ratio(_data_rate(pixel_clock_khz), link.rate_khz * link.lanes, _DATA_N)
    return LinkRatios(*data, *_ratio(pixel_clock_khz, link.rate_khz, _LINK_N))
