"""Transcoders: they turn a pipe's pixels into a timed signal for a port.

Each timing register holds a pair, each minus one: the low half is where the active or blank part begins or how
long it is, the high half where it ends or the total.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from ..bits import Bits, choice, flag, uint
from ..register import Register, RegisterArray, RegisterBlock

__all__ = (
    "TRANSCODER_BASES",
    "BitsPerColor",
    "DdiFunctionControl",
    "DdiMode",
    "DdiPort",
    "EdpInput",
    "InfoframeControl",
    "Interlace",
    "LinkRatio",
    "SpanTiming",
    "TotalTiming",
    "Transcoder",
    "TranscoderConfig",
    "TranscoderSwitch",
)

SOURCE: Final = "linux:drivers/gpu/drm/i915/i915_reg.h"

TRANSCODER_BASES: Final[dict[str, int]] = {"TRANSCODER_A": 0x60000, "TRANSCODER_B": 0x61000, "TRANSCODER_C": 0x62000, "TRANSCODER_EDP": 0x6F000}
"""First register of each transcoder. A to C belong to their pipe, the embedded one takes any pipe."""


class TotalTiming(Bits):
    """Active length and whole length of a line or frame."""

    active = uint(0, 16, "visible part, minus one", unit="pixels or lines")
    total = uint(16, 16, "the whole, minus one", unit="pixels or lines")


class SpanTiming(Bits):
    """A blank or synchronisation pulse within a line or frame."""

    start = uint(0, 16, "first pixel or line, minus one", unit="pixels or lines")
    end = uint(16, 16, "last pixel or line, minus one", unit="pixels or lines")


class LinkRatio(Bits):
    """Half of a fraction M/N by which the port's clock makes the pixel clock."""

    value = uint(0, 24, "M or N")
    transfer_unit = uint(25, 6, "length of a transfer unit, minus one (with M of the data only)", unit="symbols")


class InfoframeControl(Bits):
    """Which data packets go with the picture."""

    spd = flag(0, "description of the source")
    gmp = flag(4, "gamut metadata")
    vendor = flag(8, "vendor specific")
    avi = flag(12, "picture format")
    gcp = flag(16, "general control")
    vsc = flag(20, "colour and stereo, over DisplayPort")


class DdiPort(IntEnum):
    """The port that a transcoder feeds."""

    A = 0
    B = 1
    C = 2
    D = 3
    E = 4


class DdiMode(IntEnum):
    """Kind of signal."""

    HDMI = 0
    DVI = 1
    DP_SST = 2
    """DisplayPort with one stream."""
    DP_MST = 3
    """DisplayPort with several streams."""
    FDI = 4
    """The way to the platform controller hub's analogue port."""


class BitsPerColor(IntEnum):
    """Depth of a colour component."""

    EIGHT = 0
    TEN = 1
    SIX = 2
    TWELVE = 3


class EdpInput(IntEnum):
    """Which pipe feeds the embedded transcoder."""

    A_ALWAYS_ON = 0
    A = 4
    B = 5
    C = 6


class DdiFunctionControl(Bits):
    """What kind of signal goes to which port."""

    hdmi_scrambling = flag(0, "scramble HDMI data")
    port_width = uint(1, 3, "lanes, minus one", unit="lanes")
    bfi_enable = flag(4, "black frame insertion; on later parts a high HDMI clock")
    scrambler_reset_frequency = flag(6, "reset the scrambler every second line")
    scrambler_cts_enable = flag(7, "resets of the scrambler for compliance tests")
    vc_payload_allocate = flag(8, "give the stream its share of a multi-stream link")
    hdcp_signalling = flag(9, "tell the monitor of content protection")
    edp_input = choice(12, 3, EdpInput, "embedded transcoder only: the pipe that feeds it")
    horizontal_sync_high = flag(16, "the horizontal pulse is high, not low")
    vertical_sync_high = flag(17, "the vertical pulse is high, not low")
    bits_per_color = choice(20, 3, BitsPerColor, "depth of a colour component")
    mode = choice(24, 3, DdiMode, "kind of signal")
    port = choice(28, 3, DdiPort, "the port; the embedded transcoder has port A whatever stands here")
    enable = flag(31, "the transcoder is coupled to the port")


class Transcoder(RegisterBlock, bases=TRANSCODER_BASES, source=SOURCE):
    """One transcoder. The embedded one has neither pipe source size nor pixel multiplier."""

    htotal = Register(0x0, TotalTiming, "line: visible and whole length", emulated=True, kernel_name="TRANS_HTOTAL")
    hblank = Register(0x4, SpanTiming, "line: blank part", kernel_name="TRANS_HBLANK")
    hsync = Register(0x8, SpanTiming, "line: synchronisation pulse", kernel_name="TRANS_HSYNC")
    vtotal = Register(0xC, TotalTiming, "frame: visible and whole length", emulated=True, kernel_name="TRANS_VTOTAL")
    vblank = Register(0x10, SpanTiming, "frame: blank part; its start is the vblank event", kernel_name="TRANS_VBLANK")
    vsync = Register(0x14, SpanTiming, "frame: synchronisation pulse", kernel_name="TRANS_VSYNC")
    pipesrc = Register(
        0x1C, TotalTiming,
        "size of the pipe's picture before scaling: height minus one in the low half, width minus one in the high",
        unit="pixels", kernel_name="PIPESRC",
    )  # fmt: skip
    bclrpat = Register(0x20, int, "colour outside the picture", kernel_name="BCLRPAT")
    vsyncshift = Register(
        0x28, int,
        "shift of the vertical pulse in the second field of an interlaced frame",
        unit="pixels", kernel_name="TRANS_VSYNCSHIFT",
    )  # fmt: skip
    mult = Register(0x2C, int, "times each pixel is sent, minus one", kernel_name="TRANS_MULT")
    data_m1 = Register(0x30, LinkRatio, "data ratio, M", kernel_name="PIPE_DATA_M1")
    data_n1 = Register(0x34, LinkRatio, "data ratio, N", kernel_name="PIPE_DATA_N1")
    data_m2 = Register(0x38, LinkRatio, "data ratio at the lower refresh rate, M", kernel_name="PIPE_DATA_M2")
    data_n2 = Register(0x3C, LinkRatio, "data ratio at the lower refresh rate, N", kernel_name="PIPE_DATA_N2")
    link_m1 = Register(0x40, LinkRatio, "link ratio, M; with N and the link rate it gives the pixel clock", kernel_name="PIPE_LINK_M1")
    link_n1 = Register(0x44, LinkRatio, "link ratio, N; the write makes both take effect", emulated=True, kernel_name="PIPE_LINK_N1")
    link_m2 = Register(0x48, LinkRatio, "link ratio at the lower refresh rate, M", kernel_name="PIPE_LINK_M2")
    link_n2 = Register(0x4C, LinkRatio, "link ratio at the lower refresh rate, N", kernel_name="PIPE_LINK_N2")
    infoframe_ctl = Register(0x200, InfoframeControl, "which data packets go with the picture", kernel_name="HSW_TVIDEO_DIP_CTL")
    infoframe_gcp = Register(0x210, int, "general control packet", kernel_name="HSW_TVIDEO_DIP_GCP")
    infoframe_avi = RegisterArray(0x220, 8, int, "picture format packet", kernel_name="HSW_TVIDEO_DIP_AVI_DATA")
    infoframe_vendor = RegisterArray(0x260, 8, int, "vendor specific packet", kernel_name="HSW_TVIDEO_DIP_VS_DATA")
    infoframe_spd = RegisterArray(0x2A0, 8, int, "packet that describes the source", kernel_name="HSW_TVIDEO_DIP_SPD_DATA")
    infoframe_gmp = RegisterArray(0x2E0, 8, int, "gamut metadata packet", kernel_name="HSW_TVIDEO_DIP_GMP_DATA")
    infoframe_vsc = RegisterArray(0x320, 9, int, "colour and stereo packet", kernel_name="HSW_TVIDEO_DIP_VSC_DATA")
    ddi_func_ctl = Register(0x400, DdiFunctionControl, "what kind of signal goes to which port", emulated=True, kernel_name="TRANS_DDI_FUNC_CTL")
    msa_misc = Register(0x410, int, "description of the stream that DisplayPort sends along: depth and colour space", kernel_name="TRANS_MSA_MISC")


class Interlace(IntEnum):
    """How frames are fetched and shown."""

    PROGRESSIVE = 0
    PROGRESSIVE_FETCH_INTERLACED = 1
    INTERLACED = 3


class TranscoderConfig(Bits):
    """On and off, and the state of it."""

    dither_type = uint(2, 2, "kind of dithering (before gen8)")
    dither = flag(4, "dither (before gen8)")
    color_space_yuv = flag(11, "put out YUV (Haswell)")
    interlace = choice(21, 2, Interlace, "how frames are fetched and shown")
    state = flag(30, "the transcoder runs: follows enable at once when switched on, at the end of a frame when switched off")
    enable = flag(31, "the transcoder is to run; frames are sent from then on")


class TranscoderSwitch(
    RegisterBlock,
    bases={"TRANSCODER_A": 0x70008, "TRANSCODER_B": 0x71008, "TRANSCODER_C": 0x72008, "TRANSCODER_EDP": 0x7F008},
    source=SOURCE,
):
    """On and off of a transcoder; the register stands with the pipe's."""

    conf = Register(0x0, TranscoderConfig, "on and off, and the state of it", emulated=True, kernel_name="TRANSCONF")
