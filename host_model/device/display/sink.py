"""A DisplayPort monitor's end of the AUX channel: its DPCD, its view of the link, and I2C behind it.

The link trains at once, and only as a driver asks for it: lanes in use recover the clock at the first pattern, and equalise at
the second or third if they have recovered it. Another rate, another number of lanes or switching off lose the link.

Where this differs from the kernel's mediator, on purpose: the status is that of the lanes in use alone and is lost when the
link is; what a monitor says of itself cannot be written; I2C honours the index that was written.

Source: linux:drivers/gpu/drm/i915/gvt/handlers.c (dp_aux_ch_ctl_mmio_write), linux:include/drm/display/drm_dp.h
"""

from __future__ import annotations

from typing import Final, NamedTuple, final

from pvinfo.dpcd import (
    AUX_HEADER,
    AUX_PAYLOAD_MAX,
    DPCD_SIZE,
    LINK_CONFIGURATION_AT,
    LINK_STATUS,
    LINK_STATUS_AT,
    POWER_AT,
    RECEIVER_CAPABILITIES,
    RECEIVER_CAPABILITIES_AT,
    SINK_COUNT_AT,
    AdjustRequest,
    AuxReply,
    EdpConfiguration,
    I2cReply,
    LaneAlignment,
    LaneCount,
    LanePairStatus,
    LinkPattern,
    LinkRate,
    LinkStatus,
    MaxDownspread,
    MaxLaneCount,
    PatternSet,
    PowerState,
    ReceiverCapabilities,
    SetPower,
    SinkCount,
)

from .ddc import EdidMemory

__all__ = ("DisplayPortSink", "SinkState")

_CAPABILITIES: Final = ReceiverCapabilities(
    revision=0x12,
    max_link_rate=LinkRate.HBR2,
    max_lane_count=MaxLaneCount.of(lanes=4, enhanced_framing=True),
    max_downspread=MaxDownspread(0),
    power_supplies=0,
    downstream_port=0,
    channel_coding=1,
    downstream_count=0,
    receive_port_0=0,
    receive_port_1=0,
    i2c_speed=0,
    edp_configuration=EdpConfiguration(0),
    training_interval=0,
    adapter=0,
)
"""DPCD 1.2, four lanes of 5.4 Gb/s. Source: linux:drivers/gpu/drm/i915/gvt/display.c"""

_RATE_AT: Final = LINK_CONFIGURATION_AT
_LANES_AT: Final = LINK_CONFIGURATION_AT + 1
_PATTERN_AT: Final = LINK_CONFIGURATION_AT + 2
_WRITABLE: Final = (range(LINK_CONFIGURATION_AT, SINK_COUNT_AT), range(POWER_AT, POWER_AT + 1))
_LANE_COUNTS: Final = (1, 2, 4)
_RATES: Final = frozenset(LinkRate)

_NATIVE: Final = 0x8
_READ: Final = 0x1
_STATUS_UPDATE: Final = 0x2
_MIDDLE: Final = 0x4
_ADDRESS_ONLY: Final = 3
_HEADER: Final = AUX_HEADER.size


class SinkState(NamedTuple):
    """What a monitor knows of its link and its driver."""

    dpcd: bytes
    recovered: frozenset[int]
    """Lanes whose clock is recovered."""
    equalised: frozenset[int]


@final
class DisplayPortSink:
    """One plugged-in monitor. It answers every message at once."""

    def __init__(self, edid: bytes) -> None:
        self.dpcd = bytearray(DPCD_SIZE)
        """Its registers."""
        self.ddc = EdidMemory(edid)
        """What answers on the I2C bus behind it."""
        self._recovered: frozenset[int] = frozenset()
        self._equalised: frozenset[int] = frozenset()
        RECEIVER_CAPABILITIES.pack_into(self.dpcd, RECEIVER_CAPABILITIES_AT, _CAPABILITIES)
        self.dpcd[SINK_COUNT_AT] = SinkCount.of(low=1)
        self.dpcd[POWER_AT] = PowerState.D0

    @property
    def state(self) -> SinkState:
        """What it knows."""
        return SinkState(bytes(self.dpcd), self._recovered, self._equalised)

    def take_over(self, state: SinkState) -> None:
        """Know what another one has known."""
        self.dpcd[:] = state.dpcd
        self._recovered, self._equalised = state.recovered, state.equalised

    @property
    def trained(self) -> bool:
        """Every lane in use is understood, and the training is over: a picture would show."""
        lanes = self._lanes
        return bool(lanes) and self._equalised == frozenset(lanes) and self._pattern == LinkPattern.NONE

    def answer(self, message: bytes) -> bytes:
        """The reply to ``message``; empty when it is none, and nobody answers."""
        if len(message) < _ADDRESS_ONLY:
            return b""
        request = message[0] >> 4
        address = (message[0] & 0xF) << 16 | message[1] << 8 | message[2]
        length = message[3] + 1 if len(message) > _ADDRESS_ONLY else 0
        native = request & _NATIVE
        nak = bytes((AuxReply.NAK if native else I2cReply.NAK,))
        reading = bool(request & _READ)
        carried = 0 if reading else length
        if length > AUX_PAYLOAD_MAX or (length and len(message) != _HEADER + carried):
            return nak
        if not native:
            return self._i2c(request, address & 0x7F, length, message[_HEADER:])
        if request & ~_READ != _NATIVE:
            return nak
        if reading:
            return bytes((AuxReply.ACK,)) + self._read(address, length)
        self._write(address, message[_HEADER:])
        return bytes((AuxReply.ACK,))

    # ---- registers ----

    def _read(self, address: int, length: int) -> bytes:
        return bytes(self.dpcd[address : address + length]).ljust(length, b"\0")

    def _write(self, address: int, data: bytes) -> None:
        written = {place: byte for place, byte in enumerate(data, address) if any(place in span for span in _WRITABLE)}
        link_changes = any(place in written and written[place] != self.dpcd[place] for place in (_RATE_AT, _LANES_AT))
        for place, byte in written.items():
            self.dpcd[place] = byte
        if link_changes or SetPower(self.dpcd[POWER_AT]).state != PowerState.D0:
            self._recovered = self._equalised = frozenset()
        if _PATTERN_AT in written:
            self._look_at_lanes()
        if written:
            self._show_link()

    # ---- the link ----

    @property
    def _lanes(self) -> range:
        """The lanes in use; none while it is off, or with a rate or number of lanes that it does not know."""
        count = LaneCount(self.dpcd[_LANES_AT]).lanes
        known = count in _LANE_COUNTS and self.dpcd[_RATE_AT] in _RATES
        return range(count if known and SetPower(self.dpcd[POWER_AT]).state == PowerState.D0 else 0)

    @property
    def _pattern(self) -> int:
        return PatternSet(self.dpcd[_PATTERN_AT]).pattern

    def _look_at_lanes(self) -> None:
        pattern, lanes = self._pattern, frozenset(self._lanes)
        if pattern == LinkPattern.PATTERN_1:
            self._recovered, self._equalised = lanes, frozenset()
        elif pattern in (LinkPattern.PATTERN_2, LinkPattern.PATTERN_3):
            self._equalised = lanes & self._recovered

    def _show_link(self) -> None:
        recovered, equalised = self._recovered, self._equalised

        def pair(first: int) -> LanePairStatus:
            return LanePairStatus.of(
                clock_recovery_0=first in recovered,
                equalised_0=first in equalised,
                symbols_locked_0=first in equalised,
                clock_recovery_1=first + 1 in recovered,
                equalised_1=first + 1 in equalised,
                symbols_locked_1=first + 1 in equalised,
            )

        aligned = bool(self._lanes) and equalised == frozenset(self._lanes)
        status = LinkStatus(pair(0), pair(2), LaneAlignment.of(aligned=aligned), int(self.trained), AdjustRequest(0), AdjustRequest(0))
        LINK_STATUS.pack_into(self.dpcd, LINK_STATUS_AT, status)

    # ---- I2C ----

    def _i2c(self, request: int, address: int, length: int, data: bytes) -> bytes:
        ddc, reading = self.ddc, bool(request & _READ)
        if request & _STATUS_UPDATE:
            return bytes((I2cReply.ACK if ddc.open else I2cReply.NAK,))
        acknowledged = True
        if not ddc.is_open_for(address, reading=reading) or (not length and request & _MIDDLE):
            acknowledged = ddc.start(address, reading=reading)
        reply = bytes((I2cReply.ACK,))
        if not acknowledged:
            reply = bytes((I2cReply.NAK,))
        elif reading:
            reply += bytes(ddc.read() for _ in range(length))
        else:
            for byte in data:
                ddc.write(byte)
        if not request & _MIDDLE:
            ddc.stop()
        return reply
