"""The ``host-model`` command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from pvinfo import __version__
from pvinfo.command_line import end_with_status
from pvinfo.platform import DEFAULT_PLATFORM, PLATFORMS
from pvinfo.units import MIB, format_size

from .boot.command import add_boot_arguments, run_boot
from .host import DEFAULT_APERTURE, Host
from .mediator.own_types import add_types_argument, own_types_of
from .serve import add_serve_arguments, run_serve
from .serving import host_for_boot
from .serving.on_demand import add_device_arguments, add_mdev_arguments, run_asked

__all__ = ("main",)

_EXAMPLES = """\
examples:
  host-model types --platform kbl --aperture 1024
  host-model serve --socket /tmp/vgpu.sock --trace run.tsv
  host-model serve --mdev /tmp/gpu
  host-model mdev /tmp/gpu create i915-GVTg_V5_8
  host-model boot --json -
"""

_TYPES_EXAMPLES = """\
examples:
  host-model types                                what a Skylake host with 256 MiB of aperture offers
  host-model types --platform bdw --aperture 1024
"""


def _add_types_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Lists the vGPU types that a host offers, and how many of each fit."
    parser.epilog = _TYPES_EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--platform", default=DEFAULT_PLATFORM, metavar="P", help=f"{', '.join(PLATFORMS)} ({DEFAULT_PLATFORM})")
    parser.add_argument(
        "--aperture", type=int, default=DEFAULT_APERTURE // MIB, metavar="MIB",
        help=f"aperture of the physical GPU in MiB ({DEFAULT_APERTURE // MIB})",
    )  # fmt: skip
    add_types_argument(parser)


def _run_types(arguments: argparse.Namespace) -> int:
    host = Host(arguments.platform, aperture_size=arguments.aperture * MIB, own_types=own_types_of(arguments))
    offered = host.types()
    if not offered:
        print(f"{format_size(host.gpu.aperture_size)} of aperture: the host keeps 128 MiB of it, nothing is left to share")
        return 0
    print(f"{'type':<12}{'aperture':>10}{'other':>10}{'fences':>8}{'weight':>8}  {'resolution':<12}{'instances':>9}")
    for offer, instances in offered:
        print(
            f"{offer.name:<12}{format_size(offer.low_size):>10}{format_size(offer.high_size):>10}{offer.fences:>8}"
            f"{offer.weight:>8}  {offer.resolution:<12}{instances:>9}"
        )
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="host-model",
        description="The host of GVT-g guests: what it offers, a server for its vGPUs, and real guests booted on them.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_types_arguments(commands.add_parser("types", help="list the vGPU types on offer"))
    add_serve_arguments(commands.add_parser("serve", help="serve vGPUs over vfio-user"))
    add_mdev_arguments(commands.add_parser("mdev", help="make and remove vGPUs of a running server by UUID"))
    add_device_arguments(commands.add_parser("device", help="configure, create and destroy vGPUs of a running server"))
    add_boot_arguments(commands.add_parser("boot", help="boot unmodified Linux guests on vGPUs and judge them"))
    arguments = parser.parse_args(argv)
    if arguments.command == "types":
        return end_with_status("host-model types", lambda: _run_types(arguments))
    if arguments.command in ("mdev", "device"):
        return end_with_status(f"host-model {arguments.command}", lambda: run_asked(arguments))
    if arguments.command == "serve":
        return end_with_status("host-model serve", lambda: run_serve(arguments))
    return end_with_status("host-model boot", lambda: run_boot(arguments, host_for_boot))


if __name__ == "__main__":
    sys.exit(main())
