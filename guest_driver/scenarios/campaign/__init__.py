"""Campaigns: many scenarios, each on many platforms and with many seeds, by any :class:`concurrent.futures.Executor`.

::

    from guest_driver.scenarios import select
    from guest_driver.scenarios.campaign import Journal, Plan, WorkerProcesses, run_campaign

    plan = Plan(select(["two-guests-*"]), platforms=("skl", "bdw"), seeds=tuple(range(1, 21)))
    with WorkerProcesses(4) as workers, Journal(Path("campaign.jsonl"), plan) as journal:
        campaign = run_campaign(plan, workers, journal=journal)

A plan is a product of what was asked for, in which each scenario varies along those axes alone that mean something to it: one that
leaves nothing to chance is played once, whatever the number of seeds. What comes of a unit of work is a function of the unit, so that it
does not matter where it is played, nor beside what; a campaign that was killed goes on from its journal.
"""

from __future__ import annotations

from .journal import Journal
from .plan import Plan, Unit
from .result import CampaignResult, UnitResult
from .run import Watcher, run_campaign
from .work import play_unit
from .workers import WorkerProcesses

__all__ = ("CampaignResult", "Journal", "Plan", "Unit", "UnitResult", "Watcher", "WorkerProcesses", "play_unit", "run_campaign")
