"""The driver on a bare GPU: power domains, sleep, and the probe against the recorded one of the real driver."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pytest
from support.guest_machine import FORCEWAKE, Access, FakeClock, FakeMachine, FakeRegisters, accesses_of, pv_page

from guest_driver import DriverLog, DriverState, GtState, GuestDriver
from guest_driver.power_domains import Domain, PowerDomains, WakingRegion, domains_of
from guest_driver.rc6 import Rc6
from pvinfo.page import PVINFO_BASE
from pvinfo.platform import platform_named
from pvinfo.trace import Op, read_trace
from pvinfo.units import MIB

DATA: Final = Path(__file__).parent / "data"
ACKNOWLEDGES: Final = frozenset(FORCEWAKE.values())
SHARED_WITH_DISPLAY: Final = frozenset({0x51000, 0x138124, 0x138128, 0x13812C, 0x42080, 0x46430, 0x45000, 0x44200})
"""Registers that the display part of the real driver, which this one lacks, accesses as well."""
NOT_CLEARED: Final = (0x64834, 0x64838, 0xC4008)
"""Registers that the recording device merely stored, so that the driver met and reported them as not cleared."""
EVENTS: Final = frozenset({0x44308, 0x44318, 0x44338, *(base + register for base in (0x2000, 0x22000, 0x12000, 0x1A000) for register in (0xA8, 0x3A0))})
"""Registers through which requests are told to be complete: what is read and written there depends on the moment."""


def bare(platform: str = "skl") -> tuple[FakeMachine, GuestDriver]:
    machine = FakeMachine(platform=platform, running=True)
    driver = GuestDriver(machine)
    driver.probe()
    return machine, driver


# ---- power domains ----


def domains(platform: str = "skl") -> tuple[FakeRegisters, FakeClock, PowerDomains, DriverLog]:
    regs, clock = FakeRegisters(None, {}), FakeClock()
    log = DriverLog(clock)
    return regs, clock, PowerDomains(regs, clock, log, platform_named(platform)), log


def shape(accesses: Iterable[Access]) -> list[tuple[str, int, int]]:
    return [(access.op.value, access.offset, access.value) for access in accesses]


@pytest.mark.parametrize(
    ("version", "offset", "needed"),
    [
        (9, 0x2030, Domain.RENDER), (9, 0x2700, Domain.GT), (9, 0xB00, Domain(0)), (9, 0x12080, Domain.MEDIA), (9, 0x1A080, Domain.MEDIA),
        (9, 0x22080, Domain.GT), (9, 0x941C, Domain.RENDER | Domain.MEDIA), (9, 0x3FFFC, Domain.MEDIA), (9, 0x40000, Domain(0)),
        (9, 0x8130, Domain.MEDIA), (9, 0x812C, Domain.GT), (9, 0x8140, Domain.RENDER), (8, 0x0, Domain.RENDER), (8, 0x22080, Domain.RENDER),
        (8, 0x44200, Domain(0)),
    ],
)  # fmt: skip
def test_each_range_of_registers_has_its_domains(version: int, offset: int, needed: Domain) -> None:
    assert domains_of(version, offset, writing=False) == needed
    if offset != 0x2030:
        assert domains_of(version, offset, writing=True) == needed


def test_hardware_itself_wakes_for_writes_of_the_ring_tails_and_of_frequencies() -> None:
    for offset in (0x2030, 0x12030, 0x1A030, 0x22030, 0xA008, 0xA00C):
        assert domains_of(9, offset, writing=True) == Domain(0)
        assert domains_of(9, offset, writing=False) != Domain(0)


def test_requests_of_whoever_came_before_are_taken_back_twice() -> None:
    regs, _, _, _ = domains()
    requests = [("W", offset, 0xFFFF_0000) for offset in (0xA278, 0xA188, 0xA270)]
    assert shape(regs.accesses) == requests * 2
    regs, _, _, _ = domains("bdw")
    assert shape(regs.accesses) == [("W", 0xA188, 0xFFFF_0000)] * 2


def test_an_access_wakes_what_sleeps_and_what_is_awake_costs_nothing() -> None:
    regs, _, power, _ = domains()
    waking = WakingRegion(regs, power)
    regs.accesses.clear()
    waking.write32(0x9424, 0)
    waking.write32(0x2098, 1)
    assert waking.read32(0x120010) == 0
    assert shape(regs.accesses) == [
        ("R", 0xD84, 0), ("W", 0xA278, 0x10001), ("R", 0xD88, 0), ("W", 0xA270, 0x10001), ("R", 0xD84, 1), ("R", 0xD88, 1),
        ("W", 0x9424, 0), ("W", 0x2098, 1), ("R", 0x120010, 0),
    ]  # fmt: skip
    assert power.awake == Domain.RENDER | Domain.MEDIA


def test_a_domain_that_nobody_needs_for_a_millisecond_falls_asleep() -> None:
    regs, clock, power, _ = domains()
    waking = WakingRegion(regs, power)
    waking.read32(0x2080)
    regs.accesses.clear()
    clock.wait_ns(999_999)
    waking.read32(0x2080)
    clock.wait_ns(1)
    waking.read32(0x12080)
    assert shape(regs.accesses) == [
        ("R", 0x2080, 0), ("W", 0xA278, 0x10000), ("R", 0xD88, 0), ("W", 0xA270, 0x10001), ("R", 0xD88, 1), ("R", 0x12080, 0),
    ]  # fmt: skip


def test_a_hold_outlives_the_accesses_in_it_and_the_last_one_ends_at_once() -> None:
    regs, clock, power, _ = domains()
    waking = WakingRegion(regs, power)
    with power.held(), power.held(Domain.RENDER):
        clock.wait_ns(5_000_000)
        waking.read32(0x2080)
        regs.accesses.clear()
    assert shape(regs.accesses) == [("W", 0xA278, 0x10000), ("W", 0xA188, 0x10000), ("W", 0xA270, 0x10000)]
    assert power.awake == Domain(0)


def test_a_lingering_hold_ends_a_millisecond_later_or_two_when_it_was_needed_again() -> None:
    regs, clock, power, _ = domains()
    with power.held(Domain.MEDIA, linger=True):
        pass
    with power.held(Domain.MEDIA):
        clock.wait_ns(900_000)
    clock.wait_ns(200_000)
    power.need(Domain.MEDIA)
    assert int(power.awake) == Domain.MEDIA, "it was held meanwhile"
    clock.wait_ns(1_000_000)
    power.need(Domain.GT)
    assert int(power.awake) == Domain.GT


def test_a_lost_acknowledge_is_brought_out_by_the_second_bit() -> None:
    regs, _, power, log = domains()

    def deaf(value: int) -> int:
        if value & 0x8000_0000:
            regs.stored[0xD84] = 0x8001 if value & 0x8000 else 0x0001
        return 0

    regs.rules[0xA278] = deaf
    power.need(Domain.RENDER)
    assert [line.rule for line in log] == ["forcewake-fallback"]
    assert [access.value for access in regs.accesses if access.offset == 0xA278][2:] == [0x10001, 0x8000_8000, 0x8000_0000]


def test_a_domain_that_never_answers_is_complained_about_and_used_all_the_same() -> None:
    for platform, request in (("skl", 0xA278), ("bdw", 0xA188)):
        regs, _, power, log = domains(platform)
        regs.rules[request] = lambda value: 0
        power.need(Domain.RENDER)
        assert [line.rule for line in log.complaints()] == ["forcewake-timeout"]
        assert "no acknowledge of the request for 50 ms" in log.complaints()[0].text
        assert power.awake == Domain.RENDER


def test_broadwell_waits_for_the_threads_of_the_gt_as_well() -> None:
    regs, _, power, log = domains("bdw")
    regs.accesses.clear()
    power.need(Domain.RENDER)
    assert shape(regs.accesses) == [("R", 0x130044, 0), ("W", 0xA188, 0x10001), ("R", 0x130044, 1), ("R", 0x13805C, 0)]
    regs.stored[0x13805C] = 3
    power.let_go(Domain.RENDER)
    power.hold(Domain.RENDER)
    assert [line.rule for line in log.complaints()] == ["gt-thread-asleep"]


# ---- the probe ----


def within(accesses: Iterable[Access], touched: set[tuple[Op, int]]) -> list[Access]:
    """Named rules: only what this driver accesses at all counts, less the power domains, whose timing is the moment's,
    what the display has a part in, and what tells of requests. Of a table entry only its flags and place count."""
    left_out = frozenset(FORCEWAKE) | ACKNOWLEDGES | SHARED_WITH_DISPLAY | EVENTS | frozenset(NOT_CLEARED)
    kept = []
    for access in accesses:
        if access.op is Op.GGTT_WRITE:
            kept.append(access._replace(value=access.value & 0xFFF))
        elif (access.op, access.offset) in touched and access.offset not in left_out:
            kept.append(access)
    return kept


def test_the_probe_of_a_bare_skylake_equals_the_real_drivers_up_to_its_first_free_worker() -> None:
    machine, driver = bare()
    ours = machine.accesses()
    touched: set[tuple[Op, int]] = {(access.op, access.offset) for access in ours if access.op in (Op.READ, Op.WRITE)}
    theirs = within(accesses_of(read_trace(DATA / "real_probe_skl_native.tsv.xz")), touched)
    mine = within(ours, touched)
    # From here on the real driver's workers free and reuse places in graphics memory whenever they come to it.
    first_reuse = next(number for number, pair in enumerate(zip(mine, theirs, strict=False)) if pair[0] != pair[1])
    assert theirs[first_reuse] == Access(Op.GGTT_WRITE, 8, 0x7FFE08, 1)
    assert first_reuse > 850
    assert driver.state is DriverState.READY and driver.gt_state is GtState.RUNNING


@pytest.mark.parametrize("platform", ["bdw", "skl", "bxt", "kbl", "cfl"])
def test_every_platform_is_probed_bare_without_a_complaint_and_without_a_word_to_a_host(platform: str) -> None:
    machine, driver = bare(platform)
    assert driver.log.complaints() == ()
    assert not driver.virtual
    page = [access for access in machine.regs.accesses if PVINFO_BASE <= access.offset < PVINFO_BASE + 0x1000 and access.op is not Op.GGTT_WRITE]
    assert page == [Access(Op.READ, 8, PVINFO_BASE, 0)]


def test_a_bare_gpu_belongs_to_its_driver_as_a_whole() -> None:
    _, driver = bare()
    assert driver.resources.mappable == (0, 256 * MIB)
    assert driver.resources.nonmappable == (256 * MIB, 4096 * MIB - 256 * MIB)
    assert len(driver.fences) == driver.resources.fences == 32
    assert driver.balloon.slots == {}
    assert driver.gt.large_pages


def test_every_register_is_accessed_with_its_domain_awake() -> None:
    machine, driver = bare()
    awake = Domain(0)
    by_request = {0xA278: Domain.RENDER, 0xA188: Domain.GT, 0xA270: Domain.MEDIA}
    raw = {0xA188, 0xA278, 0xA270}
    for access in machine.regs.accesses[1:]:
        if access.op is Op.WRITE and access.offset in by_request:
            domain = by_request[access.offset]
            awake = awake | domain if access.value & 1 else awake & ~domain
        elif access.op in (Op.READ, Op.WRITE) and access.offset not in raw | ACKNOWLEDGES:
            needed = domains_of(9, access.offset, writing=access.op is Op.WRITE)
            assert not needed & ~awake, f"{access} while only {awake!r} is awake"
    assert driver.uncore.domains is not None


def test_a_host_sees_to_the_power_of_a_vgpu() -> None:
    machine = FakeMachine(pv_page())
    driver = GuestDriver(machine)
    driver.probe()
    assert driver.uncore.domains is None
    offsets = {access.offset for access in machine.regs.accesses if access.op is not Op.GGTT_WRITE}
    assert not offsets & (set(FORCEWAKE) - {0xA188} | ACKNOWLEDGES | {0xA090, 0xA094, 0xA210})
    assert not any(access.offset == 0xA188 for access in machine.regs.accesses if access.op is Op.WRITE)


# ---- sleep ----

SLEEP: Final = (0xA09C, 0xA0A8, 0xA0AC, 0xA0B0, 0xA0B8, 0xA0C4, 0xA0C8, 0xA210, 0xC3E4)


@pytest.mark.parametrize(
    ("platform", "values"),
    [
        ("skl", (108 << 16, 125_000, 25, 0, 37_500, 250, 250, 3, 10)),
        ("kbl", (54 << 16, 125_000, 25, 0, 37_500, 250, 250, 3, 10)),
        ("bdw", (40 << 16, 125_000, 25, 0, 625, 0, 0, 0, 0)),
        ("bxt", (0, 0, 0, 0, 0, 0, 0, 0, 0)),
    ],
)
def test_each_platform_sets_its_own_thresholds_of_sleep(platform: str, values: tuple[int, ...]) -> None:
    machine, driver = bare(platform)
    assert tuple(machine.regs.peek(offset) for offset in SLEEP) == values
    assert not driver.gt.rc6.enabled, "the part says that its saved context is corrupt"
    if platform != "bxt":
        assert all(machine.regs.peek(base + 0x54) == 10 for base in (0x2000, 0x22000, 0x12000, 0x1A000))


def sleeps(rc6: Rc6) -> bool:
    return rc6.enabled


def test_a_part_whose_saved_context_is_whole_sleeps_while_nobody_needs_it() -> None:
    machine = FakeMachine(registers={0x8504: 0x1000}, running=True)
    driver = GuestDriver(machine)
    driver.probe()
    rc6 = driver.gt.rc6
    assert sleeps(rc6)
    machine.regs.accesses.clear()
    rc6.park()
    rc6.unpark()
    assert [(offset, value) for operation, offset, value in shape(machine.regs.accesses) if operation == "W" and offset not in FORCEWAKE] == [
        (0xA090, 1 << 18), (0xA094, 4 << 16), (0xA090, 0),
    ]  # fmt: skip
    machine.regs.stored[0x8504] = 0
    rc6.park()
    assert not sleeps(rc6)
    assert (machine.regs.peek(0xA090), machine.regs.peek(0xA094), machine.regs.peek(0xA210)) == (0, 0, 0)


def test_stolen_memory_is_noted_and_left_alone() -> None:
    machine = FakeMachine(gmch=0xC0 | 2 << 8, running=True)
    driver = GuestDriver(machine)
    driver.probe()
    assert [line.text for line in driver.log if line.rule == "stolen-memory"] == [
        "firmware has set 64 MiB aside for graphics; this driver leaves it alone"
    ]
    assert GuestDriver(FakeMachine(gmch=0xC0 | 0xF3 << 8)).machine.gpu.config.read(0x50, 2) == 0xF3C0
