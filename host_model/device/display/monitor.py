"""A monitor at the other end of the cable."""

from __future__ import annotations

from typing import final

from pvinfo.connector import Connector

__all__ = ("Monitor",)


@final
class Monitor:
    """A monitor that says ``edid`` of itself, plugged in at ``connector``."""

    def __init__(self, connector: Connector, edid: bytes) -> None:
        self.connector = connector
        self.edid = edid
