"""A vGPU in D3hot: it neither works nor tells anything, keeps what it has, and over a reset what its guest will not say again."""

from __future__ import annotations

from support.vgpu_rig import GuestContext, GuestRig, store, user_interrupt

from host_model.device.config_space import CAPABILITY_POWER, capabilities
from host_model.device.interrupts import Event
from host_model.host import Host
from pvinfo.notify import Notification
from pvinfo.page import PvInfo
from pvinfo.pci import COMMAND, Command, MsiControl, PowerState
from pvinfo.platform import Engine
from pvinfo.registers.fence import FENCE_BASE
from pvinfo.units import PAGE_SIZE

TARGET = 0x20_0000


def sleeper() -> tuple[GuestRig, GuestContext, int]:
    """A guest with a context; where the page is that its work writes."""
    rig = GuestRig(Host("skl"))
    context, page = GuestContext(rig, 7), rig.page()
    context.map(TARGET, page)
    return rig, context, page


def power(rig: GuestRig, state: PowerState) -> None:
    config = rig.vgpu.config
    config.write(capabilities(config.bytes)[CAPABILITY_POWER] + 4, 2, state)


def work(context: GuestContext, value: int) -> None:
    context.write(*store(TARGET, value), *user_interrupt())
    context.rig.submit(context)


def test_a_submission_while_it_sleeps_is_dropped_and_noticed() -> None:
    rig, context, page = sleeper()
    power(rig, PowerState.D3HOT)
    work(context, 1)
    rig.wait()
    (finding,) = rig.vgpu.findings.of_rule("submission-asleep")
    assert finding.where == "bcs0.ELSP (0x22230)" and finding.nearest == "power state D0"
    power(rig, PowerState.D0)
    rig.wait()
    assert (rig.read32(page), rig.events) == (0, []), "nor is it carried out later"


def test_what_waits_when_it_falls_asleep_is_carried_out_after_it_has_woken_up() -> None:
    rig, context, page = sleeper()
    work(context, 2)
    power(rig, PowerState.D3HOT)
    rig.wait(50_000_000)
    assert (rig.read32(page), rig.told) == (0, []) and not rig.vgpu.submission.has_work
    power(rig, PowerState.D0)
    rig.wait()
    assert rig.read32(page) == 2 and len(rig.events) == 2


def test_what_runs_when_it_falls_asleep_ends_but_is_told_only_after_it_has_woken_up() -> None:
    rig, context, page = sleeper()
    work(context, 3)
    while not rig.vgpu.submission.is_running:
        rig.wait(1000)
    power(rig, PowerState.D3HOT)
    rig.wait()
    assert rig.read32(page) == 3 and rig.told == [] and rig.vgpu.interrupts_lost > 0
    power(rig, PowerState.D0)
    assert len(rig.told) == 1 and [event[0] for event in rig.events] == [Engine.BCS0, Engine.BCS0]


def test_it_wakes_up_with_everything_that_it_had() -> None:
    rig, context, _ = sleeper()
    before = bytes(rig.vgpu.registers.bytes), bytes(rig.vgpu.gpu.ggtt.entries), rig.vgpu.port.mapped_pages
    power(rig, PowerState.D3HOT)
    power(rig, PowerState.D0)
    assert (bytes(rig.vgpu.registers.bytes), bytes(rig.vgpu.gpu.ggtt.entries), rig.vgpu.port.mapped_pages) == before
    assert rig.vgpu.resets.total() == 0 and context.image


def test_a_reset_in_its_sleep_takes_all_but_what_its_guest_has_announced() -> None:
    rig, context, _ = sleeper()
    vgpu = rig.vgpu
    vgpu.mmio.write32(PvInfo.pdp0_lo.at(), context.root)
    vgpu.mmio.write32(PvInfo.g2v_notify.at(), Notification.PPGTT_L4_PAGE_TABLE_CREATE)
    vgpu.mmio.write32(FENCE_BASE + 4, int(vgpu.resources.low.start) + 0xF000 | 7)
    vgpu.mmio.write32(FENCE_BASE, int(vgpu.resources.low.start) | 1)
    assert vgpu.gpu.fences[vgpu.resources.fences[0]] & 1 and vgpu.tables.tables > 0
    power(rig, PowerState.D3HOT)
    vgpu.reset()
    assert (len(vgpu.tables), vgpu.tables.tables, vgpu.port.mapped_pages) == (1, 0, 0), "known, but its shadow and all pins are gone"
    assert vgpu.pv.guest_is_aware and not vgpu.config.in_d3
    assert vgpu.gpu.fences[vgpu.resources.fences[0]] == 0 and vgpu.ggtt.entry(int(vgpu.resources.low.start) >> 12) == 0
    assert Command(vgpu.config.read(COMMAND, 2)) == Command(0) and not vgpu.config.msi_enabled
    assert vgpu.tables.destroy(4, (context.root,)), "the guest can give it up as if nothing had been"
    vgpu.reset()
    assert not vgpu.pv.guest_is_aware, "the next reset is that of a device which is awake"


def test_a_reset_while_it_is_awake_forgets_address_spaces_whether_it_has_slept_or_not() -> None:
    rig, context, _ = sleeper()
    rig.vgpu.mmio.write32(PvInfo.pdp0_lo.at(), context.root)
    rig.vgpu.mmio.write32(PvInfo.g2v_notify.at(), Notification.PPGTT_L4_PAGE_TABLE_CREATE)
    power(rig, PowerState.D3HOT)
    power(rig, PowerState.D0)
    rig.vgpu.reset()
    assert len(rig.vgpu.tables) == 0 and not rig.vgpu.pv.guest_is_aware


def test_events_while_it_sleeps_are_one_message_when_it_wakes_up_and_none_without_leave() -> None:
    rig, _, _ = sleeper()
    vgpu = rig.vgpu
    power(rig, PowerState.D3HOT)
    vgpu.interrupts.raise_event(Event.BCS_USER)
    vgpu.interrupts.raise_event(Event.VECS_USER)
    assert rig.told == [] and vgpu.config.msi_capability is not None
    vgpu.config.write(vgpu.config.msi_capability + 2, 2, MsiControl(0))
    power(rig, PowerState.D0)
    assert rig.told == []
    vgpu.config.write(vgpu.config.msi_capability + 2, 2, MsiControl.of(enable=True))
    power(rig, PowerState.D3HOT)
    power(rig, PowerState.D0)
    assert rig.told == [1 << 16 | 1]


def test_it_sleeps_on_where_it_is_moved_to() -> None:
    rig, context, page = sleeper()
    work(context, 4)
    power(rig, PowerState.D3HOT)
    saved = rig.host.save(rig.vgpu)
    assert rig.vgpu.submission.queues[Engine.BCS0].waiting, "what waits is saved, as it will not be carried out before it wakes up"
    host = Host("skl")
    rig.take_over(host, host.plug_saved(saved, bytes(rig.ram.read(0, 1024 * PAGE_SIZE))))  # type: ignore[arg-type]
    rig.wait()
    assert rig.vgpu.config.in_d3 and rig.read32(page) == 0
    power(rig, PowerState.D0)
    rig.wait()
    assert rig.read32(page) == 4 and [event[1:] for event in rig.events] == [(1, 0), (0x18, 7)]
