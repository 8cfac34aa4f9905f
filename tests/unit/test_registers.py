"""The declared registers, held against what a real driver touches and what the kernel's mediator knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pvinfo.registers
from pvinfo.page import PVINFO_BASE, PVINFO_SIZE, VGT_IF
from pvinfo.platform import ENGINES, PLATFORMS, Engine
from pvinfo.register import Access, Register, RegisterArray, RegisterBlock, declared_blocks
from pvinfo.registers import ENGINE_BASES, INTERRUPT_GROUPS, INTERRUPT_SOURCES, EngineRegisters, ResetDomains, TlbInvalidation
from pvinfo.registers.tracked import MMIO_SIZE, TrackedAttribute, TrackedRun, tracked_offsets

Specification = Register[int] | RegisterArray[int]

PROBE: Path = Path(__file__).parent / "data" / "probe_registers.tsv"

NOT_DECLARED_AS_REGISTERS = {
    range(PVINFO_BASE, PVINFO_BASE + PVINFO_SIZE): "the PVINFO page is one record, VGT_IF; its magic and version are no dwords",
}


def blocks() -> tuple[type[RegisterBlock], ...]:
    """The product's blocks; other tests declare some of their own."""
    return tuple(block for block in declared_blocks() if block.__module__.startswith("pvinfo."))


def specifications() -> Iterator[Specification]:
    for block in blocks():
        yield from block.registers


def owners() -> dict[int, Specification]:
    return {offset: register for register in specifications() for offset in register.offsets()}


def tracked() -> Iterator[tuple[str, int, TrackedRun]]:
    for platform in PLATFORMS:
        for offset, run in tracked_offsets(platform):
            if not PVINFO_BASE <= offset < PVINFO_BASE + PVINFO_SIZE:
                yield platform, offset, run


def probed() -> Iterator[int]:
    for line in PROBE.read_text("ascii").splitlines():
        if line.startswith("0x"):
            offset, size, *_ = line.split("\t")
            yield from range(int(offset, 16), int(offset, 16) + int(size, 16), 4)


def test_every_register_that_a_real_probe_touches_is_declared() -> None:
    touched = set(probed())
    declared = owners()
    missing = [o for o in touched if o not in declared and not any(o in r for r in NOT_DECLARED_AS_REGISTERS)]
    assert len(touched) == 624
    assert [hex(offset) for offset in sorted(missing)] == []


def test_what_the_probe_reads_of_the_page_is_covered_by_its_record() -> None:
    read = [o - PVINFO_BASE for o in probed() if PVINFO_BASE <= o < PVINFO_BASE + PVINFO_SIZE]
    fields = {VGT_IF.field_at(offset) for offset in read}
    assert {field.path for field in fields if field is not None} == {
        "magic", "version_major", "vgt_caps", "display_ready", "g2v_notify", "pdp.0.lo", "pdp.0.hi",
        "avail_rs.mappable_gmadr.base", "avail_rs.mappable_gmadr.size",
        "avail_rs.nonmappable_gmadr.base", "avail_rs.nonmappable_gmadr.size", "avail_rs.fence_num",
    }  # fmt: skip


def test_no_dword_is_declared_twice() -> None:
    places: dict[int, list[str]] = {}
    for register in specifications():
        for offset in register.offsets():
            places.setdefault(offset, []).append(register.title)
    assert {hex(offset): titles for offset, titles in places.items() if len(titles) > 1} == {}


def test_every_register_lies_where_bar0_has_registers() -> None:
    assert [register.title for register in specifications() if not all(o < MMIO_SIZE for o in register.offsets())] == []


def test_every_masked_register_of_the_kernels_table_is_declared_masked() -> None:
    declared = owners()
    wrong = {
        (hex(offset), declared[offset].title if offset in declared else "not declared")
        for _, offset, run in tracked()
        if TrackedAttribute.MODE_MASK in run.attributes
        and (offset not in declared or declared[offset].access is not Access.MASKED)
    }
    assert wrong == set()


def test_every_register_that_a_guest_cannot_write_at_all_is_declared_read_only() -> None:
    declared = owners()
    wrong = {
        (hex(offset), declared[offset].title if offset in declared else "not declared")
        for _, offset, run in tracked()
        if run.read_only == 0xFFFFFFFF and (offset not in declared or declared[offset].access is not Access.READ_ONLY)
    }
    assert wrong == set()


def test_every_register_that_the_kernels_mediator_serves_by_a_handler_is_declared() -> None:
    handled = {offset for _, offset, run in tracked() if run.read_handled or run.write_handled}
    declared = owners()
    assert [hex(offset) for offset in sorted(handled) if offset not in declared] == []


def test_engine_blocks_stand_at_the_bases_of_the_platforms_engines() -> None:
    assert {engine.name: spec.base for engine, spec in ENGINES.items()} == ENGINE_BASES
    assert EngineRegisters.elsp.at("VECS0") == 0x1A230


def test_reset_bits_and_translation_registers_agree_with_the_engines() -> None:
    domain = {Engine.RCS0: ResetDomains.render, Engine.BCS0: ResetDomains.blt, Engine.VCS0: ResetDomains.media, Engine.VECS0: ResetDomains.vecs}
    tlb = {Engine.RCS0: TlbInvalidation.rcs0, Engine.BCS0: TlbInvalidation.bcs0, Engine.VCS0: TlbInvalidation.vcs0, Engine.VECS0: TlbInvalidation.vecs0}
    for engine, spec in ENGINES.items():
        assert domain[engine].low == spec.reset_bit
        assert tlb[engine].at() == spec.tlb_invalidate


def test_every_interrupt_group_says_what_its_bits_mean() -> None:
    assert INTERRUPT_SOURCES.keys() == INTERRUPT_GROUPS.keys()


def test_names_of_the_package_are_unique_and_all_there() -> None:
    names = Counter(pvinfo.registers.__all__)
    assert [name for name, count in names.items() if count > 1] == []
    assert [name for name in names if not hasattr(pvinfo.registers, name)] == []


def test_every_block_is_exported() -> None:
    ours = [block.__name__ for block in blocks() if block.__module__.startswith("pvinfo.registers")]
    assert [name for name in ours if name not in pvinfo.registers.__all__] == []
    assert len(ours) > 50


def test_descriptions_are_phrases_with_a_source() -> None:
    stopped = [register.title for register in specifications() if register.doc.endswith(".")]
    unsourced = [r.title for r in specifications() if not r.source.startswith(("linux:", "prm:"))]
    assert (stopped, unsourced) == ([], [])


def test_every_class_of_values_says_what_it_is() -> None:
    types = {register.value_type for register in specifications()}
    choices = {field.choices for kind in types for field in getattr(kind, "bit_fields", ()) if field.choices}
    assert [kind.__name__ for kind in types | choices if not kind.__doc__] == []
    assert [kind.__name__ for kind in types if kind is not int and kind.__name__ not in pvinfo.registers.__all__ and kind.__module__ != "pvinfo.page"] == []
    assert [kind.__name__ for kind in choices if kind.__name__ not in pvinfo.registers.__all__] == []
