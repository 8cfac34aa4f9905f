"""An engine that waits for display: MI_WAIT_FOR_EVENT.

What a pipe that is off would have to do never comes; an engine that waits for it goes on at once, as one that waits for a
scan line does: which lines are meant is not modelled.

Source: prm:bdw:vol2a (MI_WAIT_FOR_EVENT)
"""

from __future__ import annotations

from typing import Final, NamedTuple, final

from pvinfo.commands.mi.display import WaitForEventHeader

from ..device.display.pipes import Pipes

__all__ = ("DisplayWait",)


class _Waited(NamedTuple):
    """What may be waited for on one pipe: bits of the header."""

    pipe: str
    scan_line: int
    vblank: int
    flips: tuple[tuple[int, str], ...]


_PIPES: Final = tuple(
    _Waited(f"PIPE_{name}", scan_line.mask, vblank.mask, ((plane.mask, f"PIPE_{name}_PLANE_1"), (sprite.mask, f"PIPE_{name}_PLANE_2")))
    for name, scan_line, vblank, plane, sprite in (
        ("A", WaitForEventHeader.pipe_a_scan_line, WaitForEventHeader.pipe_a_vblank, WaitForEventHeader.plane_a_flip, WaitForEventHeader.sprite_a_flip),
        ("B", WaitForEventHeader.pipe_b_scan_line, WaitForEventHeader.pipe_b_vblank, WaitForEventHeader.plane_b_flip, WaitForEventHeader.sprite_b_flip),
        ("C", WaitForEventHeader.pipe_c_scan_line, WaitForEventHeader.pipe_c_vblank, WaitForEventHeader.plane_c_flip, WaitForEventHeader.sprite_c_flip),
    )
)


@final
class DisplayWait:
    """What one engine waits for on ``pipes``."""

    def __init__(self, pipes: Pipes) -> None:
        self._pipes = pipes
        self._header: int | None = None
        self._frames: dict[str, int] = {}

    def reached(self, header: int) -> bool:
        """One of the events that ``header`` names has come since the engine first asked for them, or none of them ever will."""
        pipes = self._pipes
        if header != self._header:
            self._header = header
            self._frames = {name: pipes.frame(name) for name in pipes.running}
        waiting = over = False
        for waited in _PIPES:
            before = self._frames.get(waited.pipe)
            if header & waited.scan_line:
                over = True
            if header & waited.vblank:
                if before is None or pipes.frame(waited.pipe) != before:
                    over = True
                waiting = True
            for bit, plane in waited.flips:
                if header & bit:
                    waiting = True
                    over = over or not pipes.flip_pending(plane)
        if over or not waiting:
            self._header = None
            return True
        return False
