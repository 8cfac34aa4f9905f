"""``host-model serve``: vGPUs behind vfio-user sockets, for QEMU or any other client."""

from __future__ import annotations

import argparse
import json
import selectors
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple, final

from pvinfo.command_line import write_whole
from pvinfo.errors import SetupError, UsageError
from pvinfo.finding import Finding
from pvinfo.platform import DEFAULT_PLATFORM, PLATFORMS
from pvinfo.units import MIB

from .boot.host_side import HostRequest
from .clock import RealClock
from .host import DEFAULT_APERTURE, Host
from .hypervisor.vfio_user import VfioUserPort
from .report import host_report
from .vfio.user.serve import ServedDevice, VfioUserServer

__all__ = ("ServedHost", "ServedType", "add_serve_arguments", "run_serve")

_TURN_S: Final = 1.0

DESCRIPTION: Final = """\
Serves vGPUs of one host over vfio-user, each on a Unix socket of its own. Prints "ready PATH" for each
once it listens. Ends on SIGTERM or Ctrl-C, or with --once when the last client has gone.
"""

EXAMPLES: Final = """\
examples:
  host-model serve --socket /tmp/vgpu.sock
  host-model serve --socket /tmp/vgpu.sock --platform kbl --type GVTg_V5_4 --trace run.tsv --json run.json
  host-model serve --vgpu GVTg_V5_8=/tmp/a.sock --vgpu GVTg_V5_8=/tmp/b.sock --once

  qemu-system-x86_64 -machine q35,memory-backend=m -m 2G -object memory-backend-memfd,id=m,size=2G,share=on \\
    -device '{"driver":"vfio-user-pci","addr":"02.0","rombar":0,"x-msg-timeout":60000,
              "socket":{"type":"unix","path":"/tmp/vgpu.sock"}}' …
"""


class ServedType(NamedTuple):
    """A vGPU to serve: its type (None: the smallest) and where."""

    vgpu_type: str | None
    path: Path


@final
class ServedHost:
    """A host whose vGPUs are all behind sockets, on real time; the host's side of ``host-model boot`` too.

    Raises: UsageError for a platform, type or aperture that means nothing; ResourceExhausted; SetupError for a socket.
    """

    def __init__(
        self, platform: str, served: Sequence[ServedType], *, aperture_size: int = DEFAULT_APERTURE, trace: Path | None = None
    ) -> None:
        self.host = Host(platform, aperture_size=aperture_size, clock=RealClock())
        self.selector: selectors.BaseSelector = selectors.DefaultSelector()
        self._server = VfioUserServer(self.selector, self.host.clock)
        self._sockets: dict[int, str] = {}
        self._ports: list[VfioUserPort] = []
        try:
            for entry in served:
                self._add(entry, trace, alone=len(served) == 1)
        except BaseException:
            self.close()
            raise

    @classmethod
    def for_boot(cls, request: HostRequest) -> ServedHost:
        """The host of a boot: one vGPU for each guest's socket."""
        return cls(
            request.platform,
            [ServedType(request.vgpu_type, path) for path in request.sockets],
            aperture_size=DEFAULT_APERTURE if request.aperture_mib is None else request.aperture_mib * MIB,
            trace=request.trace,
        )

    def _add(self, entry: ServedType, trace: Path | None, *, alone: bool) -> None:
        port = VfioUserPort(self.host.memory)
        self._ports.append(port)
        vgpu = self.host.create_vgpu(entry.vgpu_type, port)
        self._server.listen(entry.path, vgpu, port, vgpu.findings)
        self._sockets[vgpu.number] = str(entry.path)
        if trace is not None:
            path = trace if alone else trace.with_name(f"{vgpu.number}-{trace.name}")
            try:
                vgpu.trace_to(path)
            except OSError as error:
                raise SetupError(f"the trace {path} cannot be written: {error.strerror}") from None

    @property
    def devices(self) -> tuple[ServedDevice, ...]:
        """The vGPUs on their sockets."""
        return self._server.devices

    def step(self, timeout_s: float) -> None:
        """Serve whatever is ready, or becomes ready within ``timeout_s``."""
        self._server.step(timeout_s)

    def report(self) -> dict[str, object]:
        """What the host saw: the JSON object of the command."""
        return host_report(self.host, self._sockets)

    def close(self) -> None:
        """Hang up, remove the sockets, end the traces, free the vGPUs."""
        self._server.close()
        for vgpu in list(self.host.vgpus.values()):
            self.host.destroy_vgpu(vgpu)
        while self._ports:
            self._ports.pop().close()
        self.selector.close()


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


def run_serve(arguments: argparse.Namespace) -> int:
    """Run ``host-model serve`` until it is ended; what guests did is in the report, not in the status."""
    served = list(arguments.vgpu)
    if arguments.socket is not None:
        served.insert(0, ServedType(arguments.vgpu_type, arguments.socket))
    elif arguments.vgpu_type is not None:
        raise UsageError("--type is the type of --socket's vGPU; with --vgpu it stands before the path: --vgpu T=PATH")
    if not served:
        raise UsageError("nothing to serve: give --socket PATH or --vgpu T=PATH")
    host = ServedHost(arguments.platform, served, aperture_size=arguments.aperture * MIB, trace=arguments.trace)
    try:
        for device in host.devices:
            print(f"ready {device.path}", flush=True)
        if sys.stderr.isatty():
            for vgpu in host.host.vgpus.values():
                vgpu.findings.on_first = _show_finding
        _serve_until_ended(host, once=arguments.once)
        report = host.report()
    finally:
        host.close()
    if arguments.json is not None:
        text = json.dumps(report, indent=2) + "\n"
        if arguments.json == "-":
            sys.stdout.write(text)
        else:
            write_whole(Path(arguments.json), text)
    return 0


def _serve_until_ended(host: ServedHost, *, once: bool) -> None:
    """Ctrl-C and SIGTERM are how a server is meant to end: they are no error."""
    try:
        while not (once and _all_gone(host.devices)):
            host.step(_TURN_S)
    except KeyboardInterrupt:
        pass


def _all_gone(devices: Sequence[ServedDevice]) -> bool:
    return any(device.clients_seen for device in devices) and not any(device.connected for device in devices)


def _show_finding(finding: Finding) -> None:
    print(f"vGPU {finding.vgpu}: {finding.kind.value}: {finding.where}: {finding.text}", file=sys.stderr)
