"""A device whose accesses can be recorded, be it a physical GPU or one that the mediator makes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from pvinfo.trace import TraceWriter, open_trace

__all__ = ("TracedDevice",)


class TracedDevice(ABC):
    """A device with at most one trace, which is taken until it is ended."""

    _trace: TraceWriter | None = None

    @property
    @abstractmethod
    def traced_as(self) -> str:
        """What it is, and by whom it is accessed: the trace's first line."""

    @abstractmethod
    def record_to(self, trace: TraceWriter | None) -> None:
        """Have each part of it tell ``trace`` of its accesses; None: nobody."""

    def trace_to(self, path: Path) -> None:
        """Record every access of its driver from now on. Raises: OSError."""
        self._trace = open_trace(path, f"Accesses of {self.traced_as}, in order of arrival.")
        self.record_to(self._trace)

    def end_trace(self) -> None:
        """Close the trace, if one is taken."""
        if self._trace is not None:
            self.record_to(None)
            self._trace.close()
            self._trace = None
