"""The physical GPU behind a socket."""

from __future__ import annotations

from pathlib import Path
from typing import final

from pvinfo.finding import FindingLog
from pvinfo.platform import platform_named

from ..clock import RealClock
from ..gpu.device import PhysicalGpu
from ..host import DEFAULT_APERTURE, check_aperture
from ..hypervisor.vfio_user import SharedMachine
from ..monitor_choice import PHYSICAL_RESOLUTION, MonitorChoice
from ..report import physical_report
from ..view.facts import gpu_facts
from ..view.shows import Wanted
from .served import Served, Total, trace_device

__all__ = ("ServedGpu",)


@final
class ServedGpu(Served):
    """The physical GPU on real time, for a machine whose own it is.

    Raises: UsageError for a platform or aperture that means nothing; SetupError for a socket.
    """

    def __init__(
        self,
        platform: str,
        path: Path,
        *,
        aperture_size: int = DEFAULT_APERTURE,
        trace: Path | None = None,
        wanted: Wanted = Wanted(),
        title: str = "the GPU",
        monitor: MonitorChoice = MonitorChoice(),
    ) -> None:
        machine = SharedMachine()
        clock = RealClock()
        check_aperture(aperture_size)
        self.gpu = PhysicalGpu(platform_named(platform), aperture_size, machine.memory, clock)
        plugged_in = None if monitor.open else monitor.monitor(self.gpu.platform, PHYSICAL_RESOLUTION)
        if plugged_in is not None:
            self.gpu.display.plug(plugged_in)
        super().__init__(clock, wanted)
        self._path = path
        try:
            device = self._server.listen(path, self.gpu, machine, self.gpu.findings)
            if trace is not None:
                trace_device(self.gpu, trace)
            self._show(self.gpu.platform.name, [self._view(0, "physical GPU", title, device, self.gpu, lambda: gpu_facts(self.gpu))])
        except BaseException:
            self.close()
            raise

    @property
    def findings(self) -> tuple[FindingLog, ...]:
        return (self.gpu.findings,)

    def totals(self) -> tuple[Total, ...]:
        return (("commands executed", sum(self.gpu.engines.commands.values()), False),)

    def opregion(self, guest: int) -> None:
        """There is none: a machine's own GPU is described by the machine's own firmware."""

    def report(self) -> dict[str, object]:
        return physical_report(self.gpu, str(self._path))

    def _close_devices(self) -> None:
        self.gpu.end_trace()
