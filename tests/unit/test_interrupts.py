"""A vGPU's interrupts: from an event to the message, and what a guest's writes do on the way."""

from __future__ import annotations

import pytest
from support.vgpus import make_vgpu, send_messages_to

from host_model.device.interrupts import CONTEXT_SWITCH_EVENTS, Event, event_places
from host_model.mediator.vgpu import Vgpu
from pvinfo.platform import ENGINES, PLATFORMS
from pvinfo.registers.interrupt import (
    INTERRUPT_SOURCES,
    BroadwellPipeInterrupt,
    CopyRenderInterrupt,
    InterruptGroup,
    PchInterrupt,
    PipeInterrupt,
)

MASTER = 0x44200
ENABLE = 1 << 31


def _open(vgpu: Vgpu, group: str, bits: int) -> None:
    """Let the events ``bits`` of ``group`` through."""
    vgpu.mmio.write32(InterruptGroup.imr.at(group), 0xFFFFFFFF & ~bits)
    vgpu.mmio.write32(InterruptGroup.ier.at(group), bits)


@pytest.mark.parametrize(
    ("event", "group", "bit", "master"),
    [
        (Event.RCS_USER, "GT0", 0, 0),
        (Event.RCS_CONTEXT_SWITCH, "GT0", 8, 0),
        (Event.BCS_USER, "GT0", 16, 1),
        (Event.BCS_CONTEXT_SWITCH, "GT0", 24, 1),
        (Event.VCS0_NOTIFY, "GT1", 4, 2),
        (Event.VECS_USER, "GT3", 0, 6),
        (Event.PIPE_A_VBLANK, "PIPE_A", 0, 16),
        (Event.PIPE_C_VBLANK, "PIPE_C", 0, 18),
        (Event.PIPE_B_PRIMARY_FLIP, "PIPE_B", 3, 17),
        (Event.AUX_A, "DE_PORT", 0, 20),
        (Event.AUX_D, "DE_PORT", 27, 20),
        (Event.GSE, "DE_MISC", 27, 22),
        (Event.HOTPLUG_D, "SDE", 23, 23),
        (Event.GMBUS, "SDE", 17, 23),
        (Event.PCU_MAILBOX, "PCU", 25, 30),
    ],
)
def test_an_open_event_shows_in_its_group_and_in_the_master_register_and_is_told(event: Event, group: str, bit: int, master: int) -> None:
    vgpu = make_vgpu()
    told: list[int] = []
    send_messages_to(vgpu, told)
    vgpu.mmio.write32(MASTER, ENABLE)
    _open(vgpu, group, 1 << bit)
    assert told == []
    vgpu.interrupts.raise_event(event)
    assert told == [ENABLE | 1 << master]
    assert vgpu.mmio.read32(InterruptGroup.iir.at(group)) == 1 << bit
    assert vgpu.mmio.read32(InterruptGroup.isr.at(group)) == 0


def test_a_masked_event_is_lost() -> None:
    vgpu = make_vgpu()
    told: list[int] = []
    send_messages_to(vgpu, told)
    vgpu.mmio.write32(MASTER, ENABLE)
    vgpu.mmio.write32(InterruptGroup.ier.at("GT0"), 0xFFFFFFFF)
    vgpu.interrupts.raise_event(Event.RCS_USER)
    vgpu.mmio.write32(InterruptGroup.imr.at("GT0"), 0)
    assert vgpu.mmio.read32(InterruptGroup.iir.at("GT0")) == 0
    assert told == []


def test_an_event_that_is_not_enabled_waits_in_iir_until_it_is() -> None:
    vgpu = make_vgpu()
    told: list[int] = []
    send_messages_to(vgpu, told)
    vgpu.mmio.write32(MASTER, ENABLE)
    vgpu.mmio.write32(InterruptGroup.imr.at("GT0"), 0)
    vgpu.interrupts.raise_event(Event.BCS_USER)
    assert vgpu.mmio.read32(InterruptGroup.iir.at("GT0")) == 1 << 16
    assert vgpu.mmio.read32(MASTER) == ENABLE
    assert told == []
    vgpu.mmio.write32(InterruptGroup.ier.at("GT0"), 1 << 16)
    assert told == [ENABLE | 0b10]


def test_nothing_is_told_while_the_master_register_is_off_but_its_bits_show() -> None:
    vgpu = make_vgpu()
    told: list[int] = []
    send_messages_to(vgpu, told)
    _open(vgpu, "GT0", 1)
    vgpu.interrupts.raise_event(Event.RCS_USER)
    assert told == []
    assert not vgpu.interrupts.asserted
    assert vgpu.mmio.read32(MASTER) == 1


def test_what_is_pending_is_told_again_when_the_master_register_is_enabled() -> None:
    """The classic mistake of emulators: the second of two events that overlap is never told."""
    vgpu = make_vgpu()
    told: list[int] = []
    send_messages_to(vgpu, told)
    vgpu.mmio.write32(MASTER, ENABLE)
    _open(vgpu, "GT0", 0x01000001)
    vgpu.interrupts.raise_event(Event.RCS_USER)
    assert told == [ENABLE | 0b01]
    vgpu.mmio.write32(MASTER, 0)
    assert vgpu.mmio.read32(MASTER) == 0b01
    vgpu.mmio.write32(InterruptGroup.iir.at("GT0"), 1)
    vgpu.interrupts.raise_event(Event.BCS_CONTEXT_SWITCH)
    assert told == [ENABLE | 0b01]
    vgpu.mmio.write32(MASTER, ENABLE)
    assert told == [ENABLE | 0b01, ENABLE | 0b10]


def test_a_handler_that_acknowledges_during_the_write_that_told_it_is_not_undone() -> None:
    vgpu = make_vgpu()
    told: list[int] = []
    send_messages_to(vgpu, told)
    iir = InterruptGroup.iir.at("GT0")

    def handler() -> None:
        vgpu.mmio.write32(MASTER, 0)
        told.append(vgpu.mmio.read32(MASTER))
        vgpu.mmio.write32(iir, vgpu.mmio.read32(iir))
        vgpu.mmio.write32(MASTER, ENABLE)

    vgpu.on_interrupt(handler)
    _open(vgpu, "GT0", 0x00010001)
    vgpu.interrupts.raise_event(Event.RCS_USER)
    vgpu.interrupts.raise_event(Event.BCS_USER)
    vgpu.mmio.write32(MASTER, ENABLE)
    assert told == [0b11]
    assert vgpu.mmio.read32(iir) == 0
    assert vgpu.mmio.read32(MASTER) == ENABLE


def test_acknowledging_clears_the_written_bits_and_tells_nothing() -> None:
    vgpu = make_vgpu()
    told: list[int] = []
    send_messages_to(vgpu, told)
    vgpu.mmio.write32(MASTER, ENABLE)
    _open(vgpu, "GT0", 0x00010001)
    vgpu.interrupts.raise_event(Event.RCS_USER)
    vgpu.interrupts.raise_event(Event.BCS_USER)
    told.clear()
    vgpu.mmio.write32(InterruptGroup.iir.at("GT0"), 1)
    assert vgpu.mmio.read32(InterruptGroup.iir.at("GT0")) == 1 << 16
    assert vgpu.mmio.read32(MASTER) == ENABLE | 0b10
    assert told == []


@pytest.mark.parametrize("master_on", [False, True])
def test_an_event_that_overtakes_the_acknowledgement_of_an_earlier_one_is_told_as_well(master_on: bool) -> None:
    """Writes are posted: the guest has looked after the first event when its acknowledgement arrives, not after the second."""
    vgpu = make_vgpu()
    told: list[int] = []
    send_messages_to(vgpu, told)
    iir = InterruptGroup.iir.at("GT0")
    vgpu.mmio.write32(MASTER, ENABLE)
    _open(vgpu, "GT0", 0x01010101)
    vgpu.interrupts.raise_event(Event.RCS_USER)
    vgpu.interrupts.raise_event(Event.BCS_USER)
    vgpu.mmio.write32(MASTER, ENABLE if master_on else 0)
    assert vgpu.mmio.read32(iir) == 0x00010001
    vgpu.interrupts.raise_event(Event.RCS_USER)
    vgpu.interrupts.raise_event(Event.RCS_CONTEXT_SWITCH)
    assert vgpu.mmio.read32(iir) == 0x00010101, "what waits behind shows only when the way is free"
    told.clear()
    vgpu.mmio.write32(iir, 0x00010001)
    assert vgpu.mmio.read32(iir) == 0x00000101
    assert told == ([ENABLE | 0b01] if master_on else [])
    vgpu.mmio.write32(MASTER, ENABLE)
    assert told[-1:] == [ENABLE | 0b01]
    vgpu.mmio.write32(iir, 0x00000101)
    assert (vgpu.mmio.read32(iir), vgpu.mmio.read32(MASTER)) == (0, ENABLE), "of a kind, one waits behind another, and no more"


def test_an_event_that_comes_twice_before_the_guest_reads_of_it_is_told_once() -> None:
    vgpu = make_vgpu()
    told: list[int] = []
    send_messages_to(vgpu, told)
    iir = InterruptGroup.iir.at("GT0")
    _open(vgpu, "GT0", 0x1)
    vgpu.interrupts.raise_event(Event.RCS_USER)
    vgpu.interrupts.raise_event(Event.RCS_USER)
    assert vgpu.mmio.read32(iir) == 1
    vgpu.mmio.write32(iir, 1)
    assert vgpu.mmio.read32(iir) == 0
    vgpu.interrupts.raise_event(Event.RCS_USER)
    vgpu.interrupts.raise_event(Event.RCS_USER)
    vgpu.mmio.write32(iir, 1)
    assert vgpu.mmio.read32(iir) == 0, "that it had read of an earlier one counts no more"


def test_nothing_waits_behind_an_event_while_it_is_masked_or_after_a_reset_of_the_device() -> None:
    vgpu = make_vgpu()
    iir, imr = InterruptGroup.iir.at("GT0"), InterruptGroup.imr.at("GT0")
    _open(vgpu, "GT0", 0x1)
    vgpu.interrupts.raise_event(Event.RCS_USER)
    assert vgpu.mmio.read32(iir) == 1
    vgpu.mmio.write32(imr, 0xFFFFFFFF)
    vgpu.interrupts.raise_event(Event.RCS_USER)
    vgpu.mmio.write32(iir, 1)
    assert vgpu.mmio.read32(iir) == 0

    _open(vgpu, "GT0", 0x1)
    vgpu.interrupts.raise_event(Event.RCS_USER)
    assert vgpu.mmio.read32(iir) == 1
    vgpu.interrupts.raise_event(Event.RCS_USER)
    vgpu.reset()
    _open(vgpu, "GT0", 0x1)
    vgpu.interrupts.raise_event(Event.RCS_USER)
    vgpu.mmio.write32(iir, 1)
    assert vgpu.mmio.read32(iir) == 0


@pytest.mark.parametrize("group", InterruptGroup.bases)
def test_iir_reads_zero_after_the_drivers_reset_of_the_group(group: str) -> None:
    vgpu = make_vgpu()
    vgpu.mmio.write32(InterruptGroup.imr.at(group), 0xFFFFFFFF)
    vgpu.mmio.write32(InterruptGroup.ier.at(group), 0)
    vgpu.mmio.write32(InterruptGroup.iir.at(group), 0xFFFFFFFF)
    assert vgpu.mmio.read32(InterruptGroup.iir.at(group)) == 0
    assert vgpu.mmio.read32(InterruptGroup.imr.at(group)) == 0xFFFFFFFF


@pytest.mark.parametrize("offset", [0x64834, 0x64838])
def test_panel_self_refresh_never_shows_anything(offset: int) -> None:
    vgpu = make_vgpu()
    vgpu.mmio.write32(offset, 0xFFFFFFFF)
    assert vgpu.mmio.read32(offset) == 0


def test_a_guest_cannot_set_the_levels_of_the_master_register() -> None:
    vgpu = make_vgpu()
    told: list[int] = []
    send_messages_to(vgpu, told)
    vgpu.mmio.write32(MASTER, 0xFFFFFFFF)
    assert vgpu.mmio.read32(MASTER) == ENABLE
    assert told == []


def test_unmasking_an_engine_tells_what_is_pending() -> None:
    vgpu = make_vgpu()
    told: list[int] = []
    send_messages_to(vgpu, told)
    vgpu.mmio.write32(MASTER, ENABLE)
    _open(vgpu, "GT0", 1)
    vgpu.interrupts.raise_event(Event.RCS_USER)
    told.clear()
    vgpu.mmio.write32(0x20A8, 0xFFFFF6F6)
    assert told == [ENABLE | 1]
    assert vgpu.mmio.read32(0x20A8) == 0xFFFFF6F6


def test_without_message_signalled_interrupts_an_event_is_pending_but_not_sent() -> None:
    vgpu = make_vgpu()
    told: list[int] = []
    vgpu.on_interrupt(lambda: told.append(1))
    vgpu.mmio.write32(MASTER, ENABLE)
    _open(vgpu, "GT0", 1)
    vgpu.interrupts.raise_event(Event.RCS_USER)
    assert told == []
    assert vgpu.interrupts.asserted
    assert (vgpu.interrupts_sent, vgpu.interrupts_lost) == (0, 1)


@pytest.mark.parametrize(
    ("platform", "event", "place"),
    [
        ("bdw", Event.PIPE_A_PRIMARY_FLIP, ("PIPE_A", 4)),
        ("bdw", Event.PIPE_A_SPRITE_FLIP, ("PIPE_A", 5)),
        ("skl", Event.PIPE_A_SPRITE_FLIP, ("PIPE_A", 4)),
        ("bdw", Event.AUX_B, ("SDE", 25)),
        ("kbl", Event.AUX_B, ("DE_PORT", 25)),
        ("bdw", Event.HOTPLUG_A, ("DE_PORT", 3)),
        ("cfl", Event.HOTPLUG_A, ("SDE", 24)),
        ("bxt", Event.HOTPLUG_B, ("DE_PORT", 4)),
        ("bxt", Event.GMBUS, ("DE_PORT", 1)),
    ],
)
def test_generations_differ_in_where_display_events_show(platform: str, event: Event, place: tuple[str, int]) -> None:
    assert event_places(PLATFORMS[platform])[event] == place


@pytest.mark.parametrize("platform", PLATFORMS)
def test_no_two_events_share_a_bit(platform: str) -> None:
    places = list(event_places(PLATFORMS[platform]).values())
    assert len(places) == len(set(places))


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_event_stands_at_a_declared_bit(platform: str) -> None:
    undeclared = []
    for event, place in event_places(PLATFORMS[platform]).items():
        bits = INTERRUPT_SOURCES[place.group]
        if bits is PipeInterrupt and platform == "bdw":
            bits = BroadwellPipeInterrupt
        if bits is PchInterrupt and event in (Event.AUX_B, Event.AUX_C, Event.AUX_D):
            continue
        if not any(field.low <= place.bit < field.low + field.width for field in bits.bit_fields):
            undeclared.append((event, place))
    assert undeclared == []


def test_the_engines_context_events_stand_in_their_half_of_their_group() -> None:
    for engine, event in CONTEXT_SWITCH_EVENTS.items():
        place = event_places(PLATFORMS["skl"])[event]
        spec = ENGINES[engine]
        assert place == (f"GT{spec.interrupt_group}", spec.interrupt_shift + CopyRenderInterrupt.rcs_context_switch.low)
