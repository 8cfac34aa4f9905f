"""Who had the GPU when: the newest turns, and a picture of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Final, NamedTuple, final

from pvinfo.platform import Engine
from pvinfo.units import format_time

__all__ = ("Timeline", "TurnTaken", "draw_timeline")

_KEPT: Final = 16384
"""Turns that are remembered: minutes of a busy GPU."""
_GAP_NS: Final = 100_000
"""A vGPU whose next work comes sooner than so after its last, and that has kept the GPU, has had one turn."""

_LABELS: Final = 196
_PLOT: Final = 1000
_TOP: Final = 30
_LANE: Final = 30
_BAR: Final = 18
_SHADES: Final = 8
"""Steps of colour for how much of a column of the picture a vGPU had."""
_COLOURS: Final = ("#3b82c4", "#d9772b", "#4f9d5d", "#8b4fb8", "#c2a021", "#c0506b", "#3f9c9c", "#7a6a58")
_STYLE: Final = (
    "text{font:12px system-ui,sans-serif;fill:#1d2126}.ground{fill:#fdfdfc}text.quiet{fill:#636b75;font-size:11px}.band{fill:#f4f4f1}.axis{stroke:#dcdcd6}"
    "@media (prefers-color-scheme:dark){.ground{fill:#14171b}text{fill:#dfe3e8}text.quiet{fill:#939ca7}.band{fill:#1b1f25}.axis{stroke:#30363d}}"
)


class TurnTaken(NamedTuple):
    """The GPU, or an engine of it, at work for one vGPU, without a pause."""

    vgpu: int
    start_ns: int
    end_ns: int
    engine: Engine | None = None
    """The engine that has turns of its own; None: the GPU as a whole has them."""


@final
class Timeline:
    """The newest turns. Older ones are forgotten, and counted."""

    def __init__(self, kept: int = _KEPT) -> None:
        self._turns: deque[TurnTaken] = deque(maxlen=kept)
        self._newest: dict[Engine | None, TurnTaken] = {}
        self.forgotten = 0

    @property
    def turns(self) -> tuple[TurnTaken, ...]:
        """In the order in which they began; the last of each engine may still go on."""
        return tuple(sorted((*self._turns, *self._newest.values()), key=lambda turn: turn.start_ns))

    def use(self, vgpu: int, start_ns: int, end_ns: int, engine: Engine | None = None) -> None:
        """The GPU has worked for ``vgpu``, or one engine of it, which has turns of its own."""
        newest = self._newest.get(engine)
        if newest is not None:
            if newest.vgpu == vgpu and start_ns - newest.end_ns <= _GAP_NS:
                start_ns = newest.start_ns
            else:
                self.forgotten += len(self._turns) == self._turns.maxlen
                self._turns.append(newest)
        self._newest[engine] = TurnTaken(vgpu, start_ns, end_ns, engine)


# ---- the picture ----


class _Bar(NamedTuple):
    """Columns next to each other of which a vGPU had about as much."""

    first: int
    end: int
    shade: int


def _columns(turns: Sequence[TurnTaken], start_ns: int, span_ns: int) -> list[float]:
    """How much of each column the GPU worked for the vGPU of these turns."""
    had = [0.0] * _PLOT
    for turn in turns:
        first, last = (_PLOT * (at - start_ns) / span_ns for at in (turn.start_ns, turn.end_ns))
        column = int(first)
        while first < last and column < _PLOT:
            had[column] += min(last, column + 1) - first
            column += 1
            first = column
    return had


def _bars(had: Sequence[float]) -> Iterator[_Bar]:
    first = shade = 0
    for column in range(len(had) + 1):
        following = -(-min(had[column], 1.0) * _SHADES // 1) if column < len(had) else 0
        if following != shade or column == len(had):
            if shade:
                yield _Bar(first, column, int(shade))
            first, shade = column, int(following)


def _step_ns(span_ns: int) -> int:
    """A round distance between marks on the axis: some five to ten of them."""
    step = 1
    while True:
        for factor in (1, 2, 5):
            if span_ns / (step * factor) <= 10:
                return step * factor
        step *= 10


def _axis(start_ns: int, span_ns: int, bottom: int) -> Iterator[str]:
    step = _step_ns(span_ns)
    for number in range(-(-start_ns // step), (start_ns + span_ns) // step + 1):
        x = _LABELS + _PLOT * (number * step - start_ns) / span_ns
        anchor = "end" if x > _LABELS + _PLOT - 30 else "middle"
        yield (
            f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP - 6}" y2="{bottom}"/>'
            f'<text class="quiet" x="{x:.1f}" y="{_TOP - 12}" text-anchor="{anchor}">{format_time(number * step)}</text>'
        )


def draw_timeline(turns: Sequence[TurnTaken], names: Mapping[int, str] | None = None) -> str:
    """The turns as an SVG picture, a lane for each vGPU: where there are more turns than the picture has columns, how dark a
    column is says how much of it the vGPU had. ``names`` says what vGPUs are called beside their lanes. Engines that have turns
    of their own follow each other, with a lane for each vGPU that has had a turn there.

    A picture of no turns says so.
    """
    names = names or {}
    start = min((turn.start_ns for turn in turns), default=0)
    span = max(max((turn.end_ns for turn in turns), default=0) - start, 1)
    by_lane: dict[tuple[str, int], list[TurnTaken]] = {}
    for turn in turns:
        by_lane.setdefault((turn.engine.value if turn.engine is not None else "", turn.vgpu), []).append(turn)
    lanes = sorted(by_lane)
    bottom = _TOP + _LANE * max(len(lanes), 1)
    width, height = _LABELS + _PLOT + 12, bottom + 28
    title = f"{len(turns)} turns of {len({turn.vgpu for turn in turns})} vGPUs in {format_time(span)}" if turns else "no turns: no vGPU has used the GPU"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="schedule" viewBox="0 0 {width} {height}" role="img">'
        f'<style>{_STYLE}</style><title>{title}</title><rect class="ground" width="{width}" height="{height}"/>'
    ]
    for row in range(0, len(lanes), 2):
        parts.append(f'<rect class="band" x="0" y="{_TOP + row * _LANE}" width="{width}" height="{_LANE}"/>')
    if turns:
        parts += _axis(start, span, bottom)
    for row, (engine, vgpu) in enumerate(lanes):
        parts += _lane(vgpu, by_lane[engine, vgpu], names.get(vgpu, f"vGPU {vgpu}" if vgpu else "the host"), engine, _TOP + row * _LANE, start, span)
    idle = f"; the GPU idle for {100 * (span - _covered(turns)) / span:.1f} %" if turns else ""
    parts.append(f'<text class="quiet" x="{_LABELS}" y="{bottom + 18}">{title}{idle}</text></svg>')
    return "".join(parts)


def _covered(turns: Sequence[TurnTaken]) -> int:
    """Time in which any engine worked."""
    covered = end = 0
    for turn in sorted(turns, key=lambda turn: turn.start_ns):
        covered += max(turn.end_ns - max(turn.start_ns, end), 0)
        end = max(end, turn.end_ns)
    return covered


def _lane(vgpu: int, turns: Sequence[TurnTaken], name: str, engine: str, top: int, start_ns: int, span_ns: int) -> Iterator[str]:
    colour = _COLOURS[(vgpu - 1) % len(_COLOURS)]
    used = sum(turn.end_ns - turn.start_ns for turn in turns)
    middle = top + _LANE // 2
    known = escape(f"{name}, {engine}" if engine else name)
    if engine:
        yield f'<text class="quiet" x="27" y="{middle + 11}">{engine}</text>'
    yield (
        f'<rect x="8" y="{middle - 6}" width="12" height="12" rx="2" fill="{colour}"/>'
        f'<text x="27" y="{middle - 2 if engine else middle + 4}">{escape(name)}</text>'
        f'<text class="quiet" x="{_LABELS - 10}" y="{middle + 4}" text-anchor="end">{100 * used / span_ns:.1f} %</text>'
    )
    for bar in _bars(_columns(turns, start_ns, span_ns)):
        when = " to ".join(format_time(start_ns + span_ns * column // _PLOT) for column in (bar.first, bar.end))
        yield (
            f'<rect x="{_LABELS + bar.first}" y="{middle - _BAR // 2}" width="{bar.end - bar.first}" height="{_BAR}" fill="{colour}"'
            f' fill-opacity="{bar.shade / _SHADES:.3g}"><title>{known}: {when}</title></rect>'
        )
