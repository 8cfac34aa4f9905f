"""The report's pages: a summary, and for every scenario one with its steps, checks, states, accesses and findings."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from itertools import groupby
from typing import Final

from pvinfo.finding import Finding

from ..scenarios.access import count_by_kind
from ..scenarios.outcome import Check, GuestRecord, Outcome, Picture, RunResult, ScenarioResult, Step, View
from ..state import draw_svg
from .lanes import describe
from .markup import STYLE, badge, document, figures, plural, seconds, style_sheet, table
from .memory_map import memory_map
from .timeline import Phase, timeline

__all__ = ("render_report",)

_LISTED_ROWS: Final = 250
"""Rows of the list of accesses; a whole trace has its own file."""
_LOG_LINES: Final = 40

_NOT_IN_FILE_NAMES: Final = re.compile(r"[^A-Za-z0-9_.-]+")

_SIGNS: Final = {True: ("held", "✓"), False: ("broken", "✗"), None: ("unseen", "–")}


# ---- one scenario ----


def _check(check: Check) -> str:
    kind, sign = _SIGNS[check.held]
    view = f' <span class="view">{escape(check.view.value)}</span>' if check.view is not View.GUEST else ""
    values = f'<span class="value">{escape(check.expected)}</span>'
    if check.held is False:
        values = f'expected <span class="value">{escape(check.expected)}</span>, but it is <span class="value">{escape(check.actual)}</span>'
    elif check.held is None:
        values = f'would be <span class="value">{escape(check.expected)}</span>'
    return f'<li class="{kind}" title="{escape(check.place)}"><b>{sign}</b> {escape(check.what)}{view}: {values}</li>'


def _picture(picture: Picture) -> str:
    caption, size = escape(picture.caption), f"{picture.width} × {picture.height}"
    source = f"data:image/png;base64,{b64encode(picture.png).decode()}"
    return (
        f'<figure class="screen"><img src="{source}" width="{picture.width}" height="{picture.height}" alt="{caption}" loading="lazy">'
        f'<figcaption>{caption} <span class="quiet">{size}</span></figcaption></figure>'
    )


def _step(step: Step) -> str:
    checks = "".join(map(_check, step.checks))
    screens = f'<div class="screens">{"".join(map(_picture, step.pictures))}</div>' if step.pictures else ""
    return f'<li><span class="title">{escape(step.title)}</span><ul class="checks">{checks}</ul>{screens}</li>'


def _states(path: Iterable[str]) -> str:
    chips = [f'<span class="state {escape(state)}">{escape(state)}</span>' for state in path]
    return f'<div class="states">{"<i>→</i>".join(chips)}</div>'


def _access_rows(guest: GuestRecord) -> Iterator[tuple[str, str, str]]:
    number = 1
    for line, same in groupby(guest.accesses, describe):
        run = list(same)
        yield str(number), seconds(run[0].time_ns), escape(line) + (f' <span class="times">× {len(run)}</span>' if len(run) > 1 else "")
        number += len(run)


def _access_list(guest: GuestRecord) -> str:
    rows: list[tuple[str, str, str]] = []
    for row in _access_rows(guest):
        if len(rows) == _LISTED_ROWS:
            rows.append(("…", "", f"{len(guest.accesses)} in all; <code>--trace DIR</code> writes every one"))
            break
        rows.append(row)
    counts = ", ".join(plural(count, kind) for kind, count in count_by_kind(guest.accesses).items())
    listed = table(("number", "at", "access"), rows, "accesses")
    return f'<details><summary>{escape(counts)}</summary><div class="scroll">{listed}</div></details>'


def _phases(guest: GuestRecord) -> list[Phase]:
    """The states of the guest's drivers, one driver after the other."""
    phases = [Phase(*entered) for driver in guest.drivers for entered in zip(driver.path, driver.entered_at, strict=True)]
    return sorted(phases, key=lambda phase: phase.begins_at)


def _guest(guest: GuestRecord, begins: tuple[int, ...], *, alone: bool) -> str:
    parts = [] if alone else [f"<h4>{escape(guest.name)}</h4>"]
    parts += [_states(driver.path) for driver in guest.drivers]
    if guest.accesses:
        parts.append(memory_map(guest))
        parts.append(timeline(guest.accesses, begins, _phases(guest)))
        parts.append(_access_list(guest))
    else:
        parts.append('<p class="quiet">No access.</p>')
    if guest.requests:
        done = ", ".join(f"{engine} {count}" for engine, count in guest.requests.items())
        parts.append(f'<p class="quiet">Requests done, by engine: {escape(done)}.</p>')
    for driver in guest.drivers:
        lines = [*driver.log[:_LOG_LINES], *(["…"] if len(driver.log) > _LOG_LINES else [])]
        if lines:
            parts.append(f"<details><summary>the driver's log, {plural(len(driver.log), 'line')}</summary><pre>{escape(chr(10).join(lines))}</pre></details>")
    return "".join(parts)


def _findings(findings: Iterable[Finding]) -> str:
    rows = [
        (
            f'<span class="kind {finding.kind.name.lower()}">{escape(finding.kind.value)}</span>',
            f"<code>{escape(finding.rule)}</code>",
            escape(finding.where),
            f"<code>{finding.value:#x}</code>" if finding.value is not None else "",
            escape(finding.text) + (f'<br><span class="quiet">accepted: {escape(finding.nearest)}</span>' if finding.nearest else ""),
            str(finding.occurrences),
        )
        for finding in findings
    ]
    if not rows:
        return ""
    return f"<h4>What the host noticed</h4>{table(('kind', 'rule', 'where', 'value', 'what it means', 'times'), rows, 'findings')}"


def _scenario(result: ScenarioResult) -> str:
    facts = f"{plural(len(result.checks), 'check')} · {plural(result.accesses, 'access')} · {seconds(result.duration_ns)} on the guest's clock"
    parts = [
        f'<section><h1>{escape(result.name)} {badge(result.outcome)}</h1>',
        f'<p class="purpose">{escape(result.purpose)}</p>',
    ]
    if result.reason:
        parts.append(f'<p class="reason {result.outcome.value}">{escape(result.reason)}</p>')
    if result.outcome is not Outcome.SKIPPED:
        parts.append(f'<p class="quiet">{facts}</p>')
    if result.setting:
        parts.append(f'<ul class="setting">{"".join(f"<li>{escape(line)}</li>" for line in result.setting)}</ul>')
    if result.steps:
        parts.append(f'<ol class="steps">{"".join(map(_step, result.steps))}</ol>')
    for index, guest in enumerate(result.guests):
        begins = tuple(step.begins_at[index] for step in result.steps)
        parts.append(_guest(guest, begins, alone=len(result.guests) == 1))
    parts.append(_findings(result.findings))
    parts.append("</section>")
    return "".join(parts)


# ---- the page ----


def _page_names(run: RunResult) -> dict[str, str]:
    """The file of each scenario's page. Names of users' scenarios may hold anything."""
    names: dict[str, str] = {}
    for result in run.scenarios:
        name = _NOT_IN_FILE_NAMES.sub("-", result.name).strip(".") or "scenario"
        if name == "index" or f"{name}.html" in names.values():
            name = f"{name}-{len(names)}"
        names[result.name] = f"{name}.html"
    return names


def _summary(run: RunResult, pages: Mapping[str, str]) -> str:
    rows = [
        (
            badge(result.outcome),
            f'<a href="{escape(pages[result.name])}"><code>{escape(result.name)}</code></a>',
            escape(result.purpose) + (f'<br><span class="quiet">{escape(result.reason)}</span>' if result.reason else ""),
            str(len(result.checks)),
            str(result.accesses),
            str(sum(finding.occurrences for finding in result.findings)),
            seconds(result.duration_ns),
        )
        for result in run.scenarios
    ]
    return table(("", "scenario", "purpose", "checks", "accesses", "findings", "time"), rows, "summary")


def _totals(run: RunResult) -> str:
    counted = {
        "checks": sum(len(result.checks) for result in run.scenarios), "accesses": sum(result.accesses for result in run.scenarios),
    }  # fmt: skip
    return figures({outcome: run.count(outcome) for outcome in Outcome}, counted)


def _state_diagram() -> str:
    # As an image of its own: the picture's style must not reach the rest of the page.
    picture = b64encode(draw_svg().encode()).decode()
    return f'<img class="diagram" alt="states of the guest driver" src="data:image/svg+xml;base64,{picture}">'


_LEGEND: Final = (
    '<p class="legend"><span class="key read"></span> reads, above the line <span class="key write"></span> writes, below it '
    '<span class="key event"></span> interrupts and resets. Order, not time, runs from left to right; numbered lines are the steps; '
    "runs are folded, and a mark tells what it stands for when the pointer rests on it. "
    'In the map of graphics memory: <span class="key owned"></span> what is the guest\'s own, <span class="key balloon"></span> what belongs '
    'to others, <span class="key written"></span> table entries written.</p>'
)


def _page(run: RunResult, title: str, here: str, content: str, pages: Mapping[str, str]) -> str:
    contents = [
        f'<li class="{result.outcome.value}{" here" if pages[result.name] == here else ""}"><a href="{escape(pages[result.name])}">{escape(result.name)}</a></li>'
        for result in run.scenarios
    ]
    states = '<li><a href="index.html#states">driver states</a></li>'
    return document(title, f"Scenarios <small>{escape(run.platform)}</small>", [*contents, states], content)


def _index(run: RunResult, pages: Mapping[str, str]) -> str:
    return (
        f'<h1>Guest driver scenarios {badge(Outcome.PASSED if run.ok else Outcome.FAILED)}</h1>'
        f'<p class="summary-line">Platform <b>{escape(run.platform)}</b>, host <b>{escape(run.where)}</b>, seed {run.seed}, kit {escape(run.version)}.</p>'
        f'{_totals(run)}{_summary(run, pages)}'
        f'<section id="states"><h2>States of the guest driver</h2><p>Every legal move. An act that is not drawn raises an error.</p>{_state_diagram()}</section>'
    )


def _neighbours(run: RunResult, index: int, pages: Mapping[str, str]) -> str:
    """The way on to the scenarios before and after this one."""
    links = []
    for sign, at in (("←", index - 1), ("→", index + 1)):
        if 0 <= at < len(run.scenarios):
            name = run.scenarios[at].name
            links.append(f'<a href="{escape(pages[name])}">{sign} {escape(name)}</a>')
    return f'<p class="quiet">{" · ".join(links)}</p>'


def render_report(run: RunResult) -> dict[str, str]:
    """The files of the report on ``run``, by name: ``index.html``, a page for each scenario, and what they look like. They need
    no network, and no other file."""
    pages = _page_names(run)
    verdict = "passed" if run.ok else "failed"
    report = {STYLE: style_sheet()}
    for index, result in enumerate(run.scenarios):
        here = pages[result.name]
        content = f"{_scenario(result)}{_LEGEND if result.guests else ''}{_neighbours(run, index, pages)}"
        report[here] = _page(run, f"{result.name}: {result.outcome.value}", here, content, pages)
    report["index.html"] = _page(run, f"Scenarios on {run.platform}: {verdict}", "index.html", _index(run, pages), pages)
    return report
