"""The documentation as a self-contained HTML site: an index, a page per chapter, two tables by offset.

No page needs a network or a server: style and script stand in each page, the search index is a script beside them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Final

from .bit_picture import bit_picture
from .command_docs import commands_html
from .html_parts import HtmlText, bits_label, code, table
from .map_picture import bar0_picture, block_spans
from .model import (
    BitFieldDoc,
    BitsDoc,
    BlockDoc,
    ChapterDoc,
    Documentation,
    EnumDoc,
    FieldDoc,
    RecordDoc,
    RegisterDoc,
    SectionDoc,
    StepDoc,
    TrackedDoc,
    describe_treatment,
    few_places,
)
from .prose import first_sentence
from .record_picture import record_picture
from .search_index import search_entries

__all__ = ("REGISTERS_PAGE", "TRACKED_PAGE", "render_html")

REGISTERS_PAGE: Final = "registers-by-offset"
TRACKED_PAGE: Final = "tracked-registers"

_HATCH: Final = (
    '<svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs><pattern id="hatch" width="6" height="6" '
    'patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="6" height="6" class="hatch-ground"/>'
    '<line x1="0" y1="0" x2="0" y2="6" class="hatch-line"/></pattern></defs></svg>'
)


def _asset(name: str) -> str:
    return files("pvinfo.docgen").joinpath(name).read_text("utf-8")


def _short_access(access: str) -> str:
    return access.partition(":")[0].partition(",")[0]


def _number(value: int | str) -> str:
    return f"{value:#x}" if isinstance(value, int) else value


def _elements(register: RegisterDoc) -> str:
    return f"[{register.elements}]" if register.elements > 1 else ""


class _ChapterPage:
    """Sets one chapter."""

    def __init__(self, documentation: Documentation, chapter: ChapterDoc) -> None:
        self.documentation = documentation
        self.chapter = chapter
        self.text = HtmlText(documentation, chapter.slug)

    # ---- bits and enums ----

    def _choices(self, enum: EnumDoc) -> str:
        items = "".join(f"<li>{code(_number(m.value))} {code(m.name)} {self.text.line(m.doc)}</li>" for m in enum.members)
        return f'<ul class="choices">{items}</ul>'

    def field_table(self, fields: Sequence[BitFieldDoc], anchor: str, *, choices: bool = True) -> str:
        rows = []
        for field in sorted(fields, key=lambda field: -field.low):
            name = escape(field.name)
            values = ""
            if field.choices is not None:
                values = json.dumps({str(member.value): member.name for member in field.choices.members}, separators=(",", ":"))
            meaning = self.text.line(field.doc)
            if field.unit:
                meaning += f' <span class="unit">{escape(field.unit)}</span>'
            if field.choices is not None and choices:
                meaning += self._choices(field.choices)
            ident = f' id="{escape(anchor)}.{name}"' if anchor else ""
            named = f' data-choices="{escape(values)}"' if values else ""
            rows.append(
                f'<tr{ident} data-low="{field.low}" data-width="{field.width}"{named}>'
                f'<td>{bits_label(field.high, field.low)}</td><td>{code(field.name)}</td><td>{meaning}</td><td class="value"></td></tr>'
            )
        decoder = '<label>decode <input class="decode" placeholder="0x…" spellcheck="false" autocomplete="off" aria-label="value to decode"></label>'
        return (
            f'<div class="scroll"><table class="fields"><thead><tr><th>bits</th><th>name</th><th>meaning</th><th class="value">{decoder}</th></tr></thead>'
            f"<tbody>{''.join(rows)}</tbody></table></div>"
        )

    def bits(self, bits: BitsDoc) -> str:
        return (
            f'<section class="item bitbox" id="{escape(bits.anchor)}"><h4>{code(bits.name)}<a class="here" href="#{escape(bits.anchor)}">#</a></h4>'
            f"{self.text.prose(bits.doc)}{bit_picture(bits.name, bits.layout(), bits.width, bits.anchor)}"
            f"{self.field_table(bits.fields, bits.anchor)}{self.text.sources(bits.sources)}</section>"
        )

    def enum(self, enum: EnumDoc) -> str:
        rows = []
        documented = any(member.doc for member in enum.members)
        for member in enum.members:
            cells = [code(_number(member.value)), f'<span id="{escape(enum.anchor)}.{escape(member.name)}">{code(member.name)}</span>']
            rows.append([*cells, self.text.line(member.doc)] if documented else cells)
        header = ("value", "name", "meaning") if documented else ("value", "name")
        kind = "flags" if enum.flags else "values"
        picture = ""
        if enum.flags:
            numbers = [m for m in enum.members if isinstance(m.value, int) and m.value > 0 and m.value & (m.value - 1) == 0]
            fields = tuple(
                sorted((BitFieldDoc(m.name, int(m.value).bit_length() - 1, 1, m.doc, "", (), None) for m in numbers), key=lambda field: field.low)
            )
            if fields:
                bits = BitsDoc(enum.anchor, enum.name, "", 32, fields, ())
                picture = bit_picture(enum.name, bits.layout(), 32, enum.anchor)
        return (
            f'<section class="item" id="{escape(enum.anchor)}"><h4>{code(enum.name)}<span class="tag">{kind}</span>'
            f'<a class="here" href="#{escape(enum.anchor)}">#</a></h4>{self.text.prose(enum.doc)}{picture}{table(header, rows, "" if documented else "small")}'
            f"{self.text.sources(enum.sources)}</section>"
        )

    # ---- registers ----

    def _tracked(self, tracked: Sequence[TrackedDoc]) -> str:
        lines = []
        for use in tracked:
            where = " ".join(
                part
                for part in (
                    f"at {', '.join(use.instances)}" if use.instances else "",
                    f"on {', '.join(name.upper() for name in use.platforms)}" if use.platforms else "",
                )
                if part
            )
            lines.append(f"<li>{escape(where) or 'everywhere'}: {escape(describe_treatment(use))}</li>")
        return f'<details class="tracked"><summary>kernel\'s mediator</summary><ul>{"".join(lines)}</ul></details>' if lines else ""

    def register(self, block: BlockDoc, register: RegisterDoc) -> str:
        shown, more = few_places(register.addresses)
        addresses = " ".join(f'<span class="address">{escape(place.name)} <code>{place.base:#07x}</code></span>' for place in shown)
        if more:
            addresses += f'<span class="address">{escape(more)}</span>'
        facts = [f'<span class="access">{escape(_short_access(register.access))}</span>']
        if register.emulated:
            facts.append('<span class="tag" title="the mediator serves it by a handler, not from plain storage">emulated</span>')
        if register.elements > 1:
            facts.append(f'<span class="tag">{register.elements} elements, {register.stride:#x} bytes apart</span>')
        if register.unit:
            facts.append(f'<span class="unit">{escape(register.unit)}</span>')
        facts.append(f'<span class="reset">reset <code>{register.reset:#x}</code></span>')
        home = register.bits is not None and register.bits_home
        parts = [
            f'<section class="item register bitbox" id="{escape(register.anchor)}"><h4><span class="block">{escape(block.name)}.</span>{code(register.name + _elements(register))}'
            f'<span class="kernel">{escape(register.kernel_name)}</span><a class="here" href="#{escape(register.anchor)}">#</a></h4>',
            f'<p class="facts">{"".join(facts)}{addresses}</p><p>{self.text.line(register.doc)}</p>',
        ]
        anchor = register.bits.anchor if register.bits is not None and self.text.href(register.bits.anchor).startswith("#") else ""
        parts.append(bit_picture(register.kernel_name, register.layout(), 32, anchor))
        if register.bits is not None and home:
            parts.append(f'<div id="{escape(register.bits.anchor)}"><p class="bitsname">{code(register.bits.name)}</p>{self.text.prose(register.bits.doc)}{self.field_table(register.bits.fields, register.bits.anchor)}</div>')
        elif register.bits is not None:
            parts.append(
                f'<details><summary>bits of {self.text.link(register.bits.anchor, register.bits.name)}</summary>'
                f"{self.field_table(register.bits.fields, '', choices=False)}</details>"
            )
        elif register.values is not None:
            parts.append(f"<p>values: {self.text.link(register.values.anchor, register.values.name)}</p>")
        if ":" in register.access or "," in register.access:
            parts.append(f'<p class="note">{escape(register.access)}</p>')
        parts.append(self._tracked(register.tracked))
        if register.sources != block.sources:
            parts.append(self.text.sources(register.sources))
        return "".join(parts) + "</section>"

    def block(self, block: BlockDoc) -> str:
        several = len(block.instances) > 1
        rows = []
        for register in block.registers:
            offset = f"+{register.offset:#05x}" if several else f"{register.addresses[0].base:#07x}"
            reset = code(f"{register.reset:#x}") if register.reset else ""
            name = f'<a href="#{escape(register.anchor)}">{code(register.name + _elements(register))}</a>'
            rows.append(
                (code(offset), name, f'<span class="kernel">{escape(register.kernel_name)}</span>', escape(_short_access(register.access)), reset, self.text.line(first_sentence(register.doc)))
            )
        places = ""
        if several:
            shown, more = few_places(block.instances)
            places = table(("instance", "base"), [(code(place.name), code(f"{place.base:#07x}")) for place in shown], "small")
            places += f"<p>{escape(more)}</p>" if more else ""
        overview = table(("offset", "register", "kernel name", "access", "reset", ""), rows, "overview")
        return (
            f'<section id="{escape(block.anchor)}"><h3>{code(block.name)}<a class="here" href="#{escape(block.anchor)}">#</a></h3>'
            f"{self.text.prose(block.doc)}{self.text.sources(block.sources)}{places}{overview}"
            f"{''.join(self.register(block, register) for register in block.registers)}</section>"
        )

    # ---- records ----

    def _record_row(self, record: RecordDoc, field: FieldDoc) -> str:
        offset = code(f"{field.offset:#05x}")
        if record.base is not None:
            offset += f' <span class="absolute">{record.base + field.offset:#x}</span>'
        meaning = self.text.line(field.doc)
        if field.type_anchor:
            meaning += f" {self.text.link(field.type_anchor, field.type_name)}"
        if field.unit:
            meaning += f' <span class="unit">{escape(field.unit)}</span>'
        kind = ' class="reserved"' if field.kind == "reserved" else ""
        return f'<tr id="{escape(field.anchor)}"{kind}><td>{offset}</td><td>{field.size}</td><td>{code(field.path)}</td><td>{meaning}</td></tr>'

    def record(self, record: RecordDoc) -> str:
        rows = "".join(self._record_row(record, field) for field in record.fields)
        base = f' at <code>{record.base:#x}</code>' if record.base is not None else ""
        return (
            f'<section class="item" id="{escape(record.anchor)}"><h3>{code(record.name)}<span class="tag">{record.size} bytes{base}</span>'
            f'<a class="here" href="#{escape(record.anchor)}">#</a></h3>{self.text.prose(record.doc)}{record_picture(record)}'
            '<div class="scroll"><table class="record"><thead><tr><th>offset</th><th>bytes</th><th>field</th><th>meaning</th></tr></thead>'
            f"<tbody>{rows}</tbody></table></div>{self.text.sources(record.sources)}</section>"
        )

    # ---- the rest ----

    def _steps(self, steps: Sequence[StepDoc]) -> str:
        rows = []
        for step in steps:
            place = "<br>".join(f"<code>{access.offset:#x}</code> {self.text.link(access.anchor, access.place)}" for access in step.accesses)
            sizes = dict.fromkeys(access.size for access in step.accesses)
            act = f"{step.act} {', '.join(map(str, sizes))} bytes" if sizes else step.act
            refusal = f'<div class="refusal">{self.text.line(step.refusal)}</div>' if step.refusal else ""
            rows.append((escape(step.who), escape(act), place, self.text.line(step.text) + refusal))
        return f'<section id="handshake"><h2>How they meet</h2>{table(("who", "act", "where", ""), rows, "steps")}{self.text.sources(self.chapter.step_sources)}</section>'

    def section(self, section: SectionDoc) -> str:
        shown_elsewhere = {register.bits.anchor for block in section.blocks for register in block.registers if register.bits_home and register.bits is not None}
        parts = [
            f'<section id="{escape(section.anchor)}"><h2>{self.text.line(section.title)}</h2><p class="module">{code(section.module)}</p>{self.text.prose(section.doc)}',
            commands_html(section.commands, self.text),
        ]
        placed = [self.record(record) for record in section.records if record.base is not None]
        records = [self.record(record) for record in section.records if record.base is None]
        enums = [self.enum(enum) for enum in section.enums]
        blocks = [self.block(block) for block in section.blocks]
        bits = [self.bits(bits) for bits in section.bits if bits.anchor not in shown_elsewhere]
        # A record that stands in BAR0 is the chapter's subject; what its fields mean comes before its parts.
        parts += [*placed, *enums, *records, *blocks, *bits] if placed else [*records, *blocks, *bits, *enums]
        for declared in section.tables:
            body = table([escape(cell) for cell in declared.header], [[escape(cell) for cell in row] for row in declared.rows])
            parts.append(f'<section class="item" id="{escape(declared.anchor)}"><h4>{code(declared.name)}</h4>{self.text.prose(declared.doc)}{body}</section>')
        for columns in section.columns:
            body = table(("name", "type", "meaning"), [(code(c.name), code(c.type_name), self.text.line(c.doc)) for c in columns.columns])
            parts.append(f'<section class="item" id="{escape(columns.anchor)}"><h4>{code(columns.name)}</h4>{self.text.prose(columns.doc)}{body}</section>')
        for interface in section.interfaces:
            methods = "".join(f"<dt>{code(method.signature)}</dt><dd>{self.text.prose(method.doc)}</dd>" for method in interface.methods)
            parts.append(f'<section class="item" id="{escape(interface.anchor)}"><h4>{code(interface.name)}</h4>{self.text.prose(interface.doc)}<dl>{methods}</dl></section>')
        if section.constants:
            rows = [
                (f'<span id="{escape(constant.anchor)}">{code(constant.name)}</span>', code(f"{constant.value:#x}"), self.text.line(constant.doc))
                for constant in section.constants
            ]
            parts.append(f'<section class="item"><h4>Constants</h4>{table(("name", "value", "meaning"), rows)}</section>')
        return "".join(parts) + self.text.sources(section.sources) + "</section>"

    def body(self) -> str:
        chapter = self.chapter
        return (
            f'<h1>{escape(chapter.title)}</h1><p class="summary">{self.text.line(chapter.summary)}</p>'
            f"{self._steps(chapter.steps) if chapter.steps else ''}{''.join(self.section(section) for section in chapter.sections)}"
        )


def _navigation(documentation: Documentation, slug: str) -> str:
    entries = [("index", "Overview"), *((chapter.slug, chapter.title) for chapter in documentation.chapters)]
    entries += [(REGISTERS_PAGE, "Registers by offset"), (TRACKED_PAGE, "Tracked registers")]
    lines = []
    for target, title in entries:
        here = target == slug
        inner = ""
        if here:
            chapter = next((chapter for chapter in documentation.chapters if chapter.slug == slug), None)
            sections = chapter.sections if chapter is not None else ()
            parts = [
                part
                for section in sections
                for part in (
                    *((record.anchor, record.name) for record in sorted(section.records, key=lambda record: record.base is None)),
                    *((block.anchor, block.name) for block in section.blocks),
                    *((interface.anchor, interface.name) for interface in section.interfaces),
                )
            ]
            links = [f'<li><a href="#{escape(anchor)}">{escape(name)}</a></li>' for anchor, name in parts]
            inner = f"<ul>{''.join(links)}</ul>" if links else ""
        lines.append(f'<li{" class=current" if here else ""}><a href="{target}.html">{escape(title)}</a>{inner}</li>')
    return f"<ul>{''.join(lines)}</ul>"


def _page(documentation: Documentation, slug: str, title: str, body: str) -> str:
    full_title = f"{title} · {documentation.title}" if slug != "index" else documentation.title
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><title>{escape(full_title)}</title><style>\n{_asset("site.css")}</style></head><body>{_HATCH}'
        f'<nav><a class="brand" href="index.html">{escape(documentation.title)}<small>{escape(documentation.version)}</small></a>'
        '<div class="search"><input id="search" type="search" placeholder="name or 0x78818" autocomplete="off" spellcheck="false" aria-label="search">'
        f'<kbd>/</kbd><ol id="hits" hidden></ol></div>{_navigation(documentation, slug)}</nav>'
        f'<main>{body}</main><script src="search-index.js"></script><script>\n{_asset("site.js")}</script></body></html>\n'
    )


def _index(documentation: Documentation) -> str:
    cards = []
    for chapter in documentation.chapters:
        counts = []
        for kind, number in (
            ("commands", sum(len(section.commands) for section in chapter.sections)),
            ("registers", sum(len(block.registers) for section in chapter.sections for block in section.blocks)),
            ("records", sum(len(section.records) for section in chapter.sections)),
            ("bit layouts", sum(len(section.bits) for section in chapter.sections)),
            ("enumerations", sum(len(section.enums) for section in chapter.sections)),
        ):
            if number:
                counts.append(f"{number} {kind if number > 1 else kind.rstrip('s')}")
        cards.append(f'<a class="card" href="{chapter.slug}.html"><b>{escape(chapter.title)}</b><span>{escape(chapter.summary)}</span><small>{" · ".join(counts)}</small></a>')
    text = HtmlText(documentation, "index")
    rows = []
    for chapter in documentation.chapters:
        for section in chapter.sections:
            for block in section.blocks:
                spans = block_spans(block)
                where = ", ".join(f"{name + ' ' if name != block.name else ''}<code>{start:#x}</code>–<code>{end - 1:#x}</code>" for name, start, end in spans[:6])
                more = f", … {len(spans) - 6} more" if len(spans) > 6 else ""
                rows.append((text.link(block.anchor, block.name), where + more, str(len(block.registers)), text.line(first_sentence(block.doc))))
    return (
        f"<h1>{escape(documentation.title)}</h1>"
        '<p class="summary">The contract between a GVT-g guest driver and its host, rendered from the declarations of <code>pvinfo</code>: what stands where, what it means, who may write it, and where the number comes from.</p>'
        f'<div class="cards">{"".join(cards)}</div>'
        f"<h2>BAR0</h2><p>Registers fill the first 2 MiB; the entries of the global table begin at <code>0x800000</code>. Each mark is a block.</p>{bar0_picture(documentation)}"
        f"{table(('block', 'where', 'registers', ''), rows)}"
    )


def _by_offset(documentation: Documentation) -> str:
    text = HtmlText(documentation, REGISTERS_PAGE)
    lines: list[tuple[int, tuple[str, ...]]] = []
    for block, register in documentation.registers():
        for place in register.addresses:
            last = place.base + (register.elements - 1) * register.stride
            where = code(f"{place.base:#07x}") + (f"–{code(f'{last:#07x}')}" if register.elements > 1 else "")
            name = f"{block.name}.{register.name}{_elements(register)}"
            row = (where, f"{escape(place.name)} {text.link(register.anchor, name, breakable=True)}", f'<span class="kernel">{escape(register.kernel_name)}</span>', escape(_short_access(register.access)), text.line(first_sentence(register.doc)))
            lines.append((place.base, row))
    rows = [row for _, row in sorted(lines, key=lambda line: line[0])]
    return (
        f'<h1>Registers by offset</h1><p class="summary">Every declared register at every instance: {len(rows)} places in BAR0.</p>'
        f'<p><input class="filter" placeholder="filter" aria-label="filter rows"></p>{table(("offset", "register", "kernel name", "access", ""), rows, "filtered")}'
    )


def _tracked_page(documentation: Documentation) -> str:
    text = HtmlText(documentation, TRACKED_PAGE)
    rows = []
    for row in documentation.tracked:
        use = TrackedDoc((), (), True, row.attributes, row.read_only, row.read_handled, row.write_handled)
        last = f"–{code(f'{row.offset + row.size - 1:#07x}')}" if row.size > 4 else ""
        platforms = ", ".join(name.upper() for name in row.platforms) or "all"
        declared = text.link(row.anchor, row.anchor, breakable=True) if row.anchor else ""
        rows.append((code(f"{row.offset:#07x}") + last, f'<span class="kernel">{escape(row.kernel_name)}</span>', escape(platforms), escape(describe_treatment(use)), declared))
    return (
        '<h1>Tracked registers</h1><p class="summary">What the kernel\'s mediator lets a guest see, per platform; anything else is plain storage, counted.</p>'
        f'<p><input class="filter" placeholder="filter" aria-label="filter rows"></p>{table(("offset", "kernel name", "platforms", "treatment", "declared as"), rows, "filtered")}'
    )


def render_html(documentation: Documentation) -> Iterator[tuple[str, str]]:
    """The site's files, as name and content."""
    yield "index.html", _page(documentation, "index", documentation.title, _index(documentation))
    for chapter in documentation.chapters:
        yield f"{chapter.slug}.html", _page(documentation, chapter.slug, chapter.title, _ChapterPage(documentation, chapter).body())
    yield f"{REGISTERS_PAGE}.html", _page(documentation, REGISTERS_PAGE, "Registers by offset", _by_offset(documentation))
    yield f"{TRACKED_PAGE}.html", _page(documentation, TRACKED_PAGE, "Tracked registers", _tracked_page(documentation))
    entries: Sequence[Mapping[str, object]] = search_entries(documentation)
    lines = ",\n".join(json.dumps(entry, separators=(",", ":"), ensure_ascii=False) for entry in entries)
    yield "search-index.js", f"window.SEARCH_INDEX=[\n{lines}\n];\n"
