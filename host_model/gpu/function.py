"""Virtual functions of the GPU, as its engines know them: for whom an engine works when that is not the GPU's own function.

What software of a function has set up is used as it stands, and so the GPU itself keeps it inside its bounds:

* a page table's entry, or a root, is an address of the function's IOMMU domain, whatever it says. Entries of the global table bear
  on them whose they are, so they are bus addresses already;
* of graphics memory, contexts and commands reach the function's own part. Entries of the table are not changed by commands;
* of registers, commands change and read those that are whose turn it is. A ring of a function has no more rights there.

Source: linux:drivers/gpu/drm/xe/xe_gt_sriov_pf_config.c, linux:drivers/gpu/drm/xe/xe_ggtt.c (xe_ggtt_assign: a table entry's VF number)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol, final

from pvinfo.platform import Engine
from pvinfo.units import BusAddress

from ..memory import WINDOW_SHIFT, BusMemory

__all__ = ("Function", "FunctionMemory")

_DOMAIN_SIZE: Final = 1 << WINDOW_SHIFT


class Function(Protocol):
    """A virtual function, as far as an engine has to know it that works for it."""

    @property
    def base(self) -> BusAddress:
        """Where address 0 of its IOMMU domain is on the bus. Never 0."""

    @property
    def parts(self) -> Sequence[range]:
        """Its graphics memory."""

    def status_page(self, engine: Engine, /) -> int:
        """Graphics address of what it has for the status page of ``engine``."""

    def loads(self, engine: Engine, offset: int, value: int, /) -> int | None:
        """What the hardware's register gets when a command of ``engine`` loads ``value``; None: it keeps what it has."""

    def reads(self, engine: Engine, offset: int, /) -> bool:
        """A command of ``engine`` finds in the register what the hardware has; else 0."""


@final
class FunctionMemory:
    """What stands behind the bus, by address as an engine's page tables have it; a :class:`~host_model.memory.BusMemory`."""

    def __init__(self, memory: BusMemory) -> None:
        self._memory = memory
        self.base = BusAddress(0)
        """Where the domain of the function begins for which the engine works; 0: it works for the GPU's own, and addresses are the bus's."""

    @property
    def revision(self) -> int:
        return self._memory.revision

    def page(self, address: BusAddress, /) -> memoryview | None:
        if not self.base:
            return self._memory.page(address)
        return self._memory.page(BusAddress(self.base + address)) if address < _DOMAIN_SIZE else None

    def span(self, address: BusAddress, size: int, /) -> memoryview | None:
        if not self.base:
            return self._memory.span(address, size)
        return self._memory.span(BusAddress(self.base + address), size) if address + size <= _DOMAIN_SIZE else None
