"""Each engine switched by itself: two vGPUs at work at once, each on an engine that is its own for a while."""

from __future__ import annotations

from itertools import pairwise

import pytest
from support.hardware_bench import Bench, MadeContext
from support.vgpu_rig import GuestContext, GuestRig, batch_start, store

from host_model.host import Host
from host_model.mediator.audit.registers import loadable_registers
from host_model.mediator.hardware.register_switch import registers_with
from host_model.mediator.scheduler.fair import PERIOD_NS
from host_model.mediator.scheduler.round_robin import RoundRobin
from host_model.mediator.scheduler.turn import PATIENCE_NS
from host_model.report import host_report
from pvinfo.errors import StateError, UsageError
from pvinfo.platform import PLATFORMS, Engine
from pvinfo.units import MIB, PAGE_SIZE, GuestAddress

TARGET, BATCH = 0x20_0000, 0x40_0000
STORE_DWORD, STORE_GLOBAL, LOAD_REGISTER, BATCH_END, UNKNOWN = 0x10000002, 0x10400002, 0x11000001, 0x05000000, 0x7F << 23
SLOT, MODE, COPY_MOCS, RENDER_MOCS, L3_CONTROL = 0x24D0, 0x2229C, 0xCC00, 0xC800, 0xB020
MS = 1_000_000


def host_of(switching: str, patience_ns: int = PATIENCE_NS) -> Host:
    return Host("skl", aperture_size=512 * MIB, switching=switching, patience_ns=patience_ns)


def data(rig: GuestRig, context_id: int, engine: Engine) -> tuple[GuestContext, int]:
    made, page = GuestContext(rig, context_id, engine), rig.page()
    made.map(TARGET, page)
    return made, page


def spinner(rig: GuestRig, engine: Engine) -> GuestContext:
    made, batch = GuestContext(rig, 99, engine), rig.page()
    made.map(BATCH, batch)
    rig.write(batch, batch_start(BATCH))
    made.write(*batch_start(BATCH))
    return made


def long_work(rig: GuestRig, engine: Engine, times: int) -> GuestContext:
    """Batches of stores, started from the ring again and again."""
    made, batch = GuestContext(rig, 5, engine), rig.page()
    made.map(TARGET, rig.page())
    made.map(BATCH, batch)
    rig.write(batch, (*(store(TARGET, 1) * 200), BATCH_END, 0))
    for _ in range(times):
        made.write(*batch_start(BATCH))
    return made


def done(rig: GuestRig, engine: Engine) -> int:
    return rig.vgpu.submission.queues[engine].completed


# ---- what there is to choose ----


def test_the_gpu_is_switched_as_a_whole_unless_something_else_is_said() -> None:
    host = Host()
    (turn,) = host.mediator.turn.all
    assert turn.engines == host.platform.engines and host.mediator.turn.switching == "gpu"
    by_engine = host_of("engine").mediator.turn
    assert [turn.engines for turn in by_engine.all] == [(engine,) for engine in host.platform.engines]
    assert len({id(turn.policy) for turn in by_engine.all}) == 4 and by_engine.policy_name == "fair"


def test_a_way_that_there_is_not_is_answered_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="no switching 'slice': there are gpu, engine"):
        Host(switching="slice")


def test_one_policy_object_does_not_serve_four_engines() -> None:
    assert Host(scheduler=RoundRobin(), switching="gpu").mediator.turn.policy_name == "round-robin"
    with pytest.raises(UsageError, match="the scheduler object 'round-robin' is one, and 4 engines have turns of their own"):
        Host(scheduler=RoundRobin(), switching="engine")


# ---- at once ----


def both_at_work(switching: str) -> tuple[Host, GuestRig, GuestRig, int]:
    """One vGPU works on the render engine, the other one on the copy engine; and how long it takes until both are done."""
    host = host_of(switching)
    first, second = GuestRig(host), GuestRig(host)
    start = host.clock.now_ns()
    first.submit(long_work(first, Engine.RCS0, 240))
    second.submit(long_work(second, Engine.BCS0, 240))
    for _ in range(1000):
        first.wait(10_000)
        if done(first, Engine.RCS0) and done(second, Engine.BCS0):
            break
    return host, first, second, host.clock.now_ns() - start


def test_two_vgpus_on_two_engines_work_at_the_same_time() -> None:
    taken = {}
    for switching in ("gpu", "engine"):
        host, first, second, taken[switching] = both_at_work(switching)
        turns = host.mediator.turn
        used = [turns.had(rig.vgpu).used_ns for rig in (first, second)]
        assert turns.used_ns == sum(used)
        overlaps = [max(min(one.end_ns, other.end_ns) - max(one.start_ns, other.start_ns), 0) for one, other in pairwise(turns.timeline.turns)]
        if switching == "gpu":
            assert not any(overlaps) and sum(used) <= taken[switching]
        else:
            assert sum(overlaps) > 0.9 * min(used) and sum(used) > 1.8 * taken[switching]
            assert [turns.of(engine).had(rig.vgpu).used_ns for rig, engine in ((first, Engine.RCS0), (second, Engine.BCS0))] == used
            assert turns.of(Engine.RCS0).had(second.vgpu).turns == 0
        assert [turns.had(rig.vgpu).turns for rig in (first, second)] == [1, 1] and turns.changes == 2
        assert host.guard.violations == 0
    assert taken["engine"] < 0.6 * taken["gpu"]


def test_while_both_work_each_engine_works_for_its_own() -> None:
    host = host_of("engine")
    first, second = GuestRig(host), GuestRig(host)
    first.submit(spinner(first, Engine.RCS0))
    second.submit(spinner(second, Engine.BCS0))
    first.wait()
    hardware = host.mediator.hardware
    assert {engine: hardware.holder(engine) for engine in (Engine.RCS0, Engine.BCS0, Engine.VCS0)} == {Engine.RCS0: 1, Engine.BCS0: 2, Engine.VCS0: 0}
    assert host.guard.owners == {Engine.RCS0: 1, Engine.BCS0: 2, Engine.VCS0: 0, Engine.VECS0: 0}
    host.destroy_vgpu(first.vgpu)
    assert host.guard.owners == {Engine.RCS0: 0, Engine.BCS0: 2, Engine.VCS0: 0, Engine.VECS0: 0}
    assert second.vgpu.submission.queues[Engine.BCS0].running is not None


@pytest.mark.parametrize("scheduler", ["fair", "round-robin", "gvt"])
def test_what_guests_come_to_is_the_same_either_way(scheduler: str) -> None:
    outcomes = []
    for switching in ("gpu", "engine"):
        host = Host("skl", aperture_size=512 * MIB, scheduler=scheduler, switching=switching)
        rigs = [GuestRig(host) for _ in range(3)]
        works = [(rig, engine, *data(rig, 7, engine)) for rig in rigs for engine in host.platform.engines]
        for number in range(12):
            for rig, _, context, _ in works:
                context.write(*store(TARGET + 4 * number, number << 8 | rig.vgpu.number))
                rig.submit(context)
            rigs[0].wait(PERIOD_NS if number % 4 == 3 else 30_000)
        rigs[0].wait(3_000 * MS)
        pages = [rig.ram.read(GuestAddress(page), PAGE_SIZE) for rig, _, _, page in works]
        events = [[[event[1:] for event in rig.events if event[0] is engine] for engine in host.platform.engines] for rig in rigs]
        assert all(page[:48] == b"".join((n << 8 | rig.vgpu.number).to_bytes(4, "little") for n in range(12)) for page, (rig, *_) in zip(pages, works, strict=True))
        outcomes.append((pages, [[done(rig, engine) for engine in host.platform.engines] for rig in rigs], [sum(map(len, of)) > 0 for of in events]))
        assert host.guard.violations == 0 and not any(list(rig.vgpu.findings) for rig in rigs)
    assert outcomes[0] == outcomes[1]


# ---- patience ----


def test_work_without_end_on_one_engine_costs_its_vgpu_nothing_on_another() -> None:
    host = host_of("engine")
    endless, honest = GuestRig(host), GuestRig(host)
    for engine in (Engine.RCS0, Engine.BCS0):
        endless.submit(spinner(endless, engine))
    endless.wait()
    work, page = data(honest, 2, Engine.BCS0)
    other, elsewhere = data(honest, 3, Engine.VCS0)
    for context in (work, other):
        context.write(*store(TARGET, 8))
        honest.submit(context)
    honest.wait(PATIENCE_NS // 2)
    assert (honest.read32(page), honest.read32(elsewhere)) == (0, 8), "nobody has the other engine"
    honest.wait(PATIENCE_NS)
    assert honest.read32(page) == 8
    (finding,) = endless.vgpu.findings
    assert finding.rule == "work-without-end" and finding.where.startswith("bcs0 ring")
    assert endless.vgpu.submission.queues[Engine.RCS0].running is not None
    assert [host.mediator.hardware.engines[engine].resets for engine in (Engine.RCS0, Engine.BCS0)] == [0, 1]


def test_two_vgpus_that_wait_for_each_others_engine_are_parted_when_patience_is_over() -> None:
    """Each has an engine, and work on it that does not end before its other work, for which the other one's engine is wanted."""
    host = host_of("engine", patience_ns=50 * MS)
    rigs = [GuestRig(host) for _ in range(2)]
    order = (Engine.RCS0, Engine.BCS0), (Engine.BCS0, Engine.RCS0)
    pages = []
    for rig, (first, _) in zip(rigs, order, strict=True):
        rig.submit(spinner(rig, first))
    rigs[0].wait()
    for rig, (_, second) in zip(rigs, order, strict=True):
        context, page = data(rig, 4, second)
        context.write(*store(TARGET, 3))
        rig.submit(context)
        pages.append(page)
    rigs[0].wait(60 * MS)
    assert [rig.read32(page) for rig, page in zip(rigs, pages, strict=True)] == [3, 3]


# ---- registers and what is remembered ----


def test_registers_go_with_the_turn_on_their_own_engine_alone() -> None:
    bench = Bench()
    first, second = bench.occupant(1), bench.occupant(2)
    hosts = {place: bench.gpu.registers.read32(place) for place in (SLOT, MODE, COPY_MOCS, RENDER_MOCS, L3_CONTROL)}
    for occupant, slot, table in ((first, 0x7014, 0x38), (second, 0x7300, 0x3B)):
        occupant.registers.write32(SLOT, slot)
        occupant.registers.write32(MODE, 0x0200)
        for place in (COPY_MOCS, RENDER_MOCS, L3_CONTROL):
            occupant.registers.write32(place, table)

    def shown() -> list[int]:
        return [bench.gpu.registers.read32(place) for place in (SLOT, RENDER_MOCS, L3_CONTROL, COPY_MOCS)]

    bench.hardware.give(first, (Engine.RCS0,))
    assert shown() == [0x7014, 0x38, 0x38, hosts[COPY_MOCS]]
    bench.hardware.give(second, (Engine.BCS0,))
    assert shown() == [0x7014, 0x38, 0x38, 0x3B] and bench.gpu.registers.read32(MODE) & 0x0200
    bench.gpu.mmio.write32(0x20A0, 0x55)
    bench.hardware.give(first, (Engine.BCS0,))
    assert shown() == [0x7014, 0x38, 0x38, 0x38] and first.registers.read32(0x20A0) == 0, "the render engine has not changed hands"
    bench.hardware.give(second, (Engine.RCS0,))
    assert shown() == [0x7300, 0x3B, 0x3B, 0x38] and first.registers.read32(0x20A0) == 0x55
    bench.hardware.forget(second)
    assert shown() == [hosts[SLOT], hosts[RENDER_MOCS], hosts[L3_CONTROL], 0x38]
    bench.hardware.forget(first)
    assert {place: bench.gpu.registers.read32(place) for place in hosts} == hosts


def test_a_busy_engine_does_not_change_hands_and_keeps_no_other_from_it() -> None:
    bench = Bench()
    first, second = bench.occupant(1), bench.occupant(2)
    bench.hardware.give(first)
    context = MadeContext(bench, Engine.BCS0, owner=1)
    context.write(0, 0)
    bench.hardware.engines[Engine.BCS0].submit(context.descriptor, lambda: None)
    bench.hardware.give(second, (Engine.RCS0, Engine.VCS0))
    with pytest.raises(StateError, match="giving bcs0 from vGPU 1 to 2 needs state idle, but the state is busy"):
        bench.hardware.give(second)
    assert [bench.hardware.holder(engine) for engine in bench.platform.engines] == [2 if engine in (Engine.RCS0, Engine.VCS0) else 1 for engine in bench.platform.engines]


def test_an_invalidation_is_paid_when_its_own_engine_is_given() -> None:
    bench = Bench()
    mine = bench.occupant(1)
    context = MadeContext(bench, Engine.BCS0, owner=1)
    context.map(0x1000, mine.pin(0x1000))
    bench.hardware.give(mine)
    assert context.run(STORE_DWORD, 0x1000, 0, 1)
    context.map(0x1000, mine.pin(0x2000))
    bench.hardware.owe_invalidation(1, Engine.BCS0)
    bench.hardware.give(mine, (Engine.RCS0,))
    assert context.run(STORE_DWORD, 0x1000, 0, 2)
    bench.hardware.give(mine, (Engine.BCS0,))
    assert context.run(STORE_DWORD, 0x1000, 0, 3)
    assert [int.from_bytes(mine.ram.read(GuestAddress(at), 4), "little") for at in (0x1000, 0x2000)] == [2, 3]


# ---- isolation ----


@pytest.mark.parametrize(("own", "others"), [(Engine.RCS0, Engine.BCS0), (Engine.BCS0, Engine.RCS0), (Engine.VCS0, Engine.VECS0)])
def test_a_wrong_table_is_blamed_on_whom_its_engine_works_for(own: Engine, others: Engine) -> None:
    bench = Bench()
    mine, other = bench.occupant(1), bench.occupant(2)
    bench.hardware.give(mine, (own,))
    bench.hardware.give(other, (others,))
    right, wrong = MadeContext(bench, others, owner=2, context_id=0x40), MadeContext(bench, own, owner=1)
    secret = other.pin(0x5000)
    right.map(0x2000, secret)
    wrong.map(0x2000, secret)
    assert right.run(STORE_DWORD, 0x2000, 0, 0x11)
    assert not wrong.run(STORE_DWORD, 0x2000, 0, 0x22)
    assert right.run(STORE_DWORD, 0x2004, 0, 0x33), "who owns the page goes on"
    assert other.ram.read(GuestAddress(0x5000), 8) == b"\x11\0\0\0\x33\0\0\0"
    assert bench.guard.violations == 1
    (finding,) = bench.gpu.findings.of_rule("isolation-violation")
    assert (finding.vgpu, finding.where) == (1, f"vGPU 1, bus address {secret:#x}") and finding.text.startswith(f"the GPU's {own.value}, working for vGPU 1")
    assert {found.vgpu for found in bench.gpu.findings} == {1}


def test_what_one_engine_has_looked_up_in_the_global_table_serves_no_other() -> None:
    bench = Bench()
    mine, other = bench.occupant(1), bench.occupant(2)
    page = 0x9000
    bench.gpu.ggtt.entries[page] = mine.pin(0x1000) | 1
    address = page << 12
    bench.hardware.give(mine, (Engine.RCS0,))
    bench.hardware.give(other, (Engine.BCS0,))
    drawing, copying = MadeContext(bench, Engine.RCS0, owner=1), MadeContext(bench, Engine.BCS0, owner=2, context_id=0x40)
    assert drawing.run(STORE_GLOBAL, address, 0, 0x44)
    assert not copying.run(STORE_GLOBAL, address, 0, 0x55)
    assert drawing.run(STORE_GLOBAL, address + 4, 0, 0x66)
    assert mine.ram.read(GuestAddress(0x1000), 8) == b"\x44\0\0\0\x66\0\0\0"
    assert [finding.vgpu for finding in bench.gpu.findings.of_rule("isolation-violation")] == [2]


def test_what_an_engine_has_looked_up_stays_while_another_changes_hands() -> None:
    bench = Bench()
    mine, other = bench.occupant(1), bench.occupant(2)
    bench.hardware.give(mine, (Engine.RCS0,))
    context = MadeContext(bench, owner=1)
    context.map(0x1000, mine.pin(0x1000))
    assert context.run(STORE_DWORD, 0x1000, 0, 1)
    context.map(0x1000, mine.pin(0x2000))
    bench.hardware.give(other, (Engine.BCS0,))
    assert context.run(STORE_DWORD, 0x1000, 0, 2)
    bench.hardware.give(None, (Engine.RCS0,))
    bench.hardware.give(mine, (Engine.RCS0,))
    assert context.run(STORE_DWORD, 0x1000, 0, 3)
    assert [int.from_bytes(mine.ram.read(GuestAddress(at), 4), "little") for at in (0x1000, 0x2000)] == [2, 3]


def test_what_the_gpu_notices_of_an_engine_is_of_the_vgpu_that_has_it() -> None:
    host = host_of("engine")
    first, second = GuestRig(host), GuestRig(host)
    first.submit(spinner(first, Engine.RCS0))
    bad, batch = GuestContext(second, 3, Engine.BCS0), second.page()
    bad.map(BATCH, batch)
    second.write(batch, (UNKNOWN, 0))
    bad.write(*batch_start(BATCH))
    second.submit(bad)
    second.wait()
    assert {finding.vgpu for finding in host.gpu.findings} == {2}
    vgpus = host_report(host)["vgpus"]
    assert isinstance(vgpus, list)
    assert [len(vgpu["findings"]) > 0 for vgpu in vgpus] == [False, True]
    assert list(vgpus[0]["schedule"]["engines"]) == ["rcs0", "bcs0", "vcs0", "vecs0"]
    assert [vgpus[0]["schedule"]["engines"][engine]["share"] for engine in ("rcs0", "bcs0")] == [1.0, 0.0]


@pytest.mark.parametrize("platform", PLATFORMS)
def test_no_engine_loads_registers_of_who_has_another_one(platform: str) -> None:
    known = PLATFORMS[platform]
    own = {engine: registers_with(known, engine) for engine in known.engines}
    together = 0
    for engine in known.engines:
        alone, usual = loadable_registers(engine, known, alone=True), loadable_registers(engine, known)
        foreign = frozenset[int]().union(*(own[other] for other in known.engines if other is not engine))
        assert alone == usual - foreign
        together += len(usual & foreign)
    assert together > 50, "a guest that has the whole GPU may load those"


@pytest.mark.parametrize("switching", ["gpu", "engine"])
def test_the_copy_engine_changes_nothing_under_who_draws(switching: str) -> None:
    host = host_of(switching)
    drawing, copying = GuestRig(host), GuestRig(host)
    drawing.submit(spinner(drawing, Engine.RCS0))
    drawing.wait()
    before = host.gpu.registers.read32(0x7014)
    bad, _ = data(copying, 2, Engine.BCS0)
    bad.write(LOAD_REGISTER, 0x7014, 0x00200020, 0)
    copying.submit(bad)
    copying.wait()
    assert host.gpu.registers.read32(0x7014) == before
    rules = [finding.rule for finding in copying.vgpu.findings]
    if switching == "engine":
        assert rules == ["audit-register", "failsafe"]
    else:
        assert not rules, "it waits for its turn, in which it is alone"
        drawing.vgpu.mmio.write32(0x941C, 1 << 1)
        copying.wait()
        assert host.gpu.registers.read32(0x7014) & 0x20
