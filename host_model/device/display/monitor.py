"""A monitor at the other end of the cable."""

from __future__ import annotations

from typing import Final, final

from pvinfo.connector import Connector, Link
from pvinfo.display_mode import DisplayMode
from pvinfo.edid import HDMI_MAX_CLOCK_KHZ, Edid, edid_for, parse_edid
from pvinfo.errors import UsageError

__all__ = ("Monitor",)

_LANES: Final = 4
_LANE_KBYTES: Final = 540_000
"""What a lane of HBR2 carries, in kilobytes per second."""
_BYTES_PER_PIXEL: Final = 3

@final
class Monitor:
    """A monitor that says ``edid`` of itself, to be plugged in at ``connector``. It never changes, so that one may be plugged into several devices.

    Raises: UsageError naming byte, value and rule, when no driver could show a picture on it.
    """

    def __init__(self, connector: Connector, edid: bytes) -> None:
        self.connector = connector
        self.edid = bytes(edid)
        self.identity: Edid = parse_edid(edid)
        """What the EDID says."""
        fastest = self.fastest_clock_khz
        if all(mode.pixel_clock_khz > fastest for mode in self.identity.modes):
            raise UsageError(
                f"EDID: the slowest of its modes, {min(self.identity.modes, key=lambda mode: mode.pixel_clock_khz)}, is too fast for {connector}; "
                f"a cable of that kind carries {fastest} kHz at most"
            )

    @classmethod
    def of_resolution(cls, connector: Connector, resolution: str) -> Monitor:
        """A monitor of our own, of a standard mode. Raises: UsageError for another one."""
        return cls(connector, edid_for(resolution, connector.link))

    @property
    def fastest_clock_khz(self) -> int:
        """The fastest pixel clock that its cable carries at 8 bits per colour."""
        return HDMI_MAX_CLOCK_KHZ if self.connector.link is Link.HDMI else _LANES * _LANE_KBYTES // _BYTES_PER_PIXEL

    @property
    def mode(self) -> DisplayMode:
        """The mode that a driver sets unless it is asked for another."""
        fastest = self.fastest_clock_khz
        return next(mode for mode in self.identity.modes if mode.pixel_clock_khz <= fastest)

    def __str__(self) -> str:
        return f"{self.identity.name or 'monitor'} at {self.connector}"
