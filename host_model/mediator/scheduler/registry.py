"""Policies by name: those that are here, and those that installed packages bring.

A package brings one by an entry point of the group ``host_model.schedulers``, which names a class, or any callable, that makes
a :class:`~.policy.Policy` without arguments::

    [project.entry-points."host_model.schedulers"]
    lottery = "their_package:Lottery"
"""

from __future__ import annotations

from typing import Final, TypeGuard

from ...brought import Choices
from .fair import Fair
from .gvt import Gvt
from .policy import Policy
from .round_robin import RoundRobin

__all__ = ("DEFAULT_POLICY", "ENTRY_POINTS", "known_policies", "policy_named")

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
