"""An engine at work: buffers and their levels, slices and time, waiting, errors, resets, and garbage that it lives through."""

from __future__ import annotations

import random

import pytest
from support.gpu_rig import READ_ONLY, GpuRig, RigContext

from host_model.clock import RealClock, VirtualClock
from host_model.device.timestamp import timestamp_at
from host_model.gpu.engine import Activity
from pvinfo.platform import ENGINES, Engine
from pvinfo.registers.engine import EngineRegisters, MiMode, ResetControl, RingControl

SDI = 0x10000002
SDI_GLOBAL = 0x10400002
SRM_GLOBAL = 0x12400002
LRI = 0x11000001
ATOMIC_INCREMENT = 0x17C00501
BATCH_START, PRIVILEGED, SECOND_LEVEL = 0x18800101, 0x18800001, 1 << 22
BATCH_END = 0x05000000
SEMAPHORE_EQUAL = 0x0E40C002
SIGNAL_WAIT = 0x0E404002
SIGNAL = 0x0D800000
ARB_CHECK = 0x02800000
USER_INTERRUPT = 0x01000000
FLUSH_NOTIFY = 0x13000102
RUN_LIST = 1 << 15


def mark(rig: GpuRig, place: int, value: int) -> tuple[int, int, int, int]:
    return SDI_GLOBAL, rig.status_page + place, 0, value


def stored(rig: GpuRig, place: int) -> int:
    return rig.ggtt.read32(rig.status_page + place)


# ---- buffers ----


def test_a_ring_goes_on_at_its_start_and_a_command_may_lie_across_the_end() -> None:
    rig = GpuRig(Engine.BCS0)
    context = RigContext(rig, 0x20)
    context.write(*[0] * 1020)
    rig.submit(context)
    rig.run()
    rig.execute(0, 0, *mark(rig, 0x100, 0x77), context=context)
    assert stored(rig, 0x100) == 0x77
    assert context.value("head") == 8 | 1 << 21
    assert rig.engine.buffers.wraps == 1


def test_a_command_may_lie_across_pages_that_are_not_neighbours() -> None:
    rig = GpuRig(Engine.BCS0)
    context = RigContext(rig, 0x20)
    low, _, high, data = rig.page(), rig.page(), rig.page(), rig.page()
    context.tables.map(0x10000, low)
    context.tables.map(0x11000, high)
    context.tables.map(0x20000, data)
    rig.poke(low + 0xFF4, SDI, 0x20010, 0)
    rig.poke(high, 0x1234, SDI, 0x20014, 0, 0x5678, BATCH_END)
    rig.execute(BATCH_START, 0x10FF4, 0, context=context)
    assert rig.peek(data + 0x10, 2) == [0x1234, 0x5678]


def test_batches_come_back_from_the_second_level_and_are_replaced_by_a_chained_one() -> None:
    rig = GpuRig(Engine.BCS0)
    context = RigContext(rig, 0x20)
    data = context.map(0x1000)
    context.batch(0x10000, SDI, 0x1000, 0, 1, BATCH_START | SECOND_LEVEL, 0x20000, 0, SDI, 0x1004, 0, 2, BATCH_START, 0x30000, 0, SDI, 0x1008, 0, 99)
    context.batch(0x20000, SDI, 0x100C, 0, 3, BATCH_START | SECOND_LEVEL, 0x40000, 0, SDI, 0x1008, 0, 98)
    context.batch(0x30000, SDI, 0x1010, 0, 4, BATCH_END)
    context.batch(0x40000, SDI, 0x1014, 0, 5, BATCH_END)
    context.write(BATCH_START, 0x10000, 0, *mark(rig, 0x100, 6))
    rig.submit(context)
    rig.run()
    assert rig.peek(data, 6) == [1, 2, 0, 3, 4, 5]
    assert stored(rig, 0x100) == 6


def test_a_batch_of_the_global_table_is_privileged_and_one_of_a_process_is_not() -> None:
    rig = GpuRig(Engine.BCS0)
    context = RigContext(rig, 0x20)
    context.batch(0x10000, *mark(rig, 0x100, 1), PRIVILEGED, 0x5000, 0, BATCH_END)
    context.batch(0x5000, *mark(rig, 0x104, 1), BATCH_END)  # still without privilege: found in the process's space
    batch = rig.allocate(1)
    for index, dword in enumerate((*mark(rig, 0x108, 1), BATCH_END)):
        rig.ggtt.write32(batch + 4 * index, dword)
    rig.execute(BATCH_START, 0x10000, 0, PRIVILEGED, batch, 0, context=context)
    assert [stored(rig, place) for place in (0x100, 0x104, 0x108)] == [0, 0, 1]
    assert rig.register(EngineRegisters.esr.offset) == 4
    assert rig.register(EngineRegisters.eir.offset) == 0  # masked by the driver
    assert rig.done


def test_a_batch_end_in_the_ring_ends_nothing() -> None:
    rig = GpuRig(Engine.BCS0)
    rig.execute(BATCH_END, 0, *mark(rig, 0x100, 1))
    assert stored(rig, 0x100) == 1 and rig.done


def test_addresses_of_batches_may_be_sign_extended() -> None:
    rig = GpuRig(Engine.BCS0)
    context = RigContext(rig, 0x20)
    context.batch(0xFFFF_FFFF_E000, *[0] * 4, BATCH_END)
    data = context.map(0x8000_0000_0000)
    rig.execute(BATCH_START, 0xFFFFE000, 0xFFFFFFFF, SDI, 0, 0xFFFF8000, 5, context=context)
    assert rig.done and rig.peek(data) == [5]


def test_a_descriptor_without_privilege_bit_uses_the_global_table_for_everything() -> None:
    rig = GpuRig(Engine.BCS0)
    context = RigContext(rig, 0x20)
    context.write(SDI, rig.status_page + 0x100, 0, 8)
    rig.submit(context.descriptor(privilege=0))
    rig.run()
    assert stored(rig, 0x100) == 8


def test_batch_commands_that_are_rewritten_are_executed_as_rewritten() -> None:
    rig = GpuRig(Engine.BCS0)
    context = RigContext(rig, 0x20)
    data = context.map(0x1000)
    context.batch(0x2000, SDI, 0x2018, 0, BATCH_END, 0, 0, SDI, 0x1000, 0, 1, BATCH_END)
    rig.execute(BATCH_START, 0x2000, 0, context=context)
    assert rig.peek(data) == [0] and rig.done


# ---- translations ----


def test_a_table_rewritten_under_load_takes_effect_with_the_flush_that_drops_translations() -> None:
    rig = GpuRig(Engine.BCS0)
    context = RigContext(rig, 0x20)
    old, new = context.map(0x1000), rig.page()
    table = context.tables.table(0x1000, 0)
    context.map(0x2000)
    context.tables.map(0x9000, table)
    rewrite = (SDI, 0x9008, 0, new & 0xFFFFFFFF | 3, SDI, 0x900C, 0, new >> 32)
    rig.execute(SDI, 0x1000, 0, 1, *rewrite, SDI, 0x1004, 0, 2, 0x13044002, 0x2000, 0, 0, SDI, 0x1008, 0, 3, context=context)
    assert rig.peek(old, 3) == [1, 2, 0]
    assert rig.peek(new, 3) == [0, 0, 3]


def test_roots_loaded_by_the_ring_are_walked_from_then_on() -> None:
    rig = GpuRig(Engine.BCS0)
    contexts = [RigContext(rig, 0x20), RigContext(rig, 0x40)]
    data = [context.map(0x1000) for context in contexts]
    root = contexts[1].tables.root
    low, high = (EngineRegisters.pdp_lo.at("BCS0"), EngineRegisters.pdp_hi.at("BCS0"))
    rig.execute(SDI, 0x1000, 0, 1, LRI + 2, high, root >> 32, low, root & 0xFFFFFFFF, SDI, 0x1000, 0, 2, context=contexts[0])
    assert [rig.peek(bus)[0] for bus in data] == [1, 2]
    assert contexts[0].value("pdp_lo[0]") == root & 0xFFFFFFFF


def test_a_32_bit_context_takes_all_four_roots() -> None:
    rig = GpuRig(Engine.BCS0)
    context = RigContext(rig, 0x20)
    for index in range(4):
        directory = context.tables.table(index << 30, 1)
        context.set(f"pdp_lo[{index}]", directory & 0xFFFFFFFF)
        context.set(f"pdp_hi[{index}]", directory >> 32)
    data = context.map(3 << 30)
    context.write(SDI, 3 << 30, 0, 4)
    rig.submit(context.descriptor(addressing_mode=1))
    rig.run()
    assert rig.peek(data) == [4]


def test_a_write_to_a_page_that_may_only_be_read_is_lost_and_noted_and_execution_goes_on() -> None:
    rig = GpuRig(Engine.BCS0)
    context = RigContext(rig, 0x20)
    data = context.map(0x1000, flags=READ_ONLY)
    rig.execute(SDI, 0x1000, 0, 1, *mark(rig, 0x100, 2), context=context)
    assert (rig.peek(data), stored(rig, 0x100)) == ([0], 2)
    assert rig.register(EngineRegisters.esr.offset) == 4


# ---- time ----


def test_a_batch_that_spins_is_ended_by_the_processor() -> None:
    rig = GpuRig(Engine.RCS0)
    context = RigContext(rig, 0x20)
    rig_data = context.map(0x1000)
    context.batch(0x2000, SDI, 0x1000, 0, 0x5EED, ARB_CHECK, *[0] * 128, BATCH_START, 0x2000, 0)
    context.write(BATCH_START, 0x2000, 0, *mark(rig, 0x100, 1), USER_INTERRUPT)
    rig.submit(context)
    rig.run(1_000_000)
    assert rig.peek(rig_data) == [0x5EED]
    assert (rig.engine.activity, rig.told.count("user")) == (Activity.WAITING, 0)
    before = rig.engine.commands
    rig.run(100_000_000)
    assert rig.engine.commands - before < 131 * 130  # it looks about once in a millisecond
    assert rig.register(EngineRegisters.acthd.offset) == 0x2000
    batch = context.tables.entries(context.tables.table(0x2000, 0))[2] & ~0xFFF
    rig.poke(batch, BATCH_END)
    rig.run(2_000_000)
    assert rig.done and stored(rig, 0x100) == 1
    assert rig.told.count("user") == 1


def test_the_longer_it_has_waited_the_later_it_looks_but_never_by_more_than_an_eighth() -> None:
    for wait_ns in (10_000, 100_000, 1_000_000, 5_000_000):
        rig = GpuRig(Engine.BCS0)
        context = RigContext(rig, 0x20)
        context.write(SEMAPHORE_EQUAL, 1, rig.status_page + 0x200, 0, USER_INTERRUPT)
        rig.submit(context)
        rig.run(wait_ns)
        assert "user" not in rig.told
        rig.ggtt.write32(rig.status_page + 0x200, 1)
        rig.run(wait_ns // 8 + 10_000)
        assert "user" in rig.told and rig.done


def test_a_loop_that_counts_is_work_and_not_waiting() -> None:
    rig = GpuRig(Engine.RCS0)
    context = RigContext(rig, 0x20)
    counter = context.map(0x1000)
    again = (0x1B000002 | 1 << 21, 1000, 0x1000, 0)  # end the batch unless memory is greater
    context.batch(0x2000, 0x17800601, 0x1000, 0, *again, BATCH_START, 0x2000, 0)
    rig.poke(counter, 3000)
    context.write(BATCH_START, 0x2000, 0, USER_INTERRUPT)
    rig.submit(context)
    rig.run(3_000_000)  # 2000 rounds of less than a microsecond and a half
    assert rig.done and rig.peek(counter) == [1000]


def test_work_takes_virtual_time_and_is_told_at_its_end() -> None:
    rig = GpuRig(Engine.BCS0)
    assert isinstance(rig.clock, VirtualClock)
    told: list[int] = []
    rig.engine._interrupt = lambda event: told.append(rig.clock.now_ns()) if event == 1 else None
    context = RigContext(rig, 0x20)
    context.write(*[0x13000002, 0, 0, 0] * 200, USER_INTERRUPT)
    rig.submit(context)
    rig.run()
    assert 200 * 500 < told[0] < 200 * 600  # each flush takes half a microsecond


def test_time_stamps_in_memory_are_those_of_the_engines_time() -> None:
    rig = GpuRig(Engine.BCS0)
    context = RigContext(rig, 0x20)
    stamp = 0x1300C002
    context.write(stamp, rig.status_page + 0x100 | 4, 0, 0, *[0x13000002, 0, 0, 0] * 40, stamp, rig.status_page + 0x108 | 4, 0, 0)
    rig.submit(context)
    rig.run()
    first, second = (rig.ggtt.read64(rig.status_page + place) for place in (0x100, 0x108))
    assert 0 < first < second < timestamp_at(rig.platform, rig.clock.now_ns())
    assert 40 * 500 <= (second - first) * 84 and (second - first) * 83 <= 40 * 520


def test_an_idle_engine_has_no_timer() -> None:
    rig = GpuRig(Engine.BCS0)
    rig.execute(*mark(rig, 0x100, 1))
    assert rig.clock.next_deadline_ns() is None


@pytest.mark.parametrize("commands", [0, 1, 511, 512, 513, 5000])
def test_the_end_of_a_slice_falls_anywhere(commands: int) -> None:
    rig = GpuRig(Engine.BCS0)
    context = RigContext(rig, 0x20)
    data = context.map(0x1000)
    context.batch(0x10000, *[dword for value in range(commands) for dword in (SDI, 0x1000, 0, value + 1)], BATCH_END)
    rig.execute(BATCH_START, 0x10000, 0, context=context)
    assert rig.done and rig.peek(data) == [commands]


def test_on_real_time_the_next_slice_is_due_at_once_and_nothing_is_said_late() -> None:
    clock = RealClock()
    rig = GpuRig(Engine.BCS0, clock=clock)
    context = RigContext(rig, 0x20)
    context.write(*[0] * 500, USER_INTERRUPT)
    other = RigContext(rig, 0x40)
    other.write(*[0] * 600, *mark(rig, 0x100, 9))
    rig.submit(context, other)
    for _ in range(1000):
        clock.run_due()
        if rig.done and stored(rig, 0x100):
            break
    assert stored(rig, 0x100) == 9
    assert rig.told == ["context_switch", "user", "context_switch"]
    assert clock.next_deadline_ns() is None


def test_an_engine_that_waits_leaves_the_loop_alone_on_real_time() -> None:
    clock = RealClock()
    rig = GpuRig(Engine.BCS0, clock=clock)
    context = RigContext(rig, 0x20)
    context.write(SEMAPHORE_EQUAL, 1, rig.status_page + 0x200, 0)
    rig.submit(context)
    clock.run_due()
    before = clock.now_ns()
    deadline = clock.next_deadline_ns()
    assert deadline is not None and deadline > before - 1_000_000
    rig.ggtt.write32(rig.status_page + 0x200, 1)
    while not rig.done:
        clock.run_due()
    assert rig.engine.contexts == 1


# ---- two engines ----


def test_a_semaphore_between_engines() -> None:
    rig = GpuRig(Engine.RCS0)
    copy = rig.add_engine(Engine.BCS0)
    rig.open(copy)
    waiting = RigContext(rig, 0x20)
    waiting.write(SEMAPHORE_EQUAL, 5, rig.status_page + 0x200, 0, *mark(rig, 0x204, 6))
    rig.submit(waiting)
    rig.run(100_000)
    assert rig.told.count("wait_semaphore") == 1
    assert RingControl(rig.register(EngineRegisters.control.offset)).wait_semaphore
    name, rig.name, rig.engine = rig.name, Engine.BCS0, copy
    signalling = RigContext(rig, 0x40)
    signalling.write(*mark(rig, 0x200, 5))
    rig.submit(signalling)
    rig.run(100_000)
    assert name is Engine.RCS0 and stored(rig, 0x204) == 6


def test_a_wait_for_a_signal_looks_when_it_is_signalled_and_not_before() -> None:
    rig = GpuRig(Engine.RCS0)
    copy = rig.add_engine(Engine.BCS0)
    rig.open(copy)
    engines = {Engine.RCS0: rig.engine, Engine.BCS0: copy}
    for engine in engines.values():
        engine.connect(engines)
    waiting = RigContext(rig, 0x20)
    waiting.write(SIGNAL_WAIT, 5, rig.status_page + 0x200, 0, *mark(rig, 0x204, 6))
    rig.submit(waiting)
    rig.run()
    assert rig.clock.next_deadline_ns() is None
    rig.ggtt.write32(rig.status_page + 0x200, 5)
    rig.run()
    assert stored(rig, 0x204) == 0
    rig.name, rig.engine = Engine.BCS0, copy
    other, right = RigContext(rig, 0x40), RigContext(rig, 0x60)
    other.write(SIGNAL, 0x99)
    right.write(SIGNAL, 0x20)
    rig.submit(other)
    rig.run()
    assert stored(rig, 0x204) == 0
    rig.submit(right)
    rig.run()
    assert stored(rig, 0x204) == 6


# ---- errors ----


@pytest.mark.parametrize("masked", [False, True])
def test_an_illegal_command_stops_the_engine_and_raises_the_error(masked: bool) -> None:
    rig = GpuRig(Engine.RCS0)
    if masked:
        EngineRegisters(rig.registers, "RCS0").emr = type(EngineRegisters(rig.registers, "RCS0").emr)(0xFFFFFFFF)
    context = RigContext(rig, 0x20)
    context.batch(0x3000, 0, 0xDEADBEEF, BATCH_END)
    context.write(BATCH_START, 0x3000, 0, *mark(rig, 0x100, 1))
    rig.submit(context)
    rig.run()
    assert rig.engine.activity is Activity.HUNG and stored(rig, 0x100) == 0
    assert rig.register(EngineRegisters.esr.offset) == 1
    assert rig.register(EngineRegisters.eir.offset) == (0 if masked else 1)
    assert ("master_error" in rig.told) is not masked
    assert rig.register(EngineRegisters.ipehr.offset) == 0xDEADBEEF
    assert rig.register(EngineRegisters.acthd.offset) == 0x3004
    assert rig.register(EngineRegisters.bbaddr.offset) == 0x3005
    (finding,) = rig.findings
    assert (finding.rule, finding.where, finding.value) == ("illegal-command", "rcs0 batch 0x3004", 0xDEADBEEF)


def test_a_fault_stops_the_engine_where_it_is_and_stands_in_the_fault_registers() -> None:
    rig = GpuRig(Engine.VECS0)
    context = RigContext(rig, 0x20)
    context.map(0x1234_5678_9000)
    context.tables.set(0x1234_5678_9000, 1, 0)
    context.write(0, 0, SDI, 0x5678_9ABC, 0x1234, 1)
    rig.submit(context)
    rig.run()
    assert rig.engine.activity is Activity.HUNG
    assert rig.registers.read32(0x4094) == 1 | 1 << 1 | 3 << 12
    assert rig.registers.read32(0x4B10) == 0x1234_5678_9ABC >> 12 & 0xFFFFFFFF
    assert rig.registers.read32(0x4B14) == 1
    assert rig.register(EngineRegisters.head.offset) == 8
    assert rig.register(EngineRegisters.acthd.offset) == context.ring + 8
    assert rig.register(EngineRegisters.esr.offset) == 0x10
    assert [finding.rule for finding in rig.findings] == ["gpu-page-fault"]


def test_the_fault_registers_keep_the_oldest_fault() -> None:
    rig = GpuRig(Engine.BCS0)
    for address in (0x1000, 0x2000):
        rig.execute(SDI, address, 0, 1)
        rig.engine.reset()
        rig.open(rig.engine)
    assert rig.registers.read32(0x4B10) == 1


def test_a_batch_that_is_nowhere_is_a_fault_of_its_own_address() -> None:
    rig = GpuRig(Engine.BCS0)
    rig.execute(BATCH_START, 0x7000, 0)
    assert rig.engine.activity is Activity.HUNG
    assert rig.register(EngineRegisters.acthd.offset) == 0x7000
    assert rig.registers.read32(0x4B10) == 7


def test_a_command_that_goes_past_the_tail_waits_for_the_rest_of_it() -> None:
    rig = GpuRig(Engine.BCS0)
    context = RigContext(rig, 0x20)
    context.write(*mark(rig, 0x100, 3), *mark(rig, 0x104, 4))
    context.set("tail", 24)
    rig.submit(context)
    rig.run()
    assert (rig.engine.activity, stored(rig, 0x100), stored(rig, 0x104)) == (Activity.STARVED, 3, 0)
    context.set("tail", 32)
    rig.submit(context)
    rig.run()
    assert rig.done and stored(rig, 0x104) == 4
    assert [finding.rule for finding in rig.findings] == ["ring-ends-in-command"]


def test_a_command_shorter_than_any_of_its_forms_is_illegal() -> None:
    rig = GpuRig(Engine.BCS0)
    rig.execute(SRM_GLOBAL - 1, 0x22034, rig.status_page, 0)
    assert rig.engine.activity is Activity.HUNG
    assert [finding.rule for finding in rig.findings] == ["short-command"]


@pytest.mark.parametrize(("engine", "command"), [(Engine.BCS0, 0x06000000), (Engine.RCS0, 0x55000001), (Engine.VCS0, 0x54300004), (Engine.BCS0, 0xE0000000)])
def test_what_an_engine_does_not_have_is_illegal_there(engine: Engine, command: int) -> None:
    rig = GpuRig(engine)
    rig.execute(command, 0, 0, 0)
    assert rig.engine.activity is Activity.HUNG
    assert [finding.rule for finding in rig.findings] == ["illegal-command"]


# ---- stop and reset ----


def test_a_stopped_engine_is_idle_and_goes_on_when_it_is_let() -> None:
    rig = GpuRig(Engine.BCS0)
    mode = EngineRegisters.mi_mode.at("BCS0")
    context = RigContext(rig, 0x20)
    context.write(SEMAPHORE_EQUAL, 1, rig.status_page + 0x200, 0, *mark(rig, 0x100, 1))
    rig.submit(context)
    rig.run()
    assert not MiMode(rig.registers.read32(mode)).idle
    rig.registers.write32(mode, rig.registers.read32(mode) | MiMode.stop_ring.mask)
    rig.engine.mi_mode_written()
    assert MiMode(rig.registers.read32(mode)).idle
    rig.ggtt.write32(rig.status_page + 0x200, 1)
    rig.run()
    assert stored(rig, 0x100) == 0
    rig.registers.write32(mode, 0)
    rig.engine.mi_mode_written()
    rig.run()
    assert stored(rig, 0x100) == 1
    assert MiMode(rig.registers.read32(mode)).idle


def test_the_reset_handshake_quiesces_the_engine_and_taking_it_back_lets_it_go_on() -> None:
    rig = GpuRig(Engine.BCS0)
    context = RigContext(rig, 0x20)
    context.write(SEMAPHORE_EQUAL, 1, rig.status_page + 0x200, 0)
    rig.submit(context)
    rig.run()
    rig.engine.write_reset_control(0x00010001)
    assert ResetControl(rig.register(EngineRegisters.reset_ctl.offset)).ready
    rig.ggtt.write32(rig.status_page + 0x200, 1)
    rig.run()
    assert not rig.done
    rig.engine.write_reset_control(0x00010000)
    assert rig.register(EngineRegisters.reset_ctl.offset) == 0
    rig.run()
    assert rig.done


@pytest.mark.parametrize("hang", ["spin", "illegal", "fault", "semaphore"])
def test_a_reset_drops_what_runs_and_work_goes_on_afterwards(hang: str) -> None:
    rig = GpuRig(Engine.BCS0)
    guilty, innocent = RigContext(rig, 0x20), RigContext(rig, 0x40)
    guilty.batch(0x2000, BATCH_START, 0x2000, 0)
    guilty.write(*{
        "spin": (BATCH_START, 0x2000, 0), "illegal": (0xFFFFFFFF,), "fault": (SDI, 0, 0x77, 0),
        "semaphore": (SEMAPHORE_EQUAL, 1, rig.status_page + 0x200, 0),
    }[hang])  # fmt: skip
    innocent.write(*mark(rig, 0x100, 1))
    rig.submit(guilty, innocent)
    rig.run()
    rig.engine.reset()
    assert rig.done and rig.clock.next_deadline_ns() is None
    for offset in (0x30, 0x34, 0x38, 0x3C, 0x74, 0xB0, 0xB8, 0x29C):
        assert rig.register(offset) == 0
    assert rig.register(EngineRegisters.mi_mode.offset) == MiMode.idle.mask
    assert rig.register(EngineRegisters.imr.offset) == 0xFFFFFFFF
    assert rig.register(EngineRegisters.execlist_status_hi.offset) == 0
    rig.run()
    assert stored(rig, 0x100) == 0
    rig.open(rig.engine)
    rig.watch_events()
    rig.submit(innocent)
    rig.run()
    assert stored(rig, 0x100) == 1
    assert rig.events() == [(1, 0x40), (0x18, 0x40)]


def test_an_engine_may_be_reset_by_whom_it_tells_something() -> None:
    rig = GpuRig(Engine.BCS0)

    def told(event: int) -> None:
        rig.told.append(str(event))
        if event == 1:
            rig.engine.reset()

    rig.engine._interrupt = told
    rig.execute(*mark(rig, 0x100, 1), USER_INTERRUPT, *[0] * 900)
    assert rig.done and "1" in rig.told
    rig.open(rig.engine)
    rig.execute(*mark(rig, 0x100, 2))
    assert stored(rig, 0x100) == 2


def test_a_command_that_resets_its_own_engine_is_its_last() -> None:
    rig = GpuRig(Engine.BCS0)
    plain = rig.bus.write32

    def write(offset: int, value: int) -> None:
        plain(offset, value)
        if offset == 0x941C:
            rig.engine.reset()

    rig.engine.bus = type("Bus", (), {"write32": staticmethod(write), "read32": staticmethod(rig.bus.read32)})()
    rig.execute(LRI, 0x941C, 8, *mark(rig, 0x100, 1))
    assert stored(rig, 0x100) == 0
    assert rig.done and rig.engine.port.current is None


def test_work_may_be_submitted_by_whom_the_engine_tells_something() -> None:
    rig = GpuRig(Engine.BCS0)
    first, second = RigContext(rig, 0x20), RigContext(rig, 0x40)
    first.write(USER_INTERRUPT)
    second.write(*mark(rig, 0x100, 1))
    rig.engine._interrupt = lambda event: rig.submit(second) if event == 1 else None
    rig.submit(first)
    rig.run()
    assert stored(rig, 0x100) == 1


# ---- garbage ----


@pytest.mark.parametrize("engine", list(Engine))
@pytest.mark.parametrize("seed", range(3))
def test_random_rings_batches_and_images_are_lived_through(engine: Engine, seed: int) -> None:
    rng = random.Random(seed * 7 + ENGINES[engine].base)
    rig = GpuRig(engine, rng.choice(("bdw", "skl")), ram_pages=512, ggtt_pages=256)
    base = ENGINES[engine].base

    def dword() -> int:
        kind = rng.random()
        if kind < 0.45:
            return rng.randrange(0x40) << 23 | rng.getrandbits(23) & rng.choice((0x7FFFFF, 0x7F00FF, 0x00000F))
        if kind < 0.6:
            return rng.choice((rig.status_page, 0x1000, 0x2000, 0, base + 4 * rng.randrange(0x200)))
        if kind < 0.7:
            return rng.randrange(8) << 29 | rng.getrandbits(29)
        return rng.choice((0, 0, 1, rng.getrandbits(32)))

    hung = 0
    status_entry = rig.entries[rig.status_page >> 12]
    for round_ in range(40):
        rig.entries[rig.status_page >> 12] = status_entry  # commands with privilege may have rewritten it
        context = RigContext(rig, 0x20 + 0x20 * (round_ % 3))
        context.batch(0x1000, *(dword() for _ in range(200)))
        context.batch(0x2000, *(dword() for _ in range(200)))
        context.write(*(dword() for _ in range(200)))
        if rng.random() < 0.2:
            context.set(rng.choice(("head", "tail", "control", "start", "context_control", "pdp_lo[0]", "bbaddr", "sbbaddr")), rng.getrandbits(32))
        rig.submit(context)
        rig.run(200_000)
        if rng.random() < 0.3:
            rig.submit(context.descriptor(force_restore=rng.randrange(2)))
            rig.run(200_000)
        hung += rig.engine.activity is Activity.HUNG
        if not rig.done:
            rig.engine.reset()
        rig.open(rig.engine)
        rig.start_over(2)
    assert hung > 10
    rig.entries[rig.status_page >> 12] = status_entry
    rig.execute(*mark(rig, 0x100, 1), context=RigContext(rig, 0x80))
    assert stored(rig, 0x100) == 1
