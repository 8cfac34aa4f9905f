"""Hypervisors by name: those that are here, and those that installed packages bring.

A package brings one by an entry point of the group ``host_model.hypervisors``, which names a class, or any callable, that makes a
:class:`~.base.VirtualMachine` of a RAM size and a :class:`~host_model.memory.HostMemory`::

    [project.entry-points."host_model.hypervisors"]
    bhyve = "their_package:BhyveMachine"
"""

from __future__ import annotations

from typing import Final, TypeGuard

from ..brought import Choices
from ..memory import HostMemory
from .acrn import AcrnMachine
from .base import VirtualMachine
from .kvm import KvmMachine
from .local import LocalVirtualMachine
from .xen import XenMachine

__all__ = ("DEFAULT_HYPERVISOR", "ENTRY_POINTS", "known_hypervisors", "machine_of")

ENTRY_POINTS: Final = "host_model.hypervisors"
DEFAULT_HYPERVISOR: Final = "local"


def _is_machine(made: object) -> TypeGuard[VirtualMachine]:
    return isinstance(made, VirtualMachine)


_HYPERVISORS: Final[Choices[[int, HostMemory], VirtualMachine]] = Choices(
    "hypervisor", ENTRY_POINTS, {"local": LocalVirtualMachine, "kvm": KvmMachine, "xen": XenMachine, "acrn": AcrnMachine}, _is_machine,
    fails="makes no machine", wrong="no virtual machine",
)  # fmt: skip


def known_hypervisors() -> tuple[str, ...]:
    """Names that a hypervisor can be chosen by: ours first."""
    return _HYPERVISORS.names


def machine_of(name: str, ram_size: int, host_memory: HostMemory) -> VirtualMachine:
    """A new machine under the hypervisor of this name. Ours cannot be replaced by a package's of the same name.

    Raises: UsageError that lists what there is; SetupError when a package's does not make one.
    """
    return _HYPERVISORS.make(name, ram_size, host_memory)
