"""The probe against the real driver's: the recorded traces are what Linux did on a like device."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pytest
from support.guest_machine import Access, FakeMachine, accesses_of, pv_page, speaks_to_host, without_addresses

from guest_driver import PROBE_STEPS, DriverState, GtState, GuestDriver
from pvinfo.trace import Op, read_trace

DATA: Final = Path(__file__).parent / "data"

NOT_CLEARED: Final = (0x64834, 0x64838, 0xC4008)
"""Registers that the recording device merely stored, so that the driver met and reported them as not cleared."""
RESETS: Final = (0x941C, 0x20D0, 0x220D0, 0x120D0, 0x1A0D0)


def recorded(name: str) -> list[Access]:
    return accesses_of(read_trace(DATA / f"guest_probe_{name}.tsv.xz"))


def without_places(accesses: Iterable[Access]) -> list[Access]:
    """Named rule: once the first request has completed, the real driver frees and reuses places in graphics memory
    whenever its workers come to it."""
    return [access._replace(offset=0) if access.op is Op.GGTT_WRITE else access for access in accesses]


def values_at_first(accesses: Iterable[Access]) -> dict[int, int]:
    """What each register read before it was written."""
    values: dict[int, int] = {}
    written: set[int] = set()
    for access in accesses:
        if access.op is Op.WRITE:
            written.add(access.offset)
        elif access.op is Op.READ and access.size == 4 and access.offset not in written:
            values.setdefault(access.offset, access.value)
    return values


def display_has_set_a_bit(machine: FakeMachine, offset: int) -> None:
    """The display part of the real driver, which had written one of the shared registers before memory was set up."""
    if offset == 0x40E4:
        machine.regs.stored[0x42080] = 0x0040_0000


def replay(platform: str, *, revision: int | None = None, registers: dict[int, int] | None = None) -> tuple[FakeMachine, GuestDriver]:
    """Probe a device like the recorded one, whose engines complete what they are given."""
    machine = FakeMachine(pv_page(), platform=platform, revision=revision, registers=registers, running=True)
    machine.regs.stuck.update(NOT_CLEARED)
    driver = GuestDriver(machine)
    driver.probe()
    return machine, driver


# ---- the real driver's probe, access by access ----


def test_the_whole_probe_of_a_kaby_lake_equals_the_real_drivers() -> None:
    """992 accesses in the same order with the same widths and values, bindings at the same graphics addresses."""
    machine, driver = replay("kbl", revision=6, registers={0x42080: 0x0040_0000})
    assert without_addresses(machine.accesses()) == without_addresses(recorded("kbl"))
    assert driver.ggtt.entries_written == 207


@pytest.mark.parametrize(("platform", "first_reuse", "entries"), [("skl", 0x13FDE0, 207), ("bdw", 0x13FE00, 203)])
def test_the_probe_of_skylake_and_broadwell_equals_the_real_drivers_up_to_the_first_place_used_again(
    platform: str, first_reuse: int, entries: int
) -> None:
    machine, driver = replay(platform)
    ours, theirs = without_addresses(machine.accesses()), without_addresses(recorded(platform))
    same = next(number for number, pair in enumerate(zip(ours, theirs, strict=True)) if pair[0] != pair[1])
    assert ours[same] == Access(Op.GGTT_WRITE, 8, first_reuse, 1)
    assert theirs[same].offset > first_reuse, "the place of the render state batch, which had been freed by then"
    assert without_places(ours) == without_places(theirs)
    assert driver.ggtt.entries_written == entries


@pytest.mark.parametrize("platform", ["skl", "kbl", "bdw"])
def test_what_the_host_learns_is_what_it_learns_from_the_real_driver(platform: str) -> None:
    machine, _ = replay(platform, registers={0x42080: 0x0040_0000} if platform == "kbl" else None)
    ours = without_places(without_addresses(machine.vgpu_accesses()))
    theirs = [access for access in recorded(platform) if speaks_to_host(access)]
    assert ours == without_places(without_addresses(theirs))
    notifications = [access.value for access in ours if access.offset == 0x78818]
    assert notifications == [4, 4, 4], "kernel, migration, console"


@pytest.mark.parametrize("platform", ["skl", "kbl", "bdw"])
def test_on_a_host_whose_engines_execute_nothing_the_whole_probe_equals_the_real_drivers(platform: str) -> None:
    """Both hand requests over, wait for them in vain, and give the GT up: every access of page, table, fences, GT and
    interrupts is the same."""
    theirs = recorded(f"{platform}_unanswered")
    offered = {access.offset: access.value for access in theirs if 0x78040 <= access.offset < 0x78054}
    page = pv_page(mappable=(offered[0x78040], offered[0x78044]), nonmappable=(offered[0x78048], offered[0x7804C]))
    machine = FakeMachine(page, platform=platform, registers=values_at_first(theirs))
    machine.regs.forgets_at_reset = True
    if platform == "kbl":
        machine.regs.power_on[0x42080] = 0
        machine.regs.after_write = lambda offset: display_has_set_a_bit(machine, offset)
    machine.regs.pcode_replies[0x1A] = next(access.value for access in theirs if access.offset == 0x138128 and access.op is Op.READ)
    driver = GuestDriver(machine)
    driver.probe()
    assert without_addresses(machine.accesses()) == without_addresses(theirs)
    assert driver.state is DriverState.READY and driver.gt_state is GtState.WEDGED
    assert [line.rule for line in driver.log.complaints()] == ["gt-wedged"]
    assert driver.gt.frequency.range.highest > driver.gt.frequency.range.lowest


def test_a_probe_whose_resets_fail_equals_the_real_drivers_on_such_a_host() -> None:
    """The real driver gives the GT up, takes its page table down, writes table and fences anew, and registers."""
    machine = FakeMachine(pv_page(mappable=(0x800_0000, 0x400_0000), nonmappable=(0xE800_0000, 0x1800_0000)))
    machine.regs.stuck.update(RESETS)
    driver = GuestDriver(machine)
    driver.probe()
    theirs = [access for access in recorded("skl_no_reset") if speaks_to_host(access)]
    assert without_addresses(machine.vgpu_accesses()) == without_addresses(theirs)
    assert driver.state is DriverState.READY and driver.gt_state is GtState.WEDGED
    assert {"reset-request", "reset-domain", "gt-reset", "gt-wedged"} == {line.rule for line in driver.log.complaints()}


# ---- engines that execute nothing ----

PORTS: Final = {"rcs0": 0x2230, "bcs0": 0x22230, "vcs0": 0x12230, "vecs0": 0x1A230}


def probe_unanswered(platform: str = "skl") -> tuple[FakeMachine, GuestDriver]:
    machine = FakeMachine(pv_page(), platform=platform)
    driver = GuestDriver(machine)
    driver.probe()
    return machine, driver


@pytest.mark.parametrize(("platform", "entries"), [("skl", 79), ("kbl", 79), ("bdw", 75)])
def test_unanswered_everything_up_to_the_first_requests_is_bound_and_then_taken_down(platform: str, entries: int) -> None:
    machine, driver = probe_unanswered(platform)
    assert driver.state is DriverState.READY
    assert driver.gt_state is GtState.WEDGED
    assert [line.rule for line in driver.log.complaints()] == ["gt-wedged"]
    assert driver.ggtt.entries_written == entries
    assert driver.ggtt.bindings == ()
    assert driver.gt.kernel_vm is None and driver.gt.engines == {}


def test_unanswered_each_engine_is_given_one_submission_and_200_ms() -> None:
    """What waits behind it is never handed over: the engine has not taken the first."""
    machine, driver = probe_unanswered()
    for port in PORTS.values():
        writes = [access.value for access in machine.regs.accesses if access.offset == port]
        assert writes[:3] == [0, 0, 0x20] and len(writes) == 4
        assert writes[3] & 0xFFF == (0x51D if port == 0x2230 else 0x11D)
    assert 200_000_000 < machine.clock.now < 205_000_000


def test_unanswered_the_probe_ends_with_what_was_announced_taken_back() -> None:
    """Up to the default contexts as on a working GPU; then table root announced as gone, error capture and
    fences written again, display ready, and the console's table root."""
    machine, _ = probe_unanswered()
    ours = without_addresses(machine.vgpu_accesses())
    migration = next(number for number, access in enumerate(recorded("kbl")) if access.offset == 0x78804)
    working = [access for access in without_addresses(recorded("kbl"))[:migration] if speaks_to_host(access)]
    third_root = [number for number, access in enumerate(working) if access.offset == 0x78838][-1]
    common = working[:third_root]
    assert ours[: len(common)] == common
    capture = [Access(Op.GGTT_WRITE, 8, 0, 1), Access(Op.GGTT_WRITE, 8, 8, 1), Access(Op.WRITE, 4, 0x101008, 1)]
    fences = [
        access
        for at in (0x100000, 0x100008, 0x100010, 0x100018)
        for access in (
            Access(Op.WRITE, 4, at, 0), Access(Op.READ, 4, at, 0), Access(Op.WRITE, 4, at + 4, 0),
            Access(Op.WRITE, 4, at, 0), Access(Op.READ, 4, at, 0),
        )
    ]  # fmt: skip
    root = [Access(Op.WRITE, 4, 0x78838, 0), Access(Op.WRITE, 4, 0x7883C, 0)]
    assert ours[len(common) :] == [
        *root, Access(Op.WRITE, 4, 0x78818, 5), *capture, *fences,
        Access(Op.WRITE, 4, 0x78804, 1), *root, Access(Op.WRITE, 4, 0x78818, 4),
    ]  # fmt: skip


def test_a_locked_micro_controller_costs_the_gt_on_gen9_and_is_not_looked_at_on_gen8() -> None:
    for platform, rules in (("skl", ["wopcm-locked", "gt-init", "gt-wedged"]), ("bdw", [])):
        machine = FakeMachine(pv_page(), platform=platform, registers={0xC340: 1}, running=True)
        driver = GuestDriver(machine)
        driver.probe()
        assert [line.rule for line in driver.log.complaints()] == rules
        assert driver.gt_state is (GtState.WEDGED if rules else GtState.RUNNING)
        assert driver.state is DriverState.READY


# ---- the first requests ----


def submissions(accesses: Iterable[Access]) -> dict[int, list[tuple[int, ...]]]:
    """What was written to each port, in fours."""
    written: dict[int, list[int]] = {port: [] for port in PORTS.values()}
    for access in accesses:
        if access.op is Op.WRITE and access.offset in written:
            written[access.offset].append(access.value)
    return {port: [tuple(values[at : at + 4]) for at in range(0, len(values), 4)] for port, values in written.items()}


def with_render_batch_freed(written: dict[int, list[tuple[int, ...]]]) -> dict[int, list[tuple[int, ...]]]:
    """Named rule: in some recordings a worker had given the render batch's page back before the last two engines' fresh
    contexts were bound, which then lie one page higher."""
    moved = dict(written)
    for port in (0x12230, 0x1A230):
        first, fresh, second = written[port]
        moved[port] = [first, (*fresh[:3], fresh[3] + 0x1000), second]
    return moved


@pytest.mark.parametrize("name", ["skl", "skl_nodisplay", "skl_native", "kbl", "bdw"])
def test_what_is_written_to_the_ports_is_what_the_real_driver_writes(name: str) -> None:
    """The same contexts at the same graphics addresses, with the same flags and names, in the same order: the kernel's, a
    fresh one, and the kernel's again, on each engine."""
    theirs = accesses_of(read_trace(DATA / f"real_probe_{name}.tsv.xz"))
    offered = {access.offset: access.value for access in theirs if 0x78040 <= access.offset < 0x78054}
    page = None
    if offered:
        page = pv_page(mappable=(offered[0x78040], offered[0x78044]), nonmappable=(offered[0x78048], offered[0x7804C]))
    machine = FakeMachine(page, platform=name.split("_")[0], running=True)
    GuestDriver(machine).probe()
    ours = submissions(machine.regs.accesses)
    assert submissions(theirs) == (ours if name == "kbl" else with_render_batch_freed(ours))
    assert [len(written) for written in ours.values()] == [3, 3, 3, 3]


@pytest.mark.parametrize("page", [None, pv_page()])
def test_requests_of_the_kernel_report_in_the_status_page_and_others_in_pages_of_their_own(page: bytes | None) -> None:
    machine = FakeMachine(page, running=True)
    driver = GuestDriver(machine)
    driver.probe()
    for engine, streamer in driver.gt.engines.items():
        kernel = streamer.status_page.address + 0x100
        first, fresh, second = machine.engines[engine].seqnos
        assert first == (kernel, 1) and second == (kernel, 2)
        assert fresh[1] == 2 and fresh[0] % 0x1000 == 0 and fresh[0] != streamer.status_page.address


# ---- what is not in a trace ----


def test_a_part_without_display_gets_no_console_and_leaves_display_interrupts_alone() -> None:
    machine = FakeMachine(pv_page(), registers={0x51000: 1 << 30 | 1 << 21 | 1 << 28})
    driver = GuestDriver(machine)
    driver.probe()
    assert not driver.info.has_display
    assert driver.clients == []
    touched = {access.offset for access in machine.regs.accesses}
    assert not touched & set(range(0x44400, 0x444E0))
    assert Access(Op.WRITE, 4, 0x78804, 1) in machine.regs.accesses, "the host is told all the same"


def test_a_part_that_lacks_one_pipe_has_a_display() -> None:
    driver = GuestDriver(FakeMachine(pv_page(), registers={0x51000: 1 << 28}))
    driver.probe()
    assert driver.info.has_display


@pytest.mark.parametrize(
    ("platform", "registers", "slices", "subslices", "units"),
    [
        ("skl", {0x9120: 0x0280_0000}, 1, 0b0111, 24),
        ("skl", {0x9120: 0x0600_0000, 0x9134: 0x0000_8001}, 0b011, 0b1111, 62),
        ("bdw", {0x9120: 0x0200_0000}, 1, 0b111, 24),
        ("bdw", {0x9120: 0x0600_0000, 0x9134: 0xFF00_0000, 0x9138: 0x1}, 0b011, 0b111, 39),
        ("bxt", {0x9120: 0x0240_0000}, 1, 0b011, 16),
    ],
)
def test_the_shape_of_the_part_is_read_from_its_fuses(
    platform: str, registers: dict[int, int], slices: int, subslices: int, units: int
) -> None:
    driver = GuestDriver(FakeMachine(pv_page(), platform=platform, registers=registers))
    driver.probe()
    assert driver.info.topology == (slices, subslices, units)


def test_a_part_without_slices_is_complained_about_and_does_not_stop_the_driver() -> None:
    driver = GuestDriver(FakeMachine(pv_page(), registers={0x9120: 0}, running=True))
    driver.probe()
    assert [line.rule for line in driver.log.complaints()] == ["no-slice"]
    assert driver.state is DriverState.READY


@pytest.mark.parametrize(("mode", "override", "hertz"), [(0, 0, 3_000_000), (0b110, 0, 24_000_000), (1, 0x3017, 24_250_000)])
def test_the_time_stamps_frequency_follows_the_clocks_mode(mode: int, override: int, hertz: int) -> None:
    driver = GuestDriver(FakeMachine(pv_page(), registers={0xA26C: mode, 0x44074: override}))
    driver.probe()
    assert driver.info.timestamp_hz == hertz


def test_the_steps_of_the_probe_bear_the_kernels_names_and_end_in_ready() -> None:
    assert [step.name for step in PROBE_STEPS] == [
        "i915_pci_probe", "intel_vgpu_detect", "i915_driver_mmio_probe", "i915_driver_hw_probe",
        "intel_irq_install", "i915_init_ggtt", "i915_gem_init", "i915_driver_register",
    ]  # fmt: skip
    assert all(step.doc for step in PROBE_STEPS)


@pytest.mark.parametrize("platform", ["bdw", "skl", "bxt", "kbl", "cfl"])
def test_every_platform_is_probed_without_a_complaint(platform: str) -> None:
    driver = GuestDriver(FakeMachine(pv_page(), platform=platform, running=True))
    driver.probe()
    assert driver.state is DriverState.READY and driver.gt_state is GtState.RUNNING
    assert driver.log.complaints() == ()


def test_the_same_machine_gives_the_same_trace() -> None:
    first, second = (probe_unanswered()[0].regs.accesses for _ in range(2))
    assert first == second
