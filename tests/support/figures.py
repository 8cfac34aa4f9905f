"""Speed as ratios: two things measured in turn in the same run, so that a slow or busy machine slows both.

A figure is the median over rounds of each side; what is judged is their ratio.
"""

from __future__ import annotations

import gc
import json
import platform
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import NamedTuple

__all__ = ("Figure", "Figures", "median_ns", "side_by_side")


class Figure(NamedTuple):
    """One comparison."""

    what: str
    ns: float
    against: str
    against_ns: float
    bar: float | None
    """The ratio that must not be exceeded; None: it is only shown."""

    @property
    def ratio(self) -> float:
        return self.ns / self.against_ns

    def __str__(self) -> str:
        bar = f" (bar {self.bar:g})" if self.bar is not None else ""
        verdict = " EXCEEDED" if self.bar is not None and self.ratio > self.bar else ""
        return f"{self.what}: {self.ns:.0f} ns, held against {self.against} {self.against_ns:.0f} ns: ratio {self.ratio:.2f}{bar}{verdict}"


def median_ns(times: list[int], operations: int) -> float:
    """Median of whole rounds, by operation."""
    return median(times) / operations


def side_by_side(
    one: Callable[[int], object], other: Callable[[int], object], operations: int, rounds: int, clock: Callable[[], int] = time.perf_counter_ns
) -> tuple[float, float]:
    """Nanoseconds of an operation of each, medians over ``rounds`` taken in turn; each call does ``operations`` of them.

    Where all the work is done in this thread, the ``clock`` is ``time.thread_time_ns``: a long round is interrupted by other
    processes where a short one is not, and what they do in between is no part of it.
    """
    times: tuple[list[int], list[int]] = ([], [])
    for side in (one, other):  # whatever is set up at the first call
        side(max(operations // 10, 1))
    collecting = gc.isenabled()
    gc.disable()
    try:
        for number in range(rounds):
            for which in (0, 1) if number % 2 else (1, 0):
                start = clock()
                (one, other)[which](operations)
                times[which].append(clock() - start)
    finally:
        if collecting:
            gc.enable()
    return median_ns(times[0], operations), median_ns(times[1], operations)


class Figures:
    """The figures of one run."""

    def __init__(self) -> None:
        self.all: list[Figure] = []

    def add(self, figure: Figure) -> Figure:
        """Print a figure and keep it."""
        print(f"\n{figure}", flush=True)
        self.all.append(figure)
        return figure

    def store(self, path: Path) -> None:
        """Write all figures as JSON, with the interpreter and the commit they belong to."""
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
        report = {
            "python": f"{platform.python_implementation()} {platform.python_version()}",
            "commit": head.stdout.strip(),
            "figures": [{**figure._asdict(), "ratio": figure.ratio} for figure in self.all],
        }
        path.write_text(json.dumps(report, indent=2) + "\n")
