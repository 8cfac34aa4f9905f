"""Commands of rings and batches, for the documentation: found in modules, turned to plain rows, set as tables."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from types import ModuleType
from typing import Any

from ..commands.command import ALL_ENGINES, Audit, Command
from .attribute_docs import ModuleText
from .declarations import Anchors
from .html_parts import HtmlText, code, table
from .model import CommandDoc, FormDoc
from .source_links import sources_of

__all__ = ("command_docs", "command_facts", "commands_html", "declared_commands_of")


def declared_commands_of(module: ModuleType, assigned: tuple[str, ...], elsewhere: frozenset[str] = frozenset()) -> tuple[Command[Any], ...]:
    """The commands that ``module`` assigns to names, else those of the rows that it assigns; none whose name is in ``elsewhere``."""
    named: list[Command[Any]] = []
    rows: list[Command[Any]] = []
    for name in dict.fromkeys(assigned):
        value = vars(module).get(name)
        if isinstance(value, Command):
            named.append(value)
        elif isinstance(value, tuple):
            rows += [element for element in value if isinstance(element, Command) and element.name not in elsewhere]
    return tuple(named or rows)


def command_docs(module: ModuleType, text: ModuleText, elsewhere: frozenset[str], anchors: Anchors) -> Iterator[CommandDoc]:
    """The rows of ``module``'s commands."""
    for command in declared_commands_of(module, text.assigned, elsewhere):
        forms = tuple(
            FormDoc(
                anchors.of_class(form.record), form.codec.name, form.dwords,
                anchors.of_class(form.tail.record) if form.tail is not None else "", form.tail.name if form.tail is not None else "",
            )
            for form in command.forms
        )  # fmt: skip
        versions = [f"from gen{command.since} on"] if command.since > 8 else []
        versions += [f"up to gen{command.until}"] if command.until is not None else []
        audited = [command.audit.name]
        audited += [" or ".join(map(str, command.audited_lengths)) + " dwords only"] if command.audited_lengths else []
        audited += [f"taken for {command.audited_length}"] if command.audited_length != command.length else []
        yield CommandDoc(
            anchor=command.name,
            name=command.name,
            match=command.match,
            mask=command.mask,
            engines=() if command.engines == ALL_ENGINES else tuple(sorted(engine.name for engine in command.engines)),
            length=str(command.length),
            versions=", ".join(versions),
            audit=tuple(audited),
            audit_anchor=f"{anchors.of_class(Audit)}.{command.audit.name}",
            header_anchor=anchors.of_class(command.header_type),
            header_name=command.header_type.__name__,
            forms=forms,
            doc=command.doc,
            sources=sources_of(command.source),
        )


def command_facts(command: CommandDoc) -> tuple[str, str, str]:
    """Header, engines and length in words."""
    engines = ", ".join(command.engines) or "all"
    return f"{command.match:#010x}", engines, command.length + (f", {command.versions}" if command.versions else "")


def _shape(command: CommandDoc, text: HtmlText) -> str:
    """Links to what the command's dwords hold."""
    if not command.forms:
        return text.link(command.header_anchor, command.header_name)
    shapes = []
    for form in command.forms:
        shown = text.link(form.anchor, form.name)
        shapes.append(f"{shown}, {text.link(form.tail_anchor, form.tail_name)} …" if form.tail_anchor else shown)
    return "<br>".join(shapes)


def commands_html(commands: tuple[CommandDoc, ...], text: HtmlText) -> str:
    """The table of a section's commands; empty when there are none."""
    rows = []
    for command in commands:
        header, engines, length = command_facts(command)
        audit = text.link(command.audit_anchor, command.audit[0]) + "".join(f", {escape(remark)}" for remark in command.audit[1:])
        named = f'<span id="{escape(command.anchor)}">{code(command.name)}</span><div>{text.line(command.doc)}</div>'
        rows.append((code(header), named, escape(engines), escape(length), _shape(command, text), audit))
    if not rows:
        return ""
    return table(("header", "command", "engines", "length", "dwords", "kernel's mediator"), rows, "commands")
