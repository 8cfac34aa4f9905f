"""From declarations to the plain records that the renderers are handed."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum, Flag, IntEnum
from types import ModuleType
from typing import Final, get_type_hints

from .. import __version__
from ..bits import BitField, Bits
from ..page import VGT_IF
from ..platform import PLATFORMS
from ..register import Access, Register, RegisterArray, RegisterBlock
from ..wire import Codec, WireField
from .attribute_docs import read_module_text
from .catalogue import CHAPTERS, PLACED_RECORDS, Chapter, declared_modules
from .command_docs import command_docs, declared_commands_of
from .declarations import (
    Anchors,
    AnyCodec,
    declared_bits,
    declared_blocks_of,
    declared_enums,
    declared_records,
    docstring_of,
    is_interface,
    is_row,
    layout_of,
    own_classes,
    record_of,
)
from .handshake import HANDSHAKE, HANDSHAKE_SOURCES, Step
from .model import (
    AccessDoc,
    BitFieldDoc,
    BitsDoc,
    BlockDoc,
    ChapterDoc,
    ColumnDoc,
    ColumnsDoc,
    ConstantDoc,
    Documentation,
    EnumDoc,
    EnumMemberDoc,
    FieldDoc,
    InstanceDoc,
    InterfaceDoc,
    MemberDoc,
    MethodDoc,
    RecordDoc,
    RegisterDoc,
    SectionDoc,
    StepDoc,
    TableDoc,
)
from .source_links import sources_of, take_sources
from .tables import table_of
from .tracked_use import TrackedUse

__all__ = ("collect",)

TITLE: Final = "GVT-g protocol"


class _Collector:
    """Collects one documentation; keeps what sections need of each other."""

    def __init__(self, modules: Sequence[ModuleType]) -> None:
        self.modules = modules
        self.texts = {module.__name__: read_module_text(module) for module in modules}
        self.anchors = Anchors(modules, self.texts)
        self.records: dict[type, AnyCodec] = {}
        for module in modules:
            for record, codec in declared_records(module).items():
                if codec.doc or record not in self.records:
                    self.records[record] = codec
        self.member_docs = self._collect_member_docs()
        self.bits_width = self._collect_widths()
        self.tracked = TrackedUse(tuple(PLATFORMS))
        self.named_commands = frozenset(
            name for module in modules for name in self.texts[module.__name__].assigned if any(c.name == name for c in declared_commands_of(module, (name,)))
        )

    def _collect_member_docs(self) -> dict[tuple[type, str], str]:
        """What enum members mean: the string after the member, else a table ``{member: text}`` beside the class."""
        found: dict[tuple[type, str], str] = {}
        for module in self.modules:
            for value in vars(module).values():
                if isinstance(value, Mapping) and value:
                    for member, text in value.items():
                        if isinstance(member, Enum) and isinstance(text, str):
                            found.setdefault((type(member), str(member.name)), text)
        return found

    def _collect_widths(self) -> dict[type, int]:
        """How wide each bit layout is where it is used."""
        widths: dict[type, int] = {}
        for codec in self.records.values():
            for field in codec.fields:
                widths[field.value_type] = max(widths.get(field.value_type, 0), field.size * 8)
        for module in self.modules:
            for block in declared_blocks_of(module):
                for register in block.registers:
                    widths[register.value_type] = max(widths.get(register.value_type, 0), 32)
        return widths

    # ---- enums and bits ----

    def _class_doc(self, cls: type) -> tuple[str, tuple[str, ...]]:
        doc, sources = take_sources(docstring_of(cls))
        return doc, sources or self._module_sources(cls.__module__)

    def _module_sources(self, module: str) -> tuple[str, ...]:
        for candidate in self.modules:
            if candidate.__name__ == module:
                named = take_sources(inspect.getdoc(candidate) or "")[1]
                declared = vars(candidate).get("SOURCE")
                return named or ((declared,) if isinstance(declared, str) else ())
        return ()

    def enum(self, cls: type[Enum]) -> EnumDoc:
        doc, sources = self._class_doc(cls)
        text = self.texts.get(cls.__module__)
        members = []
        for name, member in cls.__members__.items():
            value = member.value if isinstance(member.value, (int, str)) else str(member.value)
            said = text.docs.get(f"{cls.__name__}.{name}", "") if text else ""
            members.append(EnumMemberDoc(name, value, said or self.member_docs.get((cls, name), "")))
        return EnumDoc(self.anchors.of_class(cls), cls.__name__, doc, issubclass(cls, Flag), tuple(members), sources_of(*sources))

    def _bit_field(self, field: BitField) -> BitFieldDoc:
        choices = self.enum(field.choices) if field.choices is not None else None
        return BitFieldDoc(field.name, field.low, field.width, field.doc, field.unit, sources_of(field.source), choices)

    def bits(self, cls: type[Bits]) -> BitsDoc:
        doc, sources = self._class_doc(cls)
        fields = tuple(self._bit_field(field) for field in cls.bit_fields)
        return self._bits(cls, doc, fields, sources)

    def _bits(self, cls: type, doc: str, fields: tuple[BitFieldDoc, ...], sources: tuple[str, ...]) -> BitsDoc:
        top = max(field.high for field in fields)
        width = max(self.bits_width.get(cls, 32), 64 if top >= 32 else 32 if top >= 16 else 8)
        return BitsDoc(self.anchors.of_class(cls), cls.__name__, doc, width, fields, sources_of(*sources))

    def flags_as_bits(self, cls: type[Flag]) -> BitsDoc:
        """The single bits of a flag set, drawn like any other bits."""
        enum = self.enum(cls)
        fields = []
        for member in enum.members:
            value = member.value
            if isinstance(value, int) and value > 0 and value & (value - 1) == 0:
                fields.append(BitFieldDoc(member.name, value.bit_length() - 1, 1, member.doc, "", (), None))
        fields.sort(key=lambda field: field.low)
        return self._bits(cls, enum.doc, tuple(fields), tuple(source.text for source in enum.sources))

    def _value_bits(self, cls: type) -> BitsDoc | None:
        if issubclass(cls, Bits) and cls.bit_fields:
            return self.bits(cls)
        if issubclass(cls, Flag):
            return self.flags_as_bits(cls)
        return None

    # ---- records ----

    def record(self, cls: type, codec: AnyCodec) -> RecordDoc:
        doc, sources = take_sources(docstring_of(cls))
        summary = codec.doc[:1].upper() + codec.doc[1:]
        text = f"{summary}.\n\n{doc}" if summary and doc else summary or doc
        anchor = self.anchors.of_class(cls)
        placed = PLACED_RECORDS.get(cls.__name__)
        return RecordDoc(
            anchor, cls.__name__, text, codec.size,
            tuple(self._members(cls)),
            tuple(self._field(anchor, field) for field in codec.fields),
            sources_of(*(sources or ((codec.source,) if codec.source else self._module_sources(cls.__module__)))),
            placed.base if placed else None,
            placed.split if placed else 0,
        )  # fmt: skip

    def _members(self, cls: type) -> Iterator[MemberDoc]:
        offset = 0
        for name, hint in get_type_hints(cls, include_extras=True).items():
            layout = layout_of(hint)
            assert layout is not None, f"{cls.__name__}.{name} has no layout, yet a codec took it"
            record, size = "", layout.size
            if layout.kind in ("record", "array"):
                inner = record_of(hint)
                record = self.anchors.of_class(inner)
                size = Codec(inner, doc="").size * layout.repeat
            yield MemberDoc(name, layout.kind, offset, size, layout.repeat, record, layout.doc)
            offset += size

    def _field(self, anchor: str, field: WireField) -> FieldDoc:
        named = issubclass(field.value_type, (Bits, Enum))
        return FieldDoc(
            f"{anchor}.{field.path}", field.path, field.offset, field.size, field.kind, field.doc, field.unit,
            sources_of(field.source),
            self.anchors.of_class(field.value_type) if named else "",
            field.value_type.__name__ if named else "",
        )  # fmt: skip

    # ---- registers ----

    def block(self, cls: type[RegisterBlock], homes: set[type]) -> BlockDoc:
        """``homes``: bit layouts that a register of this section has not yet explained; shrinks."""
        doc, named = take_sources(docstring_of(cls))
        anchor = self.anchors.of_class(cls)
        instances = tuple(InstanceDoc(name, base) for name, base in cls.bases.items())
        registers = []
        for register in cls.registers:
            home = register.value_type in homes
            homes.discard(register.value_type)
            registers.append(self._register(anchor, register, home))
        sources = sources_of(*named, cls.source)
        return BlockDoc(anchor, cls.__name__, doc, instances, tuple(registers), sources)

    def _register(self, block: str, register: Register[int] | RegisterArray[int], home: bool) -> RegisterDoc:
        bases = register.block.bases
        values = register.value_type
        return RegisterDoc(
            anchor=f"{block}.{register.name}",
            name=register.name,
            kernel_name=register.kernel_name,
            offset=register.offset,
            elements=register.count,
            stride=register.stride,
            addresses=tuple(InstanceDoc(name, base + register.offset) for name, base in bases.items()),
            access=register.access.value,
            masked=register.access is Access.MASKED,
            reset=register.reset,
            unit=register.unit,
            emulated=register.emulated,
            doc=register.doc,
            sources=sources_of(register.source),
            bits=self._value_bits(values),
            values=self.enum(values) if issubclass(values, IntEnum) else None,
            bits_home=home,
            tracked=self.tracked.of_register(register),
        )

    # ---- sections ----

    def _constants(self, module: ModuleType) -> Iterator[ConstantDoc]:
        text = self.texts[module.__name__]
        for name in dict.fromkeys(text.assigned):
            value = vars(module).get(name)
            if name.isupper() and not name.startswith("_") and isinstance(value, int) and not isinstance(value, (bool, Enum)):
                doc, sources = take_sources(text.docs.get(name, ""))
                yield ConstantDoc(self.anchors.of(module.__name__, name), name, int(value), doc, sources_of(*sources))

    def _tables(self, module: ModuleType) -> Iterator[TableDoc]:
        text = self.texts[module.__name__]
        bases = [dict(block.bases) for block in declared_blocks_of(module)]
        for name in dict.fromkeys(text.assigned):
            value = vars(module).get(name)
            if not name.startswith("_") and name.isupper() and value not in bases:
                table = table_of(self.anchors.of(module.__name__, name), name, text.docs.get(name, ""), value, self.texts)
                if table is not None:
                    yield table

    def _columns(self, module: ModuleType, cls: type) -> ColumnsDoc:
        docs = self.texts[module.__name__].docs
        hints: dict[str, object] = dict(inspect.get_annotations(cls))
        columns = tuple(ColumnDoc(name, str(hint), docs.get(f"{cls.__name__}.{name}", "")) for name, hint in hints.items())
        return ColumnsDoc(self.anchors.of_class(cls), cls.__name__, take_sources(docstring_of(cls))[0], columns)

    def _interface(self, cls: type) -> InterfaceDoc:
        methods = []
        for name, value in vars(cls).items():
            if name.startswith("_"):
                continue
            if isinstance(value, property):
                returned = value.fget.__annotations__.get("return", "") if value.fget else ""
                methods.append(MethodDoc(f"{name}: {returned}", inspect.getdoc(value) or ""))
            elif inspect.isfunction(value):
                signature = str(inspect.signature(value)).replace("(self, ", "(", 1).replace("(self)", "()", 1)
                methods.append(MethodDoc(name + signature.replace("'", "").replace(", /)", ")"), inspect.getdoc(value) or ""))
        return InterfaceDoc(self.anchors.of_class(cls), cls.__name__, docstring_of(cls), tuple(methods))

    def section(self, module: ModuleType, *, interfaces: bool) -> SectionDoc:
        title, _, rest = (inspect.getdoc(module) or module.__name__).partition("\n")
        doc, named = take_sources(rest)
        records = dict.fromkeys([*declared_records(module), *(cls for cls in own_classes(module) if cls in self.records)])
        own_bits = declared_bits(module)
        rows, meetings = [], []
        if interfaces:
            for cls in own_classes(module):
                if is_interface(cls):
                    meetings.append(self._interface(cls))
                elif is_row(cls) and cls not in self.records:
                    rows.append(self._columns(module, cls))
        homes: set[type] = set(own_bits)
        declared = vars(module).get("SOURCE")
        return SectionDoc(
            anchor=module.__name__,
            module=module.__name__,
            title=title.rstrip("."),
            doc=doc,
            sources=sources_of(*(named or ((declared,) if isinstance(declared, str) else ()))),
            constants=tuple(self._constants(module)),
            blocks=tuple(self.block(cls, homes) for cls in declared_blocks_of(module)),
            records=tuple(self.record(cls, self.records[cls]) for cls in records if cls.__module__ == module.__name__),
            bits=tuple(self.bits(cls) for cls in own_bits),
            enums=tuple(self.enum(cls) for cls in declared_enums(module)),
            tables=tuple(self._tables(module)),
            columns=tuple(rows),
            interfaces=tuple(meetings),
            commands=tuple(command_docs(module, self.texts[module.__name__], self.named_commands, self.anchors)),
        )


def _step(step: Step) -> StepDoc:
    base = PLACED_RECORDS["VgtIf"].base
    fields = [VGT_IF.field(path) for path in step.fields]
    accesses = tuple(AccessDoc(field.path, base + field.offset, field.size, f"VgtIf.{field.path}") for field in fields)
    return StepDoc(step.who, step.act, accesses, step.text, step.refusal)


def _is_empty(section: SectionDoc) -> bool:
    return not any((section.constants, section.blocks, section.records, section.bits, section.enums, section.tables, section.columns, section.interfaces, section.commands))


def _wanted(chapter: Chapter, module: str) -> bool:
    short = module.removeprefix("pvinfo.")
    return any(short == name or (name.endswith(".") and short.startswith(name)) for name in chapter.modules)


def _anchors_of(section: SectionDoc) -> Iterator[str]:
    yield section.anchor
    for constant in section.constants:
        yield constant.anchor
    for block in section.blocks:
        yield block.anchor
        yield from (register.anchor for register in block.registers)
    for record in section.records:
        yield record.anchor
        yield from (field.anchor for field in record.fields)
    for bits in section.bits:
        yield bits.anchor
        yield from (f"{bits.anchor}.{field.name}" for field in bits.fields)
    for enum in section.enums:
        yield enum.anchor
        yield from (f"{enum.anchor}.{member.name}" for member in enum.members)
    yield from (table.anchor for table in section.tables)
    yield from (row.anchor for row in section.columns)
    yield from (interface.anchor for interface in section.interfaces)
    yield from (command.anchor for command in section.commands)


def collect(modules: Iterable[ModuleType] | None = None, chapters: Sequence[Chapter] = CHAPTERS) -> Documentation:
    """Collect what ``modules`` declare (all of ``pvinfo``, when not given) into ``chapters``."""
    chosen = tuple(modules) if modules is not None else declared_modules()
    collector = _Collector(chosen)
    pages: list[ChapterDoc] = []
    left = {module.__name__: module for module in chosen}
    for chapter in chapters:
        sections = []
        ordered = sorted(
            (name for name in left if _wanted(chapter, name)),
            key=lambda name: next((i for i, short in enumerate(chapter.modules) if name == f"pvinfo.{short}"), len(chapter.modules)),
        )
        for name in ordered:
            section = collector.section(left.pop(name), interfaces=chapter.interfaces)
            if not _is_empty(section):
                sections.append(section)
        if sections:
            steps = tuple(_step(step) for step in HANDSHAKE) if chapter.handshake else ()
            sources = sources_of(*HANDSHAKE_SOURCES) if steps else ()
            pages.append(ChapterDoc(chapter.slug, chapter.title, chapter.summary, steps, sources, tuple(sections)))
    for name, module in left.items():
        section = collector.section(module, interfaces=False)
        if not _is_empty(section):
            slug = name.removeprefix("pvinfo.").replace(".", "-").replace("_", "-")
            title, _, rest = section.title.partition(": ")
            pages.append(ChapterDoc(slug, title, rest, (), (), (section,)))
    places: dict[str, str] = {}
    for page in pages:
        for section in page.sections:
            for anchor in _anchors_of(section):
                places[anchor] = page.slug
    registers = {
        offset: f"{block.anchor}.{register.name}"
        for page in pages
        for section in page.sections
        for block in section.blocks
        for register in block.registers
        for address in register.addresses
        for offset in range(address.base, address.base + register.elements * register.stride, register.stride)
    }
    return Documentation(TITLE, __version__, tuple(PLATFORMS), tuple(pages), collector.tracked.rows(registers), places)
