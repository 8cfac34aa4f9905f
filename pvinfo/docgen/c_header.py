"""The declarations as a self-contained C11 header: records as packed structures, registers and bits as macros.

Each structure is followed by assertions of its size and offsets, so that a compiler that lays it out in any other
way refuses it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from ..errors import LayoutError
from .model import BitsDoc, BlockDoc, Documentation, EnumDoc, FieldDoc, MemberDoc, RecordDoc, RegisterDoc

__all__ = ("HEADER_NAME", "render_c_header")

HEADER_NAME: Final = "gvtg_pvinfo.h"

_PREFIX: Final = "gvtg"
_KEYWORDS: Final = frozenset(
    "auto break case char const continue default do double else enum extern float for goto if inline int long register restrict return short "
    "signed sizeof static struct switch typedef union unsigned void volatile while".split()
)
_LARGEST_ENUMERATOR: Final = 0x7FFFFFFF


def _words(name: str) -> str:
    """``ForceToNonpriv`` and ``vgtif_reg(pdp.0.lo)`` as ``force_to_nonpriv`` and ``vgtif_reg_pdp_0_lo``."""
    if not name.isupper():
        name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_").lower()


def _comment(text: str) -> str:
    return " ".join(text.split()).replace("``", "").replace("*/", "* /").replace("/*", "/ *")


def _member_name(name: str) -> str:
    return f"{name}_" if name in _KEYWORDS else name


def _path(path: str) -> str:
    """``pdp.2.lo`` as ``pdp[2].lo``."""
    out = ""
    for part in path.split("."):
        out += f"[{part}]" if part.isdigit() else f".{_member_name(part)}" if out else _member_name(part)
    return out


def _number(value: int) -> str:
    if value < 0:
        return f"({value})"
    return f"UINT64_C({value:#x})" if value > 0xFFFFFFFF else f"UINT32_C({value:#x})" if value > _LARGEST_ENUMERATOR else f"{value:#x}"


class _Header:
    def __init__(self, documentation: Documentation) -> None:
        self._documentation = documentation
        self._defined: dict[str, str] = {}
        self._register_names = self._name_registers()

    def _name_registers(self) -> dict[tuple[str, str], str]:
        """The macro of each register at each instance: by the kernel's name where that is unique."""
        wanted: dict[str, list[tuple[str, str]]] = {}
        plain: dict[tuple[str, str], str] = {}
        for block, register in self._documentation.registers():
            for place in register.addresses:
                key = (register.anchor, place.name)
                kernel = _words(f"{place.name}_{register.kernel_name}")
                wanted.setdefault(kernel, []).append(key)
                plain[key] = _words(f"{block.anchor}_{place.name}_{register.name}")
        return {key: kernel if len(keys) == 1 else plain[key] for kernel, keys in wanted.items() for key in keys}

    def _name(self, words: str, owner: str) -> str:
        """The macro name for ``words``. Raises: LayoutError when two declarations want the same."""
        name = f"{_PREFIX}_{words}".upper()
        if name in self._defined:
            raise LayoutError(f"{name} would be defined for {self._defined[name]} and for {owner}: rename one of the two")
        self._defined[name] = owner
        return name

    def _define(self, words: str, owner: str, value: str, comment: str = "") -> str:
        said = f"  /* {_comment(comment)} */" if comment else ""
        return f"#define {self._name(words, owner)} {value}{said}"

    # ---- records ----

    def _struct(self, anchor: str) -> str:
        return f"struct {_PREFIX}_{_words(anchor)}"

    def _member(self, member: MemberDoc) -> str:
        name = _member_name(member.name)
        if member.kind == "integer":
            declared = f"uint{member.size * 8}_t {name}"
        elif member.kind == "record":
            declared = f"{self._struct(member.record)} {name}"
        elif member.kind == "array":
            declared = f"{self._struct(member.record)} {name}[{member.elements}]"
        else:
            declared = f"uint8_t {name}[{member.size}]"
        return f"\t{declared};  /* {member.offset:#05x}: {_comment(member.doc)} */"

    def record(self, record: RecordDoc) -> Iterator[str]:
        struct = self._struct(record.anchor)
        if not record.size:
            return
        yield f"\n/* {_comment(record.doc)} */"
        yield f"{struct} {{"
        yield from (self._member(member) for member in record.members)
        yield "};"
        yield f'_Static_assert(sizeof({struct}) == {record.size}, "{struct} is {record.size} bytes long");'
        yield from (self._offset_assertion(struct, field) for field in record.fields)

    def _offset_assertion(self, struct: str, field: FieldDoc) -> str:
        path = _path(field.path)
        return f'_Static_assert(offsetof({struct}, {path}) == {field.offset:#x}, "{path} stands at {field.offset:#x}");'

    # ---- registers, bits, enums ----

    def block(self, block: BlockDoc) -> Iterator[str]:
        yield f"\n/* {_comment(block.doc) or block.name} */"
        if len(block.instances) > 1:
            for place in block.instances:
                yield self._define(f"{_words(block.anchor)}_base_{_words(place.name)}", f"{block.name} {place.name}", _number(place.base))
        for register in block.registers:
            yield from self._register(register)

    def _register(self, register: RegisterDoc) -> Iterator[str]:
        for index, place in enumerate(register.addresses):
            words = self._register_names[register.anchor, place.name]
            owner = f"{register.anchor} {place.name}".strip()
            comment = register.doc if index == 0 else ""
            if register.elements == 1:
                yield self._define(words, owner, _number(place.base), comment)
                continue
            said = f"  /* {_comment(comment)} */" if comment else ""
            yield f"#define {self._name(words, owner)}(n) ({_number(place.base)} + (n) * {register.stride:#x}){said}"
            yield self._define(f"{words}_count", f"{owner} elements", str(register.elements))

    def bits(self, bits: BitsDoc) -> Iterator[str]:
        yield f"\n/* {bits.name}: {_comment(bits.doc)} */"
        for field in bits.fields:
            words, owner = f"{_words(bits.anchor)}_{_words(field.name)}", f"{bits.anchor}.{field.name}"
            yield self._define(f"{words}_mask", owner, _number(field.mask), field.doc)
            yield self._define(f"{words}_shift", owner, str(field.low))

    def enum(self, enum: EnumDoc) -> Iterator[str]:
        members = [(member.name, member.value, member.doc) for member in enum.members if isinstance(member.value, int)]
        if len(members) < len(enum.members) or not members:
            return
        words = _words(enum.anchor)
        yield f"\n/* {enum.name}: {_comment(enum.doc)} */"
        if enum.flags or any(not 0 <= value <= _LARGEST_ENUMERATOR for _, value, _ in members):
            for name, value, doc in members:
                yield self._define(f"{words}_{_words(name)}", f"{enum.anchor}.{name}", _number(value), doc)
            return
        yield f"enum {_PREFIX}_{words} {{"
        for name, value, doc in members:
            said = f"  /* {_comment(doc)} */" if doc else ""
            yield f"\t{self._name(f'{words}_{_words(name)}', f'{enum.anchor}.{name}')} = {value:#x},{said}"
        yield "};"

    def lines(self) -> Iterator[str]:
        documentation = self._documentation
        guard = HEADER_NAME.upper().replace(".", "_")
        yield f"/* {documentation.title} {documentation.version}: records, registers and bits, rendered from the declarations of pvinfo."
        yield " * Needs C11. Register offsets are byte offsets in BAR0. */"
        yield f"#ifndef {guard}\n#define {guard}\n\n#include <stddef.h>\n#include <stdint.h>"
        for section in documentation.sections():
            yield f"\n\n/* ---- {section.module}: {_comment(section.title)} ---- */"
            if section.constants:
                yield ""
            for constant in section.constants:
                yield self._define(_words(constant.anchor), constant.anchor, _number(constant.value), constant.doc)
            if section.commands:
                yield "\n/* headers of commands, without operands */"
            for command in section.commands:
                yield self._define(_words(command.name), command.name, _number(command.match), command.doc)
            for enum in section.enums:
                yield from self.enum(enum)
            if section.records:
                yield "\n#pragma pack(push, 1)"
                for record in section.records:
                    yield from self.record(record)
                yield "\n#pragma pack(pop)"
            for bits in section.bits:
                yield from self.bits(bits)
            for block in section.blocks:
                yield from self.block(block)
        yield f"\n#endif /* {guard} */\n"


def render_c_header(documentation: Documentation) -> Iterator[tuple[str, str]]:
    """The header, as name and content. Raises: LayoutError when two declarations would define the same macro."""
    yield HEADER_NAME, "\n".join(_Header(documentation).lines())
