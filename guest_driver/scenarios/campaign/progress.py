"""How a campaign gets on, in words: one line that changes on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Collection
from typing import IO, Final, final

from ..outcome import Outcome
from .result import UnitResult

__all__ = ("Progress",)

_SPARSE_LINES: Final = 10
"""Lines of a whole campaign where there is no terminal, other than those about failures."""


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60:02} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60:02} min"


@final
class Progress:
    """Writes to ``out``; ``now`` is a clock in seconds."""

    def __init__(self, out: IO[str], now: Callable[[], float] = time.monotonic) -> None:
        self._out = out
        self._live = out.isatty()
        self._now = now
        self._total = self._known = self._done = self._failed = 0
        self._began = now()

    def begin(self, total: int, known: Collection[UnitResult]) -> None:
        """Of ``total`` units some are ``known``, by the journal."""
        self._total, self._known, self._done, self._began = total, len(known), len(known), self._now()
        self._failed = sum(result.outcome is Outcome.FAILED for result in known)
        if known:
            self._say(f"{len(known)} of {total} units are in the journal")
        self._draw()

    def after(self, result: UnitResult) -> None:
        """One more is done."""
        self._done += 1
        if result.outcome is Outcome.FAILED:
            self._failed += 1
            self._say(f"failed   {result.unit.command}\n         {result.reason}")
        if self._live:
            self._draw()
        elif self._done * _SPARSE_LINES // self._total > (self._done - 1) * _SPARSE_LINES // self._total:
            self._say(self.line)

    @property
    def line(self) -> str:
        """How it stands."""
        played, seconds = self._done - self._known, self._now() - self._began
        line = f"{self._done}/{self._total} units, {self._failed} failed"
        if not played or seconds <= 0:
            return line
        left = (self._total - self._done) * seconds / played
        return f"{line}, {played / seconds:.1f}/s" + (f", {_duration(left)} left" if self._done < self._total else "")

    def _draw(self) -> None:
        if self._live:
            self._out.write(f"\r\033[K{self.line[: shutil.get_terminal_size().columns - 1]}")
            self._out.flush()

    def _say(self, text: str) -> None:
        self.end()
        self._out.write(f"{text}\n")
        self._out.flush()

    def end(self) -> None:
        """Leave the terminal as it was, also after Ctrl-C."""
        if self._live:
            self._out.write("\r\033[K")
