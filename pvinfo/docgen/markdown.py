"""The documentation as Markdown: ``README.md`` and a file per chapter."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from .command_docs import command_facts
from .model import (
    BitFieldDoc,
    BitsDoc,
    BlockDoc,
    ChapterDoc,
    CommandDoc,
    Documentation,
    EnumDoc,
    RecordDoc,
    RegisterDoc,
    SectionDoc,
    SourceDoc,
    TrackedDoc,
    describe_treatment,
    few_places,
)
from .prose import first_sentence, paragraphs, spans
from .text_boxes import text_box

__all__ = ("render_markdown",)

_MARKUP: Final = re.compile(r"[*<`]|\b_|_\b")
"""What Markdown would read as markup; an underscore inside a word is none."""

REGISTERS_FILE: Final = "registers-by-offset.md"
TRACKED_FILE: Final = "tracked-registers.md"


def _line(text: str) -> str:
    """One line of text; what Markdown would take for markup is escaped."""
    parts = []
    for span in spans(" ".join(text.split())):
        plain = span.text.replace("|", "\\|")
        if span.style == "code":
            parts.append(f"`{plain}`")
            continue
        plain = _MARKUP.sub(r"\\\g<0>", plain)
        parts.append(f"*{plain}*" if span.style == "emphasis" else plain)
    return "".join(parts)


def _prose(text: str) -> Iterator[str]:
    for paragraph in paragraphs(text):
        yield f"```\n{paragraph.text}\n```" if paragraph.literal else _line(paragraph.text)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _sources(sources: Sequence[SourceDoc]) -> Iterator[str]:
    if sources:
        yield "Source: " + ", ".join(f"[{source.text}]({source.url})" if source.url else source.text for source in sources)


def _heading(level: int, anchor: str, title: str) -> str:
    return f'{"#" * level} <a id="{anchor}"></a>{title}'


def _value(value: int | str) -> str:
    return f"`{value:#x}`" if isinstance(value, int) else f"`{value}`"


def _range(first: int, last: int) -> str:
    return f"`{first:#07x}`" if first == last else f"`{first:#07x}`–`{last:#07x}`"


class _ChapterFile:
    """Writes one chapter."""

    def __init__(self, documentation: Documentation, chapter: ChapterDoc) -> None:
        self._places = documentation.places
        self._chapter = chapter

    def _link(self, anchor: str, text: str) -> str:
        place = self._places.get(anchor)
        if place is None:
            return f"`{text}`"
        return f"[`{text}`]({'' if place == self._chapter.slug else f'{place}.md'}#{anchor})"

    def _fields(self, fields: Sequence[BitFieldDoc]) -> str:
        rows = []
        for field in sorted(fields, key=lambda field: -field.low):
            meaning = _line(field.doc) + (f" ({field.unit})" if field.unit else "")
            if field.choices is not None:
                meaning += ": " + ", ".join(f"{_value(member.value)} {_line(member.name)}" for member in field.choices.members)
            rows.append((f"{field.high}:{field.low}" if field.width > 1 else str(field.low), f"`{field.name}`", meaning))
        return _table(("bits", "name", "meaning"), rows)

    def _bits(self, bits: BitsDoc) -> Iterator[str]:
        yield _heading(3, bits.anchor, f"`{bits.name}`")
        yield from _prose(bits.doc)
        yield f"```\n{text_box(bits.layout())}\n```"
        yield self._fields(bits.fields)
        yield from _sources(bits.sources)

    def _enum(self, enum: EnumDoc) -> Iterator[str]:
        yield _heading(3, enum.anchor, f"`{enum.name}` ({'flags' if enum.flags else 'values'})")
        yield from _prose(enum.doc)
        yield _table(("value", "name", "meaning"), [(_value(member.value), f"`{member.name}`", _line(member.doc)) for member in enum.members])
        yield from _sources(enum.sources)

    def _tracked(self, tracked: Sequence[TrackedDoc]) -> str:
        parts = []
        for use in tracked:
            where = " ".join([*(["at", ", ".join(use.instances)] if use.instances else []), *(["on", ", ".join(use.platforms).upper()] if use.platforms else [])])
            parts.append(f"{where or 'everywhere'}: {describe_treatment(use)}")
        return "; ".join(parts)

    def _register(self, block: BlockDoc, register: RegisterDoc) -> Iterator[str]:
        elements = f"[{register.elements}]" if register.elements > 1 else ""
        yield _heading(4, register.anchor, f"`{register.name}{elements}` · {_line(register.kernel_name)}")
        yield _line(register.doc)
        shown, more = few_places(register.addresses)
        facts = [
            ("address", ", ".join([*(f"{place.name} `{place.base:#07x}`".strip() for place in shown), *([more] if more else [])])),
            ("elements", f"{register.elements}, {register.stride:#x} bytes apart" if register.elements > 1 else ""),
            ("access", register.access),
            ("reset", f"`{register.reset:#x}`"),
            ("unit", register.unit),
            ("served", "by a handler of the mediator" if register.emulated else "from plain storage"),
            ("kernel's mediator", self._tracked(register.tracked)),
        ]
        yield "\n".join(f"- {name}: {text}" for name, text in facts if text)
        yield f"```\n{text_box(register.layout())}\n```"
        if register.bits is not None and register.bits_home:
            yield f'<a id="{register.bits.anchor}"></a>`{register.bits.name}`: {_line(first_sentence(register.bits.doc))}'
            yield self._fields(register.bits.fields)
        elif register.bits is not None:
            yield f"Bits: {self._link(register.bits.anchor, register.bits.name)}"
        elif register.values is not None:
            yield f"Values: {self._link(register.values.anchor, register.values.name)}"
        if register.sources != block.sources:
            yield from _sources(register.sources)

    def _block(self, block: BlockDoc) -> Iterator[str]:
        several = len(block.instances) > 1
        yield _heading(3, block.anchor, f"`{block.name}`")
        yield from _prose(block.doc)
        yield from _sources(block.sources)
        if several:
            shown, more = few_places(block.instances)
            yield _table(("instance", "base"), [(place.name, f"`{place.base:#07x}`") for place in shown])
            yield more
        rows = []
        for register in block.registers:
            offset = f"`+{register.offset:#05x}`" if several else f"`{register.addresses[0].base:#07x}`"
            rows.append((offset, self._link(register.anchor, register.name), _line(register.kernel_name), register.access.partition(":")[0], _line(first_sentence(register.doc))))
        yield _table(("offset", "register", "kernel name", "access", "meaning"), rows)
        for register in block.registers:
            yield from self._register(block, register)

    def _record(self, record: RecordDoc) -> Iterator[str]:
        at = f" at `{record.base:#x}`" if record.base is not None else ""
        yield _heading(3, record.anchor, f"`{record.name}` ({record.size} bytes{at})")
        yield from _prose(record.doc)
        rows = []
        for field in record.fields:
            offset = f"`{field.offset:#05x}`" + (f" `{record.base + field.offset:#x}`" if record.base is not None else "")
            meaning = _line(field.doc) + (f" ({field.unit})" if field.unit else "")
            if field.type_anchor:
                meaning += f", {self._link(field.type_anchor, field.type_name)}"
            rows.append((offset, str(field.size), f'<a id="{field.anchor}"></a>`{field.path}`', meaning))
        yield _table(("offset", "bytes", "field", "meaning"), rows)
        yield from _sources(record.sources)

    def _commands(self, commands: Sequence[CommandDoc]) -> str:
        rows = []
        for command in commands:
            header, engines, length = command_facts(command)
            shapes = [
                self._link(form.anchor, form.name) + (f", {self._link(form.tail_anchor, form.tail_name)} …" if form.tail_anchor else "")
                for form in command.forms
            ] or [self._link(command.header_anchor, command.header_name)]
            audit = ", ".join((self._link(command.audit_anchor.rpartition(".")[0], command.audit[0]), *command.audit[1:]))
            named = f'<a id="{command.anchor}"></a>`{command.name}`'
            rows.append((f"`{header}`", named, engines, length, "<br>".join(shapes), audit, _line(command.doc)))
        return _table(("header", "command", "engines", "length", "dwords", "kernel's mediator", "meaning"), rows)

    def _section(self, section: SectionDoc) -> Iterator[str]:
        yield _heading(2, section.anchor, _line(section.title))
        yield f"`{section.module}`"
        yield from _prose(section.doc)
        yield from _sources(section.sources)
        if section.commands:
            yield self._commands(section.commands)
        placed = [record for record in section.records if record.base is not None]
        for record in placed:
            yield from self._record(record)
        for enum in section.enums if placed else ():
            yield from self._enum(enum)
        for record in section.records:
            if record not in placed:
                yield from self._record(record)
        for block in section.blocks:
            yield from self._block(block)
        homes = {register.bits.anchor for block in section.blocks for register in block.registers if register.bits_home and register.bits is not None}
        for bits in section.bits:
            if bits.anchor not in homes:
                yield from self._bits(bits)
        for enum in section.enums if not placed else ():
            yield from self._enum(enum)
        for declared in section.tables:
            yield _heading(3, declared.anchor, f"`{declared.name}`")
            yield from _prose(declared.doc)
            yield _table(declared.header, [[_line(cell) for cell in row] for row in declared.rows])
        for columns in section.columns:
            yield _heading(3, columns.anchor, f"`{columns.name}`")
            yield from _prose(columns.doc)
            yield _table(("name", "type", "meaning"), [(f"`{column.name}`", f"`{column.type_name}`".replace("|", "\\|"), _line(column.doc)) for column in columns.columns])
        for interface in section.interfaces:
            yield _heading(3, interface.anchor, f"`{interface.name}`")
            yield from _prose(interface.doc)
            yield "\n".join(f"- `{method.signature}`: {_line(method.doc)}" for method in interface.methods)
        if section.constants:
            yield "### Constants"
            yield _table(
                ("name", "value", "meaning"),
                [(f'<a id="{constant.anchor}"></a>`{constant.name}`', f"`{constant.value:#x}`", _line(constant.doc)) for constant in section.constants],
            )

    def paragraphs(self) -> Iterator[str]:
        chapter = self._chapter
        yield f"# {chapter.title}"
        yield _line(chapter.summary)
        if chapter.steps:
            yield "## How they meet"
            rows = []
            for step in chapter.steps:
                where = "<br>".join(f"`{access.offset:#x}` {self._link(access.anchor, access.place)}" for access in step.accesses)
                sizes = dict.fromkeys(str(access.size) for access in step.accesses)
                act = f"{step.act} {', '.join(sizes)} bytes" if sizes else step.act
                rows.append((step.who, act, where, _line(step.text) + (f"<br>*{_line(step.refusal)}*" if step.refusal else "")))
            yield _table(("who", "act", "where", ""), rows)
            yield from _sources(chapter.step_sources)
        for section in chapter.sections:
            yield from self._section(section)


def _whole(parts: Iterable[str]) -> str:
    return "\n\n".join(part for part in parts if part) + "\n"


def _readme(documentation: Documentation) -> Iterator[str]:
    yield f"# {documentation.title} {documentation.version}"
    yield "The contract between a GVT-g guest driver and its host, rendered from the declarations of `pvinfo`."
    yield "\n".join(f"- [{chapter.title}]({chapter.slug}.md): {_line(chapter.summary)}" for chapter in documentation.chapters)
    yield f"- [Registers by offset]({REGISTERS_FILE})\n- [Tracked registers]({TRACKED_FILE})"


def _by_offset(documentation: Documentation) -> Iterator[str]:
    yield "# Registers by offset"
    rows = []
    for block, register in documentation.registers():
        for place in register.addresses:
            link = f"[`{block.name}.{register.name}`]({documentation.places[register.anchor]}.md#{register.anchor})"
            where = _range(place.base, place.base + (register.elements - 1) * register.stride)
            rows.append((place.base, (where, place.name, link, _line(register.kernel_name), register.access.partition(":")[0])))
    yield _table(("offset", "instance", "register", "kernel name", "access"), [row for _, row in sorted(rows, key=lambda entry: entry[0])])


def _tracked(documentation: Documentation) -> Iterator[str]:
    yield "# Tracked registers"
    yield "What the kernel's mediator lets a guest see, per platform; anything else is plain storage, counted."
    rows = []
    for row in documentation.tracked:
        use = TrackedDoc((), (), True, row.attributes, row.read_only, row.read_handled, row.write_handled)
        declared = f"[`{row.anchor}`]({documentation.places[row.anchor]}.md#{row.anchor})" if row.anchor else ""
        rows.append((_range(row.offset, row.offset + row.size - 4), _line(row.kernel_name), ", ".join(row.platforms).upper() or "all", describe_treatment(use), declared))
    yield _table(("offset", "kernel name", "platforms", "treatment", "declared as"), rows)


def render_markdown(documentation: Documentation) -> Iterator[tuple[str, str]]:
    """The files, as name and content."""
    yield "README.md", _whole(_readme(documentation))
    for chapter in documentation.chapters:
        yield f"{chapter.slug}.md", _whole(_ChapterFile(documentation, chapter).paragraphs())
    yield REGISTERS_FILE, _whole(_by_offset(documentation))
    yield TRACKED_FILE, _whole(_tracked(documentation))
