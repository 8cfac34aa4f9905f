"""Pieces of HTML that every page uses: text with links, tables, sources."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from .model import Documentation, SourceDoc
from .prose import paragraphs, spans

__all__ = ("HtmlText", "bits_label", "code", "table")

_CLASS_NAME: Final = re.compile(r"\b(?:see (?P<see>[A-Z]\w+)|(?P<camel>[A-Z][a-z0-9]+(?:[A-Z][a-z0-9]+)+))\b")


def code(text: str) -> str:
    """``text`` in the type of names."""
    return f"<code>{escape(text)}</code>"


def table(header: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """A table of ready-made cells."""
    head = "".join(f"<th>{cell}</th>" for cell in header)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="scroll"><table class="{kind}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def bits_label(high: int, low: int) -> str:
    """``31:12`` or ``0``."""
    return str(low) if high == low else f"{high}:{low}"


class HtmlText:
    """Sets text as HTML on the page called ``slug``: what names a declaration becomes a link to it."""

    def __init__(self, documentation: Documentation, slug: str) -> None:
        self._places = documentation.places
        self.slug = slug
        rooms = (section.module.rpartition(".")[2] for chapter in documentation.chapters if chapter.slug == slug for section in chapter.sections)
        self._rooms = tuple(rooms)

    def href(self, anchor: str) -> str:
        """The link to ``anchor``."""
        place = self._places[anchor]
        return f"#{anchor}" if place == self.slug else f"{place}.html#{anchor}"

    def _anchor(self, name: str) -> str:
        """The anchor that ``name`` means on this page; empty where the documentation has no such thing."""
        if name in self._places:
            return name
        return next((f"{room}.{name}" for room in self._rooms if f"{room}.{name}" in self._places), "")

    def link(self, name: str, text: str, *, breakable: bool = False) -> str:
        """``text`` as a link to what is called ``name``; plain where there is nothing of that name.
        ``breakable`` text may be broken behind its dots and underscores."""
        anchor = self._anchor(name)
        shown = re.sub(r"[._]", r"\g<0><wbr>", code(text)) if breakable else code(text)
        return f'<a href="{escape(self.href(anchor))}">{shown}</a>' if anchor else shown

    def _plain(self, text: str) -> str:
        out, end = [], 0
        for match in _CLASS_NAME.finditer(text):
            name = match["see"] or match["camel"]
            if self._anchor(name):
                start = match.start("see") if match["see"] else match.start()
                out.append(escape(text[end:start], quote=False))
                out.append(self.link(name, name))
                end = match.end()
        out.append(escape(text[end:], quote=False))
        return "".join(out)

    def line(self, text: str) -> str:
        """One line of text with its inline markup."""
        parts = []
        for span in spans(text):
            if span.style == "code":
                parts.append(self.link(span.text, span.text))
            else:
                plain = self._plain(span.text)
                parts.append(f"<em>{plain}</em>" if span.style == "emphasis" else plain)
        return "".join(parts)

    def prose(self, text: str) -> str:
        """A docstring."""
        return "".join(
            f"<pre>{escape(paragraph.text)}</pre>" if paragraph.literal else f"<p>{self.line(paragraph.text)}</p>" for paragraph in paragraphs(text)
        )

    def sources(self, sources: Sequence[SourceDoc]) -> str:
        """Where it comes from, linked where it can be."""
        if not sources:
            return ""
        parts = []
        for source in sources:
            shown = escape(source.text.removeprefix("linux:drivers/gpu/drm/"))
            parts.append(f'<a class="ext" href="{escape(source.url)}" title="{escape(source.text)}">{shown}</a>' if source.url else f"<span>{shown}</span>")
        return f'<p class="source">source: {", ".join(parts)}</p>'
