"""EDID: 128-byte blocks in which a monitor says who it is and what it can show.

The base block comes first: identity, what kind of input it is, colours, timings that every source knows by a bit or two bytes, and four
descriptors of 18 bytes, each a detailed timing or a text. Extension blocks follow; the last byte of each block makes its
sum a multiple of 256.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final, NamedTuple

from ..bits import Bits, choice, flag, uint
from ..wire import Codec, array, nested, raw, reserved, u8, u16, u32

__all__ = (
    "AXIS_OFFSET",
    "BLOCK_SIZE",
    "CTA_DATA_START",
    "CTA_HEADER",
    "CTA_TAG",
    "CTA_VENDOR_BLOCK",
    "DESCRIPTOR_HEADER",
    "DETAILED_TIMING",
    "EDID_BASE",
    "EDID_HEADER",
    "HDMI_OUI",
    "HDMI_VENDOR_BLOCK",
    "RANGE_LIMITS",
    "UNUSED_STANDARD_TIMING",
    "AspectRatio",
    "Chromaticity",
    "ColorDepth",
    "CtaFeatures",
    "CtaHeader",
    "DataBlockHeader",
    "Descriptor",
    "DescriptorHeader",
    "DescriptorTag",
    "DetailedTiming",
    "DetailedTimingFlags",
    "DigitalInterface",
    "EdidBase",
    "EdidFeatures",
    "EstablishedTimings1",
    "EstablishedTimings2",
    "EstablishedTimings3",
    "HdmiVendorBlock",
    "HighBits",
    "RangeLimits",
    "StandardTiming",
    "StandardTimingRate",
    "SyncHighBits",
    "SyncLowBits",
    "VideoInput",
)

SOURCE: Final = "vesa:E-EDID:A2"
CTA_SOURCE: Final = "cta:861-G"
HDMI_SOURCE: Final = "hdmi:1.4b"

BLOCK_SIZE: Final = 128
"""Bytes of a block."""
EDID_HEADER: Final = bytes((0x00, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x00))
"""How an EDID begins."""
AXIS_OFFSET: Final = 31
"""What is taken off an eighth of a standard timing's width."""


class ColorDepth(IntEnum):
    """Bits per colour."""

    UNDEFINED = 0
    BITS_6 = 1
    BITS_8 = 2
    BITS_10 = 3
    BITS_12 = 4
    BITS_14 = 5
    BITS_16 = 6
    RESERVED = 7


class DigitalInterface(IntEnum):
    """What kind of socket it is."""

    UNDEFINED = 0
    DVI = 1
    HDMI_A = 2
    HDMI_B = 3
    MDDI = 4
    DISPLAYPORT = 5


class VideoInput(Bits):
    """The input. The meaning of bits 6:0 is that of a digital input (EDID 1.4)."""

    interface = uint(0, 4, "the socket, see DigitalInterface")
    depth = choice(4, 3, ColorDepth, "bits per colour")
    digital = flag(7, "a digital input")


class EdidFeatures(Bits):
    """What else it can do."""

    continuous_frequency = flag(0, "takes every timing inside its range limits, not only those it lists")
    native_preferred = flag(1, "the first detailed timing has the panel's own pixels")
    srgb = flag(2, "its colours are sRGB")
    color_encoding = uint(3, 2, "0: RGB only")
    active_off = flag(5, "can go off when the signal does")
    suspend = flag(6, "knows the state suspend")
    standby = flag(7, "knows the state standby")


class Chromaticity(NamedTuple):
    """Where its primary colours and its white lie, ten bits each: in units of 1/1024."""

    red_green_low: Annotated[int, u8("low two bits of red x, red y, green x, green y, from bit 7 down")]
    blue_white_low: Annotated[int, u8("low two bits of blue x, blue y, white x, white y")]
    red_x: Annotated[int, u8("upper bits")]
    red_y: Annotated[int, u8("upper bits")]
    green_x: Annotated[int, u8("upper bits")]
    green_y: Annotated[int, u8("upper bits")]
    blue_x: Annotated[int, u8("upper bits")]
    blue_y: Annotated[int, u8("upper bits")]
    white_x: Annotated[int, u8("upper bits")]
    white_y: Annotated[int, u8("upper bits")]


class EstablishedTimings1(Bits):
    """Timings of old that it can show."""

    mode_800x600_60 = flag(0, "800x600 at 60 Hz")
    mode_800x600_56 = flag(1, "800x600 at 56 Hz")
    mode_640x480_75 = flag(2, "640x480 at 75 Hz")
    mode_640x480_72 = flag(3, "640x480 at 72 Hz")
    mode_640x480_67 = flag(4, "640x480 at 67 Hz")
    mode_640x480_60 = flag(5, "640x480 at 60 Hz")
    mode_720x400_88 = flag(6, "720x400 at 88 Hz")
    mode_720x400_70 = flag(7, "720x400 at 70 Hz")


class EstablishedTimings2(Bits):
    """More of them."""

    mode_1280x1024_75 = flag(0, "1280x1024 at 75 Hz")
    mode_1024x768_75 = flag(1, "1024x768 at 75 Hz")
    mode_1024x768_70 = flag(2, "1024x768 at 70 Hz")
    mode_1024x768_60 = flag(3, "1024x768 at 60 Hz")
    mode_1024x768_87i = flag(4, "1024x768 at 87 Hz, interlaced")
    mode_832x624_75 = flag(5, "832x624 at 75 Hz")
    mode_800x600_75 = flag(6, "800x600 at 75 Hz")
    mode_800x600_72 = flag(7, "800x600 at 72 Hz")


class EstablishedTimings3(Bits):
    """And one more; the rest is the manufacturer's."""

    mode_1152x870_75 = flag(7, "1152x870 at 75 Hz")


class AspectRatio(IntEnum):
    """Width to height of a standard timing (EDID 1.3 and later)."""

    WIDE_16_10 = 0
    NORMAL_4_3 = 1
    SQUARE_5_4 = 2
    WIDE_16_9 = 3


class StandardTimingRate(Bits):
    """Second byte of a standard timing."""

    rate = uint(0, 6, "frames per second, less 60", unit="Hz")
    aspect = choice(6, 2, AspectRatio, "width to height")


class StandardTiming(NamedTuple):
    """A timing that VESA has standardised, in two bytes; 01 01 where there is none."""

    width: Annotated[int, u8("pixels of a line", unit="8 pixels, less 31")]
    shape: Annotated[StandardTimingRate, u8("height and rate")]


UNUSED_STANDARD_TIMING: Final = StandardTiming(1, StandardTimingRate(1))
"""No timing."""


class Descriptor(NamedTuple):
    """A detailed timing, or, where its first two bytes are 0, something else by its tag."""

    data: Annotated[bytes, raw(18, "see DetailedTiming and DescriptorHeader")]


class EdidBase(NamedTuple):
    """The first block."""

    header: Annotated[bytes, raw(8, "00, six times ff, 00")]
    manufacturer: Annotated[bytes, raw(2, "three letters of five bits each, A is 1, first byte first")]
    product: Annotated[int, u16("the manufacturer's number of the model")]
    serial_number: Annotated[int, u32("0 where there is none")]
    week: Annotated[int, u8("week of manufacture, 0 where none is said")]
    year: Annotated[int, u8("year of manufacture", unit="years since 1990")]
    version: Annotated[int, u8("1")]
    revision: Annotated[int, u8("4 at most")]
    video_input: Annotated[VideoInput, u8("the input")]
    width_cm: Annotated[int, u8("width of the picture", unit="cm")]
    height_cm: Annotated[int, u8("height of the picture", unit="cm")]
    gamma: Annotated[int, u8("gamma, less 1", unit="1/100")]
    features: Annotated[EdidFeatures, u8("what else it can do")]
    chromaticity: Annotated[Chromaticity, nested("its colours")]
    established_1: Annotated[EstablishedTimings1, u8("timings of old")]
    established_2: Annotated[EstablishedTimings2, u8("timings of old")]
    established_3: Annotated[EstablishedTimings3, u8("timings of old")]
    standard: Annotated[tuple[StandardTiming, ...], array(8, "standard timings")]
    descriptors: Annotated[tuple[Descriptor, ...], array(4, "detailed timings, the preferred one first, and texts")]
    extensions: Annotated[int, u8("how many blocks follow")]
    checksum: Annotated[int, u8("makes the block's sum a multiple of 256")]


EDID_BASE: Final = Codec(EdidBase, doc="the first block", source=SOURCE, size=BLOCK_SIZE)


class HighBits(Bits):
    """Upper bits of two numbers."""

    second = uint(0, 4, "upper bits of the second number: blank, or height")
    first = uint(4, 4, "upper bits of the first number: active, or width")


class SyncLowBits(Bits):
    """Lower bits of the vertical pulse."""

    width = uint(0, 4, "length of the pulse", unit="lines")
    offset = uint(4, 4, "lines from the end of the picture to the pulse", unit="lines")


class SyncHighBits(Bits):
    """Upper bits of both pulses."""

    vertical_width = uint(0, 2, "length of the vertical pulse")
    vertical_offset = uint(2, 2, "where it begins")
    horizontal_width = uint(4, 2, "length of the horizontal pulse")
    horizontal_offset = uint(6, 2, "where it begins")


class DetailedTimingFlags(Bits):
    """What kind of signal it is."""

    stereo_low = flag(0, "with stereo: which kind")
    horizontal_positive = flag(1, "the horizontal pulse is positive (digital pulses)")
    vertical_positive = flag(2, "the vertical pulse is positive (separate digital pulses)")
    pulses = uint(3, 2, "3: two separate digital pulses")
    stereo = uint(5, 2, "0: no stereo")
    interlaced = flag(7, "each frame in two halves")


class DetailedTiming(NamedTuple):
    """A timing in full; the first one is preferred."""

    pixel_clock: Annotated[int, u16("pixel clock; 0 makes this another kind of descriptor", unit="10 kHz")]
    horizontal_active: Annotated[int, u8("pixels of a line, lower bits")]
    horizontal_blank: Annotated[int, u8("pause after them, lower bits")]
    horizontal_high: Annotated[HighBits, u8("upper bits of the two")]
    vertical_active: Annotated[int, u8("lines of a frame, lower bits")]
    vertical_blank: Annotated[int, u8("pause after them, lower bits")]
    vertical_high: Annotated[HighBits, u8("upper bits of the two")]
    horizontal_sync_offset: Annotated[int, u8("pixels from the end of a line to the pulse, lower bits")]
    horizontal_sync_width: Annotated[int, u8("length of the pulse, lower bits")]
    vertical_sync: Annotated[SyncLowBits, u8("the vertical pulse, lower bits")]
    sync_high: Annotated[SyncHighBits, u8("upper bits of both pulses")]
    width_mm: Annotated[int, u8("width of the picture, lower bits", unit="mm")]
    height_mm: Annotated[int, u8("height of the picture, lower bits", unit="mm")]
    size_high: Annotated[HighBits, u8("upper bits of the two")]
    horizontal_border: Annotated[int, u8("border on each side", unit="pixels")]
    vertical_border: Annotated[int, u8("border above and below", unit="lines")]
    flags: Annotated[DetailedTimingFlags, u8("what kind of signal it is")]


DETAILED_TIMING: Final = Codec(DetailedTiming, doc="a timing in full", source=SOURCE, size=18)


class DescriptorTag(IntEnum):
    """What a descriptor is that is no detailed timing."""

    DUMMY = 0x10
    NAME = 0xFC
    RANGE_LIMITS = 0xFD
    TEXT = 0xFE
    SERIAL = 0xFF


class DescriptorHeader(NamedTuple):
    """How a descriptor begins that is no detailed timing; texts end with a line feed and are filled up with blanks."""

    no_clock: Annotated[int, u16("0")]
    reserved_2: Annotated[bytes, reserved(1)]
    tag: Annotated[int, u8("what it is, see DescriptorTag")]
    reserved_4: Annotated[bytes, reserved(1)]
    payload: Annotated[bytes, raw(13, "a text, or range limits")]


DESCRIPTOR_HEADER: Final = Codec(DescriptorHeader, doc="a text or range limits", source=SOURCE, size=18)


class RangeLimits(NamedTuple):
    """What timings the monitor can follow."""

    min_vertical: Annotated[int, u8("fewest frames per second", unit="Hz")]
    max_vertical: Annotated[int, u8("most frames per second", unit="Hz")]
    min_horizontal: Annotated[int, u8("fewest lines per second", unit="kHz")]
    max_horizontal: Annotated[int, u8("most lines per second", unit="kHz")]
    max_pixel_clock: Annotated[int, u8("fastest pixel clock", unit="10 MHz")]
    timing_support: Annotated[int, u8("1: these limits and nothing else")]
    padding: Annotated[bytes, raw(7, "a line feed and blanks")]


RANGE_LIMITS: Final = Codec(RangeLimits, doc="what timings it can follow", source=SOURCE, size=13)


CTA_TAG: Final = 0x02
"""First byte of a CTA extension block."""
CTA_DATA_START: Final = 4
"""Where its data blocks begin."""
CTA_VENDOR_BLOCK: Final = 3
"""Kind of data block whose first three bytes name who defines the rest."""
HDMI_OUI: Final = 0x000C03
"""The maker's number by which a monitor says that it understands HDMI, and not only DVI."""


class CtaFeatures(Bits):
    """What an HDMI monitor can do."""

    native_count = uint(0, 4, "how many detailed timings are its own", source=CTA_SOURCE)
    ycbcr_422 = flag(4, "takes YCbCr 4:2:2", source=CTA_SOURCE)
    ycbcr_444 = flag(5, "takes YCbCr 4:4:4", source=CTA_SOURCE)
    basic_audio = flag(6, "plays sound", source=CTA_SOURCE)
    underscan = flag(7, "shows the whole picture of television modes", source=CTA_SOURCE)


class CtaHeader(NamedTuple):
    """How a CTA extension block begins; data blocks follow, then detailed timings, and the sum in the last byte."""

    tag: Annotated[int, u8("2")]
    revision: Annotated[int, u8("3 with data blocks")]
    timings_at: Annotated[int, u8("byte where the detailed timings begin; 0 where there are neither timings nor data blocks")]
    features: Annotated[CtaFeatures, u8("what it can do")]


CTA_HEADER: Final = Codec(CtaHeader, doc="how a CTA extension block begins", source=CTA_SOURCE, size=4)


class DataBlockHeader(Bits):
    """First byte of a data block of a CTA extension."""

    length = uint(0, 5, "bytes that follow", source=CTA_SOURCE)
    kind = uint(5, 3, "what it is: 1 sound, 2 picture, 3 vendor's, 4 loudspeakers, 7 see the next byte", source=CTA_SOURCE)


class HdmiVendorBlock(NamedTuple):
    """The data block that makes a monitor an HDMI one."""

    header: Annotated[DataBlockHeader, u8("kind 3, length 7")]
    oui: Annotated[bytes, raw(3, "03 0c 00")]
    physical_address: Annotated[bytes, raw(2, "its place among devices: 10 00 is the first input of a television")]
    flags: Annotated[int, u8("deep colours, and whether it follows messages of other devices")]
    max_tmds: Annotated[int, u8("fastest clock on the cable", unit="5 MHz")]


HDMI_VENDOR_BLOCK: Final = Codec(HdmiVendorBlock, doc="the data block that makes a monitor an HDMI one", source=HDMI_SOURCE, size=8)
