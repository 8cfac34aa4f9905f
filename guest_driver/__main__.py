"""The ``guest-driver`` command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Final

from pvinfo import __version__
from pvinfo.command_line import end_with_status

from .scenarios.campaign.command import add_campaign_arguments, run_campaign_command
from .scenarios.command import add_list_arguments, add_run_arguments, run_list, run_run

__all__ = ("main",)

_EXAMPLES: Final = """\
examples:
  guest-driver list
  guest-driver run
  guest-driver run 'balloon-*' --platform kbl --report out
  guest-driver run my_scenarios.py --connect /tmp/vgpu.sock
  guest-driver campaign --platform all --seeds 1-20 --report out
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="guest-driver",
        description="A model of the guest's i915 driver, played in scenarios against GVT-g hosts.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add_list_arguments(commands.add_parser("list", help="list scenarios with their purpose"))
    add_run_arguments(commands.add_parser("run", help="play scenarios and report"))
    add_campaign_arguments(commands.add_parser("campaign", help="play many scenarios with many seeds on many platforms"))
    arguments = parser.parse_args(argv)
    if arguments.command == "list":
        return end_with_status("guest-driver list", lambda: run_list(arguments))
    if arguments.command == "campaign":
        return end_with_status("guest-driver campaign", lambda: run_campaign_command(arguments))
    return end_with_status("guest-driver run", lambda: run_run(arguments))


if __name__ == "__main__":
    sys.exit(main())
