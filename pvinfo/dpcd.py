"""DPCD: the registers of a DisplayPort monitor, and the messages that reach them.

A driver reads what the monitor can do (from 0x000), sets rate and lanes (from 0x100), trains the link while the monitor
says what it makes of each pattern (from 0x202), and switches it on and off (0x600). It talks to it over the AUX channel, one
message of at most 20 bytes at a time, which also carries I2C: the monitor's EDID is at address 0x50 there.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final, NamedTuple

from .bits import Bits, choice, flag, uint
from .wire import Codec, u8, u16

__all__ = (
    "AUX_HEADER",
    "AUX_PAYLOAD_MAX",
    "DPCD_SIZE",
    "DPCD_SPACE",
    "LINK_CONFIGURATION",
    "LINK_CONFIGURATION_AT",
    "LINK_STATUS",
    "LINK_STATUS_AT",
    "POWER_AT",
    "RECEIVER_CAPABILITIES",
    "RECEIVER_CAPABILITIES_AT",
    "SINK_COUNT_AT",
    "AdjustRequest",
    "AuxFirstByte",
    "AuxHeader",
    "AuxReply",
    "EdpConfiguration",
    "I2cReply",
    "LaneAlignment",
    "LaneCount",
    "LanePairStatus",
    "LaneSetting",
    "LinkConfiguration",
    "LinkPattern",
    "LinkRate",
    "LinkStatus",
    "MaxDownspread",
    "MaxLaneCount",
    "PatternSet",
    "PowerState",
    "ReceiverCapabilities",
    "SetPower",
    "SinkCount",
)

SOURCE: Final = "linux:include/drm/display/drm_dp.h"

DPCD_SPACE: Final = 1 << 20
"""Addresses that a message can name."""
DPCD_SIZE: Final = 0x700
"""Bytes that our monitor keeps; above them everything reads 0. Source: linux:drivers/gpu/drm/i915/gvt/display.h"""
RECEIVER_CAPABILITIES_AT: Final = 0x000
LINK_CONFIGURATION_AT: Final = 0x100
SINK_COUNT_AT: Final = 0x200
LINK_STATUS_AT: Final = 0x202
POWER_AT: Final = 0x600


class LinkRate(IntEnum):
    """Speed of each lane, in units of 0.27 Gb/s."""

    RBR = 0x06
    HBR = 0x0A
    HBR2 = 0x14


class MaxLaneCount(Bits):
    """Lanes, and what training they know."""

    lanes = uint(0, 5, "lanes: 1, 2 or 4")
    pattern_3 = flag(6, "understands training pattern 3")
    enhanced_framing = flag(7, "understands enhanced framing")


class MaxDownspread(Bits):
    """Spread of the clock."""

    spread = flag(0, "follows a clock spread by half a percent")
    no_training = flag(6, "locks without training, at the levels it asks for")


class EdpConfiguration(Bits):
    """How an embedded panel is scrambled."""

    alternate_scrambler = flag(0, "can reset its scrambler to another value")
    framing_change = flag(1, "can change framing")


class ReceiverCapabilities(NamedTuple):
    """What a monitor can do."""

    revision: Annotated[int, u8("of the DPCD: 0x12 is 1.2")]
    max_link_rate: Annotated[int, u8("fastest lane, see LinkRate", unit="0.27 Gb/s")]
    max_lane_count: Annotated[MaxLaneCount, u8("lanes, and what training they know")]
    max_downspread: Annotated[MaxDownspread, u8("spread of the clock")]
    power_supplies: Annotated[int, u8("receivers, less one, and voltages of its socket")]
    downstream_port: Annotated[int, u8("0: a monitor and not an adaptor")]
    channel_coding: Annotated[int, u8("1: understands 8b/10b")]
    downstream_count: Annotated[int, u8("ports behind it")]
    receive_port_0: Annotated[int, u16("what its receiver has; 0: nothing special")]
    receive_port_1: Annotated[int, u16("the same of a second receiver")]
    i2c_speed: Annotated[int, u8("speeds of its I2C bus; 0: not said")]
    edp_configuration: Annotated[EdpConfiguration, u8("of an embedded panel")]
    training_interval: Annotated[int, u8("how long training takes between looks at the status; 0: 100 us, then 400 us")]
    adapter: Annotated[int, u8("of an adaptor")]


class LinkPattern(IntEnum):
    """What the source sends."""

    NONE = 0
    PATTERN_1 = 1
    """For clock recovery."""
    PATTERN_2 = 2
    """For channel equalisation."""
    PATTERN_3 = 3
    """The same, at the highest rate."""


class LaneCount(Bits):
    """Lanes in use."""

    lanes = uint(0, 5, "lanes: 1, 2 or 4")
    enhanced_framing = flag(7, "with enhanced framing")


class PatternSet(Bits):
    """What the source sends; writing a pattern makes the monitor look at the lanes."""

    pattern = choice(0, 2, LinkPattern, "the pattern; 0 ends the training")
    symbol_errors = uint(2, 2, "reserved for tests of the link")
    recovered_clock_out = flag(4, "reserved for tests of the link")
    scrambling_disable = flag(5, "not scrambled, as patterns are")
    error_count = uint(6, 2, "what counts as a symbol error")


class LaneSetting(Bits):
    """How a lane is driven."""

    swing = uint(0, 2, "voltage")
    max_swing = flag(2, "it can be no more")
    emphasis = uint(3, 2, "emphasis of edges")
    max_emphasis = flag(5, "it can be no more")


class LinkConfiguration(NamedTuple):
    """How the source sends."""

    link_rate: Annotated[int, u8("speed of each lane, see LinkRate", unit="0.27 Gb/s")]
    lane_count: Annotated[LaneCount, u8("lanes in use")]
    pattern: Annotated[PatternSet, u8("what is sent")]
    lane_0: Annotated[LaneSetting, u8("how the first lane is driven")]
    lane_1: Annotated[LaneSetting, u8("how the second lane is driven")]
    lane_2: Annotated[LaneSetting, u8("how the third lane is driven")]
    lane_3: Annotated[LaneSetting, u8("how the fourth lane is driven")]
    downspread: Annotated[int, u8("bit 4: the clock is spread")]
    channel_coding: Annotated[int, u8("bit 0: 8b/10b")]


class SinkCount(Bits):
    """How many monitors are behind it."""

    low = uint(0, 6, "monitors; 0 from an adaptor with nothing plugged in")
    content_protection = flag(6, "content protection is ready")


class LanePairStatus(Bits):
    """What the monitor makes of two lanes."""

    clock_recovery_0 = flag(0, "first lane: the clock is recovered")
    equalised_0 = flag(1, "first lane: the channel is equalised")
    symbols_locked_0 = flag(2, "first lane: symbols are understood")
    clock_recovery_1 = flag(4, "second lane: the clock is recovered")
    equalised_1 = flag(5, "second lane: the channel is equalised")
    symbols_locked_1 = flag(6, "second lane: symbols are understood")


class LaneAlignment(Bits):
    """What it makes of them together."""

    aligned = flag(0, "lanes are aligned with each other")
    downstream_changed = flag(6, "something changed behind it")
    link_status_updated = flag(7, "the status of the link has changed")


class AdjustRequest(Bits):
    """How it would like two lanes to be driven."""

    swing_0 = uint(0, 2, "first lane: voltage")
    emphasis_0 = uint(2, 2, "first lane: emphasis")
    swing_1 = uint(4, 2, "second lane: voltage")
    emphasis_1 = uint(6, 2, "second lane: emphasis")


class LinkStatus(NamedTuple):
    """What the monitor makes of the link."""

    lanes_0_1: Annotated[LanePairStatus, u8("of the first two lanes")]
    lanes_2_3: Annotated[LanePairStatus, u8("of the other two")]
    alignment: Annotated[LaneAlignment, u8("of all together")]
    in_sync: Annotated[int, u8("bit 0: it shows a picture without errors")]
    adjust_0_1: Annotated[AdjustRequest, u8("how it would like the first two lanes to be driven")]
    adjust_2_3: Annotated[AdjustRequest, u8("and the other two")]


class PowerState(IntEnum):
    """On and off."""

    D0 = 1
    """On."""
    D3 = 2
    """Off: no picture, but it listens to the AUX channel."""
    D3_AUX_ON = 5


class SetPower(Bits):
    """On and off."""

    state = uint(0, 3, "see PowerState")


RECEIVER_CAPABILITIES: Final = Codec(ReceiverCapabilities, doc="what a monitor can do, from 0x000", source=SOURCE, size=0x10)
LINK_CONFIGURATION: Final = Codec(LinkConfiguration, doc="how the source sends, from 0x100", source=SOURCE)
LINK_STATUS: Final = Codec(LinkStatus, doc="what the monitor makes of the link, from 0x202", source=SOURCE)


AUX_PAYLOAD_MAX: Final = 16
"""Bytes that a message carries at most, beside its header."""


class AuxFirstByte(Bits):
    """Request and the upper end of the address."""

    address_high = uint(0, 4, "bits 19:16 of the address")
    request = uint(4, 4, "what is asked, see AuxRequest")


class AuxHeader(NamedTuple):
    """How a message begins. One without the last byte carries no data: it only addresses an I2C target, or ends a transaction."""

    first: Annotated[AuxFirstByte, u8("request and the upper end of the address")]
    address_middle: Annotated[int, u8("bits 15:8 of the address")]
    address_low: Annotated[int, u8("bits 7:0 of the address; of an I2C target all of it")]
    length: Annotated[int, u8("bytes to read, or that follow to be written, less one")]


AUX_HEADER: Final = Codec(AuxHeader, doc="how a message begins", source=SOURCE, size=4)


class AuxReply(IntEnum):
    """First byte of the answer to a native message."""

    ACK = 0x00
    NAK = 0x10
    DEFER = 0x20


class I2cReply(IntEnum):
    """First byte of the answer to an I2C message."""

    ACK = 0x00
    NAK = 0x40
    DEFER = 0x80
