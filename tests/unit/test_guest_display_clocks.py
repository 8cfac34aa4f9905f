"""Dividers and ratios as the real driver finds them: each value here was worked out by its rules, or recorded from it."""

from __future__ import annotations

from fractions import Fraction

import pytest

from guest_driver.display.dividers import (
    BROXTON_LINK_DIVIDERS,
    broadwell_dividers,
    broxton_dividers,
    skylake_dividers,
)
from guest_driver.display.link import LinkChoice, choose_link, link_ratios
from pvinfo.display_mode import STANDARD_MODES, standard_mode
from pvinfo.errors import DriverError

HDMI_CLOCKS = sorted({mode.pixel_clock_khz for mode in STANDARD_MODES if mode.pixel_clock_khz <= 300_000})


# ---- gen9 ----


@pytest.mark.parametrize(
    ("clock_khz", "config1", "config2"),
    [
        (148_500, 0x8040_0173, 0x3A5),
        (154_000, 0x8000_0181, 0x3A4),
        (65_000, 0x802A_AB7B, 0x7A4),
        (25_175, 0x809A_AB8E, 0x13A4),
        (297_000, 0x8040_0173, 0x145),
        (162_000, 0x8080_0151, 0x107),
    ],
)
def test_a_loop_of_gen9_is_set_to_known_clocks(clock_khz: int, config1: int, config2: int) -> None:
    dividers = skylake_dividers(clock_khz)
    assert (int(dividers.config1), int(dividers.config2)) == (config1, config2)


def test_1080p_on_gen9_divides_8910_mhz_by_twelve() -> None:
    dividers = skylake_dividers(148_500)
    assert (dividers.center_mhz, dividers.p, dividers.q, dividers.k) == (9000, 2, 3, 2)
    assert (dividers.dco_integer, dividers.dco_fraction) == (371, 8192)
    assert dividers.clock_khz == 148_500


@pytest.mark.parametrize("clock_khz", HDMI_CLOCKS)
def test_on_gen9_every_standard_clock_comes_out_to_a_millionth_within_the_oscillators_range(clock_khz: int) -> None:
    dividers = skylake_dividers(clock_khz)
    assert abs(dividers.clock_khz - clock_khz) * 1_000_000 <= clock_khz
    assert dividers.p * dividers.q * dividers.k == dividers.divider
    off = Fraction(clock_khz * 5 * dividers.divider, 1000) / dividers.center_mhz - 1
    assert Fraction(-6, 100) < off < Fraction(1, 100)


def test_an_even_divider_is_preferred_to_an_odd_one_that_is_nearer_the_centre() -> None:
    dividers = skylake_dividers(270_000)
    assert dividers.divider == 6
    # By seven the oscillator would run at 9450 MHz, 1.6 % from its centre; by six it runs 3.6 % from another.
    assert dividers.center_mhz == 8400


def test_a_clock_between_all_dividers_of_gen9_is_refused_with_its_frequency() -> None:
    with pytest.raises(DriverError, match="no dividers make 1000000 kHz"):
        skylake_dividers(1_000_000)


# ---- gen8 ----


@pytest.mark.parametrize(
    ("clock_khz", "r2", "n2", "p"),
    [(148_500, 20, 33, 6), (65_000, 19, 32, 14), (154_000, 31, 53, 6), (25_175, 33, 40, 26), (297_000, 20, 22, 2), (540_000, 2, 2, 1)],
)
def test_a_loop_of_gen8_is_set_to_known_clocks(clock_khz: int, r2: int, n2: int, p: int) -> None:
    assert broadwell_dividers(clock_khz) == (r2, n2, p)


def test_the_register_of_a_gen8_loop_holds_its_dividers_the_reference_and_the_switch() -> None:
    assert int(broadwell_dividers(148_500).control) == 0x8000_0000 | 3 << 28 | 33 << 16 | 6 << 8 | 20


@pytest.mark.parametrize("clock_khz", HDMI_CLOCKS)
def test_on_gen8_every_standard_clock_comes_out_within_half_a_percent(clock_khz: int) -> None:
    dividers = broadwell_dividers(clock_khz)
    assert abs(dividers.clock_khz - clock_khz) * 200 <= clock_khz
    reference, oscillator = Fraction(5400, dividers.r2), Fraction(2700 * dividers.n2, dividers.r2)
    assert 48 <= reference <= 400 and 2400 <= oscillator <= 4800
    assert dividers.p % 2 == 0 and 2 <= dividers.p <= 64


@pytest.mark.parametrize("clock_khz", [74_250, 108_000, 148_500, 162_000, 297_000])
def test_clocks_that_must_be_exact_on_gen8_are(clock_khz: int) -> None:
    assert broadwell_dividers(clock_khz).clock_khz == clock_khz


# ---- Broxton ----


@pytest.mark.parametrize("clock_khz", HDMI_CLOCKS)
def test_on_broxton_every_standard_clock_comes_out_to_a_ten_thousandth(clock_khz: int) -> None:
    dividers = broxton_dividers(clock_khz)
    assert abs(dividers.clock_khz - clock_khz) * 10_000 <= clock_khz
    assert 4_800_000 <= dividers.oscillator_khz <= 6_700_000


def test_among_good_dividers_of_broxton_the_largest_product_is_taken() -> None:
    dividers = broxton_dividers(148_500)
    assert (dividers.p1, dividers.p2, dividers.oscillator_khz) == (3, 3, 6_682_500)


@pytest.mark.parametrize("rate_khz", BROXTON_LINK_DIVIDERS)
def test_broxtons_table_of_link_rates_makes_them_exactly(rate_khz: int) -> None:
    assert BROXTON_LINK_DIVIDERS[rate_khz].clock_khz == rate_khz


def test_a_clock_that_broxtons_loop_cannot_make_is_refused() -> None:
    with pytest.raises(DriverError, match="no dividers make 20000 kHz"):
        broxton_dividers(20_000)


# ---- DisplayPort ----


def test_the_ratios_of_1920x1200_are_those_that_the_kernels_mediator_expects() -> None:
    """Source: linux:drivers/gpu/drm/i915/gvt/display.c"""
    ratios = link_ratios(154_000, LinkChoice(324_000, 2))
    assert int(ratios.data_m_register) == 0x7E5B_425E
    assert (ratios.data_n, ratios.link_m, ratios.link_n) == (0x80_0000, 0x3_CD6E, 0x8_0000)


def test_a_transfer_unit_has_64_symbols_and_no_number_more_than_24_bits() -> None:
    ratios = link_ratios(533_250, LinkChoice(540_000, 4))
    assert ratios.data_m_register.transfer_unit == 63
    assert max(ratios) < 1 << 24
    assert Fraction(ratios.link_m, ratios.link_n) == pytest.approx(533_250 / 540_000, rel=1e-5)
    assert Fraction(ratios.data_m, ratios.data_n) == pytest.approx(533_250 * 3 / (540_000 * 4), rel=1e-5)


@pytest.mark.parametrize(
    ("resolution", "rate_khz", "lanes"),
    [("640x480", 162_000, 1), ("1024x768", 162_000, 2), ("1920x1080", 162_000, 4), ("1920x1200", 162_000, 4), ("2560x1600", 270_000, 4), ("3840x2160", 540_000, 4)],
)
def test_a_link_is_as_slow_and_then_as_narrow_as_the_mode_allows(resolution: str, rate_khz: int, lanes: int) -> None:
    assert choose_link(standard_mode(resolution), 540_000, 4) == (rate_khz, lanes)


def test_with_fewer_lanes_the_link_is_faster() -> None:
    assert choose_link(standard_mode("1024x768"), 540_000, 1) == (270_000, 1)


def test_a_mode_that_the_link_cannot_carry_is_refused_with_both_rates() -> None:
    with pytest.raises(DriverError, match=r"3840x2160@60 needs 1599750 kB/s, and a link of 2 lanes of 270000 kHz carries 540000"):
        choose_link(standard_mode("3840x2160"), 270_000, 2)
