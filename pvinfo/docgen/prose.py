"""Docstrings as paragraphs of plain and code words, so that each renderer can set them in its own way."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

__all__ = ("Paragraph", "Span", "first_sentence", "paragraphs", "spans")

_MARKUP: Final = re.compile(r"``(?P<code>[^`]+)``|:\w+:`~?(?P<role>[^`]+)`|(?<![\w*])\*(?P<emphasis>\w[^*]*)\*(?![\w*])")


class Span(NamedTuple):
    """A run of text in one style."""

    text: str
    style: str
    """``plain``, ``code`` or ``emphasis``."""


class Paragraph(NamedTuple):
    """Running text, or lines to be shown as they are."""

    text: str
    literal: bool


def spans(text: str) -> Iterator[Span]:
    """``text`` cut at its inline markup: code in double backquotes and references to Python names."""
    end = 0
    for match in _MARKUP.finditer(text):
        if match.start() > end:
            yield Span(text[end : match.start()], "plain")
        if match["emphasis"]:
            yield Span(match["emphasis"], "emphasis")
        else:
            yield Span(match["code"] or match["role"].rpartition(".")[2], "code")
        end = match.end()
    if end < len(text):
        yield Span(text[end:], "plain")


def paragraphs(text: str) -> Iterator[Paragraph]:
    """The paragraphs of a docstring; indented ones are literal."""
    for part in re.split(r"\n\s*\n", text.strip()):
        if not part.strip() or part.strip() == "::":
            continue
        lines = part.splitlines()
        if all(line.startswith("    ") for line in lines):
            yield Paragraph("\n".join(line[4:] for line in lines), True)
        else:
            plain = " ".join(line.strip() for line in lines)
            yield Paragraph(re.sub(r"::$", ":", plain), False)


def first_sentence(text: str) -> str:
    """The first sentence of a docstring, as a summary."""
    first = next((paragraph.text for paragraph in paragraphs(text) if not paragraph.literal), "")
    return re.split(r"[.;]\s", first, maxsplit=1)[0].rstrip(".")
