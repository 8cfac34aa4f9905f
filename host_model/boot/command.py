"""``host-model boot``: its options, its progress, its verdict."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import IO, Final

from host_model.boot.guest_log import Stage
from host_model.boot.host_side import HostFactory
from host_model.boot.initramfs import parse_added_file
from host_model.boot.modules import split_arguments
from host_model.boot.parts import find_parts
from host_model.boot.qemu import Accelerator, choose_accelerator
from host_model.boot.report import report_object, summary
from host_model.boot.run import BootPlan, boot_guests
from host_model.mediator.host_path.memory import HOST_RAM_END
from host_model.mediator.host_path.options import add_weight_argument, own_weight_of
from host_model.mediator.scheduler.options import add_schedule_arguments, schedule_choice_of
from host_model.monitor_choice import add_monitor_arguments, monitor_choice_of
from host_model.view.options import add_view_arguments, view_address_of
from pvinfo.command_line import write_whole
from pvinfo.errors import SetupError, UsageError
from pvinfo.units import MIB

__all__ = ("add_boot_arguments", "run_boot")

DESCRIPTION: Final = """\
Boots unmodified Linux guests in QEMU, each with one of our vGPUs as its GPU, and judges how the real
i915 driver got on: from the guest's own log and from what the host saw.

A QEMU with vfio-user (10.1 or newer), a kernel, its modules and a static busybox are yours to bring:
by the options below, else by GVT_QEMU, GVT_KERNEL, GVT_MODULES and GVT_BUSYBOX, else from PATH, /boot
and /lib/modules. The initramfs is built here; nothing needs to be installed in the guest.

With --own the first of them, guest 0, is the host's own Linux: its driver has the host's share of the GPU,
and all of the physical display, and takes turns with the guests on vGPUs beside it.

With --physical the machine is a host: its i915 owns the physical GPU itself, with no mediator of ours
in between. With --kvmgt on top it loads the kernel's own mediator, makes vGPUs of the smallest type up
to the limit, asks for one more, compares a new vGPU's registers with the hardware's, and removes all.
"""

EXAMPLES: Final = """\
examples:
  host-model boot                                  one Skylake guest, verdict on the terminal
  host-model boot --json -                         the whole report as one JSON object
  host-model boot --platform bdw --type GVTg_V4_8 --json bdw.json --console logs
  host-model boot --guests 2 --type GVTg_V5_8      two guests that share one GPU
  host-model boot --guests 2 --aperture 512 --type GVTg_V5_8 --type GVTg_V5_4 --timeline who-when.svg
  host-model boot --own --guests 2 --monitor DP-B  the host's own driver, and one guest beside it
  host-model boot --physical --platform kbl        a Kaby Lake host's driver on the bare GPU
  host-model boot --physical --kvmgt --aperture 512 --json -
  host-model boot --append 'drm.debug=0x6 i915.enable_hangcheck=0'
  host-model boot --add ./drmtest:/bin/drmtest --post run-drmtest.sh
  host-model boot --screenshot pictures --post draw.sh
  host-model boot --monitor HDMI-B --mode 1280x1024
  host-model boot --physical --monitor DP-B --screenshot pictures
  host-model boot --append console=tty0 --view 8080   watch the guest's console in a browser

The post script runs as root in the guest's busybox shell once the driver is loaded; what it prints is
in the report, and its exit status counts. With several guests it runs in each of them, at the same
time, and $HOST_MODEL_GUEST is the guest's number, from 0. Arguments for modules (i915.reset=0) are
handed over when the module is loaded.

--screenshot keeps each guest's screen in DIR/guest0.png, DIR/guest1.png, …: as it is when the post
script has ended, or at the time-out, or as it was when the guest went down. For a picture at a moment
of its own choice the post script runs "gvt-screenshot NAME", which returns once the picture is in
DIR/guest0-NAME.png; its status is 1, with the reason on standard error, when there is none. A program
that cannot run it prints the line "gvt-screenshot NAME" instead, and stays as it is for a moment. What
is to be seen on the console is written to /dev/tty0: echo hello >/dev/tty0. All pictures are named in
the report ("screenshots").

exit status: 0 when the driver of every guest initialised and every post script succeeded (with
--physical or --own: and the host's did not give the GPU up; with --kvmgt: and the mediator did all it was asked), else 1;
2 when something that the run needs is missing or an argument makes no sense.
"""


_MEMORY_MIB: Final = 1024
_MEDIATOR_MEMORY_MIB: Final = 4096
"""Room for guests of the machine's own."""


def add_boot_arguments(parser: argparse.ArgumentParser) -> None:
    """Gives ``parser`` the options, the description and the examples of ``host-model boot``."""
    parser.description = DESCRIPTION
    parser.epilog = EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    guest = parser.add_argument_group("the vGPUs")
    guest.add_argument("--guests", type=_count, default=1, metavar="N", help="boot N guests side by side (1)")
    guest.add_argument("--own", action="store_true", help="have the first of them be the host's own Linux, with the host's own device")
    add_weight_argument(guest)
    guest.add_argument(
        "--type", dest="vgpu_types", action="append", default=[], metavar="T",
        help="vGPU type of each guest (the platform's smallest); repeated, the types of the guests with vGPUs in turn",
    )
    guest.add_argument("--platform", default="skl", metavar="P", help="GPU platform: bdw, skl, kbl … (skl)")
    guest.add_argument("--aperture", type=_count, metavar="MIB", help="aperture of the physical GPU in MiB")
    guest.add_argument(
        "--physical", action="store_true",
        help="one machine, whose own the physical GPU is, instead of guests with vGPUs",
    )
    guest.add_argument(
        "--kvmgt", action="store_true",
        help="have that machine share the GPU out by the kernel's own mediator",
    )
    add_monitor_arguments(guest)
    add_schedule_arguments(guest)
    machine = parser.add_argument_group("the guests")
    machine.add_argument("--append", default="", metavar="ARGS", help="more kernel arguments, in one word")
    machine.add_argument(
        "--post", type=Path, metavar="SCRIPT",
        help="run this script in each guest after the driver is loaded",
    )
    machine.add_argument(
        "--add", action="append", default=[], metavar="FILE:GUESTPATH",
        help="put a file into the guest (repeatable)",
    )
    machine.add_argument(
        "--memory", type=_count, metavar="MIB",
        help=f"memory of each guest in MiB ({_MEMORY_MIB}; with --kvmgt {_MEDIATOR_MEMORY_MIB})",
    )
    machine.add_argument(
        "--no-opregion", action="store_true",
        help="tell the driver nothing of displays: it then assumes a panel at port A, DisplayPort and HDMI at the others",
    )
    machine.add_argument(
        "--accel", choices=["auto", "kvm", "tcg"], default="auto",
        help="how QEMU runs the guest: kvm where this user may, else tcg (auto)",
    )
    machine.add_argument(
        "--timeout", type=_seconds, default=120.0, metavar="S",
        help="stop guests that still run after S seconds (120)",
    )
    parts = parser.add_argument_group("what you bring")
    parts.add_argument("--qemu", metavar="Q", help="QEMU program ($GVT_QEMU, qemu-system-x86_64 on PATH)")
    parts.add_argument("--kernel", metavar="K", help="kernel image ($GVT_KERNEL, /boot/vmlinuz-RELEASE)")
    parts.add_argument("--modules", metavar="DIR", help="its modules ($GVT_MODULES, /lib/modules/RELEASE)")
    parts.add_argument("--busybox", metavar="B", help="static busybox ($GVT_BUSYBOX, busybox on PATH)")
    output = parser.add_argument_group("what you get")
    output.add_argument(
        "--json", nargs="?", const="-", metavar="FILE",
        help="write the report as JSON, to standard output without FILE or with -",
    )
    output.add_argument(
        "--console", type=Path, metavar="DIR",
        help="copy each guest's log and output into DIR as they come",
    )
    output.add_argument(
        "--trace", type=Path, metavar="FILE",
        help="record every access of the guests' drivers",
    )
    output.add_argument(
        "--screenshot", type=Path, metavar="DIR",
        help="keep pictures of the guests' screens in DIR, as PNG",
    )
    add_view_arguments(output)


def run_boot(arguments: argparse.Namespace, make_host: HostFactory) -> int:
    """Runs ``host-model boot``; the status is 0 when every guest did what it was booted for.

    Raises: SetupError for a missing or unusable part, UsageError for an argument that makes no sense, and what
    ``make_host`` raises.
    """
    _check_physical(arguments)
    own_weight = own_weight_of(arguments)
    _check_own(arguments)
    monitor = monitor_choice_of(arguments)
    schedule = schedule_choice_of(arguments, physical=arguments.physical)
    accelerator = choose_accelerator() if arguments.accel == "auto" else Accelerator(arguments.accel)
    plan = BootPlan(
        parts=find_parts(arguments.qemu, arguments.kernel, arguments.modules, arguments.busybox),
        accelerator=accelerator,
        guests=arguments.guests,
        platform=arguments.platform,
        vgpu_types=tuple(arguments.vgpu_types),
        aperture_mib=arguments.aperture,
        memory_mib=arguments.memory or (_MEDIATOR_MEMORY_MIB if arguments.kvmgt else _MEMORY_MIB),
        timeout_s=arguments.timeout,
        kernel_arguments=split_arguments(arguments.append),
        post=arguments.post,
        added=tuple(parse_added_file(text) for text in arguments.add),
        trace=arguments.trace,
        console=arguments.console,
        physical=arguments.physical,
        own_weight=own_weight,
        kvmgt=arguments.kvmgt,
        opregion=not arguments.no_opregion,
        screenshots=arguments.screenshot,
        view=view_address_of(arguments),
        monitor=monitor,
        schedule=schedule,
    )
    json_target: str | None = arguments.json
    if json_target not in (None, "-"):
        _check_target(Path(json_target))
    if plan.console is not None:
        _make_folder("--console", plan.console)
    if plan.screenshots is not None:
        _make_folder("--screenshot", plan.screenshots)
    progress = _Progress(sys.stderr, plan.guests)
    try:
        result = boot_guests(plan, make_host, progress.show, progress.announce_view)
    finally:
        progress.end()
    if json_target is not None:
        text = json.dumps(report_object(result), indent=2) + "\n"
        if json_target == "-":
            sys.stdout.write(text)
        else:
            write_whole(Path(json_target), text)
    print(summary(result), file=sys.stderr if json_target == "-" else sys.stdout)
    return 1 if result.failures() else 0


class _Progress:
    """Stages of the guests as they begin: one line that changes on a terminal, else one each."""

    def __init__(self, stream: IO[str], guests: int) -> None:
        self._stream = stream
        self._live = stream.isatty()
        self._stages: dict[int, str] = dict.fromkeys(range(guests), "")

    def show(self, number: int, stage: Stage, seconds: float) -> None:
        words = _STAGE_WORDS[stage]
        self._stages[number] = words
        if self._live:
            line = "; ".join(f"guest {guest}: {words}" for guest, words in self._stages.items())
            self._stream.write(f"\r\x1b[K{seconds:5.1f} s  {line}")
        else:
            self._stream.write(f"{seconds:5.1f} s  guest {number}: {words}\n")
        self._stream.flush()

    def announce_view(self, url: str) -> None:
        self._stream.write(f"view {url}\n")
        self._stream.flush()

    def end(self) -> None:
        if self._live:
            self._stream.write("\r\x1b[K")
            self._stream.flush()


_STAGE_WORDS: Final = {
    Stage.STARTING: "starting QEMU",
    Stage.KERNEL: "Linux starts",
    Stage.INIT: "user space",
    Stage.MODULES: "loading modules",
    Stage.PROBE: "i915 probes the GPU",
    Stage.PROBED: "i915 loaded",
    Stage.MEDIATOR: "kvmgt shares the GPU out",
    Stage.POST: "post script",
    Stage.END: "power off",
}


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text} is not more than 0")
    return value


def _check_physical(arguments: argparse.Namespace) -> None:
    """Which options go with which kind of GPU."""
    if arguments.kvmgt and not arguments.physical:
        raise UsageError("--kvmgt goes with --physical: only a host that owns the GPU can share it out")
    if arguments.physical and arguments.guests != 1:
        raise UsageError(f"--physical with --guests {arguments.guests}: there is one physical GPU, for one machine")
    if arguments.physical and arguments.vgpu_types:
        raise UsageError(f"--physical with --type {arguments.vgpu_types[0]}: the physical GPU has no vGPU type")


def _check_own(arguments: argparse.Namespace) -> None:
    """Which options go with a host among the guests."""
    if not arguments.own:
        return
    if arguments.physical:
        raise UsageError("--own with --physical: there a machine has the whole GPU, and no mediator has a part of it for anybody")
    if arguments.guests == 1 and arguments.vgpu_types:
        raise UsageError(f"--own with --type {arguments.vgpu_types[0]}: guest 0 is the host, which has no vGPU; give --guests 2 or more")
    if arguments.memory is not None and arguments.memory * MIB > HOST_RAM_END:
        raise UsageError(f"--own with --memory {arguments.memory}: the host's own machine has up to {HOST_RAM_END // MIB} MiB")


def _check_target(path: Path) -> None:
    """A run may take minutes; that its report has nowhere to go is said before."""
    if path.is_dir() or not os.access(path.parent, os.W_OK | os.X_OK):
        rule = f"{path.parent} must be a folder that this user may write in"
        raise SetupError(f"--json: {path} cannot be written: {rule}")


def _make_folder(option: str, path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(f"{option}: {path} cannot be made: {error.strerror}") from error
