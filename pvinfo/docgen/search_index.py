"""What the site's search box looks in: one entry per name, with the offsets it stands at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .model import Documentation
from .prose import first_sentence

__all__ = ("search_entries",)

Entry = Mapping[str, object]


def _entry(kind: str, name: str, kernel_name: str, href: str, doc: str, places: list[list[int]] | None = None) -> Entry:
    """``places``: first offset, number of elements, distance and size of each run."""
    entry: dict[str, object] = {"k": kind, "n": name, "h": href}
    if kernel_name:
        entry["o"] = kernel_name
    if doc:
        entry["d"] = first_sentence(doc)
    if places:
        entry["p"] = places
    return entry


def _entries(documentation: Documentation) -> Iterator[Entry]:
    def href(anchor: str) -> str:
        return f"{documentation.places[anchor]}.html#{anchor}"

    for block, register in documentation.registers():
        places = [[place.base, register.elements, register.stride, 4] for place in register.addresses]
        yield _entry("register", f"{block.name}.{register.name}", register.kernel_name, href(register.anchor), register.doc, places)
    for section in documentation.sections():
        for block in section.blocks:
            yield _entry("block", block.name, " ".join(place.name for place in block.instances), href(block.anchor), block.doc)
        for record in section.records:
            yield _entry("record", record.name, "", href(record.anchor), record.doc)
            for field in record.fields:
                places = [[record.base + field.offset, 1, 4, field.size]] if record.base is not None else []
                yield _entry("field", f"{record.name}.{field.path}", "", href(field.anchor), field.doc, places)
        for bits in section.bits:
            yield _entry("bits", bits.name, "", href(bits.anchor), bits.doc)
            for bit in bits.fields:
                yield _entry("bit", f"{bits.name}.{bit.name}", "", href(f"{bits.anchor}.{bit.name}"), bit.doc)
        for enum in section.enums:
            yield _entry("enum", enum.name, "", href(enum.anchor), enum.doc)
            for member in enum.members:
                yield _entry("value", f"{enum.name}.{member.name}", "", href(f"{enum.anchor}.{member.name}"), member.doc)
        for command in section.commands:
            yield _entry("command", command.name, f"{command.match:#010x}", href(command.anchor), command.doc)
        for constant in section.constants:
            yield _entry("constant", constant.name, "", href(constant.anchor), constant.doc)
        for table in section.tables:
            yield _entry("table", table.name, "", href(table.anchor), table.doc)
        for columns in section.columns:
            yield _entry("row", columns.name, "", href(columns.anchor), columns.doc)
        for interface in section.interfaces:
            yield _entry("interface", interface.name, "", href(interface.anchor), interface.doc)


def search_entries(documentation: Documentation) -> list[Entry]:
    """All entries, registers first: that is what is looked for most."""
    return list(_entries(documentation))
