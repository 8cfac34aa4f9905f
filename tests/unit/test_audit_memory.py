"""Commands that reach the global table: what they reach must be the vGPU's own."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
from support.audit_rig import AuditRig

from host_model.mediator.audit.scan import OPERAND_LIMIT
from host_model.mediator.refusal import Consequence
from pvinfo.platform import Engine
from pvinfo.units import MIB

STATUS = 0x3000
INDEXED_GLOBAL_FLUSH = 0x13204002
INDEXED_GLOBAL_PIPE = 0x01204000


@cache
def the_rig() -> AuditRig:
    rig = AuditRig("skl")
    for engine in Engine:
        rig.set_status_page(engine, rig.low.start + STATUS)
    return rig


def pair(address: int) -> list[int]:
    return [address & 0xFFFFFFFF, address >> 32]


def store(address: int) -> list[int]:
    return [0x10400002, *pair(address), 1]


def store_quadword(address: int) -> list[int]:
    return [0x10600003, *pair(address), 1, 2]


def store_for_each_core(address: int) -> list[int]:
    return [0x10400002, *pair(address | 1), 1]


def store_quadwords_for_each_core(address: int) -> list[int]:
    return [0x10600003, *pair(address | 1), 1, 2]


def add(size: int) -> Callable[[int], list[int]]:
    return lambda address: [0x17C00701 | size << 19, *pair(address)]


def add_inline(address: int) -> list[int]:
    return [0x17C40709 | 1 << 19, *pair(address), *[0] * 8]


def flush(address: int) -> list[int]:
    return [0x13004002, *pair(address | 4), 5]


def flush_quadword(address: int) -> list[int]:
    return [0x13004003, *pair(address | 4), 5, 6]


def flush_timestamp(address: int) -> list[int]:
    return [0x1300C002, *pair(address | 4), 0]


def pipe_control(operation: int) -> Callable[[int], list[int]]:
    return lambda address: [0x7A000004, 1 << 24 | operation << 14, *pair(address), 5, 0]


def store_register(address: int) -> list[int]:
    return [0x12400002, 0xB118, *pair(address)]


def load_register(address: int) -> list[int]:
    return [0x14C00002, 0xB118, *pair(address)]


REACH: list[tuple[str, Callable[[int], list[int]], int, int, int]] = [
    # command, bytes, granularity of its addresses, dword that names the address
    ("a store", store, 4, 4, 1), ("a store of a quadword", store_quadword, 8, 4, 1),
    ("a store for each core", store_for_each_core, 8, 4, 1), ("a store of a quadword for each core", store_quadwords_for_each_core, 16, 4, 1),
    ("an atomic dword", add(0), 4, 4, 1), ("an atomic quadword", add(1), 8, 4, 1), ("an atomic of 16 bytes", add(2), 16, 4, 1),
    ("an atomic of a size not defined", add(3), 32, 4, 1), ("an atomic with its operands", add_inline, 8, 4, 1),
    ("a flush", flush, 8, 8, 1), ("a flush of a quadword", flush_quadword, 8, 8, 1), ("a flush of the time", flush_timestamp, 8, 8, 1),
    ("a pipe control's value", pipe_control(1), 8, 8, 2), ("a pipe control's depth count", pipe_control(2), 8, 8, 2),
    ("a pipe control's time", pipe_control(3), 8, 8, 2), ("a register stored", store_register, 4, 4, 2), ("a register loaded", load_register, 4, 4, 2),
]  # fmt: skip
NAMES = [name for name, *_ in REACH]


@pytest.mark.parametrize(("name", "command", "size", "step", "operand"), REACH, ids=NAMES)
def test_a_reach_ends_where_the_slices_end(name: str, command: Callable[[int], list[int]], size: int, step: int, operand: int) -> None:
    rig = the_rig()
    for part in (rig.low, rig.high):
        last = (part.stop - size) & -step
        for address in (part.start, part.start + step, part.start + len(part) // 2, last):
            assert rig.ring(Engine.RCS0, command(address))[1] == command(address), f"{name} at {address:#x}"
        for address in (part.start - step, last + step, part.stop, part.stop + MIB, address + (1 << 47)):
            refused = rig.refusal(Engine.RCS0, command(address))
            assert (refused.rule, refused.consequence) == ("audit-address", Consequence.FAILSAFE), f"{name} at {address:#x}"
            assert refused.value == command(address)[operand]
            assert f"{size} bytes at {address:#x}" in refused.text
            assert f"{rig.low.start:#x}" in refused.nearest and f"{rig.high.stop:#x}" in refused.nearest


@pytest.mark.parametrize(("name", "command", "size", "step", "operand"), REACH, ids=NAMES)
def test_an_address_that_was_good_makes_no_other_one_good(name: str, command: Callable[[int], list[int]], size: int, step: int, operand: int) -> None:
    """Known pages are not looked up again, but by nothing less than their whole address."""
    rig = the_rig()
    good = flush(rig.low.stop - 8) + store(rig.low.stop - 8) + flush(rig.high.stop - 8)
    for part in (rig.low, rig.high):
        for address in (part.stop - size + step if size > step else part.stop, part.stop - 8 + (1 << 32), part.stop - 8 + (1 << 47)):
            assert rig.refusal(Engine.RCS0, good + command(address)).rule == "audit-address", f"{name} at {address:#x}"


@pytest.mark.parametrize(("name", "command", "size", "step", "operand"), REACH, ids=NAMES)
def test_bits_above_the_48th_are_no_part_of_an_address(name: str, command: Callable[[int], list[int]], size: int, step: int, operand: int) -> None:
    rig = the_rig()
    words = command(rig.high.start)
    words[operand + 1] |= 0xFFFF0000
    assert rig.ring(Engine.RCS0, words)[1] == words


def test_slices_that_lie_side_by_side_are_still_two() -> None:
    """A reach may not straddle them, wherever they lie: the kernel's rule, kept."""
    rig = AuditRig("skl", low_at=192 * MIB, high_at=256 * MIB)
    assert rig.low.stop == rig.high.start
    rig.set_status_page(Engine.RCS0, rig.low.stop - 0x1000)
    assert rig.refusal(Engine.RCS0, store_quadword(rig.low.stop - 4)).rule == "audit-address"
    assert rig.refusal(Engine.RCS0, store(rig.low.stop - 4) + store_for_each_core(rig.low.stop - 4)).rule == "audit-address"
    assert rig.refusal(Engine.RCS0, add(2)(rig.low.stop - 8)).rule == "audit-address"
    for command in (store, flush):
        assert rig.ring(Engine.RCS0, command(rig.low.stop - 8) + command(rig.low.stop))[1]


def test_nothing_reaches_further_than_36_mib_and_a_reach_of_nothing_needs_its_address() -> None:
    rig = the_rig()
    audit = rig.audit._scan(Engine.RCS0, None, None, inhibit=False)  # type: ignore[arg-type]
    words = memoryview(bytearray(16)).cast("I")
    audit.audit_address(words, 0, 0, rig.low.start, OPERAND_LIMIT)
    audit.audit_address(words, 0, 0, rig.low.stop - 1, 0)
    for address, size in ((rig.low.start, OPERAND_LIMIT + 1), (rig.low.stop, 0), (rig.low.start - 1, 0)):
        with pytest.raises(Exception, match="audit-address"):
            audit.audit_address(words, 0, 0, address, size)
    assert OPERAND_LIMIT == 36 * MIB


# ---- addresses of the process ----


@pytest.mark.parametrize(
    "words",
    [
        [0x10000002, 0, 0, 1], [0x10200003, 0xFFFFFFF8, 0xFFFF, 1, 2], [0x17800701, 0, 0], [0x13004002, 0x1000, 0, 1], [0x13244002, 0xD0, 0, 0],
        [0x13004003, 0xFFFFFFF8, 0xFFFF, 1, 2], [0x7A000004, 0x00344C1C, 0xD0, 0, 0, 0], [0x7A000004, 0x00108000, 0, 0, 0, 0],
        [0x12000002, 0xB118, 0, 0], [0x14800002, 0xB118, 0, 0], [0x13000002, 4, 0, 0], [0x13200002, 0xFFC, 0xFFFF, 0], [0x7A000004, 0x01200000, 0xFFFFFFFF, 0, 0, 0],
    ],
)  # fmt: skip
def test_an_address_of_the_process_and_one_that_nothing_is_written_to_may_be_any(words: list[int]) -> None:
    assert the_rig().ring(Engine.RCS0, words)[1] == words


# ---- places in the status page ----


@pytest.mark.parametrize("engine", list(Engine))
def test_the_index_of_a_flush_becomes_an_address_in_the_engines_status_page(engine: Engine) -> None:
    rig = AuditRig("skl")
    for number, each in enumerate(Engine):
        rig.set_status_page(each, rig.low.start + 0x1000 * (number + 1))
    page = rig.low.start + 0x1000 * (list(Engine).index(engine) + 1)
    for offset in (0, 0x40, 0xFF8):
        for header, tail in ((INDEXED_GLOBAL_FLUSH, [7]), (INDEXED_GLOBAL_FLUSH | 1, [7, 8]), (0x1320C002, [0])):
            _, patched = rig.ring(engine, [header, offset | 4, 0xABCD0000, *tail])
            assert patched == [header & ~(1 << 21), page + offset | 4, 0, *tail], "global as before"


def test_the_index_of_a_pipe_control_becomes_an_address_too() -> None:
    rig = the_rig()
    for offset in (0, 0xFF8):
        for operation in (1, 2, 3):
            flags = 1 << 24 | 1 << 21 | operation << 14 | 0x1080
            _, patched = rig.ring(Engine.RCS0, [0x7A000004, flags, offset | 4, 0, 7, 8])
            assert patched == [0x7A000004, flags & ~(1 << 21), rig.low.start + STATUS + offset, 0, 7, 8]


@pytest.mark.parametrize("offset", [4096, 4104, 0xFFFFFFF8, 1 << 32])
def test_an_index_past_the_status_page_is_refused(offset: int) -> None:
    rig = the_rig()
    for words, operand in (([INDEXED_GLOBAL_FLUSH, offset & 0xFFFFFFFF | 4, offset >> 32, 0], 1), ([0x7A000004, INDEXED_GLOBAL_PIPE, *pair(offset), 0, 0], 2)):
        refused = rig.refusal(Engine.RCS0, words)
        assert (refused.rule, refused.consequence, refused.nearest) == ("audit-index", Consequence.FAILSAFE, "below 0x1000")
        assert refused.value == words[operand]


def test_an_index_of_4095_is_that_of_the_last_quadword() -> None:
    rig = the_rig()
    page = rig.low.start + STATUS
    assert rig.ring(Engine.RCS0, [INDEXED_GLOBAL_FLUSH, 4095, 0, 0])[1] == [0x13004002, page + 0xFF8 | 4, 0, 0]
    assert rig.ring(Engine.RCS0, [0x7A000004, INDEXED_GLOBAL_PIPE, 4095, 0, 0, 0])[1] == [0x7A000004, 0x01004000, page + 0xFF8, 0, 0, 0]


@pytest.mark.parametrize("page", [0, 0x1000, 0xFFFFF000])
def test_an_index_needs_a_status_page_of_the_vgpus_own(page: int) -> None:
    """A guest that has never set one has none; a register that holds something else is not believed."""
    rig = AuditRig("skl")
    rig.set_status_page(Engine.BCS0, page)
    expected = "audit-address" if page < rig.low.start else None
    words = [INDEXED_GLOBAL_FLUSH, 0x40 | 4, 0, 0]
    if expected is None:
        assert rig.ring(Engine.BCS0, words)[1] == [0x13004002, page + 0x40 | 4, 0, 0]
    else:
        assert rig.refusal(Engine.BCS0, words).rule == expected


def test_many_pages_are_remembered_only_so_far() -> None:
    rig = the_rig()
    words = [word for page in range(3000) for word in store(rig.high.start + 0x1000 * page)]
    assert rig.ring(Engine.RCS0, words)[1] == words
