"""The documentation is collected from the declarations, and forgets none."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import pvinfo
from pvinfo.bits import Bits
from pvinfo.docgen import FORMATS, Documentation, collect, render
from pvinfo.docgen.attribute_docs import read_module_text
from pvinfo.docgen.model import BitFieldDoc, with_reserved
from pvinfo.docgen.source_links import sources_of, take_sources
from pvinfo.notify import Notification
from pvinfo.page import Capability
from pvinfo.register import RegisterBlock
from pvinfo.wire import Codec

OWN_MODULE = '''"""Doorbells: how a made-up guest rings.

Source: linux:drivers/gpu/drm/bell.c#ring
"""

from enum import IntEnum
from typing import Annotated, Final, NamedTuple

from pvinfo.bits import Bits, choice, flag, uint
from pvinfo.register import Access, Register, RegisterBlock
from pvinfo.wire import Codec, array, reserved, u8, u16

BELLS: Final = 3
"""How many there are. Source: prm:skl:vol2c"""


class Tone(IntEnum):
    """How it sounds."""

    LOW = 0
    """like a ``gong``"""
    HIGH = 1


class Bell(Bits):
    """One bell."""

    rung = flag(0, "somebody is at the door")
    tone = choice(4, 2, Tone, "how it sounds")


class Bells(RegisterBlock, bases={"FRONT": 0x900000, "BACK": 0x910000}, source="linux:drivers/gpu/drm/bell.h"):
    """The doors' bells."""

    bell = Register(0x10, Bell, "rings; see Tone", Access.MASKED, unit="rings", kernel_name="DOOR_BELL")


class Visitor(NamedTuple):
    """Who rang."""

    height: Annotated[int, u8("how tall", unit="cm")]
    rest: Annotated[bytes, reserved(1)]


class Visit(NamedTuple):
    """A visit."""

    door: Annotated[Bell, u16("which bell")]
    visitors: Annotated[tuple[Visitor, ...], array(2, "who came")]


VISIT: Final = Codec(Visit, doc="what the porter writes down", source="linux:drivers/gpu/drm/bell.h", size=6)
'''


@pytest.fixture(scope="module")
def documentation() -> Documentation:
    return collect()


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    from pvinfo import register

    (tmp_path / "doorbell.py").write_text(OWN_MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    blocks = list(register._BLOCKS)
    yield importlib.import_module("doorbell")
    register._BLOCKS[:] = blocks
    del sys.modules["doorbell"]


def every_module() -> Iterator[ModuleType]:
    """All of pvinfo but the generator and the command line, found without the generator's help."""
    for info in pkgutil.walk_packages(pvinfo.__path__, "pvinfo."):
        if ".docgen" not in info.name and not info.name.endswith("__main__"):
            yield importlib.import_module(info.name)


def public_classes() -> Iterator[type]:
    for module in every_module():
        for name, value in vars(module).items():
            if isinstance(value, type) and value.__module__ == module.__name__ and not name.startswith("_"):
                yield value


def rendered(documentation: Documentation, kind: str) -> str:
    return "\n".join(content for _, content in render(documentation, [kind])).replace("<wbr>", "")


@pytest.mark.parametrize("kind", ["html", "markdown"])
def test_every_declared_record_block_bit_layout_and_closed_set_is_documented(documentation: Documentation, kind: str) -> None:
    text = rendered(documentation, kind)
    codecs: list[Codec[Any]] = [value for module in every_module() for value in vars(module).values() if isinstance(value, Codec)]
    wanted = {codec.name for codec in codecs}
    members: set[str] = set()
    for cls in public_classes():
        if issubclass(cls, RegisterBlock) and cls is not RegisterBlock:
            wanted.add(cls.__name__)
            members |= {register.name for register in cls.registers}
        elif issubclass(cls, Bits) and cls.bit_fields:
            wanted.add(cls.__name__)
            members |= {field.name for field in cls.bit_fields}
        elif issubclass(cls, Enum):
            wanted.add(cls.__name__)
            members |= set(cls.__members__)
    mark = "<code>{}" if kind == "html" else "`{}"
    assert len(wanted) > 150
    assert {name for name in wanted | members if mark.format(name) not in text} == set()


def test_every_leaf_of_every_record_has_its_row_and_every_register_its_addresses(documentation: Documentation) -> None:
    page = next(record for section in documentation.sections() for record in section.records if record.name == "VgtIf")
    assert [(field.path, field.offset) for field in page.fields if field.path.startswith("avail_rs")] == [
        ("avail_rs.mappable_gmadr.base", 0x40),
        ("avail_rs.mappable_gmadr.size", 0x44),
        ("avail_rs.nonmappable_gmadr.base", 0x48),
        ("avail_rs.nonmappable_gmadr.size", 0x4C),
        ("avail_rs.fence_num", 0x50),
        ("avail_rs.rsv2", 0x54),
    ]
    ring_mode = next(register for _, register in documentation.registers() if register.anchor == "EngineRegisters.mode")
    assert [(place.name, place.base) for place in ring_mode.addresses] == [("RCS0", 0x229C), ("BCS0", 0x2229C), ("VCS0", 0x1229C), ("VECS0", 0x1A29C)]
    assert ring_mode.access.startswith("masked write") and ring_mode.masked and ring_mode.emulated


def test_every_notification_and_capability_comes_with_its_meaning(documentation: Documentation) -> None:
    enums = {enum.name: enum for section in documentation.sections() for enum in section.enums}
    assert [member.name for member in enums["Notification"].members] == [notification.name for notification in Notification]
    assert [member.value for member in enums["Capability"].members] == [4, 8, 16] == [int(capability) for capability in Capability]
    assert all(member.doc for name in ("Notification", "Capability") for member in enums[name].members)


def test_tracked_attributes_of_a_register_name_the_platforms_they_hold_on(documentation: Documentation) -> None:
    uses = {register.anchor: register.tracked for _, register in documentation.registers()}
    (mode,) = uses["EngineRegisters.mode"]
    assert (mode.instances, mode.platforms, mode.tracked, mode.write_handled) == ((), (), True, True)
    assert "mode mask" in mode.attributes
    by_platform = uses["EngineRegisters.psmi_ctl"]
    assert {(use.tracked, use.platforms) for use in by_platform} == {(False, ("bdw", "skl", "kbl", "cfl")), (True, ("bxt",))}


def test_a_module_that_no_chapter_names_gets_a_chapter_of_its_own(own_module: ModuleType) -> None:
    documentation = collect([own_module])
    (chapter,) = documentation.chapters
    (section,) = chapter.sections
    assert (chapter.slug, chapter.title, chapter.summary) == ("doorbell", "Doorbells", "how a made-up guest rings")
    assert [source.text for source in section.sources] == ["linux:drivers/gpu/drm/bell.c#ring"]
    assert [(constant.name, constant.value, constant.doc, constant.sources[0].text) for constant in section.constants] == [
        ("BELLS", 3, "How many there are.", "prm:skl:vol2c")
    ]
    assert [(record.name, record.size) for record in section.records] == [("Visitor", 2), ("Visit", 6)]
    assert [(member.value, member.doc) for member in section.enums[0].members] == [(0, "like a ``gong``"), (1, "")]


def test_a_masked_register_shows_its_write_enables_and_reserved_bits(own_module: ModuleType) -> None:
    ((_, register),) = collect([own_module]).registers()
    assert [(field.name, field.high, field.low) for field in register.layout()] == [
        ("rung", 0, 0),
        ("", 3, 1),
        ("tone", 5, 4),
        ("", 15, 6),
        ("write enable", 31, 16),
    ]
    assert register.bits_home


def test_bits_are_as_wide_as_the_widest_place_they_stand_in(own_module: ModuleType) -> None:
    """The record's field has 16 bits, the register 32."""
    (section,) = collect([own_module]).chapters[0].sections
    assert [(bits.name, bits.width) for bits in section.bits] == [("Bell", 32)]


@pytest.mark.parametrize("kind", list(FORMATS))
def test_declarations_from_elsewhere_render_in_every_format(own_module: ModuleType, kind: str) -> None:
    text = rendered(collect([own_module]), kind)
    for shown in ("somebody is at the door", "0x900010", "0x910010", "how tall"):
        assert shown in text


def test_reserved_spans_fill_what_no_field_holds() -> None:
    fields = (BitFieldDoc("a", 1, 2, "a", "", (), None), BitFieldDoc("b", 3, 1, "b", "", (), None), BitFieldDoc("c", 30, 2, "c", "", (), None))
    assert [(field.name, field.low, field.width) for field in with_reserved(fields, 32)] == [
        ("", 0, 1),
        ("a", 1, 2),
        ("b", 3, 1),
        ("", 4, 26),
        ("c", 30, 2),
    ]


@pytest.mark.parametrize(
    ("declared", "url"),
    [
        (
            "linux:drivers/gpu/drm/i915/i915_reg.h",
            "https://git.kernel.org/pub/scm/linux/kernel/git/stable/linux.git/tree/drivers/gpu/drm/i915/i915_reg.h?h=v6.12",
        ),
        (
            "linux@v6.1:include/uapi/linux/vfio.h#VFIO_IRQ",
            "https://git.kernel.org/pub/scm/linux/kernel/git/stable/linux.git/tree/include/uapi/linux/vfio.h?h=v6.1",
        ),
        ("prm:skl:vol2c", ""),
    ],
)
def test_a_kernel_source_becomes_a_link_and_a_manual_stays_text(declared: str, url: str) -> None:
    ((text, link),) = sources_of(declared)
    assert (text, link) == (declared, url)


def test_sources_in_a_docstring_are_taken_out_of_its_text() -> None:
    text, sources = take_sources("Bytes of BAR0. Source: linux:a/b.h, prm:skl:vol2c")
    assert (text, [source.text for source in sources_of(*sources)]) == ("Bytes of BAR0.", ["linux:a/b.h", "prm:skl:vol2c"])


def test_strings_behind_assignments_are_found_by_qualified_name(own_module: ModuleType) -> None:
    text = read_module_text(own_module)
    assert text.docs == {"BELLS": "How many there are. Source: prm:skl:vol2c", "Tone.LOW": "like a ``gong``"}
    assert text.assigned == ("BELLS", "VISIT")
