"""A host whose vGPUs are all behind sockets, and its own device where that is wanted."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple, final

from pvinfo.command_line import write_whole
from pvinfo.finding import FindingLog
from pvinfo.vfio_user import OPREGION_TYPE

from ..clock import RealClock
from ..device.display.edid_region import EdidRegion
from ..host import DEFAULT_APERTURE, Host
from ..hypervisor.vfio_user import VfioUserPort
from ..mediator.firmware import declared_connectors, opregion_of
from ..mediator.resources import VgpuResources
from ..mediator.scheduler.options import ScheduleChoice
from ..mediator.scheduler.timeline import draw_timeline
from ..mediator.types import DefaultMonitor, VgpuType
from ..mediator.vgpu import Vgpu
from ..monitor_choice import MonitorChoice
from ..report import host_report, vgpu_report
from ..scanout.frame_region import FrameRegion
from ..vfio.user.regions import ReadOnlyRegion, SpecificRegion
from ..vfio.user.serve import ServedDevice
from ..view.facts import own_facts, vgpu_facts
from ..view.shows import Wanted, file_of
from ..view.view import Viewed
from .on_demand import OnDemand
from .own import OwnPlace, ServedOwn
from .served import Served, Total, trace_device

__all__ = ("ServedHost", "ServedType")

_REMEMBERED: Final = 256
"""Reports of vGPUs that were taken away: a server that runs for months keeps the newest."""


class ServedType(NamedTuple):
    """A vGPU to serve: its type (None: the smallest) and where."""

    vgpu_type: VgpuType | str | None
    path: Path
    title: str | None = None
    """What it is called where its screen is shown; by default by its number."""


class _Served(NamedTuple):
    """A vGPU on its socket."""

    vgpu: Vgpu
    port: VfioUserPort
    device: ServedDevice
    viewed: Viewed


@final
class ServedHost(Served):
    """A host with a vGPU behind each socket, on real time. ``own`` says where the host's own driver finds its device; ``on_demand``
    is a folder where more vGPUs are made and taken away meanwhile.

    Raises: UsageError for a platform, type or aperture that means nothing; ResourceExhausted; SetupError for a socket.
    """

    def __init__(
        self,
        platform: str,
        served: Sequence[ServedType],
        *,
        aperture_size: int = DEFAULT_APERTURE,
        own_types: Sequence[VgpuType] = (),
        trace: Path | None = None,
        wanted: Wanted = Wanted(),
        monitor: MonitorChoice = MonitorChoice(),
        schedule: ScheduleChoice = ScheduleChoice(),
        own: OwnPlace | None = None,
        on_demand: Path | None = None,
    ) -> None:
        self.host = Host(
            platform, aperture_size=aperture_size, clock=RealClock(), scheduler=schedule.policy, switching=schedule.switching, own_types=own_types
        )
        super().__init__(self.host.clock, wanted)
        self._monitor = monitor
        self._trace = trace
        self._served: dict[int, _Served] = {}
        self._viewed: list[Viewed] = []
        self._names: dict[int, str] = {}
        self._ended: deque[dict[str, object]] = deque(maxlen=_REMEMBERED)
        self._timeline: Path | None = None
        self._on_demand: OnDemand | None = None
        self._own: ServedOwn | None = None
        alone = len(served) + (own is not None) == 1 and on_demand is None
        try:
            if own is not None:
                self._own = self._serve_own(own)
                if trace is not None:
                    trace_device(self._own.device, file_of(trace, self._own.device.number, alone=alone))
            for entry in served:
                vgpu = self.add(entry)
                if trace is not None:
                    trace_device(vgpu, file_of(trace, vgpu.number, alone=alone))
            if on_demand is not None:
                self._on_demand = OnDemand(self, on_demand)
            self._show(self.host.platform.name, self._viewed)
        except BaseException:
            self.close()
            raise
        self._timeline = schedule.timeline

    def _serve_own(self, place: OwnPlace) -> ServedOwn:
        own = ServedOwn(self.host, place, self._server, self._monitor)
        device = own.device
        self._names[device.number] = f"{place.title} (weight {device.weight})"
        self._viewed.append(self._view(device.number, "the host's own device", place.title, own.served, device.screen, lambda: own_facts(device)))
        return own

    def add(self, entry: ServedType, resources: VgpuResources | None = None) -> Vgpu:
        """Serve one vGPU more, on a share that was reserved for it where one is given.

        Raises: UsageError for an unknown type; ResourceExhausted; SetupError for a socket. Nothing has changed then.
        """
        vgpu_type = entry.vgpu_type if isinstance(entry.vgpu_type, VgpuType) else self.host.type_named(entry.vgpu_type)
        plugged_in = DefaultMonitor.OF_TYPE if self._monitor.open else self._monitor.monitor(self.host.platform, vgpu_type.resolution)
        with ExitStack() as undo:
            port = VfioUserPort(self.host.memory)
            undo.callback(port.close)
            vgpu = self.host.create_vgpu(vgpu_type, port, monitor=plugged_in, resources=resources)
            undo.callback(self.host.destroy_vgpu, vgpu)
            port.on_leaving = vgpu.machine_gone
            device = self._server.listen(entry.path, vgpu, port, vgpu.findings, _specific_regions(vgpu))
            undo.pop_all()
        title = entry.title or f"vGPU {vgpu.number}"
        self._names[vgpu.number] = f"{title} (weight {vgpu.weight})"
        viewed = self._view(vgpu.number, vgpu.type.name, title, device, vgpu, lambda: vgpu_facts(vgpu))
        self._viewed.append(viewed)
        self._served[vgpu.number] = _Served(vgpu, port, device, viewed)
        return vgpu

    def remove(self, vgpu: Vgpu) -> None:
        """Serve a vGPU no more: whoever uses it is hung up on. Its report stays for the end."""
        served = self._served.pop(vgpu.number)
        self._server.end(served.device)
        self._viewed.remove(served.viewed)
        self._ended.append(vgpu_report(vgpu, str(served.device.path)))
        self.host.destroy_vgpu(vgpu)
        served.port.close()

    def add_named(self, name: str, vgpu_type: VgpuType, path: Path, resources: VgpuResources) -> Vgpu:
        """:meth:`add` for a vGPU that is made on demand: where accesses are recorded, its own go to a file that has its name."""
        vgpu = self.add(ServedType(vgpu_type, path, name), resources)
        if self._trace is not None:
            try:
                trace_device(vgpu, self._trace.with_name(f"{name}-{self._trace.name}"))
            except BaseException:
                self.remove(vgpu)
                raise
        return vgpu

    def in_use(self, vgpu: Vgpu) -> bool:
        """A client is at its socket."""
        return self._served[vgpu.number].device.still_connected()

    def totals(self) -> tuple[Total, ...]:
        violations = self.host.guard.violations
        return (
            ("commands executed", sum(self.host.gpu.engines.commands.values()), False),
            ("turns of vGPUs", self.host.mediator.turn.changes, False),
            ("isolation violations", violations, violations > 0),
        )

    @property
    def findings(self) -> tuple[FindingLog, ...]:
        own = () if self._own is None else (self._own.device.findings,)
        return (*own, *(vgpu.findings for vgpu in self.host.vgpus.values()))

    def opregion(self, guest: int) -> bytes | None:
        """What the firmware of the device at place ``guest`` is to show its guest; the host's own, at the first place, has firmware of
        its own."""
        clients = [*([None] if self._own is not None else []), *self.host.vgpus.values()]
        vgpu = clients[guest]
        return None if vgpu is None else opregion_of(vgpu)

    @property
    def control(self) -> Path | None:
        """The folder in which vGPUs are made on demand."""
        return self._on_demand.folder if self._on_demand is not None else None

    def report(self) -> dict[str, object]:
        sockets = {number: str(served.device.path) for number, served in self._served.items()}
        if self._own is not None:
            sockets[self._own.device.number] = str(self._own.place.path)
        report = host_report(self.host, sockets)
        return {**report, "removed_vgpus": list(self._ended)} if self._on_demand is not None else report

    def timeline(self) -> str:
        """Who had the GPU when, as an SVG picture."""
        return draw_timeline(self.host.mediator.turn.timeline.turns, self._names)

    def close(self) -> None:
        """Hang up, remove the sockets, end the traces, free the vGPUs; then write the timeline. Raises: SetupError where that cannot be."""
        if self._on_demand is not None:
            self._on_demand.close()
        super().close()
        if self._on_demand is not None:
            self._on_demand.remove_folder()
        timeline, self._timeline = self._timeline, None
        if timeline is not None:
            write_whole(timeline, self.timeline())

    def _close_devices(self) -> None:
        for vgpu, port, _, _ in self._served.values():
            self.host.destroy_vgpu(vgpu)
            port.close()
        self._served.clear()
        if self._own is not None:
            self._own.device.close()


def _specific_regions(vgpu: Vgpu) -> tuple[SpecificRegion, ...]:
    """In the order of the kernel's mediator, with the picture behind."""
    (connector, *_) = declared_connectors(vgpu)
    return ReadOnlyRegion(OPREGION_TYPE, opregion_of(vgpu)), EdidRegion(vgpu.display, connector), FrameRegion(vgpu)
