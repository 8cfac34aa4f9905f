"""Which monitor the user wants plugged in: ``--monitor``, ``--edid`` and ``--mode``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final, NamedTuple

from pvinfo.connector import connector_named, default_connector
from pvinfo.display_mode import standard_mode
from pvinfo.edid import EDID_RESOLUTIONS, parse_edid
from pvinfo.errors import SetupError, UsageError
from pvinfo.platform import Platform

from .device.display.monitor import Monitor

__all__ = ("PHYSICAL_RESOLUTION", "MonitorChoice", "add_monitor_arguments", "monitor_choice_of")

PHYSICAL_RESOLUTION: Final = "1024x768"
"""Of a monitor at the physical GPU, which has no type that says one."""
_NOTHING: Final = "none"
_LONGEST_FILE: Final = 1 << 20
"""Bytes of a file that are read: no EDID is that long."""


class MonitorChoice(NamedTuple):
    """What the user has said; what was left open is as usual for the device."""

    connector: str | None = None
    """Its name, as ``DP-D``, or ``none``."""
    edid: bytes | None = None
    mode: str | None = None
    """A standard mode that is to be preferred."""

    @property
    def open(self) -> bool:
        """Nothing was said."""
        return self == MonitorChoice()

    def monitor(self, platform: Platform, resolution: str) -> Monitor | None:
        """The monitor; None for none. ``resolution`` is that of one of which nothing else is said.

        Raises: UsageError for a connector that ``platform`` has not, a mode that nobody knows, an EDID that is none, or one that
        the cable of the connector does not carry.
        """
        if self.connector is not None and self.connector.lower() == _NOTHING:
            return None
        connector = default_connector(platform) if self.connector is None else connector_named(self.connector, platform)
        if self.edid is not None:
            return Monitor(connector, self.edid)
        return Monitor.of_resolution(connector, self.mode if self.mode is not None else resolution)


def add_monitor_arguments(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Give ``parser`` ``--monitor``, ``--edid`` and ``--mode``."""
    parser.add_argument(
        "--monitor", metavar="CONNECTOR",
        help="plug the monitor in there: DP-A, DP-B …, HDMI-B …, or none for no monitor (where the kernel's mediator has it, DP-D or DP-B; "
        "with --physical, or for the host's own with --own, there is none unless one of these three options is given)",
    )  # fmt: skip
    parser.add_argument("--edid", type=Path, metavar="FILE", help="what the monitor says of itself, as in Linux' /sys/class/drm/*/edid")
    parser.add_argument(
        "--mode", metavar="WxH[@HZ]",
        help=f"the mode that the monitor prefers, of those from {EDID_RESOLUTIONS[0]} to {EDID_RESOLUTIONS[-1]} "
        f"(the type's resolution; with --physical or --own {PHYSICAL_RESOLUTION})",
    )  # fmt: skip


def monitor_choice_of(arguments: argparse.Namespace) -> MonitorChoice:
    """What the user has said.

    Raises: UsageError for options that do not go together, a mode that nobody knows, or a file that holds no EDID; SetupError for
    one that cannot be read.
    """
    connector: str | None = arguments.monitor
    mode: str | None = arguments.mode
    path: Path | None = arguments.edid
    if path is not None and mode is not None:
        raise UsageError(f"--edid {path} with --mode {mode}: the EDID itself says which mode the monitor prefers")
    if connector is not None and connector.lower() == _NOTHING:
        for option, value in (("--edid", path), ("--mode", mode)):
            if value is not None:
                raise UsageError(f"{option} {value} with --monitor {connector}: there is no monitor that it could describe")
    if mode is not None:
        standard_mode(mode)
    return MonitorChoice(connector, None if path is None else _read(path), mode)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_LONGEST_FILE)
    except OSError as error:
        raise SetupError(f"--edid: {path} cannot be read: {error.strerror}") from None
    try:
        parse_edid(content)
    except UsageError as error:
        raise UsageError(f"--edid {path}: {error}") from None
    return content
