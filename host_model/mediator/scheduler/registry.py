"""Policies by name: those that are here, and those that installed packages bring.

A package brings one by an entry point of the group ``host_model.schedulers``, which names a class, or any callable, that makes
a :class:`~.policy.Policy` without arguments::

    [project.entry-points."host_model.schedulers"]
    lottery = "their_package:Lottery"
"""

from __future__ import annotations

from typing import Final, TypeGuard

from pvinfo.errors import UsageError

from ...brought import Choices
from .fair import Fair
from .gvt import Gvt
from .policy import Policy
from .round_robin import RoundRobin

__all__ = ("DEFAULT_POLICY", "ENTRY_POINTS", "known_policies", "policies_of", "policy_named")

ENTRY_POINTS: Final = "host_model.schedulers"
DEFAULT_POLICY: Final = "fair"


def _is_policy(made: object) -> TypeGuard[Policy]:
    return isinstance(made, Policy)


_POLICIES: Final[Choices[[], Policy]] = Choices(
    "scheduler", ENTRY_POINTS, {"fair": Fair, "gvt": Gvt, "round-robin": RoundRobin}, _is_policy,
    fails="cannot be made", wrong="no scheduling policy",
)  # fmt: skip


def known_policies() -> tuple[str, ...]:
    """Names that a policy can be chosen by: ours first."""
    return _POLICIES.names


def policy_named(name: str) -> Policy:
    """A new policy of this name. Ours cannot be replaced by a package's of the same name.

    Raises: UsageError that lists what there is; SetupError when a package's does not make one.
    """
    return _POLICIES.make(name)


def policies_of(scheduler: str | Policy, count: int) -> list[Policy]:
    """So many policies: new ones of a name, or the one that was handed over.

    Raises: UsageError, SetupError: as :func:`policy_named`; UsageError when one object is to be several.
    """
    if isinstance(scheduler, str):
        return [policy_named(scheduler) for _ in range(count)]
    if count != 1:
        raise UsageError(
            f"the scheduler object {scheduler.name!r} is one, and {count} engines have turns of their own: it serves the GPU as a whole,"
            " or is given by name"
        )
    return [scheduler]
