"""What the renderers are handed: the declarations as plain records of text and numbers.

Nothing here refers back to a declaration, so that a renderer can neither look things up nor forget to. Every
linkable thing has an *anchor*, unique in the whole documentation; :attr:`Documentation.places` says which chapter
holds it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

__all__ = (
    "AccessDoc",
    "BitFieldDoc",
    "BitsDoc",
    "BlockDoc",
    "ChapterDoc",
    "ColumnDoc",
    "ColumnsDoc",
    "CommandDoc",
    "ConstantDoc",
    "Documentation",
    "EnumDoc",
    "EnumMemberDoc",
    "FieldDoc",
    "FormDoc",
    "InstanceDoc",
    "InterfaceDoc",
    "MemberDoc",
    "MethodDoc",
    "RecordDoc",
    "RegisterDoc",
    "SectionDoc",
    "SourceDoc",
    "StepDoc",
    "TableDoc",
    "TrackedDoc",
    "TrackedRowDoc",
    "describe_treatment",
    "few_places",
    "with_reserved",
)


class SourceDoc(NamedTuple):
    """Where a fact comes from."""

    text: str
    url: str
    """Empty where the source cannot be linked."""


class ConstantDoc(NamedTuple):
    """A number with a name."""

    anchor: str
    name: str
    value: int
    doc: str
    sources: tuple[SourceDoc, ...]


class EnumMemberDoc(NamedTuple):
    """One name of a closed set."""

    name: str
    value: int | str
    doc: str


class EnumDoc(NamedTuple):
    """A closed set of names, or of flags."""

    anchor: str
    name: str
    doc: str
    flags: bool
    members: tuple[EnumMemberDoc, ...]
    sources: tuple[SourceDoc, ...]


class BitFieldDoc(NamedTuple):
    """Some neighbouring bits with a name; no name: they mean nothing yet."""

    name: str
    low: int
    width: int
    doc: str
    unit: str
    sources: tuple[SourceDoc, ...]
    choices: EnumDoc | None

    @property
    def high(self) -> int:
        """Number of the highest bit."""
        return self.low + self.width - 1

    @property
    def mask(self) -> int:
        """The field's bits, in place."""
        return ((1 << self.width) - 1) << self.low


class BitsDoc(NamedTuple):
    """The bits of a register, table entry or descriptor."""

    anchor: str
    name: str
    doc: str
    width: int
    """16, 32 or 64 bits."""
    fields: tuple[BitFieldDoc, ...]
    """Lowest first, without the reserved ones."""
    sources: tuple[SourceDoc, ...]

    def layout(self) -> tuple[BitFieldDoc, ...]:
        """All bits, lowest first: the fields with the reserved spans between them."""
        return tuple(with_reserved(self.fields, self.width))


def with_reserved(fields: tuple[BitFieldDoc, ...], width: int) -> Iterator[BitFieldDoc]:
    """``fields`` and, as nameless fields, the bits that none of them holds."""
    bit = 0
    for field in fields:
        if field.low > bit:
            yield BitFieldDoc("", bit, field.low - bit, "reserved", "", (), None)
        yield field
        bit = field.high + 1
    if bit < width:
        yield BitFieldDoc("", bit, width - bit, "reserved", "", (), None)


class MemberDoc(NamedTuple):
    """A field of a record as the record declares it: perhaps a record itself, or several in a row."""

    name: str
    kind: str
    """``integer``, ``raw``, ``reserved``, ``record`` or ``array``."""
    offset: int
    size: int
    """Bytes, all elements together."""
    elements: int
    record: str
    """Anchor of the inner record; empty for a leaf."""
    doc: str


class FieldDoc(NamedTuple):
    """A leaf of a record, at its place in the whole."""

    anchor: str
    path: str
    """Dotted, array elements by number: ``pdp.2.lo``."""
    offset: int
    size: int
    kind: str
    doc: str
    unit: str
    sources: tuple[SourceDoc, ...]
    type_anchor: str
    """Anchor of the bits or enum that its value is; empty for a plain number or bytes."""
    type_name: str


class RecordDoc(NamedTuple):
    """A binary record."""

    anchor: str
    name: str
    doc: str
    size: int
    members: tuple[MemberDoc, ...]
    fields: tuple[FieldDoc, ...]
    sources: tuple[SourceDoc, ...]
    base: int | None
    """Where it stands in BAR0, if it does."""
    split: int
    """Offset at which its picture is best cut in two; 0: nowhere."""


class TrackedDoc(NamedTuple):
    """How the kernel's mediator treats a register, on some platforms and at some instances."""

    instances: tuple[str, ...]
    """Empty: at all of them."""
    platforms: tuple[str, ...]
    """Empty: on all of them."""
    tracked: bool
    attributes: tuple[str, ...]
    read_only: int
    read_handled: bool
    write_handled: bool


def describe_treatment(use: TrackedDoc) -> str:
    """A line of the tracked table in words."""
    if not use.tracked:
        return "not tracked: kept as plain storage, and counted"
    reads_writes = [word for word, handled in (("reads", use.read_handled), ("writes", use.write_handled)) if handled]
    served = f"{' and '.join(reads_writes)} handled" if reads_writes else "plain storage"
    read_only = f"bits {use.read_only:#x} read only" if use.read_only else ""
    return ", ".join(part for part in (served, *use.attributes, read_only) if part)


class TrackedRowDoc(NamedTuple):
    """A row of the kernel's table of tracked registers."""

    offset: int
    size: int
    platforms: tuple[str, ...]
    """Empty: all."""
    attributes: tuple[str, ...]
    read_only: int
    read_handled: bool
    write_handled: bool
    kernel_name: str
    anchor: str
    """Anchor of the register declared there; empty where there is none."""


class InstanceDoc(NamedTuple):
    """One place where a block's registers stand."""

    name: str
    base: int


def few_places(places: tuple[InstanceDoc, ...], most: int = 12) -> tuple[tuple[InstanceDoc, ...], str]:
    """``places``, or the first two of very many with a remark on the others."""
    if len(places) <= most:
        return places, ""
    steps = {after.base - before.base for before, after in pairwise(places)}
    apart = f", {steps.pop():#x} bytes apart" if len(steps) == 1 else ""
    return places[:2], f"… {places[-1].name} {places[-1].base:#x} ({len(places)} in all{apart})"


class RegisterDoc(NamedTuple):
    """A register, or an array of them, at every instance of its block."""

    anchor: str
    name: str
    kernel_name: str
    offset: int
    """From the block's base."""
    elements: int
    stride: int
    addresses: tuple[InstanceDoc, ...]
    """Absolute byte offset in BAR0 at each instance, of the first element."""
    access: str
    masked: bool
    """Bits 31:16 enable the write of bits 15:0."""
    reset: int
    unit: str
    emulated: bool
    doc: str
    sources: tuple[SourceDoc, ...]
    bits: BitsDoc | None
    """Its bits, where the declaration names them."""
    values: EnumDoc | None
    """Its values, where they are a closed set."""
    bits_home: bool
    """The bits are explained here, and other registers of the same kind refer to it."""
    tracked: tuple[TrackedDoc, ...]

    def layout(self) -> tuple[BitFieldDoc, ...]:
        """Its 32 bits, lowest first, reserved spans included."""
        if self.bits is not None:
            fields = self.bits.fields
        else:
            fields = (BitFieldDoc(self.name, 0, 16 if self.masked else 32, self.doc, self.unit, (), self.values),)
        if self.masked and all(field.high < 16 for field in fields):
            enable = BitFieldDoc("write enable", 16, 16, "each bit lets the bit 16 places below it be written", "", (), None)
            fields = (*fields, enable)
        return tuple(with_reserved(fields, 32))


class BlockDoc(NamedTuple):
    """Registers that stand together, at one or more places."""

    anchor: str
    name: str
    doc: str
    instances: tuple[InstanceDoc, ...]
    registers: tuple[RegisterDoc, ...]
    sources: tuple[SourceDoc, ...]


class FormDoc(NamedTuple):
    """One shape of a command."""

    anchor: str
    """Of its record."""
    name: str
    dwords: int
    """Without a tail."""
    tail_anchor: str
    """Of the record of the elements that may follow; empty where none may."""
    tail_name: str


class CommandDoc(NamedTuple):
    """A command of a ring or batch."""

    anchor: str
    name: str
    match: int
    """What its header holds under ``mask``."""
    mask: int
    engines: tuple[str, ...]
    """Empty: all."""
    length: str
    versions: str
    """Which hardware has it; empty: all of it."""
    audit: tuple[str, ...]
    """How the kernel's mediator treats it, with remarks."""
    audit_anchor: str
    header_anchor: str
    header_name: str
    forms: tuple[FormDoc, ...]
    doc: str
    sources: tuple[SourceDoc, ...]


class TableDoc(NamedTuple):
    """Declared data as rows and columns."""

    anchor: str
    name: str
    doc: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class ColumnDoc(NamedTuple):
    """One value of a row."""

    name: str
    type_name: str
    doc: str


class ColumnsDoc(NamedTuple):
    """A row of values that never crosses the wire as bytes: a trace row, a finding."""

    anchor: str
    name: str
    doc: str
    columns: tuple[ColumnDoc, ...]


class MethodDoc(NamedTuple):
    """What one side may ask of the other."""

    signature: str
    doc: str


class InterfaceDoc(NamedTuple):
    """A Protocol at which two sides meet."""

    anchor: str
    name: str
    doc: str
    methods: tuple[MethodDoc, ...]


class AccessDoc(NamedTuple):
    """One access of a step."""

    place: str
    offset: int
    """In BAR0."""
    size: int
    anchor: str


class StepDoc(NamedTuple):
    """One step of a conversation between guest and host."""

    who: str
    act: str
    accesses: tuple[AccessDoc, ...]
    """In order; none for a step that is not an access."""
    text: str
    refusal: str
    """What happens when the host's answer is not good enough; empty where nothing can go wrong."""


class SectionDoc(NamedTuple):
    """What one module declares."""

    anchor: str
    module: str
    title: str
    doc: str
    sources: tuple[SourceDoc, ...]
    constants: tuple[ConstantDoc, ...]
    blocks: tuple[BlockDoc, ...]
    records: tuple[RecordDoc, ...]
    bits: tuple[BitsDoc, ...]
    """All of them, also those that a register of this section explains."""
    enums: tuple[EnumDoc, ...]
    tables: tuple[TableDoc, ...]
    columns: tuple[ColumnsDoc, ...]
    interfaces: tuple[InterfaceDoc, ...]
    commands: tuple[CommandDoc, ...] = ()


class ChapterDoc(NamedTuple):
    """A page of the documentation."""

    slug: str
    title: str
    summary: str
    steps: tuple[StepDoc, ...]
    """The conversation that the chapter begins with, if it does."""
    step_sources: tuple[SourceDoc, ...]
    sections: tuple[SectionDoc, ...]


class Documentation(NamedTuple):
    """Everything, ready to render."""

    title: str
    version: str
    platforms: tuple[str, ...]
    chapters: tuple[ChapterDoc, ...]
    tracked: tuple[TrackedRowDoc, ...]
    places: dict[str, str]
    """Slug of the chapter that holds an anchor."""

    def sections(self) -> Iterator[SectionDoc]:
        """All sections in order."""
        for chapter in self.chapters:
            yield from chapter.sections

    def registers(self) -> Iterator[tuple[BlockDoc, RegisterDoc]]:
        """All registers with their blocks, in order of declaration."""
        for section in self.sections():
            for block in section.blocks:
                for register in block.registers:
                    yield block, register
