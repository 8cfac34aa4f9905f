"""``host-model mdev`` and ``host-model device``: asking a running server for vGPUs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from uuid import uuid4

from .control import Refusal, ask
from .requests import DEVICE_VERBS, MDEV_VERBS, Verb

__all__ = ("add_device_arguments", "add_mdev_arguments", "run_asked")

_MDEV: Final = """\
Makes and removes mediated devices on a running server, started with host-model serve --mdev DIR. DIR shows
types and devices in files, as sysfs does; each device is served at DIR/UUID.sock.
"""
_MDEV_EXAMPLES: Final = """\
examples:
  host-model serve --mdev /tmp/gpu &
  cat /tmp/gpu/mdev_supported_types/i915-GVTg_V5_8/available_instances
  host-model mdev /tmp/gpu create i915-GVTg_V5_8           prints "ready /tmp/gpu/UUID.sock"
  host-model mdev /tmp/gpu create i915-GVTg_V5_8 a297db4a-f4c2-11e6-90f6-d3b88d6c9525
  guest-driver run --connect /tmp/gpu/a297db4a-f4c2-11e6-90f6-d3b88d6c9525.sock
  host-model mdev /tmp/gpu remove a297db4a-f4c2-11e6-90f6-d3b88d6c9525

There are no create and remove to write to, as sysfs has them: nobody is told of a write to a plain file, and who
writes to a pipe is not told what became of it.
"""
_DEVICE: Final = """\
Provisions vGPUs on a running server, started with host-model serve --mdev DIR: a device is configured, then created,
then destroyed. Its share of the GPU, slices and fences, is fixed and reserved when it is configured, and stays
reserved however often it is created and destroyed. A device is served at DIR/NAME.sock while it exists.
"""
_DEVICE_EXAMPLES: Final = """\
examples:
  host-model device /tmp/gpu configure tenant-1 GVTg_V5_4
  host-model device /tmp/gpu create tenant-1               prints "ready /tmp/gpu/tenant-1.sock"
  host-model device /tmp/gpu list
  host-model device /tmp/gpu destroy tenant-1
  host-model device /tmp/gpu unconfigure tenant-1
"""


def _add_arguments(parser: argparse.ArgumentParser, description: str, epilog: str, verbs: Mapping[str, Verb]) -> None:
    parser.description = description
    parser.epilog = epilog
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("folder", type=Path, metavar="DIR", help="the server's folder")
    commands = parser.add_subparsers(dest="verb", required=True, metavar="COMMAND")
    for name, verb in verbs.items():
        command = commands.add_parser(name, help=verb.purpose, description=f"{verb.purpose[0].upper()}{verb.purpose[1:]}.")
        for argument in verb.arguments:
            new = name == "create" and argument == "UUID"
            command.add_argument(argument.lower(), metavar=argument, nargs="?" if new else None, help="by default a new one" if new else None)


def add_mdev_arguments(parser: argparse.ArgumentParser) -> None:
    """Give ``parser`` the options, the description and the examples of ``host-model mdev``."""
    _add_arguments(parser, _MDEV, _MDEV_EXAMPLES, MDEV_VERBS)


def add_device_arguments(parser: argparse.ArgumentParser) -> None:
    """Give ``parser`` the options, the description and the examples of ``host-model device``."""
    _add_arguments(parser, _DEVICE, _DEVICE_EXAMPLES, DEVICE_VERBS)


def run_asked(arguments: argparse.Namespace) -> int:
    """Run ``host-model mdev`` or ``host-model device``. Raises: SetupError when no server answers."""
    verbs = MDEV_VERBS if arguments.command == "mdev" else DEVICE_VERBS
    given: list[str | None] = [getattr(arguments, argument.lower()) for argument in verbs[arguments.verb].arguments]
    words = [word if word is not None else str(uuid4()) for word in given]
    try:
        lines = ask(arguments.folder, [arguments.command, arguments.verb, *words])
    except Refusal as refusal:
        print(f"host-model {arguments.command}: error: {refusal}", file=sys.stderr)
        return refusal.status
    for line in lines:
        print(line)
    return 0
