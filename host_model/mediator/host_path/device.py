"""The GPU as the host's own driver finds it in its slot: a share of it, like a vGPU's, but without a shadow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from pvinfo.errors import ResourceExhausted, UsageError
from pvinfo.trace import TraceWriter

from ...device.traced import TracedDevice
from ..snapshot import GT_REGISTERS_END
from ..types import MAX_WEIGHT
from ..unshadowed.device import UnshadowedDevice
from .memory import HostPort
from .screen import HostScreen
from .share import host_share
from .table import HostTable
from .ways import passing_ranges
from .window import HostWindow

if TYPE_CHECKING:
    from ..mediator import Mediator

__all__ = ("HOST", "HOST_WEIGHT", "HostDevice")

HOST: Final = 0
"""The host's number among the GPU's clients."""
HOST_WEIGHT: Final = 8
"""Its usual share of GPU time: that of a vGPU of half the GPU."""


@final
class HostDevice(UnshadowedDevice, TracedDevice):
    """The host's device. Made by :meth:`host_model.host.Host.own_device`, or :meth:`~host_model.host.Host.create_own_device`.

    ``weight`` is its share of the GPU's time, beside the vGPUs'. ``port`` is the RAM of the machine that it is plugged into.

    Raises: UsageError for a weight that is none; ResourceExhausted when the mediator's buffers have spread to where the driver's part
    of graphics memory is to be.
    """

    def __init__(self, mediator: Mediator, port: HostPort, weight: int) -> None:
        if not 1 <= weight <= MAX_WEIGHT:
            raise UsageError(f"weight {weight} for the host's own device: weights go from 1 to {MAX_WEIGHT}")
        super().__init__(mediator, HOST, weight, host_share(mediator.gpu))
        self._ram = port
        self._take_share()
        mediator.guard.machines[HOST] = port
        self.sideband = self.gpu.sideband
        self.display = self.gpu.display
        self._table = HostTable(self)
        self._window = HostWindow(self)
        self.screen = HostScreen(self)
        """What it shows."""
        self.is_open = True
        self._begin()

    @property
    def port(self) -> HostPort:
        """The RAM of its machine."""
        return self._ram

    @property
    def ggtt(self) -> HostTable:
        """Its part of the global table."""
        return self._table

    @property
    def mmio(self) -> HostWindow:
        """BAR0."""
        return self._window

    # ---- PciDevice ----

    def reset(self) -> None:
        """Device reset, of what is the host's: its work, its part of graphics memory, and the display. Guests notice nothing."""
        self.resets["device"] += 1
        self._take_back()
        self.config.reset()
        self._begin()

    def machine_gone(self) -> None:
        """The driver's machine has gone, and its memory with it: the GPU is taken out of its work, the display is dark, and nothing
        leads to that memory any more. What is emulated shows what it showed, to whoever comes next.

        To be called while the memory is still there. Nothing happens to a device that was closed.
        """
        if not self.is_open:
            return
        self._take_back()
        # A GPU without work would remember that memory for ever, and keep it from being given back.
        self.hardware.invalidate_translations()
        self.gpu.aperture.forget_pages()

    def _take_back(self) -> None:
        self.submission.reset(self.platform.engines)
        self._let_go()
        self.hardware.stale(self)

    # ---- traces ----

    @property
    def traced_as(self) -> str:
        return f"the host's own device ({self.platform.name}) by its driver"

    def record_to(self, trace: TraceWriter | None) -> None:
        self.mmio.trace_to(trace)
        self.config.trace = self.aperture.trace = trace

    # ---- beginning and end ----

    def _take_share(self) -> None:
        memory = self.hardware.memory
        memory.keep_out(self.resources.low)
        try:
            memory.keep_out(self.resources.high)
        except ResourceExhausted:
            memory.let_in(self.resources.low)
            raise

    def _begin(self) -> None:
        self.ggtt.clear()
        self._show_golden()
        self.hardware.interrupts.on_host_events = self.interrupts.raise_bits

    def _let_go(self) -> None:
        """Of the hardware, all that the driver has set up."""
        self.hardware.interrupts.close_host_groups()
        self.gpu.restore_registers(passing_ranges(self.platform.name, GT_REGISTERS_END))
        self.ggtt.clear()
        self.fences.clear()

    def close(self) -> None:
        """The driver's machine goes away: its work is taken back, its part of the GPU is the mediator's again, and the GPU
        no longer reaches its memory. Nothing happens the second time."""
        if not self.is_open:
            return
        self.is_open = False
        self.end_trace()
        self._interrupt_handler = None
        self.submission.close()
        self.turn.leave(self)
        self._let_go()
        for part in (self.resources.low, self.resources.high):
            self.hardware.memory.let_in(part)
        self.port.close()
