"""Outputs: a port with one kind of cable, and whether a monitor is at its end.

Without tables of the firmware the driver takes every port of the part for wired up, for both kinds of cable.

Source: linux:drivers/gpu/drm/i915/display/intel_bios.c (init_vbt_missing_defaults),
linux:drivers/gpu/drm/i915/display/intel_dp.c (intel_dp_detect), linux:drivers/gpu/drm/i915/display/intel_hdmi.c (intel_hdmi_detect)
"""

from __future__ import annotations

from typing import Final, NamedTuple, final

from pvinfo.connector import Connector, Link, Port
from pvinfo.display_mode import DisplayMode
from pvinfo.dpcd import RECEIVER_CAPABILITIES, RECEIVER_CAPABILITIES_AT, SINK_COUNT_AT, SinkCount
from pvinfo.edid import Edid, parse_edid
from pvinfo.errors import DriverError, UsageError
from pvinfo.platform import Platform
from pvinfo.registers import DisplayFuses, DisplayPortInterrupt, InterruptGroup, PchInterrupt

from ..uncore import Uncore
from .aux_channel import DisplayPortAux
from .gmbus import HdmiBus
from .i2c import read_edid

__all__ = ("Output", "SinkAbilities", "hotplug_bits", "outputs_of")

_HDMI_LIMIT_KHZ: Final = 300_000
"""Of a port of these parts; a monitor that does not say that it knows HDMI takes up to 165 MHz."""
_DVI_LIMIT_KHZ: Final = 165_000
_RATE_UNIT_KHZ: Final = 27_000
_HIGHEST_RATE_KHZ: Final = 540_000


class SinkAbilities(NamedTuple):
    """What a DisplayPort monitor says that it can."""

    revision: int
    """Of its registers, as two digits of hexadecimal."""
    highest_rate_khz: int
    most_lanes: int
    enhanced_framing: bool
    third_pattern: bool
    """It can be trained with the third pattern."""

    @classmethod
    def parse(cls, registers: bytes) -> SinkAbilities:
        """From the first of its registers."""
        capabilities = RECEIVER_CAPABILITIES.parse(registers)
        lanes = capabilities.max_lane_count
        rate = min(capabilities.max_link_rate * _RATE_UNIT_KHZ, _HIGHEST_RATE_KHZ)
        return cls(capabilities.revision, rate, lanes.lanes, lanes.enhanced_framing, lanes.pattern_3)


def hotplug_bits(platform: Platform, port: Port) -> tuple[str, int]:
    """The interrupt group that a port's hot plug is told in, and its bit, which as status says that something is plugged in.

    Raises: DriverError for a port that tells nothing.
    """
    if platform.name == "bxt":
        north = {Port.A: DisplayPortInterrupt.hotplug_a, Port.B: DisplayPortInterrupt.hotplug_b, Port.C: DisplayPortInterrupt.hotplug_c}
        if port in north:
            return "DE_PORT", north[port].mask
    else:
        south = {Port.B: PchInterrupt.port_b_hotplug, Port.C: PchInterrupt.port_c_hotplug, Port.D: PchInterrupt.port_d_hotplug}
        if port in south:
            return "SDE", south[port].mask
    raise DriverError(f"port {port.value} of {platform.title} tells nothing of hot plug")


@final
class Output:
    """One port with one kind of cable. What is known of its monitor is what :meth:`detect` found last."""

    def __init__(self, uncore: Uncore, connector: Connector) -> None:
        self._uncore = uncore
        self.connector = connector
        self._state = hotplug_bits(uncore.platform, connector.port)
        self.aux = DisplayPortAux(uncore, connector.port.value, lambda: self.plugged_in) if connector.link is Link.DISPLAYPORT else None
        """Its AUX channel, with DisplayPort."""
        self.edid: Edid | None = None
        """What its monitor says of itself; None: there is none, or none that can be understood."""
        self.edid_bytes = b""
        self.sink: SinkAbilities | None = None
        """What its DisplayPort monitor can."""

    def __repr__(self) -> str:
        return f"<Output {self.connector}: {self.edid.name if self.edid is not None else 'no monitor'}>"

    @property
    def plugged_in(self) -> bool:
        """Something is at the other end of the cable, by the state of its pin."""
        group, bit = self._state
        return bool(self._uncore.read(InterruptGroup.isr, group) & bit)

    @property
    def connected(self) -> bool:
        """A monitor was there when it was last looked for."""
        return bool(self.edid_bytes)

    # ---- looking for a monitor ----

    def detect(self) -> bool:
        """Look whether there is a monitor, and read what it says of itself.

        Raises: DriverError when the way to it does not work; a monitor that says nonsense is there, and has no modes.
        """
        self.edid, self.edid_bytes, self.sink = None, b"", None
        raw = self._detect_displayport() if self.aux is not None else self._detect_hdmi()
        if raw is None:
            return False
        self.edid_bytes = raw
        try:
            self.edid = parse_edid(raw)
        except UsageError as error:
            self._uncore.log.warning("edid-unusable", f"{self.connector}: {error}")
        return True

    def _detect_displayport(self) -> bytes | None:
        assert self.aux is not None, "asked for of DisplayPort only"
        if not self.plugged_in:
            return None
        registers = self.aux.read_registers(RECEIVER_CAPABILITIES_AT, RECEIVER_CAPABILITIES.size)
        if registers is None or not registers[0]:
            return None
        count = self.aux.read_registers(SINK_COUNT_AT, 1)
        if count is None or not SinkCount(count[0]).low:
            return None
        self.sink = SinkAbilities.parse(registers)
        return read_edid(self.aux, self._uncore.log)

    def _detect_hdmi(self) -> bytes | None:
        """Gen9 does not ask the pin's state first."""
        if self._uncore.platform.graphics_version == 8 and not self.plugged_in:
            return None
        return read_edid(HdmiBus(self._uncore, self.connector.port), self._uncore.log)

    # ---- modes ----

    @property
    def modes(self) -> tuple[DisplayMode, ...]:
        """What its monitor can show and this end can send, in the monitor's order."""
        return tuple(mode for mode in self.edid.modes if self.can_send(mode)) if self.edid is not None else ()

    def can_send(self, mode: DisplayMode) -> bool:
        """The cable carries it."""
        if self.connector.link is Link.HDMI:
            return mode.pixel_clock_khz <= (_HDMI_LIMIT_KHZ if self.edid is not None and self.edid.hdmi else _DVI_LIMIT_KHZ)
        sink = self.sink
        return sink is not None and mode.pixel_clock_khz * 3 <= sink.highest_rate_khz * sink.most_lanes

    @property
    def preferred(self) -> DisplayMode:
        """What its monitor would like to show, or the first that can be sent. Raises: DriverError when there is no mode at all."""
        if self.edid is not None and self.can_send(self.edid.preferred):
            return self.edid.preferred
        if not self.modes:
            raise DriverError(f"{self.connector}: {'no monitor' if not self.connected else 'the monitor has no mode that can be sent'}")
        return self.modes[0]


def _ports(uncore: Uncore) -> tuple[Port, ...]:
    """Those that are there, and tell of hot plug; port A is a panel's."""
    if uncore.platform.name == "bxt":
        return Port.B, Port.C
    if uncore.platform.graphics_version == 8:
        strap = uncore.read(DisplayFuses.sfuse_strap)
        wired = {Port.B: strap.ddi_b_detected, Port.C: strap.ddi_c_detected, Port.D: strap.ddi_d_detected}
        return tuple(port for port in wired if wired[port])
    return Port.B, Port.C, Port.D


def outputs_of(uncore: Uncore) -> tuple[Output, ...]:
    """Every output of a part of which no table of the firmware says more, DisplayPort before HDMI."""
    return tuple(Output(uncore, Connector(port, link)) for port in _ports(uncore) for link in (Link.DISPLAYPORT, Link.HDMI))
