"""What a register handler may ask of the device it serves, be it a physical GPU or a mediated one."""

from __future__ import annotations

from typing import Protocol

from pvinfo.finding import FindingLog
from pvinfo.platform import Engine, Platform

from ..clock import HostClock
from .display.display import Display
from .interrupts import InterruptTree
from .mmio.registers import RegisterPage
from .sideband import SidebandRegisters

__all__ = ("RegisterDevice",)


class RegisterDevice(Protocol):
    """A GPU as its registers see it."""

    @property
    def platform(self) -> Platform:
        """Which GPU it is."""

    @property
    def registers(self) -> RegisterPage:
        """What is stored."""

    @property
    def clock(self) -> HostClock:
        """The time."""

    @property
    def findings(self) -> FindingLog:
        """Where remarks go."""

    @property
    def interrupts(self) -> InterruptTree:
        """Where events go."""

    @property
    def sideband(self) -> SidebandRegisters:
        """Registers of the hub behind the side-band interface."""

    @property
    def display(self) -> Display:
        """What it drives."""

    def inject_msi(self) -> None:
        """Send one message-signalled interrupt, if software has set the device up to send one."""

    def reset_engines(self, engines: frozenset[Engine], *, full: bool) -> None:
        """Reset the engines; ``full`` is the whole GT, which also loses its registers."""
