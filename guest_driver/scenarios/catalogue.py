"""Scenarios by name: the decorator that makes one of a plain function, and how they are found again."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from importlib import import_module
from itertools import chain
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Final, NamedTuple

from pvinfo.errors import UsageError

from .needs import DeviceKind, Needs

if TYPE_CHECKING:
    from .stage import Stage

__all__ = ("Scenario", "built_in", "declared_in", "scenario", "select")

Act = Callable[["Stage"], None]

_FAMILIES: Final = ("vgpu", "work", "mediation", "display")
"""The packages beside this module that hold the kit's own scenarios."""


class Scenario(NamedTuple):
    """A story of guest and host, with what it needs to be told."""

    name: str
    """Short name, as on command lines: ``balloon-type-8``."""
    purpose: str
    """One sentence."""
    needs: Needs
    act: Act
    file: str
    line: int
    family: str = ""
    """What its family is about; empty for one of the user's own."""
    varies: str = ""
    """What it leaves to chance, in a phrase: each seed tells it in another way. Empty: it is the same for every seed."""

    @property
    def word(self) -> str:
        """What means it, and nothing else, on a command line."""
        return self.name if self.family else f"{self.file}::{self.name}"

    @property
    def place(self) -> str:
        """Where it is written."""
        return f"{self.file}:{self.line}"

    @property
    def heading(self) -> str:
        """Under what it stands in a list."""
        return f"{self.family or self.file}, on {' or '.join(device.value for device in self.needs.devices)}"


_DECLARED: Final[dict[str, dict[str, Scenario]]] = {}
"""Scenarios by name, by module."""


def scenario(*, needs: Needs = Needs(), name: str | None = None, varies: str = "") -> Callable[[Act], Act]:
    """Make a function a scenario; its name, with hyphens, is the scenario's, and the first line of its docstring the purpose.

    ``varies`` says what it leaves to chance: "the order of the engines". Then its seed decides what its stage's ``random`` chooses;
    without it the stage chooses the same for every seed.

    Where it needs one of several kinds of device it becomes a scenario on each: under its own name on the first of them, as
    ``NAME-on-vgpu``, ``NAME-on-physical`` or ``NAME-on-host`` on the others.

    Raises: UsageError when it has no docstring, or another one of its module has the same name.
    """

    def register(act: Act) -> Act:
        code = inspect.unwrap(act).__code__
        place = f"{code.co_filename}:{code.co_firstlineno}"
        known_as = name if name is not None else act.__name__.replace("_", "-")
        purpose = (inspect.getdoc(act) or "").split("\n\n")[0].replace("\n", " ").strip()
        if not purpose:
            raise UsageError(f"{place}: scenario {known_as} has no docstring; its first sentence is its purpose")
        mine = _DECLARED.setdefault(act.__module__, {})
        for device in needs.devices:
            called = known_as if device is needs.devices[0] else f"{known_as}-on-{device.word}"
            if called in mine:
                raise UsageError(f"{place}: scenario {called} is also at {mine[called].place}")
            mine[called] = Scenario(
                called, purpose, needs._replace(devices=(device,)), act, code.co_filename, code.co_firstlineno, varies=varies
            )  # fmt: skip
        return act

    return register


def declared_in(module: str) -> tuple[Scenario, ...]:
    """The scenarios of the module called ``module``, in the order in which they are written."""
    return tuple(_DECLARED.get(module, {}).values())


def forget(module: str) -> None:
    """Drop what the module called ``module`` has declared, before it is loaded again."""
    _DECLARED.pop(module, None)


def _family(name: str) -> Iterator[Scenario]:
    package = import_module(f"{__package__}.{name}")
    order: tuple[str, ...] = package.ORDER
    title: str = package.TITLE
    found = {module.name for module in iter_modules(package.__path__)}
    for module in (*order, *sorted(found - set(order))):
        import_module(f"{package.__name__}.{module}")
        for declared in declared_in(f"{package.__name__}.{module}"):
            yield declared._replace(family=title)


def _by_device(family: Iterable[Scenario]) -> Iterator[Scenario]:
    """The scenarios of one kind of device together, the kind that comes first first."""
    groups: dict[tuple[DeviceKind, ...], list[Scenario]] = {}
    for found in family:
        groups.setdefault(found.needs.devices, []).append(found)
    return chain.from_iterable(groups.values())


def built_in() -> dict[str, Scenario]:
    """The kit's own scenarios by name, in the order in which they are best read.

    Raises: UsageError when two have the same name.
    """
    known: dict[str, Scenario] = {}
    for family in _FAMILIES:
        for found in _by_device(_family(family)):
            if found.name in known:
                raise UsageError(f"{found.place}: scenario {found.name} is also at {known[found.name].place}")
            known[found.name] = found
    return known


def select(wanted: Iterable[str]) -> tuple[Scenario, ...]:
    """The scenarios that command-line words mean: names, patterns such as ``balloon-*``, files of the user's own
    (``my.py``, all of it; ``my.py::name``). No words: all built in. Each is taken once, in the order of the words.

    Raises: UsageError for a word that means nothing, with the nearest names, and for a broken file, with its line.
    """
    from .user_file import split_word, user_scenarios

    words = tuple(wanted)
    known = built_in()
    if not words:
        return tuple(known.values())
    chosen: dict[tuple[str, str], Scenario] = {}
    for word in words:
        parts = split_word(word)
        if parts is None:
            pool, pattern, owner = known, word, "guest-driver list"
        else:
            path, inside = parts
            pool = {found.name: found for found in user_scenarios(path)}
            pattern, owner = inside or "*", str(path)
        for found in matching(pool, pattern, owner):
            chosen.setdefault((found.file, found.name), found)
    return tuple(chosen.values())


def matching(pool: dict[str, Scenario], pattern: str, owner: str) -> list[Scenario]:
    """The scenarios of ``pool`` that a name or pattern means. Raises: UsageError with the nearest names."""
    name = pattern.replace("_", "-")
    for exact in (pattern, name):
        if exact in pool:
            return [pool[exact]]
    found = [pool[known] for known in pool if fnmatchcase(known, name)]
    if found:
        return found
    near = difflib.get_close_matches(name, pool, n=4, cutoff=0.4)
    near += [known for known in pool if name in known and known not in near]
    hint = f"; did you mean {', '.join(near[:6])}?" if near else ""
    raise UsageError(f"no scenario {pattern!r} in {owner}{hint}" if owner.endswith(".py") else f"no scenario {pattern!r}{hint or f' ({owner} shows all)'}")
