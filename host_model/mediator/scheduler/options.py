"""The options of ``serve`` and ``boot`` that are about who has the GPU."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import NamedTuple

from pvinfo.errors import SetupError, UsageError

from .policy import Policy
from .registry import DEFAULT_POLICY, known_policies
from .turns import DEFAULT_SWITCHING, SWITCHINGS

__all__ = ("ScheduleChoice", "add_schedule_arguments", "schedule_choice_of")


class ScheduleChoice(NamedTuple):
    """What was chosen."""

    scheduler: str | Policy | None = None
    """None: the default."""
    timeline: Path | None = None
    """Where to write the picture of who had the GPU when, at the end."""
    switching: str = DEFAULT_SWITCHING
    """What is given from one vGPU to another."""

    @property
    def policy(self) -> str | Policy:
        """The policy, or its name."""
        return DEFAULT_POLICY if self.scheduler is None else self.scheduler


def add_schedule_arguments(parser: argparse._ActionsContainer) -> None:
    """Give ``parser`` the options."""
    parser.add_argument("--scheduler", metavar="NAME", help=f"who has the GPU when: {', '.join(known_policies())} ({DEFAULT_POLICY})")
    parser.add_argument(
        "--switching", choices=SWITCHINGS, default=DEFAULT_SWITCHING,
        help=f"what is given from one vGPU to another: the GPU as a whole, or each engine by itself ({DEFAULT_SWITCHING})",
    )  # fmt: skip
    parser.add_argument("--timeline", type=Path, metavar="FILE.svg", help="write a picture of which vGPU had the GPU when, at the end")


def schedule_choice_of(arguments: argparse.Namespace, *, physical: bool) -> ScheduleChoice:
    """What was chosen. Raises: UsageError where there are no vGPUs to choose for; SetupError where the picture has nowhere to go."""
    choice = ScheduleChoice(arguments.scheduler, arguments.timeline, arguments.switching)
    if physical and choice != ScheduleChoice():
        raise UsageError("--scheduler, --switching and --timeline are of vGPUs: with --physical, one machine has the GPU to itself")
    target = choice.timeline
    if target is not None and (target.is_dir() or not os.access(target.parent, os.W_OK | os.X_OK)):
        raise SetupError(f"--timeline: {target} cannot be written: {target.parent} must be a folder that this user may write in")
    return choice
