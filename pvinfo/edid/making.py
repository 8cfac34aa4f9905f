"""EDIDs of our own monitors, one for each standard mode."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Final

from ..connector import Link
from ..display_mode import STANDARD_MODES, DisplayMode, standard_mode
from ..errors import UsageError
from .layout import (
    BLOCK_SIZE,
    CTA_DATA_START,
    CTA_HEADER,
    CTA_TAG,
    CTA_VENDOR_BLOCK,
    DESCRIPTOR_HEADER,
    DETAILED_TIMING,
    EDID_BASE,
    EDID_HEADER,
    HDMI_OUI,
    HDMI_VENDOR_BLOCK,
    RANGE_LIMITS,
    UNUSED_STANDARD_TIMING,
    Chromaticity,
    ColorDepth,
    CtaFeatures,
    CtaHeader,
    DataBlockHeader,
    Descriptor,
    DescriptorHeader,
    DescriptorTag,
    DigitalInterface,
    EdidBase,
    EdidFeatures,
    EstablishedTimings1,
    EstablishedTimings2,
    EstablishedTimings3,
    HdmiVendorBlock,
    RangeLimits,
    VideoInput,
)
from .modes import ESTABLISHED, detailed_timing, standard_timing

__all__ = ("EDID_RESOLUTIONS", "HDMI_MAX_CLOCK_KHZ", "edid_for")

EDID_RESOLUTIONS: Final = tuple(dict.fromkeys(mode.resolution for mode in STANDARD_MODES))
"""What :func:`edid_for` knows."""
HDMI_MAX_CLOCK_KHZ: Final = 300_000
"""Fastest clock of gen8's and gen9's HDMI. Source: linux:drivers/gpu/drm/i915/display/intel_hdmi.c (intel_hdmi_source_max_tmds_clock)"""

_MANUFACTURER: Final = "GVT"
_YEAR: Final = 2026
_DOTS_PER_INCH: Final = 96
_SRGB: Final = ((640, 330), (300, 600), (150, 60), (313, 329))
"""Red, green, blue, white of sRGB in thousandths. Source: iec:61966-2-1"""
_NAME_LENGTH: Final = 13


def _manufacturer(letters: str) -> bytes:
    number = 0
    for letter in letters:
        number = number << 5 | ord(letter) - ord("A") + 1
    return number.to_bytes(2, "big")


def _chromaticity(points: Sequence[tuple[int, int]]) -> Chromaticity:
    red, green, blue, white = (tuple(round(part * 1024 / 1000) for part in point) for point in points)

    def low(first: tuple[int, ...], second: tuple[int, ...]) -> int:
        return (first[0] & 3) << 6 | (first[1] & 3) << 4 | (second[0] & 3) << 2 | second[1] & 3

    upper = [part >> 2 for point in (red, green, blue, white) for part in point]
    return Chromaticity(low(red, green), low(blue, white), *upper)


def _descriptor(tag: DescriptorTag, payload: bytes) -> Descriptor:
    return Descriptor(DESCRIPTOR_HEADER.pack(DescriptorHeader(0, bytes(1), tag, bytes(1), payload)))


def _text(tag: DescriptorTag, text: str) -> Descriptor:
    data = text.encode("ascii")
    return _descriptor(tag, (data + b"\n" if len(data) < _NAME_LENGTH else data).ljust(_NAME_LENGTH, b" "))


def _range_limits(modes: Sequence[DisplayMode]) -> Descriptor:
    frames = [mode.refresh_mhz / 1000 for mode in modes]
    lines = [mode.pixel_clock_khz / mode.htotal for mode in modes]
    limits = RangeLimits(
        min_vertical=math.floor(min(frames)),
        max_vertical=math.ceil(max(frames)),
        min_horizontal=math.floor(min(lines)),
        max_horizontal=math.ceil(max(lines)),
        max_pixel_clock=math.ceil(max(mode.pixel_clock_khz for mode in modes) / 10_000),
        timing_support=1,
        padding=b"\n".ljust(7, b" "),
    )
    return _descriptor(DescriptorTag.RANGE_LIMITS, RANGE_LIMITS.pack(limits))


def _with_checksum(block: bytes) -> bytes:
    """``block``, its last byte such that the sum comes out even."""
    return block[:-1] + bytes([-sum(block[:-1]) & 0xFF])


def _hdmi_extension() -> bytes:
    vendor = HDMI_VENDOR_BLOCK.pack(
        HdmiVendorBlock(
            header=DataBlockHeader.of(kind=CTA_VENDOR_BLOCK, length=HDMI_VENDOR_BLOCK.size - 1),
            oui=HDMI_OUI.to_bytes(3, "little"),
            physical_address=bytes((0x10, 0x00)),
            flags=0,
            max_tmds=HDMI_MAX_CLOCK_KHZ // 5000,
        )
    )
    header = CtaHeader(CTA_TAG, 3, CTA_DATA_START + len(vendor), CtaFeatures.of(underscan=True))
    return _with_checksum((CTA_HEADER.pack(header) + vendor).ljust(BLOCK_SIZE, b"\0"))


@cache
def edid_for(resolution: str, link: Link = Link.DISPLAYPORT) -> bytes:
    """The EDID of a monitor of ``resolution`` (``1920x1200``, with a rate if another than the usual one is meant).

    It also shows the smaller standard modes at 60 Hz. Over HDMI it says that it understands HDMI.

    Raises: UsageError when no standard mode is called so, or it is too fast for HDMI.
    """
    mode = standard_mode(resolution)
    if link is Link.HDMI and mode.pixel_clock_khz > HDMI_MAX_CLOCK_KHZ:
        raise UsageError(f"{mode} has a pixel clock of {mode.pixel_clock_khz} kHz; HDMI takes at most {HDMI_MAX_CLOCK_KHZ} kHz here")
    smaller = [
        other
        for other in STANDARD_MODES
        if other.hdisplay <= mode.hdisplay and other.vdisplay <= mode.vdisplay and other.resolution != mode.resolution
        and round(other.refresh_mhz / 1000) == 60
    ]  # fmt: skip
    established = {field: 0 for field, _, _ in ESTABLISHED}
    offered = [mode]
    for field, bit, text in ESTABLISHED:
        known = standard_mode(text)
        if known == mode or known in smaller:
            established[field] |= bit.mask
            offered.append(known)
    timings = [(other, standard_timing(other)) for other in reversed(smaller) if other not in offered]
    standard = [(other, timing) for other, timing in timings if timing is not None][:8]
    offered += [other for other, _ in standard]
    width_mm, height_mm = (round(pixels * 25.4 / _DOTS_PER_INCH) for pixels in (mode.hdisplay, mode.vdisplay))
    hdmi = link is Link.HDMI
    base = EdidBase(
        header=EDID_HEADER,
        manufacturer=_manufacturer(_MANUFACTURER),
        product=STANDARD_MODES.index(mode) + 1,
        serial_number=0,
        week=1,
        year=_YEAR - 1990,
        version=1,
        revision=4,
        video_input=VideoInput.of(
            digital=True, depth=ColorDepth.BITS_8, interface=DigitalInterface.HDMI_A if hdmi else DigitalInterface.DISPLAYPORT
        ),
        width_cm=round(width_mm / 10),
        height_cm=round(height_mm / 10),
        gamma=120,
        features=EdidFeatures.of(native_preferred=True, srgb=True, active_off=True),
        chromaticity=_chromaticity(_SRGB),
        established_1=EstablishedTimings1(established["established_1"]),
        established_2=EstablishedTimings2(established["established_2"]),
        established_3=EstablishedTimings3(0),
        standard=(*(timing for _, timing in standard), *(UNUSED_STANDARD_TIMING,) * (8 - len(standard))),
        descriptors=(
            Descriptor(DETAILED_TIMING.pack(detailed_timing(mode, width_mm, height_mm))),
            _range_limits(offered),
            _text(DescriptorTag.NAME, f"{_MANUFACTURER} {mode.resolution}"),
            _text(DescriptorTag.SERIAL, f"{_MANUFACTURER}-{STANDARD_MODES.index(mode) + 1:04}"),
        ),
        extensions=int(hdmi),
        checksum=0,
    )
    return _with_checksum(EDID_BASE.pack(base)) + (_hdmi_extension() if hdmi else b"")
