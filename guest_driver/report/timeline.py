"""A guest's accesses as a picture: lanes by kind, in order from left to right, reads above a lane's line and writes below.

Runs on one lane are folded into one mark, and where there are more runs than the picture has room for, neighbours share a
column: ten accesses and ten thousand give a picture of the same width. Every mark tells on hovering what it stands for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby
from math import log2
from typing import Final, NamedTuple

from ..scenarios.access import Access
from .lanes import READING, Lane, describe, lane_of

__all__ = ("Phase", "timeline")

_LABELS: Final = 168
_PLOT: Final = 1000
_TOP: Final = 26
_LANE: Final = 26
_WIDEST_UNIT: Final = 16.0
_NARROWEST_COLUMN: Final = 4.0
_LISTED: Final = 3
"""Accesses that a mark lists by name."""


class _Run(NamedTuple):
    """Adjacent accesses of one lane and one way."""

    first: int
    accesses: tuple[Access, ...]
    lane: Lane
    reading: bool

    @property
    def weight(self) -> float:
        return 1 + log2(len(self.accesses))


class _Column(NamedTuple):
    """Runs that share a place on the time axis."""

    x: float
    width: float
    runs: tuple[_Run, ...]


def _runs(accesses: Sequence[Access], cuts: set[int]) -> Iterator[_Run]:
    """Cut at every change of lane or way, and where a step or a state of the driver begins."""
    step = 0
    at = 0

    def key(numbered: tuple[int, Access]) -> tuple[int, Lane, bool]:
        nonlocal step
        number, access = numbered
        step += number in cuts
        return step, lane_of(access), access.kind in READING

    for (_, lane, reading), group in groupby(enumerate(accesses), key):
        found = tuple(access for _, access in group)
        yield _Run(at, found, lane, reading)
        at += len(found)


def _columns(runs: Sequence[_Run], cuts: set[int]) -> list[_Column]:
    """Give each run its width; where that is too little to see, put neighbours of one step together."""
    total = sum(run.weight for run in runs) or 1.0
    unit = min(_WIDEST_UNIT, _PLOT / total)
    columns: list[_Column] = []
    pending: list[_Run] = []
    x = start = 0.0
    for index, run in enumerate(runs):
        pending.append(run)
        x += run.weight * unit
        step_ends = index + 1 == len(runs) or runs[index + 1].first in cuts
        if x - start >= _NARROWEST_COLUMN or step_ends:
            columns.append(_Column(start, x - start, tuple(pending)))
            pending, start = [], x
    return columns


def _title(runs: Sequence[_Run]) -> str:
    accesses = [access for run in runs for access in run.accesses]
    lines: list[str] = []
    for line, same in groupby(accesses, describe):
        if len(lines) == _LISTED:
            break
        times = sum(1 for _ in same)
        lines.append(f"{line}{f' × {times}' if times > 1 else ''}")
    first = runs[0].first + 1
    head = f"access {first}" if len(accesses) == 1 else f"{len(accesses)} accesses from number {first}"
    more = ["…"] if len(accesses) > _LISTED and len(lines) == _LISTED else []
    return "\n".join([head, *lines, *more])


def _marks(column: _Column, rows: dict[Lane, int]) -> Iterator[str]:
    by_place: dict[tuple[Lane, bool], list[_Run]] = {}
    for run in column.runs:
        by_place.setdefault((run.lane, run.reading), []).append(run)
    width = max(1.6, column.width - (1 if column.width > 4 else 0.4))
    for (lane, reading), runs in by_place.items():
        count = sum(len(run.accesses) for run in runs)
        height = min(11.0, 5 + 1.4 * log2(count))
        middle = _TOP + rows[lane] * _LANE + _LANE / 2
        y = middle - height if reading else middle
        way = "event" if lane is Lane.EVENT else "read" if reading else "write"
        yield (
            f'<rect class="{way}" x="{_LABELS + column.x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}">'
            f"<title>{escape(_title(runs))}</title></rect>"
        )


def _step_lines(columns: Sequence[_Column], begins: Sequence[int], bottom: float) -> Iterator[str]:
    """Where each step begins, with its number; steps without accesses share a line."""
    starts = {column.runs[0].first: column.x for column in columns}
    places: dict[float, list[int]] = {}
    end = columns[-1].x + columns[-1].width
    for number, begin in enumerate(begins, 1):
        places.setdefault(starts.get(begin, end), []).append(number)
    for x, numbers in places.items():
        label = str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]}–{numbers[-1]}"
        beside = f'x="{_LABELS + x + 3:.1f}"' if x < _PLOT - 24 else f'x="{_LABELS + x - 3:.1f}" text-anchor="end"'
        yield (
            f'<line class="step" x1="{_LABELS + x:.1f}" x2="{_LABELS + x:.1f}" y1="{_TOP - 8}" y2="{bottom:.1f}"/>'
            f'<text class="step" {beside} y="{_TOP - 10}">{label}</text>'
        )


class Phase(NamedTuple):
    """A state of the driver, and before which access it was entered."""

    name: str
    begins_at: int


def _phases(columns: Sequence[_Column], phases: Sequence[Phase], top: float) -> Iterator[str]:
    """The driver's states along the accesses, each as long as what was accessed in it."""
    starts = [(column.runs[0].first, column.x) for column in columns]
    end = columns[-1].x + columns[-1].width

    def x_of(access: int) -> float:
        return next((x for first, x in starts if first >= access), end)

    edges = [x_of(phase.begins_at) for phase in phases] + [end]
    for number, phase in enumerate(phases):
        x, width = edges[number], edges[number + 1] - edges[number]
        if width <= 0:
            continue
        yield (
            f'<rect class="phase {escape(phase.name)}" x="{_LABELS + x:.1f}" y="{top:.1f}" width="{max(width - 1, 1):.1f}" height="15">'
            f"<title>driver state: {escape(phase.name)}</title></rect>"
        )
        if width > 6.2 * len(phase.name) + 6:
            yield f'<text class="phase" x="{_LABELS + x + width / 2:.1f}" y="{top + 11:.1f}" text-anchor="middle">{escape(phase.name)}</text>'


def timeline(accesses: Sequence[Access], begins: Sequence[int], phases: Sequence[Phase] = ()) -> str:
    """The picture as SVG; ``begins`` says before which access each step begins, ``phases`` what state the driver was in.

    Empty without accesses.
    """
    if not accesses:
        return ""
    cuts = {*begins, *(phase.begins_at for phase in phases)}
    runs = list(_runs(accesses, cuts))
    columns = _columns(runs, cuts)
    used = {run.lane for run in runs}
    rows = {lane: row for row, lane in enumerate(lane for lane in Lane if lane in used)}
    bottom = _TOP + len(rows) * _LANE
    counts = dict.fromkeys(rows, 0)
    for run in runs:
        counts[run.lane] += len(run.accesses)
    width = _LABELS + _PLOT + 8
    height = bottom + (24 if phases else 6)
    parts = [f'<svg class="timeline" viewBox="0 0 {width} {height}" role="img"><title>{len(accesses)} accesses in order</title>']
    if phases:
        parts.append(f'<text x="6" y="{bottom + 16:.1f}">driver state</text>')
        parts += _phases(columns, phases, bottom + 5)
    for lane, row in rows.items():
        middle = _TOP + row * _LANE + _LANE / 2
        if row % 2 == 0:
            parts.append(f'<rect class="band" x="0" y="{middle - _LANE / 2:.1f}" width="{width}" height="{_LANE}"/>')
        parts.append(f'<text x="6" y="{middle + 4:.1f}">{escape(lane.value)}</text>')
        parts.append(f'<text class="count" x="{_LABELS - 8}" y="{middle + 4:.1f}" text-anchor="end">{counts[lane]}</text>')
        parts.append(f'<line class="axis" x1="{_LABELS}" x2="{_LABELS + _PLOT}" y1="{middle:.1f}" y2="{middle:.1f}"/>')
    parts += _step_lines(columns, begins, bottom)
    for column in columns:
        parts += _marks(column, rows)
    parts.append("</svg>")
    return "".join(parts)
