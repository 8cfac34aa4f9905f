"""The submission port: which events follow which act, where they are left, and when the running context gives way."""

from __future__ import annotations

import pytest
from support.gpu_rig import GpuRig, RigContext

from host_model.gpu.engine import Activity
from pvinfo.execlist import AddressingMode
from pvinfo.platform import ENGINES, Engine
from pvinfo.registers.engine import EngineRegisters, ExeclistStatus

SDI_GLOBAL = 0x10400002
SEMAPHORE_EQUAL = 0x0E40C002
ARB_CHECK = 0x02800000
ARB_OFF, ARB_ON = 0x04000000, 0x04000001
USER_INTERRUPT = 0x01000000
BATCH_START = 0x18800101

IDLE_TO_ACTIVE = 0x1
ELEMENT_SWITCH = 0x14
ACTIVE_TO_IDLE = 0x18
LITE_RESTORE = 0x8002
PREEMPTED = 0x2

A, B, C = 0x20, 0x40, 0x60


class Bench:
    """A rig with contexts that count in the status page, and a gate that holds a context up."""

    def __init__(self, engine: Engine = Engine.BCS0) -> None:
        self.rig = GpuRig(engine)
        self.rig.watch_events()
        self.gate = self.rig.status_page + 0x200
        self.a, self.b, self.c = (RigContext(self.rig, number) for number in (A, B, C))

    def mark(self, context: RigContext, value: int) -> None:
        """The context writes ``value`` to a place of its own."""
        context.write(SDI_GLOBAL, self.place(context), 0, value)

    def wait_at_gate(self, context: RigContext, value: int = 1) -> None:
        """The context waits until the gate holds ``value``."""
        context.write(SEMAPHORE_EQUAL, value, self.gate, 0)

    def place(self, context: RigContext) -> int:
        return self.rig.status_page + 0x100 + context.context_id

    def marked(self, context: RigContext) -> int:
        return self.rig.ggtt.read32(self.place(context))

    def open_gate(self, value: int = 1) -> None:
        self.rig.ggtt.write32(self.gate, value)
        self.rig.run()


# ---- the table of event sequences ----


def test_a_submission_to_an_idle_engine_and_its_end() -> None:
    bench = Bench()
    bench.wait_at_gate(bench.a)
    bench.rig.submit(bench.a)
    bench.rig.run()
    assert bench.rig.events() == [(IDLE_TO_ACTIVE, A)]
    bench.open_gate()
    assert bench.rig.events() == [(ACTIVE_TO_IDLE, A)]
    assert bench.rig.told.count("context_switch") == 2


def test_two_elements_run_one_after_the_other() -> None:
    bench = Bench()
    bench.mark(bench.a, 1)
    bench.wait_at_gate(bench.b)
    bench.mark(bench.b, 2)
    bench.rig.submit(bench.a, bench.b)
    bench.rig.run()
    assert bench.rig.events() == [(IDLE_TO_ACTIVE, A), (ELEMENT_SWITCH, A)]
    assert (bench.marked(bench.a), bench.marked(bench.b)) == (1, 0)
    bench.open_gate()
    assert bench.rig.events() == [(ACTIVE_TO_IDLE, B)]
    assert bench.marked(bench.b) == 2


def test_a_submission_that_is_pending_when_the_last_context_ends_is_taken_up_after_it() -> None:
    bench = Bench()
    bench.a.write(ARB_OFF)
    bench.wait_at_gate(bench.a)
    bench.mark(bench.b, 3)
    bench.rig.submit(bench.a)
    bench.rig.run()
    bench.rig.submit(bench.b)
    bench.rig.run()
    assert bench.rig.events() == [(IDLE_TO_ACTIVE, A)]
    bench.open_gate()
    assert bench.rig.events() == [(ACTIVE_TO_IDLE, A), (IDLE_TO_ACTIVE, B), (ACTIVE_TO_IDLE, B)]
    assert bench.marked(bench.b) == 3


def test_a_submission_that_begins_with_the_running_context_reads_its_tail_again() -> None:
    bench = Bench()
    bench.wait_at_gate(bench.a)
    bench.rig.submit(bench.a)
    bench.rig.run()
    bench.mark(bench.a, 7)
    bench.mark(bench.b, 8)
    bench.rig.submit(bench.a, bench.b)
    bench.rig.run()
    assert bench.rig.events() == [(IDLE_TO_ACTIVE, A), (LITE_RESTORE, A)]
    bench.open_gate()
    assert bench.rig.events() == [(ELEMENT_SWITCH, A), (ACTIVE_TO_IDLE, B)]
    assert (bench.marked(bench.a), bench.marked(bench.b)) == (7, 8)


def test_a_tail_beyond_the_ring_is_refused_where_it_is_read_again_too() -> None:
    bench = Bench()
    bench.wait_at_gate(bench.a)
    bench.rig.submit(bench.a)
    bench.rig.run()
    bench.a.set("tail", bench.a.ring_size + 8)
    bench.rig.submit(bench.a)
    bench.rig.run()
    assert bench.rig.engine.activity is Activity.HUNG
    (found,) = bench.rig.findings.of_rule("context-not-runnable")
    assert "tail 0x1008 of a ring of 0x1000 bytes" in found.text


def test_a_lite_restore_needs_no_arbitration() -> None:
    bench = Bench()
    bench.a.write(ARB_OFF)
    bench.wait_at_gate(bench.a)
    bench.rig.submit(bench.a)
    bench.rig.run()
    bench.mark(bench.a, 7)
    bench.rig.submit(bench.a)
    bench.rig.run()
    assert bench.rig.events()[-1] == (LITE_RESTORE, A)


def test_the_running_second_element_may_be_gone_on_with_too() -> None:
    bench = Bench()
    bench.mark(bench.a, 1)
    bench.wait_at_gate(bench.b)
    bench.rig.submit(bench.a, bench.b)
    bench.rig.run()
    bench.rig.events()
    bench.mark(bench.b, 9)
    bench.mark(bench.c, 10)
    bench.rig.submit(bench.b, bench.c)
    bench.rig.run()
    assert bench.rig.events() == [(LITE_RESTORE, B)]
    bench.open_gate()
    assert bench.rig.events() == [(ELEMENT_SWITCH, B), (ACTIVE_TO_IDLE, C)]
    assert (bench.marked(bench.b), bench.marked(bench.c)) == (9, 10)


def test_another_context_takes_the_place_of_one_that_waits() -> None:
    bench = Bench()
    bench.wait_at_gate(bench.a)
    bench.mark(bench.a, 1)
    bench.mark(bench.b, 2)
    bench.rig.submit(bench.a)
    bench.rig.run()
    bench.rig.submit(bench.b, bench.a)
    bench.rig.run()
    assert bench.rig.events() == [(IDLE_TO_ACTIVE, A), (PREEMPTED, A), (ELEMENT_SWITCH, B)]
    assert (bench.marked(bench.a), bench.marked(bench.b)) == (0, 2)
    bench.open_gate()
    assert bench.rig.events() == [(ACTIVE_TO_IDLE, A)]
    assert bench.marked(bench.a) == 1


def test_force_restore_loads_the_running_context_anew_and_so_takes_a_tail_that_moved_back() -> None:
    bench = Bench()
    bench.wait_at_gate(bench.a)
    shorter = bench.a.tail
    bench.mark(bench.a, 5)
    bench.rig.submit(bench.a)
    bench.rig.run()
    bench.a.set("tail", shorter)
    bench.rig.submit(bench.a.descriptor(force_restore=1))
    bench.rig.run()
    bench.open_gate()
    assert bench.rig.events() == [(IDLE_TO_ACTIVE, A), (PREEMPTED, A), (ACTIVE_TO_IDLE, A)]
    assert bench.marked(bench.a) == 0
    assert bench.a.value("head") == shorter


def test_when_the_first_element_ends_the_pending_submission_comes_before_the_second() -> None:
    bench = Bench()
    bench.a.write(ARB_OFF)
    bench.wait_at_gate(bench.a)
    bench.mark(bench.b, 1)
    bench.mark(bench.c, 2)
    bench.rig.submit(bench.a, bench.b)
    bench.rig.run()
    bench.rig.submit(bench.c)
    bench.rig.run()
    bench.open_gate()
    assert bench.rig.events() == [(IDLE_TO_ACTIVE, A), (ELEMENT_SWITCH, A), (PREEMPTED, B), (ACTIVE_TO_IDLE, C)]
    assert (bench.marked(bench.b), bench.marked(bench.c)) == (0, 2)


# ---- where a context may be left ----


def _looping(bench: Bench, context: RigContext, *body: int) -> None:
    context.batch(0x20000, *body, *[0] * 16, BATCH_START, 0x20000, 0)
    context.write(BATCH_START, 0x20000, 0)


def test_a_loop_with_an_arbitration_check_gives_way() -> None:
    bench = Bench()
    _looping(bench, bench.a, ARB_CHECK)
    bench.mark(bench.b, 1)
    bench.rig.submit(bench.a)
    bench.rig.run()
    bench.rig.submit(bench.b, bench.a)
    bench.rig.run()
    assert bench.rig.events() == [(IDLE_TO_ACTIVE, A), (PREEMPTED, A), (ELEMENT_SWITCH, B)]
    assert bench.rig.engine.activity is Activity.WAITING  # round and round again
    assert bench.a.value("bbaddr") & ~3 in range(0x20000, 0x20054)


@pytest.mark.parametrize("before", [(0,), (ARB_OFF, ARB_CHECK)], ids=["no check", "arbitration off"])
def test_a_loop_without_one_keeps_the_engine(before: tuple[int, ...]) -> None:
    bench = Bench()
    if ARB_OFF in before:
        bench.a.write(ARB_OFF)
    _looping(bench, bench.a, *(dword for dword in before if dword != ARB_OFF))
    bench.mark(bench.b, 1)
    bench.rig.submit(bench.a)
    bench.rig.run()
    bench.rig.submit(bench.b)
    bench.rig.run(100_000_000)
    assert bench.rig.events() == [(IDLE_TO_ACTIVE, A)]
    assert bench.marked(bench.b) == 0
    assert ExeclistStatus(bench.rig.register(EngineRegisters.execlist_status_lo.offset)).queue_full


def test_arbitration_is_on_again_with_the_next_context() -> None:
    bench = Bench()
    bench.a.write(ARB_OFF)
    bench.wait_at_gate(bench.b)
    bench.mark(bench.c, 1)
    bench.rig.submit(bench.a, bench.b)
    bench.rig.run()
    bench.rig.submit(bench.c)
    bench.rig.run()
    assert bench.rig.events()[-2:] == [(PREEMPTED, B), (ACTIVE_TO_IDLE, C)]


# ---- where events are left ----


def test_an_event_is_in_registers_and_in_the_status_page_before_it_is_told() -> None:
    bench = Bench(Engine.VCS0)
    rig = bench.rig
    rig.registers.write32(EngineRegisters.context_status_ptr.at("VCS0"), 5)
    seen: list[tuple[int, int, int]] = []
    rig.engine._interrupt = lambda event: seen.append((
        event, rig.ggtt.read32(rig.status_page + 0x7C), rig.register(EngineRegisters.context_status_ptr.offset),
    ))  # fmt: skip
    rig.execute(0)
    assert seen == [(1 << 8, 1, 1)]
    buffer = [rig.register(0x370 + 4 * index) for index in range(4)]
    assert buffer == [IDLE_TO_ACTIVE, 0x20, ACTIVE_TO_IDLE, 0x20]
    assert [rig.ggtt.read32(rig.status_page + 0x40 + 4 * index) for index in range(4)] == buffer


@pytest.mark.parametrize("pointer", [5, 6, 7])
def test_the_first_event_after_a_reset_is_number_0(pointer: int) -> None:
    rig = GpuRig(Engine.BCS0)
    rig.registers.write32(EngineRegisters.context_status_ptr.at("BCS0"), pointer)
    rig.execute(0)
    assert rig.ggtt.read32(rig.status_page + 0x40) == IDLE_TO_ACTIVE
    assert rig.ggtt.read32(rig.status_page + 0x7C) == 1


def test_events_go_round_six_entries() -> None:
    bench = Bench()
    for _ in range(5):
        bench.rig.submit(bench.a)
        bench.rig.run()
    assert bench.rig.ggtt.read32(bench.rig.status_page + 0x7C) == 10 % 6 - 1
    assert bench.rig.ggtt.read32(bench.rig.status_page + 0x40 + 8 * 3) == ACTIVE_TO_IDLE


def test_events_of_an_engine_without_a_status_page_are_in_the_registers_at_least() -> None:
    rig = GpuRig(Engine.BCS0)
    EngineRegisters(rig.registers, "BCS0").hws_pga = 0x3FF000
    context = RigContext(rig, A)
    rig.entries[0x3FF] = 0
    rig.execute(0, context=context)
    assert rig.done
    assert rig.register(0x370) == IDLE_TO_ACTIVE
    assert rig.findings.of_rule("status-page-unreachable")[0].occurrences == 2


def test_the_breadcrumb_is_in_memory_before_the_user_interrupt_is_told() -> None:
    rig = GpuRig(Engine.BCS0)
    seen: list[int] = []
    rig.engine._interrupt = lambda event: seen.append(rig.ggtt.read32(rig.status_page + 0x100)) if event == 1 else None
    rig.execute(0x13004002, rig.status_page + 0x100 | 4, 0, 42, USER_INTERRUPT, ARB_ON)
    assert seen == [42]


# ---- the status register ----


def test_the_status_register_shows_which_element_of_which_place_runs() -> None:
    bench = Bench()
    rig = bench.rig

    def status() -> tuple[ExeclistStatus, int]:
        low = rig.register(EngineRegisters.execlist_status_lo.offset)
        return ExeclistStatus(low), rig.register(EngineRegisters.execlist_status_hi.offset)

    idle = status()
    assert (idle[0].slot0_active, idle[0].slot1_active, idle[0].queue_full, idle[1]) == (False, False, False, 0)
    bench.wait_at_gate(bench.a)
    bench.wait_at_gate(bench.b, 2)
    rig.submit(bench.a, bench.b)
    assert status()[0].queue_full
    rig.run()
    first, context_id = status()
    assert (first.current_pointer, first.write_pointer, first.slot0_active, first.slot1_active) == (0, 1, True, False)
    assert (first.active_element, first.queue_full, context_id) == (1, False, A)
    bench.open_gate()
    second, context_id = status()
    assert (second.active_element, second.last_switch_reason, context_id) == (2, ELEMENT_SWITCH, B)
    bench.wait_at_gate(bench.c, 3)
    rig.submit(bench.c)
    pending = status()[0]
    assert (pending.queue_full, pending.slot0_valid, pending.slot1_valid) == (True, True, True)
    rig.run()
    other, context_id = status()
    assert (other.current_pointer, other.write_pointer, other.slot0_active, other.slot1_active, context_id) == (1, 0, False, True, C)
    bench.open_gate(3)
    end, context_id = status()
    assert (end.current_pointer, end.slot0_valid, end.slot1_valid, end.last_switch_reason, context_id) == (1, False, False, ACTIVE_TO_IDLE, 0)


# ---- what is refused ----


def test_half_a_submission_does_nothing_and_a_reset_forgets_it() -> None:
    bench = Bench()
    bench.mark(bench.a, 1)
    for dword in (0xBAD, 0xBAD, 0xBAD):
        bench.rig.engine.write_port(dword)
    bench.rig.run()
    assert bench.rig.events() == []
    bench.rig.engine.reset()
    bench.rig.open(bench.rig.engine)
    bench.rig.submit(bench.a)
    bench.rig.run()
    assert bench.marked(bench.a) == 1


def test_a_submission_is_dropped_while_execlists_are_off() -> None:
    bench = Bench()
    EngineRegisters(bench.rig.registers, "BCS0").mode = type(EngineRegisters(bench.rig.registers, "BCS0").mode)(0)
    bench.rig.submit(bench.a)
    bench.rig.run()
    assert bench.rig.events() == []
    assert [finding.rule for finding in bench.rig.findings] == ["submission-without-run-list"]


def test_a_submission_whose_first_element_is_empty_is_dropped() -> None:
    bench = Bench()
    for dword in (A, bench.a.descriptor().low, 0, 0):
        bench.rig.engine.write_port(dword)
    bench.rig.run()
    assert bench.rig.events() == []
    assert [finding.rule for finding in bench.rig.findings] == ["empty-submission"]


def test_a_third_submission_takes_the_place_of_the_pending_one() -> None:
    bench = Bench()
    bench.a.write(ARB_OFF)
    bench.wait_at_gate(bench.a)
    bench.mark(bench.b, 1)
    bench.mark(bench.c, 2)
    for context in (bench.a, bench.b, bench.c):
        bench.rig.submit(context)
        bench.rig.run()
    bench.open_gate()
    assert (bench.marked(bench.b), bench.marked(bench.c)) == (0, 2)
    assert [finding.rule for finding in bench.rig.findings] == ["submission-lost"]


def test_an_image_that_is_nowhere_hangs_the_engine_and_shows_the_fault() -> None:
    rig = GpuRig(Engine.BCS0)
    context = RigContext(rig, A)
    rig.entries[context.image + 0x1000 >> 12] = 0
    rig.submit(context)
    rig.run()
    assert rig.engine.activity is Activity.HUNG
    assert rig.register(EngineRegisters.execlist_status_hi.offset) == A
    assert rig.registers.read32(0x4094) == 1 | 1 << 11 | 2 << 12
    assert rig.registers.read32(0x4B10) == context.image + 0x1000 >> 12
    assert rig.registers.read32(0x4B14) == 1 << 4


def test_contexts_that_share_the_processors_page_tables_cannot_run() -> None:
    rig = GpuRig(Engine.BCS0)
    context = RigContext(rig, A)
    rig.submit(context.descriptor(addressing_mode=AddressingMode.ADVANCED))
    rig.run()
    assert rig.engine.activity is Activity.HUNG
    assert [finding.rule for finding in rig.findings] == ["context-not-runnable"]


@pytest.mark.parametrize("engine", list(Engine))
def test_every_engine_has_a_port_of_its_own(engine: Engine) -> None:
    rig = GpuRig(engine)
    rig.watch_events()
    rig.execute(SDI_GLOBAL, rig.status_page + 0x100, 0, 1)
    assert rig.events() == [(IDLE_TO_ACTIVE, 0x20), (ACTIVE_TO_IDLE, 0x20)]
    assert rig.register(0x370) == rig.registers.read32(ENGINES[engine].base + 0x370) == IDLE_TO_ACTIVE
    assert (rig.engine.contexts, rig.engine.port.submissions) == (1, 1)
