"""What the driver has to say: its own kernel log.

A host that is developed against this driver reads here what a real guest would complain about. Every line
carries a rule, a short stable name, so that programs need not parse the text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import NamedTuple, final

from pvinfo.bus import Clock

__all__ = ("DriverLog", "LogLine", "Severity")


class Severity(IntEnum):
    """How much a line matters."""

    DEBUG = 0
    INFO = 1
    WARNING = 2
    """The device did something that the driver can live with."""
    ERROR = 3
    """The device did something that costs a feature or the driver."""


class LogLine(NamedTuple):
    """One thing said."""

    time_ns: int
    severity: Severity
    rule: str
    """Short stable name: ``interrupt-register-not-zero``."""
    text: str


@final
class DriverLog:
    """The lines of one driver, oldest first."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.lines: list[LogLine] = []
        self.on_line: Callable[[LogLine], None] | None = None
        """Called with each new line, for live display."""

    def _add(self, severity: Severity, rule: str, text: str) -> None:
        line = LogLine(self._clock.now_ns(), severity, rule, text)
        self.lines.append(line)
        if self.on_line is not None:
            self.on_line(line)

    def debug(self, rule: str, text: str) -> None:
        """For whoever looks closely."""
        self._add(Severity.DEBUG, rule, text)

    def info(self, rule: str, text: str) -> None:
        """Progress."""
        self._add(Severity.INFO, rule, text)

    def warning(self, rule: str, text: str) -> None:
        """A flaw of the device that the driver works around or ignores."""
        self._add(Severity.WARNING, rule, text)

    def error(self, rule: str, text: str) -> None:
        """A flaw of the device that costs something."""
        self._add(Severity.ERROR, rule, text)

    def __iter__(self) -> Iterator[LogLine]:
        return iter(self.lines)

    def complaints(self) -> tuple[LogLine, ...]:
        """The warnings and errors: what a host should make disappear."""
        return tuple(line for line in self.lines if line.severity >= Severity.WARNING)
