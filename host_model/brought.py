"""Things that are chosen by name: those that are here, and those that installed packages bring by entry points."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Generic, ParamSpec, TypeGuard, TypeVar, final

from pvinfo.errors import SetupError, UsageError

__all__ = ("Choices",)

P = ParamSpec("P")
T = TypeVar("T")


@final
class Choices(Generic[P, T]):
    """Makers by name: ``ours``, and the entry points of ``group``. Ours cannot be replaced by a package's of the same name.

    ``what`` such a thing is called, ``fails`` and ``wrong`` say what a package's does that does not make one; ``is_one`` tells.
    """

    def __init__(
        self, what: str, group: str, ours: Mapping[str, Callable[P, T]], is_one: Callable[[object], TypeGuard[T]], *, fails: str, wrong: str
    ) -> None:
        self._what = what
        self._group = group
        self._ours = ours
        self._is_one = is_one
        self._fails = fails
        self._wrong = wrong

    @property
    def names(self) -> tuple[str, ...]:
        """What can be chosen: ours first."""
        return (*self._ours, *sorted({entry.name for entry in entry_points(group=self._group)} - self._ours.keys()))

    def make(self, name: str, *arguments: P.args, **named: P.kwargs) -> T:
        """A new one of this name.

        Raises: UsageError that lists what there is; SetupError when a package's does not make one.
        """
        ours = self._ours.get(name)
        if ours is not None:
            return ours(*arguments, **named)
        for entry in entry_points(group=self._group, name=name):
            whose = f"the {self._what} {name!r}, which is {entry.value},"
            try:
                made: object = entry.load()(*arguments, **named)
            except Exception as error:
                raise SetupError(f"{whose} {self._fails}: {error}") from error
            if not self._is_one(made):
                raise SetupError(f"{whose} makes a {type(made).__name__}: that is {self._wrong}")
            return made
        raise UsageError(f"no {self._what} {name!r}: there are {', '.join(self.names)}")
