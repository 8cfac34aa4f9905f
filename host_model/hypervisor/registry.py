"""Hypervisors by name: those that are here, and those that installed packages bring.

A package brings one by an entry point of the group ``host_model.hypervisors``, which names a class, or any callable, that makes a
:class:`~.base.VirtualMachine` of a RAM size and a :class:`~host_model.memory.HostMemory`::

    [project.entry-points."host_model.hypervisors"]
    bhyve = "their_package:BhyveMachine"
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Final

from pvinfo.errors import SetupError, UsageError

from ..memory import HostMemory
from .acrn import AcrnMachine
from .base import Hypervisor, VirtualMachine
from .kvm import KvmMachine
from .local import LocalVirtualMachine
from .xen import XenMachine

__all__ = ("DEFAULT_HYPERVISOR", "ENTRY_POINTS", "known_hypervisors", "machine_of")

ENTRY_POINTS: Final = "host_model.hypervisors"
DEFAULT_HYPERVISOR: Final = "local"
_OURS: Final[Mapping[str, Hypervisor]] = {"local": LocalVirtualMachine, "kvm": KvmMachine, "xen": XenMachine, "acrn": AcrnMachine}


def known_hypervisors() -> tuple[str, ...]:
    """Names that a hypervisor can be chosen by: ours first."""
    return (*_OURS, *sorted({entry.name for entry in entry_points(group=ENTRY_POINTS)} - _OURS.keys()))


def machine_of(name: str, ram_size: int, host_memory: HostMemory) -> VirtualMachine:
    """A new machine under the hypervisor of this name. Ours cannot be replaced by a package's of the same name.

    Raises: UsageError that lists what there is; SetupError when a package's does not make one.
    """
    ours = _OURS.get(name)
    if ours is not None:
        return ours(ram_size, host_memory)
    for entry in entry_points(group=ENTRY_POINTS, name=name):
        try:
            made: object = entry.load()(ram_size, host_memory)
        except Exception as error:
            raise SetupError(f"the hypervisor {name!r}, which is {entry.value}, makes no machine: {error}") from error
        if not isinstance(made, VirtualMachine):
            raise SetupError(f"the hypervisor {name!r}, which is {entry.value}, makes a {type(made).__name__}: that is no virtual machine")
        return made
    raise UsageError(f"no hypervisor {name!r}: there are {', '.join(known_hypervisors())}")
