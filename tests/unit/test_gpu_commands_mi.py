"""Commands of the streamer: what each stores, loads, computes and compares."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.gpu_rig import GpuRig, RigContext

from host_model.gpu.engine import Activity
from pvinfo.commands.mi.batch import (
    MI_CONDITIONAL_BATCH_BUFFER_END,
    MI_PREDICATE,
    MI_SEMAPHORE_WAIT,
    MI_SET_PREDICATE,
    ConditionalEndHeader,
    MiConditionalBatchBufferEnd,
    MiSemaphoreWait,
    SemaphoreCompare,
    SemaphoreWaitHeader,
)
from pvinfo.commands.mi.flush import MI_FLUSH_DW, FlushAddress, FlushDwHeader, MiFlushDw, MiFlushQw
from pvinfo.commands.mi.memory import (
    MI_ATOMIC,
    MI_COPY_MEM_MEM,
    MI_REPORT_PERF_COUNT,
    MI_STORE_DATA_IMM,
    MI_STORE_DATA_INDEX,
    MI_UPDATE_GTT,
    AtomicHeader,
    AtomicOpcode,
    CopyMemMemHeader,
    GttEntryData,
    MiAtomic,
    MiAtomicInline,
    MiCopyMemMem,
    MiReportPerfCount,
    MiStoreDwordIndex,
    MiStoreQwordImm,
    MiStoreQwordIndex,
    MiUpdateGtt,
    PerfCountAddress,
    StoreAddress,
    StoreDataIndexHeader,
)
from pvinfo.commands.mi.register import (
    MI_LOAD_REGISTER_IMM,
    MI_LOAD_REGISTER_MEM,
    MI_LOAD_REGISTER_REG,
    MI_MATH,
    MI_STORE_REGISTER_MEM,
    AluInstruction,
    AluOpcode,
    AluOperand,
    LoadRegisterImmHeader,
    MiLoadRegisterImm,
    MiLoadRegisterMem,
    MiLoadRegisterReg,
    MiMath,
    MiStoreRegisterMem,
    RegisterValue,
    StoreRegisterMemHeader,
)
from pvinfo.platform import ENGINES, Engine
from pvinfo.registers.engine import EngineRegisters

BATCH_START, BATCH_END = 0x18800101, 0x05000000
DATA = 0x10000
MASK64 = (1 << 64) - 1


def words(*commands: bytes) -> list[int]:
    return memoryview(b"".join(commands)).cast("I").tolist()


class Bench:
    """A rig and a context with a page of data at :data:`DATA`."""

    def __init__(self, engine: Engine = Engine.RCS0, platform: str = "skl") -> None:
        self.rig = GpuRig(engine, platform)
        self.context = RigContext(self.rig, 0x20)
        self.data = self.context.map(DATA)
        self.base = ENGINES[engine].base

    def run(self, *commands: bytes) -> None:
        """In the ring: with privilege."""
        self.rig.execute(*words(*commands), context=self.context)
        assert self.rig.done, list(self.rig.findings)

    def batch(self, *commands: bytes) -> None:
        """In a batch of the process: without privilege."""
        self.context.batch(0x40000, *words(*commands), BATCH_END)
        self.rig.execute(BATCH_START, 0x40000, 0, context=self.context)
        assert self.rig.done, list(self.rig.findings)

    def peek(self, offset: int = 0, count: int = 1) -> list[int]:
        return self.rig.peek(self.data + offset, count)

    def poke(self, *dwords: int) -> None:
        self.rig.poke(self.data, *dwords)

    def gpr(self, number: int) -> int:
        offset = self.base + 0x600 + 8 * number
        return self.rig.registers.read32(offset) | self.rig.registers.read32(offset + 4) << 32

    def load(self, offset: int, value: int) -> bytes:
        return MI_LOAD_REGISTER_IMM.build(MiLoadRegisterImm(), [RegisterValue(offset, value)])

    def load_gpr(self, number: int, value: int) -> bytes:
        offset = self.base + 0x600 + 8 * number
        return self.load(offset, value & 0xFFFFFFFF) + self.load(offset + 4, value >> 32)

    def store(self, register: int, address: int, **fields: int) -> bytes:
        return MI_STORE_REGISTER_MEM.build(MiStoreRegisterMem(StoreRegisterMemHeader.of(**fields), register, address))


# ---- stores and copies ----


def test_a_quadword_is_stored_at_a_multiple_of_eight() -> None:
    bench = Bench()
    bench.run(MI_STORE_DATA_IMM.build(MiStoreQwordImm(address=StoreAddress(DATA + 12), value=0x1111_2222_3333_4444)))
    assert bench.peek(8, 2) == [0x3333_4444, 0x1111_2222]


def test_status_pages_are_stored_to_by_index() -> None:
    bench = Bench()
    own = StoreDataIndexHeader.of(per_process=1)
    bench.run(
        MI_STORE_DATA_INDEX.build(MiStoreDwordIndex(offset=0x310, value=1)),
        MI_STORE_DATA_INDEX.build(MiStoreDwordIndex(own, 0x314, 2)),
        MI_STORE_DATA_INDEX.build(MiStoreQwordIndex(own, 0x318, 3 << 32 | 4)),
    )
    ggtt, image = bench.rig.ggtt, bench.context.image
    assert ggtt.read32(bench.rig.status_page + 0x310) == 1
    assert [ggtt.read32(image + 0x314 + 4 * index) for index in range(3)] == [2, 4, 3]
    bench.batch(MI_STORE_DATA_INDEX.build(MiStoreDwordIndex(offset=0x310, value=9)), MI_STORE_DATA_INDEX.build(MiStoreDwordIndex(own, 0x314, 9)))
    assert (ggtt.read32(bench.rig.status_page + 0x310), ggtt.read32(image + 0x314)) == (1, 9)


@pytest.mark.parametrize("privileged", [True, False])
def test_a_copy_crosses_tables_only_with_privilege(privileged: bool) -> None:
    bench = Bench()
    bench.poke(0xABCD)
    place = bench.rig.status_page + 0x300
    copy = MI_COPY_MEM_MEM.build(MiCopyMemMem(CopyMemMemHeader.of(destination_global_gtt=1), place, DATA))
    inside = MI_COPY_MEM_MEM.build(MiCopyMemMem(destination_address=DATA + 4, source_address=DATA))
    (bench.run if privileged else bench.batch)(copy, inside)
    assert bench.rig.ggtt.read32(place) == (0xABCD if privileged else 0)
    assert bench.peek(4) == [0xABCD]


def test_entries_of_the_global_table_are_written_by_the_privileged_alone() -> None:
    bench = Bench()
    bus = bench.rig.page()
    update = MI_UPDATE_GTT.build(MiUpdateGtt(address=0x300000), [GttEntryData(bus | 1), GttEntryData(bus + 0x1000 | 1)])
    bench.batch(update)
    assert bench.rig.entries[0x300] == 0
    bench.run(update)
    assert bench.rig.entries[0x300:0x302].tolist() == [bus | 1, bus + 0x1000 | 1]


def test_a_report_of_counters_is_honest_about_what_it_does_not_count() -> None:
    bench = Bench()
    bench.poke(*[7] * 64)
    bench.run(MI_REPORT_PERF_COUNT.build(MiReportPerfCount(address=PerfCountAddress(DATA), report_id=0x77)))
    report = bench.peek(0, 64)
    assert (report[0], report[2]) == (0x77, 0x20)
    assert report[1] > 0 and set(report[3:]) == {0}
    assert [finding.rule for finding in bench.rig.findings] == ["command-not-executed"]


# ---- registers ----


def test_registers_are_loaded_stored_and_copied() -> None:
    bench = Bench(Engine.BCS0)
    gpr = EngineRegisters.gpr_lo.at("BCS0")
    bench.poke(0x1234)
    bench.run(
        MI_LOAD_REGISTER_IMM.build(MiLoadRegisterImm(), [RegisterValue(0x22050, 1), RegisterValue(gpr, 2), RegisterValue(0x22054, 3)]),
        MI_LOAD_REGISTER_MEM.build(MiLoadRegisterMem(register=0x22058, address=DATA)),
        MI_LOAD_REGISTER_REG.build(MiLoadRegisterReg(source=0x22058, destination=gpr + 4)),
        bench.store(gpr + 4, DATA + 4), bench.store(gpr, DATA + 8), bench.store(0x22054, DATA + 12),
    )  # fmt: skip
    assert bench.rig.bus.writes == [(0x22050, 1), (0x22054, 3), (0x22058, 0x1234)]
    assert bench.peek(4, 3) == [0x1234, 2, 3]


def test_bytes_of_a_register_can_be_left_as_they_are() -> None:
    bench = Bench(Engine.BCS0)
    header = LoadRegisterImmHeader.of(byte_write_disable=0b0101)
    bench.run(bench.load(0x22050, 0x11223344), MI_LOAD_REGISTER_IMM.build(MiLoadRegisterImm(header), [RegisterValue(0x22050, 0xAABBCCDD)]))
    assert bench.rig.registers.read32(0x22050) == 0xAA22CC44


def test_registers_beyond_the_last_read_zero_and_take_nothing() -> None:
    bench = Bench(Engine.BCS0)
    bench.poke(5)
    bench.run(bench.load(0x7FFFFC, 1), bench.store(0x7FFFFC, DATA))
    assert bench.peek() == [0] and bench.rig.bus.writes == []


def test_the_running_contexts_ring_is_what_its_registers_show() -> None:
    bench = Bench()
    bench.run(bench.store(EngineRegisters.start.at("RCS0"), DATA), bench.store(EngineRegisters.tail.at("RCS0"), DATA + 4))
    assert bench.peek(0, 2) == [bench.context.ring, bench.context.tail]


def test_the_time_stamp_ticks_while_commands_execute() -> None:
    bench = Bench(Engine.BCS0)
    stamp = EngineRegisters.timestamp.at("BCS0")
    bench.run(bench.store(stamp, DATA), *[MI_FLUSH_DW.build(MiFlushDw())] * 10, bench.store(stamp, DATA + 4), bench.store(stamp + 4, DATA + 8))
    first, second, high = bench.peek(0, 3)
    assert 10 * 500 // 84 <= second - first <= 10 * 600 // 83
    assert high == 0


@pytest.mark.parametrize(
    ("platform", "engine", "offset", "allowed"),
    [
        ("skl", Engine.RCS0, 0x2608, True), ("skl", Engine.BCS0, 0x22608, True), ("bdw", Engine.BCS0, 0x22608, False),
        ("skl", Engine.RCS0, 0x2400, True), ("skl", Engine.RCS0, 0x5240, True), ("skl", Engine.RCS0, 0x2438, True),
        ("skl", Engine.RCS0, 0x7014, False), ("skl", Engine.RCS0, 0x2080, False), ("skl", Engine.BCS0, 0x2608, False),
        ("skl", Engine.BCS0, 0x22200, True), ("skl", Engine.VCS0, 0x22200, False),
    ],
)  # fmt: skip
def test_a_batch_without_privilege_writes_only_what_can_do_no_harm(platform: str, engine: Engine, offset: int, allowed: bool) -> None:
    bench = Bench(engine, platform)
    before = bench.rig.registers.read32(offset)
    bench.batch(bench.load(offset, before ^ 0x55), bench.store(offset, DATA))  # reading is free
    assert bench.peek() == [bench.rig.registers.read32(offset)] == [before ^ (0x55 if allowed else 0)]
    assert bench.rig.register(EngineRegisters.esr.offset) == (0 if allowed else 4)


def test_the_white_list_adds_registers() -> None:
    bench = Bench()
    bench.rig.registers.write32(EngineRegisters.force_to_nonpriv.at("RCS0") + 4 * 3, 0x7014)
    bench.poke(0x22)
    bench.batch(bench.load(0x7014, 1), MI_LOAD_REGISTER_MEM.build(MiLoadRegisterMem(register=0x7018, address=DATA)))
    assert (bench.rig.registers.read32(0x7014), bench.rig.registers.read32(0x7018)) == (1, 0)


@pytest.mark.parametrize(
    ("slot", "offset", "allowed"),
    [(0x8000, 0x8004, False), (0x8001, 0x800C, True), (0x8001, 0x8010, False), (0x8003, 0x80FC, True), (0x1000_8000, 0x8000, False),
     (0x2000_8000, 0x8000, True), (0x4000_8000, 0x8000, False)],
)  # fmt: skip
def test_slots_of_later_hardware_cover_ranges_and_tell_reads_from_writes(slot: int, offset: int, allowed: bool) -> None:
    bench = Bench(platform="cfl")
    bench.rig.registers.write32(EngineRegisters.force_to_nonpriv.at("RCS0"), slot)
    bench.batch(bench.load(offset, 1))
    assert bench.rig.registers.read32(offset) == int(allowed)


# ---- arithmetic ----


def step(opcode: AluOpcode, first: int = 0, second: int = 0) -> AluInstruction:
    return AluInstruction.of(opcode=opcode, operand1=first, operand2=second)


@pytest.mark.parametrize(
    ("opcode", "a", "b", "result", "carry"),
    [
        (AluOpcode.ADD, 5, 7, 12, 0), (AluOpcode.ADD, MASK64, 1, 0, MASK64), (AluOpcode.ADD, 1 << 63, 1 << 63, 0, MASK64),
        (AluOpcode.SUB, 7, 5, 2, 0), (AluOpcode.SUB, 5, 7, MASK64 - 1, MASK64), (AluOpcode.SUB, 5, 5, 0, 0),
        (AluOpcode.AND, 0xFF00, 0x0FF0, 0x0F00, 0), (AluOpcode.OR, 0xFF00, 0x0FF0, 0xFFF0, 0), (AluOpcode.XOR, 0xFF00, 0xFF00, 0, 0),
    ],
)  # fmt: skip
def test_arithmetic_sets_result_and_flags(opcode: AluOpcode, a: int, b: int, result: int, carry: int) -> None:
    bench = Bench()
    program = [
        step(AluOpcode.LOAD, AluOperand.SRCA, 1), step(AluOpcode.LOAD, AluOperand.SRCB, 2), step(opcode),
        step(AluOpcode.STORE, 3, AluOperand.ACCU), step(AluOpcode.STORE, 4, AluOperand.CF), step(AluOpcode.STORE, 5, AluOperand.ZF),
        step(AluOpcode.STOREINV, 6, AluOperand.ACCU), step(AluOpcode.STOREINV, 7, AluOperand.ZF), step(AluOpcode.NOOP),
    ]  # fmt: skip
    bench.run(bench.load_gpr(1, a), bench.load_gpr(2, b), MI_MATH.build(MiMath(), [(instruction,) for instruction in program]))
    zero = MASK64 if result == 0 else 0
    assert [bench.gpr(number) for number in range(3, 8)] == [result, carry, zero, result ^ MASK64, zero ^ MASK64]


def test_operands_may_be_inverted_or_constant() -> None:
    bench = Bench()
    program = [
        step(AluOpcode.LOADINV, AluOperand.SRCA, 1), step(AluOpcode.LOAD1, AluOperand.SRCB), step(AluOpcode.AND), step(AluOpcode.STORE, 2, AluOperand.ACCU),
        step(AluOpcode.LOAD0, AluOperand.SRCA), step(AluOpcode.OR), step(AluOpcode.STORE, 3, AluOperand.ACCU),
    ]  # fmt: skip
    bench.run(bench.load_gpr(1, 0xF0), MI_MATH.build(MiMath(), [(instruction,) for instruction in program]))
    assert [bench.gpr(2), bench.gpr(3)] == [MASK64 ^ 0xF0, MASK64]


@pytest.mark.parametrize("wrong", [0x7FF << 20, 0x080 << 20 | 0x31 << 10, 0x080 << 20 | 0x20 << 10 | 16, 0x180 << 20 | 16 << 10 | 0x31, 0x180 << 20 | 3])
def test_a_step_that_is_none_stops_the_engine(wrong: int) -> None:
    bench = Bench()
    bench.rig.execute(0x0D000000, wrong, context=bench.context)
    assert bench.rig.engine.activity is Activity.HUNG
    assert [finding.rule for finding in bench.rig.findings] == ["illegal-math"]


# ---- atomics ----


@pytest.mark.parametrize("width", [4, 8])
@pytest.mark.parametrize(
    ("operation", "change"),
    [
        (AtomicOpcode.AND, lambda m, a, b: m & a), (AtomicOpcode.OR, lambda m, a, b: m | a), (AtomicOpcode.XOR, lambda m, a, b: m ^ a),
        (AtomicOpcode.MOVE, lambda m, a, b: a), (AtomicOpcode.INCREMENT, lambda m, a, b: m + 1), (AtomicOpcode.DECREMENT, lambda m, a, b: m - 1),
        (AtomicOpcode.ADD, lambda m, a, b: m + a), (AtomicOpcode.SUBTRACT, lambda m, a, b: m - a), (AtomicOpcode.REVERSE_SUBTRACT, lambda m, a, b: a - m),
        (AtomicOpcode.UNSIGNED_MAX, lambda m, a, b: max(m, a)), (AtomicOpcode.UNSIGNED_MIN, lambda m, a, b: min(m, a)),
        (AtomicOpcode.SIGNED_MAX, lambda m, a, b: m), (AtomicOpcode.SIGNED_MIN, lambda m, a, b: a),
        (AtomicOpcode.COMPARE_AND_WRITE, lambda m, a, b: m), (AtomicOpcode.PRE_DECREMENT, lambda m, a, b: m - 1),
    ],
)  # fmt: skip
def test_atomics_change_memory_and_return_what_was_there(width: int, operation: AtomicOpcode, change: Callable[[int, int, int], int]) -> None:
    bench = Bench()
    mask = (1 << 8 * width) - 1
    m, a, b = 0x1234_5678_9ABC_DEF0 & mask >> 1, 0x8000_0001_8000_0001 & mask, 0x55
    bench.poke(m & 0xFFFFFFFF, m >> 32)
    header = AtomicHeader.of(operation=operation | (0x20 if width == 8 else 0), return_data=1)
    bench.run(MI_ATOMIC.build(MiAtomicInline.of(header, DATA, a, b)))
    low, high = bench.peek(0, 2)
    expected = change(m, a, b) & mask
    assert (low | high << 32) & mask == expected
    assert width == 8 or high == m >> 32
    assert bench.gpr(4) & mask == (expected if operation is AtomicOpcode.PRE_DECREMENT else m)


def test_operands_of_an_atomic_may_be_in_registers() -> None:
    bench = Bench()
    bench.poke(10, 0)
    swap = AtomicHeader.of(operation=AtomicOpcode.COMPARE_AND_WRITE)
    bench.run(bench.load_gpr(0, 10), bench.load_gpr(1, 20), MI_ATOMIC.build(MiAtomic(swap, DATA)))
    assert bench.peek() == [20]
    wide = AtomicHeader.of(operation=AtomicOpcode.QWORD_ADD)
    bench.run(bench.load_gpr(0, 0x5_0000_0001), MI_ATOMIC.build(MiAtomic(wide, DATA)))
    assert bench.peek(0, 2) == [21, 5]


@pytest.mark.parametrize("equal", [True, False])
def test_sixteen_bytes_are_compared_and_written_at_once(equal: bool) -> None:
    bench = Bench()
    bench.poke(1, 2, 3, 4)
    held, wanted = 4 << 96 | 3 << 64 | 2 << 32 | (1 if equal else 9), 8 << 96 | 7 << 64 | 6 << 32 | 5
    header = AtomicHeader.of(operation=AtomicOpcode.OCTWORD_COMPARE_AND_WRITE, return_data=1)
    bench.run(MI_ATOMIC.build(MiAtomicInline.of(header, DATA, held, wanted)))
    assert bench.peek(0, 4) == ([5, 6, 7, 8] if equal else [1, 2, 3, 4])
    assert (bench.gpr(4), bench.gpr(5)) == (2 << 32 | 1, 4 << 32 | 3)


@pytest.mark.parametrize("operation", [0x00, 0x10, 0x41, 0x60])
def test_an_operation_that_is_none_stops_the_engine(operation: int) -> None:
    bench = Bench()
    bench.rig.execute(*words(MI_ATOMIC.build(MiAtomicInline.of(AtomicHeader.of(operation << 8), DATA))), context=bench.context)
    assert bench.rig.engine.activity is Activity.HUNG
    assert [finding.rule for finding in bench.rig.findings] == ["illegal-atomic"]


# ---- comparisons ----


@pytest.mark.parametrize("memory", [4, 5, 6])
@pytest.mark.parametrize("compare", list(SemaphoreCompare))
def test_a_semaphore_compares_memory_with_the_value(compare: SemaphoreCompare, memory: int) -> None:
    bench = Bench()
    bench.poke(memory)
    wait = MI_SEMAPHORE_WAIT.build(MiSemaphoreWait(SemaphoreWaitHeader.of(compare=compare, poll=1), 5, DATA))
    bench.rig.execute(*words(wait), context=bench.context)
    passes = {0: memory > 5, 1: memory >= 5, 2: memory < 5, 3: memory <= 5, 4: memory == 5, 5: memory != 5}[compare]
    assert bench.rig.done is passes
    assert ("wait_semaphore" in bench.rig.told) is not passes


def test_a_semaphore_may_be_a_register() -> None:
    bench = Bench()
    wait = MI_SEMAPHORE_WAIT.build(MiSemaphoreWait(SemaphoreWaitHeader.of(compare=SemaphoreCompare.EQUAL, poll=1, register_poll=1), 3, 0x7018))
    bench.rig.execute(*words(wait), context=bench.context)
    assert not bench.rig.done
    bench.rig.registers.write32(0x7018, 3)
    bench.rig.run()
    assert bench.rig.done


@pytest.mark.parametrize(("memory", "mask", "fields", "ended"), [
    (6, 0, {"compare": 1}, False), (5, 0, {"compare": 1}, True), (4, 0, {"compare": 1}, True), (4, 0, {}, False),
    (0x16, 0x0F, {"compare": 1, "compare_mask": 1}, False), (0x16, 0x01, {"compare": 1, "compare_mask": 1}, True),
])  # fmt: skip
def test_a_batch_ends_unless_memory_is_greater(memory: int, mask: int, fields: dict[str, int], ended: bool) -> None:
    bench = Bench()
    bench.poke(memory, mask)
    bench.batch(
        MI_CONDITIONAL_BATCH_BUFFER_END.build(MiConditionalBatchBufferEnd(ConditionalEndHeader.of(**fields), 5, DATA)),
        bench.load_gpr(1, 1),
    )
    assert bench.gpr(1) == (0 if ended else 1)


# ---- predicates ----


@pytest.mark.parametrize(
    ("compare", "combine", "load", "before", "after"),
    [(0, 0, 2, 0, 1), (1, 0, 2, 1, 0), (0, 0, 3, 0, 0), (0, 0, 0, 0, 0), (2, 0, 2, 0, 1), (3, 0, 2, 0, 0), (1, 2, 2, 1, 1), (0, 1, 2, 0, 0), (0, 3, 2, 1, 0)],
)
def test_a_predicate_is_compared_combined_and_kept(compare: int, combine: int, load: int, before: int, after: int) -> None:
    bench = Bench()
    bench.run(
        bench.load(0x2400, 7), bench.load(0x2404, 1), bench.load(0x2408, 7), bench.load(0x240C, 1), bench.load(0x2410, 3), bench.load(0x2418, before),
        int(MI_PREDICATE.header(1, compare=compare, combine=combine, load=load)).to_bytes(4, "little"),
        bench.store(0x2418, DATA), bench.store(0x2400, DATA + 4, predicate=1),
    )  # fmt: skip
    assert bench.peek(0, 2) == [after, 7 if after else 0]


def test_deltas_are_compared_with_the_data() -> None:
    bench = Bench()
    bench.run(
        bench.load(0x2400, 2), bench.load(0x2404, 1), bench.load(0x2408, 5), bench.load(0x240C, 0), bench.load(0x2410, 0xFFFFFFFD), bench.load(0x2414, 0),
        int(MI_PREDICATE.header(1, compare=3, load=2)).to_bytes(4, "little"),
    )  # fmt: skip
    assert bench.rig.registers.read32(0x2418) == 1


@pytest.mark.parametrize("result", [0, 1])
def test_a_predicated_batch_starts_where_the_second_result_says_so(result: int) -> None:
    bench = Bench()
    bench.context.batch(0x40000, *words(bench.load_gpr(1, 9)), BATCH_END)
    bench.rig.execute(*words(bench.load(0x241C, result)), BATCH_START | 1 << 15, 0x40000, 0, context=bench.context)
    assert bench.rig.done and bench.gpr(1) == 9 * result


@pytest.mark.parametrize(("platform", "mode", "skipped"), [("skl", 15, True), ("bdw", 15, False), ("skl", 1, True), ("skl", 2, False), ("skl", 3, True), ("skl", 4, False)])
def test_commands_are_skipped_up_to_the_next_set_predicate(platform: str, mode: int, skipped: bool) -> None:
    bench = Bench(platform=platform)

    def switch(value: int) -> bytes:
        return int(MI_SET_PREDICATE.header(1, mode=value)).to_bytes(4, "little")

    bench.run(bench.load_gpr(1, 1), switch(mode), bench.load_gpr(1, 2), bench.load_gpr(2, 2), switch(0), bench.load_gpr(3, 3))
    assert [bench.gpr(1), bench.gpr(2), bench.gpr(3)] == ([1, 0, 3] if skipped else [2, 2, 3])


# ---- flushes ----


@pytest.mark.parametrize("engine", [Engine.BCS0, Engine.VCS0, Engine.VECS0])
def test_every_post_sync_write_of_a_flush(engine: Engine) -> None:
    bench = Bench(engine)
    rig = bench.rig
    rig.ggtt.write64(rig.status_page + 0x300, MASK64)
    rig.ggtt.write64(bench.context.image + 0xD0, MASK64)
    write, stamp = {"post_sync": 1}, {"post_sync": 3}
    bench.run(
        MI_FLUSH_DW.build(MiFlushDw(FlushDwHeader.of(**write), FlushAddress.of(rig.status_page + 0x300, use_global_gtt=1), 0x11)),
        MI_FLUSH_DW.build(MiFlushDw(FlushDwHeader.of(**write), FlushAddress(DATA), 0x22)),
        MI_FLUSH_DW.build(MiFlushQw(FlushDwHeader.of(**write), FlushAddress(DATA + 8), 0x33_0000_0044)),
        MI_FLUSH_DW.build(MiFlushDw(FlushDwHeader.of(**write, store_index=1), FlushAddress(0xD0), 0x55)),
        MI_FLUSH_DW.build(MiFlushDw(FlushDwHeader.of(**stamp), FlushAddress(DATA + 16))),
        MI_FLUSH_DW.build(MiFlushDw(FlushDwHeader.of(notify=1), FlushAddress(DATA + 24), 0x66)),
    )
    assert rig.ggtt.read64(rig.status_page + 0x300) == 0xFFFFFFFF_00000011
    assert bench.peek(0, 4) == [0x22, 0, 0x44, 0x33]
    assert rig.ggtt.read64(bench.context.image + 0xD0) == 0xFFFFFFFF_00000055
    assert bench.peek(16, 2)[0] > 0 and bench.peek(20, 3) == [0, 0, 0]
    assert rig.told.count("flush_notify") == 1


def test_a_flush_without_privilege_writes_to_the_process_alone() -> None:
    bench = Bench(Engine.BCS0)
    rig = bench.rig
    bench.batch(
        MI_FLUSH_DW.build(MiFlushDw(FlushDwHeader.of(post_sync=1), FlushAddress.of(rig.status_page + 0x300, use_global_gtt=1), 0x11)),
        MI_FLUSH_DW.build(MiFlushDw(FlushDwHeader.of(post_sync=1), FlushAddress(DATA), 0x22)),
    )
    assert (rig.ggtt.read32(rig.status_page + 0x300), bench.peek()) == (0, [0x22])


def test_the_head_is_reported_to_the_contexts_status_page() -> None:
    bench = Bench(Engine.BCS0)
    bench.rig.execute(0, 0, 0x03800000, 0, context=bench.context)
    assert bench.rig.ggtt.read32(bench.context.image + 0x10) == 12


def test_a_wait_for_display_ends_when_display_is_there() -> None:
    bench = Bench(Engine.BCS0)
    reached: list[int] = []
    bench.rig.engine.event_reached = lambda header: bool(reached)
    bench.rig.execute(0x01800008, 0, *words(bench.load_gpr(1, 1)), context=bench.context)
    assert bench.gpr(1) == 0
    reached.append(1)
    bench.rig.run()
    assert bench.gpr(1) == 1


def test_a_noop_may_leave_its_number() -> None:
    bench = Bench(Engine.BCS0)
    bench.rig.execute(0x00412345, context=bench.context)
    assert bench.rig.register(EngineRegisters.nopid.offset) == 0x12345


def test_arbitration_is_switched_by_the_privileged_alone() -> None:
    bench = Bench(Engine.BCS0)
    bench.context.batch(0x40000, 0x04000000, 0x0E00C002, 1, DATA, 0, BATCH_END)
    bench.context.write(BATCH_START, 0x40000, 0)
    bench.rig.submit(bench.context)
    bench.rig.run()
    assert bench.rig.engine.arbitration
    assert bench.rig.register(EngineRegisters.esr.offset) == 4
