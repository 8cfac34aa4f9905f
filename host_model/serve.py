"""``host-model serve``: vGPUs behind vfio-user sockets, for QEMU or any other client."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Final

from pvinfo.command_line import write_whole
from pvinfo.errors import UsageError
from pvinfo.finding import Finding
from pvinfo.platform import DEFAULT_PLATFORM, PLATFORMS
from pvinfo.units import MIB

from .host import DEFAULT_APERTURE
from .mediator.firmware import opregion_of
from .mediator.host_path.options import add_weight_argument, own_weight_of
from .mediator.own_types import add_types_argument, own_types_of
from .mediator.scheduler.options import add_schedule_arguments, schedule_choice_of
from .memory import holder_name
from .monitor_choice import add_monitor_arguments, monitor_choice_of
from .serving import OwnPlace, ServedGpu, ServedHost, ServedType
from .vfio.user.serve import ServedDevice
from .view.options import add_view_arguments, view_address_of
from .view.screenshot import ScreenshotFiles, on_signal
from .view.shows import Wanted, file_of

__all__ = ("add_serve_arguments", "run_serve")

_TURN_S: Final = 1.0

DESCRIPTION: Final = """\
Serves vGPUs of one host over vfio-user, each on a Unix socket of its own. Prints "ready PATH" for each
once it listens. Ends on SIGTERM or Ctrl-C, or with --once when the last client has gone.

With --own the host's own driver has a socket as well: there it finds its part of the GPU, and all of
the display, and takes turns with the guests. Its machine may have up to 1984 MiB of memory.

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
  host-model serve --own /tmp/host.sock --vgpu GVTg_V5_8=/tmp/a.sock --monitor DP-B
  host-model serve --mdev /tmp/gpu --aperture 1024       and then: host-model mdev /tmp/gpu create i915-GVTg_V5_8
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
    parser.add_argument(
        "--mdev", type=Path, metavar="DIR", help="make vGPUs on demand, each at a socket in DIR, by host-model mdev and host-model device"
    )
    add_types_argument(parser)
    parser.add_argument(
        "--own", type=Path, action="append", default=[], metavar="PATH", help="serve the device of the host's own driver at PATH, beside its guests'"
    )
    add_weight_argument(parser)
    parser.add_argument("--physical", action="store_true", help="serve the physical GPU itself at --socket, for a host's driver")
    parser.add_argument("--platform", default=DEFAULT_PLATFORM, metavar="P", help=f"{', '.join(PLATFORMS)} ({DEFAULT_PLATFORM})")
    parser.add_argument(
        "--aperture", type=int, default=DEFAULT_APERTURE // MIB, metavar="MIB",
        help=f"aperture of the physical GPU in MiB ({DEFAULT_APERTURE // MIB})",
    )  # fmt: skip
    parser.add_argument("--once", action="store_true", help="end when the last client has gone")
    parser.add_argument(
        "--trace", type=Path, metavar="FILE", help="record every access (with several devices, one file each: N-FILE, 0 for the host's own); .xz compresses"
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
    weight = own_weight_of(arguments)
    if len(arguments.own) > 1:
        raise UsageError(f"--own {' --own '.join(map(str, arguments.own))}: a host has one driver of its own")
    if arguments.physical:
        if arguments.own:
            raise UsageError("--own with --physical: there a machine has the whole GPU, and no mediator has a part of it for anybody")
        if arguments.opregion is not None:
            raise UsageError("--opregion is of vGPUs: a machine's own GPU (--physical) is described by the machine's own firmware")
        if arguments.socket is None or arguments.vgpu or arguments.vgpu_type or arguments.mdev or arguments.types:
            raise UsageError("--physical serves one device: it goes with --socket, and with none of --type, --types, --vgpu and --mdev")
        return ServedGpu(
            arguments.platform, arguments.socket, aperture_size=aperture_size, trace=arguments.trace, wanted=wanted, monitor=monitor
        )
    served = list(arguments.vgpu)
    if arguments.socket is not None:
        served.insert(0, ServedType(arguments.vgpu_type, arguments.socket))
    elif arguments.vgpu_type is not None:
        raise UsageError("--type is the type of --socket's vGPU; with --vgpu it stands before the path: --vgpu T=PATH")
    if not served and arguments.mdev is None and not arguments.own:
        raise UsageError("nothing to serve: give --socket PATH, --vgpu T=PATH, --own PATH or --mdev DIR")
    if arguments.opregion is not None and arguments.own and not served:
        raise UsageError("--opregion is of vGPUs: the host's own machine (--own) has firmware of its own")
    if arguments.mdev is not None and (arguments.once or arguments.frame is not None or arguments.opregion is not None):
        raise UsageError("--once, --frame and --opregion are for vGPUs that are there from the start to the end; with --mdev they come and go")
    return ServedHost(
        arguments.platform, served, aperture_size=aperture_size, own_types=own_types_of(arguments), trace=arguments.trace, wanted=wanted,
        monitor=monitor, schedule=schedule, on_demand=arguments.mdev, own=None if weight is None else OwnPlace(arguments.own[0], weight),
    )  # fmt: skip


def _serve_until_ended(host: ServedHost | ServedGpu, *, once: bool) -> None:
    """Ctrl-C and SIGTERM are how a server is meant to end, from the moment that it says "ready": they are no error."""
    try:
        for device in host.devices:
            print(f"ready {device.path}", flush=True)
        if isinstance(host, ServedHost) and host.control is not None:
            print(f"mdev {host.control}", flush=True)
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
    for number, vgpu in host.host.vgpus.items():
        write_whole(file_of(path, number, alone=alone), opregion_of(vgpu))


def _show_finding(finding: Finding) -> None:
    print(f"{holder_name(finding.vgpu)}: {finding.kind.value}: {finding.where}: {finding.text}", file=sys.stderr)
