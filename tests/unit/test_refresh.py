"""The refresh rate, exactly, from what drivers program; and from what nobody would."""

from __future__ import annotations

import random
from collections.abc import Mapping
from fractions import Fraction

import pytest
from support.mode_setting import FULL_HD, XGA, light_up, set_timings
from support.vgpus import make_vgpu

from host_model.device.display.refresh import DEFAULT_PERIOD_NS, pixel_clock_hz, port_clock_hz, timing_of
from host_model.device.mmio.registers import RegisterPage
from pvinfo.display_mode import DisplayMode
from pvinfo.platform import PLATFORMS, platform_named

SKL, BDW, BXT = platform_named("skl"), platform_named("bdw"), platform_named("bxt")
A, B, C, D, E = range(5)
NS = 1_000_000_000


def page(values: Mapping[int, int]) -> RegisterPage:
    registers = RegisterPage()
    for offset, value in values.items():
        registers.write32(offset, value)
    return registers


# ---- the clocks of ports ----


@pytest.mark.parametrize(("rate", "clock"), [(0, 540), (1, 270), (2, 162), (3, 324), (4, 216), (5, 432)])
@pytest.mark.parametrize(("loop", "switch"), [(0, 0x46010), (1, 0x46014), (2, 0x46040), (3, 0x46060)])
def test_a_skylake_loop_has_six_rates_for_displayport(loop: int, switch: int, rate: int, clock: int) -> None:
    setting, choice = (1 | rate << 1) << 6 * loop, (1 | loop << 1) << 3 * D
    values = {switch: 1 << 31, 0x6C058: setting, 0x6C05C: choice}
    assert port_clock_hz(SKL, page(values), D) == clock * 1_000_000
    assert port_clock_hz(SKL, page({**values, switch: 0}), D) == 0, "the loop stands"
    assert port_clock_hz(SKL, page({**values, 0x6C05C: choice | 1 << 15 + D}), D) == 0, "the port has no clock"
    assert port_clock_hz(SKL, page({**values, 0x6C05C: choice & ~(1 << 3 * D)}), D) == 0, "the port has chosen none"
    assert port_clock_hz(SKL, page({**values, 0x6C058: 7 << 6 * loop + 1}), D) == 0, "there is no such rate"


HDMI = [
    (0x80400173, 0x3A5, Fraction(148_500_000)),
    (0x802AAB7B, 0x7A4, 24_000_000 * (379 + Fraction(0x1555, 1 << 15)) / 140),
    (0x80000177, 0x0, Fraction(24_000_000 * 375, 25)),
    (0x80000177, 0x74, Fraction(24_000_000 * 375, 35)),
    (0x80000177, 0x48, Fraction(24_000_000 * 375, 45)),
]


@pytest.mark.parametrize(("frequency", "dividers", "clock"), HDMI)
@pytest.mark.parametrize(("loop", "switch"), [(1, 0x46014), (2, 0x46040), (3, 0x46060)])
def test_a_skylake_loop_in_hdmi_mode_goes_by_its_configuration(loop: int, switch: int, frequency: int, dividers: int, clock: Fraction) -> None:
    at = 0x6C040 + 8 * (loop - 1)
    values = {switch: 1 << 31, 0x6C058: 0x21 << 6 * loop, 0x6C05C: (1 | loop << 1) << 3 * B, at: frequency, at + 4: dividers}
    assert port_clock_hz(SKL, page(values), B) == clock


def test_what_the_driver_programs_for_65_mhz_is_65_mhz_to_a_few_parts_in_a_hundred_million() -> None:
    assert abs(HDMI[1][2] / 65_000_000 - 1) < Fraction(3, 100_000_000)


@pytest.mark.parametrize("dividers", [0x3AD, 0x0A | 3 << 2, 0x80])
def test_dividers_that_there_are_none_of_give_no_clock(dividers: int) -> None:
    values = {0x46014: 1 << 31, 0x6C058: 0x840, 0x6C05C: 0x18, 0x6C040: 0x80400173, 0x6C044: dividers}
    assert port_clock_hz(SKL, page(values), B) == 0


def test_the_loop_of_the_core_clock_has_no_hdmi_mode() -> None:
    assert port_clock_hz(SKL, page({0x46010: 1 << 31, 0x6C058: 0x21, 0x6C05C: 0x8, 0x6C040: 0x80400173}), B) == 0


BROADWELL = [
    ({}, 0, 540_000_000),
    ({}, 1, 270_000_000),
    ({}, 2, 162_000_000),
    ({0x130040: 1 << 31}, 2, 0),
    ({0x46020: 1 << 31 | 0 << 26}, 3, 162_000_000),
    ({0x46020: 1 << 31 | 1 << 26}, 3, 270_000_000),
    ({0x46020: 1 << 31 | 2 << 26}, 3, 540_000_000),
    ({0x46020: 1 << 26}, 3, 0),
    ({0x46040: 0xB0210614}, 4, 148_500_000),
    ({0x46060: 0xB0200E13}, 5, Fraction(2_700_000_000 * 32, 5 * 14 * 19)),
    ({0x46060: 0x90210614}, 5, 7_425_000),
    ({0x46060: 0x80210614}, 5, 0),
    ({0x46060: 0x30210614}, 5, 0),
    ({0x46060: 0xB0210014}, 5, 0),
    ({}, 6, 0),
    ({}, 7, 0),
]


@pytest.mark.parametrize(("values", "source", "clock"), BROADWELL)
def test_broadwells_ports_choose_among_fixed_rates_and_two_loops_of_free_choice(values: dict[int, int], source: int, clock: int | Fraction) -> None:
    assert port_clock_hz(BDW, page({**values, 0x46100 + 4 * C: source << 29}), C) == clock


@pytest.mark.parametrize(("port", "switch", "word", "ebb"), [(A, 0x46074, 0x162100, 0x162034), (B, 0x46078, 0x6C100, 0x6C034), (C, 0x4607C, 0x6C380, 0x6C340)])
def test_each_of_broxtons_ports_has_a_loop(port: int, switch: int, word: int, ebb: int) -> None:
    fast = {switch: 1 << 31, word: 27, word + 4: 1 << 8, ebb: 4 << 13 | 1 << 8}
    assert port_clock_hz(BXT, page(fast), port) == 270_000_000
    slow = {switch: 1 << 31, word: 0x20, word + 4: 1 << 8, word + 8: 0x19999A, word + 12: 1 << 16, ebb: 4 << 13 | 2 << 8}
    assert port_clock_hz(BXT, page(slow), port) == Fraction(100_000_000 * 2 * 0x819999A, (1 << 22) * 40)
    assert port_clock_hz(BXT, page({**slow, word + 12: 0}), port) == 160_000_000, "the fraction does not count"
    for stopped in ({**fast, switch: 0}, {**fast, word + 4: 0}, {**fast, ebb: 0}):
        assert port_clock_hz(BXT, page(stopped), port) == 0


def test_broxton_has_no_port_d() -> None:
    assert port_clock_hz(BXT, page({}), D) == 0


# ---- pixels ----


@pytest.mark.parametrize(("rate", "link_khz"), [(2, 162_000), (1, 270_000)])
def test_over_displayport_the_ratio_of_the_link_makes_the_pixel_clock(rate: int, link_khz: int) -> None:
    ratio = 65_000 * 0x80000 // link_khz
    values = {0x46014: 1 << 31, 0x6C058: (1 | rate << 1) << 6, 0x6C05C: 3 << 3 * D, 0x60400: 0xB2000002, 0x60040: ratio, 0x60044: 0x80000}
    clock = pixel_clock_hz(SKL, page(values), "TRANSCODER_A")
    assert clock == Fraction(link_khz * 1000 * ratio, 0x80000)
    assert 0 <= 65_000_000 - clock < 520
    assert pixel_clock_hz(SKL, page({**values, 0x60044: 0}), "TRANSCODER_A") == 0
    assert pixel_clock_hz(SKL, page({**values, 0x60040: 0}), "TRANSCODER_A") == 0


def test_the_embedded_transcoder_feeds_port_a_whatever_it_says() -> None:
    values = {0x46010: 1 << 31, 0x6C058: 5, 0x6C05C: 1, 0x6F400: 0xB2000000, 0x6F040: 1, 0x6F044: 2, 0x6F02C: 3}
    assert pixel_clock_hz(SKL, page(values), "TRANSCODER_EDP") == 81_000_000


@pytest.mark.parametrize(("depth", "mode", "times", "clock"), [
    (0, 0, 0, 148_500_000), (1, 0, 0, 118_800_000), (3, 0, 0, 99_000_000), (2, 0, 0, 148_500_000), (3, 1, 0, 148_500_000), (0, 0, 1, 74_250_000),
])  # fmt: skip
def test_over_hdmi_deep_colours_and_repeated_pixels_take_their_share(depth: int, mode: int, times: int, clock: int) -> None:
    values = {0x46040: 0xB0210614, 0x46104: 4 << 29, 0x61400: 1 << 31 | 1 << 28 | mode << 24 | depth << 20, 0x6102C: times}
    assert pixel_clock_hz(BDW, page(values), "TRANSCODER_B") == clock


# ---- frames ----


@pytest.mark.parametrize("mode", [FULL_HD, XGA], ids=str)
@pytest.mark.parametrize("platform", ["bdw", "skl", "kbl", "cfl"])
def test_a_mode_that_a_driver_sets_has_its_rate(platform: str, mode: DisplayMode) -> None:
    vgpu = make_vgpu(platform)
    light_up(vgpu, mode)
    timing = timing_of(vgpu.platform, vgpu.registers, "TRANSCODER_A")
    assert (timing.width, timing.height, timing.lines, timing.vblank_start) == (mode.hdisplay, mode.vdisplay, mode.vtotal, mode.vdisplay)
    assert timing.period_ns == Fraction(mode.htotal * mode.vtotal * NS) / timing.pixel_clock_hz
    assert timing.remark == "" and vgpu.findings.of_rule("refresh-rate") == ()
    if mode is FULL_HD:
        assert timing.period_ns == Fraction(NS, 60)
    else:
        assert abs(timing.period_ns / mode.period_ns - 1) < Fraction(7, 10_000), "gen8 has no dividers for exactly this clock"


def test_an_interlaced_picture_is_sent_in_fields() -> None:
    registers = page({0x46040: 0xB0210614, 0x46104: 4 << 29, 0x60400: 0x90000000, 0x6002C: 1, 0x70008: 3 << 21 | 1 << 31})
    for at, value in {0x60000: 2199 << 16 | 1919, 0x6000C: 1123 << 16 | 1079, 0x60010: 1123 << 16 | 1079}.items():
        registers.write32(at, value)
    timing = timing_of(BDW, registers, "TRANSCODER_A")
    assert timing.interlaced and timing.period_ns == Fraction(NS, 60)
    assert (timing.width, timing.height, timing.lines, timing.vblank_start) == (1920, 1080, 562, 540)


@pytest.mark.parametrize("values", [
    {0x60000: 0, 0x6000C: 0},
    {0x60000: 0xFFFF0000, 0x6000C: 0xFFFF0000, 0x60040: 1},
    {0x60040: 0},
])  # fmt: skip
def test_a_rate_that_no_monitor_has_is_taken_for_sixty_hertz(values: dict[int, int]) -> None:
    registers = page({0x46014: 1 << 31, 0x6C058: 1 << 6, 0x6C05C: 3 << 9, 0x60400: 0xB2000000, 0x60040: 1 << 17, 0x60044: 1 << 19})
    set_pair = {0x60000: 1343 << 16 | 1023, 0x6000C: 805 << 16 | 767, **values}
    for offset, value in set_pair.items():
        registers.write32(offset, value)
    timing = timing_of(SKL, registers, "TRANSCODER_A")
    assert timing.period_ns == DEFAULT_PERIOD_NS == Fraction(NS, 60)
    assert timing.remark.endswith("60 Hz is taken")


def test_a_transcoder_that_is_programmed_with_nonsense_runs_with_one_remark() -> None:
    vgpu = make_vgpu()
    for _ in range(3):
        vgpu.mmio.write32(0x70008, 1 << 31)
        vgpu.mmio.write32(0x70008, 0)
    (finding,) = vgpu.findings.of_rule("refresh-rate")
    assert finding.where == "TRANSCODER_A of PIPE_A" and finding.occurrences == 3
    set_timings(vgpu, XGA)
    vgpu.mmio.write32(0x70008, 1 << 31)
    mode = vgpu.display.pipes.mode("PIPE_A")
    assert mode is not None and (mode.width, mode.height, mode.period_ns) == (1024, 768, DEFAULT_PERIOD_NS)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_whatever_registers_hold_a_frame_lasts_between_a_millisecond_and_a_second(platform: str) -> None:
    source = random.Random(0x5EED)
    part, registers = platform_named(platform), RegisterPage()
    spans = [*range(0x46000, 0x46160, 4), *range(0x60000, 0x60050, 4), 0x60400, 0x70008, *range(0x6C034, 0x6C064, 4), *range(0x6C100, 0x6C114, 4), 0x130040]
    outside = 0
    for _ in range(1500):
        for offset in spans:
            registers.write32(offset, source.choice((0, 0xFFFFFFFF, 1 << source.randrange(32), source.getrandbits(32))))
        timing = timing_of(part, registers, "TRANSCODER_A")
        assert 1_000_000 <= timing.period_ns <= 1_000_000_000
        assert timing.period_ns.denominator.bit_length() < 160 and 0 < timing.lines <= 65536 and 0 < timing.vblank_start <= timing.lines
        outside += bool(timing.remark)
    assert 1000 < outside <= 1500, "most of it is nonsense"
