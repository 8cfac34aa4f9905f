"""The driver's states, the acts that lead from one to the next, and pictures of both.

``TRANSITIONS`` is the whole truth: the driver moves only along it, an act that it does not list raises
:class:`~pvinfo.errors.StateError`, and documentation and reports draw it from here.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Final, NamedTuple, final
from xml.sax.saxutils import escape

from pvinfo.errors import StateError

__all__ = ("TRANSITIONS", "Act", "DriverState", "StateMachine", "Transition", "draw_svg", "draw_text")


class DriverState(Enum):
    """How far the driver has come with its device."""

    UNBOUND = "unbound"
    """No driver: nothing of the device is in use, nothing of its memory is held."""
    PLACED = "placed"
    """The base address registers have addresses, the function answers memory accesses and its platform is known."""
    DETECTED = "detected"
    """The PVINFO page was found: this is a vGPU, and its host's version and capabilities are known."""
    NATIVE = "native"
    """There is no PVINFO page: this is a bare GPU. A driver that requires a vGPU stops here."""
    AWAKE = "awake"
    """Registers answer, fuses and engines are known, the GPU was reset."""
    SIZED = "sized"
    """The host's capabilities are accepted, the global table is sized, fences are cleared, messages are on."""
    LISTENING = "listening"
    """Interrupts are installed."""
    BALLOONED = "ballooned"
    """What belongs to others is reserved in the graphics address space; what is left is the driver's to use."""
    STARTED = "started"
    """The engines' objects exist; the GT runs, or was given up (see GtState)."""
    READY = "ready"
    """Registered: the host was told that the display is ready, clients may come."""
    SUSPENDED = "suspended"
    """The device sleeps, and the driver with it; all that clients have is kept."""
    REFUSED = "refused"
    """What the host offers cannot be used; everything was undone."""
    FAILED = "failed"
    """The device did not answer as it must; everything was undone."""


class Act(Enum):
    """What moves the driver from one state to the next."""

    PLACE = "place"
    DETECT = "detect"
    FIND_NO_PAGE = "find no page"
    WAKE = "wake"
    SIZE = "size"
    LISTEN = "listen"
    BALLOON = "balloon"
    START = "start"
    REGISTER = "register"
    REFUSE = "refuse"
    FAIL = "fail"
    SUSPEND = "suspend"
    RESUME = "resume"
    UNLOAD = "unload"


class Transition(NamedTuple):
    """One legal move."""

    source: DriverState
    act: Act
    target: DriverState


_PATH: Final = (
    Transition(DriverState.UNBOUND, Act.PLACE, DriverState.PLACED),
    Transition(DriverState.PLACED, Act.DETECT, DriverState.DETECTED),
    Transition(DriverState.DETECTED, Act.WAKE, DriverState.AWAKE),
    Transition(DriverState.AWAKE, Act.SIZE, DriverState.SIZED),
    Transition(DriverState.SIZED, Act.LISTEN, DriverState.LISTENING),
    Transition(DriverState.LISTENING, Act.BALLOON, DriverState.BALLOONED),
    Transition(DriverState.BALLOONED, Act.START, DriverState.STARTED),
    Transition(DriverState.STARTED, Act.REGISTER, DriverState.READY),
)
"""The probe of a vGPU that meets no obstacle."""

_DETOUR: Final = (
    Transition(DriverState.PLACED, Act.FIND_NO_PAGE, DriverState.NATIVE),
    Transition(DriverState.NATIVE, Act.WAKE, DriverState.AWAKE),
)
"""Where the probe of a bare GPU leaves that path, and comes back to it."""

_UNFINISHED: Final = (DriverState.UNBOUND, DriverState.PLACED, DriverState.NATIVE, *(step.source for step in _PATH[2:]))
"""Where a probe may be given up."""

_ENDS: Final = (DriverState.READY, DriverState.NATIVE, DriverState.REFUSED, DriverState.FAILED)
"""Where a probe may end."""

TRANSITIONS: Final[tuple[Transition, ...]] = (
    *_PATH,
    *_DETOUR,
    *(Transition(source, Act.REFUSE, DriverState.REFUSED) for source in _UNFINISHED),
    *(Transition(source, Act.FAIL, DriverState.FAILED) for source in _UNFINISHED),
    Transition(DriverState.READY, Act.SUSPEND, DriverState.SUSPENDED),
    Transition(DriverState.SUSPENDED, Act.RESUME, DriverState.READY),
    *(Transition(end, Act.UNLOAD, DriverState.UNBOUND) for end in _ENDS),
)
"""Every legal move."""

_NEXT: Final = {(step.source, step.act): step.target for step in TRANSITIONS}


@final
class StateMachine:
    """Where one driver is, and where it has been."""

    def __init__(self) -> None:
        self.state = DriverState.UNBOUND
        self.history: list[DriverState] = [DriverState.UNBOUND]
        """Every state entered, oldest first."""

    def check(self, act: Act) -> None:
        """Raises: StateError when ``act`` is not legal now."""
        if (self.state, act) not in _NEXT:
            sources = [step.source.value for step in TRANSITIONS if step.act is act]
            raise StateError(act.value, self.state.value, " or ".join(sources))

    def perform(self, act: Act) -> DriverState:
        """Move along ``act``. Raises: StateError when it is not legal now."""
        self.check(act)
        self.state = _NEXT[self.state, act]
        self.history.append(self.state)
        return self.state

    def require(self, action: str, *states: DriverState) -> None:
        """Raises: StateError when ``action`` is asked for in none of ``states``."""
        if self.state not in states:
            raise StateError(action, self.state.value, " or ".join(state.value for state in states))


# ---- pictures ----


def _groups() -> Iterator[tuple[list[DriverState], Act, DriverState]]:
    """The transitions, those with the same act and target put together."""
    grouped: dict[tuple[Act, DriverState], list[DriverState]] = {}
    for step in TRANSITIONS:
        grouped.setdefault((step.act, step.target), []).append(step.source)
    for (act, target), sources in grouped.items():
        yield sources, act, target


def draw_text() -> str:
    """The table as plain text, one line per act and target."""
    lines = []
    for sources, act, target in _groups():
        names = [state.value for state in sources]
        origin = f"{names[0]} … {names[-1]}" if len(sources) == len(_UNFINISHED) else ", ".join(names)
        lines.append((origin, act.value, target.value))
    left = max(len(origin) for origin, _, _ in lines)
    middle = max(len(act) for _, act, _ in lines)
    return "".join(f"{origin:<{left}}  --{act:-<{middle}}->  {target}\n" for origin, act, target in lines)


_BOX_WIDTH: Final = 120
_BOX_HEIGHT: Final = 30
_ROW: Final = 58
_LEFT: Final = 90
_SIDE: Final = 440


def _place(state: DriverState) -> tuple[int, int]:
    """Upper left corner of a state's box: the path runs down on the left, the other ends stand on the right."""
    path = [_PATH[0].source, *(step.target for step in _PATH)]
    if state in path:
        return _LEFT, 20 + _ROW * path.index(state)
    others = [*(end for end in _ENDS if end not in path), DriverState.SUSPENDED]
    return _SIDE, 20 + _ROW * (2 + 2 * others.index(state))


def _box(state: DriverState, current: DriverState | None) -> str:
    x, y = _place(state)
    fill = "#ffe8a3" if state is current else "#eef3fa"
    return (
        f'<rect x="{x}" y="{y}" width="{_BOX_WIDTH}" height="{_BOX_HEIGHT}" rx="6" fill="{fill}" stroke="#33527a"/>'
        f'<text x="{x + _BOX_WIDTH // 2}" y="{y + 20}" text-anchor="middle">{escape(state.value)}</text>'
    )


def _arrow(path: str, label: str, x: int, y: int, anchor: str = "start") -> str:
    text = f'<text class="act" x="{x}" y="{y}" text-anchor="{anchor}">{escape(label)}</text>' if label else ""
    return f'<path d="{path}" fill="none" stroke="#5a5a5a" marker-end="url(#head)"/>{text}'


def _edges() -> Iterator[str]:
    for sources, act, target in _groups():
        tx, ty = _place(target)
        for number, source in enumerate(sources):
            sx, sy = _place(source)
            # One label per bundle of arrows; the unload has two bundles, one on either side.
            label = act.value if number == 0 or (act is Act.UNLOAD and number == 1) else ""
            if act is Act.UNLOAD and source is DriverState.READY:
                middle = sy + _BOX_HEIGHT // 2
                up = ty + _BOX_HEIGHT // 2
                yield _arrow(f"M{sx},{middle} H{sx - 40} V{up} H{tx - 4}", label, sx - 46, (middle + up) // 2, "end")
            elif act is Act.UNLOAD:
                middle = sy + _BOX_HEIGHT // 2
                bend = sx + _BOX_WIDTH + 24
                yield _arrow(f"M{sx + _BOX_WIDTH},{middle} H{bend} V{ty + 8} H{tx + _BOX_WIDTH + 4}", label, bend - 6, ty + 24, "end")
            elif sx == tx == _SIDE:
                middle, aim = sy + _BOX_HEIGHT // 2, ty + _BOX_HEIGHT // 2
                yield _arrow(f"M{sx},{middle} H{sx - 14} V{aim} H{tx - 4}", label, tx + 4, ty - 7)
            elif act is Act.RESUME:
                low = sy + _BOX_HEIGHT - 6
                yield _arrow(f"M{sx},{low} H{tx + _BOX_WIDTH + 4}", label, (sx + tx + _BOX_WIDTH) // 2, low + 14, "middle")
            elif sx > tx:
                middle, aim = sy + _BOX_HEIGHT // 2, ty + _BOX_HEIGHT // 2
                yield _arrow(f"M{sx},{middle} L{tx + _BOX_WIDTH + 4},{aim}", label, tx + _BOX_WIDTH + 12, ty - 7)
            elif sx == tx:
                centre = sx + _BOX_WIDTH // 2
                yield _arrow(f"M{centre},{sy + _BOX_HEIGHT} V{ty - 4}", label, centre + 8, sy + _BOX_HEIGHT + 18)
            else:
                start, end = sx + _BOX_WIDTH, tx - 4
                middle, aim = sy + _BOX_HEIGHT // 2, ty + _BOX_HEIGHT // 2
                bend = (start + end) // 2
                yield _arrow(f"M{start},{middle} C{bend},{middle} {bend},{aim} {end},{aim}", label, tx + 4, ty - 7)


def draw_svg(current: DriverState | None = None) -> str:
    """The table as a self-contained SVG picture, ``current`` marked."""
    width = _SIDE + _BOX_WIDTH + 50
    height = 20 + _ROW * len(_PATH) + _BOX_HEIGHT + 20
    style = "text{font:13px sans-serif;fill:#1d2b3a}.act{font-size:11px;fill:#5a5a5a}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">',
        "<title>States of the guest driver</title>",
        f"<style>{style}</style>",
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0,0 L8,4 L0,8 z" fill="#5a5a5a"/></marker></defs>',
        *_edges(),
        *(_box(state, current) for state in DriverState),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"
