"""Whether a hypervisor's machines keep what :mod:`.base` promises the mediator.

For who brings one: ``check_port(YourMachine)`` in a test of yours; or, where your package is installed with its entry point,
``pytest --pyargs host_model.hypervisor.conformance``, which checks every hypervisor that can be chosen by name.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from ..memory import HostMemory
from ..promises import Conformance, Parametrizable, Rules, held
from .base import Hypervisor
from .port_rules.bench import RAM, Bench
from .port_rules.device import DEVICE_RULES
from .port_rules.memory import MEMORY_RULES
from .port_rules.pages import PAGE_RULES
from .port_rules.writes import WATCHING_RULES
from .registry import known_hypervisors, machine_of

__all__ = ("check_port",)

_RULES: Final[Rules[Bench]] = (*MEMORY_RULES, *PAGE_RULES, *DEVICE_RULES)


def check_port(factory: Hypervisor) -> Conformance:
    """Look whether machines that ``factory`` makes keep what ports promise; each rule on a machine of its own.

    Raises: ConformanceError that names each rule that is broken, and what was seen.
    """
    watches = factory(RAM, HostMemory()).port.can_track_writes
    rules = (*_RULES, *WATCHING_RULES) if watches else _RULES
    return Conformance(held("the port", rules, partial(Bench, factory)), () if watches else tuple(rule.name for rule in WATCHING_RULES))


# ---- for pytest ----


def pytest_generate_tests(metafunc: Parametrizable) -> None:
    """Check each hypervisor that can be chosen by name."""
    metafunc.parametrize("hypervisor", known_hypervisors())


def test_the_port_keeps_what_ports_promise(hypervisor: str) -> None:
    """What pytest calls."""
    check_port(partial(machine_of, hypervisor))
