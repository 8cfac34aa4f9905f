"""What mediation takes on virtual time: charged once, before the GPU is given the context; on real time, nothing is added."""

from __future__ import annotations

from importlib.resources import files

from support.vgpu_rig import GuestContext, GuestRig, store

from host_model.clock import RealClock, VirtualClock
from host_model.cost_table import cost_table
from host_model.host import Host
from host_model.mediator.cost import AUDIT, COMPLETION, COPY, HANDING_OVER, HANDING_OVER_REST, MAPPING, SUBMISSION, ProcessorTime
from pvinfo.platform import Engine
from pvinfo.units import PAGE_SIZE

TARGET = 0x20_0000


def test_every_cost_says_why_and_whence() -> None:
    text = files("host_model.mediator").joinpath("cost.tsv").read_text("ascii")
    assert [line for line in text.splitlines() if line[0] != "#"][0].split("\t") == ["name", "fixed ns", "ps per byte", "why", "source"]
    rows = cost_table("host_model.mediator")
    assert list(rows.values()) == [SUBMISSION, AUDIT, COPY, MAPPING, HANDING_OVER, HANDING_OVER_REST, COMPLETION]
    assert all(row.why and row.source.startswith("linux:drivers/gpu/drm/i915/gvt/") for row in rows.values())


def test_what_follows_waits_for_all_that_was_charged_and_for_that_once() -> None:
    clock = VirtualClock()
    spent, done = ProcessorTime(clock), list[int]()
    spent.charge(SUBMISSION)
    spent.charge(AUDIT, 400)
    spent.then(lambda: done.append(clock.now_ns()))
    spent.then(lambda: done.append(clock.now_ns()))
    clock.wait_ns(1_000_000)
    assert done == [0, SUBMISSION.fixed_ns + AUDIT.of(400)] and spent.spent_ns == done[1]


def test_on_real_time_the_work_takes_what_it_takes() -> None:
    spent, done = ProcessorTime(RealClock()), list[str]()
    spent.charge(HANDING_OVER)
    spent.then(lambda: done.append("at once"))
    assert done == ["at once"] and spent.spent_ns == 0


def test_a_request_is_charged_for_what_was_done_for_it() -> None:
    rig = GuestRig(Host())
    context, page = GuestContext(rig, 1, Engine.BCS0), rig.page()
    context.map(TARGET, page)
    pages = rig.vgpu.platform.context_pages[Engine.BCS0]
    each = SUBMISSION.fixed_ns + AUDIT.of(16) + COMPLETION.of(pages * PAGE_SIZE)
    mapped = rig.vgpu.port.mapped_pages
    context.write(*store(TARGET, 5))
    rig.submit(context)
    rig.wait(each)
    assert rig.read32(page) == 0, "the GPU does not have it yet"
    rig.wait()
    assert rig.read32(page) == 5
    first = HANDING_OVER.fixed_ns + COPY.of(PAGE_SIZE) + MAPPING.of((rig.vgpu.port.mapped_pages - mapped) * PAGE_SIZE)
    assert rig.vgpu.time.spent_ns == each + first
    context.write(*store(TARGET, 6))
    rig.submit(context)
    rig.wait()
    assert rig.vgpu.time.spent_ns - each - first in (each + COPY.of(PAGE_SIZE), each + COPY.of(pages * PAGE_SIZE))


def test_work_that_is_taken_back_while_it_is_made_ready_never_runs() -> None:
    rig = GuestRig(Host())
    context, page = GuestContext(rig, 1, Engine.BCS0), rig.page()
    context.map(TARGET, page)
    context.write(*store(TARGET, 5))
    rig.submit(context)
    rig.wait(SUBMISSION.fixed_ns // 2)
    queue, engine = rig.vgpu.submission.queues[Engine.BCS0], rig.vgpu.hardware.engines[Engine.BCS0]
    assert (queue.running is not None, engine.busy) == (True, False)
    rig.vgpu.mmio.write32(0x941C, 1 << 3)
    rig.wait()
    assert rig.read32(page) == 0 and not queue.has_work
    assert not list(rig.vgpu.findings)
