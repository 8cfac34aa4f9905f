"""An engine's time: slices, waiting, and what is told when."""

from __future__ import annotations

import pytest
from support.engine_commands import ARB_CHECK, BATCH_END, BATCH_START, SDI, SEMAPHORE_EQUAL, USER_INTERRUPT, mark, stored
from support.gpu_rig import GpuRig, RigContext

from host_model.clock import RealClock, VirtualClock
from host_model.device.timestamp import timestamp_at
from host_model.gpu.engine import Activity
from pvinfo.platform import Engine
from pvinfo.registers.engine import EngineRegisters


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
