"""Where a monitor is plugged in: a port of the GPU, and what runs over its cable."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from .platform import Platform

__all__ = ("Connector", "Link", "Port", "default_connector")


class Port(Enum):
    """A digital port."""

    A = "A"
    B = "B"
    C = "C"
    D = "D"
    E = "E"

    @property
    def number(self) -> int:
        """As registers count ports: A is 0."""
        return ord(self.value) - ord("A")


class Link(Enum):
    """What runs over the cable."""

    DISPLAYPORT = "DP"
    HDMI = "HDMI"


class Connector(NamedTuple):
    """A port, and the kind of cable in it."""

    port: Port
    link: Link

    def __str__(self) -> str:
        return f"{self.link.value}-{self.port.value}"


def default_connector(platform: Platform) -> Connector:
    """Where the kernel's mediator plugs in the monitor of a vGPU. Source: linux:drivers/gpu/drm/i915/gvt/display.c"""
    return Connector(Port.B if platform.name in ("bdw", "bxt") else Port.D, Link.DISPLAYPORT)
