"""Policies by name: those that are here, and those that installed packages bring.

A package brings one by an entry point of the group ``host_model.schedulers``, which names a class, or any callable, that makes
a :class:`~.policy.Policy` without arguments::

    [project.entry-points."host_model.schedulers"]
    lottery = "their_package:Lottery"
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Final

from pvinfo.errors import SetupError, UsageError

from .fair import Fair
from .gvt import Gvt
from .policy import Policy
from .round_robin import RoundRobin

__all__ = ("DEFAULT_POLICY", "ENTRY_POINTS", "known_policies", "policy_named")

ENTRY_POINTS: Final = "host_model.schedulers"
DEFAULT_POLICY: Final = "fair"
_OURS: Final[Mapping[str, Callable[[], Policy]]] = {"fair": Fair, "gvt": Gvt, "round-robin": RoundRobin}


def known_policies() -> tuple[str, ...]:
    """Names that a policy can be chosen by: ours first."""
    return (*_OURS, *sorted({entry.name for entry in entry_points(group=ENTRY_POINTS)} - _OURS.keys()))


def policy_named(name: str) -> Policy:
    """A new policy of this name. Ours cannot be replaced by a package's of the same name.

    Raises: UsageError that lists what there is; SetupError when a package's does not make one.
    """
    ours = _OURS.get(name)
    if ours is not None:
        return ours()
    for entry in entry_points(group=ENTRY_POINTS, name=name):
        try:
            made: object = entry.load()()
        except Exception as error:
            raise SetupError(f"the scheduler {name!r}, which is {entry.value}, cannot be made: {error}") from error
        if not isinstance(made, Policy):
            raise SetupError(f"the scheduler {name!r}, which is {entry.value}, makes a {type(made).__name__}: that is no scheduling policy")
        return made
    raise UsageError(f"no scheduler {name!r}: there are {', '.join(known_policies())}")
