"""What an interface promises, looked for in somebody's implementation of it: rules with names, each tried by itself.

The rules stand beside the interface that they are about: :mod:`host_model.hypervisor.conformance`,
:mod:`host_model.mediator.scheduler.conformance`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

from pvinfo.errors import ConformanceError

__all__ = ("Broken", "Conformance", "Parametrizable", "Rule", "Rules", "held", "same")

B = TypeVar("B")


class Conformance(NamedTuple):
    """What was looked at."""

    held: tuple[str, ...]
    """Rules that hold."""
    not_asked: tuple[str, ...]
    """Rules about what the implementation says it cannot do."""


class Rule(NamedTuple, Generic[B]):
    """One promise."""

    name: str
    """A sentence."""
    look: Callable[[B], None]
    """Looks for it in what it is given. Raises: Broken with what was seen."""


Rules = Sequence[Rule[B]]


class Broken(Exception):
    """A rule does not hold; the text is what was seen."""


def same(what: str, seen: object, wanted: object) -> None:
    """Raises: Broken if ``what`` is not what it should be."""
    if seen != wanted:
        raise Broken(f"{what}: {seen!r}, not {wanted!r}")


def held(who: str, rules: Rules[B], subject: Callable[[], B]) -> tuple[str, ...]:
    """The names of ``rules``, each of which holds for a new ``subject`` of ``who``.

    Raises: ConformanceError that names each rule that is broken, and what was seen.
    """
    broken = []
    for rule in rules:
        try:
            rule.look(subject())
        except Broken as seen:
            broken.append(f"{rule.name} ({seen})")
        except Exception as error:  # who raises breaks the promise as well
            broken.append(f"{rule.name} ({type(error).__name__}: {error})")
    if broken:
        raise ConformanceError(who, tuple(broken))
    return tuple(rule.name for rule in rules)


class Parametrizable(Protocol):
    """What pytest gives a module that makes tests of a list: no part of the product imports pytest."""

    def parametrize(self, argnames: str, argvalues: Sequence[str], /) -> None:
        """A test for each value."""
