"""The tables of work-arounds and cache control, and what becomes of a device that loses them."""

from __future__ import annotations

import pytest
from support.guest_machine import FakeMachine, pv_page

from guest_driver import GuestDriver
from guest_driver.mocs import mocs_table
from guest_driver.workarounds import Operation, Workaround, workarounds
from pvinfo.platform import PLATFORMS
from pvinfo.register import declared_blocks
from pvinfo.trace import Op

GROUPS = ("clock-gating", "gt", "rcs", "xcs", "whitelist")


def all_rows() -> list[Workaround]:
    return [
        row
        for group in GROUPS for name in PLATFORMS for revision in range(16)
        for row in workarounds(group, name, revision)
    ]  # fmt: skip


def test_every_register_of_the_table_is_declared_where_the_table_says() -> None:
    """Registers that the declarations know by the kernel's name stand at the offset of the table."""
    offsets: dict[str, set[int]] = {}
    for block in declared_blocks():
        for register in block.registers:
            offsets.setdefault(register.kernel_name, set()).update(register.offsets())
            offsets[register.kernel_name].add(register.offset)
    known = [row for row in all_rows() if row.register in offsets]
    assert {row.register for row in known} >= {"GAM_ECOCHK", "GEN8_L3SQCREG4", "RING_SEMA_WAIT_POLL", "GEN8_CS_CHICKEN1", "DISP_ARB_CTL"}
    assert [(row.register, hex(row.offset)) for row in known if row.offset not in offsets[row.register]] == []


def test_a_row_sets_no_bit_that_a_list_would_not_verify() -> None:
    for row in all_rows():
        if row.group in ("gt", "rcs", "xcs") and row.operation is Operation.MODIFY:
            assert row.set_bits & ~row.clear == 0, row
        if row.operation is Operation.MASKED:
            assert row.set_bits < 0x10000, row


@pytest.mark.parametrize(("platform", "revision", "present"), [("skl", 6, True), ("skl", 7, False), ("kbl", 4, True), ("cfl", 0, True)])
def test_revisions_decide_on_a_work_around(platform: str, revision: int, present: bool) -> None:
    assert any(row.register == "GEN9_GAMT_ECO_REG_RW_IA" for row in workarounds("gt", platform, revision)) is present


def test_early_kaby_lakes_poll_semaphores_more_often_on_each_engine_but_render() -> None:
    for revision, polled in ((3, {0x2224C, 0x1224C, 0x1A24C}), (4, set())):
        machine = FakeMachine(pv_page(), platform="kbl", revision=revision)
        GuestDriver(machine).probe()
        assert {access.offset for access in machine.regs.accesses if access.offset & 0xFFF == 0x24C and access.op is Op.WRITE} == polled


@pytest.mark.parametrize(
    ("platform", "slots"),
    [
        ("skl", [0x2248, 0x2580, 0x7014, 0x7304, 0xB118]),
        ("bxt", [0x2248, 0x2580, 0x7014, 0x7304]),
        ("cfl", [0x2248, 0x2580, 0x7014, 0x7304, 0x1000_2349]),
        ("bdw", None),
    ],
)
def test_the_white_list_is_sorted_and_filled_up_with_a_register_that_does_nothing(platform: str, slots: list[int] | None) -> None:
    machine = FakeMachine(pv_page(), platform=platform)
    GuestDriver(machine).probe()
    stored = [machine.regs.stored.get(0x24D0 + 4 * index) for index in range(12)]
    assert stored == ([None] * 12 if slots is None else slots + [0x2094] * (12 - len(slots)))


def test_a_register_that_loses_its_work_around_is_named_with_the_bits_it_should_have() -> None:
    machine = FakeMachine(pv_page(), running=True)
    machine.regs.rules[0x4DDC] = lambda value: value & 0x7FFF_FFFF
    driver = GuestDriver(machine)
    driver.probe()
    assert [line.rule for line in driver.log.complaints()] == ["workaround-lost"]
    assert driver.log.complaints()[0].text == "MMCD_MISC_CTRL at 0x4ddc reads 0x8000000: of bits 0x88000000, 0x88000000 should be set"


def test_reads_are_steered_to_a_slice_and_subslice_that_exist() -> None:
    machine = FakeMachine(pv_page(), registers={0x9120: 2 << 25 | 0b0011 << 20})
    GuestDriver(machine).probe()
    assert machine.regs.peek(0xFDC) == 1 << 26 | 2 << 24


def test_cache_control_is_known_for_gen9_and_absent_for_gen8() -> None:
    assert mocs_table("bdw") == ()
    skylake, broxton = mocs_table("skl"), mocs_table("bxt")
    assert skylake[:4] == ((0x9, 0x10), (0x30, 0x30), (0x3B, 0x30), (0x30, 0x30)) and skylake[63] == (0x37, 0x10)
    assert broxton[2] == (0x39, 0x30) and broxton[63] == (0x30, 0x30)
    assert mocs_table("kbl") == mocs_table("cfl") == skylake


def test_broxtons_memory_attributes_only_snoop() -> None:
    for platform, low, high in (("skl", 0x0003_0907, 0x3B2B_1B0B), ("bdw", 0x000A_0907, 0x3B2B_1B0B), ("bxt", 0x40, 0x4040_4040)):
        machine = FakeMachine(pv_page(), platform=platform)
        GuestDriver(machine).probe()
        assert (machine.regs.peek(0x40E0), machine.regs.peek(0x40E4)) == (low, high)
