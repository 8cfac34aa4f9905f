"""Real vGPUs, in this process, under each policy: contexts through rings and shadow tables, and shares as weighted."""

from __future__ import annotations

import pytest
from support.vgpu_rig import GuestContext, GuestRig, batch_start

from host_model.host import Host
from host_model.mediator.scheduler.fair import PERIOD_NS
from host_model.mediator.scheduler.share import share_of
from host_model.report import host_report
from host_model.view.facts import vgpu_facts
from pvinfo.platform import Engine
from pvinfo.units import GIB, MIB

BATCH = 0x40_0000
DRAW = (0x7B000005, 0, 0, 0, 0, 0, 0)
"""3DPRIMITIVE, which takes twenty microseconds."""
MS = 1_000_000


class Busy:
    """A guest that draws all the time: whenever a little of it is left to do, it submits more."""

    def __init__(self, host: Host, vgpu_type: str) -> None:
        self.rig = GuestRig(host, host.plug(vgpu_type, ram_size=4 * MIB))
        self.contexts = [GuestContext(self.rig, number, Engine.RCS0) for number in (1, 2)]
        page = self.rig.page()
        self.rig.write(page, (*(DRAW * 20), 0x05000000))
        for context in self.contexts:
            context.map(BATCH, page)
        self.submitted = 0

    def go_on(self) -> None:
        while self.submitted - self.rig.vgpu.submission.queues[Engine.RCS0].completed < 16:
            context = self.contexts[self.submitted % 2]
            context.write(*batch_start(BATCH))
            self.rig.submit(context)
            self.submitted += 1


def run(host: Host, guests: list[Busy], duration_ns: int) -> list[int]:
    """Nanoseconds that each used."""
    before = [host.mediator.turn.had(guest.rig.vgpu).used_ns for guest in guests]
    for _ in range(duration_ns // MS):
        for guest in guests:
            guest.go_on()
        guests[0].rig.wait(MS)
    return [host.mediator.turn.had(guest.rig.vgpu).used_ns - had for guest, had in zip(guests, before, strict=True)]


def shown(host: Host) -> list[dict[str, object]]:
    vgpus = host_report(host)["vgpus"]
    assert isinstance(vgpus, list)
    return [vgpu["schedule"] for vgpu in vgpus]


def test_vgpus_of_three_sizes_draw_as_much_as_they_weigh() -> None:
    host = Host(aperture_size=GIB)
    guests = [Busy(host, name) for name in ("GVTg_V5_8", "GVTg_V5_4", "GVTg_V5_2")]
    idle = host.plug("GVTg_V5_8", ram_size=MIB)
    used = run(host, guests, 700 * MS)
    completed = [guest.rig.vgpu.submission.queues[Engine.RCS0].completed for guest in guests]
    for ns, number, weight in zip(used, completed, (2, 4, 8), strict=True):
        assert abs(ns / sum(used) - weight / 14) <= 0.02
        assert abs(number / sum(completed) - weight / 14) <= 0.03, "time is work: each draws the same"
    assert sum(used) > 0.999 * 700 * MS
    reports = shown(host)
    assert [report["weight"] for report in reports] == [2, 4, 8, 2]
    assert [report["used_ns"] for report in reports] == [*used, 0]
    assert reports[3]["turns"] == reports[3]["worst_wait_ns"] == reports[3]["share"] == 0
    assert idle.vgpu.number not in {turn.vgpu for turn in host.mediator.turn.timeline.turns}
    for report in reports[:3]:
        worst, bound = report["worst_wait_ns"], report["worst_wait_bound_ns"]
        assert isinstance(worst, int) and isinstance(bound, int) and 0 < worst < 3 * PERIOD_NS < bound
    figures = dict(vgpu_facts(guests[2].rig.vgpu).figures)
    assert (figures["share of GPU time"], figures["weight"]) == (f"{100 * used[2] / sum(used):.1f} %", 8)
    assert figures["worst wait for the GPU"] == share_of(host.mediator.turn, guests[2].rig.vgpu).worst_wait
    assert dict(vgpu_facts(idle.vgpu).figures)["share of GPU time"] == "0.0 %"
    assert host.guard.violations == 0 and not any(guest.rig.vgpu.findings for guest in guests)


def test_under_round_robin_weights_mean_nothing() -> None:
    host = Host(aperture_size=GIB, scheduler="round-robin")
    guests = [Busy(host, name) for name in ("GVTg_V5_8", "GVTg_V5_2")]
    small, large = run(host, guests, 200 * MS)
    assert abs(small / (small + large) - 0.5) <= 0.02


def test_under_the_kernels_policy_an_idle_vgpu_costs_the_others_its_share() -> None:
    host = Host(aperture_size=GIB, scheduler="gvt")
    busy = Busy(host, "GVTg_V5_8")
    GuestRig(host, host.plug("GVTg_V5_4", ram_size=4 * MIB))
    busy.rig.wait(3_000 * MS + MS)
    (used,) = run(host, [busy], 500 * MS)
    assert 133 * MS < used < 200 * MS
    assert host.mediator.turn.changes == 1, "the registers stay where they are while the GPU is nobody's"
    assert host.mediator.turn.had(busy.rig.vgpu).turns >= 5
    assert shown(host)[0]["worst_wait_bound_ns"] is None


@pytest.mark.parametrize("scheduler", ["fair", "gvt", "round-robin"])
def test_a_vgpu_that_leaves_in_its_turn_leaves_the_gpu_to_the_others(scheduler: str) -> None:
    host = Host(aperture_size=GIB, scheduler=scheduler)
    guests = [Busy(host, "GVTg_V5_8") for _ in range(3)]
    run(host, guests, 20 * MS)
    leaving = next(guest for guest in guests if guest.rig.vgpu is host.mediator.turn.of(Engine.RCS0).current)
    guests.remove(leaving)
    host.destroy_vgpu(leaving.rig.vgpu)
    assert host.mediator.turn.of(Engine.RCS0).current is None and host.mediator.hardware.holder(Engine.RCS0) == 0
    guests[0].rig.wait(3_000 * MS)
    done = [guest.rig.vgpu.submission.queues[Engine.RCS0].completed for guest in guests]
    run(host, guests, 300 * MS)
    assert all(guest.rig.vgpu.submission.queues[Engine.RCS0].completed > before for guest, before in zip(guests, done, strict=True))
    assert host.guard.violations == 0
