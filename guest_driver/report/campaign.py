"""The page of a campaign: what failed and how to see it again, and then scenario by scenario and platform by platform how often it held."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import groupby

from ..scenarios.campaign.plan import Plan, Unit
from ..scenarios.campaign.result import CampaignResult, UnitResult
from ..scenarios.catalogue import Scenario
from ..scenarios.outcome import Outcome
from .markup import STYLE, badge, document, figures, plural, style_sheet, table

__all__ = ("render_campaign",)

_Cells = Mapping[tuple[str, str], Sequence[UnitResult]]
"""What came of units, by scenario and platform."""


def _listed(values: Iterable[object]) -> str:
    words = [str(value) or "the usual one" for value in values]
    return escape(", ".join(words if len(words) <= 8 else [*words[:3], "…", words[-1]]))


def _setting(plan: Plan) -> str:
    axes = {"platforms": plan.platforms, "types": plan.types, "hypervisors": plan.hypervisors, "seeds": plan.seeds}
    asked_for = [f"{axis} <b>{_listed(values)}</b>" for axis, values in axes.items() if values != ("",)]
    return ", ".join(asked_for) + (f", aperture <b>{plan.aperture_mib} MiB</b>" if plan.aperture_mib else "")


def _failures(failures: Sequence[UnitResult], pages: Mapping[Unit, str], words: Mapping[str, Scenario]) -> str:
    if not failures:
        return ""
    rows = []
    for result in failures:
        unit, name = result.unit, escape(words[result.unit.scenario].name)
        page = pages.get(unit)
        rows.append((
            f'<a href="{escape(page)}"><code>{name}</code></a>' if page is not None else f"<code>{name}</code>",
            escape(unit.platform), escape(unit.setting),
            f"{escape(result.reason)}<br><code>{escape(unit.command)}</code>",
        ))  # fmt: skip
    return f'<section id="failures"><h2 class="first">Failures, and how to see them again</h2>{table(("scenario", "platform", "with", "why, and the command that plays it"), rows, "failures")}</section>'


def _cell(scenario: Scenario, platform: str, results: Sequence[UnitResult]) -> str:
    """How often it ended how, and in how many ways it was told."""
    if not results:
        return f'<span class="quiet" title="{escape(Plan.unsuited(scenario, platform) or "not played")}">–</span>'
    counted = Counter(result.outcome for result in results)
    marks = " ".join(f'<span class="badge {outcome.value}" title="{outcome.value}">{counted[outcome]}</span>' for outcome in Outcome if counted[outcome])
    told = len({result.digest for result in results if not result.was_lost})
    return marks + (f' <span class="quiet" title="different traces">{told} ways</span>' if scenario.varies and told > 1 else "")


def _matrix(plan: Plan, scenarios: Iterable[Scenario], cells: _Cells) -> str:
    rows = [
        (
            f'<code title="{escape(scenario.purpose)}">{escape(scenario.name)}</code>',
            escape(scenario.varies),
            *(_cell(scenario, platform, cells.get((scenario.word, platform), ())) for platform in plan.platforms),
        )
        for scenario in scenarios
    ]
    return table(("scenario", "what seeds vary", *plan.platforms), rows, "matrix")


def _families(plan: Plan) -> list[tuple[str, list[Scenario]]]:
    return [(heading, list(group)) for heading, group in groupby(plan.scenarios, lambda scenario: scenario.heading)]


def _contents(families: Sequence[tuple[str, list[Scenario]]], campaign: CampaignResult) -> list[str]:
    failed = {result.unit.scenario for result in campaign.failures}
    items = ['<li class="failed"><a href="#failures">failures</a></li>'] if failed else []
    for number, (heading, scenarios) in enumerate(families):
        kind = Outcome.FAILED if any(scenario.word in failed for scenario in scenarios) else Outcome.PASSED
        items.append(f'<li class="{kind.value}"><a href="#family-{number}">{escape(heading)}</a></li>')
    return items


def render_campaign(campaign: CampaignResult, pages: Mapping[Unit, str]) -> dict[str, str]:
    """The files of the report on ``campaign``, by name; ``pages`` says where the full pages of units are, beside them."""
    plan = campaign.plan
    cells: dict[tuple[str, str], list[UnitResult]] = {}
    for result in campaign.results:
        cells.setdefault((result.unit.scenario, result.unit.platform), []).append(result)
    families = _families(plan)
    counted = {
        "scenarios": len(plan.scenarios),
        "different traces": len({result.digest for result in campaign.results if not result.was_lost}),
        "checks": sum(result.checks for result in campaign.results),
    }
    parts = [
        f"<h1>Campaign {badge(Outcome.PASSED if campaign.ok else Outcome.FAILED)}</h1>",
        f'<p class="summary-line">{plural(len(campaign.results), "unit")} of work: {_setting(plan)}; kit {escape(campaign.version)}.</p>',
        figures({outcome: campaign.count(outcome) for outcome in Outcome}, counted),
        _failures(campaign.failures, pages, {scenario.word: scenario for scenario in plan.scenarios}),
        '<p class="legend">Each number says how often the scenario ended so on the platform. One that leaves nothing to chance is played once, '
        "whatever the number of seeds.</p>",
    ]
    for number, (heading, scenarios) in enumerate(families):
        parts.append(f'<section id="family-{number}"><h2>{escape(heading)}</h2>{_matrix(plan, scenarios, cells)}</section>')
    verdict = "passed" if campaign.ok else "failed"
    page = document(f"Campaign on {', '.join(plan.platforms)}: {verdict}", "Campaign", _contents(families, campaign), "".join(parts))
    return {STYLE: style_sheet(), "index.html": page}
