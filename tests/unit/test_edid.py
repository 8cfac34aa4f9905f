"""EDIDs: read, refused, made."""

from __future__ import annotations

import random
from typing import Final

import pytest

from pvinfo.connector import Link
from pvinfo.display_mode import STANDARD_MODES, DisplayMode, standard_mode
from pvinfo.edid import EDID_RESOLUTIONS, HDMI_MAX_CLOCK_KHZ, edid_for, parse_edid, rule_against
from pvinfo.edid.layout import DETAILED_TIMING, EDID_BASE
from pvinfo.edid.modes import detailed_timing
from pvinfo.errors import UsageError

_GVT_HEAD: Final = "00ffffffffffff00 22f0542900000000 0417 0104 a534207823 fc81a4554d9d25125054 210800"
_GVT_TEXTS: Final = (
    "000000fd00183c185011000a202020202020 000000fc004850205a5232343430770a2020 000000ff00434e3433303430445851 0a2020 00"
)
GVT_1024: Final = bytes.fromhex(
    _GVT_HEAD + "00c000c000400080000000400000 0001" + "000080a070b023403020360006442100001a" + _GVT_TEXTS + "ef"
)
GVT_1920: Final = bytes.fromhex(
    _GVT_HEAD + "d1c081c0814081809500a940b3000101" + "283c80a070b023403020360006442100001a" + _GVT_TEXTS + "45"
)
"""What the kernel's mediator says of its monitors. Source: linux:drivers/gpu/drm/i915/gvt/edid.c"""


def _summed(raw: bytearray) -> bytes:
    """``raw`` with the last byte of each block made right."""
    for end in range(127, len(raw), 128):
        raw[end] = -sum(raw[end - 127 : end]) & 0xFF
    return bytes(raw)


def _changed(raw: bytes, changes: dict[int, int]) -> bytes:
    changed = bytearray(raw)
    for offset, byte in changes.items():
        changed[offset] = byte
    return _summed(changed)


# ---- read ----


def test_the_kernels_monitor_of_1920x1200_is_understood() -> None:
    edid = parse_edid(GVT_1920)
    assert (edid.manufacturer, edid.product, edid.name, edid.serial, edid.hdmi) == ("HWP", 0x2954, "HP ZR2440w", "CN43040DXQ", False)
    assert edid.preferred == standard_mode("1920x1200")
    assert [str(mode) for mode in edid.modes] == [
        "1920x1200@60", "1920x1080@60", "1600x1200@60", "1680x1050@60", "1280x1024@60", "1440x900@60", "1280x960@60", "1280x720@60",
        "1024x768@60", "800x600@60", "640x480@60",
    ]  # fmt: skip


def test_the_kernels_monitor_of_1024x768_has_no_detailed_timing_and_prefers_the_largest_established_one() -> None:
    edid = parse_edid(GVT_1024)
    assert edid.preferred == standard_mode("1024x768")
    assert [str(mode) for mode in edid.modes] == ["1024x768@60", "800x600@60", "640x480@60"]


@pytest.mark.parametrize("mode", STANDARD_MODES, ids=str)
def test_a_detailed_timing_says_what_was_put_into_it(mode: DisplayMode) -> None:
    raw = bytearray(edid_for("1024x768"))
    raw[54:72] = DETAILED_TIMING.pack(detailed_timing(mode, 500, 300))
    read = parse_edid(_summed(raw)).preferred
    assert read == mode._replace(pixel_clock_khz=round(mode.pixel_clock_khz / 10) * 10)


def test_every_bit_of_a_detailed_timing_is_read() -> None:
    raw = bytearray(edid_for("1024x768"))
    mode = DisplayMode(600_000, 0xABC, 0xABC + 0x312, 0xABC + 0x312 + 0x123, 0xABC + 0x543, 0x789, 0x789 + 0x25, 0x789 + 0x25 + 0x1A, 0x789 + 0x61, True, False)
    raw[54:72] = DETAILED_TIMING.pack(detailed_timing(mode, 0, 0))
    assert parse_edid(_summed(raw)).preferred == mode


def test_timings_that_cannot_be_shown_are_passed_over() -> None:
    raw = bytearray(edid_for("1024x768"))
    raw[71] |= 0x80
    edid = parse_edid(_summed(raw))
    assert edid.preferred == standard_mode("1024x768"), "the interlaced timing is not taken; the established one is"
    assert len(edid.modes) == 3


# ---- refused ----


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", r"byte 0x0: the data ends after 0 bytes; .* blocks of 128 bytes"),
        (GVT_1920[:127], r"byte 0x7f: the data ends after 127 bytes"),
        (GVT_1920 + b"\0", r"byte 0x81: the data ends after 129 bytes"),
        (GVT_1920 + bytes(128), r"byte 0x7e: 0 extension blocks are announced; 256 bytes hold 1"),
        (_changed(GVT_1920, {126: 2}), r"byte 0x7e: 2 extension blocks are announced; 128 bytes hold 0"),
        (_changed(GVT_1920, {3: 0xFE}), r"byte 0x3: 0xfe; an EDID begins with 00 ff .* so here must be 0xff"),
        (GVT_1920[:127] + b"\x46", r"byte 0x7f: 0x46; the block's sum must be a multiple of 256, so here must be 0x45"),
        (edid_for("1024x768", Link.HDMI)[:255] + b"\0", r"byte 0xff: 0x00; the block's sum"),
        (_changed(GVT_1920, {18: 2}), r"byte 0x12: version 2; must be 1"),
        (_changed(GVT_1920, {19: 5}), r"byte 0x13: revision 5; must be at most 4"),
        (_changed(GVT_1920, {20: 0x0E}), r"byte 0x14: 0x0e; the input must be digital"),
    ],
)
def test_an_edid_that_breaks_a_rule_is_refused_with_byte_value_and_rule(raw: bytes, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_edid(raw)


_BARE: Final = {35: 0, 36: 0, 37: 0, **dict.fromkeys(range(38, 54), 1)}
"""No established and no standard timing."""


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict.fromkeys(range(54, 56), 0), r"byte 0x36: no detailed timing; nor a standard one"),
        ({57: 0x10, 58: 0x70}, r"byte 0x36: 1920x1200, pulse from 1968 to 2000, must be inside the pause from 1920 to 1936"),
        ({56: 0, 58: 0x00}, r"byte 0x36: 0x1200, 0 pixels wide, must be 64 to 8192"),
        ({59: 0, 61: 0x00}, r"byte 0x36: 1920x0, 0 lines high, must be 1 to 4096"),
        ({71: 0x9A}, r"byte 0x36: 1920x1200, interlaced, must be progressive"),
        ({54: 0xFF, 55: 0xFF}, None),
    ],
)
def test_an_edid_without_any_mode_that_a_pipe_can_show_is_refused(changes: dict[int, int], message: str | None) -> None:
    raw = _changed(GVT_1920, _BARE | changes)
    if message is None:
        assert parse_edid(raw).preferred.pixel_clock_khz == 655_350
        return
    with pytest.raises(UsageError, match=message):
        parse_edid(raw)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"pixel_clock_khz": 0}, "pixel clock 0 kHz, must be 1 to 675000"),
        ({"pixel_clock_khz": 675_001}, "pixel clock 675001 kHz"),
        ({"hdisplay": 8193, "hsync_start": 8194, "hsync_end": 8200, "htotal": 8300}, "8193 pixels wide, must be 64 to 8192"),
        ({"hdisplay": 8000, "hsync_start": 8010, "hsync_end": 8020, "htotal": 8193}, "8193 pixels with the pause, must be 8032 to 8192"),
        ({"hsync_start": 1024}, "pulse from 1024 to 1184, must be inside the pause from 1024 to 1344, and not at its beginning"),
        ({"hsync_end": 1048}, "pulse from 1048 to 1048"),
        ({"hsync_end": 1345}, "pulse from 1048 to 1345"),
        ({"hsync_start": 1025, "hsync_end": 1030, "htotal": 1055}, "1055 pixels with the pause, must be 1056 to 8192"),
        ({"vsync_start": 767}, "vertical pulse from 767 to 777"),
        ({"vsync_start": 768, "vsync_end": 770, "vtotal": 772}, "772 lines with the pause, must be 773 to 8192"),
        ({"vdisplay": 4097, "vsync_start": 4097, "vsync_end": 4100, "vtotal": 4110}, "4097 lines high, must be 1 to 4096"),
    ],
)
def test_the_limits_of_a_pipe(change: dict[str, int], rule: str) -> None:
    mode = DisplayMode(**{**standard_mode("1024x768")._asdict(), **change})
    assert rule in rule_against(mode)
    assert rule_against(standard_mode("1024x768")) == ""


def test_bytes_at_random_are_read_or_refused_and_never_anything_else() -> None:
    chosen = random.Random(51)
    made = [edid_for(resolution, link) for resolution in ("640x480", "1920x1200") for link in Link]
    outcomes = set()
    for _ in range(3000):
        raw = bytearray(chosen.choice(made))
        for _ in range(chosen.randrange(1, 12)):
            raw[chosen.randrange(8, len(raw))] = chosen.randrange(256)
        if chosen.random() < 0.9:
            raw[126] = len(raw) // 128 - 1
            _summed_raw = _summed(raw)
        else:
            _summed_raw = bytes(raw)
        try:
            edid = parse_edid(_summed_raw)
        except UsageError as error:
            assert str(error).startswith("EDID byte 0x")
            outcomes.add("refused")
        else:
            assert all(rule_against(mode) == "" for mode in edid.modes) and edid.preferred
            outcomes.add("read")
    assert outcomes == {"read", "refused"}


# ---- extensions ----


def _with_extension(extension: bytes) -> bytes:
    return _changed(GVT_1920 + extension.ljust(128, b"\0"), {126: 1})


def test_detailed_timings_of_a_cta_extension_are_read_after_those_of_the_base_block() -> None:
    timing = DETAILED_TIMING.pack(detailed_timing(standard_mode("2560x1440"), 0, 0))
    edid = parse_edid(_with_extension(bytes((2, 3, 4, 0)) + timing))
    assert [str(mode) for mode in edid.modes[:2]] == ["1920x1200@60", "2560x1440@60"]
    assert not edid.hdmi


@pytest.mark.parametrize("maker", [0x000C03, 0xC45DD8])
def test_only_hdmis_own_vendor_block_makes_a_monitor_an_hdmi_one(maker: int) -> None:
    block = bytes((2, 3, 10, 0, 3 << 5 | 5)) + maker.to_bytes(3, "little") + bytes(2)
    assert parse_edid(_with_extension(block)).hdmi is (maker == 0x000C03)


@pytest.mark.parametrize(
    ("extension", "message"),
    [
        (bytes((2, 3, 3, 0)), r"byte 0x82: detailed timings begin at 3; must be 0 or 4 to 127"),
        (bytes((2, 3, 128, 0)), r"byte 0x82: detailed timings begin at 128"),
        (bytes((2, 3, 8, 0, 3 << 5 | 4)), r"byte 0x84: a data block of 4 bytes; only 3 are left before the detailed timings"),
    ],
)
def test_a_cta_extension_that_contradicts_itself_is_refused(extension: bytes, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_edid(_with_extension(extension))


def test_another_kind_of_extension_is_carried_along_unread() -> None:
    raw = _with_extension(bytes((0x70, 0x20)) + bytes(range(100)))
    assert parse_edid(raw).raw == raw


def test_timings_of_an_extension_end_where_no_whole_one_fits() -> None:
    timing = DETAILED_TIMING.pack(detailed_timing(standard_mode("2560x1440"), 0, 0))
    full = bytes((2, 3, 18, 0)) + bytes(14) + timing * 6 + b"\x01"
    assert len(full) == 127
    assert [str(mode) for mode in parse_edid(_with_extension(full)).modes[:2]] == ["1920x1200@60", "2560x1440@60"]


# ---- made ----


@pytest.mark.parametrize("link", Link)
@pytest.mark.parametrize("resolution", EDID_RESOLUTIONS)
def test_a_made_edid_says_what_it_was_made_for(resolution: str, link: Link) -> None:
    mode = standard_mode(resolution)
    if link is Link.HDMI and mode.pixel_clock_khz > HDMI_MAX_CLOCK_KHZ:
        with pytest.raises(UsageError, match="HDMI takes at most 300000 kHz"):
            edid_for(resolution, link)
        return
    edid = parse_edid(edid_for(resolution, link))
    assert edid.preferred == mode._replace(pixel_clock_khz=round(mode.pixel_clock_khz / 10) * 10)
    assert (edid.name, edid.manufacturer, edid.hdmi) == (f"GVT {resolution}", "GVT", link is Link.HDMI)
    assert all(other.hdisplay <= mode.hdisplay and other.vdisplay <= mode.vdisplay for other in edid.modes)
    base = EDID_BASE.unpack_from(edid.raw)
    assert base.video_input.interface == (2 if link is Link.HDMI else 5)
    assert len(edid.raw) == (256 if link is Link.HDMI else 128)


def test_a_made_edids_range_holds_all_that_it_offers() -> None:
    raw = edid_for("1920x1200")
    limits = raw[72:90]
    assert limits[:5] == bytes((0, 0, 0, 0xFD, 0))
    low_frames, high_frames, low_lines, high_lines, clock = limits[5:10]
    modes = parse_edid(raw).modes
    assert len(modes) == 12
    for mode in modes:
        assert low_frames * 1000 <= mode.refresh_mhz <= high_frames * 1000
        assert low_lines <= mode.pixel_clock_khz / mode.htotal <= high_lines
        assert mode.pixel_clock_khz <= clock * 10_000


def test_another_rate_can_be_asked_for() -> None:
    assert str(parse_edid(edid_for("1920x1080@50")).preferred) == "1920x1080@50"
    with pytest.raises(UsageError, match="names no standard mode"):
        edid_for("1920x1080@51")
