"""``host-model serve``: vGPUs behind vfio-user sockets, for QEMU or any other client."""

from __future__ import annotations

import argparse
import json
import selectors
import signal
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Final, NamedTuple, final

from pvinfo.command_line import write_whole
from pvinfo.errors import SetupError, UsageError
from pvinfo.finding import Finding, FindingLog
from pvinfo.platform import DEFAULT_PLATFORM, PLATFORMS, platform_named
from pvinfo.units import MIB
from pvinfo.vfio_user import OPREGION_TYPE

from .boot.host_side import HostRequest, Picture
from .clock import RealClock
from .device.display.edid_region import EdidRegion
from .gpu.device import PhysicalGpu
from .host import DEFAULT_APERTURE, Host, check_aperture
from .hypervisor.vfio_user import SharedMachine, VfioUserPort
from .mediator.firmware import declared_connectors, opregion_of
from .mediator.scheduler.options import ScheduleChoice, add_schedule_arguments, schedule_choice_of
from .mediator.scheduler.timeline import draw_timeline
from .mediator.types import DefaultMonitor
from .mediator.vgpu import Vgpu
from .monitor_choice import PHYSICAL_RESOLUTION, MonitorChoice, add_monitor_arguments, monitor_choice_of
from .report import host_report, physical_report
from .scanout import png
from .scanout.frame_region import FrameRegion
from .vfio.user.regions import ReadOnlyRegion, SpecificRegion
from .vfio.user.serve import ServedDevice, VfioUserServer
from .view.facts import gpu_facts, vgpu_facts
from .view.options import add_view_arguments, view_address_of
from .view.screen import Screen
from .view.screenshot import ScreenshotFiles, on_signal
from .view.shows import Shows, Wanted, file_of
from .view.view import Site, Viewed

__all__ = ("ServedGpu", "ServedHost", "ServedType", "add_serve_arguments", "host_for_boot", "run_serve")

_TURN_S: Final = 1.0

DESCRIPTION: Final = """\
Serves vGPUs of one host over vfio-user, each on a Unix socket of its own. Prints "ready PATH" for each
once it listens. Ends on SIGTERM or Ctrl-C, or with --once when the last client has gone.

--screenshot writes what is shown when serving ends, and on SIGUSR1 at once; where the client has gone,
what it showed last. A file that ends in .png is a picture, one that ends in .raw
a frame of 32-bit pixels behind a header. Where nothing is shown there is no file, and a line that says why.

--frame keeps the newest frame in a file, best in /dev/shm, for programs that map it: it changes
at the rate of the display at most, and only when what is shown has changed. It is a .raw
file whose header has a sequence: odd while the frame is written, and greater with each frame. To
read it: read the sequence (again, while it is odd), copy the frame, read the sequence; if it has
changed, begin again. Width 0 means that nothing is shown. When the file has grown, map it anew.

--view serves a page that shows each screen with its counters and refreshes itself; it changes nothing.

A client that runs the machine finds the display of a vGPU in device-specific regions: by region 10 (VFIO's EDID
region) it plugs monitors in and out, from region 11 it reads the picture: the 64 bytes of a .raw file's header,
which take a new picture, then its pixels. QEMU uses neither.
"""

EXAMPLES: Final = """\
examples:
  host-model serve --socket /tmp/vgpu.sock
  host-model serve --socket /tmp/vgpu.sock --platform kbl --type GVTg_V5_4 --trace run.tsv --json run.json
  host-model serve --vgpu GVTg_V5_8=/tmp/a.sock --vgpu GVTg_V5_8=/tmp/b.sock --once
  host-model serve --vgpu GVTg_V5_8=/tmp/a.sock --vgpu GVTg_V5_4=/tmp/b.sock --scheduler gvt --timeline who-when.svg
  host-model serve --socket /tmp/vgpu.sock --view 8080             look at http://127.0.0.1:8080/
  host-model serve --socket /tmp/vgpu.sock --screenshot now.png    kill -USR1 takes a picture
  host-model serve --socket /tmp/vgpu.sock --frame /dev/shm/screen
  host-model serve --socket /tmp/vgpu.sock --monitor HDMI-B --mode 1920x1080
  host-model serve --socket /tmp/vgpu.sock --edid /sys/class/drm/card0-DP-1/edid    a monitor like the one on the desk

  qemu-system-x86_64 -machine q35,memory-backend=m -m 2G -object memory-backend-memfd,id=m,size=2G,share=on \\
    -device '{"driver":"vfio-user-pci","addr":"02.0","rombar":0,"x-msg-timeout":60000,
              "socket":{"type":"unix","path":"/tmp/vgpu.sock"}}' …

  host-model serve --socket /tmp/vgpu.sock --opregion /tmp/opregion.bin
  and then, with SeaBIOS as the guest's firmware, for a guest that finds only the connector that is there:
  qemu-system-x86_64 -fw_cfg name=etc/igd-opregion,file=/tmp/opregion.bin …       (its warning about "opt/" does not matter)
"""


class ServedType(NamedTuple):
    """A vGPU to serve: its type (None: the smallest) and where."""

    vgpu_type: str | None
    path: Path
    title: str | None = None
    """What it is called where its screen is shown; by default by its number."""


@final
class ServedHost:
    """A host whose vGPUs are all behind sockets, on real time; the host's side of ``host-model boot`` too.

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
        self.host = Host(platform, aperture_size=aperture_size, clock=RealClock(), scheduler=schedule.policy)
        self.selector: selectors.BaseSelector = selectors.DefaultSelector()
        self._server = VfioUserServer(self.selector, self.host.clock)
        self._sockets: dict[int, str] = {}
        self._ports: list[VfioUserPort] = []
        self._shows: Shows | None = None
        self._names: dict[int, str] = {}
        self._timeline = schedule.timeline
        try:
            viewed = [self._add(entry, trace, wanted, monitor, alone=len(served) == 1) for entry in served]
            site = Site(self.host.platform.name, viewed, self.report, self.totals)
            self._shows = Shows(site, self.selector, self.host.clock, wanted)
        except BaseException:
            self._timeline = None
            self.close()
            raise

    def _add(self, entry: ServedType, trace: Path | None, wanted: Wanted, monitor: MonitorChoice, *, alone: bool) -> Viewed:
        vgpu_type = self.host.type_named(entry.vgpu_type)
        plugged_in = DefaultMonitor.OF_TYPE if monitor.open else monitor.monitor(self.host.platform, vgpu_type.resolution)
        port = VfioUserPort(self.host.memory)
        self._ports.append(port)
        vgpu = self.host.create_vgpu(vgpu_type, port, monitor=plugged_in)
        device = self._server.listen(entry.path, vgpu, port, vgpu.findings, _specific_regions(vgpu))
        self._sockets[vgpu.number] = str(entry.path)
        self._names[vgpu.number] = f"{entry.title or f'vGPU {vgpu.number}'} (weight {vgpu.weight})"
        if trace is not None:
            _trace(vgpu, file_of(trace, vgpu.number, alone=alone))
        screen = Screen(vgpu, entry.title or f"vGPU {vgpu.number}", lambda: device.abandoned)
        if wanted.anything:
            device.on_leaving = screen.keep_last
        return Viewed(vgpu.number, vgpu.type.name, str(entry.path), screen, lambda: device.connected, lambda: vgpu_facts(vgpu))

    def totals(self) -> tuple[tuple[str, int, bool], ...]:
        """What stands on top of the page: a name, a number, and whether that is bad."""
        violations = self.host.guard.violations
        return (
            ("commands executed", sum(self.host.gpu.engines.commands.values()), False),
            ("turns of vGPUs", self.host.mediator.turn.changes, False),
            ("isolation violations", violations, violations > 0),
        )

    @property
    def findings(self) -> tuple[FindingLog, ...]:
        """What is noticed of each guest."""
        return tuple(vgpu.findings for vgpu in self.host.vgpus.values())

    @property
    def devices(self) -> tuple[ServedDevice, ...]:
        """The vGPUs on their sockets."""
        return self._server.devices

    def step(self, timeout_s: float) -> None:
        """Serve whatever is ready, or becomes ready within ``timeout_s``."""
        self._server.step(timeout_s)

    @property
    def screens(self) -> tuple[Viewed, ...]:
        """The vGPUs with their screens."""
        return _screens(self._shows)

    @property
    def view_url(self) -> str | None:
        """Where the live view is, None without one."""
        return None if self._shows is None else self._shows.view_url

    def picture(self, guest: int) -> Picture:
        """The screen of the vGPU that was named at place ``guest``."""
        return _picture(self.screens[guest])

    def opregion(self, guest: int) -> bytes:
        """What the firmware of the vGPU at place ``guest`` is to show its guest."""
        return opregion_of(list(self.host.vgpus.values())[guest])

    def report(self) -> dict[str, object]:
        """What the host saw: the JSON object of the command."""
        return host_report(self.host, self._sockets)

    def timeline(self) -> str:
        """Who had the GPU when, as an SVG picture."""
        return draw_timeline(self.host.mediator.turn.timeline.turns, self._names)

    def close(self) -> None:
        """Hang up, remove the sockets, end the traces, free the vGPUs; then write the timeline. Raises: SetupError where that cannot be."""
        if self._shows is not None:
            self._shows.close()
        self._server.close()
        for vgpu in list(self.host.vgpus.values()):
            self.host.destroy_vgpu(vgpu)
        while self._ports:
            self._ports.pop().close()
        self.selector.close()
        timeline, self._timeline = self._timeline, None
        if timeline is not None:
            write_whole(timeline, self.timeline())


@final
class ServedGpu:
    """The physical GPU behind a socket, on real time: for a machine whose own it is.

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
        self._machine = SharedMachine()
        self._clock = RealClock()
        check_aperture(aperture_size)
        self.gpu = PhysicalGpu(platform_named(platform), aperture_size, self._machine.memory, self._clock)
        plugged_in = None if monitor.open else monitor.monitor(self.gpu.platform, PHYSICAL_RESOLUTION)
        if plugged_in is not None:
            self.gpu.display.plug(plugged_in)
        self.selector: selectors.BaseSelector = selectors.DefaultSelector()
        self._server = VfioUserServer(self.selector, self._clock)
        self._path = path
        self._shows: Shows | None = None
        try:
            device = self._server.listen(path, self.gpu, self._machine, self.gpu.findings)
            if trace is not None:
                _trace(self.gpu, trace)
            screen = Screen(self.gpu, title, lambda: device.abandoned)
            if wanted.anything:
                device.on_leaving = screen.keep_last
            viewed = Viewed(0, "physical GPU", str(path), screen, lambda: device.connected, lambda: gpu_facts(self.gpu))
            site = Site(self.gpu.platform.name, (viewed,), self.report, self.totals)
            self._shows = Shows(site, self.selector, self._clock, wanted)
        except BaseException:
            self.close()
            raise

    @property
    def findings(self) -> tuple[FindingLog, ...]:
        """What is noticed of the driver."""
        return (self.gpu.findings,)

    @property
    def devices(self) -> tuple[ServedDevice, ...]:
        """The GPU on its socket."""
        return self._server.devices

    def step(self, timeout_s: float) -> None:
        """Serve whatever is ready, or becomes ready within ``timeout_s``."""
        self._server.step(timeout_s)

    def totals(self) -> tuple[tuple[str, int, bool], ...]:
        """What stands on top of the page: a name, a number, and whether that is bad."""
        return (("commands executed", sum(self.gpu.engines.commands.values()), False),)

    @property
    def screens(self) -> tuple[Viewed, ...]:
        """The GPU with its screen."""
        return _screens(self._shows)

    @property
    def view_url(self) -> str | None:
        """Where the live view is, None without one."""
        return None if self._shows is None else self._shows.view_url

    def picture(self, guest: int) -> Picture:
        """The GPU's screen; it is that of guest 0."""
        return _picture(self.screens[guest])

    def opregion(self, guest: int) -> None:
        """There is none: a machine's own GPU is described by the machine's own firmware."""

    def report(self) -> dict[str, object]:
        """What the GPU saw: the JSON object of the command."""
        return physical_report(self.gpu, str(self._path))

    def close(self) -> None:
        """Hang up, remove the socket, end the trace."""
        if self._shows is not None:
            self._shows.close()
        self._server.close()
        self.gpu.end_trace()
        self.selector.close()


def _specific_regions(vgpu: Vgpu) -> tuple[SpecificRegion, ...]:
    """In the order of the kernel's mediator, with the picture behind."""
    (connector, *_) = declared_connectors(vgpu)
    return ReadOnlyRegion(OPREGION_TYPE, opregion_of(vgpu)), EdidRegion(vgpu.display, connector), FrameRegion(vgpu)


def host_for_boot(request: HostRequest) -> ServedHost | ServedGpu:
    """The host of a boot: a vGPU for each guest's socket, or the physical GPU for the one machine there is."""
    aperture_size = DEFAULT_APERTURE if request.aperture_mib is None else request.aperture_mib * MIB
    wanted = Wanted(view=request.view, pictures=request.pictures)
    if not request.physical:
        served = [ServedType(request.vgpu_type, path, f"guest {number}") for number, path in enumerate(request.sockets)]
        return ServedHost(
            request.platform, served, aperture_size=aperture_size, trace=request.trace, wanted=wanted, monitor=request.monitor,
            schedule=request.schedule,
        )  # fmt: skip
    if len(request.sockets) != 1:
        raise UsageError(f"{len(request.sockets)} machines want the physical GPU: it is the own of one")
    path = request.sockets[0]
    return ServedGpu(
        request.platform, path, aperture_size=aperture_size, trace=request.trace, wanted=wanted, title="guest 0", monitor=request.monitor
    )


def _screens(shows: Shows | None) -> tuple[Viewed, ...]:
    return () if shows is None else tuple(shows.devices)


def _picture(viewed: Viewed) -> Picture:
    frame = viewed.screen.look()
    return Picture(None, viewed.screen.nothing_shown) if frame is None else Picture(png(frame))


def _trace(device: Vgpu | PhysicalGpu, path: Path) -> None:
    try:
        device.trace_to(path)
    except OSError as error:
        raise SetupError(f"the trace {path} cannot be written: {error.strerror}") from None


def _served_type(text: str) -> ServedType:
    vgpu_type, separator, path = text.partition("=")
    if not separator or not vgpu_type or not path:
        raise argparse.ArgumentTypeError(f"{text!r} is not TYPE=PATH")
    return ServedType(vgpu_type, Path(path))


def add_serve_arguments(parser: argparse.ArgumentParser) -> None:
    """Give ``parser`` the options, the description and the examples of ``host-model serve``."""
    parser.description = DESCRIPTION
    parser.epilog = EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--socket", type=Path, metavar="PATH", help="serve one vGPU here")
    parser.add_argument("--type", dest="vgpu_type", metavar="T", help="its type (the platform's smallest)")
    parser.add_argument(
        "--vgpu", type=_served_type, action="append", default=[], metavar="T=PATH", help="serve a vGPU of type T at PATH (repeatable)"
    )
    parser.add_argument("--physical", action="store_true", help="serve the physical GPU itself at --socket, for a host's driver")
    parser.add_argument("--platform", default=DEFAULT_PLATFORM, metavar="P", help=f"{', '.join(PLATFORMS)} ({DEFAULT_PLATFORM})")
    parser.add_argument(
        "--aperture", type=int, default=DEFAULT_APERTURE // MIB, metavar="MIB",
        help=f"aperture of the physical GPU in MiB ({DEFAULT_APERTURE // MIB})",
    )  # fmt: skip
    parser.add_argument("--once", action="store_true", help="end when the last client has gone")
    parser.add_argument(
        "--trace", type=Path, metavar="FILE", help="record every access (with several vGPUs, one file each: N-FILE); .xz compresses"
    )
    parser.add_argument("--json", metavar="FILE", help="write the report at the end; - is standard output")
    parser.add_argument(
        "--opregion", type=Path, metavar="FILE",
        help="write the OpRegion that declares the connector, for the guest's firmware (with several vGPUs, one file each: N-FILE)",
    )  # fmt: skip
    parser.add_argument(
        "--screenshot", type=Path, metavar="FILE",
        help="write what is shown, at the end and on SIGUSR1: FILE.png or FILE.raw (with several vGPUs, one file each: N-FILE)",
    )  # fmt: skip
    parser.add_argument(
        "--frame", type=Path, metavar="FILE",
        help="keep the newest frame in FILE for other programs to map, until serving ends (with several vGPUs: N-FILE)",
    )  # fmt: skip
    add_schedule_arguments(parser)
    add_monitor_arguments(parser)
    add_view_arguments(parser)


def run_serve(arguments: argparse.Namespace) -> int:
    """Run ``host-model serve`` until it is ended; what guests did is in the report, not in the status."""
    pictures = None if arguments.screenshot is None else ScreenshotFiles(arguments.screenshot)
    host = _host_of(arguments)
    try:
        if isinstance(host, ServedHost) and arguments.opregion is not None:
            _write_opregions(host, arguments.opregion)
        on_wish = nullcontext() if pictures is None else on_signal(signal.SIGUSR1, host.selector, lambda: pictures.write(host.screens))
        with on_wish:
            _serve_until_ended(host, once=arguments.once)
        if pictures is not None:
            pictures.write(host.screens)
        report = host.report()
    finally:
        host.close()
    if arguments.json is not None:
        text = json.dumps(report, indent=2) + "\n"
        if arguments.json == "-":
            sys.stdout.write(text)
        else:
            write_whole(Path(arguments.json), text)
    return 0 if pictures is None or not pictures.failed else 1


def _host_of(arguments: argparse.Namespace) -> ServedHost | ServedGpu:
    aperture_size = arguments.aperture * MIB
    monitor = monitor_choice_of(arguments)
    schedule = schedule_choice_of(arguments, physical=arguments.physical)
    wanted = Wanted(view_address_of(arguments), arguments.frame, pictures=arguments.screenshot is not None)
    if arguments.physical:
        if arguments.opregion is not None:
            raise UsageError("--opregion is of vGPUs: a machine's own GPU (--physical) is described by the machine's own firmware")
        if arguments.socket is None or arguments.vgpu or arguments.vgpu_type:
            raise UsageError("--physical serves one device: it goes with --socket, and with neither --type nor --vgpu")
        return ServedGpu(
            arguments.platform, arguments.socket, aperture_size=aperture_size, trace=arguments.trace, wanted=wanted, monitor=monitor
        )
    served = list(arguments.vgpu)
    if arguments.socket is not None:
        served.insert(0, ServedType(arguments.vgpu_type, arguments.socket))
    elif arguments.vgpu_type is not None:
        raise UsageError("--type is the type of --socket's vGPU; with --vgpu it stands before the path: --vgpu T=PATH")
    if not served:
        raise UsageError("nothing to serve: give --socket PATH or --vgpu T=PATH")
    return ServedHost(
        arguments.platform, served, aperture_size=aperture_size, trace=arguments.trace, wanted=wanted, monitor=monitor, schedule=schedule
    )


def _serve_until_ended(host: ServedHost | ServedGpu, *, once: bool) -> None:
    """Ctrl-C and SIGTERM are how a server is meant to end, from the moment that it says "ready": they are no error."""
    try:
        for device in host.devices:
            print(f"ready {device.path}", flush=True)
        if host.view_url is not None:
            print(f"view {host.view_url}", flush=True)
        if sys.stderr.isatty():
            for findings in host.findings:
                findings.on_first = _show_finding
        while not (once and _all_gone(host.devices)):
            host.step(_TURN_S)
    except KeyboardInterrupt:
        pass


def _all_gone(devices: Sequence[ServedDevice]) -> bool:
    return any(device.clients_seen for device in devices) and not any(device.connected for device in devices)


def _write_opregions(host: ServedHost, path: Path) -> None:
    alone = len(host.host.vgpus) == 1
    for guest, number in enumerate(host.host.vgpus):
        write_whole(path if alone else path.with_name(f"{number}-{path.name}"), host.opregion(guest))


def _show_finding(finding: Finding) -> None:
    print(f"vGPU {finding.vgpu}: {finding.kind.value}: {finding.where}: {finding.text}", file=sys.stderr)
