"""A partition that was made: the device that its user's driver finds."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, final

from pvinfo.errors import ResourceExhausted

from ....device.display.display import Display
from ....device.mmio.window import MmioWindow
from ....device.sideband import SidebandRegisters
from ....mediator.resources import VgpuResources
from ....mediator.unshadowed.device import UnshadowedDevice
from ...device import VfioDevice
from ..life import Profile
from .domain import PartitionDomain
from .function import PartitionFunction
from .registers import policy_for
from .table import PartitionTable

if TYPE_CHECKING:
    from ....mediator.mediator import Mediator

__all__ = ("FIRST_NUMBER", "PartitionDevice")

FIRST_NUMBER: Final = 1 << 16
"""Partitions are numbered from here on, vGPUs from 1."""


@final
class PartitionDevice(UnshadowedDevice):
    """A partition. Made by a :class:`~.policy.PartitionPolicy`. Raises: ResourceExhausted, with nothing made."""

    connected: Final = False

    def __init__(self, mediator: Mediator, number: int, profile: Profile, resources: VgpuResources) -> None:
        super().__init__(mediator, number, profile.size.weight, resources)
        self.profile = profile
        self._domain = PartitionDomain(
            mediator.memory, lambda error: self.findings.note("host-exhausted", "guest memory", f"{error}: the GPU is not let at the page")
        )
        self._domain.on_leaving = self._user_gone
        try:
            self.scratch_page = mediator.memory.allocate_page(number)
            """What the GPU sees where nothing was written to the table."""
        except ResourceExhausted:
            self._domain.close()
            raise
        self.sideband = SidebandRegisters()
        self.display = Display(self)
        self._table = PartitionTable(self)
        self._window = MmioWindow(self, policy_for(self.platform.name))
        mediator.guard.machines[number] = self._domain
        mediator.hardware.functions[number] = PartitionFunction(self)
        self._begin()

    @property
    def port(self) -> PartitionDomain:
        """Its IOMMU domain."""
        return self._domain

    @property
    def ggtt(self) -> PartitionTable:
        """Its part of the global table."""
        return self._table

    @property
    def mmio(self) -> MmioWindow:
        """BAR0."""
        return self._window

    # ---- PciDevice ----

    def reset(self) -> None:
        """Function-level reset: nothing runs, nothing is translated or pinned, no fence is in use."""
        self.resets["device"] += 1
        self.submission.reset(self.platform.engines)
        self.sideband.clear()
        self._begin()
        self.hardware.stale(self)
        self.config.reset()
        self.port.let_go()

    # ---- beginning and end ----

    def _begin(self) -> None:
        self.ggtt.clear()
        self.fences.clear()
        self._show_golden()
        self.display.reset()

    def _user_gone(self) -> None:
        """The user closes the device: the GPU is taken out of its work, and nothing leads to its memory any more. What registers show
        stays for whoever comes next."""
        self.submission.reset(self.platform.engines)
        self.submission.close()
        self.display.pipes.reset()
        self.ggtt.clear()
        self.fences.clear()
        # A GPU without work would remember that memory for ever, and keep it from being given back.
        self.hardware.invalidate_translations()
        self.gpu.aperture.forget_pages()
        self.hardware.stale(self)

    def open(self, closed: Callable[[], None]) -> VfioDevice:
        """See :class:`~..life.MadeDevice`."""
        return VfioDevice(f"partition {self.number}", self, self.port, mappable=self.resources.low, closed=closed)

    def destroy(self) -> None:
        """See :class:`~..life.MadeDevice`."""
        self.submission.close()
        self.display.close()
        self.turn.leave(self)
        self.gpu.findings.forget(self.number)
        self.fences.clear()
        self.ggtt.give_back()
        self.port.close()
        self.mediator.memory.release_page(self.scratch_page)
