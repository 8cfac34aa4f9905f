"""The page: each device's screen with what its guest has done, drawn anew at every request."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final, NamedTuple

from pvinfo.finding import Finding

from .facts import DeviceFacts
from .screen import Glance

__all__ = ("ViewedDevice", "render_page")

_LISTED_FINDINGS: Final = 12
_WITHOUT_SCRIPT_S: Final = 2
_MARKS: Final = {False: "plain", True: "bad"}


class ViewedDevice(NamedTuple):
    """A device as the page has it; ``number`` is part of its picture's path."""

    number: int
    title: str
    kind: str
    """Its type, or what it is."""
    socket: str
    connected: bool
    glance: Glance
    facts: DeviceFacts


def _figure(device: ViewedDevice) -> str:
    frame = device.glance.frame
    if frame is None:
        screen, caption = '<div class="nothing">nothing is shown</div>', "no pipe is on"
    else:
        source = f"/screen/{device.number}.png"
        screen = (
            f'<a href="{source}"><img src="{source}?{device.glance.sequence}" width="{frame.width}" height="{frame.height}" '
            f'alt="screen of {escape(device.title)}"></a>'
        )
        caption = f"{frame.width} × {frame.height}, picture {device.glance.sequence}"
    return f'<figure id="screen-{device.number}" data-live>{screen}<figcaption>{caption}</figcaption></figure>'


def _state(device: ViewedDevice) -> str:
    if device.facts.failsafe is not None:
        return f'<span class="state failsafe">failsafe: {escape(device.facts.failsafe)}</span>'
    if device.connected:
        return '<span class="state connected">connected</span>'
    return '<span class="state">no client</span>'


def _rows(figures: Iterable[tuple[str, int | str]]) -> str:
    return "".join(f"<tr><th>{escape(name)}</th><td>{_shown(figure)}</td></tr>" for name, figure in figures)


def _shown(figure: int | str) -> str:
    return escape(figure) if isinstance(figure, str) else f"{figure:,}"


def _figures(facts: DeviceFacts) -> str:
    engines = _rows(facts.engines.items())
    return f'<table class="figures"><tbody>{_rows(facts.figures)}<tr class="group"><th colspan="2">requests of each engine</th></tr>{engines}</tbody></table>'


def _findings(findings: Sequence[Finding]) -> str:
    if not findings:
        return '<p class="quiet">Nothing noticed that a guest should not do.</p>'
    rows = "".join(
        f'<tr><td class="{finding.kind.name.lower()}">{escape(finding.kind.value)}</td><td><code>{escape(finding.rule)}</code></td>'
        f"<td>{escape(finding.where)}</td><td>{escape(finding.text)}</td><td>{finding.occurrences:,}</td></tr>"
        for finding in findings[:_LISTED_FINDINGS]
    )
    left_out = len(findings) - _LISTED_FINDINGS
    more = f'<p class="quiet">and {left_out} more, in <a href="/state.json">state.json</a></p>' if left_out > 0 else ""
    head = "<tr><th>kind</th><th>rule</th><th>where</th><th>what it means</th><th>times</th></tr>"
    return f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>{more}"


def _section(device: ViewedDevice) -> str:
    number = device.number
    return (
        f'<section><h2 id="head-{number}" data-live>{escape(device.title)} <span class="quiet">{escape(device.kind)}</span> {_state(device)}'
        f'<code class="quiet">{escape(device.socket)}</code></h2>'
        f'{_figure(device)}<div id="figures-{number}" data-live>{_figures(device.facts)}</div>'
        f'<div class="findings" id="findings-{number}" data-live>{_findings(device.facts.findings)}</div></section>'
    )


def render_page(platform: str, totals: Iterable[tuple[str, int, bool]], devices: Sequence[ViewedDevice]) -> str:
    """The page; of each of ``totals``, its name, its value, and whether that is bad."""
    words = " · ".join(f'<span class="{_MARKS[bad]}">{escape(name)} {count:,}</span>' for name, count, bad in totals)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Screens on {escape(platform)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="stylesheet" href="/view.css"><script src="/view.js" defer></script>'
        f'<noscript><meta http-equiv="refresh" content="{_WITHOUT_SCRIPT_S}"></noscript></head>'
        f'<body><header><h1>Screens<small>{escape(platform)}</small></h1><p class="totals" id="totals" data-live>{words}</p></header>'
        f'<p id="gone">The host does not answer any more.</p><main>{"".join(map(_section, devices))}</main></body></html>\n'
    )
