"""A host whose vGPUs are all behind sockets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, final

from pvinfo.command_line import write_whole
from pvinfo.finding import FindingLog
from pvinfo.vfio_user import OPREGION_TYPE

from ..clock import RealClock
from ..device.display.edid_region import EdidRegion
from ..host import DEFAULT_APERTURE, Host
from ..hypervisor.vfio_user import VfioUserPort
from ..mediator.firmware import declared_connectors, opregion_of
from ..mediator.scheduler.options import ScheduleChoice
from ..mediator.scheduler.timeline import draw_timeline
from ..mediator.types import DefaultMonitor
from ..mediator.vgpu import Vgpu
from ..monitor_choice import MonitorChoice
from ..report import host_report
from ..scanout.frame_region import FrameRegion
from ..vfio.user.regions import ReadOnlyRegion, SpecificRegion
from ..view.facts import vgpu_facts
from ..view.shows import Wanted, file_of
from ..view.view import Viewed
from .served import Served, Total, trace_device

__all__ = ("ServedHost", "ServedType")


class ServedType(NamedTuple):
    """A vGPU to serve: its type (None: the smallest) and where."""

    vgpu_type: str | None
    path: Path
    title: str | None = None
    """What it is called where its screen is shown; by default by its number."""


@final
class ServedHost(Served):
    """A host with a vGPU behind each socket, on real time.

    Raises: UsageError for a platform, type or aperture that means nothing; ResourceExhausted; SetupError for a socket.
    """

    def __init__(
        self,
        platform: str,
        served: Sequence[ServedType],
        *,
        aperture_size: int = DEFAULT_APERTURE,
        trace: Path | None = None,
        wanted: Wanted = Wanted(),
        monitor: MonitorChoice = MonitorChoice(),
        schedule: ScheduleChoice = ScheduleChoice(),
    ) -> None:
        self.host = Host(platform, aperture_size=aperture_size, clock=RealClock(), scheduler=schedule.policy, switching=schedule.switching)
        super().__init__(self.host.clock, wanted)
        self._sockets: dict[int, str] = {}
        self._ports: list[VfioUserPort] = []
        self._names: dict[int, str] = {}
        self._timeline: Path | None = None
        try:
            viewed = [self._add(entry, trace, monitor, alone=len(served) == 1) for entry in served]
            self._show(self.host.platform.name, viewed)
        except BaseException:
            self.close()
            raise
        self._timeline = schedule.timeline

    def _add(self, entry: ServedType, trace: Path | None, monitor: MonitorChoice, *, alone: bool) -> Viewed:
        vgpu_type = self.host.type_named(entry.vgpu_type)
        plugged_in = DefaultMonitor.OF_TYPE if monitor.open else monitor.monitor(self.host.platform, vgpu_type.resolution)
        port = VfioUserPort(self.host.memory)
        self._ports.append(port)
        vgpu = self.host.create_vgpu(vgpu_type, port, monitor=plugged_in)
        device = self._server.listen(entry.path, vgpu, port, vgpu.findings, _specific_regions(vgpu))
        self._sockets[vgpu.number] = str(entry.path)
        title = entry.title or f"vGPU {vgpu.number}"
        self._names[vgpu.number] = f"{title} (weight {vgpu.weight})"
        if trace is not None:
            trace_device(vgpu, file_of(trace, vgpu.number, alone=alone))
        return self._view(vgpu.number, vgpu.type.name, title, device, vgpu, lambda: vgpu_facts(vgpu))

    def totals(self) -> tuple[Total, ...]:
        violations = self.host.guard.violations
        return (
            ("commands executed", sum(self.host.gpu.engines.commands.values()), False),
            ("turns of vGPUs", self.host.mediator.turn.changes, False),
            ("isolation violations", violations, violations > 0),
        )

    @property
    def findings(self) -> tuple[FindingLog, ...]:
        return tuple(vgpu.findings for vgpu in self.host.vgpus.values())

    def opregion(self, guest: int) -> bytes:
        """What the firmware of the vGPU at place ``guest`` is to show its guest."""
        return opregion_of(list(self.host.vgpus.values())[guest])

    def report(self) -> dict[str, object]:
        return host_report(self.host, self._sockets)

    def timeline(self) -> str:
        """Who had the GPU when, as an SVG picture."""
        return draw_timeline(self.host.mediator.turn.timeline.turns, self._names)

    def close(self) -> None:
        """Hang up, remove the sockets, end the traces, free the vGPUs; then write the timeline. Raises: SetupError where that cannot be."""
        super().close()
        timeline, self._timeline = self._timeline, None
        if timeline is not None:
            write_whole(timeline, self.timeline())

    def _close_devices(self) -> None:
        for vgpu in list(self.host.vgpus.values()):
            self.host.destroy_vgpu(vgpu)
        while self._ports:
            self._ports.pop().close()


def _specific_regions(vgpu: Vgpu) -> tuple[SpecificRegion, ...]:
    """In the order of the kernel's mediator, with the picture behind."""
    (connector, *_) = declared_connectors(vgpu)
    return ReadOnlyRegion(OPREGION_TYPE, opregion_of(vgpu)), EdidRegion(vgpu.display, connector), FrameRegion(vgpu)
