"""The mediator's hold on the GPU's engines: contexts handed over, completions, resets, and the set-up of it all."""

from __future__ import annotations

import pytest
from support.hardware_bench import Bench, MadeContext

from host_model.clock import RealClock
from host_model.gpu.device import PhysicalGpu
from host_model.host import Host
from host_model.isolation import GuardedMemory
from host_model.mediator.hardware.engine import HardwareEngine
from host_model.mediator.hardware.hardware import Hardware
from host_model.mediator.snapshot import take_snapshot
from host_model.memory import HostMemory
from pvinfo.errors import StateError
from pvinfo.platform import ENGINES, PLATFORMS, Engine
from pvinfo.registers.engine import EngineError, EngineMode, EngineRegisters, MiMode
from pvinfo.units import GIB, MIB, PAGE_SIZE, BusAddress

USER_INTERRUPT, NOOP = 0x01000000, 0
STORE_DWORD = 0x10000002
BATCH_START_GGTT = 0x18800001
UNKNOWN = 0x1F800000  # no MI command has this opcode
MASTER = 0x44200


def busy(engine: HardwareEngine) -> bool:
    return engine.busy


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("engine", list(Engine))
def test_a_context_is_executed_and_its_completion_told_once(platform: str, engine: Engine) -> None:
    bench = Bench(platform)
    context = MadeContext(bench, engine)
    target = bench.memory.allocate(1)
    context.map(0x1000, target.address)
    hardware = bench.hardware.engines[engine]
    told: list[int] = []
    context.write(STORE_DWORD, 0x1010, 0, 0xC0FFEE, USER_INTERRUPT)
    hardware.submit(context.descriptor, lambda: told.append(bench.clock.now_ns()))
    assert busy(hardware) and told == [], "never from inside submit"
    bench.run()
    assert len(told) == 1 and not busy(hardware)
    assert target.bytes.cast("I")[4] == 0xC0FFEE
    assert context.value("head") & 0x1FFFFC == context.tail
    assert (hardware.completed, bench.rules()) == (1, set())


def test_engines_work_at_the_same_time_and_each_tells_for_itself() -> None:
    bench = Bench()
    order: list[Engine] = []
    contexts = {engine: MadeContext(bench, engine, context_id=0x20) for engine in bench.hardware.engines}
    for number, (engine, context) in enumerate(contexts.items()):
        context.write(*[NOOP] * (800 - 250 * number))
        bench.hardware.engines[engine].submit(context.descriptor, lambda engine=engine: order.append(engine))  # type: ignore[misc]
    assert all(hardware.busy for hardware in bench.hardware.engines.values())
    bench.run()
    assert order == list(reversed(contexts)), "the shortest is done first"


def test_one_engine_takes_one_context_at_a_time() -> None:
    bench = Bench()
    context = MadeContext(bench, context_id=0x31)
    hardware = bench.hardware.engines[Engine.RCS0]
    context.write(NOOP, NOOP)
    hardware.submit(context.descriptor, lambda: None)
    with pytest.raises(StateError, match="submitting context 0x31 to rcs0 needs state idle, but the state is running 0x31"):
        hardware.submit(context.descriptor, lambda: None)


def test_the_status_buffer_is_followed_round_and_round() -> None:
    """Two events for each context and six places: the numbers come round each third time."""
    bench = Bench()
    context = MadeContext(bench)
    for _ in range(20):
        assert context.run(NOOP, USER_INTERRUPT)
    assert bench.hardware.engines[Engine.RCS0].completed == 20


def test_whoever_is_told_may_submit_at_once() -> None:
    bench = Bench()
    hardware = bench.hardware.engines[Engine.BCS0]
    contexts = [MadeContext(bench, Engine.BCS0, context_id=0x20 + number) for number in range(3)]
    order: list[int] = []

    def submit_next() -> None:
        if len(order) < 10:
            context = contexts[len(order) % 3]
            order.append(context.context_id)
            context.write(NOOP, USER_INTERRUPT)
            hardware.submit(context.descriptor, submit_next)

    submit_next()
    bench.run()
    assert order == [0x20, 0x21, 0x22] * 3 + [0x20]
    assert hardware.completed == 10 and not hardware.busy


def test_user_interrupts_and_flushes_interrupt_nobody_but_status_events_do() -> None:
    bench = Bench()
    context = MadeContext(bench, Engine.BCS0)
    interrupts = bench.gpu.interrupts_sent
    context.run(*[USER_INTERRUPT] * 40)
    assert bench.gpu.interrupts_sent - interrupts <= 2, "one when it is taken up and one when it is done, or both at once"


# ---- hangs, errors and resets ----


@pytest.mark.parametrize("engine", list(Engine))
def test_a_context_that_spins_is_reset_away_and_the_next_one_runs(engine: Engine) -> None:
    bench = Bench()
    spinning = MadeContext(bench, engine, context_id=0x20)
    batch = bench.hardware.memory.allocate(PAGE_SIZE, 0)
    batch.dwords[:3] = memoryview(b"".join(word.to_bytes(4, "little") for word in (BATCH_START_GGTT, batch.address, 0))).cast("I")
    assert not spinning.run(BATCH_START_GGTT, batch.address, 0)
    hardware = bench.hardware.engines[engine]
    assert busy(hardware)
    hardware.reset()
    assert not busy(hardware) and hardware.resets == 1
    assert MadeContext(bench, engine, context_id=0x21).run(NOOP, USER_INTERRUPT)
    assert hardware.completed == 1, "what was reset is never told of"


def test_an_event_that_came_before_the_reset_is_not_taken_for_the_next_context() -> None:
    bench = Bench()
    hardware = bench.hardware.engines[Engine.RCS0]
    context = MadeContext(bench)
    for count in range(8):  # the write pointer stands somewhere else each time
        for _ in range(count):
            assert context.run(NOOP, NOOP)
        hardware.reset()
        told: list[str] = []
        context.write(NOOP, NOOP)
        hardware.submit(context.descriptor, lambda told=told: told.append("done"))  # type: ignore[misc]
        assert told == []
        bench.run()
        assert told == ["done"]


def test_a_reset_of_one_engine_leaves_the_others_alone() -> None:
    bench = Bench()
    done: list[str] = []
    contexts = {engine: MadeContext(bench, engine) for engine in (Engine.RCS0, Engine.VCS0)}
    for engine, context in contexts.items():
        context.write(*[NOOP] * 500)
        bench.hardware.engines[engine].submit(context.descriptor, lambda engine=engine: done.append(engine.value))  # type: ignore[misc]
    bench.hardware.engines[Engine.RCS0].reset()
    bench.run()
    assert done == ["vcs0"]


def test_a_reset_from_inside_a_completion_does_not_lose_the_other_engines_completion() -> None:
    """Both have events pending in one interrupt group; the first that is told resets its engine."""
    bench = Bench()
    render, copy = bench.hardware.engines[Engine.RCS0], bench.hardware.engines[Engine.BCS0]
    done: list[str] = []
    contexts = MadeContext(bench, Engine.RCS0), MadeContext(bench, Engine.BCS0)
    for context in contexts:
        context.write(NOOP, NOOP)

    def reset_and_submit_elsewhere() -> None:
        done.append("rcs0")
        render.reset()
        copy.submit(contexts[1].descriptor, lambda: done.append("bcs0"))

    render.submit(contexts[0].descriptor, reset_and_submit_elsewhere)
    bench.run()
    assert done == ["rcs0", "bcs0"]
    assert contexts[0].run(NOOP, NOOP), "and the render engine works on"


def test_a_command_that_the_engine_does_not_know_is_reported_once_and_a_reset_helps() -> None:
    bench = Bench()
    hardware = bench.hardware.engines[Engine.RCS0]
    errors: list[EngineError] = []
    hardware.on_error = errors.append
    assert not MadeContext(bench).run(UNKNOWN, NOOP)
    assert errors == [EngineError.of(instruction=1)] and hardware.busy
    hardware.reset()
    assert MadeContext(bench, context_id=0x21).run(NOOP, NOOP)
    assert len(errors) == 1


def test_an_interrupt_in_the_midst_of_a_reset_is_served_after_it() -> None:
    """A message that finds the mediator writing registers is put off, to the same instant."""
    bench = Bench()
    context = MadeContext(bench, Engine.VCS0)
    context.write(NOOP, NOOP)
    told: list[int] = []
    bench.hardware.engines[Engine.VCS0].submit(context.descriptor, lambda: told.append(bench.clock.now_ns()))
    bench.gpu.mmio.write32(MASTER, 0)
    bench.run()
    assert told == [], "the completion stands in the registers, but no message was sent"
    write32, sent = bench.gpu.mmio.write32, bench.gpu.interrupts_sent

    def enabling(offset: int, value: int, /) -> None:
        write32(offset, value)
        if offset == ENGINES[Engine.RCS0].base + EngineRegisters.reset_ctl.offset:
            write32(MASTER, 1 << 31)

    bench.gpu.mmio.write32 = enabling  # type: ignore[method-assign]
    bench.hardware.engines[Engine.RCS0].reset()
    assert (told, bench.gpu.interrupts_sent > sent) == ([], True)
    now = bench.clock.now_ns()
    bench.run()
    assert told == [now]


# ---- set-up ----


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_engine_is_ready_as_soon_as_the_hardware_is_made_and_masks_all_but_its_status(platform: str) -> None:
    bench = Bench(platform)
    pages = set()
    for engine in bench.platform.engines:
        registers = EngineRegisters(bench.gpu.mmio, ENGINES[engine].base)
        assert registers.mode & EngineMode.run_list_enable.mask
        assert not registers.mi_mode & MiMode.stop_ring.mask
        assert registers.imr == 0xFFFFFFFF ^ 0x108 << ENGINES[engine].interrupt_shift
        assert registers.emr == 0xFFFFFFFE
        assert {int(registers.force_to_nonpriv[slot]) for slot in range(12)} == {ENGINES[engine].base + 0x94}
        pages.add(registers.hws_pga)
        frame = bench.gpu.ggtt.entries[registers.hws_pga >> 12] & ~1
        assert bench.memory.owner_of(BusAddress(frame)) == 0
    assert len(pages) == 4 and 0 not in pages
    assert (bench.gpu.config.msi_enabled, bench.gpu.config.master_enabled) == (True, True)
    assert bench.gpu.mmio.read32(0x44200) == 0x80000000
    assert bench.rules() == set()


@pytest.mark.parametrize("platform", PLATFORMS)
def test_what_later_guests_find_is_what_it_was_before_the_mediator_took_the_gpu(platform: str) -> None:
    host = Host(platform)
    before = take_snapshot(PhysicalGpu(PLATFORMS[platform], host.gpu.aperture_size, HostMemory(), host.clock))
    bench = Bench(platform)
    assert take_snapshot(bench.gpu).mmio != before.mmio, "the set-up shows in registers: it has to come after the snapshot"
    plugged = host.plug()
    assert plugged.vgpu.registers.read32(0x229C) == int.from_bytes(before.mmio[0x229C : 0x22A0], "little")
    assert take_snapshot(bench.gpu).config == before.config


def test_on_real_time_contexts_complete_as_well() -> None:
    clock, memory = RealClock(), HostMemory()
    guard = GuardedMemory(memory)
    gpu = PhysicalGpu(PLATFORMS["skl"], 256 * MIB, guard, clock, engine_memory=guard.engine)
    bench = Bench()
    bench.memory, bench.guard, bench.gpu = memory, guard, gpu
    bench.hardware = Hardware(gpu, memory, guard)
    context = MadeContext(bench, Engine.VECS0)
    done: list[bool] = []
    context.write(NOOP, USER_INTERRUPT)
    bench.hardware.engines[Engine.VECS0].submit(context.descriptor, lambda: done.append(True))
    assert done == []
    for _ in range(100):
        clock.run_due()
    assert done == [True]


@pytest.mark.parametrize("aperture", [256 * MIB, 1 * GIB])
def test_status_pages_are_in_the_hosts_part_of_the_aperture(aperture: int) -> None:
    bench = Bench(aperture_size=aperture)
    for engine in bench.platform.engines:
        assert PAGE_SIZE <= EngineRegisters(bench.gpu.mmio, ENGINES[engine].base).hws_pga < 128 * MIB
