"""Whose turn it is: two and more vGPUs that want the one GPU."""

from __future__ import annotations

import pytest
from support.vgpu_rig import GuestContext, GuestRig, batch_start, store

from host_model.host import Host
from host_model.mediator.scheduler.fair import PERIOD_NS as SLICE_NS
from host_model.mediator.scheduler.turn import PATIENCE_NS
from pvinfo.platform import ENGINES, Engine
from pvinfo.registers.engine import EngineRegisters
from pvinfo.units import MIB

TARGET, BATCH = 0x20_0000, 0x40_0000
BURST = 0x60_0000


@pytest.fixture
def rigs() -> list[GuestRig]:
    host = Host("skl", aperture_size=512 * MIB)
    return [GuestRig(host) for _ in range(3)]


def data(rig: GuestRig, context_id: int, engine: Engine = Engine.BCS0) -> tuple[GuestContext, int]:
    made, page = GuestContext(rig, context_id, engine), rig.page()
    made.map(TARGET, page)
    return made, page


def spinner(rig: GuestRig, engine: Engine = Engine.BCS0) -> GuestContext:
    made, batch = GuestContext(rig, 99, engine), rig.page()
    made.map(BATCH, batch)
    rig.write(batch, batch_start(BATCH))
    made.write(*batch_start(BATCH))
    return made


def test_the_gpu_stays_with_a_vgpu_that_is_alone(rigs: list[GuestRig]) -> None:
    rig, turn = rigs[0], rigs[0].host.mediator.turn.of(Engine.BCS0)
    work, page = data(rig, 1)
    for number in range(5):
        work.write(*store(TARGET, number))
        rig.submit(work)
        rig.wait(10 * SLICE_NS)
        assert rig.read32(page) == number
    assert (turn.current, turn.changes) == (rig.vgpu, 1)


def test_everybody_who_waits_has_a_turn_and_each_finds_its_own_pattern(rigs: list[GuestRig]) -> None:
    works = [(rig, *data(rig, 7)) for rig in rigs]
    for number in range(20):
        for rig, work, _ in works:
            work.write(*store(TARGET + 4 * number, number << 8 | rig.vgpu.number))
            rig.submit(work)
        rigs[0].wait()
    for rig, _, page in works:
        assert [rig.read32(page + 4 * number) for number in range(20)] == [number << 8 | rig.vgpu.number for number in range(20)]
        assert rig.vgpu.submission.queues[Engine.BCS0].completed == 20
    assert rigs[0].host.mediator.turn.changes >= 3
    assert rigs[0].host.guard.violations == 0


def test_registers_that_go_with_the_turn_are_each_vgpus_own(rigs: list[GuestRig]) -> None:
    register = 0x24D0
    opened = {rig.vgpu.number: 0x2580 + 4 * 0 if rig is rigs[0] else 0x7010 for rig in rigs[:2]}
    for rig in rigs[:2]:
        rig.vgpu.mmio.write32(register, opened[rig.vgpu.number])
    for _ in range(2):
        for rig in rigs[:2]:
            work, _ = data(rig, 1, Engine.RCS0)
            work.write(*store(TARGET, 1))
            rig.submit(work)
            rig.wait()
            assert rig.host.gpu.registers.read32(register) == opened[rig.vgpu.number]


def test_work_that_does_not_end_keeps_others_waiting_for_so_long_and_no_longer(rigs: list[GuestRig]) -> None:
    endless, honest = rigs[0], rigs[1]
    endless.submit(spinner(endless))
    endless.wait()
    work, page = data(honest, 2, Engine.RCS0)
    work.write(*store(TARGET, 8))
    honest.submit(work)
    honest.wait(PATIENCE_NS // 2)
    assert honest.read32(page) == 0 and not list(endless.vgpu.findings)
    honest.wait(PATIENCE_NS)
    assert honest.read32(page) == 8
    (finding,) = endless.vgpu.findings
    assert finding.rule == "work-without-end" and finding.where.startswith("bcs0 ring")
    assert [event[1] for event in endless.events] == [1], "its guest never hears of an end"
    assert not list(honest.vgpu.findings)


def test_the_guest_whose_work_was_ended_resets_its_engine_and_goes_on(rigs: list[GuestRig]) -> None:
    endless, honest = rigs[0], rigs[1]
    endless.submit(spinner(endless))
    work, _ = data(honest, 2)
    work.write(*store(TARGET, 8))
    honest.submit(work)
    honest.wait(2 * PATIENCE_NS)
    endless.vgpu.mmio.write32(0x941C, 1 << 3)
    endless.enable(Engine.BCS0)
    better, page = data(endless, 3)
    better.write(*store(TARGET, 5))
    endless.submit(better)
    endless.wait()
    assert endless.read32(page) == 5


def test_nobody_is_ended_while_nobody_waits(rigs: list[GuestRig]) -> None:
    rigs[0].submit(spinner(rigs[0]))
    rigs[0].wait(20 * PATIENCE_NS)
    assert rigs[0].vgpu.submission.queues[Engine.BCS0].running is not None
    assert not list(rigs[0].vgpu.findings)


def test_nobody_is_ended_for_the_sake_of_somebody_who_waits_no_more(rigs: list[GuestRig]) -> None:
    endless, other = rigs[0], rigs[1]
    endless.submit(spinner(endless))
    endless.wait()
    work, _ = data(other, 2)
    work.write(*store(TARGET, 8))
    other.submit(work)
    other.wait(2 * SLICE_NS)
    other.vgpu.mmio.write32(0x941C, 1 << 3)
    other.wait(20 * PATIENCE_NS)
    assert endless.vgpu.submission.queues[Engine.BCS0].running is not None
    assert not list(endless.vgpu.findings)


def test_a_guest_that_ends_its_own_endless_work_lets_the_others_in_at_once(rigs: list[GuestRig]) -> None:
    endless, honest = rigs[0], rigs[1]
    endless.submit(spinner(endless))
    endless.wait()
    work, page = data(honest, 2)
    work.write(*store(TARGET, 8))
    honest.submit(work)
    honest.wait(10 * SLICE_NS)
    assert honest.read32(page) == 0
    endless.vgpu.mmio.write32(0x941C, 1 << 3)
    honest.wait()
    assert honest.read32(page) == 8
    assert not list(endless.vgpu.findings)


def test_while_others_wait_nothing_new_is_given_to_whoever_has_had_its_slice(rigs: list[GuestRig]) -> None:
    """A guest that always has more to do shares with one that has as much."""
    busy, other = rigs[0], rigs[1]
    done: dict[int, int] = {}
    for rig in (busy, other):
        for number in range(2):
            work, _ = data(rig, number)
            batch = rig.page()
            work.map(BURST, batch)
            # A quarter of a slice: stores until the page is full, from a batch that is started again and again.
            rig.write(batch, (*(store(TARGET, 1) * 200), 0x05000000))
            for _ in range(20):
                work.write(*batch_start(BURST))
                rig.submit(work)
    for _ in range(200):
        busy.wait(SLICE_NS // 20)
        done = {rig.vgpu.number: rig.vgpu.submission.queues[Engine.BCS0].completed for rig in (busy, other)}
        if min(done.values()) == 40:
            break
    assert done == {busy.vgpu.number: 40, other.vgpu.number: 40}


def test_a_vgpu_that_leaves_in_its_turn_leaves_the_registers_as_the_host_had_them(rigs: list[GuestRig]) -> None:
    rig, host = rigs[0], rigs[0].host
    slot = ENGINES[Engine.RCS0].base + EngineRegisters.force_to_nonpriv.offset
    before = host.gpu.registers.read32(slot)
    rig.vgpu.mmio.write32(slot, 0x7010)
    work, _ = data(rig, 1, Engine.RCS0)
    work.write(*store(TARGET, 1))
    rig.submit(work)
    rig.wait()
    assert host.gpu.registers.read32(slot) == 0x7010
    host.destroy_vgpu(rig.vgpu)
    assert host.gpu.registers.read32(slot) == before
    assert set(host.guard.owners.values()) == {0} and host.mediator.turn.of(Engine.RCS0).current is None
