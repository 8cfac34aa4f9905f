"""``guest-driver campaign``: options, and what is written at the end."""

from __future__ import annotations

import argparse
import contextlib
import re
import sys
import time
from collections import Counter, deque
from pathlib import Path
from typing import Final

from host_model.hypervisor.registry import known_hypervisors
from pvinfo.command_line import write_whole
from pvinfo.platform import DEFAULT_PLATFORM, PLATFORMS

from ...report.campaign import render_campaign
from ..catalogue import select
from ..outcome import Outcome
from ..output import insist_on_targets, write_json
from .journal import Journal
from .plan import Plan, Unit
from .progress import Progress
from .result import CampaignResult
from .run import each_unit, run_campaign
from .work import page_of_unit
from .workers import WorkerProcesses, usual_number_of_workers

__all__ = ("add_campaign_arguments", "run_campaign_command")

_DESCRIPTION: Final = """\
Plays many scenarios on many platforms, and those that leave something to chance with many seeds ('guest-driver list'
says what seeds vary), in as many processes as are asked for.
"""
_EXAMPLES: Final = """\
examples:
  guest-driver campaign                                            all scenarios, Skylake, seeds 1 to 10
  guest-driver campaign --platform all --seeds 1-100 --report out  open out/index.html
  guest-driver campaign 'two-guests-*' --type 8,4 --hypervisor kvm,xen
  guest-driver campaign my_scenarios.py --seeds 1-1000 --jobs 8 --journal my.jsonl
  guest-driver campaign my_scenarios.py --seeds 1-1000 --jobs 8 --journal my.jsonl    the same again: goes on where it was ended

A journal is for one campaign: with other scenarios, platforms, seeds and so on, or with another state of the kit, begin a new one.

exit status: 0 when nothing failed, 1 when something failed, 2 for an argument that means nothing, for the journal of
another campaign and for what cannot be written.
"""
_SEEDS: Final = re.compile(r"(\d+)(?:-(\d+))?")
_PAGES_OF_A_CELL: Final = 5
"""Failures of a scenario on a platform that get a page of their own; for all there is the command that plays them again."""


def _seeds(text: str) -> tuple[int, ...]:
    seeds: list[int] = []
    for part in text.split(","):
        found = _SEEDS.fullmatch(part)
        if found is None or (found[2] and int(found[2]) < int(found[1])):
            raise argparse.ArgumentTypeError(f"{part!r} is no seed and no range of seeds, such as 1-20")
        seeds += range(int(found[1]), int(found[2] or found[1]) + 1)
    return tuple(seeds)


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _number(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 up")
    return int(text)


def add_campaign_arguments(parser: argparse.ArgumentParser) -> None:
    """Give ``parser`` the options, the description and the examples of ``guest-driver campaign``."""
    parser.description = _DESCRIPTION
    parser.epilog = _EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="a name, a pattern, a file, or FILE::NAME (all of the kit's own)")
    hosts = parser.add_argument_group("what is played (lists are separated by commas)")
    hosts.add_argument("--platform", type=_words, default=(DEFAULT_PLATFORM,), metavar="P,…", help=f"{', '.join(PLATFORMS)}, or all ({DEFAULT_PLATFORM})")
    hosts.add_argument(
        "--type", type=_words, default=("",), dest="types", metavar="T,…",
        help="vGPU types, or the ends of their names, such as 4, for scenarios that ask for none (each platform's smallest)",
    )  # fmt: skip
    hosts.add_argument(
        "--hypervisor", type=_words, default=("",), metavar="NAME,…",
        help=f"what machines with vGPUs run under: {', '.join(known_hypervisors())}, or all ({known_hypervisors()[0]})",
    )  # fmt: skip
    hosts.add_argument("--aperture", type=_number, default=0, metavar="MIB", help="aperture of the physical GPU in MiB (what each scenario needs, from 256 up)")
    hosts.add_argument("--seeds", type=_seeds, default=tuple(range(1, 11)), metavar="N-M,…", help="seeds of scenarios that leave something to chance (1-10)")
    way = parser.add_argument_group("how")
    way.add_argument("--jobs", type=_number, default=usual_number_of_workers(), metavar="N", help="processes (one for each processor)")
    way.add_argument("--journal", type=Path, metavar="FILE", help="write down what is done, and do not repeat what stands there")
    output = parser.add_argument_group("what you get")
    output.add_argument("--json", metavar="FILE", help="write the results as one JSON object; - is standard output")
    output.add_argument("--report", type=Path, metavar="DIR", help="write one page over all, and full pages of failures; begin with DIR/index.html")


def _plan(arguments: argparse.Namespace) -> Plan:
    """What is asked for. Raises: UsageError for words that mean nothing."""
    plan = Plan(
        select(arguments.scenarios),
        platforms=tuple(PLATFORMS) if arguments.platform == ("all",) else arguments.platform,
        types=arguments.types,
        hypervisors=known_hypervisors() if arguments.hypervisor == ("all",) else arguments.hypervisor,
        aperture_mib=arguments.aperture,
        seeds=arguments.seeds,
    )
    plan.check()
    return plan


def _write_report(campaign: CampaignResult, workers: WorkerProcesses, folder: Path) -> None:
    """Write the page over all, and the full pages of failures."""
    shown: Counter[tuple[str, str]] = Counter()
    wanted: deque[Unit] = deque()
    for failure in campaign.failures:
        cell = (failure.unit.scenario, failure.unit.platform)
        shown[cell] += not failure.was_lost
        if not failure.was_lost and shown[cell] <= _PAGES_OF_A_CELL:
            wanted.append(failure.unit)
    names = {unit: f"failures/{number}" for number, unit in enumerate(wanted, 1)}
    pages: dict[Unit, str] = {}

    def write(unit: Unit, files: dict[str, str]) -> None:
        place = folder / names[unit]
        place.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            write_whole(place / name, text)
        pages[unit] = f"{names[unit]}/{next(name for name in files if name.endswith('.html'))}"

    each_unit(wanted, page_of_unit, workers, write, lambda unit, why: None)
    for name, text in render_campaign(campaign, pages).items():  # the index, which leads to the others, is the last
        write_whole(folder / name, text)


def run_campaign_command(arguments: argparse.Namespace) -> int:
    """Run ``guest-driver campaign``; the status is 0 when nothing failed.

    Raises: UsageError for an argument that means nothing; SetupError for a file that cannot be used.
    """
    plan = _plan(arguments)
    insist_on_targets(arguments.json, (arguments.report,))
    started = time.monotonic()
    progress = Progress(sys.stderr)
    with contextlib.ExitStack() as held:
        journal = held.enter_context(Journal(arguments.journal, plan)) if arguments.journal is not None else None
        held.callback(progress.end)
        workers = held.enter_context(WorkerProcesses(arguments.jobs))
        try:
            campaign = run_campaign(plan, workers, journal=journal, progress=progress, in_flight=2 * arguments.jobs)
        except KeyboardInterrupt:
            progress.end()
            if journal is not None:
                print(f"{len(journal.results)} units are in {journal.path}; the same command goes on from there", file=sys.stderr)
            raise
        progress.end()
        if arguments.report is not None:
            _write_report(campaign, workers, arguments.report)
    written = write_json(arguments.json, campaign.to_json())
    written += [str(arguments.report / "index.html")] if arguments.report is not None else []
    counts = ", ".join(f"{campaign.count(outcome)} {outcome.value}" for outcome in Outcome)
    ending = f"; written: {', '.join(written)}" if written else ""
    out = sys.stderr if arguments.json == "-" else sys.stdout
    print(f"{', '.join(plan.platforms)}: {counts}, {time.monotonic() - started:.1f} s{ending}", file=out)
    return 0 if campaign.ok else 1
