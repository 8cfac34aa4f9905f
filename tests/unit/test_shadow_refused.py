"""Entries that lead where there is no memory: the space is refused, nothing of theirs is kept, and it is back when they are right."""

from __future__ import annotations

import os

import pytest
from support.shadow_rig import PORTS, ShadowRig
from support.shadow_spaces import DIRECTORY, IPS, POINTERS, ROOT, SCRATCH_AND_NOTHING, TABLE, four_levels, refused, use

from host_model.hypervisor.vfio_user import VfioUserPort
from host_model.mediator.refusal import Consequence, Refused
from pvinfo.units import PAGE_SIZE, GuestAddress
from pvinfo.vfio_user import DmaMap, DmaMapFlags


@pytest.fixture(params=PORTS)
def rig(request: pytest.FixtureRequest) -> ShadowRig:
    return ShadowRig(request.param)


@pytest.mark.parametrize(
    ("table", "entry", "where"),
    [
        (TABLE, 0x10_0003, "PTE 9 at 0x4048"), (TABLE, 0x3FFF_FFFF_F001, "PTE 9 at 0x4048"), (DIRECTORY, 0x10_0003, "PDE 9 at 0x3048"),
        (POINTERS, 0x7700_0003, "PDP entry 9 at 0x2048"), (ROOT, 0x7700_0003, "PML4 entry 9 at 0x1048"),
    ],
)  # fmt: skip
def test_an_entry_that_leads_where_there_is_no_memory_has_the_space_refused(rig: ShadowRig, table: int, entry: int, where: str) -> None:
    space = four_levels(rig)
    rig.set(TABLE, 1, 0x50003)
    rig.set(table, 9, entry)
    why = refused(rig, space)
    assert (why.rule, why.where, why.value, why.consequence) == ("ppgtt-not-memory", where, entry, Consequence.FLUSH)
    assert refused(rig, space).where == where, "it is refused as long as it stands there"
    rig.set(table, 9, 0)
    use(rig, space)
    assert rig.pinned == {0x50000: 1}


def test_a_bad_64_kib_entry_is_refused_and_pins_nothing_of_its_memory(rig: ShadowRig) -> None:
    rig.allow_64k()
    space = four_levels(rig)
    rig.set(DIRECTORY, 0, TABLE | IPS | 3)
    rig.set(TABLE, 32, 0xF_0003)
    use(rig, space)
    assert len(rig.pinned) == 16
    rig.set(TABLE, 32, 0x10_0003)
    why = refused(rig, space)
    assert (why.rule, why.where, why.value) == ("ppgtt-not-memory", "64 KiB PTE 32 at 0x4100", 0x10_0003)
    assert rig.pinned == {}


@pytest.mark.parametrize(("table", "index"), [(ROOT, 0), (POINTERS, 0), (DIRECTORY, 0), (TABLE, 9)])
def test_what_a_bad_entry_led_to_before_is_let_go_and_back_when_it_is_right_again(rig: ShadowRig, table: int, index: int) -> None:
    rig.set(TABLE, 9, 0x50003)
    space = four_levels(rig)
    right = rig.entry(table, index)
    rig.set(table, index, 0xFF_0003)
    refused(rig, space)
    assert rig.pinned == {}
    rig.set(table, index, right)
    use(rig, space)
    assert rig.pinned == {0x50000: 1} and rig.gpu(space).page_at(0x9000) == 0x50000


@pytest.mark.parametrize("roots", [(0x10_0000,), (1 << 45,)])
def test_a_root_that_is_no_memory_is_refused_at_once(rig: ShadowRig, roots: tuple[int, ...]) -> None:
    with pytest.raises(Refused, match="ppgtt-not-memory at root 0 of an address space of 4 levels") as caught:
        rig.tables.create(4, roots)
    assert caught.value.value == roots[0]
    assert rig.tables.find(4, roots) is None and len(rig.tables) == rig.tables.tables == 0
    with pytest.raises(Refused, match="root 2"):
        rig.tables.acquire(3, (ROOT, 0, roots[0], 0))
    assert rig.tables.tables == 0 and rig.pool.used(1) == SCRATCH_AND_NOTHING


def test_a_space_with_a_bad_entry_is_refused_when_it_is_announced_and_nothing_of_it_is_kept(rig: ShadowRig) -> None:
    rig.set(TABLE, 1, 0x50003, 0xFF_0003)
    with pytest.raises(Refused, match="PTE 2 at 0x4010"):
        four_levels(rig)
    assert rig.tables.find(4, (ROOT,)) is None and rig.pinned == {} and rig.tables.tables == 0
    rig.check()


def test_a_table_that_nothing_leads_to_any_more_is_not_looked_at(rig: ShadowRig) -> None:
    space = four_levels(rig)
    rig.set(TABLE, 0, 0xFF_0003)
    rig.set(DIRECTORY, 0, 0)
    use(rig, space)
    rig.set(DIRECTORY, 3, TABLE | 3)
    assert refused(rig, space).where == "PTE 0 at 0x4000"


def test_tables_whose_memory_goes_are_refused_until_it_is_back() -> None:
    rig = ShadowRig("another process")
    rig.set(TABLE, 0, 0x50003)
    space = four_levels(rig)
    view = rig.gpu(space)
    port = rig.port.inner
    assert isinstance(port, VfioUserPort)
    fd = os.memfd_create("test-ram", os.MFD_CLOEXEC)
    os.write(fd, rig.read(0, rig.pages * PAGE_SIZE))
    port.unmap(0, rig.pages * PAGE_SIZE)
    with pytest.raises(Refused, match="ppgtt-not-memory at PML4 at 0x1000") as caught:
        rig.tables.pin(space)
    assert "any more" in caught.value.text and not space.pins
    port.map(DmaMap(32, DmaMapFlags(3), 0, 0, rig.pages * PAGE_SIZE), fd)
    os.close(fd)
    use(rig, space)
    assert view.page_at(0) == 0x50000
    assert port.write_guest(GuestAddress(TABLE), (0x60003).to_bytes(8, "little"))
    use(rig, space)
    assert view.page_at(0) == 0x60000, "it is the new memory that is compared"
    rig.tables.clear()
    assert rig.port.mapped_pages == 0
    rig.close()
