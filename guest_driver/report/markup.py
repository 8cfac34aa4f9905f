"""What all pages of reports are made of."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from importlib.resources import files
from typing import Final

from ..scenarios.outcome import Outcome

__all__ = ("STYLE", "badge", "document", "figures", "plural", "seconds", "style_sheet", "table")

STYLE: Final = "report.css"
"""What all pages look like; a file beside them."""


def style_sheet() -> str:
    """The content of that file."""
    return files("guest_driver.report").joinpath(STYLE).read_text("utf-8")


def seconds(nanoseconds: int) -> str:
    """A time in the unit that suits it."""
    if nanoseconds < 1_000_000:
        return f"{nanoseconds / 1000:.0f} µs"
    return f"{nanoseconds / 1e6:.1f} ms" if nanoseconds < 1_000_000_000 else f"{nanoseconds / 1e9:.2f} s"


def plural(count: int, noun: str) -> str:
    """A number of things."""
    several = f"{noun}es" if noun.endswith("ss") else f"{noun}s"
    return f"{count} {noun if count == 1 else several}"


def badge(outcome: Outcome) -> str:
    """How something ended."""
    return f'<span class="badge {outcome.value}">{outcome.value}</span>'


def table(head: Iterable[str], rows: Iterable[Iterable[str]], kind: str) -> str:
    """A table; the cells are HTML, the head is text."""
    header = "".join(f"<th>{escape(title)}</th>" for title in head)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<table class="{kind}"><thead><tr>{header}</tr></thead><tbody>{body}</tbody></table>'


def figures(counts: dict[Outcome, int], others: dict[str, int]) -> str:
    """Numbers in large print: how often something ended how, and others by what they count."""
    shown = [(str(count), outcome.value, outcome.value if count or outcome is Outcome.PASSED else "none") for outcome, count in counts.items()]
    shown += [(f"{count:,}", word, "plain") for word, count in others.items()]
    drawn = (f'<div class="figure {kind}"><b>{number}</b>{escape(word)}</div>' for number, word, kind in shown)
    return f'<div class="figures">{"".join(drawn)}</div>'


def document(title: str, brand: str, contents: Iterable[str], content: str) -> str:
    """A whole page: ``brand`` and ``contents``, items of a list, stand beside ``content``. All but the title are HTML."""
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="stylesheet" href="{STYLE}"></head><body>'
        f'<nav><a class="brand" href="index.html">{brand}</a><ul>{"".join(contents)}</ul></nav>'
        f'<main id="top">{content}</main></body></html>\n'
    )
