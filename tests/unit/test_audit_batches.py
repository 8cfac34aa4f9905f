"""Batches: those with privilege run from audited copies, the others where they are."""

from __future__ import annotations

import pytest
from support.audit_rig import ROOTS, SHADOW_ROOTS, AuditRig, Buffer

from host_model.device.interrupts import Event
from host_model.mediator.audit.scan import BATCH_LIMIT
from host_model.mediator.refusal import Consequence
from pvinfo.platform import Engine
from pvinfo.units import PAGE_SIZE

END = 0x05000000
PPGTT, RESOURCE_STREAMER, PREDICATE, ADD_OFFSET, SECOND = 1 << 8, 1 << 10, 1 << 15, 1 << 16, 1 << 22


def start(address: int, flags: int = 0) -> list[int]:
    return [0x18800001 | flags, address & 0xFFFFFFFF, address >> 32]


@pytest.fixture
def rig() -> AuditRig:
    return AuditRig("skl")


def at(rig: AuditRig, page: int, offset: int = 0) -> int:
    """A graphics address of the vGPU's."""
    return rig.low.start + PAGE_SIZE * page + offset


def content(buffer: Buffer, dwords: int) -> list[int]:
    assert not any(buffer.dwords[dwords:]), "behind its end, a copy is empty"
    return list(buffer.dwords[:dwords])


# ---- without privilege ----


@pytest.mark.parametrize("flags", [PPGTT, PPGTT | RESOURCE_STREAMER, PPGTT | PREDICATE, PPGTT | ADD_OFFSET])
def test_a_batch_of_the_process_is_not_looked_at(rig: AuditRig, flags: int) -> None:
    words = [*start(0xFFFF_8000_0000_0000, flags), *start(0xABCD000, flags)]
    audited, patched = rig.ring(Engine.RCS0, words)
    assert (patched, audited.batches) == (words, ())


# ---- with privilege ----


@pytest.mark.parametrize("engine", list(Engine))
def test_a_privileged_batch_is_copied_audited_and_started_from_the_copy(rig: AuditRig, engine: Engine) -> None:
    address = rig.place(at(rig, 16, 0x40), [0, 0x10400002, at(rig, 1), 0, 7, 0x01000000, 0x04000001, END, 0x1C000002])
    audited, patched = rig.ring(engine, [0, *start(address), 0])
    (copy,) = audited.batches
    assert patched == [0, 0x18800001, copy.address, 0, 0] and copy is rig.copy_of(patched, 1)
    assert content(copy, 8) == [0, 0x10400002, at(rig, 1), 0, 7, 0, 0x04000001, END], "up to its end, its interrupt taken out"
    assert {event.name for event in audited.events} == {f"{engine.name.removesuffix('0') if engine is not Engine.VCS0 else 'VCS0'}_USER"}
    assert rig.store.owners == [rig.vgpu.number]
    rig.give_back(audited)
    assert not rig.store.live


def test_a_copy_is_what_the_guest_had_when_it_was_audited(rig: AuditRig) -> None:
    address = rig.place(at(rig, 16), [0x10400002, at(rig, 1), 0, 7, END])
    audited, patched = rig.ring(Engine.BCS0, start(address))
    rig.write(address, [0x11800002, 0, 0, 0, END])
    assert content(rig.copy_of(patched), 5) == [0x10400002, at(rig, 1), 0, 7, END]
    rig.give_back(audited)


def test_patches_are_made_in_the_copy_and_never_in_the_guests_batch(rig: AuditRig) -> None:
    rig.set_status_page(Engine.RCS0, at(rig, 3))
    other = rig.spaces.add(4, (0x9000,), (0x8000,))
    batch = [0x01000000, 0x7A000004, 0x01204000, 0x40, 0, 1, 0, 0x11000003, 0x2274, 0, 0x2270, 0x9000, 0x0A000001, 0x40, 0x10000, END]
    address = rig.place(at(rig, 16), batch)
    audited, patched = rig.ring(Engine.RCS0, start(address))
    assert content(rig.copy_of(patched), 16) == [
        0, 0x7A000004, 0x01004000, at(rig, 3, 0x40), 0, 1, 0, 0x11000003, 0x2274, 0, 0x2270, 0x8000, 0, 0, 0, END
    ]  # fmt: skip
    assert [rig.read_dword(address + 4 * dword) for dword in range(16)] == batch
    assert audited.tables == (other,) and audited.events == {Event.RCS_USER}
    rig.give_back(audited)


def test_a_batch_goes_on_over_pages_that_lie_anywhere(rig: AuditRig) -> None:
    address = at(rig, 16, 0xFF8)
    rig.map(at(rig, 17))
    rig.map(at(rig, 16))
    rig.write(address, [0, 0x10400002])
    rig.write(at(rig, 17), [at(rig, 1), 0, 7, *[0] * 1000, END])
    audited, patched = rig.ring(Engine.RCS0, start(address))
    assert content(rig.copy_of(patched), 1006) == [0, 0x10400002, at(rig, 1), 0, 7, *[0] * 1000, END]
    rig.give_back(audited)


def test_a_batch_that_is_started_often_is_copied_once(rig: AuditRig) -> None:
    address = rig.place(at(rig, 16), [0, END])
    audited, patched = rig.ring(Engine.RCS0, start(address) * 5 + start(address | 1))
    assert len(audited.batches) == 1 and patched == start(audited.batches[0].address) * 6, "bits 1:0 are no part of the address"
    rig.give_back(audited)


@pytest.mark.parametrize("broken", [0x11800002, 0x0E000002, 0x50000004, 0xE0000000])
def test_what_a_ring_may_not_hold_a_privileged_batch_may_not_either(rig: AuditRig, broken: int) -> None:
    address = rig.place(at(rig, 16), [0, 0x02800000, broken, 0, 0, 0, END])
    refused = rig.refusal(Engine.RCS0, [*start(rig.place(at(rig, 20), [0, END])), *start(address)])
    assert refused.rule in ("audit-command-refused", "audit-command-unknown") and refused.value == broken
    assert refused.where.startswith(f"rcs0 batch {address + 8:#x} ") and refused.consequence is Consequence.FAILSAFE


def test_addresses_and_registers_of_a_batch_go_by_the_rules_of_rings(rig: AuditRig) -> None:
    for words, rule in (([0x10400002, 0, 0, 0], "audit-address"), ([0x11000001, 0x2030, 0], "audit-register"), ([0x14800002, 0x7014, 0, 0], "audit-register-use")):
        assert rig.refusal(Engine.RCS0, start(rig.place(at(rig, 16), [*words, END]))).rule == rule


# ---- where batches are ----


@pytest.mark.parametrize("address", [0, 0x1000, 0xFFFFFFFC, 1 << 32, 0xFFFF_FFFF_FFFC, 0x8010000])
def test_a_privileged_batch_stands_where_the_vgpu_has_memory(rig: AuditRig, address: int) -> None:
    refused = rig.refusal(Engine.RCS0, start(address))
    assert (refused.rule, refused.consequence) == ("audit-batch-address", Consequence.FAILSAFE)
    assert refused.where.startswith("rcs0 ring 0x1000 MI_BATCH_BUFFER_START") and f"{rig.high.start:#x}" in refused.nearest
    assert refused.value == address & 0xFFFFFFFF


def test_a_batch_that_runs_off_its_memory_is_refused(rig: AuditRig) -> None:
    for words in ([0] * 1024, [*[0] * 1023, 0x18800001], [*[0] * 1021, 0x7A000004, 0, 0]):
        address = rig.place(at(rig, 16), words)
        refused = rig.refusal(Engine.RCS0, start(address))
        assert refused.rule == "audit-batch-address" and f"{at(rig, 17):#x}" in refused.text
    rig.place(rig.high.stop - PAGE_SIZE, [0] * 1024)
    assert rig.refusal(Engine.RCS0, start(rig.high.stop - PAGE_SIZE)).rule == "audit-batch-address"


def test_a_batch_over_an_entry_that_leads_nowhere_is_refused(rig: AuditRig) -> None:
    rig.vgpu.mmio.write(0x80_0000 + 8 * (at(rig, 16) >> 12), 8, 0x7000_0000_0000 | 1)
    assert rig.refusal(Engine.RCS0, start(at(rig, 16))).rule == "audit-batch-address"


def test_all_batches_of_a_ring_together_have_a_limit(rig: AuditRig) -> None:
    """The kernel copies for as long as there are commands."""
    pages = BATCH_LIMIT // PAGE_SIZE
    address = rig.place(at(rig, 100), [0] * (1024 * pages - 1) + [END])
    audited, patched = rig.ring(Engine.RCS0, start(address))
    assert len(rig.copy_of(patched).dwords) * 4 == BATCH_LIMIT
    rig.give_back(audited)
    small = rig.place(at(rig, 16), [END])
    refused = rig.refusal(Engine.RCS0, start(address) + start(small))
    assert (refused.rule, refused.consequence, refused.nearest) == ("audit-batch-size", Consequence.FLUSH, "at most 2 MiB")
    assert refused.where == "rcs0 ring 0x100c MI_BATCH_BUFFER_START"


def test_a_host_without_room_refuses_and_keeps_nothing(rig: AuditRig) -> None:
    first, second = rig.place(at(rig, 16), [0, END]), rig.place(at(rig, 18), [0, END])
    rig.store.limit = 1
    refused = rig.refusal(Engine.RCS0, start(first) + start(second))
    assert (refused.rule, refused.consequence) == ("audit-host-memory", Consequence.FLUSH)
    assert "graphics memory" in refused.text and not rig.store.live


# ---- from batch to batch ----


def test_a_chained_batch_is_copied_too_and_the_copy_leads_to_the_copy(rig: AuditRig) -> None:
    """The kernel patches the wrong buffer there."""
    third = rig.place(at(rig, 20), [0x01000000, END])
    second = rig.place(at(rig, 18), [0x02800000, *start(third)])
    first = rig.place(at(rig, 16), [0, 0, *start(second), 0x11800002])
    audited, patched = rig.ring(Engine.RCS0, start(first))
    one = rig.copy_of(patched)
    two = rig.copy_of(one.dwords, 2)
    three = rig.copy_of(two.dwords, 1)
    assert content(one, 5) == [0, 0, *start(two.address)], "what stands behind the chain never runs"
    assert content(two, 4) == [0x02800000, *start(three.address)]
    assert content(three, 2) == [0, END]
    assert set(audited.batches) == {one, two, three} and audited.events == {Event.RCS_USER}
    rig.give_back(audited)


def test_batches_that_go_round_are_copied_once_each(rig: AuditRig) -> None:
    """The kernel goes round with them."""
    one, two = at(rig, 16), at(rig, 18)
    rig.place(one, [0x02800000, *start(two)])
    rig.place(two, [0, *start(one)])
    audited, patched = rig.ring(Engine.RCS0, start(one))
    first = rig.copy_of(patched)
    second = rig.copy_of(first.dwords, 1)
    assert content(second, 4) == [0, *start(first.address)] and len(audited.batches) == 2
    rig.give_back(audited)


def test_a_long_chain_needs_no_stack(rig: AuditRig) -> None:
    count = BATCH_LIMIT // PAGE_SIZE
    for page in range(count):
        rig.place(at(rig, 100 + page), start(at(rig, 101 + page)) if page < count - 1 else [END])
    audited, _ = rig.ring(Engine.RCS0, start(at(rig, 100)))
    assert len(audited.batches) == count
    rig.give_back(audited)
    rig.place(at(rig, 100 + count - 1), start(at(rig, 99)))
    rig.place(at(rig, 99), [END])
    assert rig.refusal(Engine.RCS0, start(at(rig, 100))).rule == "audit-batch-size"


def test_a_second_level_batch_comes_back_and_so_does_the_audit(rig: AuditRig) -> None:
    inner = rig.place(at(rig, 20), [0x01000000, END])
    outer = rig.place(at(rig, 16), [*start(inner, SECOND), 0x01000000, *start(inner, SECOND), 0, END])
    audited, patched = rig.ring(Engine.RCS0, start(outer))
    copy = rig.copy_of(patched)
    second = rig.copy_of(copy.dwords)
    assert content(copy, 9) == [*start(second.address, SECOND), 0, *start(second.address, SECOND), 0, END]
    assert content(second, 2) == [0, END] and len(audited.batches) == 2
    rig.give_back(audited)
    bad = rig.place(at(rig, 24), [*start(inner, SECOND), 0x11800002, 0, 0, 0, END])
    assert rig.refusal(Engine.RCS0, start(bad)).value == 0x11800002


def test_levels_are_not_mixed(rig: AuditRig) -> None:
    inner = rig.place(at(rig, 20), [0, END])
    for flags in (SECOND, SECOND | PPGTT):
        refused = rig.refusal(Engine.RCS0, start(inner, flags))
        assert (refused.rule, refused.consequence) == ("audit-batch-level", Consequence.FAILSAFE)
        assert refused.nearest == f"{0x18800001 | flags & ~SECOND:#010x}"
    for flags in (0, SECOND, PPGTT, SECOND | PPGTT):
        deep = rig.place(at(rig, 22), [*start(inner, flags), END])
        outer = rig.place(at(rig, 16), [*start(deep, SECOND), END])
        refused = rig.refusal(Engine.RCS0, start(outer))
        assert refused.rule == "audit-batch-level" and refused.where.startswith(f"rcs0 second-level batch {deep:#x}")


def test_from_a_privileged_batch_one_may_go_on_without_privilege(rig: AuditRig) -> None:
    chained = rig.place(at(rig, 16), [0, *start(0xABC000, PPGTT), 0x11800002])
    audited, patched = rig.ring(Engine.RCS0, start(chained))
    assert content(rig.copy_of(patched), 4) == [0, *start(0xABC000, PPGTT)], "for good: what stands behind it never runs"
    rig.give_back(audited)
    called = rig.place(at(rig, 18), [0, *start(0xABC000, PPGTT | SECOND), 0x11800002, 0, 0, 0, END])
    assert rig.refusal(Engine.RCS0, start(called)).value == 0x11800002, "and from there one comes back"


@pytest.mark.parametrize("flags", [0, PPGTT])
def test_a_start_that_depends_on_a_predicate_may_not_happen(rig: AuditRig, flags: int) -> None:
    """The kernel takes the batch to end there; the engine goes on."""
    inner = rig.place(at(rig, 20), [0, END])
    batch = rig.place(at(rig, 16), [*start(inner, flags | PREDICATE), 0x01000000, END])
    audited, patched = rig.ring(Engine.RCS0, start(batch))
    copy = rig.copy_of(patched)
    assert list(copy.dwords[3:5]) == [0, END] and audited.events == {Event.RCS_USER}
    rig.give_back(audited)
    batch = rig.place(at(rig, 16), [*start(inner, flags | PREDICATE), 0x11800002, 0, 0, 0, END])
    assert rig.refusal(Engine.RCS0, start(batch)).value == 0x11800002


def test_a_privileged_start_with_an_offset_added_is_refused(rig: AuditRig) -> None:
    """The engine would add what a register holds by then."""
    inner = rig.place(at(rig, 16), [0, END])
    refused = rig.refusal(Engine.RCS0, start(inner, ADD_OFFSET))
    assert (refused.rule, refused.value, refused.nearest) == ("audit-batch-offset", 0x18810001, "0x18800001")


def test_the_same_address_on_two_levels_is_two_batches(rig: AuditRig) -> None:
    both = rig.place(at(rig, 20), [0x01000000, END])
    outer = rig.place(at(rig, 16), [*start(both, SECOND), *start(both)])
    audited, _ = rig.ring(Engine.RCS0, start(outer))
    assert len(audited.batches) == 3
    rig.give_back(audited)
    loops = rig.place(at(rig, 24), [0, *start(at(rig, 24))])
    outer = rig.place(at(rig, 16), [*start(loops, SECOND), *start(loops)])
    assert rig.refusal(Engine.RCS0, start(outer)).rule == "audit-batch-level", "what may go round as a batch may not as one of the second level"


def test_roots_held_for_a_batch_are_given_back_when_the_next_one_is_refused(rig: AuditRig) -> None:
    good = rig.place(at(rig, 16), [0x11000003, 0x2270, ROOTS[0] & 0xFFFFFFFF, 0x2274, ROOTS[0] >> 32, END])
    bad = rig.place(at(rig, 18), [0xE0000000, END])
    rig.refusal(Engine.RCS0, start(good) + start(bad))
    assert not rig.spaces.kept and not rig.store.live
    audited, patched = rig.ring(Engine.RCS0, start(good))
    assert list(rig.copy_of(patched).dwords[:5]) == [0x11000003, 0x2270, SHADOW_ROOTS[0] & 0xFFFFFFFF, 0x2274, SHADOW_ROOTS[0] >> 32]
    rig.give_back(audited)
