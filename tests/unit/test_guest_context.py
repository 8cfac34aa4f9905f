"""Context images and descriptors, dword by dword."""

from __future__ import annotations

from typing import Final

import pytest
from support.guest_machine import with_driver

from guest_driver import Client, Context, GuestDriver
from pvinfo.errors import UsageError
from pvinfo.platform import ENGINES, Engine
from pvinfo.units import KIB, PAGE_SIZE

STATE: Final = PAGE_SIZE
EVERY: Final = [(platform, engine) for platform in ("skl", "kbl", "bdw") for engine in Engine]


def state(context: Context) -> memoryview:
    return memoryview(context.read_image()[STATE : STATE + PAGE_SIZE]).cast("I")


def fresh(driver: GuestDriver, engine: Engine) -> Context:
    """A context that does not start from a recorded state."""
    return driver.gt.engines[engine].create_context("test", driver.gt.create_vm("test"))


def is_gen8(platform: str) -> bool:
    return platform == "bdw"


# ---- the register state ----


@pytest.mark.parametrize(("platform", "engine"), EVERY)
def test_a_new_image_is_loads_of_registers_at_fixed_places(platform: str, engine: Engine) -> None:
    _, driver = with_driver(platform)
    base = ENGINES[engine].base
    page = state(fresh(driver, engine))
    posted = is_gen8(platform) and engine is not Engine.RCS0
    assert page[0] == 0
    assert page[0x01] == (0x1100_0015 if posted else 0x1100_101B)
    assert page[0x21] == (0x1100_0011 if posted else 0x1100_1011)
    places = {
        0x02: 0x244, 0x04: 0x034, 0x06: 0x030, 0x08: 0x038, 0x0A: 0x03C, 0x0C: 0x168, 0x0E: 0x140, 0x10: 0x110, 0x12: 0x11C, 0x14: 0x114,
        0x16: 0x118, 0x22: 0x3A8, 0x24: 0x28C, 0x26: 0x288, 0x28: 0x284, 0x2A: 0x280, 0x2C: 0x27C, 0x2E: 0x278, 0x30: 0x274, 0x32: 0x270,
    }  # fmt: skip
    if not posted:
        places |= {0x18: 0x1C0, 0x1A: 0x1C4, 0x1C: 0x1C8}
    if engine is Engine.RCS0:
        places |= {0x42: 0x0C8}
    assert {dword: page[dword] - base for dword in places} == places


@pytest.mark.parametrize(("platform", "engine"), EVERY)
def test_a_new_image_ends_where_the_hardware_goes_on(platform: str, engine: Engine) -> None:
    _, driver = with_driver(platform)
    page = state(fresh(driver, engine))
    end = 0xAA
    if is_gen8(platform):
        end = 0x44 if engine is Engine.RCS0 else 0x46
    assert page[end] == 0x0500_0000
    assert not any(page[end + 1 :])


@pytest.mark.parametrize(("platform", "engine"), EVERY)
def test_a_new_image_says_where_ring_and_tables_are_and_that_nothing_is_to_be_restored(platform: str, engine: Engine) -> None:
    _, driver = with_driver(platform)
    context = fresh(driver, engine)
    page = state(context)
    assert page[0x03] == 0x000F_0009
    assert (page[0x05], page[0x07]) == (0, 0)
    assert page[0x09] == context.ring.binding.address
    assert page[0x0B] == 0x0000_0001, "a ring of one page, enabled"
    assert (page[0x31], page[0x33]) == (0, context.vm.root.address)
    assert [page[dword] for dword in range(0x25, 0x31, 2)] == [0] * 6, "the other three roots are not used"


@pytest.mark.parametrize(
    ("platform", "lines", "offset", "power"), [("skl", 3, 0x26 << 6, 0x8000_0088), ("kbl", 3, 0x26 << 6, 0x8000_0088), ("bdw", 2, 0x17 << 6, 0)]
)
def test_an_image_of_the_render_engine_names_the_work_around_batch_and_wants_all_units_powered(
    platform: str, lines: int, offset: int, power: int
) -> None:
    _, driver = with_driver(platform)
    page = state(fresh(driver, Engine.RCS0))
    batch = driver.gt.engines[Engine.RCS0].workaround_batch
    assert batch is not None
    assert page[0x1B] == batch.address | lines
    assert page[0x1D] == offset
    assert page[0x19] == 0, "no batch at every switch"
    assert page[0x43] == power


def test_an_image_of_another_engine_names_no_work_around_batch() -> None:
    _, driver = with_driver()
    for engine in (Engine.BCS0, Engine.VCS0, Engine.VECS0):
        page = state(fresh(driver, engine))
        assert (page[0x19], page[0x1B], page[0x1D]) == (0, 0, 0)
        assert driver.gt.engines[engine].workaround_batch is None


@pytest.mark.parametrize(("engine", "pages"), [(Engine.RCS0, 22), (Engine.BCS0, 2), (Engine.VCS0, 2)])
def test_an_image_has_the_pages_of_its_engine(engine: Engine, pages: int) -> None:
    _, driver = with_driver()
    assert len(fresh(driver, engine).read_image()) == pages * PAGE_SIZE
    _, older = with_driver("bdw")
    assert len(fresh(older, engine).read_image()) == (20 if engine is Engine.RCS0 else 2) * PAGE_SIZE


# ---- contexts of clients ----


def test_a_clients_context_starts_from_the_recorded_state_with_an_empty_status_page() -> None:
    _, driver = with_driver()
    recorded = driver.gt.default_state[Engine.RCS0]
    context = driver.client.context(Engine.RCS0)
    image = context.read_image()
    assert image[:STATE] == bytes(STATE)
    assert image[STATE + PAGE_SIZE :] == recorded[STATE + PAGE_SIZE :]
    page = state(context)
    assert page[0x03] == 0x000F_0008, "the recorded state is restored"
    assert page[0x0B] == 0x0000_3001, "a ring of 16 KiB"
    assert page[0x09] == context.ring.binding.address
    assert page[0x33] == driver.client.vm.root.address


def test_the_migration_context_has_a_long_ring_and_reports_in_the_copy_engines_status_page() -> None:
    _, driver = with_driver()
    context = driver.gt.migrate_context
    assert context is not None
    assert state(context)[0x0B] == 0x0007_F001
    assert context.ring.size == 512 * KIB
    assert context.timeline.address == driver.gt.engines[Engine.BCS0].status_page.address + 0x108
    assert not context.timeline.reports_start


def test_the_kernels_contexts_report_in_the_status_pages() -> None:
    _, driver = with_driver()
    for streamer in driver.gt.engines.values():
        timeline = streamer.kernel_context.timeline
        assert timeline.address == streamer.status_page.address + 0x100
        assert (timeline.reports_start, timeline.seqno, timeline.reported()) == (False, 2, 2)


def test_a_restored_context_does_not_find_its_engine_stopped() -> None:
    _, driver = with_driver()
    context = driver.client.context(Engine.RCS0)
    assert state(context)[0x54] == 0x209C
    assert state(context)[0x55] == 0x0100_0000, "the bit that stops the ring is cleared under its mask"
    _, older = with_driver("bdw")
    assert 0x209C not in state(older.client.context(Engine.RCS0))[:0x50].tolist(), "gen8 does not save that register"


def test_restarting_a_context_after_a_reset_rewinds_its_head_and_keeps_the_rest() -> None:
    _, driver = with_driver()
    context = driver.client.context(Engine.BCS0)
    context.ring.emit = 0x80
    context.set_tail(0x80)
    assert context._bound().buffer.read_dword(STATE + 4 * 0x07) == 0x80
    context.force_restore = False
    context.restart(0x40)
    page = state(context)
    assert (page[0x05], page[0x07], page[0x03]) == (0x40, 0x80, 0x000F_0008)
    assert context.force_restore
    context.restart(0x40, scrub=True)
    assert state(context)[0x03] == 0x000F_0009, "of a scrubbed image nothing is restored"


def test_a_tail_that_does_not_advance_asks_for_the_whole_image_to_be_loaded() -> None:
    _, driver = with_driver()
    context = driver.client.context(Engine.BCS0)
    assert context.set_tail(0x40)
    assert context.set_tail(0x48)
    assert not context.set_tail(0x48)
    assert not context.set_tail(0x40)
    context.ring.tail = 0x3FF8
    assert context.set_tail(0), "around the end of the ring"


def test_registers_of_an_image_have_names() -> None:
    _, driver = with_driver()
    context = driver.client.context(Engine.VCS0)
    assert context.read_register("start") == context.ring.binding.address
    with pytest.raises(UsageError, match="r_pwr_clk_state"):
        context.read_register("r_pwr_clk_state")


# ---- descriptors ----


@pytest.mark.parametrize(
    ("platform", "engine", "low"),
    [
        ("skl", Engine.RCS0, 0x31D), ("skl", Engine.BCS0, 0x11D), ("kbl", Engine.VECS0, 0x11D), ("bdw", Engine.RCS0, 0x33D),
        ("bdw", Engine.VCS0, 0x13D),
    ],
)  # fmt: skip
def test_a_descriptor_says_how_a_context_is_run(platform: str, engine: Engine, low: int) -> None:
    machine, driver = with_driver(platform)
    fake = machine.engines[engine]
    fake.submissions.clear()
    driver.submit(engine, (0,)).wait(1_000_000)
    context = driver.client.context(engine)
    assert context.image is not None
    driver.wait_idle(1_000_000_000)
    for request in [driver.submit(engine, (0,)) for _ in range(2)]:
        request.wait(1_000_000)
    assert fake.submissions[0][:2] == (0, 0), "an empty port is two zeroes"
    told = [low for words in fake.submissions for low in (words[3], words[1]) if low & ~0xFFF == context.image.address]
    forced, kept = context.image.address | low, context.image.address | low & ~4
    assert told == [forced, forced, kept], "the whole image is loaded when the context is used anew, not where work goes on"


def test_names_of_contexts_are_given_from_the_lowest_and_given_back() -> None:
    machine, driver = with_driver()
    fake = machine.engines[Engine.RCS0]
    client = driver.open_client("one")
    others = [client.create_context(Engine.RCS0, str(number)) for number in range(3)]
    fake.submissions.clear()
    fake.held = True
    requests = [client.submit(Engine.RCS0, (0,), context=context) for context in others]
    driver.wait(10_000)
    assert [(words[0], words[2]) for words in fake.submissions] == [(0, 0x20), (0x40, 0x20)]
    fake.held = False
    requests[-1].wait(1_000_000)
    assert fake.submissions[2][2] in (0x20, 0x40), "the name of a context that is done is given to another"
    assert {context.inflight for context in others} == {0}


def test_priority_is_hinted_to_the_render_engine_only() -> None:
    machine, driver = with_driver()
    for engine, hints in ((Engine.RCS0, (0, 2 << 9, 1 << 9)), (Engine.BCS0, (0, 0, 0))):
        fake = machine.engines[engine]
        for priority, hint in zip((-1, 1, 0), hints, strict=True):
            fake.submissions.clear()
            driver.submit(engine, (0,), priority=priority).wait(1_000_000)
            assert fake.submissions[0][3] & 3 << 9 == hint, (engine, priority)


# ---- the end ----


def test_everything_of_a_context_is_given_back() -> None:
    _, driver = with_driver()
    client: Client = driver.open_client("one")
    used, graphics = driver.memory.in_use, driver.ggtt.space.reserved
    client.context(Engine.RCS0)
    client.create_context(Engine.RCS0, "two")
    assert driver.memory.in_use == used + 2 * (4 + 1 + 22) * PAGE_SIZE
    client.close()
    driver.wait_idle(1_000_000_000)
    assert driver.ggtt.space.reserved == graphics
    assert driver.memory.in_use < used
