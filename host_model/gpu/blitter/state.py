"""What the setup commands leave for the commands that draw by it. It belongs to a context and is kept with it.

Source: prm:skl:vol11 (BLT Engine State)
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields
from typing import TYPE_CHECKING, Final, final
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from ..engine_state import EngineState

__all__ = ("SetupState", "setup_state")


@final
@dataclass
class SetupState:
    """The engine's registers BR01, BR05 to BR07, BR09, BR20, BR21, BR24 and BR25; software cannot address them."""

    header: int = 0
    """Of the setup command: the channels that are written, and which kind of pattern there is."""
    control: int = 0
    """BR01."""
    background: int = 0
    """BR05; also the colour of single pixels."""
    foreground: int = 0
    """BR06."""
    pattern: int = 0
    """BR07: address of a colour pattern."""
    destination: int = 0
    """BR09."""
    mono_pattern: int = 0
    """BR20 and BR21."""
    clip_top_left: int = 0
    """BR24."""
    clip_bottom_right: int = 0
    """BR25."""

    def take(self, other: SetupState) -> None:
        """Become as ``other``."""
        for field in fields(self):
            setattr(self, field.name, int(getattr(other, field.name)))

    def dwords(self) -> tuple[int, ...]:
        """The whole of it, for a context image."""
        return tuple(half for value in astuple(self) for half in (value & 0xFFFFFFFF, value >> 32))

    def load(self, dwords: tuple[int, ...]) -> None:
        """Take over what :meth:`dwords` gave."""
        self.take(SetupState(*(low | high << 32 for low, high in zip(dwords[::2], dwords[1::2], strict=True))))


_STATES: Final[WeakKeyDictionary[EngineState, SetupState]] = WeakKeyDictionary()


def setup_state(engine: EngineState) -> SetupState:
    """The state of the context that runs on ``engine``; always the same object, which the engine saves and loads."""
    state = _STATES.get(engine)
    if state is None:
        state = _STATES[engine] = SetupState()
    return state
