"""A guest's submissions: what is carried out, what the guest is told, and when its work is dropped."""

from __future__ import annotations

import pytest
from support.vgpu_rig import GuestContext, GuestRig, batch_start, store, user_interrupt

from host_model.gpu.context_layout import further_state, render_registers
from host_model.host import Host
from host_model.mediator.failsafe import FailsafeReason
from pvinfo.context_image import RING_CONTEXT_DWORDS, STATE_OFFSET, context_image
from pvinfo.execlist import Submission
from pvinfo.platform import ENGINES, Engine
from pvinfo.registers.engine import EngineRegisters, ExeclistStatus
from pvinfo.units import PAGE_SIZE, GraphicsAddress

TARGET = 0x20_0000
BATCH = 0x40_0000
SPIN = batch_start(BATCH)
"""In a batch: start it again, and again."""
IDLE_TO_ACTIVE, ELEMENT_SWITCH, LITE_RESTORE, COMPLETE_TO_IDLE = 0x1, 0x14, 0x8002, 0x18


@pytest.fixture
def rig() -> GuestRig:
    return GuestRig(Host("skl"))


def context(rig: GuestRig, context_id: int, engine: Engine = Engine.BCS0) -> tuple[GuestContext, int]:
    """A context with one page of data; where that is in RAM."""
    made, page = GuestContext(rig, context_id, engine), rig.page()
    made.map(TARGET, page)
    return made, page


def spinner(rig: GuestRig, context_id: int, engine: Engine = Engine.BCS0) -> GuestContext:
    """A context whose batch starts itself for ever."""
    made, _ = context(rig, context_id, engine)
    batch = rig.page()
    made.map(BATCH, batch)
    rig.write(batch, SPIN)
    made.write(*SPIN)
    return made


def status(rig: GuestRig, engine: Engine = Engine.BCS0) -> ExeclistStatus:
    return EngineRegisters(rig.vgpu.registers, ENGINES[engine].base).execlist_status_lo


def rules(rig: GuestRig) -> list[str]:
    return [finding.rule for finding in rig.vgpu.findings]


# ---- one context ----


@pytest.mark.parametrize("engine", list(Engine))
@pytest.mark.parametrize("platform", ["skl", "bdw"])
def test_a_context_runs_on_its_engine_and_its_guest_is_told_in_registers_page_and_by_interrupt(platform: str, engine: Engine) -> None:
    rig = GuestRig(Host(platform))
    work, page = context(rig, 7, engine)
    work.write(*store(TARGET + 8, 0xCAFE), *user_interrupt())
    rig.submit(work)
    assert rig.read32(page + 8) == 0, "nothing runs while the guest writes to the port"
    rig.wait()
    assert rig.read32(page + 8) == 0xCAFE
    assert rig.events == [(engine, IDLE_TO_ACTIVE, 0), (engine, COMPLETE_TO_IDLE, 7)]
    shift = ENGINES[engine].interrupt_shift
    told = [identity >> shift & 0xFFFF for identity in rig.told]
    assert told == [0x100, 0x1, 0x100], "taken up, the user's interrupt, complete"
    assert work.value("head") == work.value("tail") == 24
    base = ENGINES[engine].base
    assert rig.vgpu.mmio.read32(base + EngineRegisters.context_status_ptr.offset) & 7 == 1
    assert [rig.vgpu.mmio.read32(base + EngineRegisters.context_status_buffer.offset + 4 * n) for n in range(4)] == [1, 0, 0x18, 7]
    assert (rig.vgpu.submission.queues[engine].completed, rig.vgpu.submission.queues[engine].requests) == (1, 1)
    assert rules(rig) == [] and rig.host.guard.violations == 0


def test_a_context_keeps_its_registers_between_two_runs() -> None:
    rig = GuestRig(Host("skl"))
    work, page = context(rig, 7)
    register = ENGINES[Engine.BCS0].base + EngineRegisters.gpr_lo.offset
    batch = rig.page()
    work.map(BATCH, batch)
    rig.write(batch, (0x11000001, register, 0x1234, 0x05000000))
    work.write(*batch_start(BATCH))
    rig.submit(work)
    rig.wait()
    other, _ = context(rig, 8)
    rig.write(batch, (0x11000001, register, 0x9999, 0x05000000))
    other.map(BATCH, batch)
    other.write(*batch_start(BATCH))
    rig.submit(other)
    rig.wait()
    rig.write(batch, (0x12000002, register, TARGET, 0, 0x05000000))
    work.write(*batch_start(BATCH))
    rig.submit(work)
    rig.wait()
    assert rig.read32(page) == 0x1234
    assert work.value("gpr_lo[0]") == 0x1234 and other.value("gpr_lo[0]") == 0x9999


def test_what_runs_is_what_stood_in_the_ring_when_it_was_submitted(rig: GuestRig) -> None:
    work, page = context(rig, 7)
    first = work.write(*store(TARGET, 1))
    rig.submit(work)
    rig.write(rig.at(work.ring + first), store(TARGET, 2))
    rig.wait()
    assert rig.read32(page) == 1


def test_the_ring_may_wrap(rig: GuestRig) -> None:
    work, page = context(rig, 7)
    for _ in range(3):
        work.write(*(0,) * 400)
        rig.submit(work)
        rig.wait()
    work.write(*store(TARGET, 3))
    assert work.tail == (3 * 1600 + 16) % PAGE_SIZE
    rig.submit(work)
    rig.wait()
    assert rig.read32(page) == 3
    assert rig.vgpu.mmio.read32(ENGINES[Engine.BCS0].base + EngineRegisters.head.offset) == 1 << 21 | work.tail


def test_the_kernels_part_of_an_image_is_the_hosts_and_the_rest_comes_back(rig: GuestRig) -> None:
    work, _ = context(rig, 7)
    image = rig.at(work.image + STATE_OFFSET)
    before = bytes(rig.ram.read(image, 4 * RING_CONTEXT_DWORDS))
    work.write(*store(TARGET, 1))
    tail = work.value("tail")
    rig.submit(work)
    rig.wait()
    after = bytes(rig.ram.read(image, 4 * RING_CONTEXT_DWORDS))
    changed = {dword for dword in range(RING_CONTEXT_DWORDS) if before[4 * dword : 4 * dword + 4] != after[4 * dword : 4 * dword + 4]}
    names = {name: work.layout.value_dword(name) for name in ("context_control", "head", "tail", "ctx_timestamp")}
    assert {dword for dword in changed if dword < 52} <= set(names.values()) and work.value("head") == tail


@pytest.mark.parametrize("platform", ["skl", "bdw"])
@pytest.mark.parametrize("inhibited", [True, False])
def test_a_render_context_without_state_finds_nothing_of_another_guests(platform: str, inhibited: bool) -> None:
    rig = GuestRig(Host(platform))
    other = GuestRig(rig.host)
    registers = (0x2410, 0x2500, 0x2600, 0x267C)
    secret, _ = context(other, 1, Engine.RCS0)
    batch = other.page()
    secret.map(BATCH, batch)
    other.write(batch, [word for register in registers for word in (0x11000001, register, 0x5EC2E7)] + [0x05000000])
    secret.write(*batch_start(BATCH))
    other.submit(secret)
    other.wait()
    work, page = context(rig, 2, Engine.RCS0)
    if not inhibited:
        work.set("context_control", 0x000F0008)
    batch = rig.page()
    work.map(BATCH, batch)
    rig.write(batch, [word for at, register in enumerate(registers) for word in (0x12000002, register, TARGET + 4 * at, 0)] + [0x05000000])
    work.write(*batch_start(BATCH))
    rig.submit(work)
    rig.wait()
    assert rig.vgpu.submission.queues[Engine.RCS0].completed == 1
    assert [rig.read32(page + 4 * at) for at in range(len(registers))] == [0] * len(registers)


@pytest.mark.parametrize("platform", ["skl", "bdw"])
def test_a_render_context_whose_image_was_never_saved_has_the_modes_of_its_own_vgpu(platform: str) -> None:
    rig = GuestRig(Host(platform))
    other = GuestRig(rig.host)
    before = rig.host.gpu.registers.read32(0x7004)
    secret, _ = context(other, 1, Engine.RCS0)
    batch = other.page()
    secret.map(BATCH, batch)
    other.write(batch, [0x11000001, 0x7004, 0x00300010, 0x05000000])
    secret.write(*batch_start(BATCH))
    other.submit(secret)
    other.wait()
    assert rig.host.gpu.registers.read32(0x7004) & 0x30 == 0x10
    work, _ = context(rig, 2, Engine.RCS0)
    work.set("context_control", 0x000F0008)
    rig.submit(work)
    rig.wait()
    assert rig.vgpu.submission.queues[Engine.RCS0].completed == 1
    assert rig.host.gpu.registers.read32(0x7004) & 0xFFFF == before & 0xFFFF


@pytest.mark.parametrize(("platform", "engine"), [("skl", Engine.RCS0), ("skl", Engine.VECS0), ("bdw", Engine.VCS0)])
def test_modes_that_an_image_does_not_enable_are_loaded_all_the_same(platform: str, engine: Engine) -> None:
    rig = GuestRig(Host(platform))
    base = ENGINES[engine].base
    left = [base + 0x28, *([base + 0xC0] if platform == "skl" else [])]
    for register in left:
        rig.host.gpu.registers.write32(register, 0x0010)  # by a context of another guest's
    work, _ = context(rig, 2, engine)
    work.set("context_control", 0x000F0008)
    rig.submit(work)
    rig.wait()
    assert rig.vgpu.submission.queues[engine].completed == 1
    assert [rig.host.gpu.registers.read32(register) & 0xFFFF for register in left] == [0] * len(left)


@pytest.mark.parametrize("platform", ["skl", "bdw"])
def test_nor_do_modes_behind_the_layout_have_to_be_enabled(platform: str) -> None:
    rig = GuestRig(Host(platform))
    version = rig.vgpu.platform.graphics_version
    work, _ = context(rig, 2, Engine.RCS0)
    work.set("context_control", 0x000F0008)
    state = rig.vgpu.ggtt.page(GraphicsAddress(work.image + PAGE_SIZE))
    assert state is not None
    further = further_state(context_image(version, Engine.RCS0).end, render_registers(version))
    state.cast("I")[further.header[0]] = further.header[1]  # as if hardware had saved it
    rig.host.gpu.registers.write32(0xE184, 0x0010)
    rig.submit(work)
    rig.wait()
    assert rig.vgpu.submission.queues[Engine.RCS0].completed == 1
    assert rig.host.gpu.registers.read32(0xE184) & 0xFFFF == 0


# ---- two at a time ----


def test_the_second_element_follows_the_first(rig: GuestRig) -> None:
    (one, first), (two, second) = context(rig, 1), context(rig, 2)
    one.write(*store(TARGET, 1))
    two.write(*store(TARGET, 2))
    rig.submit(one, two)
    rig.wait()
    assert (rig.read32(first), rig.read32(second)) == (1, 2)
    assert [event[1:] for event in rig.events] == [(IDLE_TO_ACTIVE, 0), (ELEMENT_SWITCH, 1), (COMPLETE_TO_IDLE, 2)]


def test_a_submission_that_goes_on_with_the_running_context_is_a_lite_restore_and_begins_where_the_first_ended(rig: GuestRig) -> None:
    work, page = context(rig, 7)
    work.write(*store(TARGET, 1))
    rig.submit(work)
    work.write(*store(TARGET + 4, 2))
    rig.submit(work)
    rig.wait()
    assert (rig.read32(page), rig.read32(page + 4)) == (1, 2)
    assert [event[1:] for event in rig.events] == [(IDLE_TO_ACTIVE, 0), (LITE_RESTORE, 7), (COMPLETE_TO_IDLE, 7)]
    assert rig.vgpu.submission.queues[Engine.BCS0].completed == 2


def test_a_submission_of_another_context_waits_its_turn(rig: GuestRig) -> None:
    (one, first), (two, second) = context(rig, 1), context(rig, 2)
    one.write(*store(TARGET, 1))
    two.write(*store(TARGET, 2))
    rig.submit(one)
    rig.submit(two)
    rig.wait()
    assert (rig.read32(first), rig.read32(second)) == (1, 2)
    assert [event[1:] for event in rig.events] == [(IDLE_TO_ACTIVE, 0), (COMPLETE_TO_IDLE, 1), (IDLE_TO_ACTIVE, 0), (COMPLETE_TO_IDLE, 2)]


def test_the_status_register_says_which_slot_runs_and_what(rig: GuestRig) -> None:
    running = spinner(rig, 9)
    assert status(rig) == 0
    rig.submit(running)
    rig.wait()
    shown = status(rig)
    assert (shown.current_pointer, shown.slot0_active, shown.slot0_valid, shown.slot1_active, shown.active_element) == (0, 1, 1, 0, 1)
    assert (shown.write_pointer, shown.queue_full) == (1, 0)
    assert EngineRegisters(rig.vgpu.registers, ENGINES[Engine.BCS0].base).execlist_status_hi == 9


def test_a_guest_sees_where_its_engine_is_while_that_works_for_it_and_where_it_was_afterwards(rig: GuestRig) -> None:
    acthd = ENGINES[Engine.BCS0].base + EngineRegisters.acthd.offset
    rig.submit(spinner(rig, 9))
    rig.wait()
    other = GuestRig(rig.host)
    assert BATCH <= rig.vgpu.mmio.read32(acthd) < BATCH + 16
    assert other.vgpu.mmio.read32(acthd) == 0, "which is nobody else's business"
    rig.vgpu.mmio.write32(0x941C, 1 << 3)
    assert BATCH <= rig.vgpu.mmio.read32(acthd) < BATCH + 16


def test_engines_work_side_by_side(rig: GuestRig) -> None:
    hung = spinner(rig, 1, Engine.RCS0)
    work, page = context(rig, 2, Engine.VCS0)
    work.write(*store(TARGET, 5))
    rig.submit(hung)
    rig.submit(work)
    rig.wait()
    assert rig.read32(page) == 5
    assert rig.vgpu.submission.queues[Engine.RCS0].running is not None


# ---- what is refused ----


def test_a_port_takes_no_submission_that_is_none(rig: GuestRig) -> None:
    work, page = context(rig, 7)
    work.write(*store(TARGET, 1))
    elsp = ENGINES[Engine.BCS0].base + EngineRegisters.elsp.offset
    for dword in Submission.loading(work.descriptor(privilege=0)):
        rig.vgpu.mmio.write32(elsp, dword)
    for dword in (0, 0, 7, 0):
        rig.vgpu.mmio.write32(elsp, dword)
    rig.wait()
    assert rules(rig) == ["submission-without-tables", "empty-submission"]
    assert rig.read32(page) == 0 and not rig.vgpu.failsafe
    rig.submit(work)
    rig.wait()
    assert rig.read32(page) == 1


@pytest.mark.parametrize(
    ("rule", "register", "value"),
    [
        ("ring-outside-slice", "start", 0x1000),
        ("ring-outside-slice", "control", 0x1FF001),
        ("ring-position", "tail", 0x1000),
        ("ring-position", "head", 0x1FFFFC),
        ("ppgtt-not-memory", "pdp_lo[0]", 0x7FFF_F000),
    ],
)
def test_an_image_that_says_what_cannot_be_is_refused_and_what_waits_is_not_hurt(rig: GuestRig, rule: str, register: str, value: int) -> None:
    if (rule, register) == ("ring-outside-slice", "control"):
        rig._next_address = rig.vgpu.resources.low.stop - 4 * PAGE_SIZE  # the ring would reach behind the slice
    work, page = context(rig, 7)
    work.write(*store(TARGET, 1))
    work.set(register, value)
    rig.submit(work)
    rig.wait()
    assert rules(rig) == [rule] and not rig.vgpu.failsafe
    assert rig.read32(page) == 0 and rig.events == []


def test_an_image_that_is_nowhere_is_refused(rig: GuestRig) -> None:
    work, _ = context(rig, 7)
    work.image = work.image - 0x100_0000  # type: ignore[assignment]
    rig.submit(work)
    rig.wait()
    (finding,) = rig.vgpu.findings
    assert finding.rule == "context-unreachable" and f"{rig.vgpu.resources.low.start:#x}" in finding.nearest


def test_a_command_that_the_audit_refuses_costs_the_guest_its_gpu_until_a_device_reset(rig: GuestRig) -> None:
    work, page = context(rig, 7)
    work.write(0x02000000 | 0x23 << 23, 0)
    rig.submit(work)
    assert rig.vgpu.failsafe.reason is FailsafeReason.GUEST_ERROR
    assert rules(rig)[-1] == "failsafe" and rules(rig)[0].startswith("audit-")
    honest, _ = context(rig, 8)
    honest.write(*store(TARGET, 1))
    rig.submit(honest)
    rig.wait()
    assert rig.events == [] and rig.read32(page) == 0
    rig.vgpu.reset()
    again = GuestRig(rig.host, None)
    assert not rig.vgpu.failsafe
    done, target = context(again, 1)
    done.write(*store(TARGET, 4))
    again.submit(done)
    again.wait()
    assert again.read32(target) == 4, "another vGPU was never concerned"


def test_a_guest_cannot_have_more_waiting_than_a_driver_ever_has(rig: GuestRig) -> None:
    rig.submit(spinner(rig, 1))
    rig.wait()
    others = [context(rig, 10 + n)[0] for n in range(4)]
    for number in range(300):
        rig.submit(others[number % 4])
    assert "submissions-without-end" in rules(rig)
    assert rig.vgpu.submission.submissions[Engine.BCS0] == 301


def test_a_status_page_that_goes_is_told_and_the_registers_still_have_the_event(rig: GuestRig) -> None:
    work, _ = context(rig, 7)
    work.write(*store(TARGET, 1))
    rig.submit(work)
    rig.vgpu.mmio.write(0x80_0000 + (rig.status[Engine.BCS0] >> 12) * 8, 8, 0)
    rig.vgpu.on_interrupt(None)
    rig.wait()
    assert "status-page-unreachable" in rules(rig)
    assert rig.vgpu.mmio.read32(ENGINES[Engine.BCS0].base + EngineRegisters.context_status_buffer.offset + 8) == 0x18


def test_a_context_that_goes_while_it_runs_is_a_finding_and_no_more(rig: GuestRig) -> None:
    work, page = context(rig, 7)
    work.write(*store(TARGET, 1))
    rig.submit(work)
    rig.wait(0)
    rig.vgpu.mmio.write(0x80_0000 + (work.image + STATE_OFFSET >> 12) * 8, 8, 0)
    rig.wait()
    assert rig.read32(page) == 1 and "context-unreachable" in rules(rig)


# ---- errors and resets ----


def test_an_unknown_command_in_a_batch_stops_the_engine_and_the_guest_is_told_of_the_error(rig: GuestRig) -> None:
    work, _ = context(rig, 7)
    batch = rig.page()
    work.map(BATCH, batch)
    rig.write(batch, (0xE000_0000,))
    work.write(*batch_start(BATCH))
    base = ENGINES[Engine.BCS0].base
    rig.vgpu.mmio.write32(base + EngineRegisters.emr.offset, 0xFFFFFFFE)
    rig.submit(work)
    rig.wait()
    assert rig.vgpu.mmio.read32(base + EngineRegisters.eir.offset) == 1
    assert rig.vgpu.mmio.read32(base + EngineRegisters.ipehr.offset) == 0xE000_0000
    assert any(identity >> 16 & 0x8 for identity in rig.told), "the error is an interrupt of its own"
    assert [event[1] for event in rig.events] == [IDLE_TO_ACTIVE]
    rig.vgpu.mmio.write32(0x941C, 1 << 3)
    assert rig.vgpu.mmio.read32(base + EngineRegisters.eir.offset) == 0
    rig.enable(Engine.BCS0)
    honest, page = context(rig, 8)
    honest.write(*store(TARGET, 1))
    rig.submit(honest)
    rig.wait()
    assert rig.read32(page) == 1


def test_a_reset_of_one_engine_ends_what_it_runs_and_drops_what_waits_there_alone(rig: GuestRig) -> None:
    hung = spinner(rig, 1)
    waiting, page = context(rig, 2)
    waiting.write(*store(TARGET, 1))
    beside = spinner(rig, 3, Engine.VECS0)
    rig.submit(hung, waiting)
    rig.submit(beside)
    rig.wait()
    rig.vgpu.mmio.write32(0x941C, 1 << 3)
    assert rig.vgpu.mmio.read32(ENGINES[Engine.BCS0].base + EngineRegisters.context_status_ptr.offset) & 7 == 7
    assert rig.vgpu.submission.queues[Engine.BCS0].running is None
    assert rig.vgpu.submission.queues[Engine.VECS0].running is not None
    rig.wait()
    assert rig.read32(page) == 0, "what waited is gone"
    rig.submit(waiting)
    rig.wait()
    assert rig.read32(page) == 0, "nothing runs until the guest chooses execlists again"
    rig.enable(Engine.BCS0)
    rig.submit(waiting)
    rig.wait()
    assert rig.read32(page) == 1
    assert rig.vgpu.resets == {"engine": 1}


def test_after_any_reset_nothing_is_pinned_for_work_that_is_no_more(rig: GuestRig) -> None:
    before = rig.vgpu.port.mapped_pages
    rig.submit(spinner(rig, 1), context(rig, 2)[0])
    rig.wait()
    mapped = before + 2 * (rig.vgpu.platform.context_pages[Engine.BCS0] + 1)
    assert rig.vgpu.port.mapped_pages > mapped, "what the process has mapped is held while it runs"
    rig.vgpu.mmio.write32(0x941C, 1 << 3)
    assert rig.vgpu.port.mapped_pages == mapped
    rig.vgpu.reset()
    assert rig.vgpu.port.mapped_pages == 0
    assert len(rig.vgpu.tables) == 0


def test_a_vgpu_that_goes_takes_its_work_along_and_its_share_serves_another(rig: GuestRig) -> None:
    rig.submit(spinner(rig, 1, Engine.RCS0))
    rig.wait()
    free = rig.host.pool.free
    rig.host.destroy_vgpu(rig.vgpu)
    assert rig.host.pool.free.low == free.low + rig.vgpu.type.low_size
    assert not any(engine.busy for engine in rig.host.mediator.hardware.engines.values())
    another = GuestRig(rig.host)
    work, page = context(another, 1, Engine.RCS0)
    work.write(*store(TARGET, 1))
    another.submit(work)
    another.wait()
    assert another.read32(page) == 1
