"""What the setup commands leave for the commands that draw by it. It belongs to a context and is kept with it.

Source: prm:skl:vol11 (BLT Engine State)
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from operator import attrgetter
from struct import Struct
from typing import TYPE_CHECKING, Final, final
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from ..engine_state import EngineState

__all__ = ("SETUP_DWORDS", "SetupState", "setup_state")


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
        self.__dict__.update(other.__dict__)

    def dwords(self) -> tuple[int, ...]:
        """The whole of it, for a context image."""
        return _DWORDS.unpack(_QUADWORDS.pack(*_values(self)))

    def load(self, dwords: tuple[int, ...]) -> None:
        """Take over what :meth:`dwords` gave; nothing makes the state that of a new context."""
        self.take(SetupState(*_QUADWORDS.unpack(_DWORDS.pack(*dwords))) if dwords else SetupState())


_NAMES: Final = [field.name for field in fields(SetupState)]
_values: Final = attrgetter(*_NAMES)
_QUADWORDS: Final = Struct(f"<{len(_NAMES)}Q")
_DWORDS: Final = Struct(f"<{2 * len(_NAMES)}I")
SETUP_DWORDS: Final = 2 * len(_NAMES)
"""Dwords of the state in a context image."""

_STATES: Final[WeakKeyDictionary[EngineState, SetupState]] = WeakKeyDictionary()


def setup_state(engine: EngineState) -> SetupState:
    """The state of the context that runs on ``engine``; always the same object, which the engine saves and loads."""
    state = _STATES.get(engine)
    if state is None:
        state = _STATES[engine] = SetupState()
    return state
