"""Where a monitor is plugged in: a port of the GPU, and what runs over its cable."""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

from .errors import UsageError
from .platform import Platform

__all__ = ("Connector", "Link", "Port", "check_connector", "connector_named", "connectors_of", "default_connector")


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


_PORTS: Final = {"bdw": "ABC", "bxt": "ABC"}
_OTHERS_PORTS: Final = "ABCD"


def connectors_of(platform: Platform) -> tuple[Connector, ...]:
    """Where a monitor can be plugged in: ports with an AUX channel for DisplayPort, with an I2C bus for HDMI.

    Port E, where there is one, borrows the channel of another port, and gen8's port D is not wired on the part modelled. A guest
    that finds no OpRegion takes port A for that of an embedded panel.

    Source: linux:drivers/gpu/drm/i915/display/intel_gmbus.c (gmbus_pins_skl), linux:drivers/gpu/drm/i915/display/intel_display_device.c
    """
    ports = [Port(letter) for letter in _PORTS.get(platform.name, _OTHERS_PORTS)]
    return tuple(
        Connector(port, link) for link in Link for port in ports if link is Link.DISPLAYPORT or port is not Port.A
    )


def check_connector(connector: Connector, platform: Platform) -> None:
    """Raises: UsageError unless ``platform`` has ``connector``."""
    known = connectors_of(platform)
    if connector not in known:
        raise UsageError(f"{platform.name} has no {connector}; it has {', '.join(map(str, known))}")


def connector_named(name: str, platform: Platform) -> Connector:
    """The connector called ``name``, as ``DP-D`` or ``HDMI-B``. Raises: UsageError listing those of the platform."""
    known = {str(connector): connector for connector in connectors_of(platform)}
    try:
        return known[name.upper()]
    except KeyError:
        raise UsageError(f"no connector {name!r} on {platform.name}; there are {', '.join(known)}") from None
