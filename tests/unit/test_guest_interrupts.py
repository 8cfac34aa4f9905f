"""The interrupt tree from the driver's side."""

from __future__ import annotations

import pytest
from support.guest_machine import Access, FakeMachine, pv_page

from guest_driver import GuestDriver
from pvinfo.trace import Op

MASTER = 0x44200


def ready(platform: str = "skl") -> tuple[FakeMachine, GuestDriver]:
    machine = FakeMachine(pv_page(), platform=platform)
    driver = GuestDriver(machine)
    driver.probe()
    machine.regs.accesses.clear()
    driver.log.lines.clear()
    return machine, driver


def interrupt(machine: FakeMachine, master: int, **groups: int) -> None:
    """Latch events and call the handler, with the master register showing ``master`` once it is off."""
    bases = {"gt0": 0x44300, "gt1": 0x44310, "gt2": 0x44320, "gt3": 0x44330, "pipe_a": 0x44400, "port": 0x44440, "misc": 0x44460, "sde": 0xC4000}
    for name, events in groups.items():
        machine.regs.stored[bases[name] + 8] = events
    machine.regs.rules[MASTER] = lambda value: value | master
    assert machine.gpu.handler is not None
    machine.gpu.handler()


def shape(accesses: list[Access]) -> list[tuple[str, int, int]]:
    return [(access.op.value, access.offset, access.value) for access in accesses]


def test_the_handler_switches_the_tree_off_acknowledges_what_it_read_and_switches_it_on() -> None:
    machine, driver = ready()
    interrupt(machine, 0x1, gt0=0x0100_0101)
    assert shape(machine.regs.accesses) == [
        ("W", MASTER, 0), ("R", MASTER, 1), ("R", 0x44308, 0x0100_0101), ("W", 0x44308, 0x0100_0101), ("W", MASTER, 0x8000_0000),
    ]  # fmt: skip
    assert driver.interrupts.events == {"GT0.rcs_user": 1, "GT0.rcs_context_switch": 1, "GT0.bcs_context_switch": 1}
    assert (driver.interrupts.received, driver.interrupts.spurious) == (1, 0)


def test_groups_are_served_in_the_kernels_order_video_enhancement_before_power_then_the_display() -> None:
    machine, driver = ready()
    interrupt(
        machine, 0x00D1_0057,
        gt0=0x1, gt1=0x1, gt2=0x20, gt3=0x100, misc=1 << 27, port=1, pipe_a=1, sde=1 << 17,
    )  # fmt: skip
    acknowledged = [access.offset for access in machine.regs.accesses if access.op is Op.WRITE][1:-1]
    assert acknowledged == [0x44308, 0x44318, 0x44338, 0x44328, 0x44468, 0x44448, 0x44408, 0xC4008]
    assert driver.interrupts.events["PIPE_A.vblank"] == driver.interrupts.events["SDE.gmbus"] == 1


def test_an_interrupt_without_a_source_is_counted_and_changes_nothing() -> None:
    machine, driver = ready()
    interrupt(machine, 0)
    assert shape(machine.regs.accesses) == [("W", MASTER, 0), ("R", MASTER, 0), ("W", MASTER, 0x8000_0000)]
    assert driver.interrupts.spurious == 1


def test_a_master_bit_without_an_event_behind_it_is_a_lie_for_the_display_and_ignored_for_engines() -> None:
    machine, driver = ready()
    interrupt(machine, 1 << 20 | 1)
    assert [line.rule for line in driver.log.complaints()] == ["master-lied"]
    assert "DE_PORT" in driver.log.complaints()[0].text
    written = [access.offset for access in machine.regs.accesses if access.op is Op.WRITE]
    assert written == [MASTER, MASTER]


def test_an_engines_error_event_makes_the_driver_look_at_its_error_register() -> None:
    machine, driver = ready()
    machine.regs.stored[0x220B0] = 0x1_0001
    interrupt(machine, 0x2, gt0=1 << 19)
    assert [line.text for line in driver.log.complaints()] == ["BCS0 reports an error: eir reads 0x1"]


def test_a_source_without_a_name_is_counted_by_its_bits() -> None:
    machine, driver = ready()
    interrupt(machine, 0x40, gt3=0x8000_0000)
    assert driver.interrupts.events == {"GT3.0x80000000": 1}


def test_after_the_unload_an_interrupt_still_on_its_way_is_dropped() -> None:
    machine, driver = ready()
    handler = machine.gpu.handler
    driver.unload()
    machine.regs.accesses.clear()
    assert handler is not None
    handler()
    assert machine.regs.accesses == []


@pytest.mark.parametrize(
    ("platform", "pipe", "port", "pch"),
    [
        ("skl", (0x9000_0F89, 0xEFFF_F07F), (0x0E00_0001, 0xF1FF_FFFE), (0xFFFF_FFFF, 0xFFFD_FFFF)),
        ("cfl", (0x9000_0F89, 0xEFFF_F07F), (0x0E00_0001, 0xF1FF_FFFE), (0xFFFF_FFFF, 0xFFFD_FFFF)),
        ("bdw", (0x9000_0711, 0xEFFF_F8FF), (0x0000_0009, 0xFFFF_FFFE), (0xFFFF_FFFF, 0xF1FD_FFFF)),
        ("bxt", (0x9000_0F89, 0xEFFF_F07F), (0x0E00_003B, 0xF1FF_FFFC), None),
    ],
)
def test_each_platform_opens_its_own_display_events(
    platform: str, pipe: tuple[int, int], port: tuple[int, int], pch: tuple[int, int] | None
) -> None:
    machine, _ = ready(platform)
    for base in (0x44400, 0x44410, 0x44420):
        assert (machine.regs.peek(base + 0xC), machine.regs.peek(base + 4)) == pipe
    assert (machine.regs.peek(0x4444C), machine.regs.peek(0x44444)) == port
    if pch is None:
        assert 0xC4004 not in machine.regs.stored
    else:
        assert (machine.regs.peek(0xC400C), machine.regs.peek(0xC4004)) == pch


def test_engines_may_report_users_errors_switches_and_semaphores() -> None:
    machine, _ = ready()
    assert [machine.regs.peek(0x4430C + 0x10 * group) for group in range(4)] == [0x0909_0909, 0x0909_0909, 0, 0x909]
    assert [machine.regs.peek(0x44304 + 0x10 * group) for group in range(4)] == [0xF6F6_F6F6, 0xF6F6_F6F6, 0xFFFF_FFFF, 0xFFFF_F6F6]
    assert machine.regs.peek(MASTER) == 0x8000_0000


def test_an_event_register_that_cannot_be_cleared_is_reported_and_cleared_twice_more() -> None:
    machine = FakeMachine(pv_page())
    machine.regs.stuck.add(0x44338)
    driver = GuestDriver(machine)
    driver.probe()
    assert [line.rule for line in driver.log.complaints()] == ["interrupt-register-not-zero", "gt-wedged"]
    assert "0x44338 reads 0xffffffff" in driver.log.complaints()[0].text
    assert [access.value for access in machine.regs.accesses if access.offset == 0x44338 and access.op is Op.WRITE] == [0xFFFF_FFFF] * 4


def test_an_interrupt_during_the_probe_is_served_at_once() -> None:
    machine = FakeMachine(pv_page())
    driver = GuestDriver(machine)

    def raise_one(offset: int) -> None:
        if offset == MASTER and machine.regs.peek(MASTER) == 0x8000_0000 and not driver.interrupts.received:
            interrupt(machine, 0x1, gt0=0x100)

    machine.regs.after_write = raise_one
    driver.probe()
    assert driver.interrupts.received == 1
    assert driver.interrupts.events == {"GT0.rcs_context_switch": 1}
