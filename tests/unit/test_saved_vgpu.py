"""A vGPU that is saved and goes on elsewhere: nothing of its guest is lost, nothing of anybody else's changes, and what cannot be is refused."""

from __future__ import annotations

import json
import pickle
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.moving import counts_of, keep_time_with, move, ram_of
from support.vgpu_rig import GuestContext, GuestRig, batch_start, store, user_interrupt

from host_model.clock import RealClock
from host_model.device.interrupts import Event
from host_model.host import Host, PluggedVgpu
from host_model.hypervisor.local import LocalVirtualMachine
from host_model.mediator.failsafe import FailsafeReason
from host_model.mediator.pv import Announcement
from host_model.mediator.types import VgpuType
from host_model.mediator.vgpu import Vgpu
from pvinfo.errors import RestoreRefused, SaveRefused, StateError
from pvinfo.golden_state import GoldenState
from pvinfo.notify import Notification
from pvinfo.page import PVINFO_BASE, VGT_IF, PvInfo
from pvinfo.platform import ENGINES, Engine
from pvinfo.registers.engine import EngineRegisters
from pvinfo.registers.fence import FENCE_BASE
from pvinfo.registers.interrupt import InterruptGroup, MasterInterrupt
from pvinfo.registers.reset import ResetRegisters
from pvinfo.units import GIB, MIB, PAGE_SIZE

RAM = 4 * MIB
TARGET, BATCH = 0x20_0000, 0x40_0000
MILLISECOND = 1_000_000


def workers(rig: GuestRig) -> list[tuple[GuestContext, int]]:
    """A context on each engine, with a page of data each; where that is in RAM."""
    made = []
    for number, engine in enumerate(rig.vgpu.platform.engines):
        context, page = GuestContext(rig, 10 + number, engine), rig.page()
        context.map(TARGET, page)
        made.append((context, page))
    return made


def work(context: GuestContext, value: int) -> None:
    """Let a context store and tell."""
    context.write(*store(TARGET + 4 * (value % 64), value), *user_interrupt())
    context.rig.submit(context)


def spinner(rig: GuestRig) -> GuestContext:
    """A context whose batch starts itself for ever."""
    context, batch = GuestContext(rig, 0x77, Engine.VCS0), rig.page()
    context.map(BATCH, batch)
    rig.write(batch, batch_start(BATCH))
    context.write(*batch_start(BATCH))
    return context


def plugged(rig: GuestRig) -> PluggedVgpu:
    return PluggedVgpu(rig.vgpu, rig.machine)


# ---- what was submitted ----


def finish(rig: GuestRig, contexts: list[tuple[GuestContext, int]]) -> dict[str, object]:
    """More work after what was under way; what came of it all."""
    rig.wait(5 * MILLISECOND)
    for number, (context, _) in enumerate(contexts):
        work(context, 200 + number)
    rig.wait(5 * MILLISECOND)
    told = 0
    for identity in rig.told:
        told |= identity
    by_engine = {engine.value: [event[1:] for event in rig.events if event[0] is engine] for engine in rig.vgpu.platform.engines}
    return {
        "memory": [list(rig.ram.read(page, 256)) for _, page in contexts],  # type: ignore[arg-type]
        "events": {name: [list(event) for event in events] for name, events in by_engine.items()},
        "told": told,
        "heads": [context.value("head") for context, _ in contexts],
        "violations": rig.host.guard.violations,
        "findings": [finding.rule for finding in rig.vgpu.findings],
        "completed": {engine.value: queue.completed for engine, queue in rig.vgpu.submission.queues.items()},
    }


def begin(platform: str) -> tuple[GuestRig, list[tuple[GuestContext, int]]]:
    """A guest with work done before, and with work on its way on every engine."""
    rig = GuestRig(Host(platform))
    contexts = workers(rig)
    work(contexts[0][0], 1)
    rig.wait()
    for number, (context, _) in enumerate(contexts):
        work(context, 100 + number)
    return rig, contexts


@pytest.mark.parametrize("platform", ["skl", "bdw"])
def test_work_under_way_is_carried_out_and_another_process_goes_on(platform: str, tmp_path: Path) -> None:
    never_moved = finish(*begin(platform))
    rig, contexts = begin(platform)
    assert rig.vgpu.submission.has_work, "the work has not even begun"
    saved = rig.host.save(rig.vgpu)
    (tmp_path / "saved").write_bytes(saved)
    (tmp_path / "ram").write_bytes(ram_of(rig.ram, RAM))
    (tmp_path / "guest").write_bytes(pickle.dumps((platform, rig, contexts)))
    del rig, contexts
    script = "import sys; from unit.test_saved_vgpu import go_on_elsewhere; go_on_elsewhere(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads(json.dumps(never_moved))


def go_on_elsewhere(folder: str) -> None:
    """The other process."""
    place = Path(folder)
    platform, rig, contexts = pickle.loads((place / "guest").read_bytes())
    host = Host(platform)
    rig.take_over(host, host.plug_saved((place / "saved").read_bytes(), (place / "ram").read_bytes()))
    print(json.dumps(finish(rig, contexts)))


def random_life(seed: int, switching: str, at_point: Callable[[GuestRig], None]) -> list[object]:
    """A guest that does this and that, with three points at which something happens to it; all that it, and its host, knows at the end."""
    rng = random.Random(seed)
    platform = rng.choice(("skl", "bdw", "kbl", "bxt"))
    rig = GuestRig(Host(platform, switching=switching))
    contexts = workers(rig)
    points = set(rng.sample(range(60), 3))
    for number in range(60):
        if number in points:
            at_point(rig)
        act = rng.random()
        context, _ = rng.choice(contexts)
        if act < 0.6:
            work(context, rng.randrange(1 << 32))
        elif act < 0.8:
            rig.wait(rng.randrange(300_000))
        elif act < 0.85:
            rig.vgpu.mmio.write32(PvInfo.pdp0_lo.at(), context.root)
            rig.vgpu.mmio.write32(PvInfo.g2v_notify.at(), rng.choice((*2 * (Notification.PPGTT_L4_PAGE_TABLE_CREATE,), Notification.PPGTT_L4_PAGE_TABLE_DESTROY)))
        elif act < 0.9:
            rig.map(int(rig.vgpu.resources.high.start) + PAGE_SIZE * rng.randrange(8), PAGE_SIZE * rng.randrange(RAM // PAGE_SIZE))
        elif act < 0.95:
            start = int(rig.vgpu.resources.low.start)
            for half, value in enumerate((start | 1, (start + 0xF000) | 7)):
                rig.vgpu.mmio.write32(FENCE_BASE + 8 * rng.randrange(4) + 4 * half, value)
        else:
            reset = ResetRegisters(rig.vgpu.mmio)
            reset.gdrst = type(reset.gdrst)(1 << ENGINES[context.engine].reset_bit)
            rig.enable(context.engine)
    rig.wait(20 * MILLISECOND)
    vgpu = rig.vgpu
    if switching == "engine":
        for context, _ in contexts:
            context.set("ctx_timestamp", 0)  # which engine is handed over first is a host's own, and moves a run by less than a tick
    for engine in vgpu.platform.engines:
        EngineRegisters(vgpu.registers, ENGINES[engine].base).acthd = 0  # where it was last: in a ring of the host's, wherever that is
    return [
        ram_of(rig.ram, RAM), bytes(vgpu.registers.bytes), rig.events, rig.told, rig.machine.clock.now_ns(), vgpu.interrupts_sent,
        vgpu.port.mapped_pages, vgpu.tables.tables, [vgpu.gpu.fences[number] for number in vgpu.resources.fences], vgpu.mmio.writes,
        vgpu.time.spent_ns, {queue.engine: (queue.completed, queue.requests) for queue in vgpu.submission.queues.values()},
        rig.host.guard.violations,
    ]  # fmt: skip


@pytest.mark.parametrize("switching", ["gpu", "engine"])
@pytest.mark.parametrize("seed", range(10))
def test_a_random_guest_sees_the_same_to_the_nanosecond_whether_it_was_moved_or_only_stood_still(seed: int, switching: str) -> None:
    def stands_still(rig: GuestRig) -> None:
        rig.host.save(rig.vgpu)
        rig.vgpu.standstill.end()

    def moves(rig: GuestRig) -> None:
        target = Host(rig.host.platform.name, switching=switching)
        rig.take_over(target, move(plugged(rig), rig.host, target, RAM))

    assert random_life(seed, switching, moves) == random_life(seed, switching, stands_still)


def test_what_the_guest_was_to_be_told_meanwhile_it_is_told_once_it_goes_on() -> None:
    rig = GuestRig(Host("skl"))
    contexts = workers(rig)
    for context, _ in contexts:
        work(context, 5)
    rig.host.save(rig.vgpu)
    assert (rig.told, rig.events, rig.vgpu.interrupts_sent) == ([], [], 0), "its processors stand still, too"
    assert rig.vgpu.mmio.read32(InterruptGroup.iir.at("GT0")) != 0
    moved = move(plugged(rig), rig.host, target := Host("skl"), RAM)
    rig.take_over(target, moved)
    assert (len(rig.told), moved.vgpu.interrupts_sent) == (1, 1)
    assert sorted({event[0].value for event in rig.events}) == sorted(engine.value for engine in moved.vgpu.platform.engines)


def test_an_event_that_waits_behind_another_one_comes_up_after_the_move() -> None:
    rig, _ = begin("skl")
    iir = InterruptGroup.iir.at("GT0")
    rig.vgpu.mmio.write32(MasterInterrupt.control.at(), 0)
    rig.vgpu.mmio.write32(InterruptGroup.imr.at("GT0"), 0)
    rig.vgpu.interrupts.raise_event(Event.RCS_USER)
    assert rig.vgpu.mmio.read32(iir) & 1
    rig.vgpu.interrupts.raise_event(Event.RCS_USER)
    moved = move(plugged(rig), rig.host, Host("skl"), RAM).vgpu
    moved.mmio.write32(iir, 1)
    assert moved.mmio.read32(iir) & 1
    moved.mmio.write32(iir, 1)
    assert not moved.mmio.read32(iir) & 1


@pytest.mark.parametrize("switching", ["gpu", "engine"])
@pytest.mark.parametrize("scheduler", ["fair", "gvt", "round-robin"])
def test_a_vgpu_that_was_saved_goes_on_where_it_is_if_it_is_let(scheduler: str, switching: str) -> None:
    rig = GuestRig(Host("skl", scheduler=scheduler, switching=switching))
    (context, page), *_ = workers(rig)
    rig.host.save(rig.vgpu)
    work(context, 7)
    rig.wait(10 * MILLISECOND)
    assert rig.read32(page + 28) == 0, "while it stands still nothing of it is given to the GPU"
    rig.vgpu.standstill.end()
    rig.wait(10 * MILLISECOND)
    assert rig.read32(page + 28) == 7


def test_work_that_waits_for_execlists_to_be_chosen_is_moved_as_it_is() -> None:
    rig = GuestRig(Host("skl"))
    contexts = workers(rig)
    reset = ResetRegisters(rig.vgpu.mmio)
    reset.gdrst = type(reset.gdrst)(1 << ENGINES[Engine.RCS0].reset_bit)
    work(contexts[1][0], 9)
    rig.vgpu.mmio.write32(ENGINES[Engine.VCS0].base + 0x230, 0x1234)
    moved = move(plugged(rig), rig.host, target := Host("skl"), RAM)
    rig.take_over(target, moved)
    rig.wait()
    assert rig.read32(contexts[1][1] + 36) == 0
    assert moved.vgpu.submission.written[Engine.VCS0] == [0x1234], "and so is a submission of which one dword was written"
    rig.enable(Engine.RCS0)
    rig.wait()
    assert rig.read32(contexts[1][1] + 36) == 9


# ---- what does not end ----


def test_work_without_end_is_named_and_the_vgpu_goes_on() -> None:
    rig = GuestRig(Host("skl"))
    contexts = workers(rig)
    rig.submit(spinner(rig))
    work(contexts[0][0], 3)
    with pytest.raises(SaveRefused, match=r"context 0x77 on vcs0 has not ended after 40 ms; the vGPU goes on") as refused:
        rig.host.save(rig.vgpu, patience_ns=40 * MILLISECOND)
    assert (refused.value.engine, refused.value.context) == ("vcs0", 0x77)
    work(contexts[1][0], 4)
    rig.wait()
    assert (rig.read32(contexts[0][1] + 12), rig.read32(contexts[1][1] + 16)) == (3, 4)
    assert rig.vgpu.submission.queues[Engine.VCS0].running is not None
    rig.vgpu.reset()
    assert rig.host.save(rig.vgpu)


def test_a_host_on_real_time_waits_no_longer_than_it_is_told() -> None:
    rig = GuestRig(Host("skl"))
    machine = LocalVirtualMachine(RAM, (real := Host("skl", clock=RealClock())).memory)
    vgpu = real.create_vgpu(None, machine.port)
    assert len(real.save(vgpu)) > 1000
    rig.submit(spinner(rig))
    with pytest.raises(SaveRefused):
        rig.host.save(rig.vgpu, patience_ns=0)


# ---- neighbours ----


def test_a_neighbours_work_comes_out_the_same_whoever_is_saved_beside_it() -> None:
    def neighbours_work(save: bool) -> tuple[list[object], list[int]]:
        host = Host("skl", aperture_size=512 * MIB)
        leaver, stayer = GuestRig(host), GuestRig(host)
        leaving, staying = workers(leaver), workers(stayer)
        for number in range(20):
            for rig, contexts in ((leaver, leaving), (stayer, staying)):
                if rig is stayer or number < 10 or not save:
                    work(contexts[number % 4][0], 50 + number)
            stayer.wait(40_000)
            if number == 10 and save:
                host.save(leaver.vgpu)
                host.destroy_vgpu(leaver.vgpu)
        stayer.wait(20 * MILLISECOND)
        assert host.guard.violations == 0 and list(stayer.vgpu.findings) == []
        return list(map(list, stayer.events)), [stayer.read32(page + 4 * n) for _, page in staying for n in range(64)]

    saved_beside, alone = neighbours_work(True), neighbours_work(False)
    assert saved_beside[1] == alone[1]
    by_engine = [{engine: [event for event in events if event[0] is engine] for engine in Engine} for events in (saved_beside[0], alone[0])]  # type: ignore[index]
    assert [{engine: len(events) for engine, events in one.items()} for one in by_engine] == [{engine: 10 for engine in Engine}] * 2


# ---- what is restored ----


def test_a_distrusted_guest_stays_distrusted_and_finds_what_it_kept() -> None:
    rig = GuestRig(Host("skl"))
    start = int(rig.vgpu.resources.low.start)
    inside = rig.at(start)
    rig.vgpu.failsafe.enter(FailsafeReason.GUEST_ERROR, "test")
    rig.vgpu.mmio.write32(0x2358, 0xABCD)
    entry = 0x80_0000 + (start >> 12) * 8
    rig.vgpu.mmio.write(entry, 8, 0x123_4003)
    moved = move(plugged(rig), rig.host, Host("skl"), RAM).vgpu
    moved.standstill.end()
    assert (moved.failsafe.reason, moved.failsafe.entered) == (FailsafeReason.GUEST_ERROR, 1)
    assert (moved.mmio.read32(0x2358), moved.mmio.read(entry, 8)) == (0xABCD, 0x123_4003)
    bus = moved.gpu.ggtt.entries[start >> 12] & ~0xFFF
    assert bus & 0xFFFF_FFFF == inside, "the hardware is shown what it was shown when the guest was trusted last"


def test_what_was_written_where_nothing_is_mapped_comes_with_the_guest_and_not_to_the_next_one() -> None:
    rig = GuestRig(Host("skl"))
    nowhere = int(rig.vgpu.resources.low.stop) - 2 * PAGE_SIZE
    rig.vgpu.aperture.write32(nowhere, 0xFEED)
    target = Host("skl")
    moved = move(plugged(rig), rig.host, target, RAM).vgpu
    assert moved.aperture.read32(nowhere) == 0xFEED
    target.destroy_vgpu(moved)
    assert target.plug().vgpu.aperture.read32(nowhere) == 0


def minor_version(vgpu: Vgpu) -> int:
    return vgpu.mmio.read(PVINFO_BASE + VGT_IF.offset_of("version_minor"), 2)


def test_what_the_guest_was_told_of_itself_it_is_told_again_after_a_reset_of_the_gt() -> None:
    host = Host("skl", aperture_size=512 * MIB)
    host.plug()
    rig = GuestRig(host, host.plug(ram_size=RAM, announcement=Announcement(version_minor=3)))
    moved = move(plugged(rig), host, target := Host("skl", aperture_size=512 * MIB), RAM).vgpu
    assert target.vgpus == {1: moved} and minor_version(moved) == 3
    low, high, _ = rig.vgpu.resources
    assert (moved.resources.low, moved.resources.high) == (low, high), "at the same place, though there was room below"
    moved.reset()
    assert (minor_version(moved), PvInfo(moved.mmio).mappable_base) == (3, low.start)


# ---- refusals ----


def saved_guest(**options: object) -> tuple[bytes, GuestRig]:
    rig = GuestRig(Host("skl", **options))  # type: ignore[arg-type]
    return rig.host.save(rig.vgpu), rig


def other_golden() -> GoldenState:
    golden = Host("skl").mediator.golden
    return GoldenState(golden.config, golden.mmio[:0x1000] + b"\1" + golden.mmio[0x1001:])


@pytest.mark.parametrize(
    ("target", "rule", "words"),
    [
        (lambda: Host("kbl"), "platform", "the platform is skl, must be kbl, as here"),
        (lambda: Host("skl", aperture_size=512 * MIB), "aperture", "the GPU's aperture is 256 MiB, must be 512 MiB"),
        (lambda: Host("skl", ggtt_size=2 * GIB), "graphics-memory", "4096 MiB, must be 2048 MiB"),
        (lambda: Host("skl", golden=other_golden()), "golden-state", "as on this host"),
    ],
)
def test_another_kind_of_host_refuses_with_its_reason_and_nothing_is_made(target: Callable[[], Host], rule: str, words: str) -> None:
    saved, _ = saved_guest()
    host = target()
    before = counts_of(host)
    machine = LocalVirtualMachine(RAM, host.memory)
    with pytest.raises(RestoreRefused, match=words) as refused:
        host.restore(saved, machine.port)
    assert refused.value.rule == rule
    assert counts_of(host) == before and machine.port.mapped_pages == 0


def test_a_host_whose_place_is_taken_says_by_what() -> None:
    saved, rig = saved_guest()
    host = Host("skl")
    host.plug()
    before = counts_of(host)
    with pytest.raises(RestoreRefused, match=r"no-room: .*aperture.*64 MiB wanted.*0x8000000\S* is taken|no-room") as refused:
        host.plug_saved(saved, ram_of(rig.ram, RAM))
    assert "is taken" in str(refused.value)
    assert counts_of(host) == before


def test_a_type_of_the_same_name_and_other_sizes_is_another_type() -> None:
    host = Host("skl")
    own = host.type_named(None)
    vgpu = host.create_vgpu(own._replace(weight=own.weight + 1), LocalVirtualMachine(RAM, host.memory).port)
    target = Host("skl")
    before = counts_of(target)
    with pytest.raises(RestoreRefused, match="weight 3.* must be .*weight 2") as refused:
        target.plug_saved(host.save(vgpu), bytes(RAM))
    assert refused.value.rule == "type" and counts_of(target) == before


def test_a_partition_that_is_no_type_of_the_host_is_made_to_its_measure() -> None:
    own = VgpuType("small", 32 * PAGE_SIZE, 16 * PAGE_SIZE, 2, 3, "1024x768")
    host = Host("skl")
    vgpu = host.create_vgpu(own, LocalVirtualMachine(RAM, host.memory).port)
    target = Host("skl")
    assert target.plug_saved(host.save(vgpu), bytes(RAM)).vgpu.type == own


def test_the_gone_memory_of_a_guest_is_no_reason_to_refuse() -> None:
    """Entries and tables that lead out of the machine's memory are a guest's business, as ever."""
    rig = GuestRig(Host("skl"))
    workers(rig)
    rig.vgpu.mmio.write32(PvInfo.pdp0_lo.at(), 0x30_0000)
    rig.vgpu.mmio.write32(PvInfo.g2v_notify.at(), Notification.PPGTT_L4_PAGE_TABLE_CREATE)
    saved = rig.host.save(rig.vgpu)
    moved = Host("skl").plug_saved(saved, bytes(16 * PAGE_SIZE)).vgpu
    assert len(moved.tables) == 1 and moved.tables.tables == 0
    assert moved.port.mapped_pages == 0
    moved.standstill.end()
    assert moved.mmio.read(PVINFO_BASE, 8) == 0x4776544776544776


def test_only_a_vgpu_that_stands_still_is_written() -> None:
    from host_model.mediator.saved.saving import save_vgpu

    with pytest.raises(StateError, match="saving vGPU 1 needs state at a standstill"):
        save_vgpu(Host("skl").plug().vgpu)


def test_a_clock_that_keeps_time_with_another_is_as_late() -> None:
    one, other = Host("skl"), Host("skl")
    keep_time_with(one, other)
    assert one.clock.now_ns() == other.clock.now_ns()
