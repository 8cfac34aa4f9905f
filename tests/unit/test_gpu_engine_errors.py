"""An engine that stops: by an error, on demand, and by reset."""

from __future__ import annotations

import pytest
from support.engine_commands import BATCH_END, BATCH_START, LRI, SDI, SEMAPHORE_EQUAL, SRM_GLOBAL, USER_INTERRUPT, mark, stored
from support.gpu_rig import GpuRig, RigContext

from host_model.gpu.engine import Activity
from pvinfo.platform import Engine
from pvinfo.registers.engine import EngineRegisters, MiMode, ResetControl


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
