"""Resets, waits, faults: what the driver does when the device takes its time, or does not answer."""

from __future__ import annotations

import pytest
from support.guest_machine import Access, FakeClock, FakeMachine, FakeRegisters, pv_page

from guest_driver import DriverState, GtState, GuestDriver
from guest_driver.wait import wait_for
from pvinfo.errors import WaitTimeout
from pvinfo.registers import EngineRegisters, ResetRegisters
from pvinfo.trace import Op
from pvinfo.units import GuestAddress

HANDSHAKE = [("R", 0), ("W", 0x10001), ("R", 3)]


def probe(machine: FakeMachine) -> GuestDriver:
    driver = GuestDriver(machine)
    driver.probe()
    return driver


def rules(driver: GuestDriver) -> list[str]:
    """What it complained of, but that the engines of most of these machines execute nothing."""
    return [line.rule for line in driver.log.complaints() if line.rule != "gt-wedged"]


# ---- waits ----


def test_a_register_that_is_right_at_once_is_read_once_and_no_time_passes() -> None:
    regs, clock = FakeRegisters(None, {0x941C: 0}), FakeClock()
    assert wait_for(regs, clock, ResetRegisters.gdrst, "", 0x1, 0, 2_000_000) == 0
    assert len(regs.accesses) == 1 and clock.now == 0


def test_a_wait_ends_when_the_bits_come_and_hands_back_the_typed_value() -> None:
    regs, clock = FakeRegisters(None, {}), FakeClock()
    regs.read_rules[0x2209C] = lambda: 0x1200 if clock.now >= 40_000 else 0x100
    value = wait_for(regs, clock, EngineRegisters.mi_mode, "BCS0", 0x200, 0x200, 1_000_000)
    assert value.idle and not value.stop_ring
    assert 40_000 <= clock.now < 80_000


def test_a_wait_that_fails_lasts_exactly_as_long_as_it_may_and_says_what_it_saw() -> None:
    regs, clock = FakeRegisters(None, {0x2209C: 0x100}), FakeClock()
    with pytest.raises(WaitTimeout) as caught:
        wait_for(regs, clock, EngineRegisters.mi_mode, "BCS0", 0x200, 0x200, 101_000_000)
    assert clock.now == 101_000_000
    assert str(caught.value) == "EngineRegisters.mi_mode of BCS0 at 0x2209c, bits 0x200: reads 0x0, still not 0x200 after 101000 us"
    assert (caught.value.value, caught.value.wanted, caught.value.timeout_ns) == (0, 0x200, 101_000_000)
    assert len(regs.accesses) < 150, "pauses grow: a slow device does not cost a million accesses"


def test_a_wait_of_no_length_looks_once() -> None:
    regs, clock = FakeRegisters(None, {0x941C: 1}), FakeClock()
    with pytest.raises(WaitTimeout):
        wait_for(regs, clock, ResetRegisters.gdrst, "", 0x1, 0, 0)
    assert len(regs.accesses) == 1


# ---- resets ----


def first_reset(machine: FakeMachine) -> list[Access]:
    registers = {base + 0xD0 for base in (0x2000, 0x22000, 0x12000, 0x1A000)} | {0x941C}
    accesses = machine.regs.accesses
    end = next(number for number, access in enumerate(accesses) if access.offset == 0x120010)
    return [access for access in accesses[:end] if access.offset in registers]


def test_each_engine_is_asked_then_the_whole_is_reset_twice_then_each_is_let_go() -> None:
    machine = FakeMachine(pv_page())
    probe(machine)
    order = [0x20D0, 0x220D0, 0x120D0, 0x1A0D0]
    assert [(access.op.value, access.offset, access.value) for access in first_reset(machine)] == [
        *((operation, offset, value) for offset in order for operation, value in HANDSHAKE),
        *(("W", 0x941C, 1), ("R", 0x941C, 0)) * 2,
        *(("W", offset, 0x10000) for offset in order),
    ]  # fmt: skip


def test_an_engine_that_is_ready_already_is_not_asked() -> None:
    machine = FakeMachine(pv_page(), registers={0x20D0: 2})
    probe(machine)
    assert [access.op for access in first_reset(machine) if access.offset == 0x20D0] == [Op.READ, Op.WRITE]


def test_a_catastrophic_error_is_requested_to_end_instead() -> None:
    machine = FakeMachine(pv_page(), registers={0x20D0: 4})
    machine.regs.rules[0x20D0] = lambda value: 0
    driver = probe(machine)
    writes = [access.value for access in first_reset(machine) if access.offset == 0x20D0 and access.op is Op.WRITE]
    assert writes[0] == 0x4_0004
    assert driver.state is DriverState.READY


def test_an_engine_that_is_not_ready_in_time_is_tried_again_and_then_reset_all_the_same() -> None:
    machine = FakeMachine(pv_page(), running=True)
    machine.regs.rules[0x220D0] = lambda value: value & 0xFFFF
    driver = probe(machine)
    reset = first_reset(machine)
    first_write = next(number for number, access in enumerate(reset) if access.offset == 0x941C)
    assert sum(access.value == 0x10001 and access.offset == 0x220D0 for access in reset[:first_write]) == 2
    assert not any(access.offset == 0x120D0 and access.value == 0x10001 for access in reset[: reset.index(Access(Op.WRITE, 4, 0x20D0, 0x10000))])
    assert set(rules(driver)) == {"reset-request"}
    assert driver.gt_state is GtState.RUNNING, "such an engine costs time, not the GT"


def test_an_engine_that_does_not_stop_is_left_when_its_ring_is_empty_or_not() -> None:
    machine = FakeMachine(pv_page(), registers={0x2030: 0x40, 0x2034: 0x20})
    machine.regs.rules[0x209C] = lambda value: 0
    driver = probe(machine)
    assert set(rules(driver)) == {"stop-ring"}
    assert driver.state is DriverState.READY


def test_a_micro_controller_that_is_not_held_in_reset_is_complained_about_on_gen9_only() -> None:
    assert rules(probe(FakeMachine(pv_page(), registers={0xC000: 0})))[0] == "guc-status"
    assert rules(probe(FakeMachine(pv_page(), platform="bdw", registers={0xC000: 0}))) == []


def test_after_a_reset_the_status_page_agrees_that_the_next_event_is_number_0() -> None:
    machine = FakeMachine(pv_page())
    pages: list[bytes] = []
    machine.regs.after_write = lambda offset: pages.append(machine.memory.read(_status_page(machine), 4096)) if offset == 0x2098 else None
    driver = GuestDriver(machine)
    driver.probe()
    page = pages[1]  # the first write came before there was a status page, the second is the engine's resume
    assert page[0x40:0x70] == b"\xff" * 48
    assert page[0x7C:0x80] == b"\x05\x00\x00\x00"
    assert page[:0x40] == bytes(0x40) and page[0x100:0x110] == bytes(16)


def _status_page(machine: FakeMachine) -> GuestAddress:
    """Where the render engine's status page lies, once its entry was written: the second highest page of the slice."""
    return GuestAddress(machine.regs.table.get(0x27FFE, 1) & ~0xFFF)


# ---- old errors ----


def test_a_fault_that_is_there_from_before_is_reported_with_its_address() -> None:
    machine = FakeMachine(pv_page(), registers={0x4094: 0x2001, 0x4B10: 0x1234, 0x4B14: 0x3})
    machine.regs.rules[0x4094] = lambda value: value & ~1
    driver = probe(machine)
    assert rules(driver) == ["unexpected-fault"]
    assert "engine 2 met no translation at 0x300001234000" in driver.log.complaints()[0].text
    assert machine.regs.peek(0x4094) & 1 == 0


def test_an_error_bit_that_sticks_is_masked() -> None:
    machine = FakeMachine(pv_page())
    machine.regs.rules[0x20B0] = lambda value: 0x10
    driver = probe(machine)
    assert "eir-stuck" in rules(driver)
    assert Access(Op.WRITE, 4, 0x20B4, 0x10) in machine.regs.accesses


def test_an_engine_that_resumes_with_an_error_is_reported() -> None:
    driver = probe(FakeMachine(pv_page(), registers={0x120B8: 0x10}))
    assert rules(driver) == ["resumed-in-error"]
    assert "VCS0 reads 0x10" in driver.log.complaints()[0].text


def test_an_access_that_went_astray_before_is_reported_and_forgotten() -> None:
    machine = FakeMachine(pv_page(), registers={0x42300: 1 << 31})
    driver = probe(machine)
    assert rules(driver) == ["unclaimed-access"]
    assert Access(Op.WRITE, 4, 0x42300, 1 << 31) in machine.regs.accesses


# ---- the power control unit ----


@pytest.mark.parametrize(
    ("platform", "capability", "reply", "expected"),
    [
        ("skl", 0x0007_1216, 0x0C00, (0x15, 0x36, 0x42, 0x24)),
        ("bdw", 0x0007_1216, 0x0C00, (0x07, 0x12, 0x16, 0x0C)),
        ("skl", 0x0007_1216, 0xFF00, (0x15, 0x36, 0x42, 0x42)),
        ("skl", 0, 0xFF00, (0, 0, 0, 0)),
    ],
)
def test_the_range_of_frequencies_is_read_in_the_generations_steps(
    platform: str, capability: int, reply: int, expected: tuple[int, int, int, int]
) -> None:
    machine = FakeMachine(pv_page(), platform=platform, registers={0x145998: capability})
    machine.regs.read_rules[0x138128] = lambda: reply
    assert probe(machine).gt.frequency.range == expected


@pytest.mark.parametrize(("mailbox", "rule"), [(0x8000_0000, "pcode-busy"), (0x01, None)])
def test_a_firmware_that_is_busy_or_refuses_costs_nothing(mailbox: int, rule: str | None) -> None:
    machine = FakeMachine(pv_page(), registers={0x145998: 0x0007_1216, 0x138124: mailbox})
    machine.regs.rules[0x138124] = lambda value: mailbox
    driver = probe(machine)
    assert set(rules(driver)) == ({rule} if rule else set())
    assert driver.gt.frequency.range.efficient == driver.gt.frequency.range.guaranteed


def test_a_firmware_that_never_answers_is_given_up_after_its_time() -> None:
    machine = FakeMachine(pv_page())
    machine.regs.rules[0x138124] = lambda value: value
    driver = probe(machine)
    assert rules(driver) == ["pcode-timeout"]
    assert driver.state is DriverState.READY


def test_a_range_of_frequencies_makes_the_hardware_judge_and_pairs_each_with_a_ring_frequency() -> None:
    machine = FakeMachine(pv_page(), platform="bdw", registers={0x145998: 0x0006_0808, 0x145E04: 3})
    driver = probe(machine)
    pairs = [access.value for access in machine.regs.accesses if access.offset == 0x138128 and access.op is Op.WRITE]
    assert pairs[1:] == [0x8_0008, 0x8_0007, 0x8_0006], "the ring is never slower than memory"
    assert [access.value for access in machine.regs.accesses if access.offset == 0xA024] == [0xD92, 0], "given up with the GT"
    assert machine.regs.peek(0xA008) == 6 << 24
    assert not driver.gt.frequency.enabled


def test_broxton_reads_its_range_elsewhere_the_other_way_round_and_has_no_ring() -> None:
    machine = FakeMachine(pv_page(), platform="bxt", registers={0x138170: 0x0012_0906})
    driver = probe(machine)
    assert driver.gt.frequency.range == (0x06, 0x09, 0x12, 0x09)
    assert not [access for access in machine.regs.accesses if access.offset in (0x138124, 0x145998, 0x145E04)]


def test_a_single_frequency_leaves_the_hardware_alone() -> None:
    machine = FakeMachine(pv_page(), registers={0x145998: 0x0007_0707})
    driver = probe(machine)
    assert not driver.gt.frequency.enabled
    assert not [access for access in machine.regs.accesses if access.offset in (0xA008, 0xA024)]
