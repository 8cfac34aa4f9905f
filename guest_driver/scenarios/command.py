"""``guest-driver list`` and ``guest-driver run``: options, progress, and what is written at the end."""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
import time
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import IO, Final

from host_model.hypervisor.registry import DEFAULT_HYPERVISOR, known_hypervisors
from pvinfo.command_line import write_whole
from pvinfo.errors import UsageError
from pvinfo.platform import DEFAULT_PLATFORM, PLATFORMS
from pvinfo.units import MIB

from ..report import render_report
from .access import trace_text
from .catalogue import Scenario, select
from .connected import Connected
from .in_process import InProcess
from .json_report import ServedReports, run_report, served_reports
from .outcome import Outcome, RunResult, ScenarioResult
from .output import insist_on_targets, write_json
from .place import Place
from .run import run_scenarios

__all__ = ("add_list_arguments", "add_run_arguments", "run_list", "run_run")

_LIST_DESCRIPTION: Final = """\
Lists scenarios with their purpose, and with what a seed varies in them, if anything: all of the kit's own, or those
that the words mean.
"""
_LIST_EXAMPLES: Final = """\
examples:
  guest-driver list
  guest-driver list 'balloon-*'
  guest-driver list my_scenarios.py
"""

_RUN_DESCRIPTION: Final = """\
Plays scenarios: drivers on vGPUs and on the physical GPU, checked on both sides. By default each scenario
gets a host, or a GPU, of its own in this process, on virtual time; with --connect it plays on the vGPU or
physical GPU that a vfio-user server serves, which is reset before each scenario.
"""
_RUN_EXAMPLES: Final = """\
examples:
  guest-driver run                                      all scenarios, Skylake, in process
  guest-driver run probe 'balloon-*' --platform bdw     some of them, Broadwell
  guest-driver run 'copy-*' first-request               on the physical GPU
  guest-driver run --hypervisor xen                     in machines under a hypervisor of Xen's kind
  guest-driver run my_scenarios.py                      your own file
  guest-driver run my_scenarios.py::name --report out   one of its scenarios; open out/index.html
  guest-driver run --connect /tmp/a.sock --connect /tmp/b.sock --json -

A scenario file is Python: functions with @guest_driver.scenarios.scenario() that are handed a Stage.

exit status: 0 when nothing failed, 1 when a scenario failed, 2 for an argument that means nothing or a
socket that cannot be used. Scenarios that cannot be played here are named as skipped.
"""


def _aperture(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of MiB") from None


def add_list_arguments(parser: argparse.ArgumentParser) -> None:
    """Give ``parser`` the options, the description and the examples of ``guest-driver list``."""
    parser.description = _LIST_DESCRIPTION
    parser.epilog = _LIST_EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="a name, a pattern, a file, or FILE::NAME")


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Give ``parser`` the options, the description and the examples of ``guest-driver run``."""
    parser.description = _RUN_DESCRIPTION
    parser.epilog = _RUN_EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="a name, a pattern, a file, or FILE::NAME (all of the kit's own)")
    host = parser.add_argument_group("the host")
    host.add_argument("--platform", metavar="P", help=f"{', '.join(PLATFORMS)} ({DEFAULT_PLATFORM}; with --connect, what is served)")
    host.add_argument("--type", dest="vgpu_type", metavar="T", help="vGPU type for scenarios that ask for none (the platform's smallest)")
    host.add_argument("--aperture", type=_aperture, metavar="MIB", help="aperture of the physical GPU in MiB (what each scenario needs, from 256 up)")
    host.add_argument(
        "--connect", type=Path, action="append", default=[], metavar="SOCKET",
        help="play on the GPU that a vfio-user server serves here (repeatable: scenarios with two guests need two vGPUs)",
    )  # fmt: skip
    host.add_argument(
        "--slower", type=int, metavar="N",
        help="with --connect: the guests' clocks go N times as slowly, for a server that many clients share (1)",
    )  # fmt: skip
    host.add_argument(
        "--hypervisor", metavar="NAME",
        help=f"what machines with vGPUs run under: {', '.join(known_hypervisors())} ({DEFAULT_HYPERVISOR})",
    )  # fmt: skip
    host.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the scenarios' randomness (0); the same seed gives the same trace")
    output = parser.add_argument_group("what you get")
    output.add_argument("--json", metavar="FILE", help="write the results as one JSON object; - is standard output")
    output.add_argument("--report", type=Path, metavar="DIR", help="write pages with pictures; begin with DIR/index.html")
    output.add_argument("--trace", type=Path, metavar="DIR", help="write each guest's accesses as a trace, DIR/SCENARIO.tsv")


# ---- list ----


def run_list(arguments: argparse.Namespace) -> int:
    """Run ``guest-driver list``. Raises: UsageError."""
    chosen = select(arguments.scenarios)
    width = max(len(found.name) for found in chosen)
    for heading, group in groupby(chosen, lambda found: found.heading):
        print(f"# {heading}")
        for found in group:
            print(f"{found.name:<{width}}  {found.purpose}{f' Seeds vary {found.varies}.' if found.varies else ''}")
    return 0


# ---- run ----


class _Progress:
    """One line per scenario; on a terminal also which one is playing."""

    def __init__(self, out: IO[str], scenarios: Sequence[Scenario]) -> None:
        self._out = out
        self._live = out.isatty()
        self._total = len(scenarios)
        self._width = max(len(scenario.name) for scenario in scenarios)
        self._started = 0

    def _clear(self) -> None:
        if self._live:
            self._out.write("\r\033[K")

    def before(self, scenario: Scenario) -> None:
        self._started += 1
        if self._live:
            columns = shutil.get_terminal_size().columns
            self._out.write(f"[{self._started}/{self._total}] {scenario.name} …"[: columns - 1])
            self._out.flush()

    def after(self, result: ScenarioResult) -> None:
        self._clear()
        line = f"{result.outcome.value:<8} {result.name:<{self._width}}"
        if result.outcome is Outcome.SKIPPED:
            line += f"  {result.reason}"
        else:
            line += f"  {len(result.checks):>3} checks {result.accesses:>6} accesses {result.duration_ns / 1e6:>9.3f} ms"
        self._out.write(f"{line}\n")
        if result.outcome is Outcome.FAILED:
            self._out.write(f"         {result.reason}\n")
        self._out.flush()

    def end(self) -> None:
        """Leave the terminal as it was, also after Ctrl-C."""
        self._clear()


def _check_together(arguments: argparse.Namespace) -> None:
    if arguments.connect and (arguments.vgpu_type is not None or arguments.aperture is not None):
        raise UsageError("--type and --aperture are for hosts of this process; what is behind --connect has its own")
    if arguments.slower is not None and (not arguments.connect or arguments.slower < 1):
        raise UsageError(f"--slower {arguments.slower}: a whole number from 1 on, with --connect; hosts of this process are on virtual time")
    if arguments.connect and arguments.hypervisor is not None:
        raise UsageError("--hypervisor is for machines on hosts of this process; what is behind --connect is used without one")


def _write_traces(run: RunResult, folder: Path) -> None:
    for result in run.scenarios:
        for number, guest in enumerate(result.guests, 1):
            name = f"{result.name}.tsv" if number == 1 else f"{result.name}.{number}.tsv"
            comment = f"{result.name}, {guest.name}: every access of the guest, on its side of the bus. {run.platform}, {run.where}, seed {run.seed}."
            write_whole(folder / name, trace_text(guest.accesses, comment))


def _write(run: RunResult, served: ServedReports, arguments: argparse.Namespace) -> list[str]:
    """Write what was asked for; what was written, in words."""
    written = write_json(arguments.json, run_report(run, served))
    if arguments.report is not None:
        for name, text in render_report(run).items():  # the index, which leads to the others, is the last
            write_whole(arguments.report / name, text)
        written.append(str(arguments.report / "index.html"))
    if arguments.trace is not None:
        _write_traces(run, arguments.trace)
        written.append(f"{arguments.trace}/*.tsv")
    return written


def run_run(arguments: argparse.Namespace) -> int:
    """Run ``guest-driver run``; the status is 0 when nothing failed.

    Raises: UsageError for an argument that means nothing; SetupError for a socket or file that cannot be used.
    """
    chosen = select(arguments.scenarios)
    _check_together(arguments)
    insist_on_targets(arguments.json, (arguments.report, arguments.trace))
    out = sys.stderr if arguments.json == "-" else sys.stdout
    started = time.monotonic()
    served = ServedReports()
    with contextlib.ExitStack() as held:
        place: Place
        if arguments.connect:
            connected = held.enter_context(Connected(arguments.connect, platform=arguments.platform, slower=arguments.slower or 1))
            served = served_reports(connected.served)
            place = connected
        else:
            aperture = arguments.aperture * MIB if arguments.aperture is not None else None
            place = InProcess(
                arguments.platform or DEFAULT_PLATFORM, vgpu_type=arguments.vgpu_type, aperture_size=aperture,
                hypervisor=arguments.hypervisor or DEFAULT_HYPERVISOR,
            )  # fmt: skip
        progress = _Progress(out, chosen)
        held.callback(progress.end)
        run = run_scenarios(chosen, place, seed=arguments.seed, before=progress.before, after=progress.after)
    written = _write(run, served, arguments)
    counts = ", ".join(f"{run.count(outcome)} {outcome.value}" for outcome in Outcome)
    ending = f"; written: {', '.join(written)}" if written else ""
    out.write(f"{run.platform}, {run.where}: {counts}, {time.monotonic() - started:.1f} s{ending}\n")
    return 0 if run.ok else 1
